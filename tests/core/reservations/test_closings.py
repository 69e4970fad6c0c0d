"""What Slurm's own reservations close to a task, when that opens, and whom they draw in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.jobs.admission import Passed, admit_record
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Job, Placement, Slot, Snapshot, Task
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import Closed, OpensLater
from slurm_het.core.reservations.closings import Closings
from slurm_het.core.reservations.look_ahead import Outlook, look_ahead
from slurm_het.core.site_limits import SiteLimits
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.library import propose
from tests.support.world import gated, policy, running, snapshot, task, with_side_door

NOW = 100_000.0
HOUR, DAY = 3600.0, 86_400.0


def record(name: str = "maint", begin: float = 1800.0, hours: float = 1.0, **fields: Any) -> Any:
    """A reservation of nv1 and nv2 that begins so many seconds from now."""
    nodes = fields.pop("nodes", ("nv1", "nv2"))
    flags = frozenset(fields.pop("flags", "").split())
    start = NOW + begin
    return ReservationRecord(name, start, start + hours * HOUR, nodes, flags=flags, **fields)


def shot(*records: ReservationRecord, jobs: tuple[Job, ...] = ()) -> Snapshot:
    return replace(with_side_door(snapshot(*jobs)), time=NOW, reservations=records)


def view(at: Snapshot, *tasks: Task, after: float = 1e9) -> Outlook:
    room = take_inventory(at, policy())
    return look_ahead(at, room, tasks, (), policy(), Limits(reserve_after_seconds=after))


def kept_off(at: Snapshot, wanted: Task) -> set[str]:
    """The nodes of its pool that a task is kept off."""
    (kept,) = view(at, wanted).tasks
    return set(kept.exc_nodes) & {"nv1", "nv2"}


@pytest.mark.parametrize(
    ("minutes", "fields", "closed"),
    [
        (29, {}, ""),
        (31, {}, "nv1 nv2"),
        (None, {}, "nv1 nv2"),
        (31, {"nodes": ("nv2",)}, "nv2"),
        (31, {"flags": "DAILY"}, "nv1 nv2"),
        (31, {"flags": "MAGNETIC", "users": frozenset({"eve"})}, "nv1 nv2"),
        (31, {"begin": -7200.0}, ""),
        (31, {"begin": -7200.0, "flags": "DAILY"}, ""),
        (23 * 60, {"begin": -7200.0, "flags": "DAILY"}, "nv1 nv2"),
        (1, {"begin": -60.0}, "nv1 nv2"),
        (31, {"partial": True}, ""),
        (29, {"flags": "TIME_FLOAT"}, ""),
        (31, {"flags": "TIME_FLOAT"}, "nv1 nv2"),
    ],
)
def test_what_is_closed_to_a_job_of_nobody(minutes: int | None, fields: Any, closed: str) -> None:
    assert kept_off(shot(record(**fields)), task("1", minutes=minutes)) == set(closed.split())


def test_a_job_for_whole_nodes_keeps_off_nodes_of_which_a_part_is_reserved() -> None:
    at = shot(record(partial=True, nodes=("nv1",)))
    assert kept_off(at, task("1", minutes=60, exclusive=True)) == {"nv1"}


def test_the_pools_limit_stands_in_for_one_that_the_job_lacks() -> None:
    at = shot(record())
    limited = tuple(replace(p, max_minutes=20) for p in at.partitions)
    assert kept_off(replace(at, partitions=limited), task("1", minutes=None)) == set()


def test_it_says_which_reservation_and_when() -> None:
    held = view(shot(record()), task("1", minutes=60), task("2", minutes=5)).kept
    assert held == {"1": Closed("maint", ("nv1", "nv2"), 60, NOW + 1800)}
    assert "its limit of 60 min reaches into the reservation maint (from " in str(held["1"])
    held = view(shot(record(begin=-60)), task("1", minutes=60)).kept
    assert str(held["1"]) == "nv1, nv2 are reserved (maint)"


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({}, 1800 + HOUR),
        ({"nodes": ("nv1",)}, None),
        ({"flags": "DAILY"}, 1800 + HOUR),
        ({"flags": "HOURLY"}, None),
        ({"flags": "TIME_FLOAT"}, None),
    ],
)
def test_a_task_that_waits_is_reserved_for_when_the_nodes_open(fields: Any, start: Any) -> None:
    """The HOURLY one lasts an hour: between two of them no job of an hour has room.

    Nobody is pinned there before: Slurm would keep all of lower priority off those nodes, also who
    ends in time."""
    seen = view(shot(record(**fields)), task("1", minutes=60), after=0)
    assert [r.start for r in seen.reservations] == ([NOW + start] if start else [])
    assert seen.reserve == ()


def test_a_task_of_two_nodes_waits_until_both_are_open() -> None:
    first, second = record("a", nodes=("nv1",)), record("b", begin=2 * HOUR, nodes=("nv2",))
    wanted = task("1", minutes=90, slots=(Slot(8, 1, 1),) * 2)
    (made,) = view(shot(first, second), wanted, after=0).reservations
    assert made.start == NOW + 3 * HOUR


def test_a_pin_that_a_new_reservation_shuts_out_comes_back() -> None:
    at = shot(record(nodes=("nv1",)))
    closings = Closings.of(at, take_inventory(at, policy()))
    places = {n: Placement("1", "train-nv", (n,), ((0,),), ("a100",), 80) for n in ("nv1", "nv2")}
    late = task("1", minutes=60)
    assert str(closings.shut(Pin(late, places["nv1"], 0.0))) == "nv1 is reserved (maint)"
    assert closings.shut(Pin(late, places["nv1"], 0.0, start=NOW + 1800 + HOUR)) is None
    assert closings.shut(Pin(late, places["nv2"], 0.0)) is None
    assert closings.shut(Pin(task("1", minutes=5), places["nv1"], 0.0)) is None
    inside = task("1", minutes=5, reservation="maint")
    assert "which is not in force" in str(closings.shut(Pin(inside, places["nv1"], 0.0)))
    begun = Closings.of(replace(at, time=NOW + 1800), take_inventory(at, policy()))
    assert begun.shut(Pin(inside, places["nv1"], 0.0)) is None
    moved = str(begun.shut(Pin(inside, places["nv2"], 0.0)))
    assert moved == "the reservation maint has nv2 no more"


def test_a_job_of_a_reservation_has_its_nodes_while_it_lasts() -> None:
    inside = task("1", minutes=60, reservation="maint")
    now, later = record(begin=-60, nodes=("nv2",)), record(nodes=("nv2",))
    assert kept_off(shot(now), inside) == {"nv1"}
    assert kept_off(shot(later), inside) == {"nv1", "nv2"}
    assert view(shot(later), inside).kept == {"1": OpensLater("maint", NOW + 1800)}
    assert kept_off(shot(), inside) == {"nv1", "nv2"}
    assert "which is not in force" in str(view(shot(), inside).kept["1"])
    again = replace(now, start=NOW - 7200, end=NOW - 3600, flags=frozenset({"DAILY"}))
    assert view(shot(again), inside).kept == {"1": OpensLater("maint", NOW - 7200 + DAY)}


def test_reservations_over_each_other_close_to_each_others_jobs_what_slurm_says() -> None:
    inside = task("1", minutes=60, reservation="mine")
    other = record("maint", nodes=("nv2",), flags="MAINT")
    for flags, closed in {"": {"nv2"}, "OVERLAP": {"nv2"}, "MAINT": set()}.items():
        assert kept_off(shot(record("mine", begin=-60, flags=flags), other), inside) == closed
    plain = replace(other, flags=frozenset())
    assert kept_off(shot(record("mine", begin=-60, flags="OVERLAP"), plain), inside) == set()


def test_a_job_of_a_flexible_one_is_drawn_in_while_there_is_room() -> None:
    at = shot(record(nodes=("nv2",), flags="FLEX"))
    mine = [task(str(n), minutes=60, slots=(Slot(8, 1, 1),), reservation="maint") for n in (1, 2)]
    off = [set(t.exc_nodes) & {"nv1", "nv2"} for t in view(at, *mine).tasks]
    assert off == [{"nv1"}, set()]


def test_a_magnetic_one_draws_in_its_users_jobs_that_end_in_time() -> None:
    magnet = record(begin=-60, nodes=("nv2",), flags="MAGNETIC", users=frozenset({"ann"}))
    at = shot(magnet)
    mine = task("1", minutes=30, magnets=("maint",))
    assert kept_off(at, mine) == {"nv1"}
    assert kept_off(at, replace(mine, minutes=90)) == {"nv2"}
    full = running(9, "nv2", "gpu:a100:8(IDX:0-7)")
    assert kept_off(shot(magnet, jobs=(full,)), mine) == {"nv2"}


@pytest.mark.parametrize(
    ("lists", "drawn"),
    [
        ({}, True),
        ({"users": {"ann"}}, True),
        ({"users": {"eve"}}, False),
        ({"users": {"-ann"}}, False),
        ({"users": {"-eve"}}, True),
        ({"users": {"1007"}}, True),
        ({"users": {"-1007"}}, False),
        ({"users": {"1008"}}, False),
        ({"accounts": {"phys"}}, True),
        ({"accounts": {"-phys"}}, False),
        ({"groups": {"staff"}}, True),
        ({"groups": {"wheel"}}, False),
        ({"users": {"ann"}, "accounts": {"chem"}}, False),
    ],
)
def test_whom_a_magnetic_one_draws_in(lists: dict[str, set[str]], drawn: bool) -> None:
    named: dict[str, Any] = {key: frozenset(names) for key, names in lists.items()}
    job = gated(1, uid=1007, account="phys", groups=("staff",))
    at = shot(record(flags="MAGNETIC", **named), jobs=(job,))
    (made,) = fill_task_pools(at, take_inventory(at, policy()), policy()).tasks
    assert made.magnets == (("maint",) if drawn else ())


@pytest.mark.parametrize(
    ("lists", "drawn", "by_name"),
    [
        ({"accounts": {"phys"}}, True, False),
        ({"accounts": {"-phys"}}, False, True),
        ({"accounts": {"phys-lab1"}}, True, True),
        ({"accounts": {"phys-lab2"}}, False, False),
        ({"users": {"-eve"}, "accounts": {"phys"}}, True, False),
        ({"users": {"ann"}, "accounts": {"-phys"}}, False, True),
        ({"users": {"ann"}, "accounts": {"phys"}}, False, False),
        ({"groups": {"staff"}, "accounts": {"phys"}}, False, False),
        ({"users": {"ann"}, "accounts": {"phys-lab1"}}, True, True),
    ],
)
def test_a_magnetic_one_goes_by_the_accounts_above(
    lists: dict[str, set[str]], drawn: bool, by_name: bool
) -> None:
    """On 22.05 too. Users and accounts are pairs: ann in phys itself, not in what is below."""
    named: dict[str, Any] = {key: frozenset(names) for key, names in lists.items()}
    job = gated(1, account="phys-lab1", groups=("staff",))
    at = shot(record(flags="MAGNETIC", **named), jobs=(job,))
    for parents, inside in (({"phys-lab1": "phys", "phys": "root"}, drawn), ({}, by_name)):
        here = replace(at, limits=SiteLimits(parents=parents))
        (made,) = fill_task_pools(here, take_inventory(here, policy()), policy()).tasks
        assert made.magnets == (("maint",) if inside else ())


@pytest.mark.parametrize(
    ("fields", "planned"),
    [
        ({}, True),
        ({"partial": True}, False),
        ({"flags": "TIME_FLOAT"}, False),
        ({"nodes": ("cpu1",)}, False),
        ({"nodes": ("amd1",)}, False),
        ({"nodes": ("amd1",), "flags": "FLEX"}, True),
        ({"partitions": frozenset({"train-amd"})}, False),
        ({"name": "other"}, False),
    ],
)
def test_which_jobs_of_reservations_are_planned(fields: Any, planned: bool) -> None:
    """The others are plain Slurm's, from their submission on or out of the gate."""
    job = gated(1, reservation="maint", tres_per_node="gpu:a100:1")
    at = shot(record(**fields), jobs=(job,))
    room = take_inventory(at, policy())
    pools = fill_task_pools(at, room, policy())
    assert [t.reservation for t in pools.tasks] == (["maint"] if planned else [])
    assert isinstance(admit_record(job, "", policy(), room), Passed) is not planned
    if not planned:
        assert "reservation maint" in str(pools.handovers["1"].why)


