"""The verdict on hetd and the gate, and the header's three lines."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from slurm_het.cli.health import HealthCode, header_lines, verdict_on
from slurm_het.cli.hetd_status import HetdStatus, LastCycle
from slurm_het.cli.status import document_of
from slurm_het.cli.total_lines import total_lines
from slurm_het.core.cluster.inventory import take_inventory
from slurm_het.core.policy import Limits
from slurm_het.core.views.job_rows import count_jobs, make_view
from slurm_het.core.views.totals import Longest, PoolUse, Summary, summary_of, totals_of
from slurm_het.settings import Config, Paths
from slurm_het.supervise import PID_FILE
from tests.cli.test_squeue import TYPICAL, words
from tests.support.random_queues import Scene
from tests.support.sockets import short_dir
from tests.support.squeue_cluster import NOW, POLICY, snapshot, view

WELL = HetdStatus("closed", cycle=LastCycle(NOW - 2.0, 0.04))
DEAD = HetdStatus(silence="hetd is not answering (socket x: Connection refused)")


@pytest.fixture
def paths() -> Iterator[Paths]:
    """Where somebody answers the hook."""
    with short_dir() as base, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(base / "hook.sock"))
        server.listen()
        yield Paths(hook_socket=base / "hook.sock", control_socket=base / "control.sock")


@pytest.mark.parametrize(
    ("status", "intake", "health"),
    [
        (WELL, "DOWN", HealthCode.WELL),
        (replace(WELL, bypass=True), "UP", HealthCode.BYPASS),
        (replace(WELL, leads=False), "DOWN", HealthCode.STANDBY),
        (replace(WELL, state="recovering"), "DOWN", HealthCode.TROUBLED),
        (replace(WELL, troubles=("the journal is off",)), "DOWN", HealthCode.TROUBLED),
        (replace(WELL, cycle=LastCycle(NOW - 600.0, 1.0)), "DOWN", HealthCode.TROUBLED),
        (DEAD, "UP", HealthCode.HETD_SILENT),
        (WELL, None, HealthCode.SLURM_SILENT),
        (DEAD, None, HealthCode.SLURM_SILENT),
        (replace(DEAD, here=False), "DOWN", HealthCode.ELSEWHERE),
    ],
)
def test_each_state_is_told_from_the_others(
    status: HetdStatus, intake: str | None, health: HealthCode, paths: Paths
) -> None:
    assert verdict_on(status, intake, paths, NOW).health is health


def test_a_dead_supervisor_is_told(paths: Paths) -> None:
    own = paths.control_socket.parent / PID_FILE
    own.write_text("999999999\n")
    assert verdict_on(DEAD, "UP", paths, NOW).health is HealthCode.ALL_SILENT
    assert "its supervisor is dead" in verdict_on(WELL, "DOWN", paths, NOW).words
    own.write_text(f"{os.getpid()}\n")  # alive, and another program
    assert verdict_on(DEAD, "UP", paths, NOW).health is HealthCode.ALL_SILENT


def test_nobody_answers_the_hook(tmp_path: Path) -> None:
    nowhere = Paths(hook_socket=tmp_path / "hook.sock", control_socket=tmp_path / "control.sock")
    assert "nobody answers the hook" in verdict_on(WELL, "DOWN", nowhere, NOW).words


def test_the_header_is_three_lines(paths: Paths) -> None:
    taken = snapshot(*TYPICAL)
    inventory = take_inventory(taken, POLICY)
    lines = header_lines(
        verdict_on(WELL, "DOWN", paths, NOW), summary_of(taken, inventory, POLICY), 80
    )
    assert lines == [
        "gate closed; hetd leads, last plan 2 s ago, in 0.04 s; the hook is answered",
        "4 run, 9 wait; longest 0:00: job 110 of bob",
        "17/36 devices, 2654/4544 GiB: train-nv 4/16, train-amd 12/16, infer-nv 1/4",
    ]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_header_fits(columns: int, paths: Paths) -> None:
    pools = tuple(PoolUse(f"pool-{n}", n, 8, 80 * n, 640) for n in range(30))
    summary = Summary(82, 333, pools, Longest("71_[1-9]", "ann" * 40, 90061))
    lines = header_lines(verdict_on(DEAD, "DOWN", paths, NOW), summary, columns)
    assert len(lines) == 3
    assert max(map(len, lines)) <= columns


def test_totals_by_user_and_account() -> None:
    rows = view(*TYPICAL).rows
    assert words("\n".join(total_lines(totals_of(rows), header=True))) == words(
        "USER ACCOUNT RUN DEV GIB WAIT ASKED LONGEST\n"
        "GRAND_TOTAL * 4 17 2654 9 24 0:00\n"
        "ann - 4 17 2654 0 0 -\n"
        "bob - 0 0 0 9 24 0:00\n"
    )


def test_sums_are_those_of_the_jobs_that_are_shown() -> None:
    """They are counted without working out why jobs wait."""
    for taken in (snapshot(*TYPICAL), *(Scene(seed).snapshot() for seed in range(300))):
        counted, shown = count_jobs(taken, POLICY, Limits()), make_view(taken, POLICY, Limits())
        assert totals_of(counted.rows) == totals_of(shown.rows)
        assert counted.warnings == shown.warnings
        assert counted.intake == shown.intake
        asked = {row.id: (row.ask, row.held, row.pool) for row in shown.rows}
        assert {row.id: (row.ask, row.held, row.pool) for row in counted.rows} == asked


def test_json_is_as_its_schema_says(paths: Paths) -> None:
    taken = snapshot(*TYPICAL)
    inventory = take_inventory(taken, POLICY)
    verdict = verdict_on(WELL, "DOWN", paths, NOW)
    config = Config(POLICY, paths=paths)
    schema = Path(__file__).parents[2] / "docs" / "schemas" / "slurm-het-status.json"
    for summary in (summary_of(taken, inventory, POLICY), None):
        document = json.loads(json.dumps(document_of(verdict, summary, "DOWN", config)))
        jsonschema.validate(document, json.loads(schema.read_text()))
