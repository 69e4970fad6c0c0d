"""het-squeue against a real Slurm: what it shows is what squeue and scontrol say."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from slurm_het.core.syntax.gres import parse_indexes
from slurm_het.core.syntax.hostlist import expand
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import own_sandbox

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("slurmctld", path="/usr/sbin:/usr/bin"),
        reason="needs root and Slurm's programs",
    ),
]

SLEEP = "--wrap=sleep 300"
RUNNING: dict[str, tuple[str, ...]] = {
    "whole": ("-p", "train-nv", "--gres=gpu:4"),
    "multi": ("-p", "train-amd", "-N2", "--gres=gpu:6"),
    "uneven": ("-p", "train-ascend", "-N2", "--gpus=6"),
    "shared": ("-p", "infer-nv", "--gres=shard:30"),
    "neighbour": ("-p", "infer-nv", "--gres=shard:10"),
    "cpu": ("-p", "cpu", "-c2"),
    "odd\x1b[31m\nname": ("-p", "infer-mlu", "--gres=gpu:1"),
}
WAITING: dict[str, tuple[str, ...]] = {
    "tooBig": ("-p", "accel", "-N4", "--gres=gpu:8"),
    "fits": ("-p", "accel", "--gres=gpu:a100:2"),
    "held": ("-p", "accel", "-H", "--gres=gpu:1"),
    "later": ("-p", "accel", "--begin=now+1hour", "--gres=gpu:1"),
    "pinned": ("-p", "train-amd", "-N2", "--gres=gpu:8"),
}


def submit(sandbox: Sandbox, name: str, *arguments: str) -> str:
    """A job that sleeps; its id."""
    done = sandbox.run(["sbatch", "--parsable", f"--job-name={name}", *arguments, SLEEP])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Sandbox, dict[str, str]]]:
    """A sandbox with the gate closed by hand and jobs of every kind; their ids by name."""
    settings = {"slurm": {"timeout_seconds": 5}}
    with own_sandbox(hetd=False, hook=False, overrides=settings) as sandbox:
        sandbox.run(["scontrol", "update", "PartitionName=accel", "State=DOWN"])
        ids = {name: submit(sandbox, name, *args) for name, args in (RUNNING | WAITING).items()}
        ids["array"] = submit(sandbox, "array", "-p", "train-dcu", "-a0-9%3", "--gres=gpu:2")
        ids["gated"] = submit(sandbox, "gated", "-p", "accel", "-a3-9%3", "--gres=gpu:1")
        deadline = time.monotonic() + 60
        while squeue(sandbox, "-tR", "-o%i").count("\n") < len(RUNNING) + 3:
            assert time.monotonic() < deadline, squeue(sandbox)
            time.sleep(0.2)
        yield sandbox, ids


def squeue(sandbox: Sandbox, *arguments: str) -> str:
    """Slurm's own squeue."""
    return sandbox.run(["squeue", "-h", *arguments]).stdout


def het(sandbox: Sandbox, *arguments: str) -> str:
    """het-squeue's output."""
    done = sandbox.run([sys.executable, "-m", "slurm_het.cli.squeue", *arguments])
    assert done.returncode == 0, done.stderr
    return done.stdout


