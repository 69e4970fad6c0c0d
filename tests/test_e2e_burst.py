"""200 jobs at once from 8 processes: all complete, none twice, none left. And a stream of them."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from tests.cluster import Cluster

pytestmark = pytest.mark.slurm
JOBS = 200
SHAPES = (
    (["--gres=gpu:1"], "module load cuda"),
    (["--gres=gpu:2"], "module load rocm"),
    (["--gres=shard:12"], "vllm serve m"),
    (["--gpus=4"], "npu-smi info\ntorchrun train.py"),
    (["--gres=gpu:1"], "cnmon\nvllm serve m"),
)


@pytest.mark.timeout(240)
def test_burst(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    marks = cluster.box.dir / "marks"
    marks.mkdir()
    marks.chmod(0o777)
    before = len(cluster.hook_log())

    def submit(number: int) -> str:
        options, script = SHAPES[number % len(SHAPES)]
        # Not by --export: then slurmd starts a login shell for each job.
        text = f"export STANDIN_SECONDS=0\n{script}\necho x >> {marks}/$SLURM_JOB_ID"
        return cluster.sbatch(*options, script=text)

    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(submit, range(JOBS)))
    assert len(set(keys)) == JOBS

    def states() -> list[str]:
        return [j.state for j in cluster.jobs() if j.key in set(keys)]

    cluster.wait("all jobs have ended", lambda: states().count("COMPLETED") == JOBS, 180)
    runs = {path.name: path.read_text().count("x") for path in marks.iterdir()}
    assert runs == dict.fromkeys(keys, 1)
    micros = sorted(cluster.hook_micros(cluster.hook_log()[before:]))
    assert len(micros) == JOBS
    with capsys.disabled():
        median, p99 = statistics.median(micros) / 1e3, micros[int(JOBS * 0.99)] / 1e3
        print(f"\nhook: {JOBS} calls, median {median:.2f} ms, p99 {p99:.2f} ms")


def test_a_stream_of_submissions_keeps_no_job_waiting(cluster: Cluster) -> None:
    """While it goes on hetd puts its cycles off, but by two seconds at most."""
    seconds = 8
    until = time.monotonic() + seconds

    def stream(_: int) -> list[str]:
        keys = []
        while time.monotonic() < until:
            keys.append(cluster.sbatch("--gres=gpu:1", script="module load cuda\nsleep 60"))
        return keys

    with ThreadPoolExecutor(3) as pool:
        streams = list(pool.map(stream, range(3)))
    assert sum(map(len, streams)) > 2 * seconds / 0.1, "a stream"
    for keys in streams:
        record = cluster.job(keys[0])
        assert record["JobState"] == "RUNNING"
        submitted, started = (
            datetime.fromisoformat(record[name]) for name in ("SubmitTime", "StartTime")
        )
        assert (started - submitted).total_seconds() <= seconds - 2
