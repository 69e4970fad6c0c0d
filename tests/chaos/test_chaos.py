"""The checker of the chaos runs finds what is planted, and nothing where all is well."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.model import Job, NodeRecord
from tests.chaos.check import check
from tests.chaos.events import INFRASTRUCTURE, Event, event_list
from tests.chaos.records import Action, Completion, Mark, Meta, Poll, Records, line_of, load, write
from tests.chaos.run import Hands, run
from tests.support.cluster import sandbox_dir

NODE = NodeRecord(
    "l1", "MIXED", "gpu:l40s:2,shard:l40s:96", cpus=16, memory_mib=65536,
    features=frozenset({"l40s"}), partitions=("accel", "infer-nv"),
)  # fmt: skip

STALE = replace(NODE, state="IDLE", gres_stale=True)


def job(number: int, **fields: Any) -> Job:
    """A pending job of submission `number`; older jobs have higher priority."""
    made = Job(number, name=f"chaos-{number}", partition="accel", state="PENDING", cpus=1)
    made = replace(made, tres_per_node="gpu:1", priority=1000 - number, memory_per_cpu_mib=1024)
    return replace(made, **fields)


def on(number: int, *devices: int, **fields: Any) -> Job:
    """A job that runs on whole devices of the node."""
    where = ",".join(map(str, devices))
    detail = (f"gpu:l40s:{len(devices)}(IDX:{where})",)
    return job(
        number, state="RUNNING", partition="infer-nv", nodes="l1", gres_detail=detail, **fields
    )


def sharing(number: int, device: int, gib: int) -> Job:
    """A job that runs on a part of a device."""
    return replace(on(number), gres_detail=(f"shard:{gib}(IDX:{device})",))


def polls(*looks: tuple[float, str, bool, tuple[Job, ...]], node: NodeRecord = NODE) -> Any:
    return tuple(Poll(time, gate, hetd, jobs, (node,)) for time, gate, hetd, jobs in looks)


def submitted(number: int, verb: str = "submit", **fields: Any) -> Action:
    event = Event(0.0, verb, number, **fields)
    return Action(event, 10.0, 10.1, True, job=number)


def mark(number: int, what: str, time: float, restart: int = 0) -> Mark:
    return Mark(number, what, time, number, restart, 0, "l1", (0,))


def good() -> Records:
    """Two jobs, one after the other on a device, and one that was cancelled."""
    return Records(
        Meta(1, 1),
        actions=(submitted(1), submitted(2), submitted(3), submitted(3, "cancel", args=("",))),
        polls=polls(
            (11, "DOWN", True, (on(1, 0), on(2, 1))), (12, "DOWN", True, (on(1, 0), on(2, 1)))
        ),
        marks=tuple(mark(n, w, t) for n in (1, 2) for w, t in (("start", 11.0), ("end", 13.0))),
        completions=tuple(Completion(n, n, 0, "COMPLETED", "l1") for n in (1, 2)),
    )


def waiting(gate: str, seconds: int, victim: Job, *others: Job, hetd: bool = True) -> Any:
    """`victim` waits, a look every second, with `others` as they are."""
    return polls(*((20.0 + s, gate, hetd, (victim, *others)) for s in range(seconds)))


def test_a_good_run_has_no_violation() -> None:
    assert check(good()) == []


def test_a_requeued_job_may_begin_again() -> None:
    records = good()
    again = (mark(1, "start", 15.0, 1), mark(1, "end", 16.0, 1))
    requeued = replace(submitted(1, "requeue"), began=14.0)
    records = replace(records, marks=records.marks + again, actions=(*records.actions, requeued))
    assert check(records) == []


PLANTED: dict[str, tuple[str, Callable[[Records], Records]]] = {
    "the same run begins twice": (
        "double", lambda r: replace(r, marks=(*r.marks, mark(1, "start", 12.0))),
    ),
    "it begins again, and nobody asked for that": (
        "double", lambda r: replace(r, marks=(*r.marks, mark(2, "start", 15.0, 1))),
    ),
    "a job is lost": (
        "lost", lambda r: replace(r, actions=(*r.actions, submitted(4))),
    ),
    "a job never reaches its end": (
        "lost", lambda r: replace(r, marks=tuple(m for m in r.marks if m != r.marks[-1])),
    ),
    "another job's cancelling is no excuse": (
        "lost", lambda r: replace(r, actions=(*r.actions, submitted(5, requeue=True)),
                                  completions=(Completion(5, 5, 0, "NODE_FAIL", "l1"),)),
    ),
    "two whole-device jobs on one device": (
        "overfull", lambda r: replace(r, polls=polls((11, "DOWN", True, (on(1, 0), on(2, 0, 1))))),
    ),
    "a share beside a whole-device job": (
        "overfull",
        lambda r: replace(r, polls=polls((11, "DOWN", True, (on(1, 0), sharing(2, 0, 8))))),
    ),
    "shares of more than the device's memory": (
        "overfull",
        lambda r: replace(r, polls=polls((9, "DOWN", True, (sharing(1, 1, 40), sharing(2, 1, 9))))),
    ),
    "the gate stays closed without hetd": (
        "stuck", lambda r: replace(r, polls=waiting("DOWN", 13, job(9, priority=0), hetd=False)),
    ),
    "a job waits in the open gate beside free devices": (
        "stuck", lambda r: replace(r, polls=waiting("UP", 13, job(9), on(1, 0), hetd=False)),
    ),
    "a job waits for a plan beside free devices": (
        "stuck", lambda r: replace(r, polls=waiting("DOWN", 28, job(9), on(1, 0))),
    ),
    "a lower job takes what a higher one has waited for": (
        "inverted",
        lambda r: replace(r, polls=waiting("DOWN", 15, job(9), on(1, 0))
                          + polls((35, "DOWN", True, (job(9), on(1, 0), on(12, 1))),
                                  (36, "DOWN", True, (job(9), on(1, 0), on(12, 1))))),
    ),
    "a job that hetd released runs without its device": (
        "bare",
        lambda r: replace(
            r, actions=(*r.actions[1:], submitted(1, kind="single")),
            marks=tuple(replace(m, devices=()) if m.submission == 1 else m for m in r.marks),
        ),
    ),
    "devices that nobody holds count as used": (
        "stuck",
        lambda r: replace(
            r, polls=polls(*((20.0 + s, "DOWN", True, ()) for s in range(28)), node=STALE)
        ),
    ),
    "hetd ended by a bug": ("crash", lambda r: replace(r, crashes=("ValueError: x",))),
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str) -> None:
    rule, plant = PLANTED[fault]
    assert {v.rule for v in check(plant(good()))} == {rule}


ALLOWED: dict[str, Any] = {
    "the device is held by others": waiting("UP", 20, job(9), on(1, 0), on(2, 1)),
    "a job of higher priority may want the room": waiting(
        "UP", 20, job(9), on(1, 0), job(8, tres_per_node="gpu:2")
    ),
    "its dependency is open": waiting("UP", 20, job(9, dependency="afterany:1")),
    "it is held": waiting("UP", 20, job(9, priority=0, reason="JobHeldUser")),
    "it may not begin yet": waiting("UP", 20, job(9, eligible_time=100)),
    "its Features want another node": waiting("UP", 20, job(9, features="a100")),
    "it is pinned ahead to a node that is full": waiting(
        "DOWN", 40, job(9, partition="infer-nv", req_nodes="l1"), on(1, 0, 1)
    ),
    "backfill: the higher job needs more than was free": waiting(
        "DOWN", 15, job(9, tres_per_node="gpu:2"), on(1, 0)
    )
    + polls(*((t, "DOWN", True, (job(9, tres_per_node="gpu:2"), on(1, 0), on(12, 1)))
              for t in (35, 36))),
    "the higher job came a moment ago": waiting("DOWN", 6, job(9), on(1, 0))
    + polls(*((t, "DOWN", True, (job(9), on(1, 0), on(12, 1))) for t in (26, 27))),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_what_is_allowed_is_no_violation(case: str) -> None:
    assert check(replace(good(), polls=ALLOWED[case])) == []


def test_a_node_that_is_drained_is_no_room() -> None:
    drained = replace(NODE, state="IDLE+DRAIN")
    looks = [(20.0 + s, "UP", True, (job(9),)) for s in range(20)]
    assert check(replace(good(), polls=polls(*looks, node=drained))) == []


@pytest.mark.parametrize(
    ("released", "restarted", "allowed"), [(5.0, 8.0, True), (10.0, 8.0, False)]
)
def test_without_devices_where_slurmctld_had_just_been_restarted(
    released: float, restarted: float, allowed: bool
) -> None:
    """Slurm (22.05) starts it so; hetd knows better, and cannot take back what is released."""
    restart = Action(Event(0.0, "slurmctld-restart"), restarted, restarted + 1, True)
    pinned = job(1, partition="infer-nv", req_nodes="l1")
    records = replace(
        good(), actions=(submitted(1, kind="single"), restart),
        polls=polls((released, "DOWN", True, (pinned,)), (12, "DOWN", True, (on(1, 0),))),
        marks=tuple(replace(m, devices=()) for m in good().marks if m.submission == 1),
    )  # fmt: skip
    assert {v.rule for v in check(records)} == (set() if allowed else {"bare"})
    native = polls((12, "UP", False, (replace(on(1, 0), partition="accel"),)))
    assert check(replace(records, polls=native)) == []


def test_a_node_whose_devices_slurm_takes_for_used_is_no_room() -> None:
    looks = [(20.0 + s, "UP", True, (job(9),)) for s in range(20)]
    assert check(replace(good(), polls=polls(*looks, node=STALE))) == []


def test_plain_slurm_overfilling_a_device_in_the_open_gate_is_its_own() -> None:
    native = replace(on(2, 0), partition="accel", start_time=5)
    records = replace(good(), polls=polls((11, "UP", False, (sharing(1, 0, 8), native))))
    assert check(records) == []


def test_the_event_list_follows_from_the_seed() -> None:
    assert event_list(7, 2) == event_list(7, 2)
    assert event_list(7, 2) != event_list(8, 2)
    events = event_list(7, 3)
    verbs = {e.verb for e in events}
    assert verbs >= {"submit", "cancel", "hold", "requeue", "update", "node", "slurmd-kill"}
    assert verbs & INFRASTRUCTURE
    assert {e.kind for e in events if e.verb == "submit"} >= {"single", "share", "multi", "array"}
    kills = [e for e in event_list(7, 0, kills=30) if e.verb == "hetd-kill"]
    assert len(kills) == 30


class FakeBox:
    """Whose slurmds are only counted."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def kill_slurmd(self, _node: str) -> bool:
        return True

    def start_slurmd(self, node: str) -> bool:
        self.started.append(node)
        return True


