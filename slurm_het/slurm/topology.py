"""The network from `scontrol show topology`: topology/tree, block (24.11 on), others, or none.

Since 26.05 a topology.yaml may name several topologies, and a partition one of them. What
`scontrol show config` says of the plugin is then that of another one, so nobody asks it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from slurm_het.core.model import NodeRecord
from slurm_het.core.network import ANY_NUMBER, Network, Part
from slurm_het.core.syntax import hostlist
from slurm_het.errors import SlurmError
from slurm_het.slurm.records import parse_fields

NETWORK_SECONDS = 60.0
"""So long a network is taken to be as it was: it changes with slurmctld's configuration."""
_UNKNOWN = "Requested topology configuration is not available"  # of that name (26.05)


@dataclass
class NetworkReader:
    """Reads networks and remembers them for a while. `run` runs one of Slurm's programs."""

    run: Callable[..., Awaitable[str]]
    _known: dict[str, Network] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)  # of time.monotonic()

    async def read(self, topologies: Iterable[str]) -> Mapping[str, Network]:
        """The network of each of these topologies by its name; '' is the cluster's own.

        While one cannot be read it is taken to be as it was, and asked for again each time. Raises
        SlurmError where it was never read: none would be a network without any bounds.
        """
        wanted = {"", *topologies}
        for name in wanted:
            if name in self._known and time.monotonic() < self._until[name]:
                continue
            try:
                self._known[name] = await self._ask(name)
            except SlurmError:
                if name not in self._known:
                    raise
            else:
                self._until[name] = time.monotonic() + NETWORK_SECONDS
        return {name: self._known[name] for name in wanted}

    async def _ask(self, name: str) -> Network:
        try:
            text = await self.run("scontrol", "show", "topology", *([name] if name else []))
        except SlurmError as error:
            if _UNKNOWN in error.message:
                return {}
            raise
        return parse_topology(text)


def without_network(records: tuple[NodeRecord, ...], network: Network) -> tuple[NodeRecord, ...]:
    """The nodes; those that are in no part of the network are OUTSIDE_TOPOLOGY: nothing starts
    there, unless the network is none (SlurmVersion.needs_network)."""
    return tuple(
        replace(record, state=f"{record.state}+OUTSIDE_TOPOLOGY")
        if network and record.name not in network
        else record
        for record in records
    )


def parse_topology(text: str) -> Network:
    """By node, the parts of the network that it is in, smallest first. Empty if there is none.

    In a tree no job leaves what is below one of the topmost switches. In blocks a job stays inside
    the smallest block (of BlockSizes) that has as many nodes as it needs. In what has other names
    (RingName=, TorusName=: 26.05) Slurm alone knows which nodes go together.
    """
    parts: dict[str, list[tuple[int, Part]]] = {}
    for fields in map(parse_fields, text.splitlines()):
        names = hostlist.expand_readable(fields.get("Nodes", ""))
        if block := fields.get("BlockName") or fields.get("AggregatedBlock"):
            size = fields.get("BlockSize", "")
            rank = holds = int(size) if size.isdecimal() else 0
            part = Part(block, holds)
        elif switch := fields.get("SwitchName"):
            level = fields.get("Level", "")
            rank = int(level) if level.isdecimal() else 0
            part = Part(switch)
        elif other := next((name for key, name in fields.items() if key.endswith("Name")), ""):
            rank, part = 0, Part(other, 1)
        else:
            continue
        for name in names:
            parts.setdefault(name, []).append((rank, part))
    return {name: _ordered(those) for name, those in parts.items()}


def _ordered(ranked: list[tuple[int, Part]]) -> tuple[Part, ...]:
    ordered = [part for _, part in sorted(ranked)]
    if not any(part.holds for part in ordered):  # a tree
        ordered[-1] = ordered[-1]._replace(holds=ANY_NUMBER)
    return tuple(ordered)
