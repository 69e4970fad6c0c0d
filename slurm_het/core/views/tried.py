"""What would become of a job if it were submitted now: `slurm-het try`.

The hook's own decision on it, then its record as Slurm would have it, then the cycle: the same
functions as for one that is submitted. It is held to be the last of those that wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.jobs.admission import Admitted, Passed, Refused, admit_message
from slurm_het.core.jobs.reading import Readings
from slurm_het.core.jobs.request import ALL_MEMORY, from_message
from slurm_het.core.jobs.submission import (
    Submission,
    message_of,
    passed_on,
    record_of_batch,
    with_default_memory,
)
from slurm_het.core.jobs.trials import NO_TRIALS, Trials
from slurm_het.core.memory_defaults import MemoryDefaults
from slurm_het.core.model import Classification, Job, Snapshot
from slurm_het.core.planner.build_problem import Hurry, never
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reasons import TellTime
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
    Slurm does not deal that out. `trials`: how its user's programs fared; None: not known."""

    snapshot: Snapshot
    policy: Policy
    limits: Limits
    memory: MemoryDefaults | None
    trials: Trials | None


@dataclass(frozen=True, slots=True)
class Tried:
    """The answer. `why` is what is in the way, or why it is none of ours; `changes` would start it
    sooner; `what` it was read as, and `problems` are wrong with its directives."""

    answer: Answer
    why: str = ""
    foreseen: Foreseen = field(default_factory=Foreseen)
    what: Classification | None = None
    problems: tuple[str, ...] = ()
    changes: tuple[Proved, ...] = ()


def try_it(it: Submission, site: Circumstances, at: TellTime, hurry: Hurry = never) -> Tried:
    """Say what would become of a submission. Raises HetError for what sbatch would refuse."""
    snapshot, policy = site.snapshot, site.policy
    sent = message_of(it)
    if why := _unasked(sent, policy):
        return Tried("slurm", why)
    readings = Readings()
    prepared = as_planned(snapshot, policy, site.limits, readings)
    trials = site.trials or NO_TRIALS
    made = admit_message(sent, policy, prepared.inventory, capacity_of(snapshot, policy), trials)
    if isinstance(made, Refused):
        return Tried("never", str(made.why), problems=made.problems)
    if isinstance(made, Passed):
        where = f", in {made.partition}" if made.partition else ""
        return Tried("slurm", f"{made.why}{where}", problems=made.problems)
    whatif = WhatIf(prepared, _record(it, sent, made, site), site.limits, readings)
    tried = _planned(whatif, Known(it.script, site.trials, queued=False), at, hurry)
    return replace(tried, what=made.classification, problems=made.problems)


def _unasked(sent: dict[str, str], policy: Policy) -> str:
    """Why the hook does not look at it; '' if it does."""
    try:
        asked = from_message(sent).gres.all()
    except HetError as error:
        return f"its request cannot be read: {error.message}"
    if not any(item.name in policy.gres and item.count for item in asked):
        return "it asks for no accelerator"
    return passed_on(sent, policy)


def _record(it: Submission, sent: dict[str, str], made: Admitted, site: Circumstances) -> Job:
    """Its record, with the host memory that Slurm gives who names none."""
    snapshot, name = site.snapshot, site.policy.intake_partition
    job = record_of_batch(it, sent, made, snapshot.time)
    intake = next((p for p in snapshot.partitions if p.name == name), None)
    return job if sent.get(ALL_MEMORY) == "0" else with_default_memory(job, intake, site.memory)


def _planned(whatif: WhatIf, known: Known, at: TellTime, hurry: Hurry) -> Tried:
    """The answer for a job that is ours to plan."""
    found = sooner(whatif, known, hurry)
    foreseen = found.as_it_is
    if foreseen.start == whatif.now:
        return Tried("now", "", foreseen)
    waits = whatif.waits(whatif.job, at)
    no_time: Answer = _OF_CODES.get(waits.code, "unknown")
    answer: Answer = no_time if foreseen.start is None else "later"
    return Tried(answer, waits.text, foreseen, changes=found.changes)


_OF_CODES: dict[str, Answer] = {"never": "never", "slurm-places": "slurm"}
"""What it means that a job waits for such a reason; for any other, no time is known."""
