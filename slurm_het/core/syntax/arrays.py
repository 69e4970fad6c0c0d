"""The task ids of job arrays, as Slurm writes them: `0-9,12-20:2%4`."""

from __future__ import annotations

import re

_ARRAY_ITEM = re.compile(r"(\d{1,8})(?:-(\d{1,8})(?::(\d{1,8}))?)?\Z")


def array_indexes(text: str, limit: int) -> tuple[int, ...]:
    """The first `limit` task ids of `0-9,12-20:2%4`; Slurm may shorten a long list with `...`."""
    out: list[int] = []
    for item in text.split("%")[0].split(","):
        match = _ARRAY_ITEM.match(item)
        if match and len(out) < limit:
            low, high, step = int(match.group(1)), match.group(2), int(match.group(3) or 1) or 1
            last = min(int(high or low), low + (limit - len(out)) * step)
            out += range(low, last + 1, step)
    return tuple(out[:limit])


def array_size(text: str) -> int:
    """How many tasks `0-9,12-20:2%4` names; those that Slurm shortened to `...` are not known."""
    matches = map(_ARRAY_ITEM.match, text.split("%")[0].split(","))
    spans = ((int(m[1]), int(m[2] or m[1]), int(m[3] or 1) or 1) for m in matches if m)
    return sum(max(0, high - low) // step + 1 for low, high, step in spans)
