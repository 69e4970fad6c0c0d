"""End to end: a site with slurmdbd. Associations, limits, fair share, records, and hetd beside."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial

import pytest
from click.testing import CliRunner

from slurm_het.cli.sandbox import sandbox as cli
from slurm_het.sandbox import procs
from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, need_accounting, own_sandbox

pytestmark = pytest.mark.slurm

SITE = """
nodes:
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 4, memory_gib_per_device: 80,
   cpus: 64, memory_gib: 512, pool: train-nv, scenario: training}
accounting:
  slurm_conf: {PriorityWeightFairshare: 100000, SchedulerParameters: batch_sched_delay=0}
  partitions:
    plain: {Nodes: "a[1-2]", QOS: small}
  qos:
    small: {GrpTRES: {gres/gpu: 5}}
    limited: {MaxTRESPU: {gres/gpu: 2}, Priority: 7}
  accounts:
    vision: {Parent: research}
    research: {Fairshare: 3, QOS: [normal, limited]}
  users:
    daemon: [{Account: vision}, {Account: research, MaxJobs: 1}]
    games: {Account: vision}
"""
WHO = "daemon"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """./dev setup installs what is missing; Slurm itself is `own_sandbox`'s to look for."""
    need_accounting()


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE, accounting=True, overrides=AMPLE, slurm_user="slurm") as sandbox:
        yield sandbox


def plain(*options: str) -> tuple[str, ...]:
    """sbatch's options of a job that is none of hetd's."""
    return ("-p", "plain", *options)


def test_slurmctld_knows_the_site(cluster: Cluster) -> None:
    listed = cluster.ok("sacctmgr", "-nP", "show", "assoc", "format=account,user,maxjobs")
    assert set(listed.split()) >= {"vision|daemon|", "research|daemon|1", "vision|games|"}
    limits = cluster.ok("sacctmgr", "-nP", "show", "qos", "format=name,priority,maxtrespu")
    assert "limited|7|gres/gpu=2" in limits.split()
    known = cluster.ok("scontrol", "-o", "show", "assoc_mgr", "flags=qos")
    assert "gres/gpu=5(0),gres/gpu:a100=N(0)" in known
    partition = cluster.ok("scontrol", "-o", "show", "partition", "plain")
    assert "QoS=small" in partition
    configured = cluster.ok("scontrol", "show", "config")
    assert "associations,limits,qos,safe" in configured
    assert "specified more than once" not in cluster.box.layout.log_of("slurmctld").read_text()
    refused = cluster.box.run(["sbatch", "--wrap", "true"], user="nobody")
    assert "Invalid account" in refused.stderr


def test_a_user_at_his_limit_is_held_by_slurm_and_others_pass(cluster: Cluster) -> None:
    options = plain("--qos=limited", "--gres=gpu:1")
    keys = [cluster.sbatch(*options, script="sleep 300", user=WHO) for _ in range(3)]
    other = cluster.sbatch(*plain("--gres=gpu:3"), script="sleep 300", user="games")
    for key in (*keys[:2], other):
        cluster.wait_state(key, "RUNNING")
    cluster.wait("it is held", lambda: "PerUser" in cluster.job(keys[2])["Reason"], job=keys[2])
    assert "gres/gpu=2(2)" in cluster.ok("scontrol", "-o", "show", "assoc_mgr", "flags=qos")
    cluster.ok("scancel", keys[0])
    cluster.wait_state(keys[2], "RUNNING")
    last = cluster.sbatch(*plain("--gres=gpu:1"), user="games")
    group = "QOSGrp"  # the partition's QOS: five GPUs
    cluster.wait("it is held", lambda: group in cluster.job(last)["Reason"], job=last)


