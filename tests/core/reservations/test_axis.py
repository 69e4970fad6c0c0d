"""The time axis: who gets what when, beside what runs, what is kept and who goes first."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.fit import could_ever_start
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.cluster.occupancy import emptied
from slurm_het.core.cluster.pinned import Pin, room_beside
from slurm_het.core.model import Job, Slot, Task
from slurm_het.core.reservations.axis import Axis
from slurm_het.core.reservations.closings import STARTS_WITHIN, Closings
from slurm_het.core.reservations.expected import expect
from slurm_het.core.reservations.reservation import (
    ComingFree,
    Reservation,
    coming_free,
    placement_on,
    with_pins,
)
from slurm_het.core.slurm_reservation import ReservationRecord
from tests.support.world import inventory, policy, running, snapshot, task

NOW = 1000.0


def busy(number: int, node: str, devices: str, end: int) -> Job:
    """A running job that holds A100s until `end` at the latest; 0 is no limit."""
    detail = f"gpu:a100:{len(devices)}(IDX:{','.join(devices)})"
    return running(number, node, detail, end_time=end, cpus=4, memory_per_cpu_mib=1024)


ALL = "01234567"
FULL = (busy(1, "nv1", ALL, 1600), busy(2, "nv2", ALL, 4600))


def axis(*jobs: Job) -> Axis:
    coming = coming_free(replace(snapshot(*jobs), time=NOW), policy())
    return Axis(inventory(*jobs), coming, NOW)


def wants(key: str, devices: int = 8, nodes: int = 1, minutes: int | None = 10) -> Task:
    return task(key, slots=(Slot(devices, 1, 1024),) * nodes, minutes=minutes)


def starts(it: Axis, *tasks: Task, most: int = 100) -> dict[str, tuple[float, str]]:
    """By key, seconds from now and the nodes."""
    found = expect(tasks, (), it, most)
    return {
        key: (made.start - NOW, ",".join(sorted(made.placement.nodes)))
        for key, made in found.items()
    }


def test_each_gets_the_soonest_start_beside_those_before_it() -> None:
    queue = [wants(key) for key in "abc"]
    queue += [wants("d", devices=4, minutes=60), wants("e", devices=4), wants("f", nodes=2)]
    assert starts(axis(*FULL), *queue) == {
        "a": (600, "nv1"),
        "b": (1200, "nv1"),
        "c": (1800, "nv1"),
        "d": (2400, "nv1"),
        "e": (2400, "nv1"),
        "f": (6000, "nv1,nv2"),
    }


def test_several_nodes_are_those_that_come_free_last() -> None:
    """Another one that is free already would stand idle until then."""
    it = axis(busy(2, "nv2", ALL, 1600))
    nodes = {**it.room.nodes, "nv3": replace(it.room.nodes["nv2"], name="nv3")}
    coming = {**it.coming, "nv3": it.coming["nv2"]}
    made = Axis(replace(it.room, nodes=nodes), coming, NOW).soonest(wants("a", nodes=2))
    assert made is not None
    assert (made.placement.nodes, made.start) == (("nv2", "nv3"), 1600)


def test_what_ends_in_time_goes_before_what_is_planned() -> None:
    """Half of nv1 is free until the whole of it is wanted."""
    half = busy(1, "nv1", "0123", 1600)
    first = wants("a", minutes=60)
    short, long = wants("b", devices=4), wants("c", devices=4, minutes=11)
    assert starts(axis(half, FULL[1]), first, short, long) == {
        "a": (600, "nv1"),
        "b": (0, "nv1"),
        "c": (3600, "nv2"),
    }


def test_without_a_limit_a_task_never_gives_back() -> None:
    queue = [wants("a", minutes=None), wants("b", minutes=None), wants("c")]
    assert starts(axis(*FULL), *queue) == {"a": (600, "nv1"), "b": (3600, "nv2")}
    assert starts(axis(*FULL), wants("c"), *queue[:2])["a"] == (1200, "nv1")


def test_who_never_has_room_takes_nobodys_place() -> None:
    never = busy(2, "nv2", "0", 0)
    queue = [wants("a", devices=9), wants("b", nodes=2), wants("c")]
    assert starts(axis(FULL[0], never), *queue) == {"c": (600, "nv1")}


def test_only_so_many_are_looked_at() -> None:
    queue = [wants(key) for key in "abc"]
    assert set(starts(axis(*FULL), *queue, most=2)) == {"a", "b"}


def test_nobody_goes_beside_a_task_that_nodes_are_kept_for() -> None:
    """Slurm's backfill protects nodes, not devices; before that, and after, they are for all."""
    half = busy(1, "nv1", "0123", 1600)
    it = axis(half, FULL[1])
    kept = Axis(it.room, it.coming, NOW).soonest(wants("a", devices=6))
    assert kept is not None
    queue = [wants("b", devices=1), wants("c", devices=1, minutes=11)]
    found = expect(queue, [kept], it)
    assert {key: made.start - NOW for key, made in found.items()} == {"a": 600, "b": 0, "c": 1200}


