"""Looking on while it is simulated: what is idle although a job that waits fitted; and how far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from slurm_het.simulation.jobs import JobRun, NodeAsk
from slurm_het.simulation.slurm import Slurm, in_line
from slurm_het.simulation.world import Machine

LOOKED_AT = 200
"""So many jobs that wait, the first ones, are tried on what is idle."""
EVERY = 900.0
TELL_SECONDS = 1.0
"""Of a real clock: so often is told how far it is."""

Tell = Callable[[float, int], None]
"""Is told the simulated seconds, and how many jobs have started."""


@dataclass
class IdleWatch:
    """Device-seconds idle while a job that waits fitted there (`fitted`), and while one fitted but
    for its vendor, type, partition or features (`elsewhere`): from `begin` to `end`."""

    begin: float
    end: float
    tell: Tell
    every: float = EVERY
    due: float = field(init=False)
    fitted: float = 0.0
    elsewhere: float = 0.0
    _told: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        # Not at full seconds: just then jobs end, and Slurm looks a moment later.
        self.due = 0.3717 * self.every

    def look(self, slurm: Slurm) -> None:
        """Count once, for the time until the next look."""
        self.due = slurm.now + self.every
        if time.monotonic() - self._told > TELL_SECONDS:
            self._told = time.monotonic()
            self.tell(slurm.now, len(slurm.jobs) - len(slurm.pending))
        if not self.begin <= slurm.now < self.end or not slurm.pending:
            return
        fitted, elsewhere = _idle(slurm)
        seconds = min(self.every, self.end - slurm.now)
        self.fitted += fitted * seconds
        self.elsewhere += elsewhere * seconds


def _idle(slurm: Slurm) -> tuple[float, float]:
    """Devices that jobs that wait could have now; and those that they could have, were any vendor
    right. Each device counts once: what a job is tried on is taken until all have been tried."""
    runs = sorted(slurm.pending.values(), key=in_line)
    taken: list[tuple[Machine, NodeAsk, tuple[int, ...]]] = []
    counted = [0.0, 0.0]
    hopeless: set[object] = set()
    left: list[JobRun] = []
    for run in runs[:LOOKED_AT]:
        inside = tuple(p for p in run.spec.partitions if slurm.world.admits(run.spec, p))
        like = inside, run.spec.features, run.spec.ask, run.spec.nodes
        names = _names(slurm, run, inside) if like not in hopeless else frozenset[str]()
        if names and slurm.limits.allow(run.spec, slurm.running.values()):
            found = _take(slurm, run, run.spec.ask, names)
            if found:
                taken += found
                counted[0] += sum(len(devices) for _, _, devices in found)
                continue
            hopeless.add(like)
        left.append(run)
    for run in left:
        if not run.spec.on:
            found = _elsewhere(slurm, run, hopeless)
            taken += found
            counted[1] += sum(len(devices) for _, _, devices in found)
    for machine, ask, devices in taken:
        machine.take(ask, devices, -1)
    return counted[0], counted[1]


def _elsewhere(
    slurm: Slurm, run: JobRun, hopeless: set[object]
) -> list[tuple[Machine, NodeAsk, tuple[int, ...]]]:
    """Take what it could have were any type right, by whatever GRES that is registered: another
    vendor's may have another name. None of these is tried that is `hopeless`."""
    spec = run.spec
    for name in sorted(slurm.world.gres_names, key=lambda name: (name != spec.ask.gres, name)):
        ask = replace(spec.ask, type=None, gres=name)
        large = ask, spec.nodes
        if large not in hopeless:
            if found := _take(slurm, run, ask, slurm.machines):
                return found
            hopeless.add(large)
    return []


def _names(slurm: Slurm, run: JobRun, partitions: Iterable[str]) -> frozenset[str]:
    """Of these the nodes that it asked for itself: what hetd has pinned it to counts for nothing
    here."""
    spec = run.spec
    names = frozenset[str]()
    for partition in partitions:
        names |= slurm.with_features(partition, spec.features)
    return names & spec.on if spec.on else names


def _take(
    slurm: Slurm, run: JobRun, ask: NodeAsk, names: Iterable[str]
) -> list[tuple[Machine, NodeAsk, tuple[int, ...]]]:
    """Take what it asks on the first of these nodes that have it; nothing if too few do."""
    found: list[tuple[Machine, NodeAsk, tuple[int, ...]]] = []
    for name in names:
        machine = slurm.machines[name]
        devices = machine.pick(ask)
        if devices:
            found.append((machine, ask, devices))
            if len(found) == run.spec.nodes:
                break
    if len(found) < run.spec.nodes:
        return []
    for machine, asked, devices in found:
        machine.take(asked, devices)
    return found
