"""What `slurm-het try --json` prints."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from slurm_het.core.jobs.told import understood
from slurm_het.core.views.sooner import Proved
from slurm_het.core.views.tried import Tried
from slurm_het.core.views.whatif import Foreseen


class PlaceDocument(Struct, kw_only=True):
    """Where a job starts, and when at the latest (epoch seconds). The device indexes of each node
    are told of what starts at once; else the list is empty."""

    start: int
    partition: str
    nodes: list[str]
    devices: list[list[int]]


class ChangeDocument(Struct, kw_only=True):
    """What starts a job sooner: its `kind`, the command for one that is queued, the option of
    sbatch (or the directive) for one that is not, and what it costs the user."""

    kind: str
    command: str
    option: str
    price: str
    starts: PlaceDocument


class TryDocument(Struct, kw_only=True):
    """slurm-het try --json. `answer` is now, later, unknown, never, or slurm (which places it by
    its own rules); `starts` is null where no time is known. `read_as` and `evidence` say what it
    was taken for, `problems` what is wrong with its directives, `remarks` what the answer leaves
    out. Of an array of `tasks` it is the first one's. `time` is when Slurm was asked."""

    answer: str
    why: str
    starts: PlaceDocument | None
    read_as: str
    evidence: list[str]
    problems: list[str]
    remarks: list[str]
    tasks: int
    sooner: list[ChangeDocument]
    time: int


def try_document(made: Tried, remarks: Iterable[str], now: float) -> TryDocument:
    """The answer of `slurm-het try`; `now` is the snapshot's time."""
    return TryDocument(
        answer=made.answer,
        why=made.why,
        starts=place_document(made.foreseen, now),
        read_as=understood(made.what) if made.what else "",
        evidence=list(made.what.evidence) if made.what else [],
        problems=list(made.problems),
        remarks=list(remarks),
        tasks=made.tasks,
        sooner=change_documents(made.changes, now),
        time=int(now),
    )


def change_documents(changes: Iterable[Proved], now: float) -> list[ChangeDocument]:
    """The changes that start a job sooner."""
    return [
        ChangeDocument(
            kind=one.kind, command=one.change.command, option=one.change.option,
            price=one.change.price, starts=place,
        )
        for one in changes if (place := place_document(one.foreseen, now))
    ]  # fmt: skip


def place_document(foreseen: Foreseen, now: float) -> PlaceDocument | None:
    """Where a job starts, and when; None where no time is known."""
    start, there = foreseen.start, foreseen.placement
    if start is None or there is None:
        return None
    devices = [list(indexes) for indexes in there.devices] if start <= now else []
    return PlaceDocument(
        start=int(start), partition=there.partition, nodes=list(there.nodes), devices=devices
    )
