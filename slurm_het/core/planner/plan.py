"""The planner: a pure function that says which waiting tasks start where on what is free.

`plan(inventory, tasks, policy, solve)`: build the problem, solve it, predict which devices Slurm
will take, check every constraint, and explain why tasks wait. No I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.problem import Problem, Solution, violations
from slurm_het.core.cluster.fit import could_start
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.cluster.placement import common_pool, placement_of
from slurm_het.core.limits.within import at_limit
from slurm_het.core.model import Placement, Plan, Task
from slurm_het.core.planner.build_problem import (
    Built,
    Hurry,
    build,
    never,
)
from slurm_het.core.planner.explain import explain
from slurm_het.core.planner.slurm_picks import pick_devices
from slurm_het.core.planner.spare import spared
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import OutOfTime, PlanRefused, Reason
from slurm_het.core.site_limits import Budget
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.weights import locality, placement_terms, terms

Solve = Callable[[Problem], Solution]
LEAST = 16
"""A window has so many tasks for the same pools, however little is free: some will not fit."""
ENOUGH = 2
"""Or for so many times the devices that are free."""
SHARES = 8
"""So many shares may well be had of one device."""


def plan(
    inventory: Inventory,
    tasks: tuple[Task, ...],
    policy: Policy,
    solve: Solve,
    expected: Forecast | None = None,
    hurry: Hurry = never,
) -> Plan:
    """Plan `tasks`, which are in Slurm's priority order, on what is free now.

    The `expected` jobs only change the weights. Once `hurry` says so, the tasks that are not yet
    built into the problem wait for the next plan.
    """
    built = build(inventory, tasks, policy, expected, hurry)
    solved = make_plan(built, inventory, solve(built.problem))
    left_out = {task.key: OutOfTime() for task in tasks[len(built.tasks) :]}
    return replace(solved, waiting={**solved.waiting, **left_out}, left_out=len(left_out))


def make_plan(built: Built, inventory: Inventory, solution: Solution) -> Plan:
    """Turn a solution into placements. In place of one that breaks a constraint is first-fit's."""
    refused = next(iter(violations(built.problem, solution)), "")
    if refused:
        solution = replace(greedy(built.problem), seconds=solution.seconds)
        if broken := violations(built.problem, solution):
            refusals = {task.key: PlanRefused(broken[0]) for task in built.tasks}
            return Plan(waiting=refusals, status="refused", refused=refused)
    chosen = [_placement(built, t, solution) for t in sorted(solution.starts)]
    tasks = {task.key: task for task in built.tasks}
    placed, dropped = pick_devices(inventory, chosen, tasks)
    kept = spared(built, solution)
    placed = [replace(p, spared=kept.get(p.key)) for p in placed]
    started = {p.key for p in placed}
    spent: Counter[Budget] = Counter()
    for claim in (c for p in placed for c in tasks[p.key].claims):
        spent[claim.budget] += claim.amount
    waiting = {
        task.key: dropped.get(task.key)
        or _over_budget(task, spent)
        or explain(task, inventory, placed, built.tasks)
        for task in built.tasks
        if task.key not in started
    }
    return Plan(
        placements=tuple(placed),
        waiting=waiting,
        status=solution.status,
        objective=solution.objective,
        bound=solution.bound,
        gap=solution.gap,
        seconds=solution.seconds,
        refused=refused,
    )


def _over_budget(task: Task, spent: Counter[Budget]) -> Reason | None:
    """The limit that those who start leave too little of."""
    over = (at_limit(claim, task, spent[claim.budget]) for claim in task.claims)
    return next((reason for reason in over if reason), None)


def _placement(built: Built, t: int, solution: Solution) -> Placement:
    task, choices = built.tasks[t], solution.starts[t]
    nodes = [built.nodes[c.node] for c in choices]
    devices = [[built.device(j) for j in c.devices] for c in choices]
    first = terms(task, devices[0][0], nodes[0], built.site)
    if built.problem.prices:
        first["fragmentation"] = built.alone.term(built.problem.request(t), choices[0])
    if len(nodes) > 1 and any(node.parts for node in nodes):
        first |= placement_terms(locality(nodes), built.site)
    return placement_of(
        task,
        common_pool(task, nodes),
        (
            (n.name, tuple(sorted(d.index for d in ds)))
            for n, ds in zip(nodes, devices, strict=True)
        ),
        {node.name: node for node in nodes},
        {name: round(value, 4) for name, value in first.items()},
    )


def select(inventory: Inventory, tasks: Iterable[Task], limit: int) -> tuple[Task, ...]:
    """The first `limit` tasks, in order, that could start if they were alone.

    A task that cannot start alone cannot start with others, so leaving it out changes no plan. And
    the tasks that must wait at the head of the queue do not push those that can start out of the
    window.
    """
    startable = (task for task in tasks if could_start(task, inventory))
    return tuple(islice(startable, limit))


def in_turn(tasks: Iterable[Task], inventory: Inventory) -> Iterator[Task]:
    """The tasks, but not many more of those that could start than their pools have devices free.

    Else one user's thousand jobs for one free device would fill the window, and keep the jobs for
    pools that are idle out of it.
    """
    free = Counter[str]()  # devices, by pool
    for state in inventory.grid.states:
        if state.node.usable:
            devices = sum(1 for device in state.node.devices if device.free_gib)
            free.update(dict.fromkeys(state.node.partitions, devices * state.count))
    most: dict[tuple[tuple[str, ...], int], int] = {}
    taken = Counter[tuple[str, ...]]()
    for task in tasks:
        like = task.pools, SHARES if task.takes_share else 1
        if like not in most:
            most[like] = max(LEAST, ENOUGH * like[1] * sum(free[pool] for pool in task.pools))
        if taken[task.pools] < most[like]:
            taken[task.pools] += could_start(task, inventory)
            yield task
