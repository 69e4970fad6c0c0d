"""The cluster in numbers, for Prometheus: devices, what waits and runs, the gate.

No label grows without bound: none is a user, a job or a node, and reasons are fixed codes. Each
device and each task counts once, so that a sum over labels means something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from slurm_het.core.gate import GateState
from slurm_het.core.reasons.idle import Cause
from slurm_het.core.views.accuracy import Accuracy
from slurm_het.core.views.device_map import DeviceMap, MapDevice
from slurm_het.core.views.job_rows import GATE, JobRow, View
from slurm_het.core.views.totals import tasks_of

PREFIX = "slurm_het_"
GIB = 1 << 30
Samples = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Family:
    """A gauge: its name without the prefix, what it says, its labels, a value for each of them."""

    name: str
    text: str
    labels: tuple[str, ...]
    samples: Samples


@dataclass(frozen=True, slots=True)
class ShadowFacts:
    """What hetd decides where it changes nothing: jobs in its book, and what came of others.

    `outcomes` counts, by event, since hetd started; the rest is as in HetdFacts.
    """

    pinned: int
    cycle_time: float
    cycle_seconds: float
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HetdFacts:
    """What hetd says of itself; `answers`: somebody does, else the rest is not known.

    `cycle_time` is when the last cycle ended (epoch seconds; 0: none did), `cycle_seconds` how
    long it took; `troubles`, how many things do not work; `accuracy`, how good told start times
    were. `modes` are those of the pools; `shadow` is what is decided for those not in plan.
    """

    answers: bool = False
    gate: str = ""
    leads: bool = False
    troubles: int = 0
    cycle_time: float = 0.0
    cycle_seconds: float = 0.0
    pinned: int = 0
    accuracy: Accuracy | None = None
    modes: Mapping[str, str] = field(default_factory=dict)
    shadow: ShadowFacts | None = None


def families(view: View, shown: DeviceMap, hetd: HetdFacts) -> Iterator[Family]:
    """All gauges of a view of the cluster."""
    yield from _of_devices(shown)
    pools = {pool.partition for pool in view.prepared.policy.pools}
    yield from _of_tasks(view.rows, pools | {GATE})
    up = float(view.intake == "UP")
    yield Family("intake_open", "1 if the intake is UP: plain Slurm schedules.", (), {(): up})
    yield Family(
        "records_unreadable", "Records of Slurm that could not be read.", (),
        {(): float(len(view.warnings))},
    )  # fmt: skip
    yield from of_hetd(hetd)


def of_hetd(hetd: HetdFacts) -> Iterator[Family]:
    """What is known of hetd alone."""
    yield Family("up", "1 if hetd answers on this host.", (), {(): float(hetd.answers)})
    if not hetd.answers:
        return
    states: Samples = {(str(state),): float(hetd.gate == state) for state in GateState}
    yield Family("gate_state", "1 for the state that the gate is in.", ("state",), states)
    yield Family("leader", "1 if this hetd leads, 0 if it stands by.", (), {(): float(hetd.leads)})
    yield Family("troubles", "What does not work at present.", (), {(): float(hetd.troubles)})
    yield Family("pinned_tasks", "Tasks released, not running yet.", (), {(): float(hetd.pinned)})
    modes: Samples = {
        (pool, mode): float(mode == own)
        for pool, own in hetd.modes.items()
        for mode in ("shadow", "advise", "plan")
    }
    yield Family("pool_mode", "1 for the mode of the pool.", ("pool", "mode"), modes)
    if hetd.shadow:
        yield from _of_shadow(hetd.shadow)
    if hetd.cycle_time:
        when, took = "last_cycle_timestamp_seconds", "last_cycle_duration_seconds"
        yield Family(when, "When the last cycle ended.", (), {(): hetd.cycle_time})
        yield Family(took, "How long the last cycle took.", (), {(): hetd.cycle_seconds})
    if hetd.accuracy:
        yield from _of_told(hetd.accuracy)


def _of_told(good: Accuracy) -> Iterator[Family]:
    kept: Samples = {("yes",): float(good.kept), ("no",): float(good.told - good.kept)}
    yield Family("told_starts", "The last told start times, by whether kept.", ("kept",), kept)
    if good.told:
        off: Samples = {("0.5",): good.half_seconds, ("0.9",): good.most_seconds}
        text = "How far starts were from what was told."
        yield Family("told_start_error_seconds", text, ("quantile",), off)


def _of_shadow(shadow: ShadowFacts) -> Iterator[Family]:
    yield Family(
        "shadow_pinned_tasks", "Tasks that would run by now, and wait in Slurm.", (),
        {(): float(shadow.pinned)},
    )  # fmt: skip
    outcomes: Samples = {(event,): float(count) for event, count in shadow.outcomes.items()}
    yield Family(
        "shadow_outcomes", "What came of shadow's decisions since hetd started.", ("event",),
        outcomes,
    )  # fmt: skip
    if shadow.cycle_time:
        when, took = "shadow_last_cycle_timestamp_seconds", "shadow_last_cycle_duration_seconds"
        yield Family(when, "When shadow's last cycle ended.", (), {(): shadow.cycle_time})
        yield Family(took, "How long shadow's last cycle took.", (), {(): shadow.cycle_seconds})


def _of_devices(shown: DeviceMap) -> Iterator[Family]:
    devices: Counter[tuple[str, ...]] = Counter()
    memory: Counter[tuple[str, ...]] = Counter()
    given: Counter[tuple[str, ...]] = Counter()
    idle: Counter[tuple[str, ...]] = Counter()
    for node in shown.nodes:
        pool = node.pools[0] if node.pools else "none"
        for device in node.devices:
            kind = (pool, device.vendor, device.type)
            devices[*kind, _state(device)] += 1
            memory[kind] += device.memory_gib * GIB
            given[kind] += device.occupied_gib * GIB
            if device.idle:
                idle[pool, device.idle.cause.value] += 1
    for pool in {pool for pool, *_ in devices}:
        for cause in Cause:  # a cause that is gone is 0, no series that has ended
            idle.setdefault((pool, cause.value), 0)
    kind_labels = ("pool", "vendor", "type")
    yield Family("devices", "Devices by what they are.", (*kind_labels, "state"), devices)
    yield Family("device_memory_bytes", "Memory of the devices.", kind_labels, memory)
    yield Family(
        "device_memory_given_bytes", "Of that, what Slurm has given away.", kind_labels, given
    )
    yield Family("idle_devices", "Idle devices by the one cause.", ("pool", "cause"), idle)
    largest: Samples = {
        (t.pool, t.type, str(t.memory_gib)): float(t.largest.devices * max(1, t.largest.nodes))
        for t in shown.types
    }
    yield Family(
        "largest_job_devices", "The most devices of a job that would start now.",
        ("pool", "type", "memory_gib"), largest,
    )  # fmt: skip


def _state(device: MapDevice) -> str:
    if not device.holders:
        return "idle"
    return "whole" if device.occupied_gib >= device.memory_gib else "shared"


def _of_tasks(rows: tuple[JobRow, ...], pools: Set[str]) -> Iterator[Family]:
    tasks: Counter[tuple[str, ...]] = Counter()
    oldest: dict[tuple[str, ...], float] = {}
    for row in rows:
        if row.job.finished:
            continue
        scenario = row.scenario or "none"
        state = "waiting" if row.waits else "running"
        tasks[row.pool if row.pool in pools else "other", scenario, state] += tasks_of(row.job)
        if row.waits:
            key = (scenario,)
            oldest[key] = max(oldest.get(key, 0.0), float(row.waited))
    yield Family("tasks", "Tasks in the queue.", ("pool", "scenario", "state"), tasks)
    yield Family(
        "oldest_wait_seconds", "The longest wait of those that wait now.", ("scenario",), oldest
    )
