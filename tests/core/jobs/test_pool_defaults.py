"""What a user left open becomes what each pool's partition gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.admission import Admitted, admit_message, admit_record
from slurm_het.core.jobs.pool_defaults import Bounds, InPools, as_in_the_gate, as_in_the_pools
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.memory_defaults import MemoryDefaults
from slurm_het.core.model import Job, Partition, Placement, Slot
from slurm_het.core.planner.updates import release_fields
from slurm_het.core.policy import Policy
from slurm_het.library import propose
from tests.support.world import gated, inventory, policy, snapshot

PARTITIONS = {
    p.name: p
    for p in (
        Partition("accel", default_minutes=10, max_minutes=600),
        Partition("train-nv", default_minutes=30, max_minutes=60, cpus_per_gpu=4),
        Partition("infer-nv", max_minutes=120, cpus_per_gpu=2),
    )
}
POOLS = tuple(p for p in policy().pools if p.partition in PARTITIONS)
NAMES = ("train-nv", "infer-nv")


def submitted(sent: dict[str, str], **record: Any) -> Job:
    """A gated job that was submitted with these fields."""
    message = {"tres_per_node": "gpu:1", "user_name": "ann"} | sent
    made = admit_message(message, policy(), inventory())
    assert isinstance(made, Admitted)
    return gated(7, admin_comment=made.fields["admin_comment"], **record)


def stray(**record: Any) -> Job:
    """A gated job that came past the hook, adopted since."""
    made = admit_record(gated(7, **record), "", policy(), inventory())
    assert isinstance(made, Admitted)
    return gated(7, admin_comment=made.fields["admin_comment"], **record)


def there(job: Job) -> InPools:
    return as_in_the_pools(job, POOLS, PARTITIONS, "accel")


def test_an_open_time_is_each_pools_own_and_the_intakes_on_its_way_back() -> None:
    seen = there(submitted({}, time_limit_minutes=10))
    assert dict(seen.time_limits) == {"train-nv": 30, "infer-nv": 120, "accel": 10}
    assert seen.job.time_limit_minutes == 30
    assert seen.minutes(NAMES) == 120
    assert seen.minutes(("train-nv",)) == 30


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ({"time_limit": "10"}, 10),
        ({"time_limit": "unlimited"}, None),
        ({}, 45),
        ({}, None),
        ({}, 30),
        ({}, 120),
        ({}, 600),
        ({}, 7),
    ],
    ids=[
        "as the intake's", "-t 0", "updated since", "to no limit", "to a pool's", "to another's",
        "to MaxTime", "to that of a partition that is no pool",
    ],
)  # fmt: skip
def test_a_time_that_somebody_gave_stays(sent: dict[str, str], given: int | None) -> None:
    partitions = PARTITIONS | {"debug": Partition("debug", max_minutes=7)}
    job = submitted(sent, time_limit_minutes=given)
    seen = as_in_the_pools(job, POOLS, partitions, "accel", Bounds({"accel": 45, "debug": 600}))
    assert not seen.time_limits
    assert seen.minutes(NAMES) == given


@pytest.mark.parametrize(
    ("pool", "given", "before"),
    [
        ("train-nv", 30, 10),  # as the release wrote it
        ("infer-nv", 120, 10),
        ("train-nv", 120, 120),  # somebody has set it since
        ("train-nv", 10080, 10080),
        ("train-nv", None, None),
    ],
)
def test_who_comes_back_to_the_gate_has_the_intakes_time_again(
    pool: str, given: int | None, before: int | None
) -> None:
    job = replace(submitted({}, time_limit_minutes=given), partition=pool)
    assert as_in_the_gate(job, PARTITIONS, "accel", {}).time_limit_minutes == before
    its_own = replace(submitted({"time_limit": "30"}, time_limit_minutes=30), partition=pool)
    assert as_in_the_gate(its_own, PARTITIONS, "accel", {}) is its_own


def test_a_job_without_our_mark_is_as_it_is() -> None:
    job = gated(7, time_limit_minutes=10)
    assert there(job) == InPools(job, POOLS)


def test_time_min_is_planned_with_and_the_rest_is_cut_to_the_pools_most() -> None:
    seen = there(submitted({"time_limit": "90", "time_min": "20"}, time_limit_minutes=90))
    assert dict(seen.time_limits) == {"train-nv": 60, "infer-nv": 90, "accel": 90}
    assert seen.minutes(NAMES) == 20


def test_cpus_that_come_with_devices_unless_the_user_said_how_many() -> None:
    assert there(submitted({})).job.cpus_per_gpu == 4
    assert there(submitted({"cpus_per_task": "1"})).job.cpus_per_gpu == 0
    job = submitted({"cpus_per_tres": "gpu:3"}, cpus_per_gpu=3)
    assert there(job).job.cpus_per_gpu == 3


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ((("train-nv", 30),), "30"),
        ((("train-nv", None),), "UNLIMITED"),
        ((("train-nv", 60),), None),  # it has that
        ((("infer-nv", 30),), None),
        ((), None),
    ],
)
def test_the_release_sets_the_time_of_its_pool(limits: Any, told: str | None) -> None:
    placement = Placement("7", "train-nv", ("nv1",), ((0,),), ("a100",), 80)
    job = replace(gated(7), time_limit_minutes=60)
    assert release_fields(placement, job, limits=limits).get("TimeLimit") == told


@pytest.mark.parametrize("make", [stray, gated], ids=["adopted", "not yet"])
@pytest.mark.parametrize(
    ("default", "given", "limits"),
    [
        # The intake's, and too long for every pool.
        (240, 240, {"train-nv": 30, "infer-nv": 120, "accel": 240}),
        (100, 100, {}),  # one of its pools takes it: its user may have given it
        (240, 300, {}),  # its user's own: that it waits is Slurm's answer too
    ],
)
def test_a_strays_time_is_open_if_it_is_the_intakes_and_suits_no_pool(
    make: Any, default: int, given: int, limits: dict[str, int]
) -> None:
    job = make(time_limit_minutes=given) if make is stray else gated(7, time_limit_minutes=given)
    intake = replace(PARTITIONS["accel"], default_minutes=default)
    seen = as_in_the_pools(job, POOLS, PARTITIONS | {"accel": intake}, "accel")
    assert dict(seen.time_limits) == limits


def test_a_job_that_is_handed_over_gets_a_time_limit_that_its_pools_take() -> None:
    intake = replace(PARTITIONS["accel"], default_minutes=240)
    partitions = (intake, *(p for p in PARTITIONS.values() if p.name != "accel"))
    for number, given in ((1, 240), (2, 60), (3, 300)):
        job = gated(number, time_limit_minutes=given, req_nodes="nv1")
        taken = replace(snapshot(job), partitions=partitions)
        queue = fill_task_pools(taken, take_inventory(taken, policy()), policy())
        if number == 3:
            assert not queue.handovers, "no pool takes what its user asks for"
        else:
            made = queue.handovers[job.key]
            assert made.time_limits == {1: (120,), 2: ()}[number]
            assert set(made.partitions) == (
                {"infer-nv"} if number == 1 else {"train-nv", "infer-nv"}
            )


def two_training_pools() -> Policy:
    """The policy where infer-nv is for training too."""
    pools = tuple(replace(pool, scenario="training") for pool in policy().pools)
    return replace(policy(), pools=pools)


def one_slot(job: Job, partitions: dict[str, Partition]) -> Slot:
    """What a job asks of its node, where these are the pools' partitions."""
    taken, mine = (
        replace(snapshot(job), partitions=tuple(partitions.values())),
        two_training_pools(),
    )
    (task,) = fill_task_pools(taken, take_inventory(taken, mine), mine).tasks
    (slot,) = task.slots
    return slot


