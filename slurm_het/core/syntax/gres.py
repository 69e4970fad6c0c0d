"""Slurm's GRES grammar: requests, configured GRES of a node, and allocations with indexes.

One grammar reads them all, since Slurm prints them alike:

    gpu            gpu:2            gpu:a100:2          gres:gpu:2      gres/gpu:a100=2
    gpu:8(S:0-3)   gpu:(null):4     shard:l40s:192(S:0)  gpu:a100:no_consume:4
    gpu:a100:2(IDX:0-1,4)    gpu:a100(CNT:2)  shard:3(3/4,0/4)  shard:3(3/4,-/4)  gpu:0(IDX:N/A)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from slurm_het.errors import GresError

MAX_TEXT = 65536
MAX_INDEX = 65535
_SUFFIX = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}
MAX_COUNT = 2**63 - 1  # Slurm counts in 64 bits
_COUNT = re.compile(r"(\d{1,19})([kmgtpKMGTP]?)\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\Z")
_ITEM = re.compile(r"([^(]*(?:\(null\)[^(]*)?)(?:\(([^()]*)\))?\Z")
_NO_TYPE = {"", "(null)"}
_PER_GPU = re.compile(r"(?:^|[,:/])gpu(?::[^,:=]+)?[:=](\d{1,11})(?!\d)")


@dataclass(frozen=True, slots=True)
class Gres:
    """One GRES: its name, type (None when untyped), count, and where it is.

    `indexes` are device numbers (IDX:); `shares` are (used, total) per device in order, where
    used is None for a device taken whole (`-/48`); `sockets` is kept as printed (S:).
    """

    name: str
    type: str | None = None
    count: int = 1
    indexes: tuple[int, ...] | None = None
    shares: tuple[tuple[int | None, int], ...] | None = None
    sockets: str | None = None

    def __str__(self) -> str:
        head = ":".join([self.name, *([self.type] if self.type else []), str(self.count)])
        if self.indexes is not None:
            return f"{head}(IDX:{format_indexes(self.indexes) or 'N/A'})"
        if self.shares is not None:
            return head + "(" + ",".join(_share(u, t) for u, t in self.shares) + ")"
        return f"{head}(S:{self.sockets})" if self.sockets else head


def _share(used: int | None, total: int) -> str:
    return f"{'-' if used is None else used}/{total}"


@lru_cache(maxsize=1024)  # 2,000 pending jobs ask for the same few things, several times a cycle
def parse(text: str) -> tuple[Gres, ...]:
    """Read a comma-separated GRES string; empty, `(null)` and `N/A` are no GRES at all.

    Raises GresError naming the part that does not follow the grammar.
    """
    text = text.strip()
    if text in {"", "(null)", "N/A", "none"}:
        return ()
    if len(text) > MAX_TEXT:
        raise GresError(f"GRES string of {len(text)} characters", f"at most {MAX_TEXT} are read")
    return tuple(_parse_one(part) for part in split_list(text))


def split_list(text: str) -> list[str]:
    """Split at the commas that stand outside parentheses."""
    parts, depth, start = [], 0, 0
    for position, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts


def _parse_one(part: str) -> Gres:
    match = _ITEM.match(part.strip())
    if not match:
        raise _bad(part, "expected NAME[:TYPE][:COUNT][(...)]")
    head, detail = match.group(1), match.group(2)
    name, gres_type, count = _parse_head(head, part)
    if detail is None:
        return Gres(name, gres_type, count)
    if detail.startswith("S:"):
        return Gres(name, gres_type, count, sockets=detail[2:] or None)
    if detail.startswith("IDX:"):
        return Gres(name, gres_type, count, indexes=parse_indexes(detail[4:]))
    if detail.startswith("CNT:"):  # a GRES without device files; `gpu(CNT:2)` has no other count
        exact = _COUNT.match(detail[4:])
        if not exact:
            raise _bad(part, "expected a count after CNT:")
        return Gres(name, gres_type, _count(exact, part))
    return Gres(name, gres_type, count, shares=tuple(_parse_share(s, part) for s in _items(detail)))


def _parse_head(head: str, part: str) -> tuple[str, str | None, int]:
    for prefix in ("gres:", "gres/"):
        head = head.removeprefix(prefix)
    fields = head.replace("=", ":").split(":")
    fields = [f for f in fields if f != "no_consume"]
    name = fields[0] if fields else ""
    if not _NAME.match(name) or name == "gres":  # Slurm's prefix, and nothing after it
        raise _bad(part, "the name is empty or has odd characters")
    if len(fields) == 1:
        return name, None, 1
    count = _COUNT.match(fields[-1])
    if len(fields) == 2:
        if count:
            return name, None, _count(count, part)
        return name, _type(fields[1], part), 1
    if len(fields) == 3 and count:
        return name, _type(fields[1], part), _count(count, part)
    raise _bad(part, "expected NAME[:TYPE][:COUNT]")


def _count(match: re.Match[str], part: str) -> int:
    count = int(match.group(1)) * _SUFFIX[match.group(2).lower()]
    if count > MAX_COUNT:
        raise _bad(part, "more than Slurm can count")
    return count


def _type(text: str, part: str) -> str | None:
    if text in _NO_TYPE:
        return None
    if not _NAME.match(text):
        raise _bad(part, "the type has odd characters")
    return text


def _items(detail: str) -> list[str]:
    return [item for item in detail.split(",") if item]


def _parse_share(text: str, part: str) -> tuple[int | None, int]:
    match = re.match(r"(\d{1,9}|-)/(\d{1,9})\Z", text.strip())
    if not match:
        raise _bad(part, "expected (USED/TOTAL,...), (IDX:...) or (S:...)")
    used = match.group(1)
    return (None if used == "-" else int(used)), int(match.group(2))


def _bad(part: str, why: str) -> GresError:
    return GresError(f"GRES {part[:80]!r}: {why}", "such as gpu:a100:2 or shard:24")


def parse_indexes(text: str) -> tuple[int, ...]:
    """Read `0-1,4` as (0, 1, 4), each once and in order; empty and `N/A` as ()."""
    if text in {"", "N/A"}:
        return ()
    indexes: list[int] = []
    for item in text.split(","):
        match = re.match(r"(\d{1,6})(?:-(\d{1,6}))?\Z", item)
        if not match:
            raise _bad(text, "expected device indexes such as 0-1,4")
        low, high = int(match.group(1)), int(match.group(2) or match.group(1))
        if high > MAX_INDEX or low > high:
            raise _bad(text, f"device indexes run from 0 to {MAX_INDEX}, low to high")
        if len(indexes) + high - low > MAX_INDEX:  # a short text must not become a huge list
            raise _bad(text, f"more than {MAX_INDEX + 1} device indexes")
        indexes.extend(range(low, high + 1))
    return tuple(sorted(set(indexes)))


def format_indexes(indexes: Iterable[int]) -> str:
    """Write (0, 1, 4) as `0-1,4`, as Slurm does."""
    runs: list[tuple[int, int]] = []
    for index in sorted(set(indexes)):
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def format_places(devices: Iterable[tuple[str, Iterable[int]]]) -> str:
    """Write devices by node as `nv1:0-3 nv2:0,5`."""
    return " ".join(f"{node}:{format_indexes(indexes)}" for node, indexes in devices)


def per_gpu(text: str) -> int | None:
    """What is asked for beside each GPU, as in cpus_per_tres and memory_per_tres: the amount of
    `gpu:4`, `gres:gpu:4` (22.05) or `gres/gpu=4`; of several the first. None if none is told."""
    found = _PER_GPU.search(text)
    return int(found[1]) if found else None
