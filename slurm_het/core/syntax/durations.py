"""How long something takes, in Slurm's words: `30`, `30:00`, `4:00:00`, `1-12`, `1-12:30:00`."""

from __future__ import annotations

import re
from functools import lru_cache

from slurm_het.errors import HetError

_DURATION = re.compile(r"(?:(\d{1,6})-)?(\d{1,9})(?::(\d{1,9}))?(?::(\d{1,9}))?", re.ASCII)
_NO_LIMIT = {"UNLIMITED", "INFINITE", "-1"}


def parse_seconds(text: str) -> int | None:
    """The seconds of a duration: after days the first number is hours, of three it is hours too,
    else minutes. None of what is none, such as UNLIMITED."""
    found = _DURATION.fullmatch(text)
    if not found:
        return None
    days, *parts = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is None and len(numbers) < 3:
        numbers.insert(0, 0)
    hours, minutes, seconds = (*numbers, 0, 0)[:3]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


@lru_cache(maxsize=4096)
def parse_minutes(text: str) -> int | None:
    """The same in minutes; what is begun counts, as it does where Slurm reads a time limit."""
    seconds = parse_seconds(text)
    return None if seconds is None else -(-seconds // 60)


def parse_time_limit(text: str) -> int | None:
    """The minutes of --time; None is no limit, which 0 means as well. Raises HetError."""
    minutes = parse_minutes(text)
    if minutes is None and text.upper() not in _NO_LIMIT:
        raise HetError(f"{text[:40]!r} is no time limit", "such as 30, 4:00:00 or 1-12:00:00")
    return minutes or None


def duration(seconds: int, *, hours: bool = False) -> str:
    """As squeue writes it: D-HH:MM:SS, H:MM:SS or M:SS; with `hours` never without them."""
    minutes, secs = divmod(max(0, seconds), 60)
    hour, minutes = divmod(minutes, 60)
    days, hour = divmod(hour, 24)
    if days:
        return f"{days}-{hour:02}:{minutes:02}:{secs:02}"
    return f"{hour}:{minutes:02}:{secs:02}" if hour or hours else f"{minutes}:{secs:02}"
