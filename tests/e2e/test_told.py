"""End to end: what a user reads on the terminal at submit, and what srun's command is read as."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
ALL = {"hook": {"deadline_ms": 2000, "tell": "all"}}


@pytest.fixture(scope="module")
def it() -> Iterator[Cluster]:
    with own_sandbox(overrides=AMPLE | ALL) as box:
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
        (["--gres=gpu:1"], "#HET memory=900G\nmodule load cuda",
         "but the largest that it may use"),
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
