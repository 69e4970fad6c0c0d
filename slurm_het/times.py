"""Times as people read them, in the time zone of whoever prints them."""

from __future__ import annotations

import re
import time

_TIME = re.compile(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d(:\d\d)?")


def local_time(seconds: float) -> str:
    """Epoch seconds as `14:02:33`, or as `2026-11-28 14:02` on another day than today."""
    then = time.localtime(seconds)
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M", then)


def slurms_time(seconds: float) -> str:
    """Epoch seconds as Slurm's tools print them: `2026-11-28T14:02:33`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def zone(seconds: float) -> str:
    """The name of the time zone then: `UTC`, `CEST`."""
    return time.strftime("%Z", time.localtime(seconds))


def without_times(text: str) -> str:
    """A sentence with T for each time in it, which moves while the rest stays."""
    return _TIME.sub("T", text)
