"""Reservations for the tasks that cannot start now: where, when, and who must keep off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.model import Job, Placement, Slot, Snapshot, Task
from slurm_het.core.partition import Partition
from slurm_het.core.policy import Limits
from slurm_het.core.reasons import AtLimit
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.look_ahead import (
    Outlook,
    idle_beside_doors,
    look_ahead,
    reserve_first,
)
from slurm_het.core.reservations.reservation import (
    SOON,
    Reservation,
    coming_free,
    keep_free,
)
from slurm_het.core.reservations.unbound import Limited, limited
from tests.support.world import inventory, policy, running, snapshot, task, with_side_door

NOW = 1000.0
WHOLE = (Slot(8, 8, 1024),)


def busy(number: int, node: str, devices: str, end: int) -> Job:
    """A running job that holds A100s until `end` at the latest; 0 is no limit."""
    count = len(devices.split(","))
    detail = f"gpu:a100:{count}(IDX:{devices})"
    return running(number, node, detail, end_time=end, cpus=4, memory_per_cpu_mib=1024)


def outlook(
    jobs: Sequence[Job],
    *tasks: Task,
    pins: tuple[Pin, ...] = (),
    after: float = 0.0,
    down: str = "",
    places: int = 1,
    at_limit: tuple[Limited, ...] = (),
) -> Outlook:
    """What look_ahead says at NOW; the node `down` is drained, each pool has so many `places`."""
    at = replace(with_side_door(snapshot(*jobs)), time=NOW)
    drained = (replace(n, state="IDLE+DRAIN") if n.name == down else n for n in at.nodes)
    at = replace(at, nodes=tuple(drained))
    room = take_inventory(at, policy())
    limits = Limits(reservations=places, reserve_after_seconds=after)
    return look_ahead(at, room, tasks, pins, policy(), limits, at_limit)


def ahead(jobs: Sequence[Job], *tasks: Task, **fields: Any) -> list[str]:
    """The tasks that nodes are kept for."""
    return [made.task.key for made in outlook(jobs, *tasks, **fields).reserve]


def reserve(whole: tuple[Slot, ...], *jobs: Job) -> tuple[tuple[str, ...], float] | None:
    """Nodes and start of a reservation for a task of these slots."""
    coming = coming_free(replace(snapshot(*jobs), time=NOW), policy())
    made = Axis(inventory(*jobs), coming, NOW).soonest(task("9", slots=whole))
    return (made.placement.nodes, made.start) if made else None


def test_the_node_that_is_free_soonest() -> None:
    jobs = (busy(1, "nv1", "0,1", 5000), busy(2, "nv2", "3", 3000), busy(3, "nv2", "4", 4000))
    assert reserve(WHOLE, *jobs) == (("nv2",), 4000)


def test_several_nodes_wait_for_the_last_of_them() -> None:
    jobs = (busy(1, "nv1", "0,1", 5000), busy(2, "nv2", "3", 3000))
    assert reserve(WHOLE * 2, *jobs) == (("nv2", "nv1"), 5000)


def test_a_job_without_limit_gives_nothing_back() -> None:
    assert reserve(WHOLE, busy(1, "nv1", "0", 0), busy(2, "nv2", "0", 0)) is None
    assert reserve(WHOLE, busy(1, "nv1", "0", 0), busy(2, "nv2", "0", 7000)) == (("nv2",), 7000)


def test_a_job_past_its_end_gives_back_soon() -> None:
    """It is being killed, or cleans up. One that has been for long may need as long again."""
    forever = busy(2, "nv2", "0", 0)
    assert reserve(WHOLE, busy(1, "nv1", "0", 990), forever) == (("nv1",), NOW + SOON)
    assert reserve(WHOLE, busy(1, "nv1", "0", 1000), forever) == (("nv1",), NOW + SOON)
    assert reserve(WHOLE, busy(1, "nv1", "0", 800), forever) == (("nv1",), NOW + 200)
    other = busy(2, "nv2", "0", 1150)
    assert reserve(WHOLE, busy(1, "nv1", "0", 800), other) == (("nv2",), 1150)


def test_what_slurm_lets_end_in_a_year_has_no_limit() -> None:
    year = 365 * 86_400
    endless = replace(busy(1, "nv1", "0", year), time_limit_minutes=None)
    assert reserve(WHOLE, endless, busy(2, "nv2", "0", 0)) is None
    ended = replace(endless, state="COMPLETING", end_time=995)
    assert reserve(WHOLE, ended, busy(2, "nv2", "0", 0)) == (("nv1",), NOW + SOON)


def test_a_free_node_is_reserved_from_now() -> None:
    assert reserve(WHOLE, busy(1, "nv1", "0", 5000)) == (("nv2",), NOW)


def test_lower_tasks_fill_only_what_ends_in_time() -> None:
    jobs = (busy(1, "nv1", "0", 0), busy(2, "nv2", "0", 4600))
    coming = coming_free(snapshot(*jobs), policy())
    first = task("9", slots=WHOLE, priority=50)
    reservation = Axis(inventory(*jobs), coming, NOW).soonest(first)
    assert reservation is not None
    assert reservation.placement.nodes == ("nv2",)
    cases = {
        "ends in time": (task("a", priority=10, minutes=60), frozenset[str]()),
        "ends late": (task("b", priority=10, minutes=61), frozenset({"nv2"})),
        "has no limit": (task("c", priority=10, minutes=None), frozenset({"nv2"})),
        "is more important": (task("d", priority=51, minutes=None), frozenset()),
        "came before": (task("e", job_id=0, priority=50, minutes=None), frozenset()),
        "came after": (task("f", job_id=2, priority=50, minutes=None), frozenset({"nv2"})),
    }
    for name, (low, kept_off) in cases.items():
        (kept,) = keep_free([low], [reservation], inventory(*jobs), NOW)
        assert kept.exc_nodes == kept_off, name
        assert could_start(kept, inventory(*jobs)), "the other node is still there"


def test_the_whole_node_is_kept_in_every_pool_it_is_in() -> None:
    """Slurm's backfill starts nothing beside a pinned job, though a card would be spare."""
    full, ending = busy(1, "nv1", "0,1,2,3,4,5,6,7", 0), busy(2, "nv2", "0,1,2,3,4,5", 4600)
    coming = coming_free(snapshot(full, ending), policy())
    room = inventory(full, ending)
    made = Axis(room, coming, NOW).soonest(task("9", slots=(Slot(6, 1, 1024),), priority=50))
    assert made is not None
    assert (made.placement.nodes, made.start) == (("nv2",), 4600)
    others = set(room.nodes["nv2"].partitions) - {made.placement.partition}
    assert others
    pools = [(made.placement.partition,), tuple(others), ("train-amd",)]
    lower = [task("a", priority=10, minutes=None, pools=names) for names in pools]
    kept = keep_free(lower, [made], room, NOW)
    assert [t.exc_nodes for t in kept] == [frozenset({"nv2"}), frozenset({"nv2"}), frozenset()]


