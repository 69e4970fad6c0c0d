"""Jobs' records from who has read them to who looks at the queue: of ten thousand, in a tenth of a
second, where Slurm's programs take two.

With each record goes the line that squeue had for the job then. Who takes it lists all jobs
himself, and believes a record only where the line is the same as his: Slurm's word counts, as it
does from one cycle to the next (lines.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec

from slurm_het.core.model import Job
from slurm_het.slurm.lines import Line, Marks

MAX_TEXT = 256 << 20
"""Bytes that records are unpacked to at the most: of more than 100,000 jobs."""
Known = list[tuple[Line, Job]]
"""Jobs, each with the line that it had."""


class Shared(msgspec.Struct, frozen=True, array_like=True):
    """A job's record and its line, without the marks, which nobody else may know.

    `head` has the line's texts up to the reason, `rest` the fields of `Line.rest`.
    """

    job: Job
    head: tuple[str, str, str, str, str, str]
    rest: list[str]
    excluded: str = ""


def shared(known: Known, marks: Marks) -> list[Shared]:
    """What others are given of what is known."""
    return [
        Shared(
            job,
            (line.tasks, line.state, line.priority, line.start, line.end, line.reason),
            line.rest.split(marks.field),
            line.excluded,
        )
        for line, job in known
    ]


def packed(records: list[Shared]) -> bytes:
    """The records as they are sent. One is much like the next: a twentieth is left of them, which a
    hetd amid its plan sends in a few parts, each of which waits for its turn."""
    return zlib.compress(msgspec.json.encode(records), 1)


def unpacked(sent: bytes) -> list[Shared]:
    """What `packed` made so. Raises ValueError."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(sent, MAX_TEXT)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return msgspec.json.decode(text, type=list[Shared])  # raises a ValueError


def known_of(told: Iterable[Shared], marks: Marks) -> Known:
    """What a reader with these marks knows by what it was given."""
    return [(Line(*t.head, marks.field.join(t.rest), t.excluded), t.job) for t in told]
