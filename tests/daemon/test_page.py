"""hetd has the page written by a process of its own, and says when none comes of it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm_het.config import load_config
from slurm_het.daemon import page as module
from slurm_het.daemon.page import PageTimer
from slurm_het.errors import ConfigError
from slurm_het.settings import Config
from slurm_het.sizes import needed_mib
from slurm_het.templating import systemd_unit
from tests.support.squeue_cluster import CONFIG

PATIENCE = 30.0
HANGS = "#!/bin/sh\necho $$ >>{}\nexec sleep 300\n"


def configured(path: Path, out: Path, programs: Path) -> Config:
    """A site whose Slurm is what lies in `programs`."""
    file = path / "het.yaml"
    file.write_text(
        f"{CONFIG}\npaths: {{control_socket: {path}/none.sock}}\n"
        f"slurm: {{bin_dir: {programs}}}\npage: {{dir: {out}, every_seconds: 5}}\n"
    )
    return load_config(file)


async def timed(config: Config, until: Callable[[PageTimer], object], *, leads: bool = True) -> str:
    """Run it until then; what it says last of what does not work."""
    timer = PageTimer(lambda: config, lambda: leads)
    running = asyncio.create_task(timer.run())
    try:
        async with asyncio.timeout(PATIENCE):
            while not until(timer):
                await asyncio.sleep(0.02)
        return timer.trouble
    finally:
        running.cancel()
        await asyncio.wait({running})


def test_it_is_written_while_slurm_is_away(tmp_path: Path) -> None:
    out = tmp_path / "web"
    config = configured(tmp_path, out, tmp_path)
    page = out / "public" / "page.json"
    assert asyncio.run(timed(config, lambda _: (out / "public/index.html").exists())) == ""
    told = json.loads(page.read_text())
    assert (told["health"]["state"], told["renewed_seconds"]) == ("slurm-silent", 5)


def test_one_that_stands_by_writes_none(tmp_path: Path) -> None:
    config = configured(tmp_path, tmp_path / "web", tmp_path)
    began = time.monotonic()
    asyncio.run(timed(config, lambda _: time.monotonic() > began + 1, leads=False))
    assert not (tmp_path / "web").exists()


def test_where_it_cannot_be_written_hetd_says_so(tmp_path: Path) -> None:
    (tmp_path / "web").write_text("")
    config = configured(tmp_path, tmp_path / "web", tmp_path)
    trouble = asyncio.run(timed(config, lambda timer: timer.trouble))
    assert trouble.startswith("the page is not written: ")
    assert f"{tmp_path}/web" in trouble


def test_one_that_takes_too_long_is_ended_with_all_that_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SECONDS", 3.0)
    for program in ("squeue", "scontrol", "sinfo"):
        (tmp_path / program).write_text(HANGS.format(tmp_path / "pids"))
        (tmp_path / program).chmod(0o755)
    config = configured(tmp_path, tmp_path / "web", tmp_path)
    assert "took more than 3 s" in asyncio.run(timed(config, lambda timer: timer.trouble))
    pids = (tmp_path / "pids").read_text().split()
    assert pids
    assert [pid for pid in pids if _lives(int(pid))] == []


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_unit_lets_it_write_and_has_memory_for_it(tmp_path: Path) -> None:
    config = configured(tmp_path, tmp_path / "web", tmp_path)
    unit = systemd_unit(config, "slurm", "slurm", 10_000)
    assert f"ReadWritePaths=-{tmp_path}/web\n" in unit
    assert f"MemoryMax={needed_mib(10_000, readers=2)}M" in unit


def test_the_directory_is_a_whole_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"page\.dir"):
        configured(tmp_path, Path("web"), tmp_path)
