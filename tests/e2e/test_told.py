"""End to end: what a user reads on the terminal at submit, and what srun's command is read as."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
SITE = {"hook": {"deadline_ms": 2000, "tell": "all"}, "impossible_memory": "refuse"}
TOO_LONG = "|".join(["a100"] * 300)


@pytest.fixture(scope="module")
def it() -> Iterator[Cluster]:
    with own_sandbox(overrides=AMPLE | SITE) as box:
        cluster = Cluster(box)
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
        yield cluster


@pytest.mark.parametrize(
    ("options", "script", "told"),
    [
        (["--gres=gpu:1"], "module load rocm\npython train.py",
         "slurm-het: training, on amd devices (line 2 loads rocm)"),
        (["--gres=gpu:1"], "#HET vendor = nvdia\npython train.py",
         "vendors=nvdia: nvdia is no vendor, did you mean nvidia?"),
    ],
)  # fmt: skip
def test_sbatch_says_what_was_understood(
    it: Cluster, options: list[str], script: str, told: str
) -> None:
    done = it.box.run(["sbatch", "-o", "/dev/null", *options], input=f"#!/bin/sh\n{script}\n")
    assert done.returncode == 0, done.stderr
    assert told in done.stderr


def test_srun_is_read_by_its_command(it: Cluster) -> None:
    done = it.box.run(["srun", "--gres=gpu:1", "-t1", "rocm-smi"])
    assert "on amd devices" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("options", "script", "told"),
    [
        (["--gres=gpu:1"], "#HET memory=900G\nmodule load cuda",
         "slurm-het: 900 GiB per device: #HET on line 2, but the largest that it may use (a100)"
         " has 80 GiB\nsbatch: error: Batch job submission failed: Requested node configuration"),
        (["--gres=GPU:2"], "sleep 1", "Invalid generic resource (gres) specification"),
        (["--gpus=GPU:2"], "sleep 1", "slurm-het: no node has 1 GPU; there are"),
        (["--gres=gpu:1", "-C", TOO_LONG], "sleep 1", "parameter too long"),
        (["--gres=gpu:" + "0" * 1100 + "1"], "sleep 1", "parameter too long"),
        (["--gres=gpu:1", "--comment=het:" + "x" * 1100], "sleep 1", "parameter too long"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(
    it: Cluster, options: list[str], script: str, told: str
) -> None:
    """By us where the site wants it so, and by Slurm where it takes no text so long."""
    done = it.box.run(["sbatch", "-o", "/dev/null", *options], input=f"#!/bin/sh\n{script}\n")
    assert (done.returncode, told in done.stderr) == (1, True), done.stderr


def test_a_long_list_of_nodes_to_exclude_is_heeded(it: Cluster) -> None:
    names = ",".join(["nv1"] * 400)
    key = it.sbatch("--gres=gpu:a100:1", f"--exclude={names}")
    assert it.wait_started(key)["NodeList"] == "nv2"