def without_mem(number: int = 7, **record: Any) -> Job:
    """A gated job whose user left its memory open."""
    sent = {name: str(value) for name, value in record.items()}
    job = submitted(sent, memory_per_cpu_mib=None, memory_per_node_mib=0, **record)
    return replace(job, id=number)


def test_each_pools_own_defaults_are_what_a_job_needs_there() -> None:
    """The pool of large defaults must not make the job too large for the other one."""
    large, small = MemoryDefaults(per_gpu=200_000), MemoryDefaults(per_gpu=8_000)
    by_cpu = MemoryDefaults(per_cpu=9_000)
    pools = PARTITIONS | {"train-nv": replace(PARTITIONS["train-nv"], memory=large)}
    pools["infer-nv"] = replace(PARTITIONS["infer-nv"], memory=small)
    slot = one_slot(without_mem(tres_per_node="gpu:2"), pools)
    assert slot.within(("train-nv",)) == Slot(2, 8, 400_000)
    assert slot.within(("infer-nv",)) == Slot(2, 4, 16_000)
    assert slot.within(("infer-nv", "train-nv")) == Slot(2, 8, 400_000)
    assert (slot.devices, slot.cpus, slot.memory_mib) == (2, 8, 400_000), "the most of all"
    pools["train-nv"] = replace(pools["train-nv"], memory=by_cpu)
    assert one_slot(without_mem(), pools).within(("train-nv",)) == Slot(1, 4, 36_000, 9_000)


def test_equal_defaults_are_one_slot() -> None:
    alike = {
        name: Partition(name, memory=MemoryDefaults(per_gpu=4_000))
        for name in ("accel", "train-nv", "infer-nv")
    }
    assert one_slot(without_mem(), alike) == Slot(1, 1, 4_000)


def test_a_job_goes_where_the_defaults_of_that_pool_leave_room() -> None:
    """Nodes of 64 GiB: 48 GiB for each GPU by default in one pool, 4 GiB in the other."""
    defaults = {"train-nv": 48 * 1024, "infer-nv": 4 * 1024}
    shot = snapshot(*(without_mem(number) for number in range(1, 21)))
    shot = replace(
        shot,
        nodes=tuple(replace(n, memory_mib=64 * 1024) for n in shot.nodes),
        partitions=tuple(
            replace(p, memory=MemoryDefaults(per_gpu=defaults[p.name])) if p.name in defaults else p
            for p in shot.partitions
        ),
    )
    made = propose(shot, two_training_pools())
    nodes = take_inventory(shot, policy()).nodes.values()
    there = {
        pool: [len(node.devices) for node in nodes if pool in node.partitions] for pool in defaults
    }
    by_pool = Counter(placement.partition for placement in made.placements)
    assert by_pool == {"train-nv": len(there["train-nv"]), "infer-nv": sum(there["infer-nv"])}
