"""A program of Slurm's that does not answer costs its deadline, whatever it has started itself."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from slurm_het.children import KILL_SECONDS
from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.job_reader import LIST_CPU_SECONDS, RecordParser
from slurm_het.slurm.versions import parse_version

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


SQUEUE = """#!/bin/sh
for word in "$@"; do case $word in --json*) echo '{"jobs": [{"job_id": 7}]}'; exit;; esac; done
echo list >> "$(dirname "$0")/asked"
%s
"""


@pytest.mark.parametrize("listing", ["while :; do :; done", "echo amid; exec sleep 20"])
def test_a_list_of_jobs_that_takes_too_long_is_not_asked_for_again(
    tmp_path: Path, listing: str
) -> None:
    """squeue folds what nodes a job excludes anew for each task of its array: any user can have it
    take minutes, while slurmctld has answered at once."""
    program = tmp_path / "squeue"
    program.write_text(SQUEUE % listing)
    program.chmod(0o755)
    seconds = LIST_CPU_SECONDS * 4.0 if "while" in listing else DEADLINE
    slurm = CliSlurm(SlurmSettings(bin_dir=tmp_path, timeout_seconds=seconds))
    reading = RecordParser(parse_version("slurm 24.11.5"), memory_tracked=True)

    async def read() -> list[int]:
        return [job.id for _ in range(2) for job in await slurm.jobs.read(reading)]

    assert asyncio.run(read()) == [7, 7]
    assert (tmp_path / "asked").read_text().split() == ["list"]


@pytest.mark.parametrize(
    ("script", "said", "advice"),
    [
        ("while :; do :; done", "on the CPU", "--exclude"),
        ("exec sleep 20", "did not answer", "is slurmctld up"),
    ],
)
def test_who_is_slow_is_told(tmp_path: Path, script: str, said: str, advice: str) -> None:
    """squeue at work has slurmctld's answer; one that sleeps waits for it."""
    program = tmp_path / "squeue"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    slurm = CliSlurm(SlurmSettings(bin_dir=tmp_path, timeout_seconds=2.0))
    with pytest.raises(SlurmError, match=said) as caught:
        asyncio.run(slurm.ask("squeue", "--json"))
    assert advice in (caught.value.hint or "")
    assert ("slurmctld up" in str(caught.value.hint)) == ("sleep" in script)
