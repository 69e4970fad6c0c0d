"""A scenario as data: a cluster, what its users submit, what happens to it, and the bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from yaml import YAMLError

from slurm_het.errors import HetError
from slurm_het.sandbox.accounting import Accounting
from slurm_het.sandbox.topology import Topology, topology_of

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
PROGRAMS = ("scontrol", "sacctmgr", "scancel")
"""What an event may run."""

FILLING_SECONDS = 15.0


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`count` jobs that are alike; times in seconds.

    They are submitted at `at` after the start, each `every` after the one before. `sbatch` are
    sbatch's arguments. The script is `script`, or it sleeps for `sleep`. `verdict` is what plain
    Slurm is known to say.
    """

    name: str
    user: str = "root"
    at: float = 0.0
    count: int = 1
    every: float = 0.0
    sbatch: tuple[str, ...] = ()
    script: str = ""
    sleep: float = 1.0
    verdict: Literal["accepted", "refused", ""] = ""

    @property
    def text(self) -> str:
        """The batch script."""
        script = self.script or f"exec sleep {self.sleep:g}"
        return script if script.startswith("#!") else f"#!/bin/bash\n{script}\n"


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command that root gives at `at`, seconds after the start, in both clusters alike."""

    at: float = 0.0
    run: tuple[str, ...]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must hold of the run with slurm-het beside that with plain Slurm; None: no bound.

    busy: least device-seconds in use, as a share of plain Slurm's.
    later_seconds: no job starts later by more than this, the k-th of a submission to start beside
        the k-th under plain Slurm; one number, or one for each submission that is named.
    as_many_start: as many jobs start, of every submission, or of those that are named.
    same_verdict: sbatch accepts and refuses the same.
    leaves: jobs of several nodes are in at most so many leaf switches or base blocks in the mean,
        as a share of plain Slurm's.
    lost: most device-seconds of runs that were cut short, as a share of plain Slurm's.
    """

    busy: float | None = None
    later_seconds: float | dict[str, float] | None = None
    as_many_start: bool | tuple[str, ...] = False
    same_verdict: bool = False
    lost: float | None = None
    leaves: float | None = None


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A scenario file.

    `cluster` says what a topology file says, its accounting with it. `het` is laid over het.yaml.
    It goes on for `seconds` after the start; `quick` of them show already what it is about. What is
    busy counts from `busy_from` on.
    `sbatch` comes before each submission's own arguments. `not_yet` says why the bounds do not
    hold today.
    """

    what: str
    cluster: dict[str, object]
    seconds: float
    submissions: tuple[Submission, ...]
    bounds: Bounds
    het: dict[str, object] = {}
    sbatch: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    quick: float = 30.0
    busy_from: float = 0.0
    not_yet: str = ""

    def topology(self, path: Path) -> Topology:
        """The cluster. Raises HetError with what is wrong with it."""
        return topology_of(self.cluster, path)

    def until(self, seconds: float) -> Scenario:
        """The same cut short; what would come later is left out.

        The filling of the queue, which would weigh much in it, does not count as busy.
        """
        if seconds >= self.seconds:
            return self
        kept = tuple(s for s in self.submissions if s.at < seconds)
        events = tuple(e for e in self.events if e.at < seconds)
        return msgspec.structs.replace(
            self, seconds=seconds, submissions=kept, events=events,
            busy_from=max(self.busy_from, min(FILLING_SECONDS, seconds / 2)),
        )  # fmt: skip


_PARTS = {
    "a scenario": Scenario, "a submission": Submission, "an event": Event, "bounds": Bounds,
}  # fmt: skip
FIELDS = "; ".join(f"{n}: {', '.join(part.__struct_fields__)}" for n, part in _PARTS.items())


def names() -> list[str]:
    """The scenarios of the project."""
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def path_of(name: str) -> Path:
    """The file of a scenario: one of the project's by its name, or any by its path."""
    path = SCENARIOS / f"{name}.yaml"
    if path.is_file():
        return path
    if not Path(name).is_file():
        raise HetError(f"there is no scenario {name!r}", f"name a file, or: {', '.join(names())}")
    return Path(name)


def load(path: Path) -> Scenario:
    """Read and check a scenario. Raises HetError with place, valid values and remedy."""
    hint = f"correct {path}. It has these fields: {FIELDS}"
    try:
        scenario = msgspec.yaml.decode(path.read_bytes(), type=Scenario)
    except OSError as error:
        raise HetError(f"cannot read {path}: {error.strerror}", "name another file") from error
    except (msgspec.DecodeError, YAMLError) as error:
        raise HetError(f"{path}: {error}", hint) from error
    topology = scenario.topology(path)
    problems = [*_problems(scenario, topology.accounting or Accounting(enforce=()))]
    if problems:
        raise HetError("\n".join(f"{path}: {text}" for text in problems), hint)
    return scenario


def _problems(scenario: Scenario, accounting: Accounting) -> Iterator[str]:
    if not 0 < scenario.seconds < 86_400:
        yield f"seconds: {scenario.seconds:g} is not above 0 and below a day"
    if scenario.quick <= 0 or not 0 <= scenario.busy_from < scenario.seconds:
        yield "quick must be above 0; busy_from at least 0 and below seconds"
    if not scenario.submissions:
        yield "submissions: there is none"
    known = [submission.name for submission in scenario.submissions]
    for index, submission in enumerate(scenario.submissions):
        place = f"submissions[{index}] ({submission.name})"
        if known.count(submission.name) > 1:
            yield f"{place}: name: another submission has it"
        if accounting.enforce and submission.user not in ("root", *accounting.users):
            users = ", ".join(("root", *accounting.users))
            yield f"{place}: user: {submission.user!r} is none of cluster.accounting.users: {users}"
        yield from _time_problems(place, submission.at, scenario.seconds)
        if submission.count < 1 or submission.every < 0 or submission.sleep < 0:
            yield f"{place}: count must be at least 1, every and sleep at least 0"
    for index, event in enumerate(scenario.events):
        place = f"events[{index}]"
        if not event.run or event.run[0] not in PROGRAMS:
            yield f"{place}: run: must begin with one of {', '.join(PROGRAMS)}"
        yield from _time_problems(place, event.at, scenario.seconds)
    yield from _bound_problems(scenario.bounds, known)


def _time_problems(place: str, at: float, seconds: float) -> Iterator[str]:
    if not 0 <= at < seconds:
        yield f"{place}: at: {at:g} is not in 0 to {seconds:g}, the scenario's seconds"


def _bound_problems(bounds: Bounds, known: Sequence[str]) -> Iterator[str]:
    if bounds == Bounds():
        yield f"bounds: there is none of {', '.join(Bounds.__struct_fields__)}"
    for field in ("later_seconds", "as_many_start"):
        value = getattr(bounds, field)
        for name in value if isinstance(value, dict | tuple) else ():
            if name not in known:
                yield f"bounds: {field}: {name!r} is none of {', '.join(known)}"
