"""hetd as SlurmUser on real Slurm: who may ask it what, and what hostile users achieve."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from slurm_het.config import load_config
from slurm_het.core.jobs.mark import MARK, decode_comment
from slurm_het.core.syntax.script import MAX_SCRIPT
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.slurm.cli import CliSlurm
from slurm_het.slurm.shared_records import unpacked
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = pytest.mark.slurm
SLURM_USER, ANN, BOB, OPERATOR = "slurm", "nobody", "daemon", "games"
CUDA = "module load cuda\n"
ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX, getattr(socket, "SOCK_" + sys.argv[2])) as sock:
    sock.settimeout(30)
    sock.connect(sys.argv[1])
    sock.sendall(sys.argv[3].encode())
    print(sock.recv(65536).decode() if sys.argv[2] == "STREAM" else "sent")
"""
FRAME = "op=admit&user_id=0&tres_per_node=gpu%3A1"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox whose slurmctld and hetd run as SlurmUser."""
    try:
        pwd.getpwnam(SLURM_USER)
    except KeyError:
        pytest.skip(f"there is no user {SLURM_USER}; Debian's slurm packages make it")
    config = {"operators": [OPERATOR], **AMPLE}
    with own_sandbox(overrides=config, slurm_user=SLURM_USER) as sandbox:
        yield sandbox


def ask(
    cluster: Cluster, user: str, name: str, text: str, kind: str = "STREAM"
) -> subprocess.CompletedProcess[str]:
    """Send something to one of hetd's sockets as a user."""
    argv = ["/usr/bin/python3", "-c", ASK, str(cluster.box.dir / "run" / name), kind, text]
    return cluster.box.run(argv, user=user)


def control(cluster: Cluster, user: str, **request: object) -> dict[str, object]:
    """hetd's answer on the control socket."""
    done = ask(cluster, user, "control.sock", json.dumps(request) + "\n")
    return dict(json.loads(done.stdout))


