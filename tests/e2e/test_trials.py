"""End to end: a program that failed on one vendor's devices goes to another's when it comes again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
ANN, BOB = "nobody", "daemon"
BOTH = {"default_vendors": ["amd", "nvidia"], "default_scenario": "training"}
PROGRAM = 'case $SLURMD_NODENAME in nv*) ;; *) exit 1;; esac\n./simulate --seed {}'


@pytest.fixture(scope="module")
def it() -> Iterator[Cluster]:
    with own_sandbox(overrides=AMPLE | BOTH) as box:
        cluster = Cluster(box)
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
        yield cluster


def script(seed: int, where: str) -> str:
    """A program that can use the devices of one vendor only; nothing in it says so."""
    can = f"case $SLURMD_NODENAME in {where}*) exit 0;; esac; exit 1"
    return f"simulate() {{ {can}; }}\nsimulate --seed {seed}"


def test_what_failed_on_one_vendor_goes_to_another_the_second_time(it: Cluster) -> None:
    """Nobody else's job of that program goes there for it, and its user has the last word."""
    first = it.sbatch("--gres=gpu:2", script=script(1, "no"), user=ANN)
    failed = it.wait_state(first, "FAILED")["Partition"]
    other = {"train-amd": "train-nv", "train-nv": "train-amd"}[failed]
    vendor = {"train-amd": "amd", "train-nv": "nvidia"}[failed]

    def goes_elsewhere() -> bool:
        again = it.sbatch("--gres=gpu:2", script=script(2, "no"), user=ANN)
        it.wait_state(again, "FAILED")
        return bool(it.job(again)["Partition"] == other)

    second = it.sbatch("--gres=gpu:2", script=script(2, "no"), user=ANN)
    where = it.wait_state(second, "FAILED")["Partition"]
    print(failed, where, it.tool("admin", "why", second))
    assert where == other
    assert f"it failed within moments on {vendor} (job {first})" in it.tool("admin", "why", second)
