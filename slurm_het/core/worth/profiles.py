"""What a task asks, as far as it decides where such tasks can go."""

from __future__ import annotations

from typing import NamedTuple

from slurm_het.core.cluster.device_class import DeviceClass
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.model import Job, Task
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist


class TaskProfile(NamedTuple):
    """What a task asks, as far as it decides where such tasks can go.

    It asks `devices`, `cpus` and `memory_mib` on each of so many `nodes`. `memory_gib` is what a
    device must have, and all that is taken of it if `takes_share`. `types` and `pools` are sorted.
    With 0 devices it takes CPUs and host memory of nodes that have devices of such types.
    """

    types: tuple[str, ...]
    pools: tuple[str, ...]
    devices: int = 1
    nodes: int = 1
    memory_gib: int = 0
    takes_share: bool = False
    cpus: int = 1
    memory_mib: int = 0

    @property
    def coarse(self) -> TaskProfile:
        """The profile of all such tasks, whatever their CPUs and host memory."""
        return self._replace(cpus=0, memory_mib=0)

    def goes_to(self, device_class: DeviceClass) -> bool:
        """Whether such tasks can go to such devices."""
        return (
            device_class.type in self.types
            and device_class.memory_gib >= self.memory_gib
            and not set(device_class.partitions).isdisjoint(self.pools)
        )


def profile_of(task: Task) -> TaskProfile:
    """The profile of a task; if it asks unequal nodes, what it asks of the largest."""
    slot = task.largest_slot
    return TaskProfile(
        tuple(sorted(task.types)), tuple(sorted(task.pools)), slot.devices, len(task.slots),
        task.memory_gib, task.takes_share, slot.cpus, slot.memory_mib,
    )  # fmt: skip


def profile_beside(job: Job, inventory: Inventory, policy: Policy) -> TaskProfile | None:
    """The profile of a running job without devices; None unless it is on nodes that have some.

    CPUs and host memory are rounded up to powers of two, or to all that such a node has: a site has
    many sizes of such jobs, and they are to be few profiles.
    """
    names = hostlist.expand_readable(job.nodes)
    nodes = [node for name in names if (node := inventory.nodes.get(name)) and node.devices]
    if not nodes:
        return None
    cpus = -(-job.cpus // len(names))
    memory = job.memory_on_node(cpus, devices=0) or nodes[0].memory_mib
    return TaskProfile(
        tuple(sorted(policy.types)), (job.partition,), 0, len(nodes),
        cpus=_rounded(cpus, max(node.cpus for node in nodes)),
        memory_mib=_rounded(memory, max(node.memory_mib for node in nodes)),
    )  # fmt: skip


def _rounded(number: int, most: int) -> int:
    return min(1 << max(0, number - 1).bit_length(), most)
