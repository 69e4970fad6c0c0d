"""A sandbox with the Slurm of another Debian tree: entered, used and left without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from slurm_het.errors import HetError
from slurm_het.sandbox import procs
from slurm_het.sandbox import root as slurm_root
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import slurm_version
from tests.support.cluster import cannot_run_slurm

ROOTS = Path(os.environ.get("SLURM_HET_ROOTS", "/var/tmp/slurm-het-roots"))


@pytest.fixture(scope="module")
def root() -> Path:
    """A tree that `./dev root` made."""
    if slurm_root.current():
        pytest.skip("these tests enter a root from outside; this is one already")
    if why := cannot_run_slurm():
        pytest.skip(why)
    found = sorted(path.parents[2] for path in ROOTS.glob("*/venv/bin/python"))
    if not found:
        pytest.skip(f"no Debian tree in {ROOTS}: ./dev root 24.11 makes one")
    return found[0]


@pytest.fixture
def directory(short_path: Path) -> Iterator[Path]:
    yield short_path / "box"
    Sandbox(short_path / "box").down()


def cli(*arguments: str) -> str:
    """Run `slurm-het sandbox ...` outside the root; its output."""
    argv = [sys.executable, "-m", "slurm_het.cli.sandbox", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mounts(*under: Path) -> list[str]:
    """What this process sees mounted there; elsewhere others may mount while we run."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if any(line.split()[4].startswith(str(p)) for p in under)]


@pytest.mark.slurm
def test_a_sandbox_in_a_root(root: Path, directory: Path) -> None:
    before = mounts(root, directory)
    where = ["--dir", str(directory)]
    cli("up", *where, "--root", str(root))
    theirs = cli("run", *where, "--", "slurmctld", "-V")
    assert slurm_version().text not in theirs
    output = directory / "work" / "version"
    script = f"srun squeue -V > {output}"
    submit = ["sbatch", "-W", "-o", "/dev/null", "--gres=gpu:1", "--wrap", script]
    cli("run", *where, "--user", "nobody", "--", *submit)
    assert output.read_text() == theirs, "a job's own commands are that Slurm's too"
    assert "hetd" in cli("status", *where)
    assert Sandbox(directory).root == str(root)
    daemons = Sandbox(directory).daemons()
    assert mounts(root, directory) == before
    cli("down", *where)
    assert not directory.exists()
    assert not any(daemon.alive for daemon in daemons)


@pytest.mark.slurm
def test_killed_it_leaves_no_mount(root: Path, directory: Path) -> None:
    """Its mounts are in a namespace that ends with its last process."""
    cli("up", "--dir", str(directory), "--root", str(root), "--no-hetd", "--no-hook")
    daemons = Sandbox(directory).daemons()
    spaces = {os.readlink(f"/proc/{daemon.pid}/ns/mnt") for daemon in daemons}
    assert os.readlink("/proc/self/ns/mnt") not in spaces
    procs.end(daemons, 0.0, 9)
    deadline = time.monotonic() + 30
    while left := inside(spaces):  # what slurmctld started itself ends a moment after it
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def inside(spaces: set[str]) -> list[Path]:
    """The processes in one of these mount namespaces."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/ns/mnt"):
        with suppress(OSError):  # it has ended
            if os.readlink(entry) in spaces:
                found.append(entry)
    return found


def test_a_directory_that_is_no_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HetError, match=r"is not a root.*\n.*\./dev root"):
        slurm_root.enter(tmp_path, "slurm_het.cli.sandbox", ["up"])
