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
    """Remembers how they were when they were up: Slurm starts jobs there as ever, but where it
    would not have then."""

    def __init__(self) -> None:
        self._known: dict[str, NodeRecord] = {}

    def beside(
        self,
        nodes: Sequence[NodeRecord],
        future: Sequence[NodeRecord],
        partitions: Sequence[Partition],
        conf: Mapping[str, str],
    ) -> tuple[tuple[NodeRecord, ...], frozenset[str]]:
        """All that are known and not to come, and the names of those in partitions of which nothing
        is known."""
        if conf.get("SuspendProgram", "(null)") == "(null)":
            return tuple(nodes), frozenset()
        there = {node.name for node in (*nodes, *future)}
        unseen = _named(tuple(p.nodes for p in partitions)) - there
        cloud = {node.name: node for node in nodes if "CLOUD" in state_words(node.state)}
        kept = {name: node for name, node in self._known.items() if name in unseen}
        self._known = kept | cloud
        asleep = (
            replace(
                node, state=_asleep(node.state), cpus_alloc=0, memory_alloc_mib=0, gres_stale=False
            )
            for node in kept.values()
        )
        return (*nodes, *asleep), unseen - kept.keys()


def _asleep(before: str) -> str:
    """The state of one that was last seen in another. Slurm powers down what is drained or down,
    too, and hides what did not come up in time, which is DOWN then (sources of 22.05)."""
    words = state_words(before)
    if words & {"DOWN", "FAIL", "POWERING_UP", "POWER_UP"}:
        return ASLEEP.replace("IDLE", "DOWN")
    by_power_down = words & {"POWER_DOWN", "POWERING_DOWN"}  # then DRAIN goes with it
    return f"{ASLEEP}+DRAIN" if "DRAIN" in words and not by_power_down else ASLEEP


@lru_cache(maxsize=8)
def _named(texts: tuple[str, ...]) -> frozenset[str]:
    """The nodes that partitions name; most often they are as they were a cycle ago."""
    lists = (text for text in texts if text not in {"", "(null)"})
    return frozenset(name for text in lists for name in hostlist.expand_readable(text))
