"""Paces: how long a user's programs ran, beside their limits, on each type of device.

They tell two things. The part of its limit that a program usually needs, which foretells when its
jobs end. And how much longer it takes on one type than on another (core/worth/speeds.py). A user's
paces are evidence for the same user's jobs alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.by_user import ByUser
from slurm_het.core.jobs.demand import accelerators, devices_per_node, size_of
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.request import gres_of
from slurm_het.core.jobs.trials import AHEAD, MAX_NAME
from slurm_het.core.model import Job, Task
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist
from slurm_het.core.worth.speeds import PastRun, Timing, devices_of, row_of, timing_of
from slurm_het.errors import HetError

MOST, MOST_OF_USER = 20_000, 400
"""So many paces are kept, in all and of one user; the newest ones."""
MOST_RUNS = 12
"""So many runs of each are remembered, the newest ones: a program changes."""
LEAST_RUNS = 4
"""From fewer runs no usual part of the limit is learned."""
LIKELY = 0.8
"""What is told to be likely has come to its end by then with this probability."""
_ENDED = frozenset({"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "OUT_OF_MEMORY"})
"""How a job ends by what it does, and what its user wants; not by what befell its node."""


class Pace(NamedTuple):
    """The newest runs of a user's program on so many `devices` of a type in all; 0: on shares.

    The last of them ended at `time` (epoch seconds), and was `job`'s.
    """

    user: str
    program: str
    type: str
    devices: int
    time: float = 0.0
    job: str = ""
    runs: tuple[PastRun, ...] = ()


class Paces:
    """A bounded table of the paces that are known."""

    def __init__(self, paces: Iterable[Pace] = ()) -> None:
        self._known = ByUser[Pace](MOST, MOST_OF_USER)
        for pace in paces:
            self.put(pace)

    def put(self, pace: Pace) -> list[Pace]:
        """Know this of it, nothing if it has no runs; returns what is forgotten for that."""
        key = (pace.program, pace.devices, pace.type)
        gone = self._known.put(pace.user, key, pace if pace.runs else None)
        return list(map(without_runs, gone))

    def all(self) -> list[Pace]:
        """All of them, each user's oldest first."""
        return self._known.all()

    def of(self, user: str, program: str = "") -> list[Pace]:
        """A user's paces, those of one program or of all, on whatever it ran."""
        return [pace for pace in self._known.of(user) if program in {"", pace.program}]

    def older(self, oldest: float) -> list[Pace]:
        """Those whose last run ended before that (epoch seconds)."""
        return [pace for pace in self.all() if pace.time < oldest]

    def after(self, job: Job, inventory: Inventory, policy: Policy) -> Pace | None:
        """The pace after a job has ended; None if that says nothing, or is taken in already."""
        mark = decode_comment(job.admin_comment)
        where = _where(job, inventory, policy)
        if not (mark and where and job.state in _ENDED and 0 < job.start_time < job.end_time):
            return None
        what = mark.classification
        if not all(0 < len(name) <= MAX_NAME for name in (job.user, what.program, where.type)):
            return None
        known = self._known.get(job.user, (what.program, where.devices, where.type))
        before = known or Pace(job.user, what.program, where.type, where.devices)
        run = PastRun(
            job.end_time - job.start_time,
            60 * (job.time_limit_minutes or 0),
            job.state == "COMPLETED" and len(what.types) != 1 and not where.named,
            job.end_time,
            job.id,
        )
        # Jobs are heard of in any order, and some twice.
        earlier = {one for one in before.runs if one.ended <= job.end_time + AHEAD}
        runs = tuple(sorted({*earlier, run}, key=_when)[-MOST_RUNS:])
        if runs == before.runs:
            return None
        newest = before.job if runs[-1] is not run else job.key
        return before._replace(time=float(runs[-1].ended), job=newest, runs=runs)


def _when(run: PastRun) -> tuple[int, int]:
    return run.ended, run.job


def without_runs(pace: Pace) -> Pace:
    """What takes a pace's place when there is nothing to know any longer."""
    return pace._replace(runs=())


def parts_of(paces: Iterable[Pace]) -> tuple[float, ...]:
    """The parts of their limits that these runs took, sorted."""
    parts = (run.part for pace in paces for run in pace.runs)
    return tuple(sorted(part for part in parts if part is not None))


def part_by(parts: Sequence[float], probability: float, begun: float = 0.0) -> float | None:
    """By which part of its limit the next run has ended with that probability; None: not known.

    `parts` are those of earlier runs, sorted. The next one may have `begun`, and be past that part.
    Of n runs that were, the ceil(p (n + 1))-th is meant: whatever the distribution, the next one of
    n + 1 exchangeable ones is not above it with probability p at least (conformal prediction:
    Vovk, Gammerman and Shafer 2005; tolerance limits: Wilks 1941).
    """
    longer = [part for part in parts if part > begun]
    place = math.ceil(probability * (len(longer) + 1))
    return longer[place - 1] if len(longer) >= LEAST_RUNS and place <= len(longer) else None


def usual_part(parts: Sequence[float]) -> float | None:
    """The part of its limit that the next run takes in the mean; None: not known."""
    return sum(parts) / len(parts) if len(parts) >= LEAST_RUNS else None


def timing_of_paces(paces: Iterable[Pace]) -> Timing:
    """What the runs of one program on one number of devices tell of types, those that compare."""
    return timing_of({pace.type: pace.runs for pace in paces})


def speeds_of(tasks: Iterable[Task], paces: Paces) -> dict[str, Timing]:
    """What is known with certainty of the tasks' programs. What the site says of a class counts
    more: tasks that have one need none."""
    known: dict[str, Timing] = {}
    kinds = {
        (task.user, task.program, devices_of(task))
        for task in tasks
        if task.program and not task.job_class
    }
    for user, program, devices in kinds:
        same = [pace for pace in paces.of(user, program) if pace.devices == devices]
        if len(same) > 1 and (timing := timing_of_paces(same)).certain:
            known[row_of(user, program, devices)] = timing
    return known


class _Where(NamedTuple):
    """On what a job ran, and whether its request named the type."""

    type: str
    devices: int
    named: bool


def _where(job: Job, inventory: Inventory, policy: Policy) -> _Where | None:
    """On what it ran; None if that is not certain."""
    try:
        names = hostlist.expand(job.nodes)
        asked = accelerators(gres_of(job), policy)
    except HetError:
        return None
    nodes = [node for name in names if (node := inventory.nodes.get(name))]
    types = {device.type for node in nodes for device in node.devices}
    if len(nodes) != len(names) or len(types) != 1 or not any(asked):
        return None
    shares = any(policy.is_share(item.name) for item in asked.all())
    counts = devices_per_node(job, asked, size_of(nodes[0]))
    if not isinstance(counts, tuple):
        return None
    named = any(item.type for item in asked.all())
    return _Where(types.pop(), 0 if shares else sum(counts), named)
