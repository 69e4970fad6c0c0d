"""End to end: a real Prometheus scrapes a cluster; what it has, and what it would alarm of."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.prometheus import ask, watched
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox, sandbox_dir
from tests.support.prometheus import need_prometheus
from tests.test_monitoring import panels

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("22.05")]


class Watched:
    """A sandbox and the Prometheus that watches it."""

    def __init__(self, box: Sandbox, url: str) -> None:
        self.cluster, self.url = Cluster(box), url

    def values(self, expr: str) -> list[float]:
        return [float(row["value"][1]) for row in ask(self.url, "query", query=expr)["result"]]

    def alerts(self) -> set[str]:
        """Those that are so, whether or not for long enough."""
        return {a["labels"]["alertname"] for a in ask(self.url, "alerts")["alerts"]}


@pytest.fixture(scope="module")
def it() -> Iterator[Watched]:
    need_prometheus()
    with own_sandbox(overrides=AMPLE) as box, sandbox_dir() as base, watched(box, base) as url:
        yield Watched(box, url)


def test_each_panel_has_something_to_show_and_nothing_is_alarming(it: Watched) -> None:
    it.cluster.ok("sbatch", "-p", "accel", "--gres=gpu:a100:2", "--wrap", "sleep 300")
    it.cluster.ok("sbatch", "-p", "accel", "--gres=gpu:a100:8", "-N2", "--wrap", "sleep 300")
    it.cluster.wait("it is scraped", lambda: sum(it.values("slurm_het_tasks")) == 2, 60)
    for panel in panels():
        for target in panel["targets"]:
            found = it.values(target["expr"])
            assert found, target["expr"]
            assert all(map(math.isfinite, found)), target["expr"]
    it.cluster.wait("nothing is alarming", lambda: it.alerts() == set(), 15)
    devices = sum(it.values("slurm_het_devices"))
    assert devices == sum(it.values('slurm_het_devices{state!="idle"}')) + sum(
        it.values("slurm_het_idle_devices")
    )
    assert it.values('slurm_het_devices{state="whole"}') == [2.0]


def test_promtool_has_nothing_to_say(it: Watched) -> None:
    text = it.cluster.ok("slurm-het", "metrics", "--config", str(it.cluster.box.config_path))
    argv = [shutil.which("promtool") or "promtool", "check", "metrics"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_is_whole(it: Watched, tmp_path: Path) -> None:
    file = tmp_path / "het.prom"
    argv = ["slurm-het", "metrics", "--config", str(it.cluster.box.config_path)]
    it.cluster.ok(*argv, "--textfile", str(file))
    assert file.read_text().rstrip().splitlines()[-1].startswith("slurm_het_build_info{")
    assert [path.name for path in tmp_path.iterdir()] == ["het.prom"]


def test_a_gate_shut_on_nobody_is_alarming(it: Watched) -> None:
    box = it.cluster.box
    box.stop_hetd()
    try:
        it.cluster.ok("scontrol", "update", "PartitionName=accel", "State=DOWN")
        wanted = {"SlurmHetGateShutOnNobody", "SlurmHetDown"}
        it.cluster.wait("both are told", lambda: wanted <= it.alerts(), 60)
    finally:
        box.start_hetd()
    it.cluster.wait("all is well", lambda: not it.alerts() - {"SlurmHetGateOpen"}, 60)
