"""Reading the file of jobcomp/filetxt, where there is no slurmdbd.

A line has the job's name and directory as its user wrote them, without any quotes: what stands
before the name and after the directory is matched from both ends, and a line that can be read in
two ways is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from slurm_het.errors import HetError
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import NO_TRES, PastJob, Tally, parse_limit, parse_tres

MOST = 1 << 20
"""A line is no longer than so many characters."""
_MIDDLE = (
    r" JobState=(?P<state>[A-Z_]+)(?: by \d+)? Partition=(?P<partition>\S*) "
    r"TimeLimit=(?P<limit>\S*) StartTime=(?P<start>\S*) EndTime=(?P<end>\S*) "
    r"NodeList=(?P<nodes>\(null\)|\S*(?: assigned)?) NodeCnt=(?P<count>\d+) ProcCnt=(?P<cpus>\d+) "
    r"WorkDir="
)
_HEAD = r"JobId=(?P<id>\d+) UserId=(?P<user>[^\s(]*)\(\d+\) GroupId=[^\s(]*\(\d+\) Name="
_TAIL = (
    r" ReservationName=(?P<reservation>\S*) Tres=(?P<tres>\S*) Account=(?P<account>\S*) "
    r"QOS=(?P<qos>\S*) WcKey=.*? Cluster=\S* SubmitTime=(?P<submit>\S+) "
    r"EligibleTime=(?P<eligible>\S+)(?P<more>.*?) DerivedExitCode=\S* ExitCode=\S*\s*"
)
_FIRST = re.compile(f"{_HEAD}.*?{_MIDDLE}.*?{_TAIL}", re.DOTALL)
_LAST = re.compile(f"{_HEAD}.*{_MIDDLE}.*{_TAIL}", re.DOTALL)
_ARRAY = re.compile(r"ArrayJobId=(\d+) ArrayTaskId=(\d+)")
_NONE = {"", "(null)", "None assigned", "None"}


def read_filetxt(lines: Iterable[str], clock: WallClock, tally: Tally) -> Iterator[PastJob]:
    """The records of jobs. Raises HetError where the text is none of jobcomp/filetxt's."""
    last: float | None = None
    for number, line in enumerate(lines):
        if len(line) > MOST:
            raise HetError(f"line {number + 1} has more than {MOST} characters", "is it the file?")
        match, other = _FIRST.fullmatch(line), _LAST.fullmatch(line)
        if not match or not other or match.groups() != other.groups():
            if not number and not line.startswith("JobId="):
                raise HetError(
                    f"the first line is none of jobcomp/filetxt's: {line[:60]!r}",
                    "JobCompLoc in slurm.conf names the file",
                )
            tally.left_out["lines that cannot be read"] += 1
            continue
        try:
            made = _job(match, clock, last)
        except ValueError:
            tally.left_out["lines that cannot be read"] += 1
            continue
        last = max(last or 0.0, made.end or 0.0)
        yield made


def _job(match: re.Match[str], clock: WallClock, last: float | None) -> PastJob:
    """`last` is when the job of the line before had ended: lines are written in that order."""
    array = _ARRAY.search(match["more"])
    key = f"{array[1]}_{array[2]}" if array else match["id"]
    submit = clock.read(match["submit"])
    if submit is None:
        raise ValueError("no SubmitTime")
    eligible = clock.read(match["eligible"], submit)
    start = None if match["nodes"] in _NONE else clock.read(match["start"], eligible or submit)
    # Slurm's own clock may be a second off its files'.
    ended = max(start or submit, last - 60 if last and last - 60 > (start or submit) else 0)
    end = clock.read(match["end"], ended)
    tres = parse_tres(match["tres"])
    return PastJob(
        int(match["id"]), key, match["user"], _text(match["account"]), _text(match["qos"]),
        match["partition"], match["state"], submit, eligible, start, end, 0.0,
        parse_limit(match["limit"]), None, tres, NO_TRES, "" if start is None else match["nodes"],
        _text(match["reservation"]),
    )  # fmt: skip


def _text(value: str) -> str:
    return "" if value in _NONE else value
