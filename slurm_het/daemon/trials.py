"""How programs fared: learned from how jobs ended, journaled, told to the hook's process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.mark import decode_comment
from slurm_het.core.jobs.sizes import died_of
from slurm_het.core.jobs.trials import Trial, Trials, forgotten
from slurm_het.core.model import Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import hostlist
from slurm_het.errors import HetError
from slurm_het.journal import Records

RETRY_SECONDS, FORGET_SECONDS = 60.0, 600.0
NO_PEAKS: Mapping[int, int] = {}
MOST_TOLD = 5000  # to one who asks
MOST_NEWS = 500
"""So many trials are told at a time: the hook's process answers nobody while it reads them."""


class TrialKeeper:
    """All trials that count. `ticks` tells seconds that never go back: what is too old is told by
    the days on which hetd ran, so that a clock that jumps makes nothing old."""

    def __init__(self, policy: Policy, journal: Records, ticks: Callable[[], float]) -> None:
        self.policy, self.journal, self.ticks = policy, journal, ticks
        self.known = Trials()
        self._loaded = False
        self._load_at = self._forget_at = float("-inf")
        self._news: dict[tuple[str, str, str], Trial] = {}

    async def look(self) -> None:
        """Read what the journal has, once it can be read; forget what is too old."""
        if not self.policy.history_days:
            return
        days, now = self.policy.history_days, self.ticks()
        if not self._loaded and now >= self._load_at:
            self._load_at = now + RETRY_SECONDS  # no cycle waits for a slow disk again
            kept = await self.journal.ask(lambda kept: kept.trials(kept.since(days)), None)
            if kept is not None:
                self._loaded = True
                self.known = Trials((*kept, *self.known.all()))  # what was learned since is newer
                self._tell(self.known.all())
        if self._loaded and now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            oldest = await self.journal.ask(lambda kept: kept.since(days), 0.0)
            gone = list(map(forgotten, self.known.older(oldest)))
            for trial in gone:
                self.known.put(trial)
            self._keep(gone, gone)

    def heard(
        self, jobs: Iterable[Job], inventory: Inventory, peaks: Mapping[int, int] = NO_PEAKS
    ) -> None:
        """Learn from jobs that ended, and from their `peaks` (MiB) by job id."""
        if not self.policy.history_days:
            return
        changed, news = list[Trial](), list[Trial]()
        for job in sorted(jobs, key=lambda job: job.end_time):
            mark = decode_comment(job.admin_comment)
            vendor = vendor_of(job, inventory)
            if mark and mark.classification.program and vendor:
                program, peak = mark.classification.program, peaks.get(job.id, 0)
                lacked = died_of(job, peak, self.policy)
                before, after = self.known.after(job, program, vendor, peak, lacked)
                if after != before:
                    gone = self.known.put(after)
                    changed += [after, *gone]
                    told = (after.says, after.peaks) != (before.says, before.peaks)
                    news += [after, *gone] if told else gone
        self._keep(changed, news)

    def news(self) -> list[Trial]:
        """What changed since it was asked for last: some of it, the rest the next time."""
        some = list(self._news.items())[:MOST_NEWS]
        for key, _ in some:
            del self._news[key]
        return [trial for _, trial in some]

    def afresh(self) -> list[Trial]:
        """All there is to tell to somebody who knows nothing."""
        self._news.clear()
        return self.known.all()

    def told(self, user: str | None) -> dict[str, Any]:
        """The newest trials, of one user or of all, for who asks what is learned."""
        trials = self.known.all() if user is None else self.known.of_user(user)
        return {"trials": trials[-MOST_TOLD:]}

    def _keep(self, changed: list[Trial], news: list[Trial]) -> None:
        if changed:
            self.journal.write(lambda journal: journal.record_trials(changed))
            self._tell(news)

    def _tell(self, trials: Iterable[Trial]) -> None:
        self._news.update({(t.user, t.program, t.vendor): t for t in trials})


def vendor_of(job: Job, inventory: Inventory) -> str:
    """Whose devices a job ran on; '' if that is not certain."""
    try:
        names = hostlist.expand(job.nodes)
    except HetError:
        return ""
    nodes = [inventory.nodes.get(name) for name in names]
    vendors = {device.vendor for node in nodes if node for device in node.devices}
    return vendors.pop() if len(vendors) == 1 and None not in nodes else ""
