"""What jobs are to be expected: given in the config, else learned from those that came."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from slurm_het.config import Config
from slurm_het.core.forecast import Forecast, demand_of, forecast, given
from slurm_het.core.inventory import Inventory
from slurm_het.core.model import Task
from slurm_het.daemon.store import Journal

DAY = 86400.0
RENEW_SECONDS = 300.0
DEFAULT_MINUTES = 60.0  # of a job without a time limit


class Expectation:
    """Journals what tasks ask, and makes a forecast of it now and then.

    `clock` is the wall's, by which the journal counts days; `ticks` never goes back.
    """

    def __init__(
        self,
        journal: Journal,
        config: Config,
        clock: Callable[[], float],
        ticks: Callable[[], float],
    ) -> None:
        self.journal, self.policy = journal, config.policy
        self.days = config.planner.learn_days
        self.clock, self.ticks = clock, ticks
        self._forecast = Forecast()
        self._renew_at = 0.0
        self._seen: set[str] = set()

    def of(self, tasks: Iterable[Task], inventory: Inventory) -> Forecast:
        """The forecast at this moment, these tasks included; empty if nothing is to be expected."""
        learns = bool(self.days) and not self.policy.expected_jobs
        if learns:
            self._record(tasks)
        if self.ticks() >= self._renew_at:
            self._renew_at = self.ticks() + RENEW_SECONDS
            since = self.clock() - self.days * DAY
            weights = self.journal.demands(since) if learns else given(self.policy)
            self._forecast = forecast(weights, inventory)
        return self._forecast

    def _record(self, tasks: Iterable[Task]) -> None:
        waiting = {task.key: task for task in tasks}
        new = waiting.keys() - self._seen
        if new:
            self.journal.record_demands(
                self.clock(),
                ((key, demand_of(waiting[key]), waiting[key].minutes or DEFAULT_MINUTES)
                 for key in new),
            )  # fmt: skip
        self._seen = set(waiting)
