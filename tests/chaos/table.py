"""What runs with --each showed, as the table of docs/faults.md: a row per kind of fault."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.chaos.fault_check import shut
from tests.chaos.faults import EACH_PAUSE, SINGLE
from tests.chaos.records import Action, load

BEFORE = {
    "storage-hangs": "shut as long as it lasted (90 s); one line",
    "storage-readonly": "0.5 s; a line at each restart",
    "storage-full": "0.4 s",
    "state-closed": "directory gone, systemd: shut for ever",
    "lease-gone": "0.5 s",
    "supervisor-no-descriptors": "shut until started by hand; traceback",
    "supervisor-no-processes": "shut until started by hand; traceback",
    "supervisor-killed": "0.2 s",
    "both-killed": "shut until hetd went on",
    "supervisor-hangup": "0.2 s; it ended, nobody restarted hetd",
    "hetd-killed": "0.5 s",
    "hetd-stopped": "8.9 s",
    "hetd-hangup": "hetd ended",
    "hetd-ended": "0.2 s",
    "hetd-no-descriptors": "shut as long as it lasted (120 s)",
    "hetd-no-memory": "9.8 s",
    "worker-killed": "first-fit at once",
    "hook-killed": "0.5 s",
    "hook-stopped": "not a word; jobs as strays",
    "config-wrong": "0.3 s; 36-60 lines a minute",
    "config-gone": "0.3 s; 36-60 lines a minute",
    "config-other-intake": "shut for ever; 'opened the gate' each time",
    "sockets-gone": "not a word; never made anew",
    "notify-gone": "7.6 s; tracebacks, 500 lines a minute",
    "journal-garbage": "none",
    "journal-short": "none",
    "journal-gone": "not a word; written into the dead file",
    "journal-locked": "cycles of 4.1 s; 'hetd is not answering'",
    "squeue-fail": "49 s, or never while jobs came",
    "squeue-empty": "shut as long as it lasted (110 s), silent",
    "squeue-half": "49 s, or never while jobs came",
    "squeue-hang": "31 s",
    "squeue-errors": "shut as long as it lasted (60 s), silent",
    "show-fail": "49 s, or never while jobs came",
    "show-empty": "shut (60 s); 8 of 8 submissions refused",
    "show-half": "49 s, or never while jobs came",
    "update-denied": "shut (100 s); 156 lines a minute",
    "update-noop": "shut (40 s); 236 lines a minute",
    "update-done-error": "shut (30 s); 169 lines a minute",
    "update-late": "shut (50 s); 143 lines a minute",
    "update-busy": "shut (60 s); 12 lines a minute",
    "slurmctld-stopped": "nobody can",
    "slurmctld-restarted": "0.2 s",
    "munge-stopped": "nobody can",
}
"""What the same kinds did before hetd had an opener: seconds until the gate was open, or hetd
planned again; what was written."""

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S* (.*)")
_WORK = re.compile(r"hetd\.\w+: (planned |job \S+ is pinned)")
_USUAL = re.compile(r"supervise: (started|\d+ ended)|INFO")


@dataclass(frozen=True)
class Seen:
    """What one fault came to: the longest time that the gate was shut while nobody planned, the
    most lines of one kind in a minute, the tracebacks, and what an operator reads."""

    shut: float
    lines: int
    tracebacks: int
    reads: str


def lines(directories: Sequence[Path]) -> Iterator[str]:
    """The Markdown table."""
    runs: dict[str, dict[str, Seen]] = {}
    for directory in directories:  # what was run again counts instead
        version = load(directory).meta.slurm
        runs[version] = runs.get(version, {}) | seen(directory)
    columns = " | ".join(f"{slurm}, s" for slurm in runs)
    yield f"| fault | before | {columns} | lines | what is read |"
    yield "|---|---|" + "---:|" * (len(runs) + 1) + "---|"
    for fault in SINGLE:
        each = [found[fault.name] for found in runs.values() if fault.name in found]
        if not each:
            continue
        times = [
            f"{run[fault.name].shut:.0f}" if fault.name in run else "–" for run in runs.values()
        ]
        most = str(max(one.lines for one in each))
        most += ", traceback" if any(one.tracebacks for one in each) else ""
        reads = next((one.reads for one in each if one.reads), "").replace("|", "/")
        before = BEFORE.get(fault.name, "–")
        yield f"| {fault.name} | {before} | {' | '.join(times)} | {most} | {reads} |"


def seen(directory: Path) -> dict[str, Seen]:
    """By the fault's name."""
    records = load(directory)
    log = list(logged((directory / "hetd.log").read_text(errors="replace")))
    looks = {a.event.args[0]: a.said for a in records.actions if a.event.verb == "look"}
    spans = [(poll.time, since) for poll, since in shut(records)]
    out = {}
    for fault in (a for a in records.actions if a.event.verb == "fault" and a.ok):
        until = fault.ended + EACH_PAUSE - 2.0
        longest = max((now - max(since, fault.began) for now, since in spans
                       if fault.began <= now <= until), default=0.0)  # fmt: skip
        during = [text for when, text in log if fault.began - 1 <= when <= until]
        out[fault.event.args[0]] = Seen(
            longest, most_of_a_kind(log, fault), sum(t.startswith("Traceback") for t in during),
            read(looks.get(fault.event.args[0], ""), during),
        )  # fmt: skip
    return out


def logged(text: str) -> Iterator[tuple[float, str]]:
    """Each line with its time; a line that has none, with that of the line before it."""
    now = 0.0
    for line in text.splitlines():
        if found := _STAMP.match(line):
            now = datetime.fromisoformat(found[1]).timestamp()
            yield now, found[2]
        else:
            yield now, line


def most_of_a_kind(log: Sequence[tuple[float, str]], fault: Action) -> int:
    """Of lines equal but for numbers and job keys; plans and releases are work."""
    kinds = Counter(
        re.sub(r"[\d._]+", "#", text)[:60] for when, text in log
        if fault.began - 1 <= when <= min(fault.began + 59, fault.ended + EACH_PAUSE - 2)
        and not _WORK.search(text)
    )  # fmt: skip
    return max(kinds.values(), default=0)


def read(note: str, during: Sequence[str]) -> str:
    """het-squeue's words while it lasted, or else the log's first line that is no usual one."""
    if note and "timed out after" not in note:
        return _short("het-squeue: " + note.removeprefix("het-squeue: "))
    odd = (text for text in during if not _USUAL.search(text) and not text.startswith(" "))
    return _short(next(odd, ""))


def _short(text: str) -> str:
    return re.sub(r"\S*/(ground|box)/", "/", " ".join(text.split()))[:200]