def jobs(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """het-squeue's JSON by job id as shown."""
    return {job["id"]: job for job in json.loads(het(sandbox, "--json"))["jobs"]}


def test_the_same_jobs_and_states_as_squeue(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, _ = cluster
    ours = het(sandbox, "-h", "-o", "%i|%u|%P|%t|%D|%C|%Q")
    theirs = squeue(sandbox, "-o", "%i|%u|%P|%t|%D|%C|%p|%Q")
    expected = {re.sub(r"\|[^|]*\|([^|]*)$", r"|\1", line) for line in theirs.splitlines()}
    assert set(ours.splitlines()) == expected


def test_time_used_is_squeues(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, ids = cluster
    arguments = ("-h", "-j", ids["whole"], "-o", "%M")
    before, ours, after = squeue(sandbox, *arguments), het(sandbox, *arguments), squeue(
        sandbox, *arguments
    )  # fmt: skip
    assert before <= ours <= after


def _devices(gres: str) -> tuple[int, ...]:
    """`gpu:a100:2(IDX:0-1)`; from 24.11 on `shard:24(24/48,0/48)` tells the same by position."""
    match = re.search(r"IDX:([\d,-]+)", gres)
    used = re.findall(r"[(,](\d+)/\d+", gres)
    return (
        parse_indexes(match.group(1)) if match else tuple(i for i, u in enumerate(used) if u != "0")
    )


def test_devices_are_what_scontrol_says(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, _ = cluster
    shown = jobs(sandbox)
    detail = sandbox.run(["scontrol", "-d", "show", "job"]).stdout
    seen = 0
    for block in detail.split("\n\n"):
        if "JobState=RUNNING" not in block:
            continue
        number = re.search(r"JobId=(\d+)", block)
        assert number
        job = next(j for j in shown.values() if j["job_id"] == int(number.group(1)))
        truth: dict[str, tuple[int, ...]] = {}
        for hosts, gres in re.findall(r"Nodes=(\S+) CPU_IDs=\S+ Mem=\d+ GRES=(\S*)", block):
            for host in expand(hosts):
                truth[host] = _devices(gres)
        assert {d["node"]: tuple(d["indexes"]) for d in job["devices"]} == truth
        seen += 1
    assert seen == len(RUNNING) + 3


def test_memory_types_and_pools(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, ids = cluster
    shown = jobs(sandbox)

    def of(name: str) -> tuple[str, str, int]:
        job = shown[ids[name]]
        return job["pool"], "|".join(job["types"]), job["memory_gib"]

    assert of("whole") == ("train-nv", "nvidia:a100", 320)
    assert of("multi") == ("train-amd", "amd:mi300x", 12 * 192)
    assert of("shared") == ("infer-nv", "nvidia:l40s", 30)
    assert of("neighbour") == ("infer-nv", "nvidia:l40s", 10)
    assert of("cpu") == ("cpu", "", 0)
    assert of("fits")[:2] == ("gate", "nvidia:a100")
    assert shown[ids["fits"]]["asks"] == {"devices": [2], "memory_gib": 160, "at_least": False}


def test_reasons(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, ids = cluster
    shown = jobs(sandbox)
    assert shown[ids["tooBig"]]["reason"].startswith("needs 8 free on")
    assert shown[ids["fits"]]["reason"].endswith("can start now; waits for hetd")
    assert shown[ids["held"]]["reason"] == "JobHeldUser: its user holds it"
    assert shown[ids["later"]]["reason"].startswith("BeginTime: ")
    assert shown[ids["pinned"]]["reason"] in {"Resources", "Priority", "None"}
    assert shown[f"{ids['array']}_[3-9%3]"]["reason"] == "JobArrayTaskLimit"
    assert shown[f"{ids['gated']}_[3-9%3]"]["pool"] == "gate"


def test_filters_are_squeues(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, ids = cluster
    for arguments in (
        ("-t", "PD"), ("-t", "R"), ("-p", "accel"), ("-p", "train-dcu,cpu"), ("-u", "root"),
        ("-w", "amd1"), ("-j", ids["array"]), ("-j", f"{ids['array']}_1"), ("-t", "all"),
    ):  # fmt: skip
        theirs = set(squeue(sandbox, *arguments, "-o", "%i").split())
        assert set(het(sandbox, "-h", *arguments, "-o", "%i").split()) == theirs, arguments


def test_free_is_what_slurm_has_left(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, _ = cluster
    document = json.loads(het(sandbox, "--json", "--nodes"))
    free = {n["node"]: n["free"] for n in document["nodes"]}
    assert (free["nv1"] + free["nv2"], free["amd1"], free["l40s1"]) == (12, 2, 3)
    assert next(n for n in document["nodes"] if n["node"] == "l40s1")["free_gib"][0] == 8


def test_the_table_is_plain_text(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, _ = cluster
    table = het(sandbox)
    assert all(line.isprintable() for line in table.splitlines())
    assert "odd?[31m?name" in table
    assert len(table.splitlines()) == len(RUNNING) + len(WAITING) + 3 + 2 + 1


def test_slurm_away_is_a_message(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, _ = cluster
    argv = [sys.executable, "-m", "slurm_het.cli.squeue"]
    done = sandbox.run(argv, env=sandbox.env | {"SLURM_CONF": "/nonexistent/slurm.conf"})
    assert done.returncode == 1
    assert done.stderr.startswith("het-squeue: ")
    assert "Traceback" not in done.stderr


def calls(sandbox: Sandbox) -> int:
    """How often slurmctld was asked for anything since `sdiag -r`, by others than sdiag itself."""
    found = re.findall(r"^\s+(REQUEST_\w*INFO\w*)\s+\(\s*\d+\) count:(\d+)",
                       sandbox.run(["sdiag"]).stdout, re.M)  # fmt: skip
    return sum(int(count) for name, count in dict(found).items() if "STATS" not in name)


def watched(sandbox: Sandbox, seconds: float, *argv: str) -> list[bytes]:
    """What a program writes to a terminal of 24 by 80, one element for each time it writes."""
    pid, fd = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
        env = sandbox.env | {"TERM": "xterm", "LC_ALL": "C.UTF-8", "LINES": "24", "COLUMNS": "80"}
        os.execvpe(argv[0], list(argv), env)  # noqa: S606  # in a terminal of its own
    end, parts, part = time.monotonic() + seconds, [], b""
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            part += os.read(fd, 65536)
        elif part:
            parts.append(part)
            part = b""
    os.kill(pid, signal.SIGINT)
    end = time.monotonic() + 10
    while time.monotonic() < end and select.select([fd], [], [], 5)[0]:
        try:
            part += os.read(fd, 65536)
        except OSError:  # it has ended
            break
    while not (ended := os.waitpid(pid, os.WNOHANG)[0]) and time.monotonic() < end + 5:
        time.sleep(0.05)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert ended, "Ctrl-C ends it"
    return [*parts, part]


def test_the_live_view_is_sparing(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, _ = cluster
    sandbox.run(["sdiag", "-r"])
    het(sandbox)
    once = calls(sandbox)  # with the configuration, and 22.05's record of each job
    sandbox.run(["sdiag", "-r"])
    parts = watched(sandbox, 13, sys.executable, "-m", "slurm_het.cli.squeue", "-i", "2")
    screen = next(n for n, part in enumerate(parts) if b"JOBID" in part)
    ours, refreshes, sent = calls(sandbox), len(parts) - screen - 1, b"".join(parts)
    assert refreshes >= 4
    assert b"\x1b[2J" not in sent
    assert max(map(len, parts[screen + 1 :])) < 300, [len(part) for part in parts]
    assert sent.count(b"JOBID") == 1  # the heading stays where it is
    sandbox.run(["sdiag", "-r"])
    for _ in range(refreshes):
        sandbox.run(["squeue"])
        sandbox.run(["scontrol", "show", "node"])
    theirs = calls(sandbox)
    assert ours - once <= theirs, (ours, once, theirs)


def test_squeues_letters_say_what_squeue_says(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, _ = cluster
    letters = "|".join(f"%{letter}" for letter in "iuPqQTtlDCFKUVvEfxmA")
    ours = set(het(sandbox, "-h", "-tall", "-o", letters).splitlines())
    theirs = set(squeue(sandbox, "-tall", "-o", letters).splitlines())
    assert sorted(ours - theirs) == sorted(theirs - ours)


def test_order_and_tasks_are_squeues(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, ids = cluster
    for order in ("i", "-i", "P,-i", "-Q,i", "-t,i"):
        ours = het(sandbox, "-h", "-r", "-S", order, "-o", "%i").split()
        assert ours == squeue(sandbox, "-r", "-S", order, "-o", "%i").split(), order
    named = het(sandbox, "-h", "-n", "whole,cpu", "-o", "%i").split()
    assert set(named) == {ids["whole"], ids["cpu"]}


def test_wait_is_squeues_pending_time(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, ids = cluster
    theirs = int(sandbox.run(["squeue", "-h", "-j", ids["tooBig"], "-O", "PendingTime"]).stdout)
    text = het(sandbox, "-h", "-j", ids["tooBig"], "-o", "wait").strip()
    minutes, seconds = text.split(":")
    assert 0 <= int(minutes) * 60 + int(seconds) - theirs <= 10


def test_what_keeps_a_job_is_told_as_it_is(cluster: tuple[Sandbox, dict[str, str]]) -> None:
    """A hold before a begin time, a dependency that was missed, drained nodes where there is no
    reservation, a pool that is DOWN."""
    sandbox, _ = cluster
    failed = submit(sandbox, "failed", "-p", "cpu", "-H")
    sandbox.run(["scancel", failed])
    sandbox.run(["scontrol", "update", "NodeName=cpu1", "State=DRAIN", "Reason=disk"])
    gated = ("-p", "accel", "--gres=gpu:a100:1")
    keys = {
        "held": submit(sandbox, "both", *gated, "--begin=now+1hour"),
        "dependency": submit(sandbox, "missed", *gated, f"--dependency=afterok:{failed}"),
        "no-node": submit(sandbox, "drained", "-p", "cpu", "-w", "cpu1"),
        "pool": submit(sandbox, "pool", "-p", "accel", "--gres=gpu:mlu370:1"),
    }
    for command in (
        ["hold", keys["held"]],
        ["update", "PartitionName=infer-mlu", "State=DOWN"],
    ):
        assert sandbox.run(["scontrol", *command]).returncode == 0
    try:
        expected = {
            "held": ("held", "JobHeld"),
            "dependency": ("dependency", f"DependencyNeverSatisfied afterok:{failed}"),
            "no-node": ("no-node", "cpu1 is "),
            "pool": ("no-node", "it waits until infer-mlu is UP"),
        }
        until = time.monotonic() + 60
        while off := {
            name: (job["reason_code"], job["reason"])
            for name, key in keys.items()
            for job in [jobs(sandbox)[key]]
            if job["reason_code"] != expected[name][0] or expected[name][1] not in job["reason"]
        }:
            assert time.monotonic() < until, off
            time.sleep(1)
    finally:
        sandbox.run(["scontrol", "update", "NodeName=cpu1", "State=RESUME"])
        sandbox.run(["scontrol", "update", "PartitionName=infer-mlu", "State=UP"])
        sandbox.run(["scancel", *keys.values()])
