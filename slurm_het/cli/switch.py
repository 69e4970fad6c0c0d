"""slurm-het enable and disable: a pool goes to plan, or back to shadow, while jobs wait."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from slurm_het.cli.bypass import switch_on
from slurm_het.cli.effect import effect_of, startable_now
from slurm_het.cli.hetd_client import call
from slurm_het.cli.options import CONFIG
from slurm_het.cli.whole_file import write_whole
from slurm_het.config import load_config, parse_config
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.planner.switch import Move, out_of_the_gate
from slurm_het.core.policy import Mode
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.totals import pool_uses
from slurm_het.core.views.watch import Look, broken
from slurm_het.errors import HetError, SilenceError, SlurmBusyError, SlurmError
from slurm_het.settings import Config
from slurm_het.setup.mode_text import with_modes, without_ours
from slurm_het.slurm.cli import CliSlurm

SWITCH_SECONDS = 60.0  # so long hetd may take to go by a new het.yaml
AGAIN_SECONDS = 0.2
LOOK_SECONDS = 2.0
LEAST_LOOKS = 8
BUSY_SECONDS = 60.0  # so long a job is tried to be moved while Slurm says: try again
OPEN_SECONDS = 15.0  # so long the gate may take to open, or a pool to be UP
GONE = {"no longer pending": "has started meanwhile", "already finished": "has ended meanwhile"}
"""What Slurm says of jobs that cannot be moved any more, and what that means."""
FAILURES = ("refused", "back", "kept")
POOLS = click.option("--pool", "pools", multiple=True, required=True, help="Its name; repeatable.")


@click.command()
@POOLS
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would happen, and do nothing.")
@click.option(
    "--watch", type=click.IntRange(0, 3600), default=60, show_default=True,
    help="For so many seconds the first cycles are watched.",
)  # fmt: skip
@CONFIG
def enable(
    pools: tuple[str, ...], yes: bool, dry_run: bool, watch: int, config: Path | None
) -> None:
    """Have hetd plan a pool (mode: plan), with the jobs that wait there now.

    It checks first, runs a cycle dry, and shows what happens to the jobs that wait. Then it writes
    the mode into het.yaml, has hetd read that, moves the waiting jobs to the gate, and watches. If
    hetd falls silent, the gate does not close, releases fail, the pool's devices fall idle while
    jobs wait, or a job waits that could start at once, it takes all of that back and ends with code
    1. As root or SlurmUser, on hetd's host.

    \b
    Example:
      slurm-het enable --pool train-nv
    """
    settings = load_config(config)
    edit, wanted = _proposed(settings, pools, "plan")
    new = [p.partition for p in settings.policy.pools if p.partition in pools and p.mode != "plan"]
    effect = asyncio.run(effect_of(wanted))
    _say([f"{_names(settings, pools)} -> plan", *effect.lines()])
    if effect.wrong:
        raise HetError("nothing is changed: something is wrong", "mend it; slurm-het check")
    if dry_run:
        return
    if call(settings.paths.control_socket, {"op": "status"}).get("bypass"):
        raise HetError("bypass is on: nothing would be planned", "first slurm-het bypass off")
    if not yes:
        click.confirm("do it?", abort=True)
    before = _look(wanted, new, 0.0)
    _take_over(settings, edit, wanted)
    _say([f"{_moved(wanted, effect.moves)} jobs moved to {wanted.policy.intake_partition}"])
    if new and (why := _watched(wanted, new, before, watch)):
        _say([f"taken back: {why}"])
        _undo(settings, edit, wanted, new)
        sys.exit(1)
    _say([f"{', '.join(pools)}: hetd plans; slurm-het disable takes it back"])
    _say([f"left to do: {f.place} {f.what}; {f.remedy}" for f in effect.left])


@click.command()
@POOLS
@CONFIG
def disable(pools: tuple[str, ...], config: Path | None) -> None:
    """Give a pool back to plain Slurm (mode: shadow), with the jobs that wait.

    It writes the mode into het.yaml and has hetd read that: where no pool is left in plan the gate
    opens. Jobs that wait become again what their users submitted. As root or SlurmUser, on hetd's
    host. (At once, and whatever hetd does: slurm-het bypass on.)

    \b
    Example:
      slurm-het disable --pool train-nv
    """
    settings = load_config(config)
    edit, wanted = _proposed(settings, pools, "shadow")
    _say([f"{_names(settings, pools)} -> shadow"])
    _back(settings, edit, wanted, pools)
    if shut := _shut(wanted, pools):
        raise HetError(f"{', '.join(pools)}: the mode is shadow, but {shut[0]}", shut[1])
    _say([f"{', '.join(pools)}: plain Slurm schedules"])


class Edit(NamedTuple):
    """A change of het.yaml: its text before, and after."""

    path: Path
    before: str
    after: str


def _text(path: Path) -> str:
    """As it is, with the ends of lines that it has. Raises HetError."""
    try:
        return path.read_bytes().decode()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise HetError(f"cannot read {path}: {why}", "as root or SlurmUser") from error


def _proposed(settings: Config, pools: Iterable[str], mode: Mode) -> tuple[Edit, Config]:
    """het.yaml with that mode, and what it says. Raises HetError."""
    if settings.source is None:
        raise HetError("the configuration is no file", "give it with --config")
    text = _text(settings.source)
    edit = Edit(settings.source, text, with_modes(text, dict.fromkeys(pools, mode)))
    return edit, parse_config(edit.after, edit.path)


def _reverse(settings: Config, edit: Edit, pools: Sequence[str]) -> Edit:
    """The way back to the modes of `settings`; what others changed in the file since stays."""
    now = _text(edit.path)
    modes = {p.partition: p.mode for p in settings.policy.pools if p.partition in pools}
    return Edit(edit.path, now, without_ours(now, edit.after, edit.before, modes))


def _names(settings: Config, pools: Iterable[str]) -> str:
    found = {pool.partition: pool.mode for pool in settings.policy.pools}
    return ", ".join(f"{name} ({found.get(name, 'unknown')})" for name in pools)


def _take_over(settings: Config, edit: Edit, wanted: Config) -> None:
    """Write het.yaml, and have hetd go by it. Raises HetError, all as it was then."""
    status = call(settings.paths.control_socket, {"op": "status"})
    if status.get("leading") is not True:
        raise HetError("this host's hetd does not lead", "say it on the controller whose hetd does")
    if _text(edit.path) != edit.before:
        raise HetError(f"{edit.path} was changed meanwhile: nothing is done", "say it once more")
    _write(edit.path, edit.after)
    try:
        _have_read(wanted)
    except HetError as error:
        if _text(edit.path) != edit.after:
            why = f"{edit.path} was changed meanwhile, and hetd does not go by it: {error.message}"
            raise HetError(
                why, "see its modes: and hetd's log, then systemctl reload hetd"
            ) from error
        _write(edit.path, edit.before)
        try:
            _have_read(settings)
        except HetError as silent:
            why = f"het.yaml is as it was, but hetd may go by the new one: {silent.message}"
            raise HetError(why, "systemctl reload hetd; see its log") from error
        raise HetError(f"het.yaml is as it was: {error.message}", "see hetd's log") from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all; owner and mode stay, and a link to where the site keeps its files."""
    try:
        there = path.stat()
    except OSError as error:
        raise HetError(f"cannot read {path}: {error.strerror}", "as root or SlurmUser") from error
    mode = stat.S_IMODE(there.st_mode)
    write_whole(path.resolve(), text.encode(), mode, (there.st_uid, there.st_gid))


