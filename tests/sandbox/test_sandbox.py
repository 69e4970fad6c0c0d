"""The sandbox: a real Slurm on this machine, and the supervisor beside it."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from slurm_het.cli.sandbox import sandbox as cli
from slurm_het.errors import HetError
from slurm_het.sandbox import procs
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import APT_LINE, checked_dir
from slurm_het.sandbox.procs import Process
from slurm_het.sandbox.render import deep_merge
from slurm_het.sandbox.topology import DEFAULT_TOPOLOGY, load_topology
from tests.support.cluster import cannot_run_slurm, own_sandbox

WHY = cannot_run_slurm()
needs_slurm = pytest.mark.skipif(bool(WHY), reason=WHY)

SMALL = """
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 80,
   cpus: 8, memory_gib: 64, pool: train-nv, scenario: training}
- {name: c1, cpus: 4, memory_gib: 16, pool: cpu}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Sandbox]:
    """The default topology as plain Slurm."""
    with own_sandbox(hetd=False, hook=False) as running:
        yield running


def eventually(check: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def gate(cluster: Sandbox) -> str:
    return cluster.run(["sinfo", "-h", "-p", "accel", "-o", "%a"]).stdout.strip()


def mentions(directory: Path) -> list[str]:
    """Command lines of live processes whose arguments or environment name the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if str(directory).encode() in text:
            found.append(text.decode(errors="replace")[:200])
    return found


# Without Slurm -----------------------------------------------------------------------------------


def test_a_known_type_needs_neither_vendor_nor_memory(tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    common = "cpus: 8, memory_gib: 64, devices: 2, pool: p, scenario: training"
    path.write_text(
        f"- {{name: a1, type: 910c, {common}}}\n"
        f"- {{name: b1, type: a100_0, memory_gib_per_device: 80, {common}}}\n"
    )
    ascend, own = load_topology(path).groups
    assert (ascend.vendor, ascend.memory_gib_per_device) == ("ascend", 64)
    assert (own.vendor, own.memory_gib_per_device) == ("nvidia", 80)
    path.write_text(f"- {{name: c1, type: q9, {common}}}\n")
    with pytest.raises(HetError, match="devices need vendor"):
        load_topology(path)


def test_the_default_topology() -> None:
    topology = load_topology(DEFAULT_TOPOLOGY)
    assert len([node for group in topology.accelerator_groups for node in group.nodes]) == 14
    assert {group.vendor for group in topology.accelerator_groups} == {
        "nvidia", "amd", "ascend", "cambricon", "hygon",
    }  # fmt: skip
    groups = {group.name: group for group in topology.groups}
    assert groups["l40s[1-2]"].gres == "gpu:l40s:4,shard:192"
    assert groups["nv[1-2]"].features == "a100,nvidia,training,train-nv"
    assert topology.cpu_partitions() == ["cpu"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("devices: 2", "devices: two", "Expected `int`, got `str` - at `$[0].devices`"),
        ("type: a100, ", "", "group a[1-2]: devices need type"),
        ("vendor:", "vender:", "unknown field `vender` - at `$[0]`"),
        ("name: c1", "name: a2", "node a2 is in two groups"),
        ("scenario: training", "scenario: train", "Invalid enum value 'train'"),
        ("pool: cpu", "pool: accel", "pool 'accel' is empty or reserved"),
        ("name: c1", 'name: "c["', "not a host list"),
        ("- {name: c1", "- {name: [c1", "topology"),
    ],
)
def test_a_bad_topology_is_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(HetError) as caught:
        load_topology(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_directories_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HetError, match="too long for Unix sockets"):
        checked_dir(tmp_path / ("x" * 90))
    with pytest.raises(HetError, match="cannot name this directory"):
        checked_dir(Path("/tmp/a b"))


def test_overrides_are_merged_mapping_by_mapping() -> None:
    base: dict[str, Any] = {"planner": {"gap": 1, "poll_seconds": 5}, "gres": {"gpu": {}}}
    merged = deep_merge(base, {"planner": {"gap": 2}, "gres": 3})
    assert merged == {"planner": {"gap": 2, "poll_seconds": 5}, "gres": 3}
    assert base["planner"]["gap"] == 1


def test_a_recycled_pid_is_not_ours() -> None:
    child = subprocess.Popen(["sleep", "60"])
    start = procs.start_time(child.pid)
    other = Process("sleep", child.pid, start - 1)
    other.signal(signal.SIGKILL)
    assert not other.alive
    assert child.poll() is None
    procs.end([Process("sleep", child.pid, start)], 2.0)
    assert procs.start_time(child.pid) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_up_without_root_says_what_to_do() -> None:
    # Imported before the change of user: nobody need not be able to read this checkout.
    uid = pwd.getpwnam("nobody").pw_uid
    code = f"import os; from slurm_het.cli.sandbox import sandbox as s; os.setuid({uid}); s(['up'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "needs root" in done.stderr
    assert "sudo slurm-het sandbox up" in done.stderr


def test_without_a_sandbox_the_commands_say_so(short_path: Path) -> None:
    where = str(short_path / "none")
    for command in (["run", "--dir", where, "--", "true"], ["status", "--dir", where]):
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 1
        assert f"slurm-het sandbox up --dir {where}" in result.output


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, short_path: Path) -> None:
    monkeypatch.setattr("slurm_het.sandbox.layout.search_path", lambda: "/nonexistent")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    result = CliRunner().invoke(cli, ["up", "--dir", str(short_path / "s")])
    assert result.exit_code == 1
    assert APT_LINE in result.output


# With a real Slurm -------------------------------------------------------------------------------


@pytest.mark.slurm
@needs_slurm
def test_nodes_gres_shards_and_partitions(cluster: Sandbox) -> None:
    listed = cluster.run(["sinfo", "-h", "-N", "-p", "accel,cpu", "-o", "%N %T %G %f"]).stdout
    nodes = {line.split()[0]: line.split()[1:] for line in listed.splitlines()}
    assert len(nodes) == 15
    assert nodes["nv1"] == ["idle", "gpu:a100:8", "a100,nvidia,training,train-nv"]
    assert nodes["asc2"][1] == "gpu:910b:8"
    assert nodes["mlu1"][1].startswith("gpu:mlu370:4,shard:")
    assert nodes["mlu1"][1].endswith(":192")
    assert nodes["cpu1"][1] == "(null)"
    partitions = cluster.run(["sinfo", "-h", "-o", "%P"]).stdout.split()
    assert {"accel", "train-nv", "infer-mlu", "cpu*"} < set(partitions)


@pytest.mark.slurm
@needs_slurm
def test_a_native_job_sees_its_devices_and_the_stand_ins(cluster: Sandbox) -> None:
    script = "module load cann; STANDIN_SECONDS=0 torchrun train.py"
    for partition, user, expected in (
        ("train-nv", None, "CUDA_VISIBLE_DEVICES=0"),
        ("train-ascend", "nobody", "ASCEND_RT_VISIBLE_DEVICES=0"),
    ):
        argv = [
            "sbatch",
            "-W",
            "--export=NIL",
            "--gres=gpu:1",
            "-p",
            partition,
        ]  # not NONE: needs no login
        output = cluster.layout.work / f"{partition}.out"
        done = cluster.run([*argv, "-o", str(output), "--wrap", script], user=user)
        assert done.returncode == 0, done.stderr
        text = output.read_text()
        assert "torchrun train.py" in text
        assert expected in text.splitlines()
        variables = {line for line in text.splitlines() if "VISIBLE_DEVICES=" in line}
        assert variables == {expected}


@pytest.mark.slurm
@needs_slurm
def test_shards_are_granted(cluster: Sandbox) -> None:
    argv = ["srun", "-p", "infer-nv", "--gres=shard:30", "printenv", "SLURM_SHARDS_ON_NODE"]
    assert cluster.run(argv).stdout.strip() == "30"


@pytest.mark.slurm
@needs_slurm
def test_up_refuses_a_running_sandbox_and_run_passes_the_exit_code(cluster: Sandbox) -> None:
    where = str(cluster.dir)
    again = CliRunner().invoke(cli, ["up", "--dir", where, "--no-hetd", "--no-hook"])
    assert again.exit_code == 1
    assert f"slurm-het sandbox down --dir {where}" in again.output
    assert CliRunner().invoke(cli, ["run", "--dir", where, "sh", "-c", "exit 7"]).exit_code == 7
    status = CliRunner().invoke(cli, ["status", "--dir", where])
    assert status.exit_code == 0
    assert "slurmd-nv1" in status.output
    assert "slurmdbd" not in status.output


@pytest.mark.slurm
@needs_slurm
def test_two_side_by_side_and_down_leaves_nothing(short_path: Path, small: Path) -> None:
    with (
        Sandbox.up(short_path / "one", small, hetd=False, hook=False) as one,
        Sandbox.up(short_path / "two", small, hetd=False, hook=False) as two,
    ):
        job = ["sbatch", "--gres=gpu:1", "-p", "train-nv", "-o", "/dev/null", "--wrap", "sleep 77"]
        two.run(job, check=True)
        eventually(lambda: two.run(["squeue", "-h", "-t", "R"]).stdout)
        assert one.run(["squeue", "-h"]).stdout == ""
        assert mentions(two.dir)
        two.down()
        two.down()
        assert not two.dir.exists()
        assert mentions(two.dir) == []
        assert " is UP" in one.run(["scontrol", "ping"]).stdout
    assert mentions(short_path) == []


@pytest.mark.slurm
@needs_slurm
def test_a_dead_leftover_is_cleaned_and_foreign_files_are_kept(
    short_path: Path, small: Path
) -> None:
    first = Sandbox.up(short_path / "s", small, hetd=False, hook=False)
    procs.end(first.daemons(), 0.0, signal.SIGKILL)
    said: list[str] = []
    with Sandbox.up(first.dir, small, hetd=False, hook=False, say=said.append):
        assert any("leftovers" in line for line in said)
    (short_path / "mine").mkdir()
    (short_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(HetError, match="other files"):
        Sandbox.up(short_path / "mine", small, hetd=False, hook=False)
    Sandbox(short_path / "mine").down()
    assert (short_path / "mine" / "thesis.txt").exists()


@pytest.mark.slurm
@needs_slurm
def test_a_failed_up_shows_the_log_and_cleans_up(
    short_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_het.sandbox.render.SCHEDULER_PARAMETERS", "x\nNoSuchKey=1")
    with pytest.raises(HetError, match="NoSuchKey"):
        Sandbox.up(short_path / "s", small, hetd=False, hook=False)
    assert not (short_path / "s").exists()
    assert mentions(short_path) == []


@pytest.mark.slurm
@needs_slurm
def test_hetd_is_killed_and_comes_back(short_path: Path, small: Path) -> None:
    with Sandbox.up(short_path / "s", small, overrides={"planner": {"poll_seconds": 1}}) as cluster:
        assert "poll_seconds: 1" in cluster.config_path.read_text()
        eventually(lambda: gate(cluster) == "down")
        before = cluster.hetd_pid()
        cluster.kill_hetd()
        log = cluster.layout.output_of("supervisor")
        eventually(lambda: "opened the gate" in log.read_text())
        eventually(lambda: cluster.hetd_pid() not in (None, before) and gate(cluster) == "down")
        cluster.restart_slurmctld()
        eventually(lambda: gate(cluster) == "down")
        cluster.stop_hetd()
        assert cluster.hetd_pid() is None
        assert gate(cluster) == "up"
    assert mentions(short_path) == []


CHILD = textwrap.dedent(
    """
    import os, signal, socket, subprocess, sys, time
    from pathlib import Path
    from slurm_het.opener import Holds
    Holds(Path(os.environ["NOTIFY_SOCKET"]).parent).write("accel")
    subprocess.run(["scontrol", "update", "PartitionName=accel", "State=DOWN"], check=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    beats = int(sys.argv[1])
    for _ in range(beats):
        time.sleep(0.3)
        notify.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
    print("all beats sent", file=sys.stderr, flush=True)
    if sys.argv[2] == "hang":
        time.sleep(600)
    """
)


@pytest.mark.slurm
@needs_slurm
@pytest.mark.parametrize(
    ("ending", "logged"), [("exit", "ended with status 0"), ("hang", "missed its watchdog")]
)
def test_the_gate_opens_when_the_child_fails(cluster: Sandbox, ending: str, logged: str) -> None:
    command = [sys.executable, "-m", "slurm_het.supervise", "--config", str(cluster.config_path)]
    command += ["--restart-seconds", "60", "--watchdog-seconds", "5", "--"]
    command += [sys.executable, "-c", CHILD, "24", ending]
    log = cluster.layout.log / "test-supervise.out"
    with log.open("w") as output:
        supervisor = subprocess.Popen(command, env=cluster.env, stderr=output)
    try:
        eventually(lambda: gate(cluster) == "down")
        eventually(lambda: gate(cluster) == "up")
        assert "all beats sent" in log.read_text(), "they kept the watchdog quiet"
        assert logged in log.read_text()
    finally:
        supervisor.terminate()
        assert supervisor.wait(20) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read {path}: No such file or directory"),
        ("", "{path} names no intake_partition that can be read"),
        ("pools: {}", "{path} names no intake_partition that can be read"),
        ("intake_partition: [accel]", "{path} names no intake_partition that can be read"),
        (
            "intake_partition: accel\nslurm: {conf: [1]}",
            "{path} names no intake_partition that can",
        ),
        ("intake_partition: accel\nslurm: {bin_dir: 1.5}", "{path} names no intake_partition that"),
        ("a: [", "{path} names no intake_partition that can be read"),
        ("intake_partition: a\npaths: {control_socket: /proc/x/c.sock}", "cannot make /proc/x: "),
    ],
)
def test_a_supervisor_that_cannot_begin_says_why(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "het.yaml"
    if text is not None:
        path.write_text(text)
    command = [sys.executable, "-m", "slurm_het.supervise", "--config", str(path), "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert said.format(path=path) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.slurm
@needs_slurm
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_child_does_not_outlive_its_supervisor(cluster: Sandbox, number: int) -> None:
    status = cluster.layout.run / "test.status"
    command = [sys.executable, "-m", "slurm_het.supervise", "--config", str(cluster.config_path)]
    command += ["--status-file", str(status), "--", sys.executable, "-c", CHILD, "100", "exit"]
    supervisor = subprocess.Popen(command, env=cluster.env, stderr=subprocess.DEVNULL)
    eventually(lambda: status.exists() and "ready" in status.read_text())
    supervisor.send_signal(number)
    supervisor.wait(20)
    eventually(lambda: not any(CHILD[:60] in text for text in mentions(cluster.dir)))
    if number == signal.SIGTERM:
        assert gate(cluster) == "up"
    status.unlink()
