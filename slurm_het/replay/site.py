"""The cluster that a past is replayed on: Slurm's nodes and partitions, for the simulation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.memory_defaults import NO_DEFAULTS
from slurm_het.core.model import NodeRecord, Partition, Snapshot
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.durations import parse_seconds
from slurm_het.errors import HetError
from slurm_het.replay.past import UNLIMITED
from slurm_het.settings import Config
from slurm_het.simulation.slurm import Settings
from slurm_het.simulation.world import SimulatedHost
from slurm_het.slurm.backfill import backfill_of, count_of

WORDS = ("-o -a -d show node", "-o -a show partition", "show config")
"""Of scontrol: what is asked of a site. Without -a Slurm keeps its hidden partitions to itself."""
COMMAND = f"({'; '.join(f'scontrol {words}' for words in WORDS)})"


@dataclass(frozen=True, slots=True)
class Ageing:
    """What PriorityWeightAge adds to a job's priority: so much for each second that it waits, for
    so many seconds at the most. Slurm works it out anew each `period` alone."""

    each_second: float = 0.0
    most_seconds: float = 0.0
    period: float = 300.0

    def of(self, waited: float) -> float:
        """What a job had got of it that started after so long."""
        seen = waited // self.period * self.period
        return self.each_second * min(max(0.0, seen), self.most_seconds)


@dataclass(frozen=True)
class ReplaySite:
    """The accelerator nodes, and the partitions that have any of them, with all their nodes there.

    `records` are what Slurm says of all partitions, as far as the simulation heeds it.
    """

    hosts: tuple[SimulatedHost, ...]
    partitions: Mapping[str, frozenset[str]]
    records: Mapping[str, Partition]
    inventory: Inventory
    config: Config
    settings: Settings
    ageing: Ageing
    default: str = ""
    unheeded: tuple[str, ...] = ()
    """What slurm.conf has that bears on who starts, and that the model does not know."""

    @cached_property
    def types_to_name(self) -> frozenset[str]:
        """The types that a job may ask for by name; none where all devices are of one type."""
        several = len({type_ for host in self.hosts for type_ in host.types}) > 1
        items = (item for host in self.hosts for item in gres.parse(host.gres))
        return frozenset(item.type for item in items if item.type) if several else frozenset()

    def minutes(self, partition: str) -> int:
        """The time limit of a job without one of its own."""
        there = self.records.get(partition) or Partition(partition)
        return there.default_minutes or there.max_minutes or UNLIMITED


def site_of(snapshot: Snapshot, config: Config, conf: Mapping[str, str]) -> ReplaySite:
    """What of Slurm's records the replay needs. Raises HetError if no node has a device."""
    inventory = take_inventory(snapshot, config.policy)
    hosts = tuple(host for record in snapshot.nodes if (host := _host(record, inventory)))
    if not hosts:
        raise HetError(
            "no node has an accelerator of a type that het.yaml knows",
            "make het.yaml by `slurm-het init`, and give it by --config",
        )
    names = frozenset(host.name for host in hosts)
    partitions = {
        p.name: inside for p in snapshot.partitions if (inside := names.intersection(_nodes(p)))
    }
    policy = config.policy
    new = [pool.partition for pool in policy.pools if pool.partition not in partitions]
    if new:
        raise HetError(
            f"Slurm has no partition with accelerators named {', '.join(new)}, which het.yaml has",
            "put the lines of `slurm-het init` into slurm.conf; or replay without a het.yaml",
        )
    return ReplaySite(
        hosts,
        {policy.intake_partition: names} | partitions,
        {p.name: _heeded(p, policy.intake_partition) for p in snapshot.partitions},
        inventory,
        config,
        settings_of(conf),
        ageing_of(conf),
        next((p.name for p in snapshot.partitions if p.default), ""),
        tuple(_unheeded(conf, [node for node in snapshot.nodes if node.name in names])),
    )


