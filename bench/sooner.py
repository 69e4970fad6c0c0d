"""Whether what `slurm-het why` names starts a waiting job, on a real Slurm; and how long it takes.

    ./dev bench sooner [--kinds time,cpus] [--no-record]
    ./dev bench sooner --times                       # the time alone; needs no Slurm
    R=$(./dev root 24.11); sh templates/enter_root.sh $R python -m bench.sooner

Queues are staged as bench/sooner_stages.py has them, those of one kind at once, one in each pool:

remedy      half of the change is made, and the job does not start; then `why` names all of it;
            what is printed is pasted, and the job starts where it was told, by the time told
no remedy   nothing that its user can change would start the job: `why` names nothing
trap        the evidence forbids the devices that are idle: `why` sends the job to none of them

The time is that of a job's changes with a thousand that wait on a cluster as bench scale has it; to
read what Slurm says is not in it.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bench import in_sandbox, scale
from bench.results import head, publish, recorded, table
from bench.sooner_stages import (
    ANOTHER_KIND,
    FULL_FOR_TRAPS,
    KINDS,
    NEWER,
    NO_REMEDY,
    PLAIN,
    POOLS,
    RESERVED,
    Staged,
    Words,
    full,
    traps,
)
from slurm_het.cli.program import tidy_seldom
from slurm_het.cli.why import why
from slurm_het.core.jobs.readings import Readings
from slurm_het.core.jobs.trials import NO_TRIALS
from slurm_het.core.policy import Limits
from slurm_het.core.syntax import hostlist
from slurm_het.core.views.changes import Known
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.views.sooner import sooner
from slurm_het.core.views.whatif import WhatIf
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version

A = TypeVar("A")
B = TypeVar("B")
OWNER = "nobody"
SEEN_SECONDS, HALF_SECONDS, START_SECONDS = 90.0, 12.0, 90.0
RESERVATION = (
    "scontrol", "create", "reservation", "ReservationName=upkeep", "StartTime=now+2hours",
    "Duration=60", "Users=root", f"Nodes={','.join(n for pool in POOLS for n in pool.nodes)}",
)  # fmt: skip
SAY = partial(print, flush=True)
COLUMNS = "", "staged", "named", "with half it waits", "with all it starts", "slowest start, s"
SIZES = 14, 500
TRAP_OPTIONS = ("-t", "20", "--gres=gpu:2")


@dataclass
class Seen:
    """What came of a staged job. `half` and `started` are None where it was not tried."""

    staged: Staged
    key: str = ""
    printed: str = ""
    promise: str = ""
    half: bool | None = None
    started: float | None = None
    elsewhere: bool = False


class Bench:
    """Stages queues in a sandbox."""

    def __init__(self, box: Sandbox, say: Callable[[str], None]) -> None:
        self.box, self.say = box, say

    def remedies(self, kind: str, staged: Sequence[Staged]) -> list[Seen]:
        """The same as `tried`; where Slurm does not do what is to be staged, nothing is seen."""
        try:
            return self.tried(kind, staged)
        except HetError as error:
            self.say(f"{kind}: {error}")
            return [Seen(one) for one in staged]

    def tried(self, kind: str, staged: Sequence[Staged]) -> list[Seen]:
        """Stage these at once, make half of the change, ask of each, make all of it."""
        reserved = kind in RESERVED
        if reserved:
            in_sandbox.ok(self.box, *RESERVATION)
        try:
            self._fill(words for one in staged for words in one.busy)
            seen = self._each(lambda one: Seen(one, self._submit(one.options, one.script)), staged)
            self._halves([one for one in seen if one.staged.half])
            for one in seen:
                self._try_it(one)
        finally:
            in_sandbox.clear(self.box)
            if reserved:
                in_sandbox.ok(self.box, "scontrol", "delete", "ReservationName=upkeep")
        for one in seen:
            self.say(f"{kind} {one.key}: {one.printed or 'nothing named'} | {one.promise}"
                     f" | half {one.half} | started {one.started}")  # fmt: skip
        return seen

    def without(self, staged: Sequence[Staged]) -> int:
        """Stage these at once; of how many nothing is named."""
        self._fill(words for one in staged for words in one.busy)
        keys = [self._submit(one.options, one.script) for one in staged]
        time.sleep(HALF_SECONDS)
        named = {key: self._commands(key) for key in keys}
        waits = [in_sandbox.state(self.box, key) == "PENDING" for key in keys]
        for key, one in zip(keys, staged, strict=True):
            self.say(f"no remedy, {one.name}: {named[key] or 'nothing'}")
        in_sandbox.clear(self.box)
        return sum(w and not named[key] for w, key in zip(waits, keys, strict=True))

    def traps(self) -> tuple[int, int]:
        """How many traps there are, and of how many nothing is named that the evidence forbids."""
        held = tried = 0
        left = list(traps())
        for pools in FULL_FOR_TRAPS:
            there = {name for pool in pools for name in pool.nodes}
            mine = [trap for trap in left if there.intersection(trap.nodes)]
            self._fill(words for pool in pools for words in full(pool))
            keys = [self._submit((*TRAP_OPTIONS, *trap.options), trap.script) for trap in mine]
            time.sleep(HALF_SECONDS)
            for trap, key in zip(mine, keys, strict=True):
                named = self._commands(key)
                went = {node for _, promise in named for node in _nodes_of(promise)}
                good = went <= set(trap.nodes) and in_sandbox.state(self.box, key) == "PENDING"
                self.say(f"trap, {trap.name}: {'held' if good else 'FAILED'} {named}")
                held, tried = held + good, tried + 1
            in_sandbox.clear(self.box)
        return tried, held

    def _each(self, do: Callable[[A], B], these: Iterable[A]) -> list[B]:
        with ThreadPoolExecutor(len(POOLS)) as pool:
            return list(pool.map(do, these))

    def _try_it(self, one: Seen) -> None:
        in_sandbox.within(SEEN_SECONDS, partial(self._is_named, one))
        self._paste(one)

    def _fill(self, busy: Iterable[Words]) -> None:
        keys = self._each(lambda words: self._submit(words, PLAIN), busy)
        for key in keys:
            if not in_sandbox.within(START_SECONDS, partial(self._runs, key)):
                self.say(f"job {key}, which was to keep nodes busy, does not run")

    def _runs(self, key: str) -> bool:
        return in_sandbox.state(self.box, key) == "RUNNING"

    def _submit(self, options: Words, script: str) -> str:
        return in_sandbox.submit(self.box, *options, script=script, user=OWNER)

    def _commands(self, key: str) -> list[tuple[str, str]]:
        """The commands that `why` prints of a job, and what it promises of each."""
        told = in_sandbox.ours(self.box, why, key)
        parts = (line.strip().partition("   # ") for line in told.splitlines())
        return [(command, promise) for command, mark, promise in parts if mark]

    def _is_named(self, one: Seen) -> bool:
        found = (pair for pair in self._commands(one.key) if re.search(one.staged.command, pair[0]))
        one.printed, one.promise = next(found, ("", ""))
        return bool(one.printed)

    def _halves(self, seen: Sequence[Seen]) -> None:
        self._each(self._halve, seen)
        time.sleep(HALF_SECONDS if seen else 0.0)
        for one in seen:
            one.half = in_sandbox.state(self.box, one.key) == "PENDING"

    def _halve(self, one: Seen) -> None:
        update = ("scontrol", "update", f"JobId={one.key}", *one.staged.half.split())
        in_sandbox.ok(self.box, *update, user=OWNER)

    def _paste(self, one: Seen) -> None:
        """Run the command as it was printed, as the owner, and time the start."""
        if not one.printed or in_sandbox.state(self.box, one.key) != "PENDING":
            return
        words = shlex.split(one.printed)
        argv = _tool(*words[1:]) if words[0] == "slurm-het" else tuple(words)
        began = time.monotonic()
        in_sandbox.ok(self.box, *argv, user=OWNER)
        if in_sandbox.within(START_SECONDS, partial(self._runs, one.key)):
            one.started = time.monotonic() - began
            nodes = in_sandbox.job(self.box, one.key)["NodeList"]
            one.elsewhere = not set(hostlist.expand(nodes)) <= _nodes_of(one.promise)


def _tool(*words: str) -> Words:
    return (sys.executable, "-m", "slurm_het.cli.admin", *words)


def _nodes_of(promise: str) -> set[str]:
    """The nodes that a promise names: `now on nv1:0-1 nv2:0; 1 node, not 2`."""
    names = {name for pool in POOLS for name in pool.nodes}
    folded = re.findall(r"[a-z0-9]+\[[\d,-]+\]", promise.partition(";")[0])
    listed = {name for one in folded for name in hostlist.expand(one)}
    return names.intersection(re.findall(r"[a-z0-9]+", promise.partition(";")[0])) | listed


def times(nodes: int, waiting: int = 1000, asked: int = 20) -> list[float]:
    """How long it takes to find what starts a job sooner (seconds of CPU), sorted."""
    tidy_seldom()  # as slurm-het does
    taken = scale.snapshot(scale.CASES[0], nodes, waiting, 1)
    policy, limits = scale.policy(), Limits()
    readings = Readings()
    prepared = as_planned(taken, policy, limits, readings)
    known = Known("#!/bin/sh\n./simulate\n", NO_TRIALS)
    gated = [job for job in taken.jobs if job.state == "PENDING"]
    took = []
    for job in gated[:: max(1, len(gated) // asked)]:
        began = time.process_time()
        sooner(WhatIf(prepared, job, limits, readings), known)
        took.append(time.process_time() - began)
    return sorted(took)


def rows_of(seen: Sequence[Seen]) -> list[list[str]]:
    """A row for each kind, and one for all."""
    kinds = Counter(one.staged.name for one in seen)
    groups = {kind: [one for one in seen if one.staged.name == kind] for kind in kinds}
    return [_row(name, group) for name, group in (*groups.items(), ("all", list(seen)))]


def _row(name: str, group: Sequence[Seen]) -> list[str]:
    halves = [one.half for one in group if one.staged.half]
    good = [one.started for one in group if one.started is not None and not one.elsewhere]
    half = f"{sum(map(bool, halves))} of {len(halves)}" if halves else "no half"
    named = sum(bool(one.printed) for one in group)
    slowest = f"{max(good):.0f}" if good else "–"
    return [name, f"{len(group)}", f"{named}", half, f"{len(good)}", slowest]


def main(say: Callable[[str], None] = SAY) -> None:
    """Print the table, and put it into RESULTS.md."""
    options = parse()
    if options.times:
        for nodes in SIZES:
            say(_timed(nodes))
        return
    newer = not slurm_version().text.startswith("22.")
    kinds = [k for k in options.kinds.split(",") if newer or k not in NEWER]
    seen: list[Seen] = []
    with in_sandbox.fresh() as box:
        bench = Bench(box, say)
        tried, held = bench.traps()
        for kind in kinds:
            seen += bench.remedies(kind, [KINDS[kind](pool) for pool in POOLS])
        seen += bench.remedies("another kind", ANOTHER_KIND)
        none = bench.without(NO_REMEDY)
    load = f"Slurm {slurm_version().text}, load {os.getloadavg()[2]:.0f}"
    text = [
        *head("sooner", "./dev bench sooner", load),
        f"Without a remedy: {none} of {len(NO_REMEDY)} get none. Traps of evidence: {held} of"
        f" {tried} held.", "",
        *table(COLUMNS, rows_of(seen)),
    ]  # fmt: skip
    publish(text, options)


def _timed(nodes: int) -> str:
    took = times(nodes)
    middle, most = 1000 * statistics.median(took), 1000 * took[_p95(len(took))]
    return (f"What starts a job sooner, of 1,000 that wait on {nodes} nodes: median"
            f" {middle:.0f} ms, p95 {most:.0f} ms of CPU ({len(took)} jobs).")  # fmt: skip


def _p95(count: int) -> int:
    """The place of the 95th percentile among so many."""
    return min(count - 1, -(-95 * count // 100) - 1)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = recorded(__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of changes (all)")
    parser.add_argument("--times", action="store_true", help="the time alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
