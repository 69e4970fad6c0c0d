"""Nodes whose GRES no vendor is known for: accelerators maybe, of which a proposal says no more."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from slurm_het.core.model import NodeRecord
from slurm_het.core.syntax import gres, hostlist
from slurm_het.errors import GresError


def unknown_gres(nodes: Iterable[NodeRecord], known: Container[str]) -> Iterator[str]:
    """A sentence for each kind of nodes that have GRES, and none of these names."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for node in nodes:
        names = _names(node.gres)
        if names and not any(name in known for name in names):
            kinds.setdefault(names, []).append(node.name)
    for names, inside in kinds.items():
        yield (
            f"nodes {hostlist.fold(inside)} have GRES {', '.join(names)}, of which no vendor is"
            " known: if these are accelerators, docs/vendors.md tells how to describe them"
        )


def _names(text: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({item.name for item in gres.parse(text) if item.count}))
    except GresError:
        return ()
