"""slurm-het learned: what it prints for people and for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from slurm_het.cli.learned import learned
from slurm_het.core.jobs.paces import Pace
from slurm_het.core.worth.speeds import PastRun
from slurm_het.journal import Journal
from tests.support.squeue_cluster import CONFIG

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "slurm-het-learned.json"
Ask = Callable[..., Result]


def runs(*seconds: int) -> tuple[PastRun, ...]:
    """Runs with a limit of 1000 s that compare."""
    return tuple(PastRun(s, 1000, True) for s in seconds)


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    now = time.time()
    journal = Journal(tmp_path / "journal.db")
    journal.record_paces([
        Pace("ann", "3fa9", "a100", 2, now - 60, "7", runs(200, 220, 180, 200)),
        Pace("ann", "3fa9", "mi300x", 2, now - 30, "8_3", runs(100, 110, 90)),
        Pace("ann", "77aa", "a100", 1, now - 90, "5", runs(900)),
        Pace("bob\x1b[31m", "bb12", "a100", 1, now, "9", (PastRun(10),)),
    ])  # fmt: skip
    journal.close()
    config = tmp_path / "het.yaml"
    config.write_text(f"{CONFIG}paths: {{journal: {tmp_path}/journal.db}}\n")
    return lambda *options: CliRunner().invoke(learned, ["--config", str(config), *options])


def test_people_see_parts_of_limits_and_ratios_of_speeds(ask: Ask) -> None:
    assert ask("-u", "ann").stdout.splitlines() == [
        "USER PROGRAM LAST_JOB RUNS USUAL LIKELY",
        "ann  3fa9         8_3    7   16%    22%",
        "ann  77aa           5    1     -      -",
        "",
        "USER PROGRAM DEVICES TYPE   RUNS SPEED BETWEEN   USED",
        "ann  3fa9          2 a100      4  1.00 -         yes",
        "ann  3fa9          2 mi300x    3  2.00 1.46-2.74 yes",
    ]


def test_what_users_wrote_steers_no_terminal(ask: Ask) -> None:
    assert "\x1b" not in ask().stdout
    assert "bob?[31m" in ask().stdout


def test_json_is_as_its_schema_says(ask: Ask) -> None:
    document = json.loads(ask("--json").stdout)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    first, second, _ = document["programs"]
    assert (first["user"], first["job"], first["runs"]) == ("ann", "8_3", 7)
    assert [one["type"] for one in first["sizes"][0]["speeds"]] == ["a100", "mi300x"]
    assert second["usual"] is None


def test_where_there_is_nothing_it_says_so(ask: Ask) -> None:
    assert ask("-u", "eve").stdout == (
        "nothing is learned of the programs of eve, or it is not for you to see\n"
    )