ODD = (Slot(2, 3, 3072, 1024),)
"""Of a node with two threads a core it takes four CPUs, and memory for these."""


@pytest.mark.parametrize(
    ("fields", "pool", "beside"),
    [
        ({}, "", True),
        ({"slots": ODD}, "", True),
        ({"exclusive": True}, "", False),
        ({"all_memory": True}, "", False),
        ({"pools": ("train-nv", "infer-nv")}, "train-nv", False),
        ({"pools": ("train-nv", "infer-nv"), "slots": ODD}, "infer-nv", True),
    ],
)
def test_what_is_released_gives_back_at_its_limit_all_that_it_takes(
    fields: dict[str, Any], pool: str, beside: bool
) -> None:
    """Beside a job without a limit, if it may be: with that the node is never empty. Jobs of the
    `pool` get whole nodes."""
    there = (busy(1, "nv1", "0", 0),) if beside else ()
    room = inventory(*there)
    node = replace(room.nodes["nv1"], threads_per_core=2, exclusive_in=frozenset({pool}))
    node = replace(node, cpus_free=node.cpus - 4 * beside)
    asked = task("a", minutes=10, **fields)
    made = Axis(replace(room, nodes={"nv1": node}), {}, NOW).soonest(
        replace(asked, pools=("train-nv",))
    )
    assert made
    pin = Pin(asked, made.placement, 0.0)
    taken = room_beside(replace(room, nodes={"nv1": node}), [pin])
    it = Axis(taken, with_pins({}, [pin], taken, NOW), NOW)
    rest = (Slot(8 - beside, node.cpus_free, node.memory_free_mib),)
    all_of_it = it.soonest(task("b", slots=rest, pools=("train-nv",)))
    assert all_of_it
    assert all_of_it.start == NOW + 600
    assert with_pins({}, [replace(pin, start=5000.0)], taken, NOW) == {}


def test_nodes_may_be_closed_for_a_while() -> None:
    """One is for 20 minutes from now on, and all are in an hour: a task has to end before that."""

    def opens(asked: Task, nodes: Sequence[str], start: float) -> float | None:
        start = max(start, NOW + 1200) if "nv1" in nodes else start
        before = asked.minutes is not None and start + asked.minutes * 60 <= NOW + 3600
        return start if before else max(start, NOW + 7200)

    it = axis(*FULL)
    it.opens = opens
    assert starts(it, wants("a"), wants("b", minutes=41), wants("c", nodes=2)) == {
        "a": (1200, "nv1"),
        "b": (7200, "nv1"),
        "c": (9660, "nv1,nv2"),
    }


UNEVEN = running(1, "nv[1-2]", "", gres_detail=("gpu:a100:8(IDX:0-7)", ""), end_time=1600, cpus=10)
"""It has eight CPUs of nv1 and two of nv2, which its record does not say."""
ON_CPUS = running(2, "nv1", "", cpus=2, end_time=2000)
ENDLESS = replace(ON_CPUS, time_limit_minutes=None, end_time=0)
PART = ReservationRecord("cores", 0.0, 3000.0, ("nv1",), partial=True, cores=4)


