"""The planner as a library: from plain records to who starts where, and why the others wait.

    from slurm_het.library import Job, NodeRecord, Partition, Snapshot, load_config, propose

ARCHITECTURE.md has an example. Nothing here talks to Slurm, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slurm_het.config import load_config, parse_config
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, NodeRecord, Partition, Placement, Snapshot
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.plan import Solve
from slurm_het.core.planner.proposal import Memory, Prepared, decide, observe, prepare
from slurm_het.core.policy import Limits, Policy
from slurm_het.core.reservations.reservation import Reservation
from slurm_het.core.views.waiting import Remembered, Whys
from slurm_het.core.worth.forecast import Price, appraised, forecast, given
from slurm_het.times import local_time

__all__ = [
    "Job", "Limits", "NodeRecord", "Partition", "Placement", "Policy", "Proposal", "Reservation",
    "Snapshot", "greedy", "load_config", "parse_config", "propose",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposal:
    """What hetd would do. `waiting` and `ignored` say why, in words, by the key of the job.

    A placement's `terms` are the weighted terms of w on its first device. `bound` is what no plan
    exceeds, `gap` the relative distance to it; of the first-fit plan nothing is proven. `ignored`
    are jobs that are none of the planner's, and `warnings` what the records lack.
    """

    placements: tuple[Placement, ...]
    reserved: tuple[Reservation, ...]
    waiting: dict[str, str]
    ignored: dict[str, str]
    warnings: tuple[str, ...]
    status: str
    objective: float
    bound: float
    gap: float


def propose(
    snapshot: Snapshot,
    policy: Policy,
    solve: Solve = greedy,
    limits: Limits = Limits(window_tasks=1000, reserve_after_seconds=0.0),  # noqa: B008  # frozen
    price: Price | None = None,
) -> Proposal:
    """Plan the gated jobs of a snapshot.

    `solve` is the first-fit plan, or a solver: `Deadline(WorkerSolver(), seconds=1.0).solve` of
    slurm_het.solve. What to expect is what the policy's `expected_jobs` say; with a `price`, as
    `solve_fluid` of slurm_het.solve.fluid with some seconds, placements cost what they take of it.
    """
    # A job that no hook has classified is planned as its record stands.
    memory = Memory(Pins(0.0, 0.0), not_adopted={job.id for job in snapshot.jobs})
    observed = observe(snapshot, policy, memory, 0.0)
    prepared = prepare(observed, limits, memory, 0.0)
    weights = given(policy)
    expected = forecast(weights)
    if price:
        expected = appraised(expected, prepared.room.grid, price)
    made = decide(prepared, expected, solve)
    told = {key: reason.told(local_time) for key, reason in made.waiting.items()}
    whys = Whys(prepared, Remembered(True, told), local_time)
    moved = {p.key for p in made.placements} | {r.task.key for r in prepared.ahead.reserve}
    gated = [job for job in snapshot.jobs if is_gated(job, policy)]
    jobs = {whys.tasks[j.id].key if j.id in whys.tasks else j.label: j for j in gated}
    return Proposal(
        placements=made.placements,
        reserved=prepared.ahead.reserve,
        waiting={key: whys.gated(job) for key, job in jobs.items() if key not in moved},
        ignored=dict(_ignored(snapshot, policy)),
        warnings=(*prepared.inventory.warnings, *_missing(prepared)),
        status=made.status,
        objective=made.objective,
        bound=made.bound,
        gap=made.gap,
    )


def _ignored(snapshot: Snapshot, policy: Policy) -> Iterator[tuple[str, str]]:
    for job in snapshot.jobs:
        if job.state == "PENDING" and not is_gated(job, policy):
            intake = policy.intake_partition
            yield job.key, f"is in the partition {job.partition or '(none)'}, not in {intake}"


def _missing(prepared: Prepared) -> Iterator[str]:
    known = {p.name for p in prepared.snapshot.partitions}
    policy = prepared.policy
    for name in (policy.intake_partition, *(pool.partition for pool in policy.pools)):
        if name not in known:
            yield f"the snapshot has no partition {name}, which the policy names"
    for node in prepared.inventory.nodes.values():
        for name in node.partitions:
            if name not in known:
                yield f"node {node.name} is in the partition {name}, which the snapshot lacks"
