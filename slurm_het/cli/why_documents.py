"""What `slurm-het why --json` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from slurm_het.cli import story
from slurm_het.cli.sooner import Sought
from slurm_het.cli.try_documents import (
    ChangeDocument,
    PlaceDocument,
    change_documents,
    place_document,
)
from slurm_het.core.jobs.ending import JobEnd, end_of
from slurm_het.core.jobs.wait_split import WaitSplit
from slurm_het.core.model import Classification, Job
from slurm_het.core.syntax.gres import format_indexes
from slurm_het.core.views.accuracy import ToldStart
from slurm_het.core.views.job_rows import JobRow
from slurm_het.journal import History
from slurm_het.times import local_time


class WhatDocument(Struct, kw_only=True):
    """What a job was taken for, and why. `asked` is its request as it was submitted, null where
    the hook did not see the job; `features` are those that it has now."""

    scenario: str
    vendors: list[str]
    types: list[str]
    memory_gib: int
    evidence: list[str]
    asked: dict[str, str] | None
    features: str


class WaitsDocument(Struct, kw_only=True):
    """Why it waits: the code of docs/operators.md, het-squeue's sentence, what to do. `starts` is
    when and where it starts as things stand, null where nobody knows, or where that is not to be
    told; `sooner` are changes, each alone."""

    code: str
    reason: str
    action: str
    starts: PlaceDocument | None
    sooner: list[ChangeDocument]


class PlannedDocument(Struct, kw_only=True):
    """Where its newest plan put it. `terms` sum up to the weight; `spared` is what room that kept
    for others, in words, or ''; the rest is of the plan: its time (epoch seconds), how many tasks
    it was for, how it was solved, and how far from the best it may be."""

    partition: str
    nodes: list[str]
    devices: list[list[int]]
    types: list[str]
    terms: dict[str, float]
    spared: str
    time: float
    tasks: int
    status: str
    gap: float


class OutcomeDocument(Struct, kw_only=True):
    """What happened to it, and when (epoch seconds)."""

    time: float
    event: str
    detail: str


class TasksDocument(Struct, kw_only=True):
    """Tasks of an array that fare alike: their numbers (`0-1,3`), how; of those that run or ran
    where, and whether as planned (null without a plan); of those that ended, for how long."""

    tasks: str
    fate: str
    nodes: list[str]
    as_planned: bool | None
    seconds: list[int]


class WhyDocument(Struct, kw_only=True):
    """slurm-het why --json. `state`, `partition` and `slurm_reason` are null of a job that Slurm
    has forgotten, `user` where nobody knows it; `what` is null where it is not known. Of an array
    `tasks` says how they fare, what `waits` says is of one that waits, and the rest that is of one
    task alone (planned, told, outcomes, waited, end) is null or empty. `shadow_planned` and
    `shadow_outcomes` are what shadow decided: nothing of it was done. `remarks` say what is left
    out, and why. Times are epoch seconds."""

    id: str
    user: str | None
    array: bool
    state: str | None
    partition: str | None
    slurm_reason: str | None
    requeued: int
    what: WhatDocument | None
    waits: WaitsDocument | None
    planned: PlannedDocument | None
    told: ToldStart | None
    outcomes: list[OutcomeDocument]
    waited: WaitSplit | None
    end: JobEnd | None
    tasks: list[TasksDocument]
    shadow_planned: PlannedDocument | None
    shadow_outcomes: list[OutcomeDocument]
    remarks: list[str]


class JobStory(Struct, frozen=True, kw_only=True):
    """All that was found of a job or an array. `row` is as het-squeue has it, of an array that of
    one task that waits, and `reasons` those of all by the ids of their records; None and none
    unless one does. `sought` is when it starts, and what would start it sooner."""

    id: str
    array: bool
    jobs: Sequence[Job]
    history: History
    shadow: History
    made: Classification | None
    row: JobRow | None = None
    reasons: dict[int, str] = {}
    sought: Sought | None = None
    silence: str = ""

    @property
    def job(self) -> Job | None:
        """Its record, or one of them; None if Slurm has none."""
        return self.jobs[0] if self.jobs else None

    @property
    def end(self) -> JobEnd | None:
        """How it ended."""
        end, journaled = end_of(self.job) if self.job else None, self.history.end
        if self.job and not (end and journaled and journaled.ended == end.ended):
            return end
        return journaled  # Slurm does not tell of devices


def why_document(known: JobStory) -> WhyDocument:
    """What was found, as it is printed."""
    job, history, one = known.job, known.history, not known.array
    remarks = [f"no history: {known.silence}"] if known.silence else []
    remarks += known.sought.remarks if known.sought else []
    return WhyDocument(
        id=known.id,
        user=(job.user if job else history.user) or None,
        array=known.array,
        state=job.state if job and one else None,
        partition=job.partition if job else None,
        slurm_reason=job.reason if job and one else None,
        requeued=job.restarts if job and one else 0,
        what=_what(known),
        waits=_waits(known),
        planned=_planned(history) if one else None,
        told=history.told if one else None,
        outcomes=_outcomes(history) if one else [],
        waited=story.wait_of(known.end, job, history) if one else None,
        end=known.end if one else None,
        tasks=[] if one else list(map(_tasks, _alike(known))),
        shadow_planned=_planned(known.shadow),
        shadow_outcomes=_outcomes(known.shadow),
        remarks=remarks,
    )


def _what(known: JobStory) -> WhatDocument | None:
    job = known.job
    what, asked = story.what_of(job, known.history, known.made)
    if what is None:
        return None
    return WhatDocument(
        scenario=what.scenario,
        vendors=list(what.vendors),
        types=list(what.types),
        memory_gib=what.memory_gib,
        evidence=list(what.evidence),
        asked=None if asked is None else dict(asked),
        features=job.features if job and not job.finished else "",
    )


def _waits(known: JobStory) -> WaitsDocument | None:
    row, sought = known.row, known.sought
    made, now = (sought.made, sought.now) if sought else (None, 0.0)
    if row is None:
        return None
    return WaitsDocument(
        code=row.code,
        reason=row.reason,
        action=row.action,
        starts=place_document(made.as_it_is, now) if made else None,
        sooner=change_documents(made.changes, now) if made else [],
    )


def _planned(history: History) -> PlannedDocument | None:
    there, cycle = history.placement, history.cycle
    if not (there and cycle):
        return None
    return PlannedDocument(
        partition=there.partition,
        nodes=list(there.nodes),
        devices=[list(indexes) for indexes in there.devices],
        types=list(there.types),
        terms=there.terms,
        spared=there.spared.told(local_time) if there.spared else "",
        **_of_cycle(cycle),
    )


def _of_cycle(cycle: dict[str, Any]) -> dict[str, Any]:
    return {key: cycle[key] for key in ("time", "tasks", "status", "gap")}


def _outcomes(history: History) -> list[OutcomeDocument]:
    return [
        OutcomeDocument(time=when, event=event, detail=detail)
        for when, event, detail in history.outcomes
    ]


def _alike(known: JobStory) -> Iterable[story.TasksAlike]:
    return story.alike_of(known.jobs, known.reasons, known.history)


def _tasks(alike: story.TasksAlike) -> TasksDocument:
    return TasksDocument(
        tasks=format_indexes(alike.numbers),
        fate=alike.fate,
        nodes=list(dict.fromkeys(alike.nodes)),
        as_planned=alike.as_planned,
        seconds=list(alike.seconds),
    )
