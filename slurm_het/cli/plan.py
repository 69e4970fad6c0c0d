"""slurm-het plan: what would be planned now, without touching anything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from slurm_het.config import Config, load_config
from slurm_het.core.assignment.linear_program import (
    LinearProgram,
)
from slurm_het.core.cluster.inventory import Inventory, take_inventory
from slurm_het.core.cluster.pinned import reserve
from slurm_het.core.jobs.task_pools import fill_task_pools
from slurm_het.core.model import Placement, Plan
from slurm_het.core.planner.build_problem import build
from slurm_het.core.planner.explain import explain
from slurm_het.core.planner.pins import Pins, Planned
from slurm_het.core.planner.plan import make_plan, select
from slurm_het.core.reservations.look_ahead import EXPLAINED, look_ahead
from slurm_het.core.reservations.reservation import Reservation
from slurm_het.core.syntax.gres import format_places
from slurm_het.core.syntax.printable import clean, clean_lines
from slurm_het.core.worth.forecast import Forecast, forecast, given
from slurm_het.core.worth.full_cluster import held_on, with_parts
from slurm_het.daemon.expectation import DAY
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.slurm.cli import CliSlurm
from slurm_het.solve.worker import WorkerSolver


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
@click.option("--dump-lp", is_flag=True, help="Print the model in LP format instead of solving it.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(config: Path | None, dump_lp: bool, as_json: bool) -> None:
    """Plan the gated jobs now and print it; nothing is changed (a dry run).

    As hetd would in its next cycle: beside what is released and starting, and kept off what is
    reserved. Only who was returned a moment ago, and is not tried again yet, hetd alone knows.

    \b
    Example:
      slurm-het plan --dump-lp > now.lp
    """
    settings = load_config(config)
    planner = settings.planner
    snapshot = asyncio.run(CliSlurm(settings.slurm).snapshot())
    inventory = take_inventory(snapshot, settings.policy)
    queue = fill_task_pools(snapshot, inventory, settings.policy)
    solver = WorkerSolver(planner.solver)
    solver.warm()
    journal = _journal(settings)
    last_plan = journal.last_plan if journal else _unknown
    try:
        pins = Pins(planner.grace_seconds, planner.retry_seconds)
        found = pins.recover(snapshot, inventory, settings.policy, last_plan)
        room = reserve(inventory, found)
        ahead = look_ahead(
            snapshot, room, queue.tasks, tuple(pin for pin in found if pin.start), settings.policy,
            planner.reservations, planner.reserve_after_seconds,
        )  # fmt: skip
        window = select(room, ahead.tasks, planner.window_tasks)
        built = build(room, window, settings.policy, _expected(settings, room, journal, solver))
        solution = None if dump_lp else solver.solve(built.problem, planner.deadline_seconds)
    finally:
        solver.close()
        if journal:
            journal.close()
    if solution is None:
        from slurm_het.solve.solve import dump_lp as dump  # loads the solvers' libraries: only here

        click.echo(clean_lines(dump(built.problem)))
        return
    made = make_plan(built, room, solution)
    blocked = [task for task in ahead.tasks[:EXPLAINED] if task not in window]
    why = {task.key: explain(task, room, made.placements, window) for task in blocked}
    made = replace(made, waiting=made.waiting | why | ahead.kept)
    if as_json:
        reserved = [asdict(r.placement) | {"start": r.start} for r in ahead.reserve]
        click.echo(json.dumps(asdict(made) | {"reserved": reserved}, indent=2))
        return
    click.echo(_text(made, ahead.reserve, len(queue.tasks)))


def _journal(settings: Config) -> Journal | None:
    try:
        return Journal(settings.paths.journal, read_only=True)
    except HetError as error:
        click.echo(f"slurm-het plan: planned without the journal: {error}", err=True)
        return None


def _unknown(_key: str) -> Planned | None:
    """The last plan of a job, without a journal."""
    return None


def _expected(
    settings: Config, inventory: Inventory, journal: Journal | None, solver: WorkerSolver
) -> Forecast:
    """What hetd expects; without its journal, what the configuration gives."""
    weights, held = given(settings.policy), {}
    days = settings.planner.learn_days
    if days and journal:
        if not settings.policy.expected_jobs:
            weights = journal.demands(time.time() - days * DAY)
        held = journal.demands_of({key for d in inventory.devices() for key in d.holders})

    def relax(program: LinearProgram) -> Sequence[float] | None:
        return solver.solve_program(program, settings.planner.deadline_seconds)

    return with_parts(forecast(weights, inventory), relax).now(held_on(inventory, held))


def _text(made: Plan, reserved: Sequence[Reservation], tasks: int) -> str:
    lines = [
        f"{len(made.placements)} of {tasks} waiting tasks would start"
        f" ({made.status}, gap {made.gap:.2%}, {made.seconds * 1e3:.0f} ms)"
    ]
    for p in made.placements:
        terms = " ".join(f"{name}={value:+.2f}" for name, value in p.terms.items())
        lines.append(f"  {p.key:<12} {p.partition:<14} {_where(p):<28} {terms}")
    for r in reserved:
        at = time.strftime("%F %T", time.localtime(r.start))
        where = f"{r.placement.partition:<14} {_where(r.placement):<28}"
        lines.append(f"  {r.task.key:<12} {where} pinned ahead, starts by {at}")
    lines += [f"  {key:<12} waits: {why}" for key, why in made.waiting.items()]
    return "\n".join(map(clean, lines))


def _where(placement: Placement) -> str:
    return format_places(zip(placement.nodes, placement.devices, strict=True))
