"""The device map: each idle device has exactly one cause, and what starts now does start."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from slurm_het.core.measured import Measured
from slurm_het.core.model import Job, NodeRecord, Partition, Snapshot
from slurm_het.core.network import ANY_NUMBER, Network, Part
from slurm_het.core.policy import Limits
from slurm_het.core.reasons.idle import Cause, Idle
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.views.device_map import DeviceMap, MapOptions, device_map
from slurm_het.core.views.job_rows import as_planned
from slurm_het.core.views.probes import ProbeOptions
from tests.support.squeue_cluster import NODES, NOW, POLICY, running, snapshot, waiting


def made(taken: Snapshot, **options: object) -> DeviceMap:
    """The map of a snapshot; memory is not dealt out unless that is asked for."""
    chosen = MapOptions(ProbeOptions(memory=None), **options)  # type: ignore[arg-type]
    return device_map(as_planned(taken, POLICY, Limits()), chosen)


def causes(shown: DeviceMap, name: str) -> list[Idle | None]:
    """Of a node's devices."""
    return [d.idle for n in shown.nodes if n.node == name for d in n.devices]


def with_node(name: str, **changes: object) -> tuple[NodeRecord, ...]:
    """The nodes, one of them changed."""
    return tuple(replace(n, **changes) if n.name == name else n for n in NODES)  # type: ignore[arg-type]


def test_what_runs_is_not_idle_and_nobody_waits_for_the_rest() -> None:
    shown = made(snapshot(running(1, "nv1", "gpu:a100:2(IDX:0-1)")))
    assert causes(shown, "nv1") == [None, None, *[Idle(Cause.UNWANTED)] * 6]
    (a100,) = (t for t in shown.types if t.type == "a100")
    assert (a100.devices, a100.idle, a100.starts_now) == (16, 14, 14)
    assert (a100.largest.devices, a100.largest.nodes) == (8, 1)


def test_a_probe_has_the_time_that_slurm_gives_in_the_intake() -> None:
    """Else it would count as one that asks for more than its pool's MaxTime."""
    taken = snapshot()
    partitions = tuple(
        replace(p, default_minutes=60, max_minutes=600) for p in taken.partitions
    )  # fmt: skip
    shown = made(replace(taken, partitions=partitions))
    assert causes(shown, "nv1") == [Idle(Cause.UNWANTED)] * 8


TREES: Network = {
    f"nv{n}": (Part(f"leaf{n // 15}", ANY_NUMBER), Part(f"tree{n // 15}", ANY_NUMBER))
    for n in range(40)
}


@pytest.mark.parametrize(
    ("pool", "network", "nodes"),
    [
        (Partition("train-nv"), {}, 40),
        (Partition("train-nv", max_nodes=50), {}, 40),
        (Partition("train-nv", max_nodes=36), {}, 36),
        (Partition("train-nv", max_nodes=4), {}, 4),
        (Partition("train-nv", max_nodes=1), {}, 1),
        (Partition("train-nv", max_nodes=4, min_nodes=2), {}, 4),
        (Partition("train-nv"), TREES, 15),
        (Partition("train-nv", max_nodes=12), TREES, 12),
    ],
)
def test_the_largest_job_has_as_many_nodes_as_its_partition_and_the_network_let_it_have(
    pool: Partition, network: Network, nodes: int
) -> None:
    taken = snapshot(nodes=tuple(replace(NODES[1], name=f"nv{n}") for n in range(40)))
    partitions = tuple(pool if p.name == pool.name else p for p in taken.partitions)
    (a100,) = made(replace(taken, partitions=partitions, networks={"": network})).types
    assert (a100.largest.devices, a100.largest.nodes) == (8, nodes)
    assert len(a100.largest.on) == 40


