"""What a job asks of each node, counted as Slurm counts it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.jobs.demand import Demand, NodeSize, count_demand, is_accelerator_job
from slurm_het.core.jobs.request import gres_of
from slurm_het.core.model import Job
from slurm_het.core.reasons import Reason, SlurmChooses
from tests.support.world import gated, policy

GIB = 1024  # in MiB


def demand(devices_per_node: int = 8, **fields: Any) -> Demand:
    """The demand of a job that can be planned."""
    job = gated(1, **fields)
    found = count_demand(job, gres_of(job), policy(), NodeSize(devices_per_node))
    assert isinstance(found, Demand), found
    return found


@pytest.mark.parametrize(
    ("fields", "devices"),
    [
        ({"tres_per_node": "gpu"}, [1]),
        ({"tres_per_node": "gpu:4"}, [4]),
        ({"tres_per_node": "gpu:a100:4", "nodes_min": 2}, [4, 4]),
        ({"tres_per_job": "gpu:3"}, [3]),
        ({"tres_per_job": "gpu:16"}, [8, 8]),
        ({"tres_per_job": "gpu:10"}, [5, 5]),
        ({"tres_per_job": "gpu:9", "nodes_min": 2}, [5, 4]),
        ({"tres_per_job": "gpu:4", "nodes_min": 2}, [2, 2]),
        ({"tres_per_task": "gpu:1", "tasks": 4}, [4]),
        ({"tres_per_task": "gpu=2", "tasks": 8}, [8, 8]),
        ({"tres_per_task": "gpu:1", "tasks": 4, "nodes_min": 2}, [2, 2]),
        # A task's devices are on one node.
        ({"tres_per_task": "gpu:2", "tasks": 5}, [6, 4]),
        ({"tres_per_task": "gpu:4", "tasks": 3}, [8, 4]),
        ({"tres_per_task": "gpu:2", "tasks": 3, "nodes_min": 2}, [4, 2]),
        ({"tres_per_task": "gpu:3", "tasks": 4}, [6, 6]),
        ({"tres_per_node": "gpu:2", "tasks": 9, "cpus": 9, "ntasks_per_node": 8}, [2, 2]),
        ({"tres_per_socket": "gpu:2", "sockets_per_node": 2}, [4]),
        ({"tres_per_socket": "gpu:1"}, [1]),
        # --gpus-per-node beside --gpus-per-task: the node's figure is the larger promise.
        ({"tres_per_node": "gpu:4", "tres_per_task": "gpu:1", "tasks": 4}, [4]),
    ],
)
def test_devices_of_each_node(fields: dict[str, Any], devices: list[int]) -> None:
    assert [slot.devices for slot in demand(**fields).slots] == devices


@pytest.mark.parametrize(
    ("fields", "cpus", "memory"),
    [
        ({"cpus": 1}, 1, 1024),
        ({"cpus": 8, "cpus_per_task": 8}, 8, 8192),
        ({"tasks": 4, "cpus": 4}, 4, 4096),
        ({"tasks": 128, "cpus": 1}, 1, 1024),  # --overcommit: they share it
        ({"tasks": 2, "cpus": 1, "min_cpus_per_node": 20, "cpus_per_task": 20}, 20, 20480),
        ({"tasks": 4, "cpus_per_task": 3, "cpus": 12}, 12, 12288),
        ({"ntasks_per_node": 4, "tasks": 8, "cpus_per_task": 3, "cpus": 24, "nodes_min": 2},
         12, 12288),
        ({"min_cpus_per_node": 16}, 16, 16384),
        ({"tres_per_node": "gpu:2", "cpus_per_gpu": 4, "cpus": 1}, 8, 8192),
        ({"memory_per_cpu_mib": None, "memory_per_node_mib": 5000}, 1, 5000),
        ({"tres_per_node": "gpu:2", "memory_per_cpu_mib": None, "memory_per_gpu_mib": 8192},
         1, 16384),
        ({"memory_per_cpu_mib": None}, 1, 0),
        ({"cpus": 5, "nodes_min": 2}, 3, 3072),
    ],
)  # fmt: skip
def test_cpus_and_host_memory(fields: dict[str, Any], cpus: int, memory: int) -> None:
    slot = demand(**fields).slots[0]
    assert (slot.cpus, slot.memory_mib) == (cpus, memory)


@pytest.mark.parametrize(
    ("fields", "lot"),
    [
        ({"tres_per_job": "gpu:16"}, 1),
        ({"tres_per_task": "gpu:2", "tasks": 8}, 2),
        ({"tres_per_job": "gpu:16", "tres_per_task": "gpu:2", "tasks": 8}, 1),
        ({"tres_per_task": "gpu:2", "tasks": 4}, 2),
        # Slurm decides nothing where the user has said it, or all is to be on one node.
        ({"tres_per_node": "gpu:8", "nodes_min": 2}, 0),
        ({"tres_per_socket": "gpu:2", "nodes_min": 2}, 0),
        ({"tres_per_task": "gpu:2", "tasks": 8, "ntasks_per_node": 4}, 0),
        ({"tres_per_task": "gpu:2", "tasks": 4, "nodes_max": 1}, 0),
        ({"tres_per_job": "gpu:8"}, 0),  # -n1, as far as the record tells
    ],
)
def test_slurm_deals_out_lots_where_the_number_on_each_node_is_open(
    fields: dict[str, Any], lot: int
) -> None:
    assert demand(**fields).lot == lot


def test_shards_are_memory_of_one_device() -> None:
    found = demand(tres_per_node="shard:24")
    assert found.takes_share
    assert found.memory_gib == 24
    assert [slot.devices for slot in found.slots] == [1]
    assert demand(tres_per_node="shard:l40s:8").asks == "gpu:l40s"


def test_exclusive_and_all_memory() -> None:
    assert demand(exclusive=True).exclusive
    assert demand(memory_per_cpu_mib=None, memory_per_node_mib=0).all_memory
    assert not demand().all_memory


@pytest.mark.parametrize(
    ("fields", "nodes"),
    [
        ({"tasks": 96, "cpus": 96}, 2),  # Slurm says one: the largest of the intake has 96
        ({"tasks": 96, "cpus": 96, "nodes_max": 1}, 1),
        ({"tasks": 96, "cpus": 96, "nodes_min": 1, "nodes_max": 4}, 2),
        ({"tasks": 65, "cpus": 65}, 2),
        ({"tasks": 65, "cpus": 1}, 1),  # --overcommit
        ({"tasks": 4, "cpus": 2, "nodes_min": 2}, 2),
        ({"tasks": 8, "cpus_per_task": 24, "cpus": 192}, 4),
        ({"tasks": 1, "cpus_per_task": 96, "cpus": 96}, 1),  # no task is spread
        ({"tasks": 64, "cpus": 64}, 1),
        ({"tasks": 8, "cpus": 8, "memory_per_cpu_mib": 64 * GIB}, 1),
        ({"tasks": 8, "cpus": 8, "memory_per_cpu_mib": 65 * GIB}, 2),
        ({"tasks": 8, "cpus_per_task": 2, "cpus": 16, "memory_per_cpu_mib": 80 * GIB}, 3),
        ({"tasks": 1, "cpus": 1, "memory_per_cpu_mib": 1000 * GIB}, 1),  # no node has as much
    ],
)
def test_tasks_that_have_no_room_on_one_node(fields: dict[str, Any], nodes: int) -> None:
    job = gated(1, tres_per_node="gpu:8", **fields)
    found = count_demand(job, gres_of(job), policy(), NodeSize(8, 64, 512 * GIB))
    assert isinstance(found, Demand)
    assert len(found.slots) == nodes


@pytest.mark.parametrize(
    ("fields", "devices"),
    [
        ({"tres_per_job": "gpu:4", "memory_per_gpu_mib": 128 * GIB}, [4]),
        ({"tres_per_job": "gpu:4", "memory_per_gpu_mib": 129 * GIB}, [2, 2]),
        ({"tres_per_job": "gpu:4", "memory_per_gpu_mib": 9999 * GIB}, [1, 1, 1, 1]),
        ({"tres_per_job": "gpu:4", "cpus_per_gpu": 21}, [2, 2]),
        ({"tres_per_job": "gpu:4", "cpus_per_gpu": 8, "memory_per_cpu_mib": 32 * GIB}, [2, 2]),
        ({"tres_per_task": "gpu:1", "tasks": 4, "memory_per_gpu_mib": 200 * GIB}, [2, 2]),
        ({"tres_per_node": "gpu:4", "memory_per_gpu_mib": 200 * GIB}, [4]),  # as the user said
    ],
)
def test_devices_whose_memory_or_cpus_have_no_room_on_one_node(
    fields: dict[str, Any], devices: list[int]
) -> None:
    job = gated(1, **{"memory_per_cpu_mib": None, **fields})
    found = count_demand(job, gres_of(job), policy(), NodeSize(8, 64, 512 * GIB))
    assert isinstance(found, Demand)
    assert [slot.devices for slot in found.slots] == devices


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"tres_per_node": "gpu:1,shard:4"}, "several GRES names"),
        ({"tres_per_node": "gpu:a100:1,gpu:h100:1"}, "several device types"),
        ({"tres_per_node": "gpu:2,gpu:a100:1"}, "several device types"),
        ({"tres_per_job": "gpu:1", "nodes_min": 2}, "1 device on 2 nodes"),
        ({"tres_per_job": "gpu:64", "nodes_max": 2}, "needs 8 nodes"),
        ({"tres_per_node": "gpu:1", "nodes_min": 100_000}, "nodes"),
        ({"tres_per_node": "gpu:100000"}, "devices"),
        # Any number costs nothing: users may write it.
        ({"tres_per_job": "gpu:9000000000000"}, "needs 1125000000000 nodes"),
        ({"tres_per_node": "gpu:1", "nodes_min": 2_000_000_000}, "needs 2000000000 nodes"),
        ({"tres_per_task": "gpu:1", "tasks": 2_000_000_000, "cpus": 2_000_000_000}, "nodes"),
        ({"tasks": 2_000_000_000, "cpus": 2_000_000_000, "ntasks_per_node": 1}, "nodes"),
    ],
)
def test_what_cannot_be_planned_is_said(fields: dict[str, Any], part: str) -> None:
    job = gated(1, **fields)
    found = count_demand(job, gres_of(job), policy(), NodeSize(8))
    assert isinstance(found, Reason)
    assert part in str(found)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tres_per_node": ""}, False),
        ({"tres_per_node": "license:2"}, False),
        ({"tres_per_node": "gpu:0"}, False),
        ({"tres_per_node": "gpu:1"}, True),
        ({"tres_per_task": "gpu=1"}, True),
        ({"tres_per_node": "npu:1"}, True),
    ],
)
def test_which_jobs_ask_for_accelerators(fields: dict[str, Any], expected: bool) -> None:
    assert is_accelerator_job(gated(1, **fields), policy()) is expected


@given(
    st.integers(1, 200), st.integers(1, 16), st.integers(1, 12),
    st.integers(1, 64), st.integers(1, 8),
)  # fmt: skip
def test_every_device_and_cpu_of_a_job_is_counted(
    gpus: int, per_node: int, nodes: int, tasks: int, cpus_per_task: int
) -> None:
    job = Job(
        id=1,
        tres_per_job=f"gpu:{gpus}",
        nodes_min=nodes,
        tasks=tasks,
        cpus_per_task=cpus_per_task,
        cpus=tasks * cpus_per_task,
    )
    found = count_demand(job, gres_of(job), policy(), NodeSize(per_node))
    if isinstance(found, Reason):
        assert gpus < nodes or max(nodes, gpus / per_node) > 1024
        return
    assert sum(slot.devices for slot in found.slots) == gpus
    assert max(slot.devices for slot in found.slots) <= max(per_node, -(-gpus // nodes))
    assert sum(slot.cpus for slot in found.slots) >= tasks * cpus_per_task
    assert len(found.slots) >= nodes


@pytest.mark.parametrize(
    ("fields", "sockets", "option"),
    [
        ({"tasks": 4}, 1, ""),
        ({"tasks": 4, "ntasks_per_socket": 4}, 1, ""),
        ({"tasks": 4, "ntasks_per_socket": 2}, 2, "--ntasks-per-socket=2"),
        ({"tasks": 5, "ntasks_per_socket": 2, "nodes_min": 2}, 2, "--ntasks-per-socket=2"),
        ({"tasks": 8, "ntasks_per_node": 4, "ntasks_per_socket": 1, "nodes_min": 2}, 4,
         "--ntasks-per-socket=1"),
        ({"sockets_per_node": 2, "tasks": 2, "ntasks_per_socket": 2}, 2, "--sockets-per-node=2"),
    ],
)  # fmt: skip
def test_sockets_of_each_node(fields: dict[str, Any], sockets: int, option: str) -> None:
    """Where no node has as many, Slurm takes more nodes, or none: it has to choose them."""
    assert demand(**fields).sockets == sockets
    job = gated(1, **fields)
    found = count_demand(job, gres_of(job), policy(), NodeSize(8, sockets=max(1, sockets - 1)))
    assert isinstance(found, Demand) if not option else found == SlurmChooses((option,))
