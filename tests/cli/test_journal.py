"""slurm-het journal: what the file holds, and its way down to an older schema and up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slurm_het.cli.journal import journal as command
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from slurm_het.journal.schema import VERSION
from tests.support.squeue_cluster import CONFIG

Ask = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = Journal(tmp_path / "journal.db")
    made.record_outcomes(100.0, [("7", "started", "nv1:0")])
    made.close()
    return made.path


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    config = tmp_path / "het.yaml"
    config.write_text(f"{CONFIG}paths: {{journal: {tmp_path}/journal.db}}\n")
    return lambda *options: CliRunner().invoke(command, ["--config", str(config), *options])


def test_it_says_what_it_holds(ask: Ask, path: Path) -> None:
    said = ask().stdout
    assert f"{path}: schema {VERSION}" in said
    assert "1 of outcome" in said


def test_down_for_an_older_slurm_het_and_up_by_the_next_hetd(ask: Ask, path: Path) -> None:
    assert "schema 0" in ask("--schema", "0").stdout
    with sqlite3.connect(path) as old:
        old.execute("INSERT INTO outcome VALUES (101.0, '7', 'gone', 'by the older one')")
    old.close()
    assert "schema 0" in ask().stdout, "it is read as it is"
    hetd = Journal(path)
    assert [event for _, event, _ in hetd.outcomes_of("7")] == ["started", "gone"]
    hetd.close()
    assert f"schema {VERSION}" in ask("--vacuum").stdout


def test_not_while_hetd_has_it_open(ask: Ask, path: Path) -> None:
    hetd = Journal(path)
    assert hetd.db
    result = ask("--schema", "0")
    hetd.close()
    assert isinstance(result.exception, HetError)
    assert "stop hetd first" in result.exception.hint
    assert f"schema {VERSION}" in ask().stdout


def test_without_a_journal_it_says_so(ask: Ask) -> None:
    for options in ((), ("--schema", "0")):
        assert isinstance(ask(*options).exception, HetError)
