"""Mixes of two minutes on a real Slurm, both sides at once, beside the same in simulated time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.compare.records import Side
from bench.compare.run import compare
from bench.compare.verdict import share
from bench.mixes.world import SANDBOX, Mix, read_world
from slurm_het.simulation import run
from slurm_het.simulation.run import SideOutcome
from slurm_het.solve import Solver

SECONDS, NODES = 90.0, 8
"""How long a replayed mix is, and how many nodes it has at the most."""
MODEL = 0.05
"""So far the model's device-seconds may be from those of the real plain Slurm."""
NEAR_SECONDS = 3.0
"""A start so near to the simulated one is the same: Slurm's records have whole seconds, and its
loops look each second."""


@dataclass(frozen=True)
class Seen:
    """A mix as real Slurm ran it and as the simulation did: device-seconds of plain Slurm and of
    ours, and the share of the jobs whose starts are the same."""

    what: str
    real: tuple[float, float]
    simulated: tuple[float, float]
    near: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Ours as a share of plain Slurm's, really."""
        return share(self.real[1], self.real[0])

    @property
    def model_holds(self) -> bool:
        """Whether the model of plain Slurm is near enough."""
        return abs(share(self.simulated[0], self.real[0]) - 1) <= MODEL

    def text(self) -> str:
        """In a line."""
        plain, ours = (share(s, r) for s, r in zip(self.simulated, self.real, strict=True))
        return (
            f"{self.what}: real {self.ratio:.3f}, simulated"
            f" {share(self.simulated[1], self.simulated[0]):.3f}; the model's busy is {plain:.3f}"
            f" of plain Slurm's, {ours:.3f} of ours; starts alike {self.near[0]:.2f},"
            f" {self.near[1]:.2f}"
        )


def replay(raw: dict[str, Any], solver: Solver, say: Callable[[str], None]) -> Seen:
    """Run a mix on both. Raises HetError if a cluster does not boot or an event fails."""
    world = read_world(raw)
    with tempfile.TemporaryDirectory(prefix="het-", ignore_cleanup_errors=True) as base:
        Path(base).chmod(0o755)
        seen = compare(world.scenario, world.topology, Path(base), say)
    plain = run.plain(_as_submitted(world, seen.plain), SANDBOX)
    ours = run.ours(_as_submitted(world, seen.ours), SANDBOX, solver)
    return Seen(
        world.scenario.what,
        (seen.plain.busy, seen.ours.busy),
        (plain.busy, ours.busy),
        (_near(world, seen.plain, plain), _near(world, seen.ours, ours)),
    )


def _as_submitted(world: Mix, real: Side) -> Mix:
    """The mix with the times when sbatch was done: on a busy machine a burst takes seconds."""
    times: dict[str, list[float]] = {}
    for job in real.jobs:
        times.setdefault(job.name, []).append(job.submitted)
    jobs = (replace(job, at=times[job.submission].pop(0)) for job in world.jobs)
    return replace(world, jobs=tuple(sorted(jobs, key=lambda job: (job.at, job.id))))


def _near(world: Mix, real: Side, simulated: SideOutcome) -> float:
    """The share of jobs that start within NEAR_SECONDS of when the simulation says, the k-th of a
    submission beside the k-th."""
    alike = total = 0
    for name in dict.fromkeys(job.submission for job in world.jobs):
        there = _starts([job.start for job in real.jobs if job.name == name])
        here = _starts([simulated.starts[j.id] for j in world.jobs if j.submission == name])
        total += len(here)
        alike += sum(abs(a - b) <= NEAR_SECONDS or a == b for a, b in zip(there, here, strict=True))
    return alike / max(1, total)


def _starts(times: list[float | None]) -> list[float]:
    never = float("inf")
    return sorted(never if time is None else time for time in times)


def told_apart(mix: dict[str, Any]) -> bool:
    """Whether it has no shares: on 22.05 these and whole devices get in each other's way
    (docs/facts.md), which the model does not know."""
    return not any("shards_per_device" in node for node in mix["cluster"]["nodes"])
