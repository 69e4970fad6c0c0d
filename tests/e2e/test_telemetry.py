"""End to end: devices that are not what Slurm takes them for, by replayed readings."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_het.core.cluster.ailing import SlurmPlace
from slurm_het.sandbox.cluster import Sandbox
from slurm_het.sandbox.layout import program
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.slurm_order import SlurmOrder
from tests.support.cluster import AMPLE, Cluster, sandbox_dir
from tests.support.exporters import Exporters, exporters

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]
TOPOLOGY = """
- {name: "l[1-2]", type: l40s, vendor: nvidia, devices: 2, memory_gib_per_device: 48,
   shards_per_device: 48, cpus: 16, memory_gib: 64, pool: infer-nv, scenario: inference}
- {name: t1, type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
"""
NODES = {"l1": ("nvidia", 2, 48), "l2": ("nvidia", 2, 48), "t1": ("nvidia", 4, 80)}
STALE = 4
FENCE = {"fence": "end", "fence_seconds": 3}
GONE = "it is gone: not on the bus, and its driver does not tell of it"
WRAPPER = """#!/bin/sh
{path} "$@" || exit
[ "$1" = requeue ] && rm {base}/kill 2> /dev/null && kill -9 $PPID
exit 0
"""
IN_TIME = 10.0
READ = 2.0  # it is read twice a second, and asked for twice a second


class Told:
    """A cluster whose devices tell of themselves."""

    def __init__(self, cluster: Cluster, told: Exporters) -> None:
        self.cluster, self.told = cluster, told

    def nodes(self) -> dict[str, dict[str, Any]]:
        """het-squeue --nodes, by node."""
        document = json.loads(self.cluster.tool("squeue", "--nodes", "--json"))
        return {node["node"]: node for node in document["nodes"]}

    def ails(self, node: str) -> dict[int, str]:
        """What ails the devices of a node."""
        return {d["index"]: d["ails"] for d in self.nodes()[node]["devices"] if d["ails"]}

    def soon(self, what: str, true: Callable[[], object]) -> None:
        """Wait until true; no longer than IN_TIME."""
        self.cluster.wait(what, true, IN_TIME)

    def why(self, key: str) -> str:
        """slurm-het why."""
        return self.cluster.tool("admin", "why", key)


@pytest.fixture(scope="module")
def module() -> Iterator[Told]:
    with sandbox_dir() as base, exporters(base, NODES) as told:
        (base / "topology.yaml").write_text(TOPOLOGY)
        bin_dir = base / "bin"
        bin_dir.mkdir()
        for name in ("squeue", "scancel"):
            (bin_dir / name).symlink_to(program(name))
        (bin_dir / "scontrol").write_text(WRAPPER.format(base=base, path=program("scontrol")))
        (bin_dir / "scontrol").chmod(0o755)
        overrides = AMPLE | {
            "telemetry": told.settings(stale_seconds=STALE, **FENCE),
            "planner": {"poll_seconds": 1},
            "slurm": {"bin_dir": str(bin_dir)},
        }
        with Sandbox.up(base / "box", base / "topology.yaml", overrides=overrides) as box:
            cluster = Cluster(box)
            cluster.wait("the gate is closed", lambda: cluster.gate() == "DOWN")
            yield Told(cluster, told)


@pytest.fixture
def it(module: Told) -> Iterator[Told]:
    module.cluster.wait("all are heard", lambda: all(n["devices"] for n in module.nodes().values()))
    yield module
    for node in NODES:
        module.told.say(node)
    module.cluster.clear()
    module.cluster.wait("all are well", lambda: not any(map(module.ails, NODES)))


def share(it: Told, gib: int) -> str:
    return it.cluster.sbatch(f"--gres=shard:{gib}", script="vllm serve m\nsleep 300")


def test_what_a_stranger_has_of_a_card_is_not_given_to_a_share(it: Told) -> None:
    strange = os.getpid()  # of no job
    it.told.say("l1", {0: 30.0}, processes={0: [(strange, 30.0)]})
    it.soon("hetd knows", lambda: it.ails("l1"))
    assert it.ails("l1") == {0: "30 GiB in use beyond the 0 that Slurm gave away"}
    assert it.nodes()["l1"]["devices"][0] | {"ails": ""} == {
        "index": 0, "given_gib": 0, "used_gib": 30, "ails": "",
    }  # fmt: skip
    assert it.nodes()["l1"]["free_gib"] == [18, 48]
    # Slurm would give l1:0, the first that it takes for free: so all of l1 is closed to those.
    for gib in (24, 40, 24):
        assert it.cluster.wait_started(share(it, gib))["NodeList"] == "l2"
    small = it.cluster.wait_started(share(it, 10))
    assert (small["NodeList"], it.nodes()["l1"]["free_gib"]) == ("l1", [8, 48])
    waits = share(it, 24)
    it.cluster.wait(
        "why", lambda: "l1:0 (30 GiB in use beyond the 10 that" in it.why(waits), 30, waits
    )
    it.told.say("l1", {0: 10.0})
    it.soon("it is given back", lambda: it.cluster.job(waits)["JobState"] == "RUNNING")
    assert it.cluster.job(waits)["NodeList"] == "l1"


def whole(it: Told, devices: int, *options: str) -> str:
    script = "python train.py\nsleep 300"
    return it.cluster.sbatch(f"--gres=gpu:{devices}", *options, script=script)


def test_a_card_that_is_lost_is_not_planned_until_it_is_there_again(it: Told) -> None:
    it.told.say("t1", lost=(2,))
    it.soon("hetd knows", lambda: it.ails("t1"))
    assert it.ails("t1") == {2: GONE}
    four = whole(it, 4)
    it.cluster.wait("why", lambda: f"t1:2 ({GONE})" in it.why(four), 30, four)
    two = it.cluster.wait_started(whole(it, 2))
    assert "IDX:0-1" in two["GRES"]
    third = whole(it, 1, "-t30")  # Slurm would give it t1:2; it ends before the four are free
    it.cluster.wait("why", lambda: "t1:2" in it.why(third), 30, third)
    it.told.say("t1")  # a reset
    it.soon("it is used again", lambda: it.cluster.job(third)["JobState"] == "RUNNING")


CONF = """ClusterName=x
SlurmctldHost={host}
AuthType=auth/none
CredType=cred/none
SlurmdSpoolDir={base}
SlurmdLogFile={base}/slurmd.log
GresTypes=gpu
SelectType=select/cons_tres
ProctrackType=proctrack/linuxproc
NodeName={host} Gres=gpu:{kind}:4 CPUs=1 State=UNKNOWN
PartitionName=p Nodes={host}
"""
CAPS = "/dev/nvidia-caps/nvidia-cap"
SLICES = [(f"/dev/nvidia{card}", f"{CAPS}{10 * card + part}") for card in (0, 1) for part in (1, 2)]


@pytest.mark.parametrize(
    ("kind", "files", "indexes"),
    [
        # NVML's order is that of PCI, which the numbers of the files need not have.
        ("a100", [(f"/dev/nvidia{number}",) for number in (2, 3, 0, 1)], [0, 1, 2, 3]),
        ("3g.20gb", SLICES, [0, 2, 1, 3]),  # the first slices of all cards, then the second
    ],
)
def test_slurmd_tells_its_order(
    tmp_path: Path, kind: str, files: list[tuple[str, ...]], indexes: list[int]
) -> None:
    """As it finds them with AutoDetect, for which fake_gpus.conf stands in."""
    host = socket.gethostname().partition(".")[0]
    (tmp_path / "slurm.conf").write_text(CONF.format(host=host, base=tmp_path, kind=kind))
    (tmp_path / "gres.conf").write_text("AutoDetect=nvml\n")
    of = 2 if kind != "a100" else 4
    links = [",".join("-1" if n == at % of else "0" for n in range(of)) for at in range(4)]
    lines = (f"{kind}|1|0|{link}|{','.join(each)}" for link, each in zip(links, files, strict=True))
    (tmp_path / "fake_gpus.conf").write_text("".join(f"{line}\n" for line in lines))
    order = SlurmOrder(f"env SLURM_CONF={tmp_path}/slurm.conf {program('slurmd')} -G")
    places = order.places([DeviceReading(0, "nvidia", files=each) for each in files])
    assert places == [SlurmPlace("gpu", index, 4) for index in indexes]


def test_what_nobody_tells_any_more_counts_no_more(it: Told) -> None:
    """A hanging exporter delays nobody, and once its samples are old Slurm's records count."""
    it.told.say("t1", lost=(0,))
    it.soon("hetd knows", lambda: it.ails("t1"))
    hanging = it.told.running["t1"]
    hanging.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        it.cluster.wait_started(share(it, 10))
        assert time.monotonic() - began < 5.0
        key = whole(it, 1)
        it.soon("Slurm's records count", lambda: it.cluster.job(key)["JobState"] == "RUNNING")
        assert not it.nodes()["t1"]["devices"]
    finally:
        hanging.send_signal(signal.SIGCONT)


def test_samples_from_the_past_do_not_count(it: Told) -> None:
    it.told.say("t1", {0: 40.0}, age=600)
    it.cluster.wait("t1 is silent", lambda: not it.nodes()["t1"]["devices"], IN_TIME)
    assert it.cluster.wait_started(whole(it, 1))["NodeList"] == "t1"


AUTO = "#HET memory=auto share=yes scenario=inference vendors=nvidia"


def test_a_share_is_as_large_as_what_its_program_took_before(it: Told) -> None:
    """Three runs on whole cards are enough, which take 20 GiB each."""
    work = it.cluster.box.layout.work
    wait = f"while [ ! -e {work}/go ]; do sleep 0.3; done"
    script = f"{AUTO}\necho $$ > {work}/pid.$SLURM_JOB_ID\nvllm serve auto\n{wait}"
    first = [it.cluster.sbatch("--gres=gpu:1", script=script) for _ in range(3)]
    taken: dict[str, dict[int, list[tuple[int, float]]]] = {}
    for key in first:
        record, file = it.cluster.wait_started(key), work / f"pid.{key}"
        it.cluster.wait("its pid", file.exists)
        index = int(record["GRES"].partition("IDX:")[2].rstrip(")"))
        taken.setdefault(record["NodeList"], {})[index] = [(int(file.read_text()), 20.0)]
    for node, processes in taken.items():
        it.told.say(node, dict.fromkeys(processes, 20.0), processes=processes)
    time.sleep(READ)
    (work / "go").touch()
    for key in first:
        it.cluster.wait_state(key, "COMPLETED")
    it.soon("their peaks", lambda: all("took at most 20.0 GiB" in it.why(key) for key in first))
    for node in taken:
        it.told.say(node)
    key = it.cluster.sbatch("--gres=gpu:1", script=script)
    assert "shard:23" in it.cluster.job(key)["TresPerNode"]


def test_who_takes_more_than_his_share_is_ended_and_his_neighbour_is_not(it: Told) -> None:
    file = it.cluster.box.layout.work / "over"
    over = it.cluster.sbatch("--gres=shard:10", script=f"echo $$ > {file}; vllm serve m\nsleep 300")
    neighbour = share(it, 10)
    for key in (over, neighbour):
        assert it.cluster.wait_started(key)["NodeList"] == "l1"
    it.cluster.wait("its pid", file.exists)
    it.told.say("l1", {0: 45.0}, processes={0: [(int(file.read_text()), 35.0), (1, 0.0)]})
    it.cluster.wait_state(over, "CANCELLED", seconds=30)
    told = it.why(over)
    assert "overruns: has 35.0 GiB of l1:0, and its share is 10; if it still has in 3 s" in told
    assert "ended: it has 35.0 GiB of l1:0" in told
    assert it.cluster.job(neighbour)["JobState"] == "RUNNING"


class Dying:
    """A job with a share of 10 GiB, each of whose runs ends as it is told to."""

    def __init__(self, it: Told, *options: str, task: str = "") -> None:
        self.it, self.work = it, it.cluster.box.layout.work
        script = (
            "#HET retry=yes\nvllm serve m\n"
            f"me={self.work}/run.$SLURM_JOB_ID.${{SLURM_RESTART_COUNT:-0}}\n"
            "echo $$ > $me\nwhile [ ! -e $me.go ]; do sleep 0.3; done\nexit 1"
        )
        self.key = it.cluster.sbatch("--gres=shard:10", *options, script=script) + task

    def dies(self, run: int, gib: float) -> None:
        """It fails with so much at its peak."""
        record = self.it.cluster.wait_started(self.key)
        file = self.work / f"run.{record['JobId']}.{run}"
        self.it.cluster.wait("its pid", lambda: file.exists() and file.read_text().strip())
        node = record["NodeList"]
        self.it.told.say(node, {0: gib}, processes={0: [(int(file.read_text()), gib)]})
        time.sleep(READ)
        file.with_name(f"{file.name}.go").touch()
        self.it.cluster.wait(
            "it has ended", lambda: self.it.cluster.job(self.key)["JobState"] != "RUNNING"
        )
        self.it.told.say(node)

    def runs_again_with(self, share: str) -> None:
        """It waits for the next run."""
        job = self.it.cluster.wait_started(self.key)
        assert (job["Restarts"], job["TresPerNode"].rpartition("shard:")[2]) == ("1", share)

    def stays_dead(self) -> None:
        """Nobody requeues it any more."""
        self.it.cluster.wait_state(self.key, "FAILED")
        time.sleep(7)  # a cycle, and the question how it ended
        assert self.it.cluster.job(self.key)["JobState"] == "FAILED"


def test_who_dies_of_his_share_runs_again_with_a_larger_one_once(it: Told) -> None:
    job = Dying(it)
    job.dies(0, 9.5)
    it.cluster.wait("it is given more", lambda: "resubmitted" in it.why(job.key))
    job.runs_again_with("15")
    told = it.why(job.key)
    assert "resubmitted: with shard:15: it failed with 9.5 GiB of a device, of shard:10" in told
    job.dies(1, 14.5)
    job.stays_dead()
    assert it.why(job.key).count("resubmitted") == 1


def test_so_does_a_task_of_an_array(it: Told) -> None:
    task = Dying(it, "--array=1-2", task="_1")
    task.dies(0, 9.5)
    it.cluster.wait("it is given more", lambda: "resubmitted" in it.why(task.key))
    task.runs_again_with("15")
    other = it.cluster.job(task.key.replace("_1", "_2"))
    assert (other["JobState"], other["Restarts"]) == ("RUNNING", "0")
    task.dies(1, 14.5)
    task.stays_dead()


def test_and_who_is_half_way_back_when_hetd_is_killed(it: Told) -> None:
    base = it.cluster.box.dir.parent
    (base / "kill").touch()
    job = Dying(it)
    job.dies(0, 9.5)
    it.cluster.wait("hetd is killed", lambda: not (base / "kill").exists())
    it.cluster.wait("it is given more", lambda: "resubmitted" in it.why(job.key))
    job.runs_again_with("15")
    job.dies(1, 14.5)
    job.stays_dead()
