"""slurm-het plan: hetd's next cycle, without touching anything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import click
import msgspec

from slurm_het.cli.hetd_client import call
from slurm_het.cli.hetd_status import ask_devices
from slurm_het.cli.options import CONFIG
from slurm_het.config import load_config
from slurm_het.core.assignment.fluid import Fluid
from slurm_het.core.assignment.prices import Prices
from slurm_het.core.jobs.asked import Anew, adoption, updated
from slurm_het.core.jobs.cluster_facts import ClusterFacts
from slurm_het.core.jobs.paces import Pace, Paces, speeds_of
from slurm_het.core.jobs.reading import suits_anew
from slurm_het.core.jobs.task_pools import is_gated
from slurm_het.core.model import Job, Placement, Plan, Snapshot
from slurm_het.core.planner.build_problem import build
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory, Prepared, decide, observe, prepare
from slurm_het.core.planner.repairs import Planned
from slurm_het.core.syntax.gres import format_places
from slurm_het.core.syntax.printable import clean, clean_lines
from slurm_het.core.views.waiting import Remembered, Whys
from slurm_het.core.worth.forecast import Forecast
from slurm_het.daemon.clocks import Clocks
from slurm_het.daemon.expectation import Expectation
from slurm_het.daemon.told import Told, hear
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.settings import Config
from slurm_het.slurm import SlurmClient
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.shadow import ShadowSlurm
from slurm_het.solve import Deadline, Solver
from slurm_het.solve.worker import solver_of
from slurm_het.times import local_time


@click.command()
@CONFIG
@click.option("--dump-lp", is_flag=True, help="Print the model in LP format instead of solving it.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(config: Path | None, dump_lp: bool, as_json: bool) -> None:
    """Plan the gated jobs now and print it; nothing is changed (a dry run).

    It is hetd's next cycle: the same steps, from the same records and from what hetd remembers.
    Where hetd does not answer, or not you, from Slurm's records and the journal alone. If no pool
    is in plan, what shadow would decide of what waits now, without its earlier decisions.

    \b
    Example:
      slurm-het plan --dump-lp > now.lp
    """
    settings = load_config(config)
    shadow = not settings.plans
    settings = settings.shadowed if shadow else settings.planned
    planner = settings.planner
    solver, journal = solver_of(planner), _journal(settings)
    try:
        solver.warm()
        told = None if shadow else _ask_hetd(settings)
        prepared, memory = _prepared(settings, told, journal)
        expected = asyncio.run(_expected(settings, prepared, told, journal, solver))
        expected = replace(expected, speeds=speeds_of(prepared.window, memory.paces))
        if dump_lp:
            click.echo(_model(prepared, expected))
            return
        until = Deadline(solver, planner.deadline_seconds)
        made = decide(prepared, expected, until.solve, until.hurry)
    finally:
        solver.close()
        journal.close()
    waiting = _waiting(prepared, made, memory)
    if shadow and not as_json:
        click.echo("shadow: no pool is in plan, and nothing of this will be done")
    click.echo((_as_json if as_json else _text)(prepared, made, waiting))


def _journal(settings: Config) -> Journal:
    """The journal, beside which as much may be noted as hetd would note in it."""
    try:
        return Journal.noting_beside(settings.paths.journal)
    except HetError as error:
        click.echo(f"slurm-het plan: planned without the journal: {error}", err=True)
        return Journal.noting_beside(None)


def _ask_hetd(settings: Config) -> Told | None:
    """hetd's memory; None, with a word on it, where there is none to be had."""
    try:
        return hear(call(settings.paths.control_socket, {"op": "memory"}))
    except HetError as error:
        why = error.message
    except msgspec.ValidationError as error:
        why = f"hetd is of another version ({error})"
    click.echo(f"slurm-het plan: planned without hetd's memory: {why}", err=True)
    return None


def _prepared(settings: Config, told: Told | None, journal: Journal) -> tuple[Prepared, Memory]:
    planner = settings.planner
    memory = Memory(Pins(planner.grace_seconds, planner.retry_seconds))
    ticks = time.monotonic()
    if told:
        memory, ticks = told.memory(planner.grace_seconds, planner.retry_seconds), told.ticks
    days, no_paces = settings.policy.history_days, list[Pace]()
    memory.paces = Paces(journal.answer(lambda kept: kept.paces(kept.since(days)), no_paces))
    real = CliSlurm(settings.slurm)
    shadow = all(pool.mode != "plan" for pool in settings.policy.pools)
    slurm = ShadowSlurm(real, settings.policy) if shadow else real

    def last_plan(job: Job) -> Planned | None:
        return journal.answer(lambda kept: kept.last_plan(job), None)

    async def read() -> Prepared:
        snapshot = await slurm.snapshot()
        if told and settings.telemetry.on:
            snapshot = replace(snapshot, measured=ask_devices(settings.paths.control_socket))
        observed = observe(snapshot, settings.policy, memory, ticks, last_plan)
        for due in observed.take_back:  # as if Slurm took the update
            memory.pins.pins.pop(due.key, None)
        prepared = prepare(observed, planner.limits, memory, ticks)
        if not prepared.strays:
            return prepared
        adopted = await _adopted(prepared, slurm, memory)
        return prepare(replace(observed, snapshot=adopted), planner.limits, memory, ticks)

    return asyncio.run(read()), memory


