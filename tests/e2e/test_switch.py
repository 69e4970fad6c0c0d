"""slurm-het enable and disable on a real Slurm, with jobs that wait, and a bad turn."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.sandbox.daemons import SUPERVISOR
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]

OURS = ("Partition", "Features", "AdminComment", "ReqNodeList", "TresPerNode", "JobState")


@pytest.fixture(scope="module")
def site() -> Iterator[Cluster]:
    with own_sandbox(overrides={"mode": "shadow"}) as box:
        cluster = Cluster(box)
        blocker = cluster.sbatch(
            "-p", "train-nv", "--gres=gpu:8", "-N2", "-t", "30", script="sleep 900"
        )
        cluster.wait_started(blocker)
        yield cluster


@pytest.fixture
def waiting(site: Cluster) -> Iterator[dict[str, dict[str, str]]]:
    """Jobs that wait in a pool and in the intake, and their records."""
    common = ("--gres=gpu:a100:8", "-t", "5")
    keys = [site.sbatch("-p", "train-nv", *common) for _ in range(3)]
    keys += [
        site.sbatch("-p", "train-nv", *common, "-C", "a100"),
        site.sbatch("-p", "accel", *common),
    ]
    yield {key: of_ours(site, key) for key in keys}
    site.box.run(["scancel", *keys])


def of_ours(site: Cluster, key: str) -> dict[str, str]:
    record = site.job(key)
    return {name: record.get(name, "") for name in OURS}


def modes(site: Cluster) -> dict[str, str]:
    return {p.partition: p.mode for p in load_config(site.box.config_path).policy.pools}


def switch(site: Cluster, *words: str) -> tuple[int, str]:
    done = site.box.run(["slurm-het", *words], timeout=200)
    return done.returncode, f"{done.stdout}{done.stderr}{site.box.layout.log_tail(SUPERVISOR, 40)}"


def test_a_dry_run_shows_and_does_nothing(
    site: Cluster, waiting: dict[str, dict[str, str]]
) -> None:
    code, said = switch(site, "enable", "--pool", "train-nv", "--dry-run")
    assert code == 0, said
    assert "train-nv (shadow) -> plan" in said
    assert "check: 0 wrong" in said
    assert "5 tasks for its gate; 4 jobs move there" in said
    assert "5 jobs wait: " in said
    assert {key: of_ours(site, key) for key in waiting} == waiting
    assert modes(site)["train-nv"] == "shadow"


def test_waiting_jobs_go_into_the_gate_and_come_back_as_they_were(
    site: Cluster, waiting: dict[str, dict[str, str]]
) -> None:
    code, said = switch(site, "enable", "--pool", "train-nv", "--yes", "--watch", "10")
    assert code == 0, said
    assert "4 jobs moved to accel" in said
    assert "left to do: " in said
    assert "het_hook_config.lua says on_failure: pass, as before a pool was in plan" in said
    assert modes(site)["train-nv"] == "plan"
    assert set(modes(site).values()) == {"plan", "shadow"}
    site.wait("the gate is closed", lambda: site.gate() == "DOWN")
    assert {site.job(key)["Partition"] for key in waiting} <= {"accel", "train-nv"}
    assert all("het1:" in site.job(key)["AdminComment"] for key in waiting)
    code, said = switch(site, "disable", "--pool", "train-nv")
    assert code == 0, said
    assert site.gate() == "UP"
    assert {key: of_ours(site, key) for key in waiting} == waiting


def test_of_an_array_what_waits_is_moved_and_what_runs_is_not(site: Cluster) -> None:
    array = site.sbatch(
        "-p", "train-amd", "--gres=gpu:8", "-t", "10", "--array=0-5%4", script="sleep 500"
    )
    keys = [f"{array}_{number}" for number in range(6)]
    site.wait_started(keys[0])
    site.wait_started(keys[1])
    before = {key: of_ours(site, key) for key in keys}
    runs = {key for key in keys if before[key]["JobState"] == "RUNNING"}
    assert runs == {keys[0], keys[1]}
    code, said = switch(site, "enable", "--pool", "train-amd", "--yes", "--watch", "6")
    assert code == 0, said
    for key in keys:
        record = of_ours(site, key)
        if key in runs:
            assert record == before[key]
        else:
            assert record["Partition"] in {"accel", "train-amd"}, "hetd may have sent it on"
            assert "het1:" in record["AdminComment"]
    code, said = switch(site, "disable", "--pool", "train-amd")
    assert code == 0, said
    assert {key: of_ours(site, key) for key in keys} == before
    site.box.run(["scancel", array])


def test_a_hetd_that_falls_silent_has_all_taken_back(
    site: Cluster, waiting: dict[str, dict[str, str]]
) -> None:
    socket = load_config(site.box.config_path).paths.control_socket
    pid = int(call(socket, {"op": "status"})["pid"])
    freezer = Freezer(site.box.config_path, pid)
    with freezer:
        code, said = switch(site, "enable", "--pool", "train-nv", "--yes", "--watch", "60")
    assert code == 1, said
    assert "taken back: hetd is not answering" in said
    assert modes(site)["train-nv"] == "shadow"
    assert site.gate() == "UP"
    assert {key: of_ours(site, key) for key in waiting} == waiting


class Freezer:
    """Stops hetd for good once het.yaml says plan, and it has said so."""

    def __init__(self, config: Path, pid: int) -> None:
        self.config, self.pid = config, pid

    def __enter__(self) -> None:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._freeze)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _freeze(self) -> None:
        socket = load_config(self.config).paths.control_socket
        while not self.over.wait(0.2):
            told = call(socket, {"op": "status"}, timeout=5)
            if told["modes"]["train-nv"] == "plan" and told["gate"] == "closed":
                break
        self.over.wait(3)
        os.kill(self.pid, signal.SIGSTOP)
