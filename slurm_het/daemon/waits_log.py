"""Why jobs wait, in hetd's log: the sentence that users read, whenever the kind of it changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from slurm_het.core.reasons import Reason
from slurm_het.core.reasons.codes import code_of
from slurm_het.times import local_time

log = logging.getLogger("hetd.waits")
MOST = 20
"""So many jobs are named after one plan: a flood of submissions is no flood of lines."""
AGAIN_SECONDS = 10.0
"""A job is named again after so long at the earliest: from plan to plan reasons may alternate."""


class WaitsLog:
    """Remembers, of the jobs that wait now, what was logged last."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, float]] = {}

    def look(self, reasons: Mapping[str, Reason], now: float) -> None:
        """Log what is new among the reasons of a plan, by key; `now` are seconds of any clock."""
        told, new = {}, []
        for key, reason in reasons.items():
            code, (before, when) = code_of(reason), self._told.get(key, ("", float("-inf")))
            told[key] = before, when
            if code != before and now - when >= AGAIN_SECONDS:
                told[key] = code, now
                new.append(key)
        self._told = told
        for key in new[:MOST]:
            log.info("job %s waits (%s): %s", key, told[key][0], reasons[key].told(local_time))
        if len(new) > MOST:
            log.info("%d more jobs wait for another reason than before", len(new) - MOST)
