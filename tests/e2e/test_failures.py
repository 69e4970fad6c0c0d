"""End to end on real Slurm: the daemon dies, hangs, lies; the gate opens; nothing is lost."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.versions import parse_version
from tests.support.cluster import Cluster, own_sandbox

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox of its own, for its daemon is killed. No reservations: what is blocked is gated."""
    with own_sandbox(overrides={"planner": {"reservations": 0}}) as sandbox:
        yield sandbox


def _fill(cluster: Cluster) -> str:
    """Fill both NVIDIA training nodes."""
    key = cluster.sbatch("--gres=gpu:8", "-N2", script="module load cuda\nsleep 300")
    cluster.wait_state(key, "RUNNING")
    return key


def test_kill_9_with_jobs_gated(cluster: Cluster) -> None:
    """The supervisor opens the gate, gated jobs start natively, a new hetd touches none of them."""
    blocker = _fill(cluster)
    gated = [cluster.sbatch("--gres=gpu:8", script="module load cuda\nsleep 30") for _ in range(2)]
    cluster.wait("gated", lambda: cluster.job(gated[1]).get("Reason") == "PartitionDown")
    cluster.tool("admin", "bypass", "on")
    cluster.box.kill_hetd()
    cluster.wait("the gate is open", lambda: cluster.gate() == "UP", 30)
    cluster.ok("scancel", blocker)
    for key in gated:
        record = cluster.wait_state(key, "RUNNING", seconds=30)
        assert record["Partition"] == "accel", "plain Slurm started it from the intake"
        assert record["NodeList"] in {"nv1", "nv2"}, "its Features keep it to NVIDIA's training"
    cluster.wait("hetd is back", lambda: cluster.box.hetd_pid())
    cluster.tool("admin", "bypass", "off")
    cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
    starts = {key: cluster.job(key)["StartTime"] for key in gated}
    for key in gated:
        cluster.wait_state(key, "COMPLETED")
        assert cluster.job(key)["StartTime"] == starts[key]
        assert cluster.job(key)["Restarts"] == "0"


def test_supervisor_opens_the_gate_by_itself(cluster: Cluster) -> None:
    began = time.monotonic()
    with cluster.gate_opens():
        cluster.box.kill_hetd()
    assert time.monotonic() - began < 10
    cluster.wait("hetd closed it again", lambda: cluster.gate() == "DOWN")
    cluster.wait_started(cluster.sbatch("--gres=gpu:1", script="module load cuda"))


def test_what_came_while_nobody_was_asked_is_spread_as_well(cluster: Cluster) -> None:
    """Without the hook's Features Slurm counts its nodes by the largest of the intake, an AMD one;
    of NVIDIA's two must serve it."""
    cluster.box.stop_hetd()
    try:
        cluster.ok("scontrol", "update", "PartitionName=accel", "State=DOWN")
        options = ["-p", "accel", "--gpus=4", "--mem-per-gpu=150G"]
        key = cluster.sbatch(*options, script="module load cuda\nsleep 60")
        assert cluster.job(key)["NumNodes"].split("-")[0] == "1"
    finally:
        cluster.box.start_hetd()
    assert cluster.wait_state(key, "RUNNING")["NodeList"] == "nv[1-2]"
    assert cluster.planned(key)
    cluster.ok("scontrol", "requeue", key)
    cluster.wait("it is back", lambda: cluster.job(key)["Partition"] == "accel", 20, job=key)
    # Whether one node would do is open again. (22.05 shows as many as it had.)
    old = parse_version(cluster.ok("scontrol", "--version")).tuple < (23, 11)
    assert old or cluster.job(key)["NumNodes"] == "1-2"
    time.sleep(2)  # slurmd refuses what starts in the second of the requeue: "credential revoked"
    cluster.ok("scontrol", "update", f"JobId={key}", "StartTime=now")
    assert cluster.wait_state(key, "RUNNING")["NodeList"] == "nv[1-2]"