@pytest.mark.parametrize(
    ("jobs", "records", "used", "whole"),
    [
        ((UNEVEN,), (), 8, 1600),
        ((UNEVEN, ON_CPUS), (), 10, 2000),
        ((UNEVEN, ENDLESS), (), 10, None),
        ((UNEVEN,), (PART,), 8, 3000),
        ((UNEVEN,), (replace(PART, end=1500.0),), 8, 1600),
        ((UNEVEN,), (replace(PART, flags=frozenset({"TIME_FLOAT"})),), 8, None),
        ((), (PART,), 0, 3000),
    ],
)
def test_a_node_is_whole_again_once_nobody_has_anything_of_it(
    jobs: tuple[Job, ...],
    records: tuple[ReservationRecord, ...],
    used: int,
    whole: float | None,
) -> None:
    at = replace(snapshot(*jobs), time=NOW, reservations=records)
    nodes = tuple(replace(n, cpus_alloc=used) if n.name == "nv1" else n for n in at.nodes)
    at = replace(at, nodes=nodes)
    room, off = take_inventory(at, policy()), frozenset({"nv2"})
    it = Axis(room, coming_free(at, policy()), NOW)
    cpus = room.nodes["nv1"].cpus
    for asked in (
        task("a", slots=(Slot(8, cpus, 1024),), exc_nodes=off),
        task("b", slots=(Slot(8, 1, 1024),), exc_nodes=off, exclusive=True),
    ):
        made = it.soonest(asked)
        assert (made and made.start) == whole, asked.key


def of_nodes(ends: Mapping[str, int], devices: Sequence[int] = (8, 8, 8, 8)) -> Axis:
    """An axis of nodes like nv1 with so many devices, each full until its end."""
    nv1 = inventory(FULL[0]).nodes["nv1"]
    coming = {name: (ComingFree(end, "1", 4, 4096),) for name, end in ends.items()}
    nodes = {
        name: replace(nv1, name=name, devices=nv1.devices[:count])
        for name, count in zip(ends, devices, strict=False)
    }
    return Axis(Inventory(nodes), coming, NOW)


@pytest.mark.parametrize("seed", range(40))
def test_several_nodes_are_the_first_that_have_room_and_are_open_at_one_time(seed: int) -> None:
    """Whatever Slurm's reservations have of them, before, between and after."""
    rng = random.Random(seed)
    ends = {name: rng.randrange(1010, 9000) for name in ("n1", "n2", "n3", "n4")}
    closed = [
        ReservationRecord("r", start, start + rng.choice((60, 900, 4000)), (name,))
        for name in rng.choices(list(ends), k=rng.randrange(1, 7))
        for start in (rng.randrange(500, 9000),)
    ]
    it, wanted = of_nodes(ends), rng.randrange(2, 4)
    it.opens = Closings(NOW, tuple(replace(r, name=f"r{n}") for n, r in enumerate(closed))).opens
    asked = wants("a", nodes=wanted, minutes=rng.choice((5, 20, 120)))

    def able(name: str, at: float) -> bool:
        end = at + 60 * (asked.minutes or 0) + STARTS_WITHIN
        return at >= ends[name] and not any(
            name in r.nodes and r.start < end and at < r.end for r in closed
        )

    times = sorted({*ends.values(), *(r.end for r in closed)})
    soonest = (at for at in times if sum(able(name, at) for name in ends) >= wanted)
    made = it.soonest(asked)
    assert made
    assert made.start == next(soonest)
    assert all(able(name, made.start) for name in made.placement.nodes)


@pytest.mark.parametrize(
    ("slots", "devices", "ends", "expected"),
    [
        ((5, 4), (8, 4), (4600, 1300), (4600, "n1,n2")),
        ((4, 5), (8, 4), (4600, 1300), (4600, "n2,n1")),  # each node for its own slot
        ((5, 4), (8, 8), (1300, 4600), (4600, "n2,n1")),
        ((5, 4, 4), (8, 4, 4), (1300, 1600, 4600), (4600, "n1,n2,n3")),
        ((5, 5, 4), (8, 4, 8, 4), (1300, 1600, 1900, 4600), (1900, "n1,n3,n2")),
        ((5, 5, 4), (8, 4, 4), (1300, 1600, 4600), None),
        ((5, 4), (4, 4), (1300, 1600), None),
        ((5, 4), (8, 3), (1300, 1600), None),
    ],
)
def test_slots_that_differ_get_nodes_that_differ(
    slots: tuple[int, ...],
    devices: tuple[int, ...],
    ends: tuple[int, ...],
    expected: tuple[float, str] | None,
) -> None:
    """As --gpus=9 -N2 on nodes of eight and of four; as long as others are there, and when not."""
    asked = task("a", slots=tuple(Slot(n, n, 1024 * n) for n in slots), minutes=10)
    it = of_nodes(dict(zip(("n1", "n2", "n3", "n4"), ends, strict=False)), devices)
    assert could_ever_start(asked, it.room) is bool(expected)
    made = it.soonest(asked)
    assert (made and (made.start, ",".join(made.placement.nodes))) == expected
    if made:
        assert [len(found) for found in made.placement.devices] == list(slots)
        it.take(made)
        again = it.soonest(replace(asked, key="b"))
        assert again
        assert again.start == made.start + 600


