"""Do the delivered alerts keep quiet under normal load?

    ./dev bench alerts_quiet [--minutes 30] [--load 0.8] [--seed 1]

Jobs of bench slurm's trace, six times as long, arrive evenly on a sandbox and ask for `--load` of
what it has. A real Prometheus scrapes `slurm-het metrics` every 15 s and goes through the delivered
rules as often. All alerts that it has are read every five seconds: none may fire, and what is
pending may not be so for as long as its rule says (then it would fire).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bench.in_sandbox import fresh, ok, submit
from bench.prometheus import ask, watched
from bench.slurm_trace import Entry, make_trace
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox

EVERY_SECONDS, READ_SECONDS = 15, 5.0
LONGER = 6.0
MOST_JOBS = 2000


class Alerts:
    """What was seen of alerts: how often each was told, in what state, and for how long at most it
    was pending (seconds)."""

    def __init__(self) -> None:
        self.told = Counter[tuple[str, str]]()
        self.pending: dict[str, float] = {}
        self.reads = 0

    def read(self, url: str) -> None:
        """Look once more."""
        self.reads += 1
        for alert in ask(url, "alerts")["alerts"]:
            name, state = alert["labels"]["alertname"], alert["state"]
            self.told[name, state] += 1
            since = datetime.fromisoformat(re.sub(r"\.\d+", "", alert["activeAt"]))
            lasted = time.time() - since.timestamp()
            self.pending[name] = max(lasted, self.pending.get(name, 0.0))

    @property
    def fired(self) -> int:
        """How often one that fires was told."""
        return sum(many for (_, state), many in self.told.items() if state == "firing")


def make_load(load: float, seed: int, seconds: float) -> list[Entry]:
    """The jobs that arrive within so many seconds."""
    trace = (_longer(entry) for entry in make_trace(MOST_JOBS, load, seed))
    return [entry for entry in trace if entry.arrival < seconds]


def _longer(entry: Entry) -> Entry:
    seconds = round(entry.seconds * LONGER, 1)
    script = re.sub(r"STANDIN_SECONDS=\S+", f"STANDIN_SECONDS={seconds}", entry.script)
    options = (*entry.options, f"--time={int(seconds // 60) + 3}")
    return replace(
        entry, arrival=entry.arrival * LONGER, seconds=seconds, script=script, options=options
    )


def run(box: Sandbox, url: str, load: list[Entry], seconds: float) -> Alerts:
    """Submit the jobs at their times, and read the alerts meanwhile."""
    seen, left, began, read_at = Alerts(), list(reversed(load)), time.monotonic(), 0.0
    while (now := time.monotonic() - began) < seconds:
        while left and left[-1].arrival <= now:
            entry = left.pop()
            submit(box, *entry.options, script=entry.script)
        if now >= read_at:
            seen.read(url)
            read_at = now + READ_SECONDS
        time.sleep(0.2)
    return seen


def main() -> None:
    """Run and print what was told; fails if an alert fired."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.8, help="of the cluster's devices (0.8)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    load = make_load(options.load, options.seed, seconds)
    with fresh() as box, tempfile.TemporaryDirectory(prefix="het-") as base:
        version = ok(box, "scontrol", "--version").strip()
        with watched(box, Path(base), EVERY_SECONDS, EVERY_SECONDS) as url:
            seen = run(box, url, load, seconds)
            scraped = ask(url, "query", query=f"count_over_time(slurm_het_up[{int(seconds)}s])")
        ended = len(ok(box, "squeue", "-h", "-a", "--states=CD", "-r", "-o", "%i").split())
    if not scraped["result"]:
        raise HetError("Prometheus has scraped nothing", "slurm-het metrics by hand")
    scrapes = scraped["result"][0]["value"][1]
    for (name, state), many in sorted(seen.told.items()):
        print(f"{name}: {state} in {many} looks, for {seen.pending[name]:.0f} s at most")
    print(
        f"{version}: {len(load)} jobs in {options.minutes:g} min, {ended} of the last five minutes'"
        f" completed; {scrapes} scrapes, {seen.reads} looks: {seen.fired} times one fires;"
        f" load {os.getloadavg()[2]:.0f}"
    )
    sys.exit(seen.fired > 0)


if __name__ == "__main__":
    main()