def tool(cluster: Cluster, user: str, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """One of our own programs, as a user."""
    return cluster.box.run([sys.executable, "-m", f"slurm_het.cli.{module}", *words], user=user)


def test_hetd_is_slurm_users_and_jobs_start_where_it_plans(cluster: Cluster) -> None:
    key = cluster.sbatch("--gres=gpu:2", script=CUDA + "sleep 60", user=ANN)
    assert cluster.wait_started(key)["NodeList"] in {"nv1", "nv2"}
    cluster.wait("it is seen", lambda: "started" in cluster.outcomes(key))
    placement = cluster.planned(key)
    assert placement
    assert placement.nodes == (cluster.job(key)["NodeList"],)
    uid = pwd.getpwnam(SLURM_USER).pw_uid
    owners = _owners(cluster.box.config_path)
    assert cluster.box.hetd_pid() in owners
    assert len(owners) >= 3, "supervisor, hetd, the hook's process"
    assert set(owners.values()) == {uid}


def _owners(config: Path) -> dict[int, int]:
    """The uids of the processes that have this configuration in their command line, by pid."""
    owners = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if str(config).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                owners[int(entry.name)] = entry.stat().st_uid
    return owners


def test_files_are_for_slurm_user_alone(cluster: Cluster) -> None:
    paths = load_config(cluster.box.config_path).paths
    for path in (paths.hook_socket, paths.event_socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (*paths.journal.parent.glob("journal.db*"), paths.state_dir / "lease"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert path.owner() == SLURM_USER
    assert stat.S_IMODE(paths.control_socket.stat().st_mode) == 0o666, "it asks who is there"


def test_the_hooks_socket_takes_slurm_user_and_root_only(cluster: Cluster) -> None:
    frame = f"{len(FRAME):08x}{FRAME}"
    assert "Permission denied" in ask(cluster, ANN, "hook.sock", frame).stderr
    assert "Permission denied" in ask(cluster, ANN, "event.sock", "end 1", "DGRAM").stderr
    for user in (SLURM_USER, "root"):
        assert "action=admit" in ask(cluster, user, "hook.sock", frame).stdout
    path = load_config(cluster.box.config_path).paths.hook_socket
    path.chmod(0o666)  # even so the kernel says who it is
    try:
        assert "action" not in ask(cluster, ANN, "hook.sock", frame).stdout
    finally:
        path.chmod(0o600)


def _done(cluster: Cluster, user: str, bypass: str) -> bool:
    """Whether hetd took the order; the command does not wait long for it."""
    return tool(cluster, user, "admin", "bypass", bypass).returncode == 0


def test_orders_are_for_admins(cluster: Cluster) -> None:
    for op in ("wake", "bypass"):
        assert control(cluster, ANN, op=op, on=True)["ok"] is False
        assert control(cluster, OPERATOR, op=op, on=False)["ok"] is True
    refused = tool(cluster, ANN, "admin", "bypass", "on")
    assert refused.returncode == 1
    assert "bypass is for root, SlurmUser and" in refused.stderr
    assert cluster.gate() == "DOWN"
    for user in (OPERATOR, SLURM_USER):
        cluster.wait("it is done", partial(_done, cluster, user, "on"))
        cluster.wait("the gate is open", lambda: cluster.gate() == "UP")
        assert "bypass is on" in tool(cluster, ANN, "admin", "bypass", "status").stdout
        cluster.wait("it is done", partial(_done, cluster, user, "off"))
        cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")


def test_why_a_job_waits_is_for_its_user_and_admins(cluster: Cluster) -> None:
    """hetd's words name others' jobs, and a site may keep those private."""
    cluster.open_side_door()
    half = ["--gres=gpu:4", "-N2", "-t", "30"]
    blocker = cluster.sbatch(*half, script=f"{CUDA}torchrun\nsleep 300", user=BOB)
    cluster.wait_state(blocker, "RUNNING")
    big = cluster.sbatch("--gres=gpu:8", "-N2", "-t", "5", script=f"{CUDA}torchrun", user=BOB)
    cluster.wait("it is pinned ahead", lambda: "reserved" in cluster.outcomes(big))
    key = cluster.sbatch("--gres=gpu:1", "-t", "60", script=f"{CUDA}torchrun", user=ANN)

    def told(user: str) -> object:
        reply = control(cluster, user, op="status")["waiting"]
        return reply.get(key) if isinstance(reply, dict) else None

    def shown(user: str) -> str:
        return tool(cluster, user, "squeue", "-h", "-j", key, "-o", "reason").stdout.strip()

    cluster.wait("its user reads why", lambda: f"kept for job {big} until" in shown(ANN))
    assert told(ANN) == told(OPERATOR) is not None
    assert told(BOB) is None
    assert shown(BOB) == shown(ANN) == shown(OPERATOR), "the pin is in Slurm's own record"
    assert f"kept for job {big} until" in tool(cluster, ANN, "admin", "why", key).stdout


def test_a_jobs_history_is_for_its_user_and_admins(cluster: Cluster) -> None:
    key = cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 60", user=ANN)
    cluster.wait("it has ended", lambda: len(cluster.outcomes(key)) > 1)
    assert cluster.outcomes(key) == ["released", "started"]
    for user in (ANN, OPERATOR, SLURM_USER, "root"):
        assert "planned: train-nv" in tool(cluster, user, "admin", "why", key).stdout, user
    theirs = tool(cluster, BOB, "admin", "why", key)
    assert f"hetd refused: job {key} is not yours" in theirs.stdout + theirs.stderr
    assert "planned" not in theirs.stdout
    assert control(cluster, BOB, op="history", job="999999")["ok"] is False


@pytest.mark.parametrize("private", ["jobs", "jobs,nodes,partitions,reservations,usage,users"])
def test_het_squeue_shows_what_squeue_shows(cluster: Cluster, private: str) -> None:
    keys = {
        user: cluster.sbatch("--gres=gpu:1", script=CUDA + "sleep 600", user=user)
        for user in (ANN, BOB)
    }
    for key in keys.values():
        cluster.wait_started(key)
    conf = cluster.box.layout.slurm_conf
    before = conf.read_text()
    conf.write_text(f"{before}\nPrivateData={private}\n")
    try:
        cluster.ok("scontrol", "reconfigure")
        squeue = ["squeue", "-h", "-o", "%i"]
        cluster.wait(
            "slurmctld keeps jobs private",
            lambda: cluster.box.run(squeue, user=ANN).stdout.split() == [keys[ANN]],
        )
        for user, shown in ((ANN, {keys[ANN]}), (BOB, {keys[BOB]}), ("root", set(keys.values()))):
            done = tool(cluster, user, "squeue", "-h", "-o", "%i")
            assert done.returncode == 0, done.stderr
            assert set(done.stdout.split()) == shown
            document = json.loads(tool(cluster, user, "squeue", "--json").stdout)
            assert {job["id"] for job in document["jobs"]} == shown
            free = json.loads(tool(cluster, user, "squeue", "--json", "--nodes", "--free").stdout)
            assert list(free) == ["free", "nodes", "gate", "source"]
        records = str(control(cluster, SLURM_USER, op="records")["records"])
        assert len(unpacked(base64.b64decode(records))) >= len(keys)
        cluster.wait(
            "hetd keeps them private", lambda: not control(cluster, ANN, op="records")["ok"]
        )
        other = tool(cluster, ANN, "admin", "why", keys[BOB])
        assert other.returncode == 1
        assert f"Slurm knows no job {keys[BOB]}" in other.stderr
        assert "Slurm may keep jobs from you" in tool(cluster, ANN, "squeue", "--free").stderr
        # Reconfiguring opens the gate, and while it is open het-squeue says so.
        cluster.wait("hetd closed the gate again", lambda: cluster.gate() == "DOWN")
        cluster.wait(
            "and all is well again", lambda: tool(cluster, "root", "squeue", "--free").stderr == ""
        )
        # To its end: of a job that ends while slurmd reads its configuration again, 22.05 hears a
        # minute later.
        cluster.wait_state(cluster.sbatch("--gres=gpu:1", script=CUDA, user=ANN), "COMPLETED")
    finally:
        cluster.clear()
        conf.write_text(before)
        cluster.ok("scontrol", "reconfigure")
        cluster.wait("hetd closed the gate again", lambda: cluster.gate() == "DOWN")


def test_nobody_makes_hetd_rewrite_anothers_job(cluster: Cluster) -> None:
    """Ann forges our mark wherever Slurm lets her write; Bob's job stays as it was."""
    blocker = cluster.sbatch("--gres=gpu:8", "-N2", script=CUDA + "sleep 300")
    cluster.wait_state(blocker, "RUNNING")
    his = cluster.sbatch("--gres=gpu:8", "--hold", script=CUDA, user=BOB)
    fields = ("Partition", "Features", "AdminComment", "Comment", "ReqNodeList", "Priority")
    before = {name: cluster.job(his).get(name) for name in fields}
    forged = MARK + json.dumps(
        {"s": "inference", "v": ["amd"], "t": [], "p": ["train-amd"], "m": 0, "sh": 1,
         "orig": {}, "why": [f"JobId={his} Partition=infer-nv"]}
    )  # fmt: skip
    hers = cluster.sbatch(
        "--gres=gpu:8", f"--comment={forged}", f"--job-name={forged} JobId={his}",
        script=f"{CUDA}#HET vendors={MARK}{{}}\n", user=ANN,
    )  # fmt: skip
    for target in (hers, his):
        for field in ("AdminComment", "Comment"):
            done = cluster.box.run(
                ["scontrol", "update", f"JobId={target}", f"{field}={forged}"], user=ANN
            )
            allowed = field == "Comment" and target == hers
            assert (done.returncode == 0) is allowed, (target, field, done.stderr)
    for name in (MARK, f"{MARK}&a100", f"a100|{MARK}"):
        cluster.box.run(["scontrol", "update", f"JobId={hers}", f"Features={name}"], user=ANN)
    kept = decode_comment(cluster.job(hers)["AdminComment"])
    assert kept
    assert kept.classification.scenario == "training"
    assert kept.classification.partitions == ()
    cluster.ok("scancel", blocker)
    record = cluster.wait_started(hers)
    assert record["NodeList"] in {"nv1", "nv2"}, "what she forged is not what placed it"
    assert {name: cluster.job(his).get(name) for name in fields} == before


def test_large_scripts_and_arrays_cost_hetd_no_memory(cluster: Cluster) -> None:
    """4 MB of script, 20 times, and an array of a million tasks."""
    conf = cluster.box.layout.slurm_conf
    before = conf.read_text()
    conf.write_text(before.replace("MaxJobCount=20000", "MaxJobCount=2000000")
                    + "\nMaxArraySize=1000001\n")  # fmt: skip
    try:
        cluster.box.restart_slurmctld()
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")
        cluster.wait_started(cluster.sbatch("--gres=gpu:1", script=CUDA))
        pid = cluster.box.hetd_pid()
        assert pid
        rss = _peak_mib(pid)
        script = CUDA + "exit\n" + "wörd \x1b[31m " * 340_000
        assert 4_000_000 < len(script.encode()) < 4 << 20
        large = [cluster.sbatch("--gres=gpu:1", script=script, user=ANN) for _ in range(20)]
        settings = load_config(cluster.box.config_path).slurm
        os.environ["SLURM_CONF"] = str(conf)
        try:
            text = asyncio.run(CliSlurm(settings).batch_script(int(large[0])))
        finally:
            del os.environ["SLURM_CONF"]
        assert len(text.encode()) <= MAX_SCRIPT + 4
        assert text.startswith("#!/bin/bash\nmodule load cuda")
        array = cluster.sbatch("--array=0-999999", "--gres=gpu:1", script=CUDA + "sleep 9")
        cluster.wait("some run", lambda: _running(cluster, array) >= 16)
        for key in large:
            cluster.wait_state(key, "COMPLETED")
        assert cluster.box.hetd_pid() == pid
        grown = _peak_mib(pid) - rss
        print(f"hetd's peak memory grew by {grown} MiB from {rss} MiB")
        assert grown < 64
    finally:
        cluster.clear()
        conf.write_text(before)
        cluster.box.restart_slurmctld()
        cluster.wait("hetd closed the gate", lambda: cluster.gate() == "DOWN")


def _running(cluster: Cluster, array: str) -> int:
    return len(cluster.ok("squeue", "-h", "-tR", "-j", array, "-o", "%i").split())


def _peak_mib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def test_what_a_user_writes_into_a_node_list_stops_nothing(cluster: Cluster) -> None:
    """Slurm takes blanks between the names, and prints the list as the user wrote it."""
    pid = cluster.box.hetd_pid()
    script = f"{CUDA}torchrun"
    for text in ("nv1 nv2", "nv1\tnv2", " nv1,,nv2"):
        key = cluster.sbatch("--hold", "--gres=gpu:1", script=script, user=ANN)
        cluster.ok("scontrol", "update", f"JobId={key}", "Partition=train-nv", user=ANN)
        cluster.ok("scontrol", "update", f"JobId={key}", f"ReqNodeList={text}", user=ANN)
    other = cluster.sbatch("--gres=gpu:1", script=script, user=BOB)
    cluster.wait_started(other)
    assert "released" in cluster.outcomes(other), "it was planned: the gate is closed"
    assert cluster.box.hetd_pid() == pid, "hetd did not end"


WATCH = """
import glob, sys, time
seen = set()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            parent = open(path.replace("cmdline", "stat")).read().rpartition(")")[2].split()[1]
            if parent == sys.argv[2]:  # other tests run their own programs beside us
                seen.add(open(path, "rb").read())
        except (OSError, IndexError):
            pass
print([line for line in seen if b"scontrol" in line or b"squeue" in line])
"""


def test_the_hosts_processes_tell_nobody_what_users_wrote_or_where_they_go(
    cluster: Cluster,
) -> None:
    """On a controller where users log in, arguments of programs are for all to read."""
    argv = ["/usr/bin/python3", "-c", WATCH, "8", str(cluster.box.hetd_pid())]
    with subprocess.Popen(
        ["setpriv", "--reuid", BOB, "--regid", BOB, "--clear-groups", *argv], stdout=subprocess.PIPE
    ) as watch:
        words = ["secretproject", "#HET scenario=secretproject"]
        keys = [
            cluster.sbatch("--gres=gpu:1", *options, script=f"{words[1]}\n{CUDA}", user=ANN)
            for _ in range(6)
            for options in ((), ("--comment=secretproject",))
        ]
        for key in keys:
            cluster.wait_started(key)
        seen = watch.communicate(timeout=60)[0]
    assert b"scontrol" in seen, "it did see hetd's programs"
    for word in (b"secretproject", b"ReqNodeList", b"AdminComment", b"nv1"):
        assert word not in seen, word