def test_fair_share_counts(cluster: Cluster) -> None:
    shares = cluster.ok("sshare", "-anP", "-o", "Account,User,RawShares,FairShare")
    factors = {tuple(w[:2]): w[2:] for w in (line.split("|") for line in shares.splitlines())}
    named = {(account.strip(), user): rest for (account, user), rest in factors.items()}
    assert named["research", ""][0] == "3"
    assert float(named["vision", "games"][1]) > 0
    full = cluster.sbatch(*plain("--gres=gpu:4"), script="sleep 300", user=WHO)
    waits = cluster.sbatch(*plain("--gres=gpu:4"), user="games")
    cluster.wait_state(full, "RUNNING")
    priorities = cluster.ok("sprio", "-h", "-j", waits, "-o", "%i %F").split()
    assert priorities[0] == waits
    assert float(priorities[1]) > 0


def is_recorded(cluster: Cluster, key: str, start: str) -> bool:
    """Whether slurmdbd's record of a job starts so; that of its end may come before its start's."""
    row = cluster.ok("sacct", "-nPX", "-j", key, "-o", "state,account,partition,nodelist")
    return row.startswith(start)


def test_hetd_releases_and_the_records_say_so(cluster: Cluster) -> None:
    keys = [cluster.sbatch("--gres=gpu:1", script="sleep 1", user=WHO) for _ in range(8)]
    for key in keys:
        cluster.wait_state(key, "COMPLETED")
        placed = cluster.planned(key)
        assert placed
        expected = f"COMPLETED|vision|train-nv|{placed.nodes[0]}"
        cluster.wait(f"{key} is recorded: {expected}", partial(is_recorded, cluster, key, expected))
        assert "gres/gpu:a100=1" in cluster.ok("sacct", "-nPX", "-j", key, "-o", "alloctres")


def test_slurm_does_not_say_try_again_of_a_job_with_an_association(cluster: Cluster) -> None:
    """Without slurmdbd 24.11 and 26.05 refuse most such updates once or more."""
    cluster.box.stop_hetd()
    try:
        cluster.ok("scontrol", "update", "PartitionName=accel", "State=DOWN")
        keys = [cluster.sbatch("--gres=gpu:1", user=who) for who in (WHO, "root") * 20]
        for key in keys:
            words = [f"JobId={key}", "Partition=train-nv", "ReqNodeList=a1"]
            done = cluster.box.run(["scontrol", "update", *words])
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        cluster.box.start_hetd()


def test_jobs_run_while_slurmdbd_is_dead_and_are_recorded_later(cluster: Cluster) -> None:
    assert cluster.box.kill_slurmdbd()
    assert not cluster.box.kill_slurmdbd()
    key = cluster.sbatch("--gres=gpu:1", user=WHO)
    cluster.wait_state(key, "COMPLETED")
    assert cluster.box.run(["sacctmgr", "show", "cluster"]).returncode != 0
    assert cluster.box.start_slurmdbd()
    assert not cluster.box.start_slurmdbd()
    cluster.wait("it is recorded", partial(is_recorded, cluster, key, "COMPLETED|vision|train-nv"))
    cluster.box.restart_slurmdbd()
    assert is_recorded(cluster, key, "COMPLETED|vision|train-nv")


def test_the_database_is_the_sandboxs_own(box: Sandbox) -> None:
    mode = box.layout.database.stat()
    assert mode.st_mode & 0o777 == 0o700
    status = CliRunner().invoke(cli, ["status", "--dir", str(box.dir)])
    assert status.exit_code == 0
    assert {"mariadbd", "slurmdbd"} <= set(status.output.split())
    config = box.layout.etc / "slurmdbd.conf"
    assert config.stat().st_mode & 0o777 == 0o600


def test_nothing_outlives_a_site_that_was_killed() -> None:
    """The default section; then kill -9 of some, and a `down` that knows the directory alone."""
    with own_sandbox(accounting=True, hetd=False, hook=False) as site:
        daemons = site.daemons()
        assert {"mariadbd", "slurmdbd"} < {daemon.name for daemon in daemons}
        procs.end([d for d in daemons if d.name in ("slurmctld", "slurmdbd")], 0.0, signal.SIGKILL)
        Sandbox(site.dir).down()
        assert not any(daemon.alive for daemon in daemons)
        assert not site.dir.exists()
