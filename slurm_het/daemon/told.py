"""What hetd tells an admin's `slurm-het plan` of its memory, so that both plan from the same."""

from __future__ import annotations

from typing import Any

import msgspec

from slurm_het.core.cluster.pinned import Pin
from slurm_het.core.planner.doubts import Returned
from slurm_het.core.planner.lessons import Lesson
from slurm_het.core.planner.pins import Pins
from slurm_het.core.planner.proposal import Memory
from slurm_het.core.planner.repairs import Holdings
from slurm_het.core.worth.forecast import Forecast
from slurm_het.core.worth.pricing import Appraisal
from slurm_het.core.worth.profiles import TaskProfile


class Told(msgspec.Struct):
    """The memory as JSON has it; `ticks` are hetd's own, the last four fields its forecast."""

    ticks: float
    pins: dict[str, Pin]
    returned: dict[str, Returned]
    holdings: Holdings
    not_adopted: set[int]
    passed_over: frozenset[str]
    lessons: list[Lesson]
    weights: list[tuple[TaskProfile, float]]
    tasks: list[tuple[TaskProfile, float]]
    until: float
    appraisal: Appraisal | None = None

    @property
    def expected(self) -> Forecast:
        """What hetd expects."""
        return Forecast(dict(self.weights), dict(self.tasks), self.until, self.appraisal)

    def memory(self, grace_seconds: float, retry_seconds: float) -> Memory:
        """The memory from which hetd's next cycle begins."""
        pins = Pins(grace_seconds, retry_seconds)
        pins.pins, pins.returned = self.pins, self.returned
        memory = Memory(pins, self.holdings, self.not_adopted, self.passed_over)
        memory.lessons.known = {lesson.scope: lesson for lesson in self.lessons}
        return memory


def tell(memory: Memory, ticks: float, expected: Forecast) -> dict[str, Any]:
    """The reply of the control socket."""
    told = Told(
        ticks,
        memory.pins.pins,
        memory.pins.returned,
        memory.holdings,
        memory.not_adopted,
        memory.passed_over,
        list(memory.lessons.known.values()),
        list(expected.weights.items()),
        list(expected.tasks.items()),
        expected.until,
        expected.appraisal,
    )
    built = msgspec.to_builtins(told, str_keys=True)
    if not isinstance(built, dict):
        raise TypeError("a struct is a dict in JSON")
    return built


def hear(reply: dict[str, Any]) -> Told:
    """Read the reply. Raises msgspec.ValidationError for one of another version of hetd."""
    return msgspec.convert(reply, Told, strict=False)