def test_a_small_slot_has_room_where_the_largest_has_none() -> None:
    """Until then, and no longer, a task may be there in whichever way it could now."""
    full = of_nodes({"n1": 1300, "n2": 1300}, (8, 4)).room
    free = {name: emptied(node) for name, node in full.nodes.items()}
    it = Axis(Inventory(free), {}, NOW)
    uneven = task("a", slots=(Slot(5, 1, 1024), Slot(4, 1, 1024)), minutes=None)
    it.take(Reservation(wants("b"), placement_on(wants("b"), [free["n1"]]), 5000.0))
    assert [it.room_until(uneven, name) for name in free] == [5000.0, math.inf]
    assert [it.room_until(wants("c", 5), name) for name in free] == [5000.0, 0.0]


ON_L40S: dict[str, Any] = {
    "types": frozenset({"l40s"}), "pools": ("infer-nv",), "exc_nodes": frozenset({"l40s2"}),
}  # fmt: skip
SHARERS = (
    running(1, "l40s1", "shard:24(IDX:0)", end_time=1300, cpus=1),
    running(2, "l40s1", "shard:24(IDX:1)", cpus=1),
)
"""Of four cards of 48 GiB the first has 24 free until 1300, and the second for ever."""


@pytest.mark.parametrize(
    ("wanted", "gib", "minutes", "until", "start"),
    [
        (0, 24, 60, math.inf, 0),
        (3, 24, 60, 1300, 300),  # on card 0 at once, which is wanted; then on card 1
        (3, 24, 5, 1300, 0),
        (3, 25, 60, 1300, 900),  # on card 2 at once, and no other has room all the time
        (3, 25, 5, 1300, 0),
        (3, 25, None, 1300, 900),
        (1, 25, 60, math.inf, 0),  # the last, which a share that starts before leaves
    ],
)
def test_a_share_stays_on_the_card_that_it_is_given(
    wanted: int, gib: int, minutes: int | None, until: float, start: float
) -> None:
    """As many whole cards are `wanted` from 1300 on, for ten minutes: they do for each other."""
    it = axis(*SHARERS)
    if wanted:
        whole = task("h", slots=(Slot(wanted, 1, 1024),), minutes=10, **ON_L40S)
        it.take(Reservation(whole, placement_on(whole, [it.room.nodes["l40s1"]]), NOW + 300))
    asked = task("a", takes_share=True, memory_gib=gib, minutes=minutes, **ON_L40S)
    assert it.room_until(asked, "l40s1") == until
    made = it.soonest(asked)
    assert made
    assert made.start == NOW + start


def test_shares_do_not_get_the_room_of_one_that_waits_for_it() -> None:
    """There is some on another card, but Slurm would give them that of the first."""
    it = axis(*SHARERS, running(3, "l40s1", "gpu:l40s:2(IDX:2-3)", cpus=1))
    waits = task("h", takes_share=True, memory_gib=40, minutes=60, **ON_L40S)
    made = it.soonest(waits)
    assert made
    assert (made.start, made.placement.devices) == (1300, ((0,),))
    it.take(made)
    others = [task("a", takes_share=True, memory_gib=gib, **ON_L40S) for gib in (8, 20)]
    assert [it.room_until(other, "l40s1") for other in others] == [math.inf, 1300]


@pytest.mark.parametrize("seed", range(6))
def test_what_was_found_before_changes_no_start(seed: int) -> None:
    """An axis remembers who had room where; one that has only the same places taken does not."""
    rng = random.Random(seed)
    ends = (rng.choice((1300, 1600, 2500, 4600)) for _ in "12")
    jobs = [busy(n, f"nv{n}", ALL[: rng.randrange(1, 9)], end) for n, end in enumerate(ends, 1)]
    it, taken = axis(*jobs), list[Reservation]()
    for number in range(20):
        minutes = rng.choice((5, 10, 11, 12, 30, 60))
        asked = wants(f"{number}", rng.choice((1, 2, 4, 8)), rng.choice((1, 1, 2)), minutes)
        made, fresh = it.soonest(asked), axis(*jobs)
        for one in taken:
            fresh.take(one)
        without = fresh.soonest(asked)
        assert made is not None
        assert without is not None
        assert (made.start, made.task) == (without.start, without.task)
        taken.append(made)
        it.take(made)
