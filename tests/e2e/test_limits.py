"""End to end: jobs at a limit of the site's wait and name it, and leave the devices to others."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from slurm_het.config import load_config
from slurm_het.journal import Journal
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("24.11")]

DEVICES = 16
SITE = """
nodes:
- {name: "a[1-4]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
accounting:
  slurm_conf: {PriorityWeightQOS: 100000, SchedulerParameters: batch_sched_delay=0,
               Licenses: "matlab:2"}
  partitions:
    train-nv: {QOS: pool, AllowAccounts: "research,others"}  # and those below: small, one
  qos:
    pool: {MaxTRESPU: {cpu: 9}}
    first: {Priority: 9}
    devices: {Priority: 9, MaxTRESPU: {gres/gpu: 4}}
    typed: {Priority: 9, GrpTRES: {"gres/gpu:a100": 5}}
    jobs: {Priority: 9, MaxJobsPU: 3}
    minutes: {Priority: 9, GrpTRESMins: {gres/gpu: 120}}
    per-job: {Priority: 9, MaxTRESPerJob: {gres/gpu: 2}}
    long: {Flags: PartitionTimeLimit}
    brief: {MaxWall: "00:30:00"}
    running: {Priority: 9, MaxTRESRunMinsPU: {gres/gpu: 120}}
  accounts:
    research: {QOS: [normal, first, devices, typed, jobs, minutes, per-job, long, brief, running]}
    small: {Parent: research, GrpTRES: {gres/gpu: 5}}
    one: {Parent: research}
    others: {QOS: [normal]}
  users:
    daemon: [{Account: research}, {Account: small}, {Account: one, MaxJobs: 1}]
    games: {Account: others}
    mail: {Account: others}
    news: {Account: others, MaxJobs: 1}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE, accounting=True, overrides=AMPLE) as sandbox:
        yield sandbox


def running(cluster: Cluster, user: str = "") -> list[str]:
    """The keys of the running jobs, of one user if one is given."""
    whose = ("-u", user) if user else ()
    return cluster.ok("squeue", "-h", "-t", "running", "-o", "%A", *whose).split()


def why(cluster: Cluster, *which: str) -> str:
    """What het-squeue says of jobs."""
    return cluster.tool("squeue", "--noheader", *which)


