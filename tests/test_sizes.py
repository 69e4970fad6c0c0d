"""What hetd may take in memory, as measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_het import sizes


def test_it_follows_from_the_number_of_jobs_and_the_version() -> None:
    assert sizes.needed_mib(0, (22, 5)) == sizes.BASE_MIB
    assert sizes.needed_mib(10_000, (22, 5)) < sizes.needed_mib(10_000, (24, 11))
    assert sizes.needed_mib(10_000) == sizes.needed_mib(10_000, (26, 5)) > 1522


@pytest.mark.parametrize(("text", "mib"), [("4294967296\n", 4096), ("max\n", None), ("", None)])
def test_what_systemd_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mib: int | None
) -> None:
    group = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
    (tmp_path / group).mkdir(parents=True, exist_ok=True)
    (tmp_path / group / "memory.max").write_text(text)
    monkeypatch.setattr(sizes, "ROOT", tmp_path)
    assert sizes.limit_mib() == mib
