"""The default sandbox as plain data: its policy, its Slurm records, and short ways to vary them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from slurm_het.config import parse_config
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.jobs.admission import Admitted, admit_record
from slurm_het.core.model import Job, Partition, Slot, Snapshot, Task
from slurm_het.core.policy import Policy
from slurm_het.sandbox.render import accelerators
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY, INTAKE, load_topology
from slurm_het.slurm.records import parse_nodes, parse_partitions
from slurm_het.templating import render

DATA = Path(__file__).resolve().parents[1] / "data"
EXAMPLES = DATA.parent.parent / "examples"


@cache
def policy() -> Policy:
    """What the sandbox's own het.yaml says."""
    return parse_config(config_text(Path("/"))).policy


def mixed(*shadowed: str) -> Policy:
    """The same with these pools in shadow, the others in plan."""
    pools = (replace(p, mode="shadow") if p.partition in shadowed else p for p in policy().pools)
    return replace(policy(), pools=tuple(pools))


def config_text(base: Path) -> str:
    """The sandbox's own het.yaml, its sockets and state in a directory."""
    return render(
        "het.yaml.j2",
        intake=INTAKE,
        **accelerators(load_topology(DEFAULT_TOPOLOGY)),
        default_vendor="nvidia",
        run=base,
        state=base,
    )


def snapshot(*jobs: Job) -> Snapshot:
    """The sandbox's nodes (idle) and partitions as Slurm 24.11 printed them, with these jobs."""
    nodes = parse_nodes((DATA / "nodes-24.11.txt").read_text())
    idle = tuple(replace(n, state="IDLE", cpus_alloc=0, memory_alloc_mib=0) for n in nodes)
    return Snapshot(time=0.0, jobs=jobs, nodes=idle, partitions=partitions())


def with_side_door(taken: Snapshot) -> Snapshot:
    """The same with a partition over all nodes that is no pool."""
    nodes = tuple(replace(node, partitions=(*node.partitions, "debug")) for node in taken.nodes)
    return replace(taken, nodes=nodes, partitions=(*taken.partitions, Partition("debug")))


def partitions() -> tuple[Partition, ...]:
    """The sandbox's partitions."""
    return parse_partitions((DATA / "partitions-24.11.txt").read_text())


def inventory(*jobs: Job) -> Inventory:
    """The sandbox's devices with these jobs running."""
    return take_inventory(snapshot(*jobs), policy())


def gated(number: int, **fields: Any) -> Job:
    """A job waiting in the gate for one GPU, unless the fields say otherwise."""
    base: dict[str, Any] = {"user": "ann", "uid": 1000, "partition": INTAKE, "priority": 1000}
    base |= {"reason": "PartitionDown", "time_limit_minutes": 60, "memory_per_cpu_mib": 1024}
    if not any(key.startswith("tres_") for key in fields):
        base["tres_per_node"] = "gpu:1"
    return Job(id=number, **(base | fields))


def marked(number: int, **fields: Any) -> Job:
    """A gated job as the hook leaves it."""
    job = gated(number, **fields)
    made = admit_record(job, "", policy(), inventory())
    assert isinstance(made, Admitted)
    return replace(job, admin_comment=made.fields["admin_comment"])


def forgetful(*jobs: Job) -> Inventory:
    """`inventory` on a Slurm that forgets who shares a device, as 22.05 does."""
    return take_inventory(replace(snapshot(*jobs), forgets_sharers=True), policy())


def running(number: int, node: str, detail: str, **fields: Any) -> Job:
    """A job running on one node with this GRES detail; with an `end_time` it has a limit."""
    base: dict[str, Any] = {"time_limit_minutes": 60 if fields.get("end_time") else None}
    base |= {"state": "RUNNING", "nodes": node, "gres_detail": (detail,)}
    return Job(id=number, **(base | fields))


def task(key: str, **fields: Any) -> Task:
    """A task of one A100 on train-nv, unless the fields say otherwise."""
    base: dict[str, Any] = {
        "job_id": 1,
        "user": "ann",
        "scenario": "training",
        "types": frozenset({"a100"}),
        "slots": (Slot(1, 1, 1024),),
        "pools": ("train-nv",),
    }
    return Task(key=key, **(base | fields))
