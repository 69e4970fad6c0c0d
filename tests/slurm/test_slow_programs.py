"""A program of Slurm's that does not answer costs its deadline, whatever it has started itself."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import KILL_SECONDS, CliSlurm

DEADLINE = 0.5


@pytest.mark.parametrize("script", ["exec sleep 20", "sleep 20", "sleep 20 & exec sleep 20"])
def test_its_deadline_holds(tmp_path: Path, script: str) -> None:
    """A wrapper that is killed leaves the program behind, which keeps the pipe open."""
    program = tmp_path / "scontrol"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)

    async def ask() -> float:
        slurm = CliSlurm(SlurmSettings(bin_dir=tmp_path, timeout_seconds=DEADLINE))
        began, before = time.monotonic(), len(os.listdir("/proc/self/fd"))
        for _ in range(2):
            with pytest.raises(SlurmError, match="did not answer"):
                await slurm.ask("scontrol", "ping")
        took = time.monotonic() - began
        await asyncio.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # what tells of children's ends
        return took

    assert asyncio.run(ask()) < 2 * (DEADLINE + KILL_SECONDS) + 3.0
