"""Why jobs wait, in hetd's log: the sentence that users read, whenever it becomes another one.

It is found beside the cycles, as views find it, and of a bounded number of jobs at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice, takewhile

from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.reasons.codes import Waits
from slurm_het.core.views.waiting import Remembered
from slurm_het.daemon.beside import Beside
from slurm_het.daemon.own_reasons import Sentences
from slurm_het.times import without_times

log = logging.getLogger("hetd.waits")
MOST = 20
"""So many jobs are named at a time: a flood of submissions is no flood of lines."""
LOOKED_AT = 1000
"""So many jobs are looked at for that, those first that were not for longest."""


class WaitsLog(Beside):
    """Remembers, of the jobs that wait now, what was logged last. As it pauses between two looks, a
    job whose facts move all the time is named no more often than others."""

    def __init__(self, ticks: Callable[[], float], busy: Callable[[], bool]) -> None:
        super().__init__(ticks, busy)
        self._told: dict[str, Waits] = {}  # by name, whom nobody looked at for longest first

    def tell(self, prepared: Prepared, known: Remembered) -> None:
        """Begin to log why those wait that this plan leaves, if it is time for that."""
        self.begin(lambda: self.find(lambda: self._look(prepared, known)))

    def _look(self, prepared: Prepared, known: Remembered) -> None:
        sentences = Sentences(prepared, known)
        waiting = {name: job for job in sentences.jobs if (name := sentences.name_of(job))}
        self._told = {name: told for name, told in self._told.items() if name in waiting}
        turn = [name for name in waiting if name not in self._told] + list(self._told)
        lines = 0
        for name in takewhile(lambda _: not self.in_the_way(), islice(turn, LOOKED_AT)):
            waits, before = sentences.of(waiting[name]), self._told.get(name)
            if _worth_a_line(waits, before, by_plan=name in known.waiting):
                if lines == MOST:
                    log.info("more jobs wait for another reason than before: named in a moment")
                    break
                lines += 1
                log.info("job %s waits (%s): %s", name.partition("@")[0], *waits)
            self._told.pop(name, None)
            self._told[name] = waits  # as the last one


def _worth_a_line(waits: Waits, before: Waits | None, *, by_plan: bool) -> bool:
    """Whether that is new. Who is to start at once does not wait; but a plan may have left him."""
    if waits.code == "starting" or (waits.code == "next" and not by_plan):
        return False
    if before is None or before.code != waits.code:
        return True
    return without_times(before.text) != without_times(waits.text)