async def _adopted(prepared: Prepared, slurm: SlurmClient, memory: Memory) -> Snapshot:
    """The snapshot, the strays classified, as hetd does before it plans them."""
    jobs = {job.id: job for job in prepared.snapshot.jobs}
    facts = ClusterFacts.of(prepared.snapshot, prepared.inventory, prepared.policy)
    for number in prepared.strays:
        script = await slurm.batch_script(number)
        anew = Anew(jobs[number], script)
        try:
            suits = suits_anew(jobs[number], facts)
            update = adoption(anew, facts.policy, facts.inventory, suits=suits)
            jobs[number] = updated(jobs[number], update)
        except HetError:
            memory.not_adopted.add(number)
    return replace(prepared.snapshot, jobs=tuple(jobs.values()))


async def _expected(
    settings: Config,
    prepared: Prepared,
    told: Told | None,
    journal: Journal,
    solver: Solver,
) -> Forecast:
    """What hetd expects: by its own forecast if it told that, else as if it had just started."""

    def price(fluid: Fluid) -> Prices | None:
        return solver.price(fluid, settings.planner.deadline_seconds)

    expectation = Expectation(journal, settings, Clocks(), price, told.expected if told else None)
    expected = await expectation.of(prepared.queue.tasks, prepared.snapshot.jobs, prepared.room)
    return await expectation.settled(expected)


def _model(prepared: Prepared, expected: Forecast) -> str:
    from slurm_het.solve.solve import dump_lp  # loads the solvers' libraries: only here

    built = build(prepared.room, prepared.window, prepared.policy, expected)
    return clean_lines(dump_lp(built.problem))


def _waiting(prepared: Prepared, made: Plan, memory: Memory) -> dict[str, str]:
    """Why each gated job waits that the plan neither starts nor pins."""
    returned = {key: (r.reason, r.times) for key, r in memory.pins.returned.items()}
    planned = {key: reason.told(local_time) for key, reason in made.waiting.items()}
    whys = Whys(prepared, Remembered(True, planned, returned), local_time)
    reserved = {r.task.key for r in prepared.ahead.reserve}
    moved = {p.key for p in made.placements} | reserved
    told = {
        whys.tasks[job.id].key if job.id in whys.tasks else job.label: whys.gated(job)
        for job in prepared.snapshot.jobs
        if is_gated(job, prepared.policy)
    }
    return {key: why for key, why in (planned | told).items() if key not in moved}


def _as_json(prepared: Prepared, made: Plan, waiting: Mapping[str, str]) -> str:
    reserved = [asdict(r.placement) | {"start": r.start} for r in prepared.ahead.reserve]
    document = asdict(replace(made, waiting={})) | {"waiting": waiting, "reserved": reserved}
    document["modes"] = {pool.partition: pool.mode for pool in prepared.policy.pools}
    return json.dumps(document, indent=2)


def _text(prepared: Prepared, made: Plan, waiting: Mapping[str, str]) -> str:
    lines = [
        f"{len(made.placements)} of {len(prepared.queue.tasks)} waiting tasks would start"
        f" ({made.status}, gap {made.gap:.2%}, {made.seconds * 1e3:.0f} ms)"
    ]
    for p in made.placements:
        terms = " ".join(f"{name}={value:+.2f}" for name, value in p.terms.items())
        lines.append(f"  {p.key:<12} {p.partition:<14} {_where(p):<28} {terms}")
        lines += [f"  {'':<12} it {p.spared.told(local_time)}"] if p.spared else []
    for r in prepared.ahead.reserve:
        where = f"{r.placement.partition:<14} {_where(r.placement):<28}"
        by = local_time(r.start)
        lines.append(f"  {r.task.key:<12} {where} would be pinned ahead, starts by {by}")
    lines += [f"  {key:<12} waits: {why}" for key, why in waiting.items()]
    return "\n".join(map(clean, lines))


def _where(placement: Placement) -> str:
    return format_places(zip(placement.nodes, placement.devices, strict=True))
