"""What failed runs once more: `tests.rerun`, and what `./dev matrix` makes of it, without Slurm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
HEAD = """
from pathlib import Path
import os, pytest, time
pytestmark = pytest.mark.slurm

def first(name):
    try:
        Path(name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""
GOOD = """
def test_good(): pass
"""
FLAKY = """
@pytest.mark.parametrize("x", ["a b[::]"])
def test_flaky(x): assert not first("call")

@pytest.fixture
def setup(): assert not first("setup")
def test_setup(setup): pass

@pytest.fixture
def teardown():
    yield
    assert not first("teardown")
def test_teardown(teardown): pass
"""
BAD = """
def test_bad(): assert 0
"""
SKIPPED = """
def test_skipped(): pytest.skip("not here")
"""
SKIPPED_THEN = """
def test_skipped_then():
    assert not first("skip")
    pytest.skip("not now")
"""
CRASH = """
def test_crash(): os._exit(1)
"""
CRASH_THEN = """
def test_crash_then():
    assert not first("crash")
    os._exit(0)
"""
MANY = """
@pytest.mark.parametrize("x", range(11))
def test_many(x): assert not first(f"many{x}")
"""
SLOW = """
@pytest.fixture
def cluster():
    Path("up").touch()
    yield
    Path("down").touch()
def test_slow(cluster): time.sleep(60)
"""
FRESH = """
@pytest.fixture(scope="session")
def pid(): return os.getpid()
def test_fresh(pid):
    with open("pids", "a") as file: print(pid, file=file)
    assert not first("fresh")
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPO), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
RERUN = [sys.executable, "-m", "tests.rerun", "run"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A throw-away project; a test that fails the first time only leaves a file beside it."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slurm\n")
    return tmp_path


def run(argv: list[str], project: Path) -> tuple[int, list[str], str]:
    """The exit status, the lines on stderr, and the counts that end stdout."""
    done = subprocess.run(
        argv, cwd=project, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.splitlines(), done.stdout.splitlines()[-1].split(" in ")[0]


def rerun(project: Path, *parts: str, arguments: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """The exit status, the counts, and the flaky tests of a module of these parts."""
    (project / "test_it.py").write_text(HEAD + "".join(parts))
    status, _, counts = run([*RERUN, *arguments], project)
    flaky = project / "run.flaky"
    names = flaky.read_text().replace("test_it.py::", "") if flaky.exists() else "no file"
    return status, counts, names


def test_what_passes_at_the_second_try_is_flaky(project: Path) -> None:
    """However it failed: in the test, or in what comes before or after it."""
    assert rerun(project, GOOD, FLAKY, SKIPPED) == (
        0,
        "0 failed, 4 passed, 1 skipped",
        "test_flaky[a b[::]]\ntest_setup\ntest_teardown\n",
    )
    assert "3 passed" in (project / "run.again.out").read_text()


def test_what_fails_twice_fails_once_in_the_counts(project: Path) -> None:
    status, counts, flaky = rerun(project, GOOD, FLAKY, BAD)
    assert (status, counts) == (1, "1 failed, 4 passed, 0 skipped")
    assert "test_bad" not in flaky


def test_what_is_skipped_at_the_second_try_has_failed(project: Path) -> None:
    expected = (1, "1 failed, 0 passed, 0 skipped", "")
    assert rerun(project, SKIPPED_THEN) == expected


def test_the_second_try_has_session_fixtures_of_its_own(project: Path) -> None:
    assert rerun(project, FRESH)[0] == 0
    assert len(set((project / "pids").read_text().split())) == 2


@pytest.mark.parametrize(
    ("parts", "arguments", "expected"),
    [
        pytest.param((MANY,), (), 1, id="too many failures"),
        pytest.param((FRESH, CRASH), (), 1, id="a session that crashed"),
        pytest.param((FRESH, GOOD), ("-x",), 1, id="a session that stopped early"),
        pytest.param((FRESH, "]"), (), 2, id="a module that does not load"),
        pytest.param((FRESH,), ("-k", "nothing"), 5, id="no tests"),
    ],
)
def test_no_second_try(
    project: Path, parts: tuple[str, ...], arguments: tuple[str, ...], expected: int
) -> None:
    status, _, flaky = rerun(project, *parts, arguments=arguments)
    assert (status, flaky) == (expected, "no file")
    assert not (project / "run.again.out").exists()


def test_a_second_try_that_crashes_passes_nothing(project: Path) -> None:
    assert rerun(project, FRESH, CRASH_THEN) == (1, "2 failed, 0 passed, 0 skipped", "")


def test_sigterm_ends_the_tests_and_their_fixtures(project: Path) -> None:
    """As `./dev matrix` ends them; nothing is tried again."""
    shutil.copy(REPO / "tests/conftest.py", project)
    (project / "test_it.py").write_text(HEAD + SLOW)
    with subprocess.Popen(RERUN, cwd=project, env=ENVIRONMENT) as run:
        deadline = time.monotonic() + 30
        while not (project / "up").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) != 0
    assert (project / "down").exists()
    assert not (project / "run.again.out").exists()


@pytest.fixture
def matrix(project: Path) -> list[str]:
    """The tests on one Slurm version by the functions of `./dev`, in the throw-away project."""
    python = project / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    shutil.copy(REPO / "tests/conftest.py", project)
    script = f"source {REPO}/dev help >/dev/null; cd {project}; VENV=venv; root_of() {{ :; }}"
    return ["bash", "-c", f"{script}; start_versions 22.05; end_runs; closing"]


def test_dev_ends_with_a_list_of_flaky_tests(project: Path, matrix: list[str]) -> None:
    """All four parts of a version run; two have something that fails."""
    one, two = project / "test_one.py", project / "test_two.py"
    for name in ("test_well.py", "test_yet.py"):
        (project / name).write_text(HEAD + GOOD)
    one.write_text(HEAD + GOOD + SKIPPED + FLAKY)
    two.write_text(HEAD + FRESH + BAD)
    kept = [f"venv/pytest.22.05.{part}.out venv/pytest.22.05.{part}.again.out" for part in "12"]
    listed = [
        *("flaky:", f"test_one.py::test_flaky[a b[::]]  {kept[0]}"),
        *(f"test_one.py::test_{name}  {kept[0]}" for name in ("setup", "teardown")),
        f"test_two.py::test_fresh  {kept[1]}",
    ]
    status, said, counts = run(matrix, project)
    assert (status, counts) == (1, "7 passed, 1 failed, 1 skipped"), said
    assert said[-5:] == listed
    first, second = ((project / name).read_text() for name in kept[0].split())
    assert "3 passed in" in second
    assert "FAILED test_one.py::test_flaky" in first

    for path in project.glob("fresh"):
        path.unlink()
    two.write_text(HEAD + FRESH)
    status, said, counts = run(matrix, project)
    assert (status, counts) == (0, "7 passed, 0 failed, 1 skipped")
    assert said[-2:] == ["flaky:", listed[-1]], "what an earlier run left is not listed"
    assert "flaky:" not in run(matrix, project)[1]