def test_one_reservation_per_pool_in_priority_order() -> None:
    def one(cpus: int) -> tuple[Slot]:
        return (Slot(1, cpus, 1024),)

    queue = [
        task("1", slots=one(1), pools=("train-nv",)),
        task("2", slots=one(2), pools=("train-nv",)),
        task("3", slots=one(3), pools=("train-amd",)),
        task("4", slots=one(4), pools=("train-amd", "train-nv")),
        task("5", slots=one(5), pools=("infer-nv",)),
    ]

    def first(blocked: str, never: str = "", most: int = 9, **places: int) -> str:
        """The tasks that get nodes, if those of `blocked` cannot start now, or `never`; each gets
        some of its first pool."""
        left = {pool.partition: 1 for pool in policy().pools}
        left |= {pool.replace("_", "-"): count for pool, count in places.items()}

        def somewhere(t: Task, _: frozenset[str]) -> Reservation | None:
            there = Placement(t.key, t.pools[0], ("nv1",), ((0,),), ("a100",), 80)
            return Reservation(t, there, NOW) if t.key not in never else None

        made = reserve_first(queue, left, lambda t: t.key in blocked, somewhere, most)
        return "".join(r.task.key for r in made)

    assert first("12345") == "135"
    assert first("2345") == "235"
    assert first("12345", train_nv=0) == "35"
    assert first("12345", train_nv=2, train_amd=2, infer_nv=2) == "12345"
    assert first("245", train_nv=0) == "45", "4 is passed over in neither of its pools"
    assert first("12345", never="13") == "245", "who gets none takes nobody's place"
    assert first("12345", never="1", most=1) == "35", "enough were tried of its pool alone"


