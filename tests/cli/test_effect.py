"""What a change of modes would do is looked at in one snapshot, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slurm_het.cli import effect as module
from slurm_het.cli.checks import reading
from slurm_het.cli.effect import effect_of
from slurm_het.config import parse_config
from slurm_het.core.model import Job, Snapshot
from slurm_het.slurm import shadow
from tests.support.world import config_text, gated, snapshot


class FakeSlurm:
    """Slurm on which the waiting jobs end once their list has been read."""

    jobs: tuple[Job, ...] = ()

    def __init__(self, _settings: object) -> None:
        pass

    async def snapshot(self) -> Snapshot:
        """The jobs that wait, and from then on that none does."""
        there, FakeSlurm.jobs = FakeSlurm.jobs, ()
        await asyncio.sleep(0)
        return snapshot(*there)

    async def configuration(self) -> dict[str, str]:
        """Nothing."""
        return {}

    async def ask(self, *_words: str) -> str:
        """Nothing."""
        return ""

    async def batch_script(self, _job_id: int) -> str:
        """One for NVIDIA."""
        return "#HET vendors=nvidia\n"


def test_jobs_that_end_while_it_looks_do_not_keep_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "CliSlurm", FakeSlurm)
    monkeypatch.setattr(reading, "CliSlurm", FakeSlurm)
    monkeypatch.setattr(shadow, "MOST_SCRIPTS", 2)
    FakeSlurm.jobs = tuple(gated(number, partition="train-nv") for number in (1, 2, 3))
    FakeSlurm.jobs += (
        gated(4, partition="train-nv", req_nodes="nv1"),
        gated(5, partition="train-nv", admin_comment="site=1"),
        gated(6),
        gated(7, partition="train-nv", admin_comment="slurm-het: it names its nodes"),
    )
    effect = asyncio.run(asyncio.wait_for(effect_of(parse_config(config_text(tmp_path))), 5))
    assert [move.job.id for move in effect.moves] == [1, 2, 3]
    assert [label for label, _ in effect.stay] == ["4", "5", "7"]
    assert effect.stay[-1][1] == "slurm-het gave it to plain Slurm before"
    assert {"1", "2", "3"} <= {made.key for made in effect.plan.placements}
