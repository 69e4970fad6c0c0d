"""Nodes that Slurm keeps from everybody while they are powered down (SlurmVersion.hides_cloud)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from slurm_het.core.model import NodeRecord, Partition
from slurm_het.core.records import state_words
from slurm_het.core.syntax import hostlist

ASLEEP = "IDLE+CLOUD+POWERED_DOWN"


class CloudNodes:
    """Remembers how they were when they were up: Slurm starts jobs there as ever."""

    def __init__(self) -> None:
        self._known: dict[str, NodeRecord] = {}

    def beside(
        self, nodes: Sequence[NodeRecord], partitions: Sequence[Partition], conf: Mapping[str, str]
    ) -> tuple[tuple[NodeRecord, ...], frozenset[str]]:
        """All that are known, and the names of those in partitions of which nothing is known."""
        if conf.get("SuspendProgram", "(null)") == "(null)":
            return tuple(nodes), frozenset()
        unseen = _named(tuple(p.nodes for p in partitions)) - {node.name for node in nodes}
        cloud = {node.name: node for node in nodes if "CLOUD" in state_words(node.state)}
        kept = {name: node for name, node in self._known.items() if name in unseen}
        self._known = kept | cloud
        asleep = (
            replace(node, state=ASLEEP, cpus_alloc=0, memory_alloc_mib=0, gres_stale=False)
            for node in kept.values()
        )
        return (*nodes, *asleep), unseen - kept.keys()


@lru_cache(maxsize=8)
def _named(texts: tuple[str, ...]) -> frozenset[str]:
    """The nodes that partitions name; most often they are as they were a cycle ago."""
    lists = (text for text in texts if text not in {"", "(null)"})
    return frozenset(name for text in lists for name in hostlist.expand_readable(text))
