"""What the running jobs hold on each node, by their GRES details."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from math import inf
from typing import NamedTuple

from slurm_het.core.policy import Policy
from slurm_het.core.records import Job
from slurm_het.core.syntax import gres, hostlist
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import GresError, HetError

MPS = "mps"
"""Slurm's GRES for parts of a card by NVIDIA's MPS. We plan none of these."""


@dataclass
class NodeUse:
    """What the jobs hold on one node."""

    whole: dict[int, list[str]] = field(default_factory=dict)
    shares: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    unplaced: list[tuple[str, Gres]] = field(default_factory=list)
    exclusive: bool = False


class _Held(NamedTuple):
    """What a job holds on a node."""

    node: str
    items: tuple[Gres, ...]
    key: str
    exclusive: bool


Uses = dict[str, tuple[list[_Held], NodeUse]]
"""By node, what jobs hold there, one by one and in all."""


def uses_of(jobs: Iterable[Job], policy: Policy, warnings: list[str], before: Uses) -> Uses:
    """What the jobs hold. `before` is what this said before, by the same policy."""
    by_node: dict[str, list[_Held]] = {}
    for job in jobs:
        if not job.holds_nodes:
            continue
        holds, said = job.once("holds", partial(_holds, job))
        warnings += said
        for held in holds:
            by_node.setdefault(held.node, []).append(held)
    uses: Uses = {}
    for name, there in by_node.items():
        last = before.get(name)
        uses[name] = last if last and last[0] == there else (there, _use(there, policy))
    return uses


def ends_of(jobs: Iterable[Job], now: float) -> dict[str, float]:
    """By key of a job that holds nodes, when it has ended at the latest (epoch seconds); 0 if it is
    past that, inf if nobody knows."""
    ends = {job.key: float(job.last_end) or inf for job in jobs if job.holds_nodes}
    return {key: end if end > now else 0.0 for key, end in ends.items()}


def _use(there: Iterable[_Held], policy: Policy) -> NodeUse:
    use = NodeUse()
    for _, items, key, exclusive in there:
        use.exclusive |= exclusive
        for item in items:
            if item.name in policy.gres and item.count:
                _hold(use, key, item, shared=policy.gres[item.name].shared)
            elif item.name == MPS:
                for index in _in_part(item):
                    use.whole.setdefault(index, []).append(key)
    return use


def _holds(job: Job) -> tuple[tuple[_Held, ...], list[str]]:
    """That, and the warnings."""
    said: list[str] = []
    return tuple(_held(job, said)), said


def _held(job: Job, warnings: list[str]) -> Iterator[_Held]:
    try:
        names = hostlist.expand(job.nodes)
    except HetError as error:
        warnings.append(f"job {job.key}: {error.message}")
        return
    if job.gres_detail and len(job.gres_detail) != len(names):
        warnings.append(f"job {job.key}: GRES details for {len(job.gres_detail)} nodes, "
                        f"nodes are {len(names)}")  # fmt: skip
    for name, detail in zip_longest(names, job.gres_detail[: len(names)], fillvalue=""):
        items = read_gres(detail, f"job {job.key}", warnings)
        yield _Held(name, items, job.key, job.exclusive)


def _in_part(item: Gres) -> Iterable[int]:
    """The devices of which a job has a part: Slurm gives those to nobody who wants them whole, nor
    to whoever shares in another way."""
    if item.shares is not None:
        return [index for index, (taken, _) in enumerate(item.shares) if taken]
    return item.indexes or ()


def read_gres(text: str, whose: str, warnings: list[str]) -> tuple[Gres, ...]:
    """The GRES of a string. A part that cannot be read is left out, with a warning."""
    try:
        return gres.parse(text)
    except GresError:
        pass  # one odd part (a plugin's own spelling) must not hide the others
    items: list[Gres] = []
    for part in gres.split_list(text[: gres.MAX_TEXT]):
        try:
            items += gres.parse(part)
        except GresError as error:
            warnings.append(f"{whose}: {error.message}")
    return tuple(items)


def _hold(use: NodeUse, key: str, item: Gres, *, shared: bool) -> None:
    if item.shares is not None:
        for index, (taken, _) in enumerate(item.shares):
            if taken:
                use.shares.setdefault(index, []).append((key, taken))
    elif shared and item.indexes and len(item.indexes) == 1:
        use.shares.setdefault(item.indexes[0], []).append((key, item.count))
    elif item.indexes and not shared:
        for index in item.indexes:
            use.whole.setdefault(index, []).append(key)
    else:
        use.unplaced.append((key, item))
