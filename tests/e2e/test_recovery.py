"""What hetd makes of a full disk, a kill amid its updates, and a Slurm that it cannot read."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slurm_het.cli.hetd_client import call
from slurm_het.config import load_config
from slurm_het.errors import HetError
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import program
from slurm_het.sandbox.procs import Process, wait_gone
from tests.support.cluster import Cluster, sandbox_dir

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
CUDA = "module load cuda\n"
MNT_DETACH = 2  # of umount2(2)
SEEN = "sleep 30"  # from 24.11 on a job that ends between two looks is only gone
WRAPPER = """#!/bin/sh
# Slurm's {name}, slowed or broken while a file says so.
[ $# = 0 ] && [ -e {base}/slow ] && sleep 2  # an update of a job, on stdin
[ -e {base}/broken-{name} ] && {{ echo "broken for a test" >&2; exit 1; }}
exec {path} "$@"
"""


@contextmanager
def tmpfs(path: Path) -> Iterator[None]:
    """A file system of 4 MiB there: the journal of the whole module is on it."""
    path.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)  # a minimal Debian has no mount(8)
    if libc.mount(b"tmpfs", bytes(path), b"tmpfs", 0, b"size=4m,mode=0755"):
        pytest.skip(f"cannot mount a tmpfs: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.umount2(bytes(path), MNT_DETACH)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox with its journal on a tmpfs of 4 MiB, and Slurm's programs behind wrappers."""
    with sandbox_dir() as base, tmpfs(base / "small"):
        bin_dir = base / "bin"
        bin_dir.mkdir()
        for name in ("scontrol", "squeue"):
            text = WRAPPER.format(name=name, base=base, path=program(name))
            (bin_dir / name).write_text(text)
            (bin_dir / name).chmod(0o755)
        overrides = {
            "paths": {"journal": str(base / "small" / "journal.db")},
            "slurm": {"bin_dir": str(bin_dir), "timeout_seconds": 5.0},
            "planner": {"fail_open_seconds": 3.0, "poll_seconds": 1.0},
        }
        with Sandbox.up(base / "box", overrides=overrides) as sandbox:
            yield sandbox


def base_of(cluster: Cluster) -> Path:
    """Where the wrappers' files are."""
    return cluster.box.dir.parent


def log_of(cluster: Cluster) -> str:
    """What hetd and its supervisor wrote."""
    return cluster.box.layout.output_of("supervisor").read_text()


def control_status(cluster: Cluster) -> dict[str, Any]:
    """What hetd says of itself; nothing while it does not answer."""
    with contextlib.suppress(HetError):
        return call(load_config(cluster.box.config_path).paths.control_socket, {"op": "status"})
    return {}


def wait_closed(cluster: Cluster) -> None:
    """Until hetd itself has seen the gate closed."""
    cluster.wait(
        "hetd says that the gate is closed",
        lambda: control_status(cluster).get("gate") == "closed",
    )


def assert_whole(journal: Path) -> None:
    """SQLite finds nothing wrong with the journal, and none was put aside."""
    with sqlite3.connect(journal) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(journal.parent.glob("*.damaged-*"))


def wait_ready(cluster: Cluster) -> None:
    """Until hetd's supervisor has its word that the gate is closed; from then on it has 10 s."""
    status = cluster.box.layout.run / "hetd.status"
    cluster.wait("hetd is ready", lambda: status.read_text().endswith(" ready"))


def test_a_full_disk_stops_no_planning_and_corrupts_nothing(cluster: Cluster) -> None:
    """Full while it runs, full while it is killed, full when it starts; then there is room."""
    journal = load_config(cluster.box.config_path).paths.journal
    before = cluster.sbatch("--gres=gpu:1", script=CUDA + SEEN)
    cluster.wait("it is in the journal", lambda: "started" in cluster.outcomes(before))
    filler = journal.parent / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(b"x" * (4 << 20))
    keys = []
    for _ in range(3):
        keys += [cluster.sbatch("--gres=gpu:1", script=CUDA) for _ in range(8)]
        cluster.wait_started(keys[-1])
        old = cluster.box.hetd_pid()
        cluster.box.kill_hetd()
        cluster.wait(
            "hetd is back",
            lambda o=old: cluster.box.hetd_pid() not in {None, o},  # type: ignore[misc]  # bound now
        )
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    for key in keys:
        record = cluster.wait_state(key, "COMPLETED")
        assert record["Restarts"] == "0"
    assert "does not work, planning goes on without it" in log_of(cluster)
    filler.unlink()
    after = cluster.sbatch("--gres=gpu:1", script=CUDA + SEEN)
    cluster.wait("it is in the journal", lambda: "started" in cluster.outcomes(after))
    assert "started" in cluster.outcomes(before), "what was there before still is"
    assert_whole(journal)


def test_a_log_on_a_full_disk_keeps_no_gate_closed(cluster: Cluster) -> None:
    """Neither hetd nor its supervisor can write a line; hetd is killed, and hangs."""
    log = cluster.box.layout.output_of("supervisor")
    kept, small = log.with_suffix(".kept"), base_of(cluster) / "small" / "supervisor.out"
    cluster.box.stop_hetd()
    log.rename(kept)
    small.write_text("")
    log.symlink_to(small)
    try:
        cluster.box.start_hetd()
        for path in (small.with_name("filler"), small):
            with path.open("ab", buffering=0) as file:
                assert file.write(b"x" * (4 << 20)) < 4 << 20, "it is full now"
        for number in (signal.SIGKILL, signal.SIGSTOP):
            wait_ready(cluster)
            old = cluster.box.hetd_pid()
            with cluster.gate_opens():
                cluster.box.kill_hetd(number)
            cluster.wait("hetd closed it again", lambda: cluster.gate() == "DOWN")
            assert cluster.box.hetd_pid() not in {None, old}
        cluster.wait_started(cluster.sbatch("--gres=gpu:1", script=CUDA))
        cluster.box.stop_hetd()
        assert cluster.gate() == "UP"
    finally:
        cluster.box.stop_hetd()
        small.with_name("filler").unlink(missing_ok=True)
        small.unlink()
        kept.rename(log)
        cluster.box.start_hetd()
        wait_closed(cluster)


def test_killed_amid_its_updates(cluster: Cluster) -> None:
    """Each update takes two seconds; hetd is killed when some are done and some are under way."""
    slow = base_of(cluster) / "slow"
    for _ in range(3):
        slow.touch()
        keys = [cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 0.2") for _ in range(12)]
        cluster.wait("it is planned", lambda k=keys: cluster.planned(k[0]))  # type: ignore[misc]  # bound now
        time.sleep(2.5)
        slow.unlink()
        with cluster.gate_opens():
            cluster.box.kill_hetd()
        for key in keys:
            record = cluster.wait_state(key, "COMPLETED")
            assert record["Restarts"] == "0"
        wait_closed(cluster)
    assert_whole(load_config(cluster.box.config_path).paths.journal)


def test_a_slurm_that_cannot_be_read_opens_the_gate(cluster: Cluster) -> None:
    """squeue fails, scontrol works: nothing can be planned, so plain Slurm schedules."""
    broken = base_of(cluster) / "broken-squeue"
    wait_closed(cluster)
    pid = cluster.box.hetd_pid()
    broken.touch()
    try:
        cluster.wait("the gate is open", lambda: cluster.gate() == "UP", 30)
        cluster.wait_started(cluster.sbatch("--gres=gpu:1", script=CUDA))
    finally:
        broken.unlink()
    cluster.wait("hetd closed it again", lambda: cluster.gate() == "DOWN")
    assert cluster.box.hetd_pid() == pid
    assert "-> open (failing)" in log_of(cluster)


def test_a_reconfigured_slurmctld_opens_the_gate_and_hetd_closes_it(cluster: Cluster) -> None:
    wait_closed(cluster)
    count = log_of(cluster).count("-> closing (up)")
    cluster.ok("scontrol", "reconfigure")
    cluster.wait("hetd found it open", lambda: log_of(cluster).count("-> closing (up)") > count)
    cluster.wait("hetd closed it", lambda: cluster.gate() == "DOWN")
    # Of a job that ends while slurmd reads its configuration again 22.05 hears a minute later.
    cluster.wait_started(cluster.sbatch("--gres=gpu:1", script=CUDA + SEEN))


def freeze(cluster: Cluster) -> Process:
    """Stop slurmctld as if it hung: connections are accepted, nothing is answered."""
    (slurmctld,) = (p for p in cluster.box.daemons() if p.name == "slurmctld")
    slurmctld.signal(signal.SIGSTOP)
    return slurmctld


def test_slurmctld_hangs_amid_updates(cluster: Cluster) -> None:
    """Some updates are done, some under way: Slurm does those when it wakes, and hetd sees it."""
    wait_closed(cluster)
    pid, given_up = cluster.box.hetd_pid(), log_of(cluster).count("cycle given up")
    slow = base_of(cluster) / "slow"
    slow.touch()
    keys = [cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 0.2") for _ in range(12)]
    cluster.wait("it is planned", lambda: cluster.planned(keys[0]))
    time.sleep(2.5)
    slow.unlink()
    slurmctld = freeze(cluster)
    try:
        cluster.wait("hetd notices", lambda: log_of(cluster).count("cycle given up") > given_up)
        time.sleep(5)
    finally:
        slurmctld.signal(signal.SIGCONT)
    for key in keys:
        record = cluster.wait_state(key, "COMPLETED")
        assert record["Restarts"] == "0"
    assert cluster.box.hetd_pid() == pid
    wait_closed(cluster)
    cluster.wait_started(cluster.sbatch("--gres=gpu:1", script=CUDA))


def test_hetd_stops_while_slurmctld_hangs(cluster: Cluster) -> None:
    """Nobody can open the gate then; what was sent opens it when slurmctld wakes."""
    wait_closed(cluster)
    (supervisor,) = (p for p in cluster.box.daemons() if p.name == "supervisor")
    blocker = cluster.sbatch("--gres=gpu:8", "-N2", script=CUDA + "sleep 300")
    cluster.wait_state(blocker, "RUNNING")
    gated = cluster.sbatch("--gres=gpu:8", "-t", "9", script=CUDA)
    slurmctld = freeze(cluster)
    try:
        supervisor.signal(signal.SIGTERM)
        assert wait_gone([supervisor], 40), "it ends all the same"
    finally:
        slurmctld.signal(signal.SIGCONT)
    try:
        cluster.wait("the gate is open", lambda: cluster.gate() == "UP", 30)
        cluster.ok("scancel", blocker)
        cluster.wait_started(gated)
    finally:
        cluster.box.stop_hetd()
        cluster.box.start_hetd()
        wait_closed(cluster)


STEPPED = """
import time
_real = time.time
def _stepped():
    try:
        with open({path!r}) as file:
            return _real() + float(file.read())
    except (OSError, ValueError):
        return _real()
time.time = _stepped
"""


def test_steps_of_hetds_clock(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour back and forth, with a job pinned ahead, and hetd killed in between.

    Slurm's own clock stays: it is the machine's. So hetd's is an hour off Slurm's times as well.
    """
    cluster.open_side_door()
    offset = base_of(cluster) / "offset"
    site = base_of(cluster) / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(STEPPED.format(path=str(offset)))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    cluster.box.stop_hetd()
    cluster.box.start_hetd()
    try:
        for number, seconds in enumerate((-3600, 3600, -86400)):
            wait_closed(cluster)
            pid = cluster.box.hetd_pid()
            blocker = cluster.sbatch("--gres=gpu:8", "-N2", "-t", "9", script=CUDA + "sleep 300")
            cluster.wait_state(blocker, "RUNNING")
            waits = cluster.sbatch("--gres=gpu:8", "-t", "9", script=CUDA)
            cluster.wait("it is pinned ahead", lambda k=waits: "reserved" in cluster.outcomes(k))  # type: ignore[misc]  # bound now
            offset.write_text(str(seconds))
            other = cluster.sbatch("--gres=gpu:2", script="module load rocm\n" + SEEN)
            cluster.wait_started(other)
            cluster.wait("its plan is told", lambda k=other: cluster.planned(k))  # type: ignore[misc]  # bound now
            assert cluster.box.hetd_pid() == pid
            if number == 1:
                with cluster.gate_opens():
                    cluster.box.kill_hetd()
                cluster.wait("hetd is back", lambda: cluster.gate() == "DOWN")
            cluster.ok("scancel", blocker)
            record = cluster.wait_state(waits, "COMPLETED")
            assert record["Restarts"] == "0"
            cluster.wait("hetd answers", lambda: "cycle" in control_status(cluster))
            told = control_status(cluster)["cycle"]["time"] - time.time()
            assert abs(told - seconds) < 60, "hetd's clock was stepped"
            offset.unlink()
    finally:
        monkeypatch.undo()
        cluster.box.stop_hetd()
        cluster.box.start_hetd()
        wait_closed(cluster)
