"""End to end: a user asks for something else of a queued job (`slurm-het ask`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from slurm_het.sandbox.layout import slurm_version
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
ANN, BOB = "nobody", "daemon"


@pytest.fixture(scope="module")
def it() -> Iterator[Cluster]:
    with own_sandbox(overrides=AMPLE, slurm_user="slurm") as box:
        cluster = Cluster(box)
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
        yield cluster
        cluster.clear()


def ask(it: Cluster, key: str, *words: str, user: str = ANN) -> tuple[int, str]:
    done = it.box.run([sys.executable, "-m", "slurm_het.cli.admin", "ask", key, *words], user=user)
    return done.returncode, f"{done.stdout}{done.stderr}"


def test_a_queued_job_goes_where_its_user_says_now(it: Cluster) -> None:
    """Refused is what is wrong, what cannot be, and what others ask; then nothing is changed."""
    full = it.sbatch("-N2", "--gres=gpu:a100:8", "--exclusive", script="sleep 300")
    it.wait_started(full)
    key = it.sbatch("--gres=gpu:8", script="module load cuda\nsleep 60", user=ANN)
    before = it.job(key)["AdminComment"]
    for user, words, told in (
        (ANN, "vendors=nvdia", "did you mean nvidia?"),
        (ANN, "fast", "no key=value"),
        (ANN, "memory=900G", "the largest that it may use"),
        (BOB, "vendors=amd", "you have no job"),
    ):
        code, text = ask(it, key, words, user=user)
        assert (code, told in text) == (1, True), text
    assert it.job(key)["AdminComment"] == before
    code, text = ask(it, key, "vendors=amd")
    assert (code, "training, on amd devices" in text) == (0, True), text
    assert it.wait_started(key)["Partition"] == "train-amd"
    assert "slurm-het ask" in it.tool("admin", "why", key)
    code, text = ask(it, key, "vendors=nvidia")
    assert (code, "does not wait for a plan" in text) == (1, True), text


def test_the_tasks_of_an_array_are_asked_for_together_or_one_by_one(it: Cluster) -> None:
    """Those that wait, and have no record of their own yet, as well; those that run go on."""
    it.clear()
    full = it.sbatch("-N2", "--gres=gpu:a100:8", "--exclusive", script="sleep 300")
    it.wait_started(full)
    array = it.sbatch(
        "--array=0-3%4", "--gres=gpu:4", script="module load cuda\nsleep 60", user=ANN
    )
    code, text = ask(it, f"{array}_2", "vendors=ascend")
    assert (code, f"job {array}_2 is now: training, on ascend" in text) == (0, True), text
    assert it.wait_started(f"{array}_2")["Partition"] == "train-ascend"
    assert it.job(f"{array}_1")["JobState"] == "PENDING"
    code, text = ask(it, array, "vendors=amd")
    assert (code, "training, on amd devices" in text) == (0, True), text
    for task in (0, 1, 3):
        assert it.wait_started(f"{array}_{task}")["Partition"] == "train-amd"
    assert it.job(f"{array}_2")["Partition"] == "train-ascend"
    code, text = ask(it, f"{array}_1", "vendors=any", user=BOB)
    assert (code, "you have no job" in text) == (1, True), text


def test_what_its_user_has_made_of_its_gres_since_is_what_is_asked_for(it: Cluster) -> None:
    it.clear()
    full = it.sbatch("-N2", "--gres=gpu:a100:8", "--exclusive", script="sleep 300")
    it.wait_started(full)
    key = it.sbatch("--gres=gpu:8", script="module load cuda\nsleep 60", user=ANN)
    done = it.box.run(["scontrol", "update", f"JobId={key}", "Gres=gpu:2"], user=ANN)
    assert done.returncode == 0, done.stderr
    code, text = ask(it, key, "vendors=amd")
    assert (code, "training, on amd devices" in text) == (0, True), text
    record = it.wait_started(key)
    assert (record["Partition"], record["TresPerNode"]) == ("train-amd", "gres/gpu:2"), record


@pytest.mark.parametrize(
    ("script", "update", "partition"),
    [
        ("module load cuda", ("Features=mi300x",), "train-amd"),
        ("torchrun train.py", ("Gres=gpu:mi300x:8", "Features="), "train-amd"),
        ("torchrun train.py", ("Gres=gpu:l40s:2",), "infer-nv"),
    ],
)
def test_what_its_user_asks_for_by_scontrol_is_where_it_goes(
    it: Cluster, script: str, update: tuple[str, ...], partition: str
) -> None:
    """As plain Slurm would start it; also where the Features that the hook wrote are in its way."""
    if "Gres" in update[0] and not slurm_version().rewrites_gres:
        pytest.skip("22.05 merges the new request with the old one")
    it.clear()
    full = it.sbatch("-N2", "--gres=gpu:a100:8", "--exclusive", script="sleep 300")
    it.wait_started(full)
    key = it.sbatch("--gres=gpu:8", script=f"{script}\nsleep 60", user=ANN)
    done = it.box.run(["scontrol", "update", f"JobId={key}", *update], user=ANN)
    assert done.returncode == 0, done.stderr
    record = it.wait_started(key)
    asks = next((word.removeprefix("Gres=") for word in update if "Gres" in word), "gpu:8")
    assert (record["Partition"], record["TresPerNode"][5:]) == (partition, asks), record
