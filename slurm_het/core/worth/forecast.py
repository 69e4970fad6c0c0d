"""The tasks that a site expects: learned from the journal, or given in the config.

Tasks count by how many of them run at a time (rates.py). A forecast decides preferences among
feasible placements only: a wrong one costs quality and breaks no constraint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.cluster.node_states import Grid
from slurm_het.core.policy import Policy
from slurm_het.core.worth.pricing import Appraisal, question
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.rates import HOUR_SECONDS, WEEK, Past, coming
from slurm_het.core.worth.speeds import Speeds

MOST = 256
"""How many profiles with devices are kept, the heaviest first."""

BESIDE_MOST = 64
"""How many profiles without devices are kept beside them."""


@dataclass(frozen=True)
class Forecast:
    """The expected tasks by profile, and what that makes of prices.

    `weights` say how many of each run at a time, in any unit; `tasks` how many come until `until`
    (epoch seconds), where that is learned. A forecast that expects nothing is false, and nothing is
    to be concluded from it. While it has no `appraisal`, a placement is priced by what it leaves in
    pieces alone. `speeds` are those of users' programs, as far as they are known with certainty.
    `certainty` is how far it is known how much each class of devices is asked for, 0..1.
    """

    weights: Mapping[TaskProfile, float] = field(default_factory=dict)
    tasks: Mapping[TaskProfile, float] = field(default_factory=dict)
    until: float = 0.0
    appraisal: Appraisal | None = None
    speeds: Speeds = field(default_factory=dict)
    certainty: float = 1.0

    def __bool__(self) -> bool:
        return bool(self.weights)


def given(policy: Policy) -> dict[TaskProfile, float]:
    """What the config says is to be expected; its shares are of device time, ours of tasks.

    A job without devices counts as one with one.
    """
    types, pools = sorted(policy.types), sorted(pool.partition for pool in policy.pools)
    weights: dict[TaskProfile, float] = {}
    for job in policy.expected_jobs:
        profile = TaskProfile(
            tuple(sorted(job.types or types)), tuple(sorted(job.pools or pools)), job.devices,
            job.nodes, job.memory_gib, job.shared, job.cpus, job.memory_mib,
        )  # fmt: skip
        weight = job.share / (max(1, job.devices) * job.nodes)
        weights[profile] = weights.get(profile, 0.0) + weight
    return weights


def learned(past: Past, now: float) -> Forecast:
    """What the past lets expect."""
    found = coming(past, now)
    hours = max(0.0, now - past.first) / HOUR_SECONDS
    known = replace(forecast(found.load), tasks=found.tasks, until=found.until)
    return replace(known, certainty=hours / (hours + WEEK))


def forecast(weights: Mapping[TaskProfile, float]) -> Forecast:
    """What to expect; of too many profiles the heaviest."""
    heaviest = sorted(weights, key=lambda profile: -weights[profile])
    kept = [profile for profile in heaviest if profile.devices][:MOST]
    kept += [profile for profile in heaviest if not profile.devices][:BESIDE_MOST]
    return Forecast({p: weights[p] for p in kept if weights[p] > 0})


Price = Callable[[Fluid], Prices | None]
"""Solves a fluid program; None without an answer in time."""


def appraised(expected: Forecast, grid: Grid, price: Price) -> Forecast:
    """The forecast with its prices on what is free; as it is where there are none."""
    asked = question(expected.weights, grid, expected.certainty)
    prices = price(asked.fluid) if asked else None
    return replace(expected, appraisal=asked.appraisal(prices)) if asked and prices else expected
