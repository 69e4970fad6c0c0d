"""Shared fixtures: a real Slurm cluster with the hook and hetd, up once for all that use it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import Cluster

# For tests of what the hook is told: a machine that stalls for 50 ms would have it told nothing.
AMPLE = {"hook": {"deadline_ms": 2000}}
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "lua5.1")


# Machines that test may stall for longer than Hypothesis's 200 ms an input; what must not be slow
# has tests that measure CPU time.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """SIGTERM ends the tests as Ctrl-C does: fixtures take their sandboxes down."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--part K/N`: a share of the modules, so that N runs together make up the whole."""
    parser.addoption("--part", default="1/1", metavar="K/N", help="the K-th of N equal parts")


@pytest.hookimpl(trylast=True)  # of what -m and -k leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one part: whole modules, dealt out so that the parts have about as many tests."""
    mine, parts = map(int, config.getoption("--part").split("/"))
    tests = Counter(item.path for item in items)
    dealt: list[list[Path]] = [[] for _ in range(parts)]
    for module, _ in tests.most_common():
        min(dealt, key=lambda part: sum(tests[m] for m in part)).append(module)
    keep = set(dealt[mine - 1])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in keep])
    items[:] = [item for item in items if item.path in keep]


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
        with Sandbox.up(base / "box", overrides=AMPLE) as sandbox:
            yield sandbox
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def cluster(box: Sandbox) -> Iterator[Cluster]:
    """The shared sandbox with verbs; cleared afterwards."""
    it = Cluster(box)
    yield it
    it.clear()