def _heeded(partition: Partition, intake: str) -> Partition:
    """What of a partition both sides, or hetd alone, are held to: the intake is not shut but by
    hetd. What is taken out here is named in NOT_MODELLED."""
    return replace(
        partition,
        state="UP" if partition.name == intake else partition.state,
        sub_accounts=False, alloc_nodes=frozenset(), memory=NO_DEFAULTS, cpus_per_gpu=0, qos="",
        preempt_modes=frozenset(), grace_seconds=0, oversubscribe=1, topology="",
    )  # fmt: skip


def _host(record: NodeRecord, inventory: Inventory) -> SimulatedHost | None:
    node = inventory.nodes.get(record.name)
    if not node or not node.devices:
        return None
    names, kinds, gib = [], [], []
    for device in node.devices:
        name, _, type_ = device.gres.partition(":")
        names.append(name)
        kinds.append(type_ or device.type)
        gib.append(device.memory_gib if node.has_shards else 0)
    return SimulatedHost(
        record.name, record.gres, record.cpus, record.memory_mib, record.features,
        tuple(kinds), tuple(gib), tuple(names),
    )  # fmt: skip


def _nodes(partition: Partition) -> tuple[str, ...]:
    return hostlist.expand(partition.nodes) if partition.nodes else ()


def settings_of(conf: Mapping[str, str]) -> Settings:
    """SchedulerParameters, and what Slurm takes where they say nothing."""
    parameters, usual = conf.get("SchedulerParameters", ""), Settings()
    delay = count_of(parameters, "batch_sched_delay")
    return Settings(
        # Jobs keep their order here, not their priorities: bf_min_prio_reserve says nothing.
        backfill=replace(backfill_of(parameters), least_priority=0),
        bf_interval=float(count_of(parameters, "bf_interval") or usual.bf_interval),
        sched_delay=usual.sched_delay if delay is None else float(delay),
        sched_interval=float(count_of(parameters, "sched_interval") or usual.sched_interval),
        queue_depth=count_of(parameters, "default_queue_depth") or usual.queue_depth,
        bf_resolution=float(count_of(parameters, "bf_resolution") or usual.bf_resolution),
        backfills="builtin" not in conf.get("SchedulerType", ""),
    )


_UNHEEDED = re.compile(
    r"(?:assoc_limit_stop|bf_(?:allow_magnetic_slot|busy_nodes|job_part_count_reserve|licenses"
    r"|max_job_(?:assoc|part|start|user_part)|max_time|min_prio_reserve|node_space_size"
    r"|one_resv_per_job|running_job_reserve|topopt_enable)|defer|defer_batch|max_rpc_cnt"
    r"|pack_serial_at_end|partition_job_depth|sched_max_job_start|sched_min_interval)(?:=.*)?"
    r"|(?:bf|sched)_interval=-\d+",
    re.IGNORECASE,
)
"""Of SchedulerParameters: who starts, or how soon, without the model's knowing."""


def _unheeded(conf: Mapping[str, str], nodes: Sequence[NodeRecord]) -> Iterator[str]:
    words = map(str.strip, conf.get("SchedulerParameters", "").split(","))
    yield from filter(_UNHEEDED.fullmatch, words)
    for key, those in (
        ("SelectTypeParameters", ("CR_LLN", "CR_PACK_NODES")),
        ("TopologyPlugin", ("topology/tree", "topology/block")),
    ):
        said = conf.get(key, "").lower()
        yield from (f"{key}={word}" for word in those if word.lower() in said)
    if len({node.weight for node in nodes}) > 1:
        yield "Weight of nodes"


def ageing_of(conf: Mapping[str, str]) -> Ageing:
    """What a job's priority grows by, as `scontrol show config` says it."""
    weight = conf.get("PriorityWeightAge", "0")
    most = parse_seconds(conf.get("PriorityMaxAge", ""))
    if "multifactor" not in conf.get("PriorityType", "") or not weight.isdecimal() or not most:
        return Ageing()
    period = parse_seconds(conf.get("PriorityCalcPeriod", "")) or Ageing().period
    return Ageing(int(weight) / most, most, period)


def conf_of(text: str) -> dict[str, str]:
    """The keys of `scontrol show config`, from a text that has it."""
    pairs = (line.partition("=") for line in text.splitlines() if re.match(r"\w+\s*= ", line))
    return {key.strip(): value.strip() for key, _, value in pairs}
