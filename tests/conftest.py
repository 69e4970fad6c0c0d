"""Shared fixtures: a real Slurm cluster with the hook and hetd, up once for all that use it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.cluster import Cluster

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "lua5.1")


def pytest_configure() -> None:
    """SIGTERM ends the tests as Ctrl-C does: fixtures take their sandboxes down."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def cannot_run_slurm() -> str:
    """Why real Slurm cannot run here, or ''."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [p for p in PROGRAMS if not shutil.which(p, path=path)]
    if missing:
        return f"not installed: {', '.join(missing)} (./dev setup installs them)"
    return "" if os.geteuid() == 0 else "needs root: slurmd starts jobs as their users"


def short_dir() -> Path:
    """A directory whose sockets' paths are short enough, reachable for munge's clients."""
    path = Path(tempfile.mkdtemp(prefix="het-"))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    """The default sandbox with hook and hetd. Tests leave it idle, with the gate closed."""
    if why := cannot_run_slurm():
        pytest.skip(why)
    base = short_dir()
    try:
        with Sandbox.up(base / "box") as sandbox:
            yield sandbox
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def cluster(box: Sandbox) -> Iterator[Cluster]:
    """The shared sandbox with verbs; cleared afterwards."""
    it = Cluster(box)
    yield it
    it.clear()
