"""The story of a job or an array in words: what it is, what was planned, what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from slurm_het.core.jobs.ending import JobEnd, end_of
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.wait_split import Waited, WaitSplit
from slurm_het.core.model import Classification, Job
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.arrays import array_indexes
from slurm_het.core.syntax.durations import duration
from slurm_het.core.syntax.gres import format_indexes, format_places
from slurm_het.journal import History, PastTask

_elapsed = partial(duration, hours=True)
UNKNOWN_END = "how it ended is not known"
MAX_INDEXES = 1_000_000
NOT_LAUNCHED = 53
"""What Slurm tells as the signal then; there is none of that number."""


def what_of(
    job: Job | None, history: History, made: Classification | None
) -> tuple[Classification | None, Mapping[str, str] | None]:
    """What a job was taken for and what it asked for, as far as that is known."""
    kept = decode_comment(job.admin_comment) if job else None
    what = kept.classification if kept else history.classification or made
    return what, (kept.original if kept else history.asked) if what else None


def what_lines(
    job: Job | None, history: History, made: Classification | None, features: str = ""
) -> list[str]:
    """What a job is and what it asked for: from its own record, else from the journal, else made.

    `made` is what its record alone says; None where Slurm has none. `features` are those that it
    has now.
    """
    what, asked = what_of(job, history, made)
    if what is None:
        return ["  what it was taken for is not known: hetd never saw it in the gate"]
    memory = f"≥{what.memory_gib} GiB" if what.memory_gib else "any"
    lines = [
        f"  classified: {what.scenario}; vendors {'|'.join(what.vendors) or 'any'};"
        f" types {'|'.join(what.types) or 'any'}; memory per device {memory}",
        *(f"    because {text}" for text in what.evidence),
    ]
    if asked is None:
        return [*lines, "  the hook did not see this job (passed through, or hetd was down)"]
    words = " ".join(f"{key}={value}" for key, value in asked.items() if value)
    now = f"; features now {features}" if features else ""
    return [*lines, f"  asked for: {words or '(nothing but devices)'}{now}"]


def planned_lines(history: History) -> list[str]:
    """Where its newest plan put it, and why there."""
    placement, cycle = history.placement, history.cycle
    if not (placement and cycle):
        return []
    where = format_places(zip(placement.nodes, placement.devices, strict=True))
    total = sum(placement.terms.values())
    terms = " ".join(f"{name} {value:+.2f}" for name, value in placement.terms.items())
    spared, tasks = placement.spared, cycle["tasks"]
    count_of_tasks = f"{tasks} task{'s' if tasks != 1 else ''}"
    return [
        f"  planned: {placement.partition} {where} ({'|'.join(placement.types)})",
        *([f"    weight {total:+.2f} = {terms}"] if terms else []),
        *([f"    {spared.told(_stamp)}"] if spared else []),
        f"    plan of {count_of_tasks}: {cycle['status']}, gap {cycle['gap']:.2%}",
    ]


RELEASES = {Event.RELEASED, Event.RESERVED, Event.AT_ONCE}


def wait_of(end: JobEnd | None, job: Job | None, history: History) -> WaitSplit | None:
    """The parts of its wait; None while it waits, or where they are not known."""
    if end:
        submitted, eligible, until = end.submitted, end.eligible, end.started or end.ended
    elif job and job.holds_nodes:
        submitted, eligible, until = job.submit_time, job.eligible_time or None, job.start_time
    else:
        return None
    if eligible is None:
        return None
    releases = [at for at, event, _ in history.outcomes if event in RELEASES and at < until + 1]
    return Waited(submitted, eligible, max(releases, default=0.0), until).split()


def waited_line(end: JobEnd | None, job: Job | None, history: History) -> list[str]:
    """How long it waited for its start, and for what."""
    split = wait_of(end, job, history)
    if split is None:
        return []
    parts = (
        (split.before, "for a dependency, a hold or its begin time"),
        (split.queued, "in the queue"),
        (split.pinned, "pinned to its nodes"),
    )
    told = [f"{_elapsed(seconds)} {what}" for seconds, what in parts if seconds]
    total = f"{_elapsed(split.total)}: " if len(told) > 1 else ""
    return [f"  waited {total}{'; '.join(told)}"] if told else []


def told_line(history: History) -> list[str]:
    """When it was said to start, and when it did."""
    told = history.told
    if told is None:
        return []
    line = f"  told {_stamp(told.first_at)}: it starts by {_stamp(told.first)}"
    if told.last != told.first:
        line += f"; told last {_stamp(told.last_at)}: by {_stamp(told.last)}"
    if not told.started:
        return [line]
    off = f"{_elapsed(round(abs(told.late)))} {'later' if told.late > 0 else 'sooner'}"
    return [f"{line}; it started {'then' if abs(told.late) < 1 else off}"]


def outcome_lines(history: History) -> list[str]:
    """What happened to it, oldest first."""
    return [f"  {_stamp(when)} {event}: {detail}" for when, event, detail in history.outcomes]


def end_line(end: JobEnd | None) -> str:
    """How it ended, when, after how long and where."""
    if end is None:
        return f"  {UNKNOWN_END}: hetd did not see it end, and Slurm has forgotten it"
    run = f" after {_elapsed(end.ended - end.started)} on {end.nodes}" if end.nodes else ""
    peak = f"; it took at most {end.peak_mib / 1024:.1f} GiB of a device" if end.peak_mib else ""
    return f"  ended {_stamp(end.ended)}: {_state(end)}{run}{peak}"


def _state(end: JobEnd) -> str:
    if not end.nodes:
        return f"{end.state} before the start"
    if end.exit_code:
        return f"{end.state} with exit code {end.exit_code}"
    if end.signal == NOT_LAUNCHED:
        return f"{end.state} at its launch (can its output be written there?)"
    if end.signal and end.state == "FAILED":  # with the others the signal is Slurm's own
        return f"{end.state} by signal {end.signal}"
    return end.state


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


# --- arrays ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TasksAlike:
    """Tasks of an array that fare alike: their numbers, how, for how long (seconds), and where."""

    numbers: tuple[int, ...]
    fate: str
    seconds: tuple[int, ...] = ()
    nodes: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()

    @property
    def as_planned(self) -> bool | None:
        """Whether they run, or ran, where they were planned; None without a plan or a node."""
        return set(self.nodes) == set(self.planned) if self.nodes and self.planned else None

    def text(self) -> str:
        """`[0-1,3]: COMPLETED after 0:00:01 on nv1, as planned`."""
        numbers = format_indexes(self.numbers)
        out = f"{numbers if len(self.numbers) == 1 else f'[{numbers}]'}: {self.fate}"
        if self.seconds:
            least, most = _elapsed(min(self.seconds)), _elapsed(max(self.seconds))
            out += f" after {least}" + (f" to {most}" if most != least else "")
        if self.nodes:
            out += f" on {hostlist.fold(self.nodes)}"
        if self.as_planned:
            return f"{out}, as planned"
        return f"{out}, planned for {hostlist.fold(self.planned)}" if self.planned else out


def _together(one: TasksAlike, other: TasksAlike) -> TasksAlike:
    return TasksAlike(
        one.numbers + other.numbers, one.fate, one.seconds + other.seconds,
        one.nodes + other.nodes, one.planned + other.planned,
    )  # fmt: skip


def array_lines(
    array: str, jobs: Iterable[Job], reasons: Mapping[int, str], history: History
) -> list[str]:
    """A line for the tasks that fare alike. `reasons` say why jobs wait, by their id."""
    lines = [f"  {array}_{tasks.text()}" for tasks in alike_of(jobs, reasons, history)]
    if history.more_tasks:
        lines.append(f"  and more tasks; of one of them: slurm-het why {array}_N")
    return lines


def alike_of(jobs: Iterable[Job], reasons: Mapping[int, str], history: History) -> list[TasksAlike]:
    """The tasks of an array, those together that fare alike."""
    past = {task.key: task for task in history.tasks}
    found = [_of_record(job, reasons, past.pop(job.label, None)) for job in jobs]
    found += [_of_journal(task) for task in past.values()]
    alike: dict[tuple[str, bool | None], TasksAlike] = {}
    for tasks in found:
        key = tasks.fate, tasks.as_planned
        alike[key] = _together(alike[key], tasks) if key in alike else tasks
    return sorted(alike.values(), key=lambda tasks: min(tasks.numbers, default=0))


def _of_record(job: Job, reasons: Mapping[int, str], past: PastTask | None) -> TasksAlike:
    end = end_of(job)
    if end:
        return _of_end(end, past)
    if job.state == "PENDING":
        return TasksAlike(_numbers(job.label), f"waits: {reasons.get(job.id, job.reason)}")
    nodes = hostlist.expand(job.nodes)
    return TasksAlike(_numbers(job.label), job.state, (), nodes, _planned(past))


def _of_journal(past: PastTask) -> TasksAlike:
    if past.end:
        return _of_end(past.end, past)
    last = f"; the last that is known: {past.event}" if past.event else ""
    return TasksAlike(_numbers(past.key), UNKNOWN_END + last, planned=_planned(past))


def _of_end(end: JobEnd, past: PastTask | None) -> TasksAlike:
    numbers, nodes = _numbers(end.key), hostlist.expand(end.nodes)
    seconds = (end.ended - end.started,) if nodes else ()
    return TasksAlike(numbers, _state(end), seconds, nodes, _planned(past))


def _planned(past: PastTask | None) -> tuple[str, ...]:
    return past.placement.nodes if past and past.placement else ()


def _numbers(key: str) -> tuple[int, ...]:
    """The tasks that `6_2` and `6_[4-9]` name."""
    return array_indexes(key.partition("_")[2].strip("[]"), MAX_INDEXES)


def known_tasks(jobs: Iterable[Job], history: History) -> set[int]:
    """The numbers of the tasks of an array that are known."""
    keys = {job.label for job in jobs} | {task.key for task in history.tasks}
    return {number for key in keys for number in _numbers(key)}
