"""slurm-het plan: what would be planned now, without touching anything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from slurm_het.config import Config, load_config
from slurm_het.core.build import build
from slurm_het.core.forecast import Forecast, forecast, given
from slurm_het.core.gres import format_indexes
from slurm_het.core.inventory import Inventory, take_inventory
from slurm_het.core.model import Plan
from slurm_het.core.parts import held_on, with_parts
from slurm_het.core.plain import clean, clean_lines
from slurm_het.core.plan import make_plan, select
from slurm_het.core.queue import fill_task_pools
from slurm_het.core.quotas import LinearProgram
from slurm_het.daemon.expectation import DAY
from slurm_het.daemon.store import Journal
from slurm_het.errors import HetError
from slurm_het.slurm.cli import CliSlurm
from slurm_het.solve.worker import WorkerSolver


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The configuration (het.yaml).")
@click.option("--dump-lp", is_flag=True, help="Print the model in LP format instead of solving it.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(config: Path | None, dump_lp: bool, as_json: bool) -> None:
    """Plan the gated jobs now and print it; nothing is changed (a dry run).

    \b
    Example:
      slurm-het plan --dump-lp > now.lp
    """
    settings = load_config(config)
    snapshot = asyncio.run(CliSlurm(settings.slurm).snapshot())
    inventory = take_inventory(snapshot, settings.policy)
    queue = fill_task_pools(snapshot, inventory, settings.policy)
    window = select(inventory, queue.tasks, settings.planner.window_tasks)
    solver = WorkerSolver(settings.planner.solver)
    solver.warm()
    try:
        outlook = _expected(settings, inventory, solver)
        built = build(inventory, window, settings.policy, outlook)
        solution = (
            None if dump_lp else solver.solve(built.problem, settings.planner.deadline_seconds)
        )
    finally:
        solver.close()
    if solution is None:
        from slurm_het.solve.milp import dump_lp as dump  # loads the solvers' libraries: only here

        click.echo(clean_lines(dump(built.problem)))
        return
    made = make_plan(built, inventory, solution)
    click.echo(json.dumps(asdict(made), indent=2) if as_json else _text(made, len(queue.tasks)))


def _expected(settings: Config, inventory: Inventory, solver: WorkerSolver) -> Forecast:
    """What hetd expects; without its journal, what the configuration gives."""
    weights, held = given(settings.policy), {}
    if settings.planner.learn_days:
        try:
            journal = Journal(settings.paths.journal, read_only=True)
        except HetError as error:
            click.echo(f"slurm-het plan: planned without the journal: {error}", err=True)
        else:
            if not settings.policy.expected_jobs:
                weights = journal.demands(time.time() - settings.planner.learn_days * DAY)
            holders = {key for device in inventory.devices() for key in device.holders}
            held = journal.demands_of(holders)
            journal.close()

    def relax(program: LinearProgram) -> Sequence[float] | None:
        return solver.solve_program(program, settings.planner.deadline_seconds)

    return with_parts(forecast(weights, inventory), relax).now(held_on(inventory, held))


def _text(made: Plan, tasks: int) -> str:
    lines = [
        f"{len(made.placements)} of {tasks} waiting tasks would start"
        f" ({made.status}, gap {made.gap:.2%}, {made.seconds * 1e3:.0f} ms)"
    ]
    for p in made.placements:
        where = " ".join(
            f"{node}:{format_indexes(indexes)}"
            for node, indexes in zip(p.nodes, p.devices, strict=True)
        )
        terms = " ".join(f"{name}={value:+.2f}" for name, value in p.terms.items())
        lines.append(f"  {p.key:<12} {p.partition:<14} {where:<28} {terms}")
    lines += [f"  {key:<12} waits: {why}" for key, why in made.waiting.items()]
    return "\n".join(map(clean, lines))
