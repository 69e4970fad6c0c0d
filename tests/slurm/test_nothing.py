"""Nothing is no answer: what Slurm's programs print where slurmctld told them nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from slurm_het.errors import SlurmError
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.jobs import parse_jobs
from tests.support.few_answers import ANSWERS, programs


def test_squeue_that_fails_with_exit_status_0_has_not_seen_an_empty_queue() -> None:
    """22.05, where slurmctld does not answer."""
    said = {"errors": [{"description": "Unable to contact slurm controller"}], "jobs": []}
    with pytest.raises(SlurmError, match="Unable to contact slurm controller"):
        parse_jobs(json.dumps(said).encode(), memory_tracked=True)
    assert parse_jobs(b'{"errors": [], "jobs": []}', memory_tracked=True) == ()


@pytest.mark.parametrize("what", ["node", "partition"])
@pytest.mark.parametrize(
    ("left", "said"), [(0, "printed no {} at all"), (300, "answer ends amid a {}")]
)
def test_a_slurm_without_any_or_with_half_of_them_is_not_believed(
    tmp_path: Path, what: str, left: int, said: str
) -> None:
    programs(tmp_path, ANSWERS | {what: ANSWERS[what][:left]})
    with pytest.raises(SlurmError, match=said.format(what)):
        asyncio.run(CliSlurm(SlurmSettings(bin_dir=tmp_path)).snapshot())
