"""Faults of what hetd and its supervisor stand on: the gate is open within 15 s of each."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.daemon.doors import ask
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import program
from tests.support.cluster import Cluster, sandbox_dir

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
BOUND = 15.0  # seconds from the fault until the gate is open
FAIL_OPEN = 10.0
SLOW_BOUND = FAIL_OPEN + 5  # the same where reads or updates alone fail
WRAPPER = """#!/bin/sh
# Slurm's {name}, which fails while a file says so.
[ -e {base}/no-{name} ] && {{ echo "broken for a test" >&2; exit 1; }}
[ $# = 0 ] && [ -e {base}/denied ] && {{  # an update of a job, on stdin
    echo "Access/permission denied for job 1" >&2; exit 1; }}
exec {path} "$@"
"""
SMALL = """
nodes:
- {name: "nv[1-2]", type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
"""


class Storage:
    """A file system of its own for hetd's state, which can be made to hang."""

    def __init__(self, path: Path) -> None:
        self.path, self.image = path, path.with_suffix(".img")
        self.frozen = False
        with self.image.open("wb") as file:
            file.truncate(16 << 20)
        path.mkdir()
        self.disk = path.with_suffix(".disk")
        self.disk.mkdir()
        self._run("mkfs.ext4", "-q", str(self.image))
        self._run("mount", "-o", "loop", str(self.image), str(self.disk))
        self.attach()
        shutil.chown(path, "slurm")

    def _run(self, *argv: str) -> None:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            pytest.skip(f"{' '.join(argv)}: {done.stderr.strip()}")

    def attach(self) -> None:
        """Have it in its place."""
        self._run("mount", "--bind", str(self.disk), str(self.path))

    def detach(self) -> None:
        """Take it from its place, as a file server goes; who has files open keeps these."""
        self._run("umount", "-l", str(self.path))

    def freeze(self) -> None:
        """Whoever writes there from now on hangs, and cannot even be killed."""
        self._run("fsfreeze", "-f", str(self.path))
        self.frozen = True

    def thaw(self) -> None:
        """As before."""
        if self.frozen:
            self._run("fsfreeze", "-u", str(self.path))
            self.frozen = False

    def close(self) -> None:
        """Take it away."""
        self.thaw()
        for path in (self.path, self.disk):
            subprocess.run(["umount", "-l", str(path)], check=False, timeout=30)


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    missing = [name for name in ("mkfs.ext4", "mount", "fsfreeze") if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    with sandbox_dir() as base:
        made = Storage(base / "state")
        try:
            yield made
        finally:
            made.close()


@contextmanager
def boxed(state: Path | None = None) -> Iterator[Sandbox]:
    """A sandbox whose daemons are no root's: limits bind them. Its Slurm can be made to fail."""
    with sandbox_dir() as base:
        topology, bin_dir = base / "topology.yaml", base / "bin"
        topology.write_text(SMALL)
        bin_dir.mkdir()
        for name in ("scontrol", "squeue"):
            text = WRAPPER.format(name=name, base=base, path=program(name))
            (bin_dir / name).write_text(text)
            (bin_dir / name).chmod(0o755)
        paths = {"state_dir": str(state), "journal": str(state / "journal.db")} if state else {}
        overrides = {
            "paths": paths,
            "planner": {"poll_seconds": 1.0, "fail_open_seconds": FAIL_OPEN},
            "slurm": {"bin_dir": str(bin_dir)},
        }
        with Sandbox.up(base / "box", topology, overrides=overrides, slurm_user="slurm") as box:
            yield box


@contextmanager
def broken(cluster: Cluster, what: str) -> Iterator[None]:
    """As long as this lasts Slurm's programs fail in one way."""
    flag = cluster.box.dir.parent / what
    flag.touch()
    try:
        yield
    finally:
        flag.unlink()


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with boxed() as sandbox:
        yield sandbox


def supervisor(cluster: Cluster) -> int:
    return next(p.pid for p in cluster.box.daemons() if p.name == "supervisor")


def opened_within(cluster: Cluster, fault: Callable[[], None], seconds: float = BOUND) -> float:
    """How long after the fault the gate is open."""
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    fault()
    began = time.monotonic()
    cluster.wait("the gate is open", lambda: cluster.gate() == "UP", seconds)
    return time.monotonic() - began


def limit(pid: int, what: str, soft: str) -> None:
    """Set a process's own limit, as its user: not every root may."""
    user = ["setpriv", "--reuid", "slurm", "--regid", "slurm", "--clear-groups"]
    subprocess.run([*user, "prlimit", "--pid", str(pid), f"--{what}={soft}:"], check=True)


@pytest.mark.parametrize(("what", "least"), [("nofile", "3"), ("nproc", "1")])
def test_a_supervisor_that_lacks_what_it_needs_still_opens(
    cluster: Cluster, what: str, least: str
) -> None:
    pid = supervisor(cluster)
    limit(pid, what, least)
    try:
        opened_within(cluster, cluster.box.kill_hetd)
        time.sleep(3.0)  # it would have started hetd anew by now
        assert supervisor(cluster) == pid, "it has not ended"
        assert cluster.gate() == "UP"
    finally:
        limit(pid, what, "512")
    cluster.wait("hetd plans again", lambda: cluster.gate() == "DOWN", 30)
    log = cluster.box.layout.output_of("supervisor").read_text()
    assert "Traceback" not in log


def test_a_log_that_nobody_reads_keeps_no_gate_closed(cluster: Cluster) -> None:
    cluster.box.stop_hetd()
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    status = cluster.box.layout.run / "piped.status"
    argv = [sys.executable, "-m", "slurm_het.supervise", "--config", str(cluster.box.config_path)]
    argv += ["--status-file", str(status), "--"]
    argv += [sys.executable, "-m", "slurm_het.daemon.app", "--config", str(cluster.box.config_path)]
    child = subprocess.Popen(argv, env=cluster.box.env, stderr=writing, stdout=writing)
    try:
        cluster.wait("hetd is ready", lambda: status.exists() and "ready" in status.read_text())
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x")
        hetd = int(status.read_text().split()[0])
        opened_within(cluster, lambda: os.kill(hetd, signal.SIGSTOP))
    finally:
        os.close(writing)
        os.close(reading)
        child.terminate()
        child.wait(30)
        cluster.box.start_hetd()


def test_storage_that_hangs_keeps_no_gate_closed(storage: Storage) -> None:
    """A process that waits for it cannot be killed, and holds the lead's lock for as long."""
    with boxed(storage.path) as sandbox:
        cluster = Cluster(sandbox)
        try:
            opened_within(cluster, storage.freeze)
            time.sleep(5.0)
            assert cluster.gate() == "UP"
        finally:
            storage.thaw()
        cluster.wait("hetd plans again", lambda: cluster.gate() == "DOWN", 30)
        key = cluster.sbatch("--gres=gpu:1", script="module load cuda\nsleep 1", user="nobody")
        cluster.wait_started(key)


def test_a_mount_that_goes_away_and_what_was_mapped_from_it(storage: Storage) -> None:
    """Also the pages of the journal that hetd has mapped: to touch these is SIGBUS."""

    def starts() -> None:
        script = "module load cuda\nsleep 1"
        cluster.wait_started(cluster.sbatch("--gres=gpu:1", script=script, user="nobody"), BOUND)

    with boxed(storage.path) as sandbox:
        cluster = Cluster(sandbox)
        starts()
        try:
            opened_within(cluster, storage.detach)
            starts()
        finally:
            storage.attach()
        cluster.wait("hetd plans again", lambda: cluster.gate() == "DOWN", 30)
        starts()
        os.truncate(storage.path / "journal.db-shm", 0)
        starts()
        cluster.wait("hetd plans", lambda: cluster.gate() == "DOWN", 30)
        starts()
        assert "Traceback" not in log_of(cluster)


def test_a_hetd_without_descriptors_ends_and_the_gate_opens(cluster: Cluster) -> None:
    hetd = cluster.box.hetd_pid()
    assert hetd
    open_now = len(list(Path(f"/proc/{hetd}/fd").iterdir()))
    opened_within(cluster, lambda: limit(hetd, "nofile", str(open_now + 1)), SLOW_BOUND)
    cluster.wait("another hetd plans", lambda: cluster.gate() == "DOWN", 30)
    assert cluster.box.hetd_pid() != hetd
    log = cluster.box.layout.output_of("supervisor").read_text()
    assert "Too many open files" in log
    assert "Traceback" not in log


def test_reads_that_fail_open_the_gate_in_time_whatever_is_submitted(cluster: Cluster) -> None:
    def submit() -> bool:
        cluster.sbatch("--gres=gpu:1", script="module load cuda\nsleep 1", user="nobody")
        return cluster.gate() == "UP"

    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    with broken(cluster, "no-squeue"):
        cluster.wait("the gate is open", submit, SLOW_BOUND)
    cluster.wait("hetd plans again", lambda: cluster.gate() == "DOWN", 40)
    cluster.clear()


def test_updates_that_fail_open_the_gate(cluster: Cluster) -> None:
    script = "module load cuda\nsleep 60"
    keys: list[str] = []
    with broken(cluster, "denied"):
        began = time.monotonic()
        keys += [cluster.sbatch("--gres=gpu:1", script=script, user="nobody") for _ in range(3)]
        cluster.wait("the gate is open", lambda: cluster.gate() == "UP", SLOW_BOUND)
        for key in keys:
            cluster.wait_started(key)
        assert time.monotonic() - began < SLOW_BOUND + 10
    log = cluster.box.layout.output_of("supervisor").read_text()
    assert "had no effect (" in log
    assert log.count("was not released") < 20
    assert "Traceback" not in log
    cluster.clear()


def log_of(cluster: Cluster) -> str:
    return cluster.box.layout.output_of("supervisor").read_text()


def test_lost_sockets_and_a_hook_process_that_hangs_are_mended(cluster: Cluster) -> None:
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    hetd, paths = cluster.box.hetd_pid(), load_config(cluster.box.config_path).paths
    sockets = (paths.hook_socket, paths.event_socket, paths.control_socket)
    for path in sockets:
        path.unlink()
    cluster.wait("all are there again", lambda: all(path.exists() for path in sockets), 60)
    assert call(paths.control_socket, {"op": "status"})["pid"] == hetd
    children = Path(f"/proc/{hetd}/task/{hetd}/children").read_text().split()
    (hook,) = (
        int(c) for c in children if b"hook_process" in Path(f"/proc/{c}/cmdline").read_bytes()
    )
    os.kill(hook, signal.SIGSTOP)
    cluster.wait("it is replaced", lambda: not Path(f"/proc/{hook}").exists(), 60)
    cluster.wait("the hook is heard", lambda: not asyncio.run(ask(paths.hook_socket)), 30)
    cluster.wait_started(cluster.sbatch("--gres=gpu:1", script="module load cuda", user="nobody"))
    assert cluster.box.hetd_pid() == hetd
    log = log_of(cluster)
    assert str(paths.event_socket) in log
    assert f"the hook gets no answer at {paths.hook_socket}" in log
    assert "Traceback" not in log


def test_sighup_takes_a_new_configuration_or_says_why_not(cluster: Cluster) -> None:
    cluster.open_side_door()  # so that it would pin ahead
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    hetd, path = cluster.box.hetd_pid(), cluster.box.config_path
    assert hetd
    before = path.read_text()
    data = yaml.safe_load(before)

    def told(text: str, says: str) -> None:
        path.write_text(text)
        os.kill(hetd, signal.SIGHUP)
        cluster.wait(says, lambda: says in log_of(cluster), 30)

    try:
        told("pools: [", "SIGHUP: the configuration stays as it was")
        told(yaml.safe_dump(data | {"intake_partition": "accel2"}), "needs a restart")
        planner = data["planner"] | {"reservations": 0}
        told(yaml.safe_dump(data | {"planner": planner}), "counts from now on")
        blocker = cluster.sbatch("-N2", "--gres=gpu:2", "-t9", script="module load cuda\nsleep 60")
        cluster.wait_started(blocker)
        waits = cluster.sbatch("--gres=gpu:2", "-t9", script="module load cuda")
        time.sleep(4.0)
        assert "reserved" not in cluster.outcomes(waits), "the new configuration counts"
        cluster.ok("scancel", blocker)
        cluster.wait_started(waits)
    finally:
        path.write_text(before)
        os.kill(hetd, signal.SIGHUP)
    assert cluster.box.hetd_pid() == hetd
    assert "Traceback" not in log_of(cluster)
    cluster.clear()


def troubles(cluster: Cluster) -> list[str]:
    socket = load_config(cluster.box.config_path).paths.control_socket
    return list(call(socket, {"op": "status"})["troubles"])


def restarted(cluster: Cluster) -> None:
    """Kill hetd, and wait for the next one to plan."""
    old = cluster.box.hetd_pid()
    cluster.box.kill_hetd()
    cluster.wait("another hetd is there", lambda: cluster.box.hetd_pid() not in {None, old})
    cluster.wait("it plans", lambda: cluster.gate() == "DOWN")


UNHEARD = "the supervisor does not hear hetd"


def test_a_supervisor_that_is_stopped_or_older_is_told(cluster: Cluster) -> None:
    """By hetd: in het-squeue, in `slurm-het check` and in its log."""
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    pid, said_before = supervisor(cluster), log_of(cluster).count(UNHEARD)
    os.kill(pid, signal.SIGSTOP)
    try:
        cluster.wait("it is told", lambda: "it is stopped" in str(troubles(cluster)), 30)
        said = cluster.box.run([sys.executable, "-m", "slurm_het.cli.squeue"]).stderr
        assert f"{UNHEARD} (it is stopped): restart it" in said
        found = cluster.box.run([sys.executable, "-m", "slurm_het.cli.admin", "check"]).stdout
        assert UNHEARD in found
    finally:
        os.kill(pid, signal.SIGCONT)
    cluster.wait("all is well", lambda: not troubles(cluster), 30)
    assert log_of(cluster).count(UNHEARD) == said_before + 1

    before = cluster.box.config_path.read_text()
    bin_dir = cluster.box.dir.parent / "bin"
    try:
        cluster.box.config_path.write_text(before.replace(str(bin_dir), f"{bin_dir}/../bin"))
        restarted(cluster)
        assert "the supervisor has an older configuration" in str(troubles(cluster))
    finally:
        cluster.box.config_path.write_text(before)
        restarted(cluster)
