"""hetd as it is put together from its configuration."""

from __future__ import annotations

from pathlib import Path

import yaml

from bench.solve_naive import instance
from slurm_het.config import parse_config
from slurm_het.daemon.app import Daemon
from tests.support.world import config_text


def test_the_configured_gap_is_what_its_solver_is_told(tmp_path: Path) -> None:
    data = yaml.safe_load(config_text(tmp_path))
    data.setdefault("planner", {})["gap"] = 0.5
    daemon = Daemon(parse_config(yaml.safe_dump(data)))
    try:
        assert daemon.solver.warm()
        found = daemon.solver.solve(instance(14, 40, 0.0, seed=3), 60)
    finally:
        daemon.solver.close()
        daemon.journal.close()
    assert found.status == "optimal"
    assert 0.005 < found.gap < 0.5