@pytest.mark.parametrize(
    ("options", "most", "word"),
    [
        (("--qos=devices",), 4, "QOSMaxGRESPerUser"),
        (("--qos=typed",), 5, "QOSGrpGRES"),
        (("--qos=jobs",), 3, "QOSMaxJobsPerUserLimit"),
        (("--qos=minutes",), 4, "QOSGrpGRESMinutes"),
        (("--qos=first", "-A", "small"), 5, "AssocGrpGRES"),
        (("--qos=first", "-A", "one"), 1, "AssocMaxJobsLimit"),
        (("--qos=first", "-L", "matlab:1"), 2, "Licenses"),
        (("--qos=first",), 9, "QOSMaxCpuPerUserLimit"),  # of the partition's QOS
    ],
    ids=lambda value: value.rpartition("=")[2] if isinstance(value, str) else None,
)
def test_jobs_at_a_limit_leave_the_devices_to_others(
    cluster: Cluster, options: tuple[str, ...], most: int, word: str
) -> None:
    asks = ("--gres=gpu:1", "--mem=1G", "-t", "30")
    head = [cluster.sbatch(*asks, *options, script="sleep 300", user="daemon") for _ in range(24)]
    others = [
        cluster.sbatch(*asks, script="sleep 300", user=user)
        for user in ("games", "mail") * (DEVICES // 2)
    ]
    cluster.wait("every device is busy", lambda: len(running(cluster)) == DEVICES, seconds=20)
    assert len(running(cluster, "daemon")) == most
    cluster.wait(f"{word} is named", lambda: word in why(cluster, "-j", head[-1]))
    if word != "QOSGrpGRESMinutes":  # those do not come back
        # They would start first.
        cluster.ok("scancel", *(key for key in others if key not in running(cluster)))
        first = running(cluster, "daemon")[0]
        cluster.ok("scancel", first)
        again = set(head[: most + 1]) - {first}
        cluster.wait("the next one starts", lambda: set(running(cluster, "daemon")) == again)
    returned = {key: cluster.outcomes(key) for key in (*head, *others)}
    assert not {key: events for key, events in returned.items() if "returned" in events}


def test_try_knows_the_limits_of_who_names_neither_account_nor_qos(cluster: Cluster) -> None:
    asks = ("--gres=gpu:1", "--mem=1G", "-t", "30")
    argv = [
        sys.executable,
        "-m",
        "slurm_het.cli.admin",
        "try",
        "--json",
        *asks,
        "--wrap",
        "sleep 9",
    ]

    def said() -> dict[str, object]:
        made: dict[str, object] = json.loads(cluster.box.run(argv, user="news").stdout)
        return made

    free = said()
    assert (free["answer"], free["remarks"]) == ("now", [])
    cluster.wait_started(cluster.sbatch(*asks, script="sleep 300", user="news"))
    full = said()
    assert full["answer"] != "now"
    assert "AssocMaxJobsLimit" in str(full["why"])
    second = cluster.sbatch(*asks, user="news")
    record = cluster.job(second)
    assert (record["Account"], record["QOS"]) == ("others", "normal")
    cluster.wait("it waits for that", lambda: "AssocMaxJobsLimit" in why(cluster, "-j", second))


def test_a_limit_that_is_not_modelled_is_learned_once_for_all_of_its_user(cluster: Cluster) -> None:
    """MaxTRESRunMinsPU: the minutes that are left of all that runs. 24 jobs of 30 are ahead."""
    asks = ("--gres=gpu:1", "--mem=1G", "-t", "30")
    head = [
        cluster.sbatch(*asks, "--qos=running", script="sleep 300", user="daemon") for _ in range(24)
    ]
    others = [
        cluster.sbatch(*asks, script="sleep 300", user=user)
        for user in ("games", "mail") * (DEVICES // 2)
    ]
    cluster.wait("every device is busy", lambda: len(running(cluster)) == DEVICES, seconds=30)
    assert len(running(cluster, "daemon")) == 4
    said = why(cluster, "-j", head[-1])
    assert "MaxGRESRunMinsPerUser" in said, said
    returned = [key for key in head if "returned" in cluster.outcomes(key)]
    assert len(returned) <= DEVICES - 4, "no more than one plan had room for"
    assert not [key for key in others if "returned" in cluster.outcomes(key)]


@pytest.mark.parametrize("past_the_hook", [False, True])
def test_a_time_limit_left_open_is_no_longer_than_max_wall(
    cluster: Cluster, past_the_hook: bool
) -> None:
    """As under plain Slurm: what no user has asked for holds no job back."""
    options = ["-p", "train-nv"] if past_the_hook else []
    asks = ("--qos=brief", "--gres=gpu:1", *options)
    key = cluster.sbatch(*asks, script="module load cuda", user="daemon")
    assert cluster.wait_started(key)["TimeLimit"] == "00:30:00"


def test_the_tasks_of_an_array_at_a_limit_leave_the_devices_to_others(cluster: Cluster) -> None:
    asks = ("--gres=gpu:1", "--mem=1G", "-t", "30")
    array = ("--array=0-99", "--qos=devices")
    head = cluster.sbatch(*asks, *array, script="sleep 300", user="daemon")
    for user in ("games", "mail") * (DEVICES // 2):
        cluster.sbatch(*asks, script="sleep 300", user=user)
    cluster.wait("every device is busy", lambda: len(running(cluster)) == DEVICES, seconds=20)
    assert len(running(cluster, "daemon")) == 4
    waiting = ("-t", "pending", "-u", "daemon")
    cluster.wait("the limit is named", lambda: "QOSMaxGRESPerUser" in why(cluster, *waiting))
    assert f"{head}_[4-99]" in why(cluster, *waiting)


def test_no_release_is_beyond_a_limit_while_jobs_come_and_go(cluster: Cluster) -> None:
    asks = ("--gres=gpu:1", "--mem=1G", "-t", "30")
    limited = [cluster.sbatch(*asks, "--qos=devices", user="daemon") for _ in range(16)]
    for user in ("games", "mail") * 16:
        cluster.sbatch(*asks, script="sleep 2", user=user)
    for key in limited:
        cluster.wait_state(key, "COMPLETED")
    journal = Journal(load_config(cluster.box.config_path).paths.journal, read_only=True)
    details = [detail for key in limited for _, _, detail in journal.outcomes_of(key)]
    journal.close()
    assert not [detail for detail in details if "QOS" in detail]


def test_a_job_over_a_limit_of_its_own_has_no_nodes_kept_for_it(cluster: Cluster) -> None:
    asks = ("--gres=gpu:4", "--mem=1G", "-t", "30")
    never = cluster.sbatch(*asks, "--qos=per-job", script="sleep 300", user="daemon")
    key = cluster.sbatch(*asks, script="sleep 300", user="games")
    cluster.wait_started(key)
    cluster.wait("the limit is named", lambda: "QOSMaxGRESPerJob" in why(cluster, "-j", never))
    assert cluster.outcomes(never) == []


def test_a_qos_lifts_the_time_limit_of_a_pool(cluster: Cluster) -> None:
    cluster.ok("scontrol", "update", "PartitionName=train-nv", "MaxTime=10")
    try:
        asks = ("--gres=gpu:1", "--mem=1G", "-t", "30")
        plain = cluster.sbatch(*asks, script="sleep 300", user="daemon")
        key = cluster.sbatch(*asks, "--qos=long", script="sleep 300", user="daemon")
        cluster.wait_started(key)
        cluster.wait("why is said", lambda: "MaxTime=10" in why(cluster, "-j", plain))
    finally:
        cluster.ok("scontrol", "update", "PartitionName=train-nv", "MaxTime=UNLIMITED")
