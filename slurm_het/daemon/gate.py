"""The gate: the intake partition, DOWN while we plan (closed), UP when plain Slurm does (open)."""

from __future__ import annotations

import logging
from pathlib import Path

from slurm_het.core.model import Snapshot
from slurm_het.errors import SlurmError
from slurm_het.slurm import SlurmClient

log = logging.getLogger("hetd.gate")
_STATES = {"UP": "open", "DOWN": "closed", "INACTIVE": "closed"}


def bypass_flag(state_dir: Path) -> Path:
    """The file that says that the admin has switched planning off."""
    return state_dir / "bypass"


class Gate:
    """Opens and closes the intake, and knows what the last snapshot said of it."""

    def __init__(self, slurm: SlurmClient, partition: str, state_dir: Path) -> None:
        self.slurm = slurm
        self.partition = partition
        self.flag = bypass_flag(state_dir)
        self.state = "open"

    @property
    def bypass(self) -> bool:
        """Whether `slurm-het bypass on` holds."""
        return self.flag.exists()

    def read(self, snapshot: Snapshot) -> str:
        """Take the state from Slurm: open, closed, drain (the admin's: takes no jobs), or missing.

        A partition in DRAIN still starts the jobs it has, so nothing is planned then.
        """
        record = next((p for p in snapshot.partitions if p.name == self.partition), None)
        state = _STATES.get(record.state, record.state.lower()) if record else "missing"
        if state not in {"open", "closed", self.state}:
            log.error("the intake %s is %s: nothing is planned", self.partition, state)
        self.state = state
        return self.state

    async def close(self) -> None:
        """Hold what is submitted until it is planned."""
        await self.slurm.set_partition_state(self.partition, "DOWN")
        self.state = "closed"
        log.info("gate closed: %s is DOWN, jobs wait for their plan", self.partition)

    async def open(self, why: str) -> None:
        """Let plain Slurm schedule everything that waits."""
        try:
            await self.slurm.set_partition_state(self.partition, "UP")
        except SlurmError as error:
            log.error("cannot open the gate (%s): %s", why, error.message)
            return
        self.state = "open"
        log.info("gate open (%s): plain Slurm schedules %s", why, self.partition)
