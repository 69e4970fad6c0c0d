"""hetd's reading by pyslurm is that of the command line, whatever becomes of pyslurm's process."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from slurm_het.core.model import Job
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.api.source import PAUSE
from slurm_het.slurm.backend import client_of
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.job_reader import RecordParser
from tests.e2e.test_reading import NAMES, SUBMISSIONS, told
from tests.support.cluster import PATIENCE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

STAND_IN = Path(__file__).parents[1] / "support" / "stand_in"
MORE: tuple[tuple[str, ...], ...] = (
    ("-p", "accel", "--gpus-per-socket=1", "--sockets-per-node=2", "--gpus=4", "-N1"),
    ("-p", "accel", "--gres=gpu:1", "--gres-flags=enforce-binding", "--contiguous"),
    ("-p", "accel", "--gres=gpu:1", "--spread-job", "--switches=1@5:00"),
    ("-p", "accel", "-N2-3", "--use-min-nodes", "--gres=gpu:1"),
    ("-p", "accel", "--gres=gpu:a100:1", "-C", "a100", "-w", "nv1", "-x", "nv2"),
    ("-p", "infer-nv", "--gres=shard:2"),
    ("-p", "train-nv", "--gres=gpu:1", "--mem-per-gpu=50"),
    ("-p", "cpu", "--exclusive=user", "--ntasks-per-node=2", "-n2"),
)
JOBS = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_sandbox(hetd=False, hook=False) as box:
        cluster = Cluster(box)
        cluster.ok("scontrol", "update", "partitionname=accel", "state=DOWN")
        yield cluster


@pytest.fixture(params=["stand-in", "real"])
def slurm(
    request: pytest.FixtureRequest, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> CliSlurm:
    """A client that asks pyslurm: the real one where there is one for this Slurm."""
    if request.param == "real" and not importlib.util.find_spec("pyslurm"):
        pytest.skip("no pyslurm of this Slurm is installed here: only its stand-in is tested")
    if request.param == "stand-in":
        path = f"{STAND_IN}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        monkeypatch.setenv("PYTHONPATH", path)
    conf = Path(cluster.box.env["SLURM_CONF"])
    return client_of(SlurmSettings(backend="pyslurm", conf=conf))


@pytest.fixture(scope="module")
def jobs(cluster: Cluster) -> None:
    """60 jobs of all kinds, of which some run, some hold shares, and one has ended."""
    rng = random.Random(1)
    for number in range(JOBS):
        options = (*SUBMISSIONS, *MORE)[number % (len(SUBMISSIONS) + len(MORE))]
        name = ("-J", rng.choice((*NAMES, "(null)")), f"--comment={rng.choice(NAMES)}")
        argv = ["sbatch", "-Q", "-o", "/dev/null", *name, *options]
        done = cluster.box.run(argv, input="#!/bin/bash\nsleep 600\n")
        assert done.returncode == 0, (options, done.stderr)
    gone = cluster.sbatch("-p", "cpu", script="true")
    cluster.wait("it ended", lambda: not cluster.box.run(["squeue", "-hj", gone]).stdout)


def alone(cluster: Cluster) -> CliSlurm:
    """One that asks Slurm's programs only."""
    return CliSlurm(SlurmSettings(conf=Path(cluster.box.env["SLURM_CONF"])))


def read(slurm: CliSlurm, times: int = 1) -> dict[int, Job]:
    version = asyncio.run(slurm.version())
    reading = RecordParser(version, memory_tracked=True)
    for _ in range(times):
        slurm.jobs._known.__init__()  # type: ignore[misc]  # noqa: SLF001  # as at a start
        found = asyncio.run(slurm.jobs.read(reading))
    return {job.id: told(job) for job in found}


def differing(ours: dict[int, Job], theirs: dict[int, Job]) -> list[str]:
    assert ours.keys() == theirs.keys()
    pairs = [(asdict(ours[i]), asdict(theirs[i])) for i in ours]
    return sorted(f"{a['id']} {k}: {a[k]!r} {b[k]!r}" for a, b in pairs for k in a if a[k] != b[k])


@pytest.mark.usefixtures("jobs")
def test_60_jobs_are_the_same_both_ways(
    cluster: Cluster, slurm: CliSlurm, caplog: pytest.LogCaptureFixture
) -> None:
    source = slurm.jobs.source
    assert source
    read(slurm)
    by_pyslurm = read(slurm)
    assert not source.left, caplog.text
    assert differing(by_pyslurm, read(alone(cluster))) == []
    assert source.believed > JOBS // 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    source.close()


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGSTOP])
def test_whatever_becomes_of_its_process_the_jobs_are_read(
    cluster: Cluster, slurm: CliSlurm, number: signal.Signals
) -> None:
    source = slurm.jobs.source
    assert source
    source.process.seconds = PATIENCE
    expected = read(alone(cluster))
    assert differing(read(slurm), expected) == []
    source.process.seconds, pid = 2.0, source.process.pid
    assert pid
    os.kill(pid, number)
    began = time.monotonic()
    assert differing(read(slurm), expected) == []
    assert time.monotonic() - began < PATIENCE
    assert source.process.pid is None
    time.sleep(PAUSE)
    source.process.seconds = PATIENCE
    assert differing(read(slurm), expected) == []
    assert source.process.pid not in (None, pid)
    source.close()


@pytest.fixture(scope="module")
def hetd() -> Iterator[Cluster]:
    """A sandbox whose hetd asks the stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        path = f"{STAND_IN}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        patch.setenv("PYTHONPATH", path)
        with own_sandbox(overrides={"slurm": {"backend": "pyslurm"}}) as box:
            yield Cluster(box)


def child_of(cluster: Cluster) -> int | None:
    """The process with pyslurm of the sandbox's hetd."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            command = (path.parent / "cmdline").read_text()
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "slurm_het.slurm.api.child" in command and parent == cluster.box.hetd_pid():
            return int(path.parent.name)
    return None


def test_hetd_plans_on_while_its_process_dies(hetd: Cluster) -> None:
    first = hetd.sbatch("--gres=gpu:1", script="sleep 300")
    hetd.wait_state(first, "RUNNING")
    hetd.wait("pyslurm is asked", lambda: child_of(hetd) is not None)
    os.kill(child_of(hetd) or 0, signal.SIGSEGV)
    second = hetd.sbatch("--gres=gpu:1", script="sleep 300")
    hetd.wait_state(second, "RUNNING")
    log = hetd.box.layout.output_of("supervisor").read_text()
    assert log.count("pyslurm gives no answer, the command line is read for 1 s") == 1
    assert "pyslurm is left" not in log
