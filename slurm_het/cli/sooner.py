"""What would start a waiting job sooner, as `slurm-het why` tells it: commands to paste."""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from slurm_het.cli.hetd_client import call
from slurm_het.cli.hetd_status import OF_ROOM
from slurm_het.core.jobs.trials import Trial, Trials
from slurm_het.core.model import Job
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import format_places
from slurm_het.core.views.changes import Known
from slurm_het.core.views.job_rows import View
from slurm_het.core.views.sooner import Proved, Sooner, sooner
from slurm_het.core.views.whatif import Foreseen, WhatIf
from slurm_het.errors import HetError
from slurm_het.settings import Config
from slurm_het.slurm.cli import CliSlurm
from slurm_het.times import local_time

ASK_SECONDS = 1.0
SECONDS = 2.0
"""So long it is sought at most."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What was found of a waiting job as things stand at `now` (epoch seconds).

    `made` is None of one that Slurm places, or lets wait by itself, while the gate is open, and
    where Slurm keeps from the caller what it takes to tell (`hidden`).
    """

    now: float
    made: Sooner | None = None
    hidden: str = ""

    @property
    def remarks(self) -> list[str]:
        """What is left out."""
        if self.hidden:
            return [f"sooner: not to be told, as Slurm keeps {self.hidden} from you (PrivateData)"]
        if self.made and self.made.cut_short and self.made.as_it_is.start != self.now:
            return [f"more may help: after {SECONDS:g} s no more was tried"]
        return []

    @property
    def lines(self) -> list[str]:
        """When it starts as it is, and at most three changes that start it sooner."""
        told = _told(self.made, self.now) if self.made else ()
        return [f"  {line}" for line in (*told, *self.remarks)]


def seek(job: Job, view: View, settings: Config, slurm: CliSlurm) -> Sought:
    """Find when a waiting job starts as it is, and what would start it sooner."""
    now = view.prepared.snapshot.time
    if view.intake == "UP" or not _is_planned(job, view):
        return Sought(now)
    script, hidden = asyncio.run(_asked(job, slurm))
    if kept := " and ".join(sorted(OF_ROOM & hidden)):
        return Sought(now, hidden=kept)
    whatif = WhatIf(view.prepared, job, settings.planner.limits, view.readings)
    known = Known(script, trials_of(job.user, settings))
    until = time.monotonic() + SECONDS
    return Sought(whatif.now, sooner(whatif, known, lambda: time.monotonic() > until))


def trials_of(user: str, settings: Config) -> Trials | None:
    """How a user's programs fared before, by hetd; None where that is not told to us."""
    if os.getuid() and own_name() != user:
        return None
    try:
        reply = call(settings.paths.control_socket, {"op": "learned", "user": user}, ASK_SECONDS)
        return Trials(msgspec.convert(reply.get("trials"), list[Trial]))
    except (HetError, msgspec.ValidationError):
        return None


def own_name() -> str:
    """The name of whoever runs this, as Slurm has it; '' for one without."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _is_planned(job: Job, view: View) -> bool:
    """Whether the job waits for a plan, in the gate or for the nodes that it is pinned to."""
    gated = job.partition == view.prepared.policy.intake_partition
    return gated or any(pin.task.key == job.key and pin.start for pin in view.prepared.pins)


async def _asked(job: Job, slurm: CliSlurm) -> tuple[str, frozenset[str]]:
    """The batch script, '' where it is not shown to us; what Slurm may hide from us."""
    return await slurm.batch_script(job.array_job_id or job.id), await slurm.hidden()


def _told(made: Sooner, now: float) -> Iterator[str]:
    if made.as_it_is.start == now:
        return
    if made.as_it_is.start is not None:
        yield f"starts: {start_told(made.as_it_is, now)}, as things stand"
    yield from change_lines(made.changes, now)


def change_lines(
    changes: Sequence[Proved], now: float, *, as_options: bool = False
) -> Iterator[str]:
    """The changes as commands to paste, or as options of a job that is not submitted yet: what
    comes of it is a comment, so that the whole line can be pasted."""
    if changes:
        yield f"sooner, each alone, with all else as it was at {local_time(now)}:"
    for _, change, foreseen in changes:
        words = change.option if as_options else change.command
        yield f"  {words}   # {start_told(foreseen, now)}; {change.price}"


def start_told(foreseen: Foreseen, now: float) -> str:
    """`now on nv2:0-1`, `by 14:20:11 on nv2`."""
    place = foreseen.placement
    if foreseen.start is None or place is None:
        return "nobody knows when"
    if foreseen.start > now:
        return f"by {local_time(foreseen.start)} on {hostlist.fold(place.nodes)}"
    return f"now on {format_places(zip(place.nodes, place.devices, strict=True))}"
