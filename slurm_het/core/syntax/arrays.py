"""The task ids of job arrays, as Slurm writes them: `0-9,12-20:2%4`."""

from __future__ import annotations

import re
from itertools import chain, islice

_ARRAY_ITEM = re.compile(r"(\d{1,8})(?:-(\d{1,8})(?::(\d{1,8}))?)?\Z")


def array_ranges(text: str) -> tuple[range, ...]:
    """The task ids of `0-9,12-20:2%4`, however many; Slurm may shorten a long list with `...`."""
    matches = map(_ARRAY_ITEM.match, text.split("%")[0].split(","))
    return tuple(range(int(m[1]), int(m[2] or m[1]) + 1, int(m[3] or 1) or 1) for m in matches if m)


def array_indexes(text: str, limit: int) -> tuple[int, ...]:
    """The first `limit` of them."""
    return tuple(islice(chain.from_iterable(array_ranges(text)), max(0, limit)))


def array_size(text: str) -> int:
    """How many tasks `0-9,12-20:2%4` names; those that Slurm shortened to `...` are not known."""
    return sum(map(len, array_ranges(text)))


def has_task(ranges: tuple[range, ...], index: int) -> bool:
    """Whether one of the ranges has the task."""
    return any(index in one for one in ranges)


def have_common(some: tuple[range, ...], others: tuple[range, ...]) -> bool:
    """Whether a task is in both."""
    return any(_overlap(one, other) for one in some for other in others)


def _overlap(one: range, other: range) -> bool:
    # After as many steps as the other's step is wide, the rests repeat.
    first = max(0, -(-(other.start - one.start) // one.step))
    return any(index in other for index in one[first:][: other.step])