def test_a_blocked_task_gets_its_reservation_once_it_has_waited() -> None:
    full = [busy(n, f"nv{n}", "0,1,2,3,4,5,6,7", 1500) for n in (1, 2)]

    def reserved(since: float, after: float) -> list[str]:
        return ahead(full, task("7", slots=WHOLE, since=since), after=after)

    assert reserved(since=941.0, after=60.0) == []
    assert reserved(since=940.0, after=60.0) == ["7"]
    assert reserved(since=1000.0, after=0.0) == ["7"]


def test_who_can_never_start_takes_nobodys_place() -> None:
    """Nodes as large are not there, or they are down; or their jobs have no limit."""
    full = [busy(1, "nv1", "0,1,2,3,4,5,6,7", 1500), busy(2, "nv2", "0,1,2,3,4,5,6,7", 0)]
    large, waits = task("8", slots=(Slot(9, 8, 1024),)), task("9", slots=WHOLE)
    assert ahead(full, large, waits) == ["9"]
    assert ahead(full, task("8", slots=(Slot(1, 1000, 1024),)), waits) == ["9"]
    assert ahead(full, task("8", slots=WHOLE * 3), waits) == ["9"], "of more nodes than there are"
    assert ahead(full, task("8", slots=WHOLE * 2), waits) == ["9"], "one of the two has no limit"
    assert ahead(full, task("8", slots=WHOLE, exc_nodes=frozenset({"nv1"})), waits) == ["9"]
    assert ahead(full, task("8", slots=WHOLE), waits) == ["8"]
    assert ahead(full, task("8", slots=WHOLE * 2), waits, down="nv2") == ["9"], "nv2 is drained"


def test_no_reservation_stands_on_a_node_that_is_down() -> None:
    """Its place is for the next look, and nobody is kept off for it."""
    full = [busy(n, f"nv{n}", "0,1,2,3,4,5,6,7", 1000 + n * 500) for n in (1, 2)]
    first, second = task("8", slots=WHOLE, priority=9), task("9", slots=WHOLE, priority=8)
    view = outlook(full, first, second)
    (made,) = view.reserve
    assert made.placement.nodes == ("nv1",)
    pin = Pin(first, made.placement, 0.0, made.start)
    assert outlook(full, second, pins=(pin,)).reserve == ()
    (other,) = outlook(full, second, pins=(pin,), down="nv1").reserve
    assert (other.task.key, other.placement.nodes) == ("9", ("nv2",))


def test_a_pin_behind_an_overdue_job_is_moved_to_what_is_free() -> None:
    """Were it taken to end soon for ever, the pin would wait for it for ever."""
    waits = task("8", slots=WHOLE)
    at = [busy(1, "nv1", "0", 990), busy(2, "nv2", "0", 5000)]
    (made,) = outlook(at, waits).reserve
    assert (made.placement.nodes, made.start) == (("nv1",), NOW + SOON)
    pin = Pin(waits, made.placement, 0.0, made.start)
    assert outlook(at, pins=(pin,)).move == {}
    assert outlook(at[:1], pins=(pin,)).move.keys() == {"8"}, "nv2 is free: it starts now"
    assert outlook([busy(1, "nv1", "0", 900)], pins=(pin,)).move.keys() == {"8"}
    assert outlook([busy(1, "nv1", "0", 0)], pins=(pin,)).move.keys() == {"8"}
    assert outlook([busy(1, "nv1", "0", 0), busy(2, "nv2", "0", 0)], pins=(pin,)).move == {}


