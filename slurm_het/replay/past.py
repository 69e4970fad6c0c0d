"""A job as accounting has it, whoever wrote it down; and what is counted of those left out.

Times are epoch seconds, limits minutes, memory MiB.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

UNLIMITED = 365 * 24 * 60
"""Minutes: Slurm plans a job without a time limit as if it ended in a year."""
_SUFFIX = {"": 1, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}
_COUNT = re.compile(r"(\d{1,18})(?:\.\d+)?([KMGTP]?)")
_TASKS = re.compile(r"\d+_\[([\d,:-]+)(?:%\d+)?(?:,?\.\.\.)?\]")
MOST_TASKS = 100_000
"""Of one record: an array that waits is one."""


@dataclass(frozen=True, slots=True)
class Tres:
    """What a record's list of TRES says. `devices` are by GRES name and type ('' is any)."""

    cpus: int = 0
    memory_mib: int = 0
    nodes: int = 0
    devices: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cpus or self.nodes)


NO_TRES = Tres()


@dataclass(frozen=True, slots=True)
class PastJob:
    """One run of a job: a job that was requeued has several.

    `partition` is where it ran, or the list that it waits for. `limit` None is the partition's.
    `priority` is what Slurm recorded: 0 of a job that is held, None where it is not told.
    `tasks` is for how many tasks of an array the record stands: none of them has started. `words`
    are its command line, as its user wrote it.
    """

    id: int
    key: str
    user: str
    account: str
    qos: str
    partition: str
    state: str
    submit: float
    eligible: float | None
    start: float | None
    end: float | None
    suspended: float
    limit: int | None
    priority: int | None
    asked: Tres
    given: Tres
    nodes: str
    reservation: str = ""
    features: str = ""
    words: str = ""
    tasks: int = 1

    @property
    def since(self) -> float:
        """When it began to wait for nodes."""
        return max(self.submit, self.eligible or self.submit)

    @property
    def ran(self) -> bool:
        """Whether it ever had nodes."""
        return self.start is not None

    @property
    def tres(self) -> Tres:
        """What it had, or else what it asked for."""
        return self.given if self.ran and self.given else self.asked


@dataclass
class Tally:
    """How many records were left out or taken for something else, by cause in words."""

    left_out: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)


def parse_tres(text: str) -> Tres:
    """Read `cpu=4,gres/gpu:a100=2,gres/gpu=2,mem=8000M,node=1`; what is no TRES is passed over."""
    found: dict[str, int] = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        match = _COUNT.fullmatch(value)
        if match:
            scale = _SUFFIX[match[2]] if name == "mem" else 1
            found[name] = int(int(match[1]) * scale)
    if not found:
        return NO_TRES
    devices = dict(_devices(found))
    return Tres(found.get("cpu", 0), found.get("mem", 0), found.get("node", 0), devices)


def _devices(found: Mapping[str, int]) -> Iterator[tuple[tuple[str, str], int]]:
    """Slurm counts a typed device under its type and under its name: here it is counted once."""
    names = {n.removeprefix("gres/"): c for n, c in found.items() if n.startswith("gres/") and c}
    typed: Counter[str] = Counter()
    for name, count in names.items():
        gres, colon, type_ = name.partition(":")
        if colon:
            typed[gres] += count
            yield (gres, type_), count
    for name, count in names.items():
        if ":" not in name and count > typed[name]:
            yield (name, ""), count - typed[name]


def parse_limit(text: str) -> int | None:
    """TimelimitRaw, or filetxt's TimeLimit: minutes; None where it is the partition's.

    0 tells of no limit that the job was planned by: sacct prints nothing for it, --time=0 is
    recorded as UNLIMITED, and who is given it by an update ends at once.
    """
    if text.upper() == "UNLIMITED":
        return UNLIMITED
    minutes = int(text) if text.isdecimal() and len(text) < 12 else 0
    return min(minutes, UNLIMITED) or None


def tasks_of(key: str) -> int:
    """For how many tasks a record of that name stands: `7_[1-3,5%2]` is four."""
    match = _TASKS.fullmatch(key)
    if not match:
        return 1
    total = 0
    for part in match[1].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            total += max(0, int(last or first) - int(first)) // max(1, int(step or 1)) + 1
    return min(max(1, total), MOST_TASKS)
