"""What would become of a job if it were submitted now: `slurm-het try`.

The hook's own decision on it, then its record as Slurm would have it, then the cycle: the same
functions as for one that is submitted. It is held to be the last of those that wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.jobs.admission import Admitted, Passed, Refused, admit_message
from slurm_het.core.jobs.job_size import size_of_message
from slurm_het.core.jobs.never import never_starts
from slurm_het.core.jobs.pool_defaults import given_by_slurm
from slurm_het.core.jobs.readings import Readings
from slurm_het.core.jobs.request import ALL_MEMORY, TIME_LIMIT, from_message
from slurm_het.core.jobs.submission import (
    Charged,
    Submission,
    message_of,
    passed_on,
    record_of_batch,
    with_default_memory,
)
from slurm_het.core.jobs.trials import NO_TRIALS, Trials
from slurm_het.core.limits.max_wall import MaxWalls
from slurm_het.core.memory_defaults import MemoryDefaults
from slurm_het.core.model import Classification, Job, Snapshot
from slurm_het.core.planner.build_problem import Hurry, never
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import TellTime
from slurm_het.core.syntax.sbatch import HET_JOB
from slurm_het.core.views.changes import Known
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.views.sooner import Proved, sooner
from slurm_het.core.views.whatif import Foreseen, WhatIf
from slurm_het.errors import HetError

Answer = Literal["now", "later", "unknown", "never", "slurm"]
"""It starts in the next plan; at a time that is known; at none that is known; at none at all; where
and when plain Slurm says."""


class Circumstances(NamedTuple):
    """What a submission is held against. `memory`: the cluster's defaults of host memory; None:
    Slurm does not deal that out. `trials`: how its user's programs fared; None: not known.
    `charged`: the account and the QOS that Slurm gives it; None: not known."""

    snapshot: Snapshot
    policy: Policy
    limits: Limits
    memory: MemoryDefaults | None
    trials: Trials | None
    charged: Charged | None


@dataclass(frozen=True, slots=True)
class Tried:
    """The answer. `why` is what is in the way, or why it is none of ours; `changes` would start it
    sooner; `what` it was read as, and `problems` are wrong with its directives. Of an array of
    `tasks` it is the first one's."""

    answer: Answer
    why: str = ""
    foreseen: Foreseen = field(default_factory=Foreseen)
    what: Classification | None = None
    problems: tuple[str, ...] = ()
    changes: tuple[Proved, ...] = ()
    tasks: int = 1


def try_it(it: Submission, site: Circumstances, at: TellTime, hurry: Hurry = never) -> Tried:
    """Say what would become of a submission. Raises HetError for what sbatch would refuse."""
    return replace(_tried(it, site, at, hurry), tasks=it.tasks)


def _tried(it: Submission, site: Circumstances, at: TellTime, hurry: Hurry) -> Tried:
    snapshot, policy = site.snapshot, site.policy
    sent = message_of(it)
    if name := next((name for name in _UNREAD if name in it.options), ""):
        return Tried(*_UNREAD[name])
    if why := _unasked(sent, policy):
        return _by_slurm(sent, why, site)
    readings = Readings()
    prepared = as_planned(snapshot, policy, site.limits, readings)
    trials = site.trials or NO_TRIALS
    made = admit_message(sent, policy, prepared.inventory, capacity_of(snapshot, policy), trials)
    if isinstance(made, Refused):
        return Tried("never", str(made.why), problems=made.problems)
    if isinstance(made, Passed):
        where = f", in {made.partition}" if made.partition else ""
        there = sent | ({"partition": made.partition} if made.partition else {})
        tried = _by_slurm(there, f"{made.why}{where}", site)
        return replace(tried, problems=made.problems)
    whatif = WhatIf(prepared, _record(it, sent, made, site), site.limits, readings)
    by_gres = not _OTHER_DEVICES & it.options.keys()
    known = Known(it.script, site.trials, queued=False, by_gres=by_gres)
    tried = _planned(whatif, known, at, hurry)
    if tried.answer == "never" and site.charged is None and _asks_who_pays(snapshot):
        tried = replace(tried, answer="unknown")
    return replace(tried, what=made.classification, problems=made.problems)


def _by_slurm(sent: dict[str, str], why: str, site: Circumstances) -> Tried:
    """The answer for a job that plain Slurm places, in its default partition if none is named."""
    default = next((p.name for p in site.snapshot.partitions if p.default), "")
    there = sent if sent.get("partition") else sent | {"partition": default}
    try:
        request = from_message(there)
    except HetError as error:
        return Tried("slurm", f"its request cannot be read: {error.message}")
    if any(item.name in site.policy.gres and item.count for item in request.gres.all()):
        capacity = capacity_of(site.snapshot, site.policy)
        size = size_of_message(there, request, site.policy)
        if in_the_way := never_starts(there, request, size, capacity, site.policy):
            return Tried("never", f"{in_the_way}; {why}")
    return Tried("slurm", why)


def _unasked(sent: dict[str, str], policy: Policy) -> str:
    """Why the hook does not look at it; '' if it does."""
    try:
        asked = from_message(sent).gres.all()
    except HetError as error:
        return f"its request cannot be read: {error.message}"
    if not any(item.name in policy.gres and item.count for item in asked):
        return "it asks for no accelerator (as --gres=gpu:1 would)"
    return passed_on(sent, policy)


def _record(it: Submission, sent: dict[str, str], made: Admitted, site: Circumstances) -> Job:
    """Its record, with the time and the host memory that Slurm gives who names none."""
    snapshot, name = site.snapshot, site.policy.intake_partition
    job = record_of_batch(it, sent, made, snapshot.time)
    partitions = {p.name: p for p in snapshot.partitions}
    intake = partitions.get(name)
    job = replace(job, **(site.charged or it.named)._asdict())
    if intake and not sent.get(TIME_LIMIT):
        walls = MaxWalls(snapshot.limits, partitions).of(job)
        job = replace(job, time_limit_minutes=given_by_slurm(intake, walls))
    return job if sent.get(ALL_MEMORY) == "0" else with_default_memory(job, intake, site.memory)


def _planned(whatif: WhatIf, known: Known, at: TellTime, hurry: Hurry) -> Tried:
    """The answer for a job that is ours to plan."""
    found = sooner(whatif, known, hurry)
    foreseen = found.as_it_is
    if foreseen.start == whatif.now:
        return Tried("now", "", foreseen)
    waits = whatif.waits(whatif.job, at)
    no_time: Answer = "never" if whatif.is_hopeless() else _OF_CODES.get(waits.code, "unknown")
    answer: Answer = no_time if foreseen.start is None else "later"
    return Tried(answer, waits.text, foreseen, changes=found.changes)


def _asks_who_pays(snapshot: Snapshot) -> bool:
    """Whether any partition lets in some accounts or QOSs alone."""
    return any(p.allow_accounts or p.allow_qos for p in snapshot.partitions)


_UNREAD: dict[str, tuple[Answer, str]] = {
    HET_JOB: ("slurm", "it is a heterogeneous job"),
    "nodefile": ("slurm", "--nodefile"),
    "ntasks-per-gpu": ("unknown", "--ntasks-per-gpu is not read here"),
    "tres-per-task": ("unknown", "--tres-per-task is not read here"),
}
"""Options that say what a job asks for, or where, and are not read: the answer, and why."""
_OTHER_DEVICES = frozenset({"gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task"})
"""Options by which devices are asked for, beside --gres."""
_OF_CODES: dict[str, Answer] = {"never": "never", "slurm-places": "slurm"}
"""What it means that a job waits for such a reason; for any other, no time is known."""
