"""The file of jobcomp/filetxt: the same jobs as from slurmdbd; what users wrote forges none."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest

from slurm_het.errors import HetError
from slurm_het.replay.filetxt import read_filetxt
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import PastJob, Tally
from slurm_het.replay.source import read_past

# As 22.05 writes it.
LINE = (
    "JobId={id} UserId=ann(1001) GroupId=users(100) Name={name} JobState={state} Partition=train "
    "TimeLimit=120 StartTime={start} EndTime={end} NodeList={nodes} NodeCnt=1 ProcCnt=8 "
    "WorkDir={directory} ReservationName= Tres=cpu=8,mem=16000M,node=1,gres/gpu=2 Account=vision "
    "QOS=normal WcKey= Cluster=het SubmitTime={submit} EligibleTime={submit}{more} "
    "DerivedExitCode=0:0 ExitCode=0:0 \n"
)
USUAL = {
    "id": "7", "name": "train", "state": "COMPLETED", "directory": "/home/ann", "nodes": "a1",
    "submit": "2026-10-10T10:00:00", "start": "2026-10-10T10:05:00", "end": "2026-10-10T11:05:00",
    "more": "",
}  # fmt: skip
BERLIN = WallClock(ZoneInfo("Europe/Berlin"))


def read(*told: dict[str, str]) -> tuple[list[PastJob], Tally]:
    tally = Tally()
    lines = [LINE.format(**(USUAL | one)) for one in told]
    return list(read_past(lines, BERLIN, tally)), tally


def test_a_job_of_the_file() -> None:
    ((past,), tally) = read({})
    assert (past.id, past.key, past.user, past.account, past.qos) == (
        7,
        "7",
        "ann",
        "vision",
        "normal",
    )
    assert past.start is not None
    assert past.end is not None
    assert (past.start - past.since, past.end - past.start, past.limit) == (300, 3600, 120)
    assert (past.tres.devices, past.nodes, past.priority) == ({("gpu", ""): 2}, "a1", None)
    assert not tally.left_out


def test_a_task_of_an_array_and_a_job_that_never_ran() -> None:
    (task, gone), _ = read(
        {"id": "8", "more": " ArrayJobId=6 ArrayTaskId=2"},
        {"id": "9", "state": "CANCELLED", "nodes": "(null)", "start": "2026-10-10T10:30:00"},
    )
    assert (task.key, task.id) == ("6_2", 8)
    assert (gone.ran, gone.start, gone.nodes) == (False, None, "")


def test_a_job_that_was_held_to_its_end_was_never_eligible() -> None:
    line = LINE.format(**(USUAL | {"state": "CANCELLED", "nodes": "(null)"}))
    line = re.sub("EligibleTime=[^ ]*", "EligibleTime=unknown", line)
    tally = Tally()
    (past,) = read_past([line], BERLIN, tally)
    assert (past.eligible, past.ran) == (None, False)
    assert not tally.left_out


@pytest.mark.parametrize(
    "name",
    ["x JobState=FAILED", "a b=c", "WorkDir=/x ReservationName=", "näh\u2028me", "Name=x"],
)
def test_a_name_is_whatever_its_user_wrote(name: str) -> None:
    ((past,), _) = read({"name": name})
    assert (past.state, past.partition) == ("COMPLETED", "train")


def test_a_name_that_looks_like_the_rest_of_a_line_is_left_out_not_believed() -> None:
    forged = LINE.format(**(USUAL | {"state": "FAILED"})).partition("Name=train")[2]
    pasts, tally = read({"name": f"x{forged.partition(' ReservationName=')[0]}"}, {"id": "8"})
    assert [past.id for past in pasts] == [8]
    assert tally.left_out["lines that cannot be read"] == 1


def test_the_hour_that_comes_twice() -> None:
    """Clocks went back on 25 October 2026 at three: lines are written as jobs end."""
    before = {"id": "1", "submit": "2026-10-25T01:00:00", "start": "2026-10-25T01:30:00",
              "end": "2026-10-25T02:50:00"}  # fmt: skip
    again = before | {"id": "2", "end": "2026-10-25T02:10:00"}
    within = {"id": "3", "submit": "2026-10-25T02:40:00", "start": "2026-10-25T02:45:00",
              "end": "2026-10-25T02:20:00"}  # fmt: skip
    (one, two, three), _ = read(before, again, within)
    ran = [p.end - p.start for p in (one, two, three) if p.start and p.end]
    assert ran == [80 * 60, 100 * 60, 35 * 60]


def test_another_file_is_refused() -> None:
    with pytest.raises(HetError, match="jobcomp/filetxt"):
        list(read_filetxt(["nonsense\n"], BERLIN, Tally()))
