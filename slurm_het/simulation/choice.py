"""Which nodes Slurm takes of those that have room: select/cons_tres without a topology (22.05)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class _Run:
    """Nodes that follow one another in slurm.conf, with their free CPUs, and `cpus` of all."""

    nodes: list[tuple[int, str, int]]
    cpus: int


def choose(fitting: Iterable[tuple[int, str, int]], nodes: int, cpus: int) -> list[str] | None:
    """The names of `nodes` nodes; `fitting` are all with room: index, name, free CPUs.

    `cpus` are those of the whole job. Slurm takes of the runs of neighbours the tightest that is
    enough, and in it for a job of one node the node with the fewest free CPUs, else the first ones.
    Where no run is enough it begins with the largest.
    """
    runs = _runs(sorted(fitting))
    taken: list[str] = []
    left = cpus
    while runs and len(taken) < nodes:
        wanted = nodes - len(taken)
        best = _best(runs, wanted, left)
        runs.remove(best)
        if wanted == 1:
            enough = [node for node in best.nodes if node[2] >= left]
            first = min(enough, key=lambda node: (node[2], node[0]), default=best.nodes[0])
            return [*taken, first[1]]
        for _, name, free in best.nodes[:wanted]:
            taken.append(name)
            left -= min(free, cpus // nodes)
    return taken if len(taken) == nodes else None


def _runs(fitting: list[tuple[int, str, int]]) -> list[_Run]:
    runs: list[_Run] = []
    for node in fitting:
        if runs and runs[-1].nodes[-1][0] == node[0] - 1:
            runs[-1].nodes.append(node)
            runs[-1].cpus += node[2]
        else:
            runs.append(_Run([node], node[2]))
    return runs


def _best(runs: list[_Run], wanted: int, cpus: int) -> _Run:
    best, enough = runs[0], False
    for n, run in enumerate(runs):
        sufficient = run.cpus >= cpus and len(run.nodes) >= wanted
        better = n == 0 or (
            (sufficient and not enough)
            or (sufficient and run.cpus < best.cpus)
            or (not sufficient and run.cpus > best.cpus)
        )
        if better:
            best, enough = run, sufficient
    return best
