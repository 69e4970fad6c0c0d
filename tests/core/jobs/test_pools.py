"""Which pools a job fits, and why a partition would not take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.jobs.demand import Demand
from slurm_het.core.jobs.pools import (
    fitting_pools,
    fitting_types,
    own_first,
    refusal_of,
    usable_pools,
)
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Classification, Job, Partition, Slot
from slurm_het.core.site_limits import SiteLimits
from tests.support.world import inventory, marked, policy, snapshot

JOB = Job(
    id=1, user="ann", uid=1000, groups=("phys",), account="lab", qos="normal", time_limit_minutes=60
)

TWO = Demand(
    slots=(Slot(1, 4, 4096),) * 2, takes_share=False, memory_gib=0, exclusive=False,
    all_memory=False, asks="gpu", lot=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("job", "partition", "why"),
    [
        ({}, {}, ""),
        ({}, {"allow_groups": {"chem"}}, "AllowGroups=chem"),
        ({}, {"allow_groups": {"phys", "chem"}}, ""),
        ({"uid": 0}, {"allow_groups": {"chem"}}, ""),
        ({}, {"allow_accounts": {"other"}}, "AllowAccounts=other"),
        ({}, {"allow_accounts": {"lab"}}, ""),
        ({}, {"deny_accounts": {"lab"}}, "DenyAccounts=lab"),
        ({"account": ""}, {"deny_accounts": {"lab"}}, ""),
        ({}, {"allow_qos": {"high"}}, "AllowQos=high"),
        ({}, {"deny_qos": {"normal"}}, "DenyQos=normal"),
        ({"uid": 0}, {"root_disabled": True}, "DisableRootJobs"),
        ({}, {"root_disabled": True}, ""),
        ({}, {"root_only": True}, "RootOnly"),
        ({"uid": 0}, {"root_only": True}, ""),
        ({"alloc_node": "web"}, {"alloc_nodes": {"login1", "login2"}}, "AllocNodes=login[1-2]"),
        ({"alloc_node": "login1"}, {"alloc_nodes": {"login1", "login2"}}, ""),
        ({"alloc_node": "web", "uid": 0}, {"alloc_nodes": {"login1"}}, ""),
        ({}, {"alloc_nodes": {"login1"}}, ""),  # where is not told
        ({}, {"reservation_required": True}, "ReqResv"),
        ({"reservation": "r1"}, {"reservation_required": True}, ""),
        ({}, {"max_minutes": 59}, "MaxTime=59 min"),
        ({}, {"max_minutes": 60}, ""),
        ({"time_limit_minutes": None}, {"max_minutes": 60}, "MaxTime=60 min"),
        ({"time_limit_minutes": None}, {}, ""),
        ({}, {"max_nodes": 1}, "MaxNodes=1"),
        ({}, {"max_nodes": 2}, ""),
        ({}, {"min_nodes": 3}, "MinNodes=3"),
        ({}, {"max_cpus_per_node": 3}, "MaxCPUsPerNode=3"),
        ({}, {"max_cpus_per_node": 4}, ""),
        ({}, {"max_memory_per_node_mib": 4095}, "MaxMemPerNode=4095 MiB"),
        ({}, {"max_memory_per_node_mib": 4096}, ""),
        ({}, {"state": "DOWN"}, "State=DOWN"),
        ({}, {"state": "DRAIN"}, "State=DRAIN"),
    ],
)
def test_every_limit_of_a_partition(
    job: dict[str, Any], partition: dict[str, Any], why: str
) -> None:
    sets: dict[str, Any] = {
        k: frozenset(v) if isinstance(v, set) else v for k, v in partition.items()
    }
    refusal = refusal_of(replace(JOB, **job), TWO, Partition("p", **sets))
    assert (refusal.setting if refusal else "") == why


@pytest.mark.parametrize(
    ("lists", "why", "by_name"),
    [
        ({"allow_accounts": {"bio"}}, "", "AllowAccounts=bio"),
        ({"allow_accounts": {"root"}}, "", "AllowAccounts=root"),
        ({"allow_accounts": {"bio-lab1"}}, "", ""),
        ({"allow_accounts": {"bio-lab2", "phys"}}, *["AllowAccounts=bio-lab2,phys"] * 2),
        ({"deny_accounts": {"bio"}}, "DenyAccounts=bio", ""),
        ({"deny_accounts": {"bio", "bio-lab1"}}, "DenyAccounts=bio,bio-lab1",
         "DenyAccounts=bio-lab1"),
        ({"deny_accounts": {"bio-lab2"}}, "", ""),
    ],
)  # fmt: skip
def test_an_account_stands_for_those_below_it(
    lists: dict[str, set[str]], why: str, by_name: str
) -> None:
    """By name alone: on 22.05, and where nobody knows who is above whom."""
    sets: dict[str, Any] = {key: frozenset(names) for key, names in lists.items()}
    tree, unknown = SiteLimits(parents={"bio-lab1": "bio", "bio": "root"}), SiteLimits()
    for limits, below, told in (
        (tree, True, why),
        (tree, False, by_name),
        (unknown, True, by_name),
    ):
        shot = snapshot(marked(1, account="bio-lab1", features="a100"))
        lists_there = tuple(replace(p, sub_accounts=below, **sets) for p in shot.partitions)
        shot = replace(shot, limits=limits, partitions=lists_there)
        queue = fill_task_pools(shot, take_inventory(shot, policy()), policy())
        assert len(queue.tasks) == (not told)
        assert all(told in str(reason) for reason in queue.blocked.values())


def test_a_circle_of_accounts_ends() -> None:
    parents = {"lab": "a", "a": "lab"}
    assert refusal_of(JOB, TWO, Partition("p", allow_accounts=frozenset({"b"})), parents)
    assert not refusal_of(JOB, TWO, Partition("p", allow_accounts=frozenset({"a"})), parents)


@pytest.mark.parametrize(
    ("flag", "sets"),
    [
        ("PartitionTimeLimit", {"max_minutes": 30}),
        ("PartitionMaxNodes", {"max_nodes": 1}),
        ("PartitionMinNodes", {"min_nodes": 3}),
    ],
)
def test_a_qos_may_lift_a_limit_of_the_partitions(flag: str, sets: dict[str, Any]) -> None:
    job = marked(1, nodes_min=2, nodes_max=2, qos="long", features="a100")
    for flags, planned in (({flag}, True), ({"DenyOnLimit"}, False), (set(), False)):
        taken = snapshot(job)
        bounded = tuple(replace(p, **sets) for p in taken.partitions)
        named = {"long": frozenset(flags), "other": frozenset({flag})}
        taken = replace(taken, partitions=bounded, qos_flags=named)
        queue = fill_task_pools(taken, take_inventory(taken, policy()), policy())
        assert bool(queue.tasks) == planned


def test_usable_pools_come_with_the_refusals_of_the_others() -> None:
    pools = tuple(p for p in policy().pools if p.partition in {"train-nv", "train-amd", "infer-nv"})
    partitions = {
        "train-nv": Partition("train-nv"),
        "train-amd": Partition("train-amd", max_minutes=10),
    }
    usable = usable_pools(JOB, None, pools, partitions)
    assert usable.partitions == ("train-nv",)
    assert list(map(str, usable.refuses)) == [
        "train-amd: MaxTime=10 min", "infer-nv: Slurm has no such partition",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "types"),
    [
        (Classification("training"), "a100 mi300x 910b k100ai l40s 310p mlu370"),
        (Classification("training", vendors=("nvidia",)), "a100 l40s"),
        (Classification("training", types=("a100", "mi300x")), "a100 mi300x"),
        (Classification("inference", memory_gib=40), "a100 mi300x 910b k100ai l40s mlu370"),
        (Classification("inference", memory_gib=100), "mi300x"),
        (Classification("inference", vendors=("nvidia",), memory_gib=100), ""),
    ],
)
def test_types_by_vendor_and_memory(what: Classification, types: str) -> None:
    assert fitting_types(what, inventory().types, policy()) == frozenset(types.split())


@pytest.mark.parametrize(
    ("what", "pools"),
    [
        (Classification("training"), "train-nv train-amd train-ascend train-dcu"),
        (Classification("inference"), "infer-nv infer-ascend infer-mlu"),
        (Classification("training", vendors=("nvidia",)), "train-nv"),
        (Classification("inference", types=("a100",)), "train-nv"),
        (Classification("inference", memory_gib=100), "train-amd"),
        (Classification("training", partitions=("infer-nv",)), "infer-nv"),
        (Classification("training", types=("a100",), partitions=("infer-nv",)), ""),
    ],
)
def test_pools_by_scenario_and_vendor(what: Classification, pools: str) -> None:
    types = fitting_types(what, inventory().types, policy())
    of = {p.partition: inventory().largest_of(p.partition) for p in policy().pools}
    found = own_first(fitting_pools(what, types, of, policy()), what, types)
    assert [p.partition for p in found] == pools.split()
