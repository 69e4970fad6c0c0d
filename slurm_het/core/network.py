"""Where nodes are in the network, by Slurm's topology, and what users ask of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

ANY_NUMBER = 1 << 30
ALONE = ANY_NUMBER - 1
"""What the part of a node holds that nothing is connected to: no job gets it and another one."""
EXCLUSIVE_LEAF, EXCLUSIVE_USER = "--exclusive=topo", "--exclusive=user"
"""Options by which a job keeps all others off its leaves, those of other users off its nodes."""


class Part(NamedTuple):
    """A part of the network: the nodes below a switch, or of a block.

    Slurm keeps a job of at most `holds` nodes inside one such part, of parts inside each other the
    smallest that holds it; 0: nothing is kept inside it.
    """

    name: str
    holds: int = 0


Parts = tuple[Part, ...]
"""The parts that a node is in, the smallest first: its leaf switch, or its base block."""

Network = Mapping[str, Parts]
"""By node. A node that nothing is connected to is a part of its own."""

NO_NETWORK: Network = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Layout:
    """How its user wants a job's nodes to lie.

    Under at most so many leaf `switches` (0: any number), unless it has to wait for that for more
    than `wait_seconds`. `by_slurm` are options that Slurm keeps only if it chooses the nodes.
    `fewest`: of a range of numbers of nodes the least.
    """

    switches: int = 0
    wait_seconds: int = 0
    by_slurm: tuple[str, ...] = ()
    fewest: bool = False


ANYHOW = Layout()


def leaf_of(parts: Parts) -> str:
    """The leaf switch or base block; '' where there is no network."""
    return parts[0].name if parts else ""


def in_a_tree(parts: Parts) -> bool:
    """Whether it is switches that the parts are, and not blocks."""
    return bool(parts) and parts[0].holds in {0, ANY_NUMBER}


def kept_inside(parts: Parts, nodes: int) -> str:
    """The part that a job of so many nodes does not leave if it is there at all; '' is none."""
    return next((part.name for part in parts if nodes <= part.holds), "")


def nearest(leaves: Mapping[str, tuple[Parts, int]], nodes: int, most: int) -> list[frozenset[str]]:
    """Sets of few leaves near to each other that have so many nodes; about `most` of them.

    `leaves` has, by name, the parts of a node there and how many nodes there would do. From each
    leaf on there is one set as small as can be, and one with a leaf more: others may take some.
    """
    by_size = sorted(leaves, key=lambda name: (-leaves[name][1], name))
    found: dict[frozenset[str], None] = {}
    for seed in by_size:
        for names in _from(seed, by_size, leaves, nodes):
            found.setdefault(names)
        if len(found) >= most:
            break
    return list(found)


def _from(
    seed: str, by_size: Sequence[str], leaves: Mapping[str, tuple[Parts, int]], nodes: int
) -> Iterator[frozenset[str]]:
    """The nearest leaves come first, of these the largest; last comes one that is just enough."""
    own = leaves[seed][0]
    others = [name for name in by_size if name != seed]
    others.sort(key=lambda name: -_shared(own, leaves[name][0]))  # stable: then by size
    chosen, missing = {seed}, nodes - leaves[seed][1]
    while missing > 0 and others:
        near = _shared(own, leaves[others[0]][0])
        enough = [
            name
            for name in others
            if leaves[name][1] >= missing and _shared(own, leaves[name][0]) == near
        ]
        name = enough[-1] if enough else others[0]
        others.remove(name)
        chosen.add(name)
        missing -= leaves[name][1]
    if missing <= 0:
        yield frozenset(chosen)
        if others:
            yield frozenset({*chosen, others[0]})


def _shared(one: Iterable[Part], other: Iterable[Part]) -> int:
    """In how many parts both are."""
    return len(set(one) & set(other))