def test_who_waits_for_more_leaves_the_rest_usable() -> None:
    busy = [running(n, f"nv{n}", "gpu:a100:7(IDX:0-6)", time_limit_minutes=None) for n in (1, 2)]
    shown = made(snapshot(*busy, waiting(3, "gpu:a100:2", time_limit_minutes=60)))
    assert causes(shown, "nv1")[7] == Idle(Cause.USABLE)
    assert causes(shown, "amd1")[0] == Idle(Cause.UNWANTED)


def test_a_kept_node_is_held_for_longer_jobs() -> None:
    large = waiting(9, "gpu:a100:8", nodes_min=2, tasks=2, cpus=2, time_limit_minutes=60)
    taken = snapshot(running(1, "nv1", "gpu:a100:8(IDX:0-7)"), large)
    assert causes(made(taken), "nv2") == [Idle(Cause.HELD, job="9", time=NOW + 3600)] * 8
    prepared = as_planned(taken, POLICY, Limits())
    short = device_map(prepared, MapOptions(ProbeOptions(30, memory=None)))
    assert {i.cause for i in causes(short, "nv2") if i} == {Cause.USABLE}
    assert next(t for t in short.types if t.type == "a100").largest.on == ("nv2",)


def test_what_the_next_plan_gives_away_is_held() -> None:
    shown = made(snapshot(waiting(9, "gpu:mi300x:8")))
    held = [
        name for name in ("amd1", "amd2") if causes(shown, name)[0] == Idle(Cause.HELD, job="9")
    ]
    assert len(held) == 1


def test_the_node_decides() -> None:
    nodes = with_node("nv1", state="IDLE+DRAIN", reason="bad fan")
    (drained, *_) = causes(made(snapshot(nodes=nodes)), "nv1")
    assert drained == Idle(Cause.DRAINED, "drained: bad fan")
    nodes = with_node("nv1", cpus_alloc=64)
    assert causes(made(snapshot(nodes=nodes)), "nv1")[0] == Idle(Cause.NO_CORES)
    nodes = with_node("nv1", memory_alloc_mib=512 << 10)
    prepared = as_planned(snapshot(nodes=nodes), POLICY, Limits())
    assert causes(device_map(prepared, MapOptions()), "nv1")[0] == Idle(Cause.NO_MEMORY)


def test_reservations_of_slurms() -> None:
    now = ReservationRecord("upkeep", NOW - 60, NOW + 3600, ("nv1",))
    later = ReservationRecord("later", NOW + 600, NOW + 3600, ("nv2",))
    taken = replace(snapshot(), reservations=(now, later))
    assert causes(made(taken), "nv1")[0] == Idle(Cause.RESERVED, "upkeep")
    assert causes(made(taken), "nv2")[0] == Idle(Cause.RESERVED, "later", time=NOW + 600)


@pytest.mark.parametrize(("begins", "first"), [(1800, Cause.RESERVED), (9000, Cause.HELD)])
def test_of_a_reservation_and_a_job_who_has_the_node_first_is_told(
    begins: int, first: Cause
) -> None:
    large = waiting(9, "gpu:a100:8", nodes_min=2, tasks=2, cpus=2, time_limit_minutes=60)
    taken = snapshot(running(1, "nv1", "gpu:a100:8(IDX:0-7)"), large)
    closes = ReservationRecord("maint", NOW + begins, NOW + begins + 600, ("nv1", "nv2"))
    shown = causes(made(replace(taken, reservations=(closes,))), "nv2")[0]
    assert shown
    until = NOW + min(begins, 3600)
    assert (shown.cause, shown.time) == (first, until), "who ends before that may start"


def test_a_closed_pool_and_what_telemetry_knows() -> None:
    taken = snapshot()
    closed = tuple(
        replace(p, state="DOWN") if p.name == "train-amd" else p for p in taken.partitions
    )
    ill = {
        "nv1": (Measured(3, trouble="XID 79"), Measured(4, excess_gib=30)),
        "amd1": (Measured(0, excess_gib=9),),
    }
    shown = made(replace(taken, partitions=closed, measured=ill))
    assert causes(shown, "amd1") == [Idle(Cause.CLOSED, "pool train-amd is DOWN")] * 8
    assert causes(shown, "nv1")[3] == Idle(Cause.UNHEALTHY, "XID 79")
    assert causes(shown, "nv1")[4] == Idle(Cause.FOREIGN, "30 GiB")
    assert causes(shown, "nv1")[2] == Idle(Cause.UNWANTED)


