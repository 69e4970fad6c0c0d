"""200 jobs at once from 8 processes: all complete, none twice, none left. And a stream of them."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from tests.support.cluster import Cluster

pytestmark = pytest.mark.slurm
JOBS = 200
STREAM_SECONDS = 16
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
    script = cluster.box.layout.work / "stream.sh"
    script.write_text("#!/bin/bash\nmodule load cuda\nsleep 60\n")
    loop = (
        f"end=$(($(date +%s) + {STREAM_SECONDS})); while [ $(date +%s) -lt $end ]; do "
        f"sbatch --parsable -o /dev/null --gres=gpu:1 {script}; done"
    )
    with ThreadPoolExecutor(8) as pool:
        streams = list(pool.map(lambda _: cluster.ok("sh", "-c", loop).split(), range(8)))
    assert sum(map(len, streams)) > 10 * STREAM_SECONDS, "a stream"
    record = cluster.job(min((keys[0] for keys in streams), key=int))
    assert record["JobState"] == "RUNNING", "started amid the stream"
    submitted = datetime.fromisoformat(record["SubmitTime"])
    started = datetime.fromisoformat(record["StartTime"])
    assert (started - submitted).total_seconds() < STREAM_SECONDS - 4
