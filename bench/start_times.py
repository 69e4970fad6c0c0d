"""How good told start times are: slurm-het's against `squeue --start` of plain Slurm.

    ./dev bench start_times [--jobs 100] [--seeds 1-3] [--no-record]
    R=$(./dev root 24.11); sh templates/enter_root.sh $R python -m bench.start_times

Each seed gives one queue, which runs in two sandboxes one after the other: with slurm-het, which is
given the scripts alone, and on plain Slurm, whose users name every partition that a script can run
in. All nodes are drained until the last job is submitted: nobody comes later. A job runs for a
fifth of its limit to a fifth beyond it, where Slurm ends it.

waited    jobs that did not start within ten seconds of the first one
told      of these, the part that had a time before they started
kept      of the told ones, the part that started within a minute after what was told first
off       how far the start was from what was told first: half, and nine of ten, were within that

slurm-het's times are those that hetd journals; plain Slurm's are read every two seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from bench.in_sandbox import AS_DELIVERED, fresh
from bench.results import head, numbers, publish, recorded, table
from bench.slurm import ENDED, SUBMITTERS
from bench.slurm_trace import Entry, make_trace
from slurm_het.config import load_config
from slurm_het.core.views.accuracy import Accuracy, ToldStart, accuracy_of
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version

READ_SECONDS = 2.0
AT_ONCE_SECONDS = 10.0
PATIENCE_SECONDS = 900.0
RUNS = 0.2, 1.2  # of its limit
SIDES = "slurm-het", "plain Slurm"
SAY = partial(print, flush=True)
COLUMNS = "seed", "", "jobs", "waited", "told %", "kept %", "half off by, s", "nine of ten, s"


@dataclass(frozen=True)
class Outcome:
    """One queue on one side: how many jobs there were, and waited, and how those did that had a
    time."""

    jobs: int
    waited: int
    good: Accuracy

    def row(self, seed: str, name: str) -> list[str]:
        """A row of the table."""
        told, good = 100 * self.good.told / max(1, self.waited), self.good
        kept = 100 * good.kept / max(1, good.told)
        figures = [f"{told:.1f}", f"{kept:.1f}", f"{good.half_seconds:.0f}"]
        return [seed, name, f"{self.jobs}", f"{self.waited}", *figures, f"{good.most_seconds:.0f}"]


def make_queue(jobs: int, seed: int) -> list[Entry]:
    """The jobs of a trace, with run times that go by their limits."""
    rng = random.Random(f"start times {seed}")
    return [_lasting(entry, rng.uniform(*RUNS)) for entry in make_trace(jobs, 1.0, seed)]


def _lasting(entry: Entry, part: float) -> Entry:
    minutes = next(int(o.partition("=")[2]) for o in entry.options if o.startswith("--time="))
    seconds = round(60 * minutes * part, 1)
    script = re.sub(r"STANDIN_SECONDS=\S+", f"STANDIN_SECONDS={seconds}", entry.script)
    return replace(entry, seconds=seconds, script=script)


def outcome_of(starts: Mapping[str, float], told: Mapping[str, ToldStart]) -> Outcome:
    """What came of a queue: when its jobs started, and what was told first of each, and when."""
    first = min(starts.values())
    waited = {key for key, at in starts.items() if at > first + AT_ONCE_SECONDS}
    good = [
        replace(one, started=starts[key])
        for key, one in told.items()
        if key in waited and one.first_at < starts[key]
    ]
    return Outcome(len(starts), len(waited), accuracy_of(good))


def run_queue(
    queue: Iterable[Entry], *, het: bool
) -> tuple[dict[str, float], dict[str, ToldStart]]:
    """Run it to its end in a fresh sandbox: when each job started, and what was told of it.

    Raises HetError if a job is refused, or not all have ended in time.
    """
    with fresh(het=het, overrides=AS_DELIVERED) as box:
        _ok(box, "scontrol", "update", "NodeName=ALL", "State=DRAIN", "Reason=submitting")
        with ThreadPoolExecutor(SUBMITTERS) as pool:
            keys = list(pool.map(lambda entry: _submit(box, entry, named=not het), queue))
        _ok(box, "scontrol", "update", "NodeName=ALL", "State=RESUME")
        starts, seen = _watch(box, frozenset(keys))
        return starts, _journaled(box, keys) if het else seen


def _submit(box: Sandbox, entry: Entry, *, named: bool) -> str:
    where = [f"--partition={','.join(entry.partitions)}"] if named else []
    argv = ["sbatch", "--parsable", "--output=/dev/null", *where, *entry.options]
    done = box.run(argv, user="nobody", input=entry.script)
    if done.returncode:
        raise HetError(f"sbatch refused {entry.kind}: {done.stderr.strip()}")
    return str(done.stdout).strip()


def _watch(box: Sandbox, keys: frozenset[str]) -> tuple[dict[str, float], dict[str, ToldStart]]:
    """When each job started, and what `squeue --start` told first of it, until all have ended.

    Slurm forgets some after five minutes, while others still run.
    """
    told: dict[str, ToldStart] = {}
    starts: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        now = time.time()
        for key, at in _listed(box, "--start", "%i|%S"):
            if at.isdigit() and int(at) > now:
                told.setdefault(key, ToldStart(now, float(at), now, float(at)))
        for key, state, at in _listed(box, "--states=all", "%i|%T|%S"):
            if state in ENDED and at.isdigit():
                starts[key] = float(at)
        if keys <= starts.keys():
            return {key: starts[key] for key in keys}, told
        if time.monotonic() > deadline:
            left = f"{len(keys - starts.keys())} of {len(keys)} jobs have not ended"
            raise HetError(f"{left} after {PATIENCE_SECONDS:g} s", "fewer --jobs?")
        time.sleep(READ_SECONDS)


def _listed(box: Sandbox, option: str, fields: str) -> list[list[str]]:
    argv = ["env", "SLURM_TIME_FORMAT=%s", "squeue", "-h", "-a", option, "-o", fields]
    rows = (line.split("|") for line in _ok(box, *argv).splitlines())
    return [[value.strip() for value in row] for row in rows]


def _journaled(box: Sandbox, keys: Iterable[str]) -> dict[str, ToldStart]:
    journal = Journal(load_config(box.config_path).paths.journal, read_only=True)
    try:
        found = {key: journal.history(key).told for key in keys}
    finally:
        journal.close()
    return {key: told for key, told in found.items() if told}


def _ok(box: Sandbox, *argv: str) -> str:
    done = box.run(argv)
    if done.returncode:
        raise HetError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return str(done.stdout)


def main(say: Callable[[str], None] = SAY) -> None:
    """Print the table, and put it into RESULTS.md."""
    options = parse()
    rows: list[list[str]] = []
    all_of: dict[str, list[tuple[dict[str, float], dict[str, ToldStart]]]] = {}
    for seed in options.seeds:
        queue = make_queue(options.jobs, seed)
        for name in SIDES:
            found = run_queue(queue, het=name == SIDES[0])
            all_of.setdefault(name, []).append(found)
            rows.append(outcome_of(*found).row(str(seed), name))
            say(" ".join(rows[-1]))
    rows += [_together(outcomes).row("all", name) for name, outcomes in all_of.items()]
    seeds = f"{options.seeds[0]}-{options.seeds[-1]}"
    command = f"./dev bench start_times --jobs {options.jobs} --seeds {seeds}"
    load = f"Slurm {slurm_version().text}, load {os.getloadavg()[2]:.0f}"
    text = [*head("start_times", command, load), *table(COLUMNS, rows)]
    publish(text, options)


def _together(found: Iterable[tuple[dict[str, float], dict[str, ToldStart]]]) -> Outcome:
    """Several queues as one; each is held against its own first start."""
    jobs, waited, told = 0, 0, []
    for starts, of_each in found:
        made = outcome_of(starts, of_each)
        jobs, waited = jobs + made.jobs, waited + made.waited
        first = min(starts.values())
        told += [
            replace(one, started=starts[key])
            for key, one in of_each.items()
            if first + AT_ONCE_SECONDS < starts[key] > one.first_at
        ]
    return Outcome(jobs, waited, accuracy_of(told))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--jobs", type=int, default=100, help="jobs of a queue (100)")
    parser.add_argument("--seeds", type=numbers, default=numbers("1-3"), help="queues (1-3)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