def _have_read(wanted: Config) -> None:
    """Have hetd read het.yaml, and wait until it has these modes. Raises HetError."""
    modes = {pool.partition: pool.mode for pool in wanted.policy.pools}
    deadline = time.monotonic() + SWITCH_SECONDS
    try:
        os.kill(int(_status(wanted, deadline)["pid"]), signal.SIGHUP)
    except OSError as error:
        raise HetError(f"cannot tell hetd: {error.strerror}") from error
    while _status(wanted, deadline).get("modes") != modes:
        time.sleep(AGAIN_SECONDS)


def _status(settings: Config, deadline: float) -> dict[str, Any]:
    """hetd's, which does not answer while it plans. Raises HetError after the deadline."""
    why = "hetd does not go by it"
    while time.monotonic() < deadline:
        try:
            return call(settings.paths.control_socket, {"op": "status"})
        except SilenceError as error:
            why = error.message
            time.sleep(AGAIN_SECONDS)
    raise HetError(f"{why}, after {SWITCH_SECONDS:g} s")


def _moved(settings: Config, moves: Sequence[Move]) -> int:
    """Move waiting jobs; how many did not start meanwhile, or end."""
    slurm = CliSlurm(settings.slurm)

    async def update(key: str, fields: dict[str, str]) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return await slurm.update_job(key, fields)
            except SlurmBusyError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)

    async def move(one: Move) -> int:
        try:
            for fields in one.updates:
                await update(one.key, fields)
        except SlurmError as error:
            gone = (ours for words, ours in GONE.items() if words in error.message)
            why = next(gone, f"stays: {error.message}")
            click.echo(clean(f"  job {one.job.label} {why}"), err=True)
            return 0
        return 1

    async def every() -> int:
        await slurm.snapshot()  # an update keeps the number of tasks that it has read
        return sum(await asyncio.gather(*map(move, moves)))

    return asyncio.run(every())