def test_a_pin_is_moved_for_a_quarter_of_the_wait_and_for_a_minute_at_most() -> None:
    waits = task("8", slots=WHOLE)
    cases = [(20, 6, True), (20, 4, False), (100, 26, True), (100, 24, False)]
    for wait, gain, moves in [*cases, (9000, 61, True), (9000, 59, False)]:
        first = busy(1, "nv1", "0", int(NOW) + wait)
        (made,) = outlook([first, busy(2, "nv2", "0", 90000)], waits).reserve
        pin = Pin(waits, made.placement, 0.0, made.start)
        sooner = [first, busy(2, "nv2", "0", int(NOW) + wait - gain)]
        assert bool(outlook(sooner, pins=(pin,)).move) == moves, (wait, gain)


def test_nobody_is_pinned_ahead_where_all_jobs_come_through_the_gate() -> None:
    """The plan delays nobody then; a pin would have Slurm keep its nodes as a whole."""
    full = [busy(1, "nv1", "0", 2000), busy(2, "nv2", "0", 9000)]
    debug, waits = Partition("debug"), task("8", slots=WHOLE)
    taken = replace(with_side_door(snapshot(*full)), time=NOW)

    def keys(taken: Snapshot) -> list[str]:
        room, limits = take_inventory(taken, policy()), Limits(reserve_after_seconds=0)
        view = look_ahead(taken, room, (waits,), (), policy(), limits)
        return [made.task.key for made in view.reserve]

    def door(debug: Partition) -> Snapshot:
        return replace(taken, partitions=(*snapshot().partitions, debug))

    assert keys(door(debug)) == ["8"]
    assert keys(door(replace(debug, state="DOWN"))) == []
    assert keys(door(replace(debug, root_only=True))) == []
    elsewhere = tuple(
        replace(new, partitions=old.partitions) if new.name.startswith("nv") else new
        for new, old in zip(taken.nodes, snapshot().nodes, strict=True)
    )
    assert keys(replace(door(debug), nodes=elsewhere)) == []


def test_idle_devices_may_be_others_where_these_have_a_door_of_their_own() -> None:
    def raced(taken: Snapshot) -> bool:
        return idle_beside_doors(taken, take_inventory(taken, policy()), policy())

    shut = replace(snapshot(), nodes=tuple(replace(n, state="DOWN") for n in snapshot().nodes))
    assert raced(with_side_door(snapshot()))
    assert not raced(snapshot())
    assert not raced(with_side_door(shut))


def test_a_whole_device_is_not_pinned_ahead_beside_sharers_where_slurm_forgets_them() -> None:
    """The room is kept all the same: lower tasks are kept off it."""
    jobs = [
        replace(running(n, f"l40s{n}", "shard:12(IDX:0)", end_time=2000), cpus=1) for n in (1, 2)
    ]
    shot = replace(snapshot(*jobs), time=NOW, forgets_sharers=True)
    room = take_inventory(shot, policy())
    fields: dict[str, Any] = {"types": frozenset({"l40s"}), "pools": ("infer-nv",)}
    whole = task("8", priority=9, **fields)
    share = task("9", takes_share=True, memory_gib=8, priority=1, minutes=600, **fields)
    view = look_ahead(shot, room, (whole, share), (), policy(), Limits(reserve_after_seconds=0))
    assert not view.reserve
    assert [t.key for t in view.tasks] == ["8", "9"]
    assert len(view.tasks[1].exc_nodes) == 1


