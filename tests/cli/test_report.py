"""slurm-het report from the outside."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from slurm_het.cli.report import report
from slurm_het.config import load_config
from slurm_het.errors import HetError
from tests.support.squeue_cluster import CONFIG


def test_a_site_that_was_never_in_shadow_is_told_so(tmp_path: Path) -> None:
    """No journal of shadow's is no journal that cannot be read."""
    config = tmp_path / "het.yaml"
    config.write_text(f"{CONFIG}paths: {{journal: {tmp_path}/journal.db, state_dir: {tmp_path}}}\n")
    journal = load_config(config).paths.shadow_journal
    error = CliRunner().invoke(report, ["--config", str(config)]).exception
    assert isinstance(error, HetError)
    assert error.message == f"shadow has seen no job yet: there is no {journal}"
    assert "mode: shadow" in error.hint
    journal.write_text("no database, but something longer than its head " * 9)
    error = CliRunner().invoke(report, ["--config", str(config)]).exception
    assert isinstance(error, HetError)
    assert error.message.startswith(f"cannot read the journal {journal}")
