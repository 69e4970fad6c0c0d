"""slurm-het enable on a real Slurm that takes a bad turn: each bound, and the automatic way back.

And what a hetd that comes late makes of an array that runs in part.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from slurm_het.config import load_config
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import program
from tests.support.cluster import Cluster, sandbox_dir

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

POOL = "train-nv"
ASKS = ("-p", POOL, "--gres=gpu:a100:8", "-t", "5")
WRAPPER = """#!/bin/sh
# scontrol, whose releases into a pool fail, or hang, while a file says so.
text=
[ $# = 0 ] && text=$(cat)  # an update of a job comes on stdin
case "$text" in *Partition={pool}*ReqNodeList=nv* | *ReqNodeList=nv*Partition={pool}*)
    [ -e {base}/refuse ] && {{ echo "refused for a test" >&2; exit 1; }}
    n=0
    while [ -e {base}/hang ] && [ $n -lt 250 ]; do
        sleep 0.2
        n=$((n + 1))
    done
    [ $n = 0 ] || exit 1 ;;
esac
[ $# = 0 ] || exec {path} "$@"
printf '%s\\n' "$text" | {path}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """All pools in shadow, and a scontrol of the test's between hetd and Slurm."""
    with sandbox_dir() as base:
        bin_dir = base / "bin"
        bin_dir.mkdir()
        for name in ("squeue", "sinfo", "sbatch", "sacctmgr", "sdiag"):
            (bin_dir / name).symlink_to(program(name))
        wrapper = bin_dir / "scontrol"
        wrapper.write_text(WRAPPER.format(pool=POOL, base=base, path=program("scontrol")))
        wrapper.chmod(0o755)
        slurm = {"bin_dir": str(bin_dir), "timeout_seconds": 60.0}
        overrides = {"mode": "shadow", "slurm": slurm, "planner": {"poll_seconds": 1.0}}
        with Sandbox.up(base / "box", overrides=overrides) as sandbox:
            yield sandbox


@contextmanager
def turn(cluster: Cluster, word: str) -> Iterator[Path]:
    """While the file is there, releases fail or hang."""
    flag = cluster.box.dir.parent / word
    flag.touch()
    try:
        yield flag
    finally:
        flag.unlink(missing_ok=True)


@contextmanager
def enabling(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    """`slurm-het enable`, until the gate is closed; it goes on meanwhile."""
    command = ["slurm-het", "enable", "--pool", POOL, "--yes", "--watch", "60"]
    env = cluster.box.env
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN", 120)
            yield running
        finally:
            running.kill()


def modes(cluster: Cluster) -> dict[str, str]:
    return {p.partition: p.mode for p in load_config(cluster.box.config_path).policy.pools}


@pytest.mark.parametrize(
    ("word", "before", "told"),
    [
        ("refuse", "busy", "releases failed"),
        ("hang", "busy", "devices are in use, 16 were before"),
        ("hang", "idle", "could start at once for "),
    ],
)
def test_a_bad_turn_takes_it_back(cluster: Cluster, word: str, before: str, told: str) -> None:
    """Devices are free once the gate is closed, and nobody starts there. In a pool that was idle
    before the busy share cannot fall: it is the waits that tell."""
    cluster.box.run(["slurm-het", "bypass", "off"])  # the last way back may have needed it
    if before == "busy":
        blocker = cluster.sbatch("-p", POOL, "--gres=gpu:8", "-N2", "-t", "30", script="sleep 900")
        cluster.wait_started(blocker)
    else:
        cluster.ok("scontrol", "update", "NodeName=nv[1-2]", "State=DRAIN", "Reason=test")
    keys = [cluster.sbatch(*ASKS, script="sleep 60") for _ in range(4)]
    with turn(cluster, word) as flag, enabling(cluster) as running:
        if before == "busy":
            cluster.ok("scancel", blocker)
        else:
            cluster.ok("scontrol", "update", "NodeName=nv[1-2]", "State=RESUME")
        assert running.stdout
        said = ""
        for line in running.stdout:
            said += line
            if "taken back: " in line:
                flag.unlink()  # nothing stands in the way back
        running.wait(10)
    assert (running.returncode, "taken back: " in said) == (1, True), said
    assert told in said
    assert modes(cluster)[POOL] == "shadow"
    assert cluster.gate() == "UP"
    for key in keys:
        record = cluster.job(key)
        if record["JobState"] == "PENDING":  # others start as soon as the gate is open
            assert record["Partition"] == POOL, said
            assert record["AdminComment"] in {"", "(null)"}, said
    cluster.wait("plain Slurm starts them", lambda: states(cluster, keys).count("RUNNING") == 2)


def test_of_an_array_that_runs_in_part_hetd_adopts_what_waits(cluster: Cluster) -> None:
    """It was submitted while the hook got no answer, and started while the gate was open."""
    cluster.box.stop_hetd()
    array = cluster.sbatch("-p", "accel", "--gres=gpu:mi300x:8", "--array=0-4%3", script="sleep 90")
    keys = [f"{array}_{number}" for number in range(5)]
    cluster.wait("two run", lambda: states(cluster, keys).count("RUNNING") == 2)
    before = {key: cluster.job(key) for key in keys[:2]}
    set_mode(cluster, "plan")
    cluster.box.start_hetd()
    try:
        cluster.wait(
            "what waits is adopted", lambda: "het1:" in cluster.job(keys[4])["AdminComment"], 30
        )
        for key in keys[:2]:
            record = cluster.job(key)
            for name in ("AdminComment", "Features", "Partition", "NodeList", "JobState"):
                assert record.get(name) == before[key].get(name), (key, name)
        cluster.ok("scancel", *keys[:2])
        assert cluster.wait_started(keys[2])["Partition"] == "train-amd"
    finally:
        set_mode(cluster, "shadow")
        cluster.box.stop_hetd()
        cluster.box.start_hetd()


def states(cluster: Cluster, keys: list[str]) -> list[str]:
    return [cluster.job(key)["JobState"] for key in keys]


def set_mode(cluster: Cluster, mode: str) -> None:
    """Of all pools."""
    path = cluster.box.config_path
    data = yaml.safe_load(path.read_text())
    data["mode"] = mode
    for pool in data["pools"].values():
        pool.pop("mode", None)
    path.write_text(yaml.safe_dump(data))