def test_who_comes_with_higher_priority_gets_what_is_kept_for_another() -> None:
    """Else it would wait for that one to end, however long that runs."""
    full = [busy(1, "nv1", "0", 2000), busy(2, "nv2", "0", 9000)]
    low, high = task("8", slots=WHOLE, priority=1), task("9", slots=WHOLE, priority=9)
    (made,) = outlook(full, low).reserve
    pin = Pin(low, made.placement, 0.0, made.start)
    assert outlook(full, high, pins=(pin,)).move.keys() == {"8"}
    assert outlook(full, high, low).reserve[0].task.key == "9"
    equal, elsewhere = replace(high, priority=1), replace(high, exc_nodes=frozenset({"nv1"}))
    other_pool = replace(high, pools=("train-amd",))
    for task_ in (equal, elsewhere, other_pool, replace(high, slots=WHOLE * 3)):
        assert outlook(full, task_, pins=(pin,)).move == {}
    assert outlook(full, high, pins=(pin,), after=1e9).move == {}
    alike = [full[0], busy(2, "nv2", "0", 2030)]
    assert outlook(alike, high, pins=(pin,)).move == {}, "the other node is free soon enough"


def test_who_waits_for_nodes_does_not_take_turns_with_another() -> None:
    """Each would have them sooner, one of them gets them, and then no other one is moved there."""
    free_soon = [busy(1, "nv1", "0", 5000), busy(2, "nv2", "0", 2000)]
    held, first = task("8", slots=WHOLE, priority=1), task("9", slots=WHOLE, priority=9)
    (made,) = outlook([busy(1, "nv1", "0", 1900), free_soon[1]], held).reserve
    assert made.placement.nodes == ("nv1",)
    pin = Pin(held, made.placement, 0.0, made.start)
    assert outlook(free_soon, pins=(pin,)).move.keys() == {"8"}
    view = outlook(free_soon, first, pins=(pin,), places=2)
    assert [(r.task.key, r.placement.nodes) for r in view.reserve] == [("9", ("nv2",))]
    assert view.move == {}


USED_UP = AtLimit("QOSMaxGRESPerUser", "user ann in QOS first", "gres/gpu", 8, 8, 8)


def test_nobody_is_pinned_where_an_end_frees_one_above_him_of_his_limit() -> None:
    """The pin would start at once, before the other one is known to be free of the limit."""
    own: dict[str, Any] = {"user": "ann", "account": "one", "qos": "first"}
    theirs = [replace(busy(n, f"nv{n}", "0", 5000), **own) for n in (1, 2)]
    above = task("8", slots=WHOLE, priority=50, job_id=8)
    waits = replace(theirs[0], id=8, state="PENDING", nodes="")
    low = task("9", slots=WHOLE, priority=20)

    def limit(one: Task, why: AtLimit = USED_UP) -> tuple[Limited, ...]:
        return limited([one], {"8": why})

    view = outlook([*theirs, waits], low, at_limit=limit(above))
    assert view.reserve == ()
    assert [made.task.key for made in view.reservations] == ["9"], "its nodes are kept all the same"
    pin = Pin(low, view.reservations[0].placement, 0.0, 5000.0)
    assert outlook([*theirs, waits], pins=(pin,), at_limit=limit(above)).move.keys() == {"9"}
    of_job = replace(USED_UP, word="QOSMaxGRESPerJob", used=0)
    minutes = replace(USED_UP, word="AssocGrpGRESMinutes", of="account one")
    above_all = replace(USED_UP, word="AssocGrpGRES", of="account root")
    others = [replace(job, user="bob", account="two") for job in theirs]
    for running_, limited_ in (
        (others, limit(above)),
        (theirs, limit(replace(above, priority=10))),
        (theirs, limit(replace(above, pools=("train-amd",)))),
        (theirs, limit(replace(above, types=frozenset({"h100"})))),
        *((theirs, limit(above, why)) for why in (of_job, minutes, above_all)),
    ):
        view = outlook([*running_, waits], low, at_limit=limited_)
        assert [made.task.key for made in view.reserve] == ["9"]
        assert outlook([*running_, waits], pins=(pin,), at_limit=limited_).move == {}
    of_all = replace(USED_UP, word="QOSGrpGRES", of="QOS first")
    assert outlook([*others, waits], low, at_limit=limit(above, of_all)).reserve == ()


