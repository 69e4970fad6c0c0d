"""Pytest, and what failed once more in a process of its own, so on fresh clusters.

    python -m tests.rerun STEM [ARGS]

ARGS go to pytest. What the second try says is in STEM.again.out, the tests that passed then are in
STEM.flaky. The last line has the counts of both tries together, as pytest writes them.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO

import pytest

MOST = 10
"""More failures than this in one run are no race."""

END_SECONDS = 120.0
"""What the fixtures of tests that are ended have to take their sandboxes down."""

# --- inside pytest: a plugin that writes down how each test ended ---

RANKS = ("passed", "skipped", "failed")
outcomes: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="the file for how each test ended")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test's setup, call or teardown has ended; the worst of them counts."""
    so_far = outcomes.get(report.nodeid, RANKS[0])
    outcomes[report.nodeid] = max(so_far, report.outcome, key=RANKS.index)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A session that stopped early writes nothing: what it left out may have failed too."""
    if len(outcomes) == session.testscollected:
        session.config.getoption("--outcomes").write_text(json.dumps(outcomes))


# --- around pytest ---


def run_tests(arguments: list[str], output: IO[str] | None = None) -> tuple[int, dict[str, str]]:
    """Its exit status, and how each test ended; empty if the session broke off."""
    with tempfile.TemporaryDirectory() as directory:
        found = Path(directory, "outcomes")
        argv = [sys.executable, "-m", "pytest", "-p", "tests.rerun", f"--outcomes={found}"]
        child = subprocess.Popen([*argv, *arguments], stdout=output, stderr=output)
        try:
            status = child.wait()
        except KeyboardInterrupt:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)  # its fixtures take their sandboxes down
            child.kill()
            raise
        whole = status in (0, 1) and found.exists()
        return status, json.loads(found.read_text()) if whole else {}


def main(stem: str, *arguments: str) -> int:
    """The exit status of the tests: 0 if each of them passed at its first or second try."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    start = time.monotonic()
    status, ended = run_tests(list(arguments))
    failed = [test for test, outcome in ended.items() if outcome == "failed"]
    if not 0 < len(failed) <= MOST:
        return status
    again = Path(f"{stem}.again.out")
    print(f"\n{len(failed)} failed and run once more: {again}", flush=True)
    with again.open("w") as output:
        _, second = run_tests(failed, output)
    flaky = [test for test in failed if second.get(test) == "passed"]
    for test in failed:
        print(f"{test}: failed, then {second.get(test, 'no result')}")
    Path(f"{stem}.flaky").write_text("".join(f"{test}\n" for test in flaky))
    count = Counter((ended | dict.fromkeys(flaky, "passed")).values())
    words = ", ".join(f"{count[word]} {word}" for word in ("failed", "passed", "skipped"))
    print(f"{words} in {time.monotonic() - start:.2f}s")
    return int(flaky != failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