class FakeRecorder:
    def did(self, action: Action) -> None:
        assert action.ok, action.said


def test_a_slurmd_that_lost_a_launch_is_made_to_register_once() -> None:
    box: Any = FakeBox()
    recorder: Any = FakeRecorder()
    hands = Hands(box, recorder)
    hands.do(Event(0.0, "slurmd-kill", args=("nv2",)))
    now = time.time()
    young = job(1, state="RUNNING", nodes="nv2", start_time=int(now) - 5)
    old = job(2, state="RUNNING", nodes="nv2", start_time=int(now) - 60)
    elsewhere = job(3, state="RUNNING", nodes="nv[1-2]", start_time=int(now) - 60)
    hands.have_registered([young, elsewhere])
    assert box.started == []
    for _ in range(2):
        hands.have_registered([young, old, elsewhere])
    assert box.started == ["nv2"]


# --- a real run ---


@pytest.mark.slurm
@pytest.mark.timeout(400)
def test_a_short_run_on_real_slurm(capsys: pytest.CaptureFixture[str]) -> None:
    """No violation; and what is planted into its records is found."""
    with sandbox_dir() as base:
        directory = base / "records"
        run(Meta(3, 0.75), directory, base / "box", print)
        capsys.readouterr()
        records = load(directory)
        assert check(records) == []
        assert len(records.marks) > 30
        _plant_into(directory, records)
        assert {v.rule for v in check(load(directory))} == {"double", "lost", "overfull", "stuck"}


