"""The intake is set DOWN once more, for what any update of a partition has Slurm do.

It sums up anew what is in use. And it looks at its queue, which it does not by itself after a job
that ends while its EpilogSlurmctld, ours or a site's, still runs: docs/facts.md, "With an
EpilogSlurmctld".
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from slurm_het.core.cluster.inventory import devices_lost
from slurm_het.core.model import Snapshot
from slurm_het.core.planner.proposal import Prepared
from slurm_het.core.syntax import hostlist
from slurm_het.daemon.gate import Gate

log = logging.getLogger("hetd.cycle")
RECOUNT_SECONDS = 30.0  # where one recount did not help, another right after it will not either


class OnceMore:
    """To be told of each cycle. `ticks` are seconds of a clock that never goes back."""

    def __init__(self, gate: Gate, ticks: Callable[[], float]) -> None:
        self.gate, self.ticks = gate, ticks
        self._counted = float("-inf")
        self._holding = frozenset[str]()

    async def count(self, snapshot: Snapshot) -> None:
        """Have devices counted that Slurm takes for used, and no job holds."""
        lost = devices_lost(snapshot)
        if lost and self.ticks() >= self._counted + RECOUNT_SECONDS:
            log.warning(
                "Slurm counts devices of %s as used, but no job holds them: the intake is set DOWN"
                " once more, so that Slurm counts anew", hostlist.fold(lost),
            )  # fmt: skip
            self._counted = self.ticks()
            await self.gate.repeat()

    async def look(self, prepared: Prepared, *, updated: bool) -> None:
        """Have Slurm look at its queue after a job's end, if somebody waits there: a job pinned
        ahead, one in line, or another's. Where a job was `updated` in this cycle it does so."""
        holding = frozenset(job.key for job in prepared.snapshot.jobs if job.holds_nodes)
        ended, self._holding = self._holding - holding, holding
        waits = prepared.line.pools or any(pin.start for pin in prepared.pins)
        if ended and waits and not updated:
            await self.gate.repeat()
