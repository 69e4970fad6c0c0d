"""What hetd may take in memory, as measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_het import sizes
from slurm_het.settings import Config, PageSettings
from tests.support.world import mixed, policy


def test_it_follows_from_the_number_of_jobs_and_the_version() -> None:
    assert sizes.needed_mib(0, (22, 5)) == sizes.BASE_MIB
    assert sizes.needed_mib(10_000, (22, 5)) < sizes.needed_mib(10_000, (24, 11))
    assert sizes.needed_mib(10_000) == sizes.needed_mib(10_000, (26, 5)) > 1522


def test_shadow_beside_plan_reads_all_jobs_too() -> None:
    every = [pool.partition for pool in policy().pools]
    policies = policy(), mixed(*every), mixed("train-nv")
    assert [Config(of_pools).readers for of_pools in policies] == [1, 1, 2]
    assert Config(mixed("train-nv"), page=PageSettings(dir="/page")).readers == 3


@pytest.mark.parametrize(("text", "mib"), [("4294967296\n", 4096), ("max\n", None), ("", None)])
def test_what_systemd_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mib: int | None
) -> None:
    group = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
    (tmp_path / group).mkdir(parents=True, exist_ok=True)
    (tmp_path / group / "memory.max").write_text(text)
    monkeypatch.setattr(sizes, "ROOT", tmp_path)
    assert sizes.limit_mib() == mib
