"""The rules of a site, and of faults: what is planted into records is found, and nothing else."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.model import Job, NodeRecord
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.sandbox.cluster import HETD_ARGV
from tests.chaos import plants, site
from tests.chaos.check import check
from tests.chaos.events import Event, event_list
from tests.chaos.fault_hands import FaultHands
from tests.chaos.faults import BY_NAME, FAULTS, Fault, with_faults
from tests.chaos.ground import WRAPPER
from tests.chaos.records import Action, Completion, Mark, Meta, Poll, Preempted, Records

NODE = NodeRecord(
    "nv1", "MIXED", "gpu:a100:8", cpus=64, memory_mib=1 << 20,
    features=frozenset({"a100"}), partitions=("accel", "train-nv"),
)  # fmt: skip
RESERVED = ReservationRecord("r1", 100.0, 200.0, nodes=("nv1",), users=frozenset({"root"}))


def job(number: int, **fields: Any) -> Job:
    made = Job(number, name=f"chaos-{number}", user="daemon", partition="accel", cpus=1)
    made = replace(made, tres_per_node="gpu:1", priority=1000 - number, time_limit_minutes=1)
    return replace(made, **fields)


def running(number: int, start: int, *devices: int, **fields: Any) -> Job:
    where = ",".join(map(str, devices))
    detail = (f"gpu:a100:{len(devices)}(IDX:{where})",)
    return job(number, state="RUNNING", partition="train-nv", nodes="nv1", gres_detail=detail,
               start_time=start, **fields)  # fmt: skip


def submitted(number: int, *options: str, user: str = "daemon") -> Action:
    event = Event(0.0, "submit", number, ("--gres=gpu:1", *options), user=user, requeue=True)
    return Action(event, 1.0, 1.1, True, job=number)


def limited(index: int, value: int, began: float, ok: bool = True) -> Action:
    return Action(Event(0.0, "limit", args=(str(index), str(value))), began, began + 0.3, ok)


def look(time: float, *jobs: Job, gate: str = "DOWN", hetd: bool = True, **more: Any) -> Poll:
    return Poll(time, gate, hetd, jobs, (NODE,), **more)


def records(*polls: Poll, actions: tuple[Action, ...] = (), seed: int = 2, **more: Any) -> Records:
    """A run at a site where all jobs ran to their ends; QOSs decide (seed 2) or tiers (seed 1)."""
    actions = actions or (submitted(1), submitted(2), submitted(3))
    keys = {a.event.target for a in actions if a.event.verb == "submit"}
    marks = tuple(
        Mark(n, what, t, n, 0, 0, "nv1", (0,))
        for n in sorted(keys)
        for what, t in (("start", 5.0), ("end", 300.0))
    )
    return Records(Meta(seed, 1, mode="site"), actions, polls, marks, **more)


def rules(found: Records) -> set[str]:
    return {v.rule for v in check(found)}


MANY = tuple(submitted(n) for n in range(1, 9))


def test_a_limit_that_is_broken_is_found() -> None:
    """MaxTRESPU of normal is 6 devices."""
    six = [running(n, 10, n - 1) for n in range(1, 7)]
    seventh = running(7, 11, 6)
    assert rules(records(look(10, *six), look(11, *six), actions=MANY)) == set()
    assert rules(records(look(10, *six), look(11, *six, seventh), actions=MANY)) == {"over"}


def test_what_counts_is_the_qos_that_the_user_asked_for() -> None:
    six = [running(n, 10, n - 1) for n in range(1, 7)]
    moved = running(7, 11, 6, qos="calm")
    assert rules(records(look(10, *six), look(11, *six, moved), actions=MANY)) == {"over"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (limited(0, 9, 9.0), set()),
        (limited(0, 9, 9.0, ok=False), set()),  # it may be done yet
        (limited(0, site.NO_LIMIT, 9.0), set()),
        (limited(1, 9, 9.0), {"over"}),
        (limited(0, 3, 9.0), {"over"}),
    ],
)
def test_a_limit_that_changes(change: Action, found: set[str]) -> None:
    six = [running(n, 10, n - 1) for n in range(1, 7)]
    looks = look(10, *six), look(11, *six, running(7, 11, 6))
    assert rules(records(*looks, actions=(*MANY, change))) == found


def test_the_limit_of_a_qos_stands_in_for_that_of_the_account() -> None:
    """GrpTRES of teaching is 5, of idle 10."""
    many = tuple(submitted(n, "--qos=idle", user="mail") for n in range(1, 8))
    six = [running(n, 10, n - 1, user="mail") for n in range(1, 7)]
    looks = look(10), look(11, *six)
    assert rules(records(*looks, actions=many)) == set()
    many = tuple(submitted(n, "--qos=calm", user="mail") for n in range(1, 8))
    assert rules(records(*looks, actions=many)) == {"over"}


def into_a_reservation(**fields: Any) -> Records:
    """A job starts 50 s before a reservation of its node, which is known, and may run for 60 s."""
    told: Any = {"reservations": (replace(RESERVED, **fields.pop("reservation", {})),)}
    looks = look(45, **told), look(50, running(1, 50, 0, **fields), **told)
    return records(look(40, **told), *looks)


def test_a_reservation_that_is_entered_is_found() -> None:
    assert rules(into_a_reservation()) == {"entered"}
    assert rules(into_a_reservation(reservation={"start": 111.0})) == set()
    assert rules(into_a_reservation(reservation={"end": 49.0})) == set()
    assert rules(into_a_reservation(reservation={"nodes": ("nv2",)})) == set()


def test_who_may_use_a_reservation() -> None:
    mine: Any = {"users": frozenset({"daemon"}), "flags": frozenset({"MAGNETIC"})}
    assert rules(into_a_reservation(reservation=mine)) == set()
    assert rules(into_a_reservation(reservation={**mine, "users": frozenset({"mail"})})) == {
        "entered"
    }
    asked = (submitted(1, "--reservation=r1"), submitted(2), submitted(3))
    assert rules(replace(into_a_reservation(), actions=asked)) == set()
    assert rules(into_a_reservation()) == {"entered"}, "whatever its record says"


def test_a_reservation_that_comes_too_late_to_be_known() -> None:
    told: Any = {"reservations": (RESERVED,)}
    looks = look(48, **told), look(50, running(1, 50, 0), **told)
    assert rules(records(look(46), *looks)) == set()


def pinned(seconds: int, reason: str = "None", **fields: Any) -> tuple[Poll, ...]:
    waits = job(1, partition="train-nv", req_nodes="nv1", reason=reason, **fields)
    return tuple(look(20.0 + s, waits, reservations=(RESERVED,)) for s in range(seconds))


def test_a_pin_against_a_limit_or_into_a_reservation_is_found() -> None:
    soon: Any = {"time_limit_minutes": 1}
    assert rules(records(*pinned(18, "QOSMaxGRESPerUser", **soon))) == {"pinned"}
    assert rules(records(*pinned(12, "QOSMaxGRESPerUser", **soon))) == set()
    assert rules(records(*pinned(18, "Resources", time_limit_minutes=5))) == {"pinned"}
    ahead: Any = {"time_limit_minutes": 5, "start_time": 201}
    assert rules(records(*pinned(18, "Resources", **ahead))) == set()


@pytest.mark.parametrize(
    ("why", "found"),
    [
        (
            "QOSMaxGRESPerUser: QOS x for daemon may have 6 gres/gpu, of which 6 are taken",
            False,
        ),
        (
            "QOSMaxGRESPerUser: QOS x for daemon may have 7 gres/gpu, of which 6 are taken",
            True,
        ),
        ("nv1 is reserved (r1)", False),
        ("its limit of 60 min reaches into the reservation r2 (from 14:30, nv1)", True),
        ("it waits for 8 devices", False),
    ],
)
def test_a_reason_that_is_not_true_is_found(why: str, found: bool) -> None:
    told: Any = {"reservations": (RESERVED,), "waiting": {"1": why}}
    looks = [look(20.0 + s, job(1), running(2, 5, *range(8)), **told) for s in range(13)]
    assert rules(records(*looks)) == ({"untrue"} if found else set())


def preempted(qos: str, ran: float = 20.0, seed: int = 2, *options: str) -> Records:
    theirs = submitted(1, f"--qos={qos}", *options)
    ours = submitted(2, "--qos=urgent")
    looks = (
        look(10, running(1, 10, 0)),
        look(10 + ran - 1, running(1, 10, 0), job(2, partition="train-nv", req_nodes="nv1")),
        look(10 + ran + 1, job(1, restarts=1, priority=0), running(2, int(10 + ran), 0)),
    )
    found = records(*looks, actions=(theirs, ours), seed=seed)
    return replace(
        found, preempted=(Preempted(10.0 + ran, 1, 2),),
        completions=(Completion(1, 1, 0, "PREEMPTED", "nv1"),),
    )  # fmt: skip


def test_a_wrong_victim_is_found() -> None:
    assert rules(preempted("idle")) == set()
    assert rules(preempted("normal")) == {"victim"}
    assert rules(preempted("urgent")) == {"victim"}


def test_who_is_exempt_is_a_wrong_victim() -> None:
    assert rules(preempted("calm", 11.0)) == set()
    assert rules(preempted("calm", 5.0)) == {"victim"}


def test_tiers_decide_where_they_do() -> None:
    assert rules(preempted("idle", seed=1)) == {"victim"}
    scavenger = preempted("idle", 20.0, 1, "-p", site.SCAVENGE)
    assert rules(scavenger) == set()


def test_who_is_ended_without_a_word_of_slurms_is_a_victim() -> None:
    assert rules(replace(preempted("idle"), preempted=())) == {"victim"}
    asked = Action(Event(0.0, "requeue", 1), 29.0, 29.1, True)
    quiet = replace(preempted("idle"), preempted=())
    assert rules(replace(quiet, actions=(*quiet.actions, asked))) == set()


def test_the_site_follows_from_the_seed() -> None:
    made = [site.at_site(event_list(7, 3), 7, 180.0) for _ in range(2)]
    assert made[0] == made[1]
    verbs = {e.verb for e in made[0]}
    assert verbs >= {"limit", "reserve", "unreserve", "submit"}
    assert {e.user for e in made[0] if e.verb == "submit"} == set(site.USERS)
    assert {site.qos_of(e) for e in made[0]} >= {"urgent", "idle", "calm", "normal"}
    assert any(site.SCAVENGE in e.args for e in made[0])


# --- faults ---


def with_fault(name: str, seconds: int, *, hetd: bool, waits: bool = True) -> Records:
    fault = Action(Event(0.0, "fault", args=(name,), seconds=10.0), 20.0, 60.0, True)
    jobs = (job(1, eligible_time=1),) if waits else ()
    looks = [look(20.0 + s, *jobs, hetd=hetd) for s in range(seconds)]
    return replace(records(*looks, actions=(submitted(1), fault)), meta=Meta(1, 1, mode="faults"))


@pytest.mark.parametrize("hetd", [True, False])
def test_a_gate_that_is_left_shut_is_found(hetd: bool) -> None:
    assert rules(with_fault("hetd-stopped", 15, hetd=hetd)) == set()
    assert rules(with_fault("hetd-stopped", 19, hetd=hetd)) == {"shut"}
    assert rules(with_fault("squeue-fail", 19, hetd=hetd)) == set()
    assert rules(with_fault("squeue-fail", 24, hetd=hetd)) == {"shut"}


def test_a_gate_that_is_shut_while_nobody_waits() -> None:
    assert rules(with_fault("hetd-stopped", 30, hetd=True, waits=False)) == set()
    assert rules(with_fault("hetd-stopped", 30, hetd=False, waits=False)) == {"shut"}


def test_faults_follow_from_the_seed_and_two_are_of_different_parts() -> None:
    made = [with_faults(event_list(7, 10), 7, 600.0) for _ in range(2)]
    assert made[0] == made[1]
    faults = [e for e in made[0] if e.verb == "fault"]
    assert len(faults) > 25
    for first in faults:
        for second in faults:
            if first.at < second.at < first.at + first.seconds:
                assert BY_NAME[first.args[0]].part != BY_NAME[second.args[0]].part


@pytest.mark.parametrize("name", plants.NAMES)
def test_what_is_planted_is_run_in_place_of_what_is_delivered(name: str) -> None:
    argv = [sys.executable, "-m", "slurm_het.supervise", "--config", "c", "--", *HETD_ARGV, "x"]
    found = plants.planted(argv, name)
    assert found != argv
    assert sum(f"({name!r})" in word for word in found) == 1
    assert plants.planted(argv, "") == argv
    assert plants.planted(["slurmd"], name) == ["slurmd"]


ASSOC_MGR = """Current Association Manager state
QOS Records
QOS=normal(1) GrpTRES=cpu=N(0),gres/gpu=N(0) Priority=10 Account Limits=No Accounts User Limits= \
8={MaxJobsPU=N(1) MaxTRESPU=cpu=N(1),gres/gpu=6(4),gres/gpu:a100=N(4)}
QOS=idle(2) GrpTRES=cpu=N(1),gres/gpu=N(4),gres/shard=N(0) User Limits=No Users
QOS=urgent(4) User Limits= 1={MaxJobsPU=3(0) MaxTRESPU=cpu=N(0),gres/gpu=N(0)}
ClusterName=het Account=teaching UserName= Partition= GrpTRES=cpu=N(1),gres/gpu=5(4) MaxJobs=
ClusterName=het Account=teaching UserName=mail(8) Partition= GrpTRES=cpu=N(1),gres/gpu=N(4) MaxJobs=
ClusterName=het Account=vision UserName=games(5) GrpTRES=gres/gpu=N(0) MaxJobs=4(0) MaxJobsAccrue= \

"""


def test_what_slurmctld_says_of_the_limits() -> None:
    assert site.limits_in(ASSOC_MGR) == {0: 6, 1: 3, 2: site.NO_LIMIT, 3: 5, 4: 4}


def test_slurmctld_may_not_have_heard_of_a_limit() -> None:
    six = [running(n, 10, n - 1) for n in range(1, 7)]
    looks = look(10, *six, limits={0: 9}), look(11, *six, running(7, 11, 6))
    assert rules(records(*looks, actions=MANY)) == set()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_can_be_made(fault: Fault) -> None:
    part, _, how = fault.name.partition("-")
    if part in {"squeue", "show", "update"}:
        assert f"  {how})" in WRAPPER
    else:
        assert callable(getattr(FaultHands, fault.name.replace("-", "_")))