def _plant_into(directory: Path, records: Records) -> None:
    """Edit the files of a run: a start twice, a lost job, a device given twice, a stuck gate."""
    ended = {m.submission: m for m in records.marks if m.what == "end"}
    first, second = sorted(ended)[:2]
    path = directory / "marks" / str(first)
    path.write_text(path.read_text().split("\n")[0] + "\n" + path.read_text())
    (directory / "marks" / str(second)).unlink()
    cancelled = {"cancel", "requeue", "requeuehold"}
    actions = [
        a for a in records.actions
        if not (a.event.target in {first, second} and a.event.verb in cancelled)
    ]  # fmt: skip
    (directory / "actions.jsonl").write_bytes(b"".join(map(line_of, actions)))
    busy = next(p for p in records.polls if any("gpu" in "".join(j.gres_detail) for j in p.jobs))
    holder = next(j for j in busy.jobs if "gpu" in "".join(j.gres_detail))
    twice = replace(holder, id=99_999, array_job_id=0, partition="train-nv", start_time=1 << 40)
    quiet = [
        replace(p, gate="DOWN", hetd=False, jobs=(), time=records.polls[-1].time + 1 + n)
        for n, p in enumerate(records.polls[:13])
    ]
    looks = [replace(p, jobs=(*p.jobs, twice)) if p is busy else p for p in records.polls] + quiet
    (directory / "polls.jsonl").write_bytes(b"".join(map(line_of, looks)))
    write(directory, "meta", records.meta)
