"""Resource pools: which of them a job fits (scenario × vendor) and which of them it may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2s
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory, TypeThere
from slurm_het.core.jobs.demand import Demand
from slurm_het.core.model import Classification, Job, Partition
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.reasons import NoSuchPartition, PartitionRefuses, PartitionShut, Reason
from slurm_het.core.site_limits import NONE_ABOVE, Parents, line_of
from slurm_het.core.syntax import hostlist


def fitting_types(
    what: Classification, present: Mapping[str, TypeThere], policy: Policy
) -> frozenset[str]:
    """The device types, of those present, that a classified job can run on.

    A speed of 0 in the table of its class says that it cannot.
    """
    return frozenset(
        name
        for name, there in present.items()
        if (not what.types or name in what.types)
        and (not what.vendors or there.vendor in what.vendors)
        and what.memory_gib <= max(there.memory_gib, _in_catalog(name, policy))
        and policy.throughput.get(what.job_class, {}).get(name) != 0
    )


def _in_catalog(type_name: str, policy: Policy) -> int:
    known = policy.types.get(type_name)
    return known.memory_gib if known else 0


Holds = Callable[[str, frozenset[str]], bool]


class Suits(NamedTuple):
    """What a partition can do for a job, by its name: whether its nodes with devices of some types
    could ever `hold` it, whatever runs there, and whether it `allows` such jobs."""

    holds: Holds = lambda *_: True
    allows: Callable[[str], bool] = lambda _: True


UNKNOWN_SUITS = Suits()


def own_first(
    pools: Iterable[Pool], what: Classification, types: frozenset[str], suits: Suits = UNKNOWN_SUITS
) -> tuple[Pool, ...]:
    """Those of the pools that a classified job is for, of those that hold it.

    Training tasks go to training pools and inference tasks to inference pools. Where no pool of
    their own both holds and allows them, and one of the others does, they use all that hold them:
    plain Slurm would not let them wait for their own alone.
    """
    held = tuple(p for p in pools if suits.holds(p.partition, types))
    own = tuple(p for p in held if p.scenario == what.scenario)
    allow = [p for p in held if suits.allows(p.partition)]
    return held if not own or (allow and not any(p in own for p in allow)) else own


def fitting_pools(
    what: Classification,
    types: frozenset[str],
    largest: Mapping[str, Mapping[str, int]],
    policy: Policy,
    least: int = 1,
) -> tuple[Pool, ...]:
    """The pools with a node for a classified job, of whatever scenario, in the policy's order.

    The node has `least` devices of `types`. `largest` has, by partition, the most devices of each
    type that one of its nodes has.
    """
    named = [p for p in policy.pools if not what.partitions or p.partition in what.partitions]
    for least_now in (least, 1):
        able = tuple(
            p
            for p in named
            if any(
                name in types and count >= least_now
                for name, count in largest.get(p.partition, {}).items()
            )
        )
        if able:
            break  # where no node can ever hold it: as if it asked for one device
    return able


def whats_there(inventory: Inventory, policy: Policy) -> str:
    """What stands for the nodes and pools that a job is admitted for: another where these are
    others in anything that decides where it may go."""
    pools = tuple((p.partition, p.scenario, *sorted(p.vendors)) for p in policy.pools)
    return _digest(inventory.makes, pools)


@lru_cache(maxsize=8)
def _digest(*told: tuple[object, ...]) -> str:
    """Kept, for each submission asks for that of the same nodes."""
    return blake2s(repr(told).encode(errors="replace"), digest_size=3).hexdigest()


class UsablePools(NamedTuple):
    """The partitions that a job may use, and why it may not use the other pools that fit it."""

    partitions: tuple[str, ...]
    refuses: tuple[Reason, ...]


def usable_pools(
    job: Job,
    demand: Demand | None,
    pools: Iterable[Pool],
    partitions: Mapping[str, Partition],
    parents: Parents = NONE_ABOVE,
) -> UsablePools:
    """Which of the pools Slurm would run the job in; `partitions` are Slurm's, by name.

    Without a demand (a job that we cannot count) only its number of nodes is held against sizes;
    without `parents` accounts count by name.
    """
    usable: list[str] = []
    refuses: list[Reason] = []
    for pool in pools:
        partition = partitions.get(pool.partition)
        refusal: Reason | None = (
            refusal_of(job, demand, partition, parents)
            if partition
            else NoSuchPartition(pool.partition)
        )
        if refusal:
            refuses.append(refusal)
        else:
            usable.append(pool.partition)
    return UsablePools(tuple(usable), tuple(refuses))


def refusal_of(
    job: Job, demand: Demand | None, partition: Partition, parents: Parents = NONE_ABOVE
) -> PartitionRefuses | None:
    """Why Slurm would not run the job in a partition; None if it would."""
    setting = (
        _account_limit(job, partition, parents)
        or _access_limit(job, partition)
        or _size_limit(job, demand, partition)
    )
    if setting:
        return PartitionRefuses(partition.name, setting)
    is_up = partition.state == "UP"
    return None if is_up else PartitionShut(partition.name, f"State={partition.state}")


def _account_limit(job: Job, partition: Partition, parents: Parents) -> str:
    allowed, denied = partition.allow_accounts, partition.deny_accounts
    if not allowed and not denied:
        return ""
    mine = line_of(job.account, parents if partition.sub_accounts else NONE_ABOVE)
    if allowed and not allowed & mine:
        return f"AllowAccounts={','.join(sorted(allowed))}"
    kept_out = denied & mine
    return f"DenyAccounts={','.join(sorted(kept_out))}" if kept_out else ""


def _access_limit(job: Job, partition: Partition) -> str:
    allowed = partition.allow_groups
    if allowed and job.uid != 0 and not allowed & set(job.groups):
        return f"AllowGroups={','.join(sorted(allowed))}"
    if partition.allow_qos and job.qos not in partition.allow_qos:
        return f"AllowQos={','.join(sorted(partition.allow_qos))}"
    if job.qos and job.qos in partition.deny_qos:
        return f"DenyQos={job.qos}"
    here = partition.alloc_nodes
    if here and job.uid != 0 and job.alloc_node and job.alloc_node not in here:
        return f"AllocNodes={hostlist.fold(sorted(here))}"
    if job.uid == 0 and partition.root_disabled:
        return "DisableRootJobs"
    if job.uid != 0 and partition.root_only:
        return "RootOnly"
    return "ReqResv" if partition.reservation_required and not job.reservation else ""


def _size_limit(job: Job, demand: Demand | None, partition: Partition) -> str:
    slots = [slot.within((partition.name,)) for slot in demand.slots] if demand else []
    nodes = len(slots) or job.nodes_min
    minutes = partition.max_minutes
    if minutes is not None and (job.time_limit_minutes is None or job.time_limit_minutes > minutes):
        return f"MaxTime={minutes} min"
    if partition.max_nodes is not None and nodes > partition.max_nodes:
        return f"MaxNodes={partition.max_nodes}"
    if nodes < partition.min_nodes:
        return f"MinNodes={partition.min_nodes}"
    cpus, memory = partition.max_cpus_per_node, partition.max_memory_per_node_mib
    if cpus is not None and any(slot.cpus > cpus for slot in slots):
        return f"MaxCPUsPerNode={cpus}"
    if memory is not None and any(slot.memory_mib > memory for slot in slots):
        return f"MaxMemPerNode={memory} MiB"
    return ""
