"""A scenario as the simulation sees it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import msgspec
import yaml

from bench.compare.scenario import Event, Scenario, Submission
from bench.mixes.site import priority_of, site_rules
from slurm_het.config import parse_config
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.syntax.hostlist import expand
from slurm_het.errors import HetError
from slurm_het.sandbox.accounting import Accounting
from slurm_het.sandbox.render import accelerators, deep_merge
from slurm_het.sandbox.topology import INTAKE, Topology
from slurm_het.settings import Config
from slurm_het.simulation.jobs import JobSpec, NodeAsk
from slurm_het.simulation.run import SideOutcome, plain
from slurm_het.simulation.slurm import Settings
from slurm_het.simulation.world import KeptNodes, SimulatedHost, World

FIRST_ID = 2
SANDBOX = Settings(bf_interval=1.0, sched_delay=0.0, queue_depth=1000)
"""As slurm_het.sandbox.render has them."""


@dataclass(frozen=True, kw_only=True)
class Mix(World):
    """A mix, read."""

    scenario: Scenario
    topology: Topology


def read_world(raw: Mapping[str, object], place: str = "mix") -> Mix:
    """Read a mix, a scenario as `./dev compare` has them. Raises HetError where it says what the
    simulation does not know."""
    scenario = msgspec.convert(raw, Scenario)
    topology = scenario.topology(Path(place))
    accounting = topology.accounting or Accounting(enforce=())
    pools: dict[str, frozenset[str]] = {
        name: frozenset(expand(hosts)) for name, hosts in topology.partitions().items()
    }
    pools[INTAKE] = frozenset(n for group in topology.accelerator_groups for n in group.nodes)
    jobs = []
    for submission in scenario.submissions:
        for k in range(submission.count):
            at = submission.at + k * submission.every
            if at < scenario.seconds:
                jobs.append(_job(submission, at, scenario, accounting))
    jobs.sort(key=lambda job: job.at)
    numbered = (replace(job, id=FIRST_ID + n) for n, job in enumerate(jobs))
    return Mix(
        scenario=scenario,
        topology=topology,
        seconds=scenario.seconds,
        hosts=tuple(_hosts(topology)),
        partitions=pools,
        jobs=tuple(replace(j, priority=priority_of(j.id, j.qos, accounting)) for j in numbered),
        config=_config(scenario, topology),
        rules=site_rules(accounting),
        kept=tuple((event.at, reservation_of(event)) for event in scenario.events),
    )


def _hosts(topology: Topology) -> Iterator[SimulatedHost]:
    for group in topology.groups:
        types = tuple(c.type for c in group.cards for _ in range(c.devices))
        # A device of a node without shards has none to give.
        gib = (group.shards_per_device,) * len(types)
        for name in group.nodes:
            yield SimulatedHost(
                name, group.gres, group.cpus, group.memory_gib * 1024,
                frozenset(group.features.split(",")), types, gib, ("gpu",) * len(types),
            )  # fmt: skip


def _config(scenario: Scenario, topology: Topology) -> Config:
    """het.yaml as `./dev compare` has it: the cluster's pools and types, the delivered settings."""
    told = accelerators(topology)
    raw = {
        "intake_partition": INTAKE,
        "gres": {"gpu": {}, "shard": {"shared": True}},
        "pools": {
            name: {"scenario": scenario, "vendors": list(vendors)}
            for name, (scenario, vendors) in told["pools"].items()
        },
        "types": {
            name: {"vendor": cards.vendor, "memory_gib": cards.memory_gib_per_device}
            for name, cards in told["types"].items()
        },
        "default_vendors": [topology.accelerator_groups[0].vendor],
    }
    merged = deep_merge(raw, scenario.het)
    return parse_config(yaml.safe_dump(merged, sort_keys=False))


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise HetError(f"sbatch: {message}", "the simulation knows few of sbatch's options")


def _options() -> argparse.ArgumentParser:
    parser = _Options(add_help=False)
    parser.add_argument("-p", dest="partition", default="")
    parser.add_argument("-t", dest="minutes", type=int, default=60)
    parser.add_argument("--mem", type=int, required=True)
    parser.add_argument("--gres", required=True)
    parser.add_argument("-N", dest="nodes", type=int, default=1)
    parser.add_argument("-c", dest="cpus", type=int, default=1)
    parser.add_argument("-C", dest="features", default="")
    parser.add_argument("--qos", default="normal")
    parser.add_argument("--reservation", default="")
    return parser


_PARSER = _options()


def _job(submission: Submission, at: float, scenario: Scenario, accounting: Accounting) -> JobSpec:
    told = _PARSER.parse_args([*scenario.sbatch, *submission.sbatch])
    items = gres.parse(told.gres)
    if len(items) != 1 or items[0].name not in ("gpu", "shard"):
        raise HetError(f"--gres={told.gres}", "the simulation knows gpu:N, gpu:TYPE:N and shard:N")
    (item,) = items
    parse_features(told.features)
    entry = accounting.entries(submission.user)[0] if submission.user in accounting.users else {}
    share = item.count if item.name == "shard" else 0
    ask = NodeAsk(1 if share else item.count, item.type, share, told.cpus, told.mem)
    return JobSpec(
        0, submission.name, at, submission.user, str(entry.get("Account", "")), told.qos,
        tuple(told.partition.split(",")), told.features, told.nodes, ask, told.minutes,
        submission.sleep, told.reservation, told.gres, submission.text,
    )  # fmt: skip


_START = re.compile(r"now(?:\+(\d+)minutes)?")


def reservation_of(event: Event) -> KeptNodes:
    """The reservation that an event makes. Raises HetError if it is another command."""
    words = dict(word.partition("=")[::2] for word in event.run[3:])
    start = _START.fullmatch(words.get("StartTime", ""))
    if tuple(event.run[:3]) != ("scontrol", "create", "reservation") or not start:
        raise HetError(f"event {event.run}", "the simulation knows scontrol create reservation")
    begin = event.at + 60 * int(start.group(1) or 0)
    return KeptNodes(
        words["ReservationName"], begin, begin + 60 * int(words["Duration"]),
        frozenset(expand(words["Nodes"])), frozenset(words["Users"].split(",")),
        frozenset(filter(None, words.get("Flags", "").split(","))),
    )  # fmt: skip


def eager(world: World, settings: Settings) -> SideOutcome:
    """The jobs under a plain Slurm that keeps nothing free for those who wait (bf_min_age_reserve):
    about the most that can be busy without turning the order of the queue round."""
    nobody = replace(settings.backfill, least_age_seconds=float("inf"))
    return plain(world, replace(settings, backfill=nobody))
