"""Another GRES for a job, when it is released: a type, or another name, as its node needs it.

A request without a type gets any of a node's devices of that name. Where not all of these fit the
job, or the fitting ones have another name (npu), the request must say which. From 24.11 on an
update replaces the GRES of a pending job; on 22.05 only the hook can, at submit, and only where
one GRES with a type is all that fits (`only_gres`).
"""

from __future__ import annotations

from collections.abc import Iterable

from slurm_het.core.cluster.fit import as_written, reaches_gres
from slurm_het.core.jobs.demand import accelerators
from slurm_het.core.jobs.request import GresRequests
from slurm_het.core.model import Device, Node, Placement, Task
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.gres import Gres
from slurm_het.core.worth.weights import Site, weight


def may_rewrite(task: Task, asked: GresRequests, policy: Policy) -> bool:
    """Whether the task's request can be rewritten: one count of whole devices on one node.

    Not a share: in a job whose shard request was given a type, srun fails with "Invalid generic
    resource (gres) specification" (24.11.5 and 26.05.5). Not per task or socket: Slurm adds those
    up itself.
    """
    devices = accelerators(asked, policy)
    if task.takes_share or len(task.slots) > 1 or devices.task or devices.socket:
        return False
    # An update replaces all that is asked per node and in all: scratch space, too.
    alone = len(asked.node + asked.job) == 1
    return alone and all(item.type is None for item in devices.node + devices.job)


def choose_gres(task: Task, nodes: Iterable[Node], site: Site) -> tuple[tuple[str, str], ...]:
    """(node, GRES with type) of the nodes where the request does not do as it is written.

    Of a node's devices that fit, the best GRES is chosen that has room now; else the best one.
    """
    pairs = ((node.name, _best_gres(task, node, site)) for node in nodes)
    return tuple((name, best) for name, best in pairs if best)


def _best_gres(task: Task, node: Node, site: Site) -> str:
    if not set(task.pools) & set(node.partitions) or as_written(task, node):
        return ""
    wanted, by_gres = task.slots[0].devices, dict[str, list[Device]]()
    for device in node.devices:
        if device.type in task.types and device.memory_gib >= task.memory_gib:
            by_gres.setdefault(device.gres, []).append(device)

    def worth(devices: list[Device]) -> tuple[bool, float]:
        has_room = sum(device.empty for device in devices) >= wanted
        return has_room, weight(task, devices[0], node, site)

    able = [devices for devices in by_gres.values() if len(devices) >= wanted]
    best = max(able, key=worth, default=None)
    return best[0].gres if best else ""


def rewritten_gres(task: Task, placement: Placement) -> str:
    """The request that the placement needs, such as `gpu:l40s:2`; '' if it does as it stands."""
    other = task.rewritten_on(placement.nodes[0])
    if other or task.rewritten:
        return f"{other or task.asks}:{task.slots[0].devices}"
    return ""


def original_gres(task: Task) -> str:
    """The request of a task that may be rewritten, as its user means it."""
    return f"{task.asks}:{task.slots[0].devices}"


def as_admitted(asked: GresRequests, before: tuple[Gres, ...]) -> GresRequests:
    """What a job asked for before a release gave its request a type.

    Such a job came back, or was released before hetd restarted. `before` is what it asked for per
    node, or in all, when it was admitted.
    """
    single = len(asked.node) == len(before) == 1 and asked.node[0].count == before[0].count
    if single and asked.node[0].type and not before[0].type:
        return asked._replace(node=before, job=())
    return asked


def only_gres(
    asked: tuple[Gres, ...], types: frozenset[str], nodes: Iterable[Node], policy: Policy
) -> Gres | None:
    """The request with name and type, where the devices that fit it are all of one GRES.

    None if the request does as it is, asks for no device or names a type.
    """
    name = policy.gres.get(asked[0].name) if len(asked) == 1 else None
    if name is None or asked[0].type or name.shared:
        return None
    inside = [d for node in nodes for d in node.devices]
    fitting = {d.gres for d in inside if d.type in types}
    reached = {d.gres for d in inside if reaches_gres(asked[0].name, d.gres)}
    if len(fitting) != 1 or reached == fitting:
        return None
    (only,) = gres.parse(next(iter(fitting)))
    return Gres(only.name, only.type, asked[0].count)