def test_slurmctld_restart_opens_the_gate_and_hetd_closes_it(cluster: Cluster) -> None:
    blocker = _fill(cluster)
    key = cluster.sbatch("--gres=gpu:8", script="module load cuda")
    cluster.wait("gated", lambda: cluster.job(key).get("Reason") == "PartitionDown")
    cluster.box.restart_slurmctld()
    cluster.wait("hetd closed it again", lambda: cluster.gate() == "DOWN")
    cluster.ok("scancel", blocker)
    cluster.wait_started(key)


def test_devices_that_a_restarted_slurmctld_lost_are_found_again(cluster: Cluster) -> None:
    """On 22.05 plain Slurm starts a job without its devices on a node that has not registered
    since, and takes them for used when it has: without hetd, nothing would start there."""
    forgets = parse_version(cluster.ok("scontrol", "--version")).forgets_devices
    few = ("--gres=gpu:2", "-p", "train-amd", "-w", "amd2")
    for _ in range(4):  # until it happens between the restart and the node's registration
        cluster.tool("admin", "bypass", "on")
        try:
            cluster.wait("the gate is open", lambda: cluster.gate() == "UP")
            first = cluster.sbatch(*few, script="sleep 300")
            cluster.wait_state(first, "RUNNING")
            second = cluster.sbatch("-H", *few, script="sleep 300")
            cluster.box.restart_slurmctld()
            cluster.ok("scontrol", "release", second)
            # By its end Slurm looks at the node again, before that has registered.
            cluster.ok("scancel", first)
            detail = cluster.wait_state(second, "RUNNING").get("GRES", "")
        finally:
            cluster.tool("admin", "bypass", "off")
        cluster.wait("hetd closed it again", lambda: cluster.gate() == "DOWN")
        cluster.ok("scancel", second)
        for key in (first, second):
            cluster.wait_state(key, "CANCELLED")
        if not forgets or ":0(" in detail:
            break
    else:
        pytest.fail("no job was started without its devices; does this Slurm remember them?")
    key = cluster.sbatch("--gres=gpu:8", "-p", "train-amd", "-x", "amd1", script="sleep 60")
    assert cluster.wait_state(key, "RUNNING")["GRES"] == "gpu:mi300x:8(IDX:0-7)"


def test_nobody_is_pinned_to_nodes_that_a_reservation_has_taken(cluster: Cluster) -> None:
    """Or whoever is, since hetd looked before, comes back; once it is over the job starts."""
    cluster.ok(
        "scontrol", "create", "reservation", "ReservationName=keep", "Nodes=dcu[1-2]",
        "StartTime=now", "Duration=60", "Users=daemon", "Flags=IGNORE_JOBS",
    )  # fmt: skip
    try:
        key = cluster.sbatch("--gres=gpu:1", "-p", "train-dcu", script="sleep 1")
        seen = ("returned", "reserved (keep)", "reservation keep")
        cluster.wait(
            "it came back, or was not pinned",
            lambda: any(word in cluster.tool("admin", "why", key) for word in seen),
        )
        assert "PENDING" in cluster.job(key)["JobState"]
    finally:
        cluster.ok("scontrol", "delete", "ReservationName=keep")
    cluster.wait_started(key)


def test_job_cancelled_or_held_in_the_gate(cluster: Cluster) -> None:
    blocker = _fill(cluster)
    held = cluster.sbatch("--gres=gpu:8", script="module load cuda")
    cancelled = cluster.sbatch("--gres=gpu:8", script="module load cuda")
    after = cluster.sbatch("--gres=gpu:8", f"-dafterany:{blocker}", script="module load cuda")
    cluster.wait("gated", lambda: cluster.job(cancelled).get("Reason") == "PartitionDown")
    cluster.ok("scontrol", "hold", held)
    cluster.ok("scancel", cancelled)
    later = cluster.sbatch("--gres=gpu:8", "--begin=now+20", script="module load rocm")
    time.sleep(3)
    assert cluster.planned(after) is None, "its dependency is open, whatever the Reason says"
    assert cluster.planned(later) is None
    cluster.ok("scancel", blocker)
    cluster.wait_started(after)
    assert cluster.job(cancelled)["JobState"] == "CANCELLED"
    assert cluster.job(held)["Reason"] == "JobHeldAdmin"
    cluster.ok("scontrol", "release", held)
    cluster.wait_started(held)
    cluster.wait_started(later)