def test_a_rival_of_two_pools_is_one_in_each() -> None:
    """The place in its other pool is taken, and it waits for that of this one: were it passed over,
    whoever asks for this pool alone would go first."""
    full = [busy(1, "nv1", "0", 2000), busy(2, "nv2", "0", 9000)]
    low = task("8", slots=WHOLE, priority=1)
    (made,) = outlook(full, low).reserve
    pin = Pin(low, made.placement, 0.0, made.start)
    there = Placement("7", "train-amd", ("amd1",), (tuple(range(8)),), ("mi300x",), 192)
    amd = task("7", slots=WHOLE, priority=2, pools=("train-amd",), types=frozenset({"mi300x"}))
    other = Pin(amd, there, 0.0, 99_000.0)
    both = task("9", slots=WHOLE, priority=9, pools=("train-nv", "train-amd"))
    amds = [running(n, f"amd{n - 2}", "gpu:mi300x:8(IDX:0-7)", end_time=99_000 + n) for n in (3, 4)]
    assert outlook([*full, *amds], both, pins=(pin,)).move.keys() == {"8"}
    assert outlook([*full, *amds], both, pins=(pin, other)).move.keys() == {"8"}
    (got,) = outlook([*full, *amds], both, low, pins=(other,)).reserve
    assert (got.task.key, got.placement.nodes) == ("9", ("nv1",))


def test_nobody_moves_for_what_is_only_guessed_to_end_later() -> None:
    """When a job that is past its end will be gone is a guess of some seconds."""
    waits = task("8", slots=WHOLE)
    soon = [busy(1, "nv1", "0", 1010), busy(2, "nv2", "0", 5000)]
    (made,) = outlook(soon, waits).reserve
    pin = Pin(waits, made.placement, 0.0, made.start)
    over = [busy(1, "nv1", "0", 999), busy(2, "nv2", "0", 1015)]
    assert outlook(over, pins=(pin,)).move == {}
    assert outlook([busy(1, "nv1", "0", 1030), over[1]], pins=(pin,)).move.keys() == {"8"}


def test_the_nodes_to_which_a_pin_moves_are_kept_until_it_is_there() -> None:
    """Its own are free late, others are now: who comes after it takes none of those first."""
    held = task("8", slots=WHOLE, priority=50, minutes=60)
    made = outlook([busy(1, "nv1", "0", 5000), busy(2, "nv2", "0", 9000)], held).reserve[0]
    assert made.placement.nodes == ("nv1",)
    low = task("9", priority=20, minutes=60)
    view = outlook([busy(1, "nv1", "0", 5000)], low, pins=(Pin(held, made.placement, 0.0, 5000.0),))
    assert view.move == {"8": "other nodes are free sooner"}
    assert "nv2" in view.tasks[0].exc_nodes


def test_nor_does_a_long_one_start_on_those_that_are_free_before_it_moves() -> None:
    """Two nodes: one is free now, the other one sooner than both of its own."""
    held = task("8", slots=WHOLE * 2, priority=50, minutes=60)
    both = Placement("8", "train-nv", ("nv1", "l40s1"), (tuple(range(8)),) * 2, ("a100",), 80)
    pin = Pin(held, both, 0.0, 9000.0)
    other = running(2, "l40s1", "gpu:l40s:1(IDX:0)", end_time=9000)
    low = task("9", priority=20, minutes=600)
    view = outlook([busy(1, "nv1", "0", 5000), other], low, pins=(pin,))
    assert view.move == {"8": "other nodes are free sooner"}
    assert "nv2" in view.tasks[0].exc_nodes
