"""Shared fixtures: a real Slurm cluster with the hook and hetd, up once for all that use it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import require_programs
from tests.support.cluster import AMPLE, Cluster, own_sandbox
from tests.support.sockets import short_dir

# Machines that test may stall for longer than Hypothesis's 200 ms an input; what must not be slow
# has tests that measure CPU time.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


SLOWEST = {
    "test_compare": 200, "test_modes": 140, "test_trials": 140, "test_faults": 140,
    "test_recovery": 120, "test_start_times": 90, "test_reservations": 90, "test_report": 75,
    "test_failures": 70, "test_telemetry": 70, "test_standby": 70, "test_chaos": 65,
    "test_why": 65, "test_sooner": 60, "test_preemption": 60, "test_between": 50,
    "test_sentences": 50, "test_bad_turn": 45, "test_burst": 35, "test_metrics": 30,
    "test_switch": 30, "test_no_later": 30,
}  # fmt: skip
"""Seconds that a module's slowest tests take together, as a whole run shows them: the parts are to
end at about the same time."""
EACH = 4
"""Seconds of any other test."""


def pytest_configure() -> None:
    """SIGTERM ends the tests as Ctrl-C does: fixtures take their sandboxes down."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--part K/N`: a share of the modules, so that N runs together make up the whole.

    `--in-turn`: modules marked `in_turn(VERSION)` run on that Slurm alone, not on each.
    """
    parser.addoption("--part", default="1/1", metavar="K/N", help="the K-th of N equal parts")
    parser.addoption("--in-turn", action="store_true", help="leave out what another version runs")


@pytest.hookimpl(trylast=True)  # of what -m and -k leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one part: whole modules, dealt out so that the parts take about as long."""
    if config.getoption("--in-turn"):
        _keep_our_turn(config, items)
    mine, parts = map(int, config.getoption("--part").split("/"))
    tests = Counter(item.path for item in items)
    seconds = Counter({m: SLOWEST.get(m.stem, 0) + EACH * n for m, n in tests.items()})
    dealt: list[list[Path]] = [[] for _ in range(parts)]
    for module, _ in seconds.most_common():
        min(dealt, key=lambda part: sum(seconds[m] for m in part)).append(module)
    keep = set(dealt[mine - 1])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in keep])
    items[:] = [item for item in items if item.path in keep]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `both_ways` runs with and without slurmdbd: jobs with an association, and jobs
    without one, which 24.11 and 26.05 say "try again" of. The former in turn."""
    if metafunc.definition.get_closest_marker("both_ways"):
        site = pytest.param("site_box", id="slurmdbd", marks=pytest.mark.in_turn("26.05"))
        metafunc.parametrize("cluster", [pytest.param("box", id="alone"), site], indirect=True)


def _keep_our_turn(config: pytest.Config, items: list[pytest.Item]) -> None:
    version = require_programs()
    ours = f"{version.major}.{version.minor:02}"

    def is_ours(item: pytest.Item) -> bool:
        return all(ours in mark.args for mark in item.iter_markers("in_turn"))

    config.hook.pytest_deselected(items=[item for item in items if not is_ours(item)])
    items[:] = [item for item in items if is_ours(item)]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """As tmp_path, and its path is short enough for sockets."""
    with short_dir() as path:
        yield path


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    """The default sandbox with hook and hetd. Tests leave it idle, with the gate closed."""
    with own_sandbox(overrides=AMPLE) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def site_box() -> Iterator[Sandbox]:
    """The default sandbox as a site: slurmdbd, its associations and limits, fair share."""
    with own_sandbox(overrides=AMPLE, accounting=True) as sandbox:
        yield sandbox


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The sandbox with verbs; cleared afterwards. A module with a `box` of its own has that one."""
    it = Cluster(request.getfixturevalue(getattr(request, "param", "box")))
    yield it
    it.clear()