@pytest.mark.parametrize("state", ["IDLE+RESERVED", "IDLE+MAINTENANCE+RESERVED", "MIXED$"])
def test_a_reserved_node_is_closed_by_the_reservation_if_that_is_known(state: str) -> None:
    at = shot(record(nodes=("nv2",), partial=True, begin=-60))
    nodes = tuple(replace(n, state=state) if n.name == "nv2" else n for n in at.nodes)
    known = take_inventory(replace(at, nodes=nodes), policy())
    hidden = take_inventory(replace(at, nodes=nodes, reservations=()), policy())
    assert known.nodes["nv2"].usable
    assert not hidden.nodes["nv2"].usable


def test_the_cores_of_a_part_of_a_node_are_not_free_for_others() -> None:
    """What its own jobs hold of them counts once."""
    part = record(nodes=("nv2",), partial=True, begin=-60, cores=40)
    job = running(9, "nv2", "gpu:a100:1(IDX:0)", cpus=10, reservation="maint")

    def free(*jobs: Job, at: float = NOW) -> int:
        now = replace(shot(part, jobs=jobs), time=at)
        return take_inventory(now, policy()).nodes["nv2"].cpus_free

    assert free() == 64 - 40
    assert free(job) == 64 - 30, "the record of the node has its ten as taken besides"
    assert free(at=NOW - 120) == 64


def test_a_job_inside_says_what_it_waits_for_there() -> None:
    """Whatever is free elsewhere."""
    full = running(9, "nv2", "gpu:a100:8(IDX:0-7)", cpus=8)
    waits = gated(1, reservation="maint", tres_per_node="gpu:a100:2")
    at = shot(record(begin=-60, nodes=("nv2",)), jobs=(full, waits))
    assert "nv2" in propose(at, policy()).waiting["1"]