def test_with_the_gate_open_slurm_holds() -> None:
    nodes = with_node("nv2", state="IDLE+PLANNED")
    large = waiting(9, "gpu:a100:8", nodes_min=2, tasks=2, cpus=2, time_limit_minutes=60)
    taken = snapshot(running(1, "nv1", "gpu:a100:8(IDX:0-7)"), large, intake="UP", nodes=nodes)
    shown = device_map(
        as_planned(taken, POLICY, Limits()),
        MapOptions(ProbeOptions(memory=None, gate_open=True)),
    )
    (held, *_) = causes(shown, "nv2")
    assert held
    assert (held.cause, held.job) == (Cause.HELD, "")


def _random_state(seed: int) -> Snapshot:
    rng = random.Random(seed)
    jobs: list[Job] = []
    nodes = []
    for node in NODES:
        state = rng.choice(["IDLE"] * 6 + ["IDLE+DRAIN", "DOWN*", "MIXED"])
        count = 4 if node.name == "l40s1" else 8
        used = rng.sample(range(count), rng.randint(0, count))
        gres = node.gres.partition(",")[0].split(":")[1]
        for index in used:
            detail = f"gpu:{gres}:1(IDX:{index})"
            if node.name == "l40s1":
                detail = f"shard:{rng.randint(1, 48)}(IDX:{index})"
            limit = rng.choice([None, 120, 120])
            jobs.append(
                running(len(jobs) + 1, node.name, detail, partition=node.partitions[-1],
                        time_limit_minutes=limit, exclusive=rng.random() < 0.02)
            )  # fmt: skip
        cpus = rng.choice([len(used), len(used), 64])
        memory = rng.choice([0, 0, node.memory_mib])
        nodes.append(replace(node, state=state, cpus_alloc=cpus, memory_alloc_mib=memory))
    for number in range(rng.randint(0, 6)):
        asked = rng.choice(["gpu:a100:8", "gpu:2", "gpu:mi300x:4", "shard:24", "gpu:a100:1"])
        jobs.append(waiting(100 + number, asked, nodes_min=rng.choice([1, 1, 2]),
                            time_limit_minutes=rng.choice([30, 600])))  # fmt: skip
    start = NOW + rng.choice([-60, 1200])
    reservations = (ReservationRecord("upkeep", start, NOW + 7200, (rng.choice(NODES).name,)),)
    taken = snapshot(*jobs, nodes=tuple(nodes))
    partitions = tuple(
        Partition(p.name, "DOWN") if p.name != "accel" and rng.random() < 0.1 else p
        for p in taken.partitions
    )
    chosen = reservations if rng.random() < 0.3 else ()
    return replace(taken, partitions=partitions, reservations=chosen)


def test_each_idle_device_of_random_states_has_one_cause() -> None:
    found: set[Cause] = set()
    for seed in range(200):
        shown = made(_random_state(seed))
        for node in shown.nodes:
            for device in node.devices:
                assert (device.idle is None) == bool(device.holders), (seed, node.node)
                found |= {device.idle.cause} if device.idle else set()
        for kind in shown.types:
            assert kind.idle >= kind.starts_now
            # What a single device of the pool can start, the largest job says, and nothing else.
            ready = any(
                d.idle and d.idle.cause.starts_now and d.type == kind.type
                for n in shown.nodes
                if kind.pool in n.pools
                for d in n.devices
            )
            assert ready >= bool(kind.largest.devices), (seed, kind)
            assert ready <= bool(kind.largest.devices or kind.largest.share_gib), (seed, kind)
    assert found == set(Cause) - {Cause.FOREIGN, Cause.UNHEALTHY, Cause.NO_MEMORY}
