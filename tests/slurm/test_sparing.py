"""Who looks again and again asks Slurm less: of nodes by looks, not by the time that these take."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from slurm_het.cli.live import patience
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.cli import CliSlurm
from tests.support.few_answers import programs


def asked(base: Path, *, spares: bool) -> dict[str, int]:
    """How often each was asked for in seven looks, two seconds apart."""
    slurm = CliSlurm(SlurmSettings(bin_dir=programs(base)))
    if spares:
        slurm.spare(patience(2))

    async def look() -> None:
        for _ in range(7):
            assert (await slurm.snapshot()).nodes

    asyncio.run(look())
    shown = Counter((base / "asked").read_text().split())
    return {what: shown[what] for what in ("node", "partition", "reservation")}


def test_each_third_look_is_at_nodes(tmp_path: Path) -> None:
    assert asked(tmp_path, spares=True) == {"node": 3, "partition": 3, "reservation": 1}


def test_who_looks_once_sees_all_as_it_is(tmp_path: Path) -> None:
    assert asked(tmp_path, spares=False) == {"node": 7, "partition": 7, "reservation": 7}


def test_reservations_are_looked_at_each_half_minute() -> None:
    assert [patience(seconds)["reservation"] for seconds in (1, 2, 10, 60)] == [30, 15, 3, 1]
