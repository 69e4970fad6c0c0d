"""Who cannot start now leaves what his limit has room for to those behind him, as in Slurm."""

from __future__ import annotations

from dataclasses import replace

from slurm_het.core.model import Job, Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, observe, prepare
from slurm_het.core.policy import Limits
from slurm_het.core.site_limits import Association, Limit, Qos, SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from tests.support.world import marked, policy, running, snapshot

TWO_EACH = Limit("MaxTRESPU", "gres/gpu", 2)
LIMITS = SiteLimits(
    (Association("vision", "ann"), Association("vision")),
    (Qos("normal", users={1000: (TWO_EACH,)}),),
)


def job(number: int, minutes: int, **fields: object) -> Job:
    known: dict[str, object] = {"account": "vision", "qos": "normal", "priority": 2000 - number}
    return marked(number, time_limit_minutes=minutes, **(known | fields))


def site(*jobs: Job, reservations: tuple[ReservationRecord, ...] = ()) -> Snapshot:
    return replace(snapshot(*jobs), time=1000.0, limits=LIMITS, reservations=reservations)


def look(taken: Snapshot, memory: Memory) -> Prepared:
    observed = observe(taken, policy(), memory, 0.0)
    return prepare(observed, Limits(reserve_after_seconds=0.0), memory, 0.0)


def test_jobs_that_a_maintenance_keeps_from_starting_use_up_no_limit() -> None:
    names = tuple(node.name for node in snapshot().nodes)
    soon = ReservationRecord("maint", 1000 + 1800, 1000 + 7200, names, flags=frozenset({"MAINT"}))
    long = [job(number, 60) for number in range(1, 9)]
    short = [job(number, 5) for number in range(11, 14)]
    prepared = look(site(*long, *short, reservations=(soon,)), Memory(Pins(10.0, 60.0)))
    assert [task.key for task in prepared.window] == ["11", "12", "13"]


def test_jobs_that_nodes_kept_for_another_keep_from_starting_use_up_no_limit() -> None:
    """A job of two nodes waits for the one that is busy for half an hour more."""
    free = {"partition": "train-nv", "user": "bob", "uid": 1001, "account": "vision"}
    on = running(90, "nv1", "gpu:a100:8(IDX:0-7)", end_time=2800, cpus=8, **free)
    other = {"user": "bob", "uid": 1001, "nodes_min": 2, "nodes_max": 2, "tres_per_node": "gpu:8"}
    big = job(1, 60, priority=5000, **other)
    long = [job(number, 600, features="a100") for number in range(2, 10)]
    short = [job(number, 5, features="a100") for number in range(11, 14)]
    prepared = look(site(on, big, *long, *short), Memory(Pins(10.0, 60.0)))
    assert [task.key for task in prepared.window] == ["11", "12", "13"]
    assert not prepared.held
    later = [job(number, 5, features="a100") for number in range(14, 17)]
    prepared = look(site(on, big, *long, *short, *later), Memory(Pins(10.0, 60.0)))
    assert [task.key for task in prepared.window] == ["11", "12", "13", "14"]
    assert prepared.held.keys() == {"15", "16"}, "twice what the limit leaves is enough"