# --- the hook against a daemon that misbehaves ---


class Impostor:
    """Listens where hetd should, and does as told with each connection."""

    def __init__(self, path: Path, behaviour: str) -> None:
        self.behaviour = behaviour
        path.unlink(missing_ok=True)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(str(path))
        self.sock.listen(64)
        self.open: list[socket.socket] = []
        if behaviour != "never accepts":
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.sock.accept()
                self.open.append(peer)
                if self.behaviour == "garbage":
                    peer.sendall(b"\xff\x00 not a frame at all" * 10)
                elif self.behaviour == "wrong reply":
                    body = b"action=admit&partition=no-such&features=%27%3B+drop"
                    peer.sendall(b"%08x%s" % (len(body), body))
                elif self.behaviour == "closes":
                    peer.close()

    def close(self) -> None:
        self.sock.close()
        for peer in self.open:
            peer.close()


# Each but the first on one version: what stands before such a daemon is the hook, the same on all.
TURNS = {
    "never accepts": "22.05",
    "never answers": "26.05",
    "garbage": "24.11",
    "wrong reply": "26.05",
    "closes": "22.05",
}


@pytest.mark.parametrize(
    "behaviour",
    ["absent", *(pytest.param(b, marks=pytest.mark.in_turn(on)) for b, on in TURNS.items())],
)
def test_job_is_accepted_as_written_whatever_the_daemon_does(
    cluster: Cluster, behaviour: str
) -> None:
    cluster.tool("admin", "bypass", "on")
    cluster.box.stop_hetd()
    path = cluster.box.dir / "run" / "hook.sock"
    impostor = None if behaviour == "absent" else Impostor(path, behaviour)
    try:
        before = len(cluster.hook_log())
        time.sleep(10.2 if _breaker_open(cluster) else 0)
        key = cluster.sbatch("--gres=gpu:a100:1", "-p", "train-nv", script="sleep 1")
        record = cluster.job(key)
        assert record["Partition"] == "train-nv"
        assert record["TresPerNode"].endswith("gpu:a100:1")
        assert record["Features"] == "(null)"
        line = cluster.hook_log()[before]
        assert "fail" in line
        micros = cluster.hook_micros([line])
        assert micros, line
        assert micros[0] < 1e6, "its deadline is 50 ms, and this machine may be late"
        bare = cluster.sbatch("--gres=gpu:a100:1", script="sleep 1")
        assert cluster.job(bare)["Partition"] == "accel", "named no partition: the intake"
        cluster.wait_started(key)
        cluster.wait_started(bare)
    finally:
        if impostor:
            impostor.close()
        path.unlink(missing_ok=True)
        cluster.box.start_hetd()
        cluster.tool("admin", "bypass", "off")
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")


def _breaker_open(cluster: Cluster) -> bool:
    lines = cluster.hook_log()
    return bool(lines) and "fail" in "".join(lines[-2:])


def test_malformed_input_to_the_socket(cluster: Cluster) -> None:
    """Garbage to every socket; the daemon lives and serves the next job."""
    pid = cluster.box.hetd_pid()
    run = cluster.box.dir / "run"
    for payload in (
        b"", b"zzzzzzzz", b"ffffffff" + b"A" * 100, b"00000004%zz=", b"00000000", b"-0000001",
        b"0000000aop=admit&x", b"\x00" * 70000, b'{"op": ' * 1000 + b"\n", b"[" * 60000 + b"\n",
    ):  # fmt: skip
        for name in ("hook.sock", "control.sock"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(3)
                sock.connect(str(run / name))
                with contextlib.suppress(OSError):
                    sock.sendall(payload)
                    sock.shutdown(socket.SHUT_WR)
                    sock.recv(65536)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(payload[:1000], str(run / "event.sock"))
    assert cluster.box.hetd_pid() == pid
    key = cluster.sbatch("--gres=gpu:1", script="module load cuda")
    cluster.wait_started(key)
    assert cluster.planned(key)