def _back(settings: Config, edit: Edit, wanted: Config, pools: Sequence[str]) -> None:
    """From `settings` to a het.yaml that has these pools in plan no more; their jobs as submitted.

    Raises HetError, all as it was then.
    """
    _take_over(settings, edit, wanted)
    _give_back(wanted, pools)


def _undo(settings: Config, edit: Edit, wanted: Config, pools: Sequence[str]) -> None:
    """Back to the modes of `settings`, whatever hetd does, and whoever edited het.yaml meanwhile.

    Where hetd does not do its part, the gate is opened without it, and stays open.
    """
    after = settings
    try:
        back = _reverse(settings, edit, pools)
        after = parse_config(back.after, back.path)
    except HetError as error:
        _say([f"{edit.path} was changed meanwhile, and stays so: {error.message}; mend it there"])
        switch_on(wanted)
    else:
        try:
            _take_over(wanted, back, after)
        except HetError as error:
            _say([f"hetd does not do it: {error.message}"])
            switch_on(wanted)
            if _text(back.path) == back.before:
                _write(back.path, back.after)
    _give_back(after, pools)
    if shut := _shut(after, pools):
        _say([f"{shut[0]}; do: {shut[1]}"])


def _give_back(wanted: Config, pools: Sequence[str]) -> None:
    snapshot = asyncio.run(CliSlurm(wanted.slurm).snapshot())
    moves = list(out_of_the_gate(snapshot, wanted.policy.planned, frozenset(pools)))
    count = _moved(wanted, moves)
    many = "waiting jobs are again as they were" if count != 1 else "waiting job is again as it was"
    _say([f"{count} {many} submitted"])


def _shut(wanted: Config, pools: Sequence[str]) -> tuple[str, str] | None:
    """Which of the partitions where these jobs wait Slurm starts nothing in, and what to do.

    hetd opens the gate within a cycle; where Slurm refuses that, its word is not what is so.
    """
    intake = wanted.policy.intake_partition
    names = [*pools] if wanted.plans else [intake, *pools]
    deadline = time.monotonic() + OPEN_SECONDS
    while True:
        snapshot = asyncio.run(CliSlurm(wanted.slurm).snapshot())
        states = {p.name: p.state for p in snapshot.partitions}
        shut = [name for name in names if states.get(name) != "UP"]
        if not shut or time.monotonic() > deadline:
            break
        time.sleep(AGAIN_SECONDS)
    if not shut:
        return None
    name = shut[0]
    opens = "slurm-het bypass on" if name == intake else (
        f"scontrol update PartitionName={name} State=UP")  # fmt: skip
    state = states.get(name, "not there")
    return f"{name} is {state}: what waits there starts nowhere", f"{opens}; hetd's log says more"


def _watched(wanted: Config, pools: Sequence[str], before: Look, seconds: int) -> str:
    """Watch the first cycles; which bound was broken, or ''.

    Where a look takes long it lasts longer: a bound needs some of them.
    """
    began, least = time.monotonic(), min(LEAST_LOOKS, seconds // LOOK_SECONDS)
    looks: list[Look] = []
    while time.monotonic() < began + seconds or len(looks) < least:
        looks.append(_look(wanted, pools, time.monotonic() - began))
        if why := broken(before, looks):
            return why
        time.sleep(LOOK_SECONDS)
    return ""


def _look(settings: Config, pools: Sequence[str], seconds: float) -> Look:
    try:
        status: dict[str, Any] = call(settings.paths.control_socket, {"op": "status"})
        snapshot = asyncio.run(CliSlurm(settings.slurm).snapshot())
    except HetError as error:
        return Look(seconds, error.message)
    inventory = take_inventory(snapshot, settings.policy)
    use = [p for p in pool_uses(inventory, settings.policy) if p.pool in pools]
    outcomes: dict[str, int] = status.get("outcomes", {})
    startable, put_off = startable_now(snapshot, settings, pools)
    waits: dict[str, Any] = status.get("returned", {})  # Slurm did not start them: they try later
    return Look(
        seconds, "", str(status.get("gate")), tuple(status.get("troubles", ())),
        outcomes.get("released", 0) + outcomes.get("reserved", 0),
        sum(outcomes.get(word, 0) for word in FAILURES),
        sum(p.used for p in use), sum(p.devices for p in use),
        startable, put_off - waits.keys(),
    )  # fmt: skip


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(clean(line))
