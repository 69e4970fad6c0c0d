"""Devices that are not what Slurm takes them for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.cluster.ailing import (
    Excesses,
    Sample,
    SlurmPlace,
    base_of,
    devices_of,
    what_ails,
    what_ails_node,
)
from slurm_het.core.cluster.fit import could_start, serving
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.cluster.occupancy import emptied
from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.measured import Measured
from slurm_het.core.model import Job, Node, Placement, Slot, Task
from slurm_het.core.planner.explain import explain
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.plan import plan
from tests.support import world

GIB = 1024


def told(*measured: Measured, node: str = "l40s1", jobs: tuple[Job, ...] = ()) -> Inventory:
    """The sandbox with what the devices of one node say, the others being closed."""
    snapshot = world.snapshot(*jobs)
    nodes = tuple(n if n.name == node else replace(n, state="DOWN") for n in snapshot.nodes)
    snapshot = replace(snapshot, nodes=nodes, measured={node: measured})
    return take_inventory(snapshot, world.policy())


def task(devices: int = 1, *, gib: int = 0, types: str = "l40s", pool: str = "infer-nv") -> Task:
    """It asks for whole devices, or for a share of `gib`."""
    slots = (Slot(devices, 1, 0),)
    return Task("1", 1, "ann", "inference", frozenset({types}), slots, (pool,),
                takes_share=bool(gib), memory_gib=gib)  # fmt: skip


FULL = Measured(0, used_gib=30, excess_gib=30)
LOST = Measured(1, trouble="lost")


@pytest.mark.parametrize(
    ("asks", "measured", "starts"),
    [
        (task(gib=18), FULL, True),  # 48 - 30: Slurm gives the first, and it has room
        (task(gib=19), FULL, False),  # Slurm would give the first as well
        (task(1), FULL, False),
        (task(1), LOST, True),  # the first is well
        (task(2), LOST, False),
        (task(gib=40), LOST, True),
        (task(gib=40), replace(LOST, index=0), False),
        (task(4), LOST, False),
        (task(1), replace(LOST, index=3), True),
        (task(3), replace(LOST, index=3), True),
    ],
)
def test_who_would_be_given_an_ailing_device_does_not_start(
    asks: Task, measured: Measured, starts: bool
) -> None:
    inventory = told(measured)
    assert could_start(asks, inventory) is starts
    placed = plan(inventory, (asks,), world.policy(), greedy).placements
    assert bool(placed) is starts
    assert could_start(asks, told(Measured(0, used_gib=0)))


def test_what_slurm_gives_to_nobody_closes_nothing() -> None:
    """The first is held by a job: Slurm gives the next one, whatever the first says."""
    job = Job(9, state="RUNNING", nodes="l40s1", gres_detail=("gpu:l40s:1(IDX:0)",))
    inventory = told(replace(LOST, index=0), FULL, jobs=(job,))
    assert could_start(task(3), inventory)
    assert not could_start(task(4), inventory)


def test_a_plan_of_several_goes_round_it() -> None:
    asks = tuple(replace(task(1), key=str(n), job_id=n) for n in range(1, 4))
    made = plan(told(LOST), asks, world.policy(), greedy)
    assert [p.devices for p in made.placements] == [((0,),)]  # Slurm would give l40s1:1 next
    assert len(made.waiting) == 2


def test_why_it_waits_names_the_device() -> None:
    why = str(explain(task(gib=40), told(FULL)))
    assert "l40s1:0 (30 GiB in use beyond the 0 that Slurm gave away)" in why
    assert "l40s1:1 (lost)" in str(explain(task(4), told(LOST)))
    assert "not planned" not in str(explain(task(9), told(LOST)))


def test_it_ails_when_its_jobs_have_ended_too() -> None:
    node = emptied(told(FULL, LOST).nodes["l40s1"])
    assert [what_ails(d) != "" for d in node.devices] == [True, True, False, False]
    assert serving(task(1), node) == (2, 3)


def test_who_is_pinned_to_it_is_taken_back() -> None:
    pins = Pins(10, 10)
    placement = Placement("1", "infer-nv", ("l40s1",), ((0,),), ("l40s",), 48)
    pins.pins["1"] = Pin(task(1), placement, 0.0)
    assert pins.stranded(told(LOST)) == {}
    assert pins.stranded(told(FULL)) == {
        "1": "l40s1:0: 30 GiB in use beyond the 0 that Slurm gave away"
    }


def test_who_is_pinned_ahead_beside_one_that_is_held_stays() -> None:
    """Else he would be pinned there again at the next look, and so on until its job ends."""
    pins = Pins(10, 10)
    placement = Placement("1", "infer-nv", ("l40s1",), ((2,),), ("l40s",), 48)
    pins.pins["1"] = Pin(task(1), placement, 0.0, start=5000.0)
    lost = Measured(0, trouble="lost")
    assert pins.stranded(told(lost)), "Slurm would give him that one"
    holder = world.running(9, "l40s1", "gpu:l40s:1(IDX:0)")
    assert pins.stranded(told(lost, jobs=(holder,))) == {}


def a_node(*jobs: Job) -> Node:
    return world.inventory(*jobs).nodes["l40s1"]


def sample(used_gib: float, place: int = 0, **more: Any) -> Sample:
    slurm = SlurmPlace("gpu", place, 4)
    return Sample(place, "nvidia", int(used_gib * GIB), 48 * GIB, slurm=slurm, **more)


SHARE = Job(9, state="RUNNING", nodes="l40s1", gres_detail=("shard:l40s:20(20/48,0/48)",))
WHOLE = Job(9, state="RUNNING", nodes="l40s1", gres_detail=("gpu:l40s:1(IDX:0)",))


@pytest.mark.parametrize(
    ("jobs", "said", "excess"),
    [
        ((), sample(30), 30),
        ((), sample(4), 0),  # within the tolerance
        ((SHARE,), sample(20), 0),
        ((SHARE,), sample(30), 10),  # it has more than it was given
        ((SHARE,), sample(30, foreign_mib=15 * GIB), 15),  # it has not taken its share yet
        ((WHOLE,), sample(48), 0),
    ],
)
def test_the_larger_of_what_is_given_and_what_is_used_counts(
    jobs: tuple[Job, ...], said: Sample, excess: int
) -> None:
    excesses = Excesses(4, 3.0)
    assert excesses.see(a_node(*jobs), (said,), 0.0, 0.0)[0].excess_gib == 0  # only a moment
    assert excesses.see(a_node(*jobs), (said,), 3.0, 2.0)[0].excess_gib == excess
    fewer = excesses.see(a_node(*jobs), (sample(8),), 4.0, 3.0)[0].excess_gib
    assert fewer == min(excess, 8 if not jobs else 0), "it falls at once"


def test_a_job_that_has_just_started_or_ended_is_no_stranger() -> None:
    excesses = Excesses(4, 3.0)
    excesses.see(a_node(), (sample(30),), 0.0, 0.0)
    # No look at Slurm since: a job may have started meanwhile.
    assert not excesses.see(a_node(), (sample(30),), 5.0, -1.0)[0].excess_gib
    assert not excesses.see(a_node(WHOLE), (sample(30),), 6.0, 5.5)[0].excess_gib
    assert not excesses.see(a_node(), (sample(30),), 7.0, 6.5)[0].excess_gib, "it has ended"


def test_what_was_not_measured_for_a_while_has_not_lasted() -> None:
    excesses = Excesses(4, 3.0)
    excesses.see(a_node(), (sample(30),), 0.0, 0.0)
    excesses.see(a_node(), (), 5.0, 4.5)
    assert not excesses.see(a_node(), (sample(30),), 10.0, 9.5)[0].excess_gib


def test_a_spike_does_not_count() -> None:
    excesses, node = Excesses(4, 3.0), a_node()
    for taken, used in ((0.0, 30), (2.0, 1), (4.0, 30), (6.0, 30)):
        assert not excesses.see(node, (sample(used),), taken, taken)[0].excess_gib
    assert excesses.see(node, (sample(30),), 7.0, 7.0)[0].excess_gib == 30


def test_what_an_exporter_has_read_a_while_ago_is_no_strangers() -> None:
    """DCGM exporter reads each 30 s, and tells that as of now: a job that has ended since then."""
    excesses, node = Excesses(4, 3.0), a_node()
    late = sample(30, lag=30.0)
    for taken in (0.0, 5.0, 15.0, 30.0):
        assert not excesses.see(node, (late,), taken, taken)[0].excess_gib
    assert excesses.see(node, (late,), 33.0, 33.0)[0].excess_gib == 30


def test_what_an_idle_one_has_for_itself_is_nobodys() -> None:
    node = a_node()
    seen = [*devices_of([sample(3.5, 0), sample(3.6, 1), sample(30, 2)], node)]
    assert base_of(seen) == {"l40s": int(3.5 * GIB)}
    lone = base_of(devices_of([sample(30, 2)], node))
    assert lone == {"l40s": int(0.1 * 48 * GIB)}, "of one alone it is not known"
    excesses = Excesses(4, 0.0, base_of(seen))
    assert not excesses.see(node, (sample(7, 0),), 0.0, 0.0)[0].excess_gib


def test_a_device_is_slurms_by_slurmds_word_alone() -> None:
    """Slurm counts its devices by GRES name, a driver those of its vendor, each in its order."""
    node = a_node()
    mixed = replace(
        node,
        devices=tuple(
            replace(d, gres="npu:910b" if d.index in {0, 2} else "gpu:l40s") for d in node.devices
        ),
    )
    samples = [
        Sample(0, "nvidia", slurm=SlurmPlace("gpu", 1, 2)),
        Sample(1, "nvidia", slurm=SlurmPlace("gpu", 0, 2)),
        Sample(0, "ascend", slurm=SlurmPlace("npu", 1, 2)),
        Sample(2, "nvidia"),  # it drives a screen
    ]
    assert [(s.place, d.index) for s, d in devices_of(samples, mixed)] == [(0, 3), (1, 1), (0, 2)]
    assert devices_of(samples, node) == [], "slurmd has two, and the node four"
    assert devices_of([Sample(3, "nvidia")], node) == []
    odd = Sample(0, "nvidia", slurm=SlurmPlace("gpu", 4, 4))
    assert devices_of([odd], node) == []
    alone = replace(node, devices=node.devices[:1])
    assert [d.index for _, d in devices_of([Sample(3, "nvidia")], alone)] == [0]


HALF = Job(9, state="RUNNING", nodes="l40s1", gres_detail=("gpu:l40s:2(IDX:0-1)",))
TAKEN = {2: 40, 3: 40}  # the driver's places of the job's two


def unplaced(used: Mapping[int, float], lost: Iterable[int] = ()) -> tuple[Sample, ...]:
    return tuple(
        replace(sample(used.get(n, 0), n), slurm=None, trouble="lost" if n in lost else "")
        for n in range(4)
    )


@pytest.mark.parametrize(
    ("jobs", "samples", "ails", "of_node"),
    [
        ((HALF,), unplaced(TAKEN), [], ""),
        ((HALF,), unplaced(TAKEN | {0: 40, 1: 1}), [], "25 GiB in use beyond"),
        ((), unplaced({0: 30}), [], "30 GiB in use beyond"),
        ((), unplaced({0: 15}), [], ""),  # four GiB of each
        ((HALF,), unplaced(TAKEN, lost=[1]), [], "lost"),
        # Whichever of them is Slurm's first, it is one of these.
        ((), unplaced({}, lost=range(4)), [0, 1, 2, 3], "lost"),
        ((), unplaced({n: 30 + n for n in range(4)}), [0, 1, 2, 3], "126 GiB"),
        ((HALF,), unplaced({n: 30 + n for n in range(4)}), [2, 3], "30 GiB"),
        ((), unplaced({}, lost=range(3))[:3], [], "lost"),
    ],
)
def test_without_slurms_order_only_what_is_true_of_each_closes_one(
    jobs: tuple[Job, ...], samples: tuple[Sample, ...], ails: list[int], of_node: str
) -> None:
    excesses, node = Excesses(4, 3.0), a_node(*jobs)
    excesses.see(node, samples, 0.0, 0.0)
    rows = excesses.see(node, samples, 4.0, 3.0)
    assert [m.index for m in rows if m.ails and not m.of_node] == ails
    words = what_ails_node(rows)
    assert of_node in words
    assert bool(words) is bool(of_node)
    closed = told(*rows, jobs=jobs).nodes["l40s1"]
    assert [d.index for d in closed.devices if d.trouble or d.excess_gib] == ails


def test_one_that_is_lost_beside_known_ones_is_told_of_and_closes_none() -> None:
    samples = (*(sample(0, n) for n in range(3)), replace(sample(0, 3), slurm=None, trouble="lost"))
    rows = Excesses(4, 3.0).see(a_node(), samples, 0.0, 0.0)
    assert [m.index for m in rows if m.ails and not m.of_node] == []
    assert what_ails_node(rows) == "which of its devices is not known: lost"
