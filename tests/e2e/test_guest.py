"""End to end: a guest among a site's own machinery on one Slurm, with slurmdbd.

An EpilogSlurmctld beside ours that overwrites AdminComment in slurmdbd once a job has ended (as
jobstats does), a PrologSlurmctld that overwrites it in Slurm as the job starts, and Slurm's own
metrics. Jobs run as planned all the same, and `why` answers.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from slurm_het.sandbox.cluster import Sandbox
from tests.support.cluster import AMPLE, Cluster, own_sandbox

pytestmark = [pytest.mark.slurm, pytest.mark.in_turn("26.05")]
WHO = "daemon"
SITE = """
nodes:
- {name: "a[1-2]", type: a100, devices: 4, memory_gib_per_device: 80, cpus: 64, memory_gib: 512,
   pool: train-nv, scenario: training}
accounting:
  accounts: {vision: {}}
  users: {daemon: {Account: vision}}
"""
PROLOG = """#!/bin/sh
scontrol update JobId=$SLURM_JOB_ID AdminComment="prolog was here"
"""
EPILOG = """#!/bin/sh
( sleep 1; sacctmgr -i update job where jobid=$SLURM_JOB_ID set AdminComment=JS1:eJyrV ) &
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with own_sandbox(SITE, accounting=True, overrides=AMPLE) as sandbox:
        etc = sandbox.layout.etc
        variables = f"export PATH={sandbox.env['PATH']} SLURM_CONF={etc}/slurm.conf\n"
        for name, text in (("prolog.sh", PROLOG), ("epilog.sh", EPILOG)):
            path = etc / name
            path.write_text(text.replace("#!/bin/sh\n", f"#!/bin/sh\n{variables}"))
            path.chmod(0o755)
        more = [f"PrologSlurmctld={etc}/prolog.sh", f"EpilogSlurmctld={etc}/epilog.sh"]
        conf = etc / "slurm.conf"
        if has_metrics(sandbox):
            more.append("MetricsType=metrics/openmetrics")
        conf.write_text("\n".join([conf.read_text(), *more, ""]))
        sandbox.restart_slurmctld()
        yield sandbox


def has_metrics(box: Sandbox) -> bool:
    """From 25.11 on."""
    version = re.findall(r"\d+\.\d+", box.run(["scontrol", "--version"]).stdout)[0]
    return float(version) >= 25.11


def test_jobs_run_as_planned_and_why_answers(cluster: Cluster) -> None:
    epilogs = re.findall(r"^EpilogSlurmctld\S*\s+= (\S+)", cluster.ok("scontrol", "show", "config"),
                         re.MULTILINE)  # fmt: skip
    assert [Path(path).name for path in epilogs] == ["het_event.lua", "epilog.sh"]
    keys = [
        cluster.sbatch("--gres=gpu:2", "-t", "5", script="torchrun x\nsleep 1", user=WHO)
        for _ in range(6)
    ]
    for key in keys:
        record = cluster.wait_state(key, "COMPLETED")
        placement = cluster.planned(key)
        assert placement
        assert record["NodeList"] == placement.nodes[0]
    for key in keys:
        cluster.wait("the epilog has had its say", partial(is_jobstats, cluster, key), 30)
        assert "prolog was here" in cluster.job(key)["AdminComment"]
        cluster.wait("hetd knows how it ended", partial(cluster.end, key), 30)
        told = cluster.tool("admin", "why", key)
        assert "line 2 runs torchrun" in told, "the evidence"
        assert "train-nv" in told
        assert "COMPLETED" in told or "ended" in told


def is_jobstats(cluster: Cluster, key: str) -> bool:
    return cluster.ok("sacct", "-nPX", "-o", "AdminComment", "-j", key).startswith("JS1:")


def test_check_tells_who_else_writes_there(cluster: Cluster) -> None:
    done = cluster.box.run(["slurm-het", "check", "--config", str(cluster.box.config_path)])
    assert done.returncode == 0, done.stdout
    for name in ("epilog.sh", "prolog.sh"):
        assert f"{name}: writes AdminComment, where hetd keeps what it made of a job" in done.stdout


def test_slurms_own_metrics_have_other_names_than_ours(cluster: Cluster) -> None:
    if not has_metrics(cluster.box):
        pytest.skip("this Slurm has no metrics of its own")
    (port,) = re.findall(r"SlurmctldPort\s+= (\d+)", cluster.ok("scontrol", "show", "config"))
    theirs: set[str] = set()
    for page in ("jobs", "nodes", "partitions", "scheduler"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics/{page}", timeout=10) as got:
            theirs |= set(re.findall(r"^(slurm_\w+)", got.read().decode(), re.MULTILINE))
    ours = set(re.findall(r"^(slurm_het_\w+)", cluster.ok("slurm-het", "metrics"), re.MULTILINE))
    assert len(theirs) > 20
    assert ours
    assert not theirs & ours
