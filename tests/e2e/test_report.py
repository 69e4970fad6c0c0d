"""Shadow on a real Slurm for two minutes, and the report of it: from slurmdbd and from
jobcomp/filetxt, which tell the same of the same jobs.

The site's scheduler is slow: it looks at three jobs each three seconds. So plain Slurm leaves room
idle that shadow sees.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from slurm_het.config import load_config
from slurm_het.replay.asked import asked_by_words
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import PastJob, Tally
from slurm_het.replay.sacct import ENVIRONMENT, command
from slurm_het.replay.site import WORDS
from slurm_het.replay.source import lines_of, read_past, read_site
from slurm_het.sandbox.accounting import Accounting
from slurm_het.sandbox.layout import slurm_version
from tests.support.cluster import Cluster, own_sandbox

pytestmark = [pytest.mark.slurm]

SLOW = "defer,batch_sched_delay=600,sched_interval=600,bf_interval=3,bf_max_job_test=3"
USERS = {"daemon": "one", "mail": "one", "games": "two"}
ACCOUNTS = Accounting(
    enforce=(),
    accounts={"one": {}, "two": {}},
    users={user: {"Account": account} for user, account in USERS.items()},
)
JOBS = 60
ASKS = (
    ("-p", "train-nv", "--gres=gpu:1"),
    ("-p", "train-nv,train-amd", "--gres=gpu:4"),
    ("-p", "train-amd", "--gres=gpu:mi300x:8"),
    ("-p", "infer-nv", "--gres=gpu:2"),
)


@pytest.fixture(scope="module")
def site() -> Iterator[Cluster]:
    """Sixty jobs have come, and ended."""
    with own_sandbox(overrides={"mode": "shadow"}, accounting=ACCOUNTS) as box:
        cluster = Cluster(box)
        conf = box.layout.slurm_conf
        text = re.sub(
            r"(?m)^SchedulerParameters=.*", f"SchedulerParameters={SLOW}", conf.read_text()
        )
        conf.write_text(text)
        cluster.ok("scontrol", "reconfigure")
        users = list(USERS)
        for n in range(JOBS):
            words = (*ASKS[n % len(ASKS)], "-t", str(1 + n % 5), "-J", f"n {n} JobState=FAILED")
            cluster.sbatch(*words, script=f"sleep {3 + n % 9}", user=users[n % len(users)])
        odd_ones(cluster)
        cluster.wait("the queue is empty", lambda: not cluster.ok("squeue", "-h"), 400)
        yield cluster


def odd_ones(cluster: Cluster) -> None:
    """An array, one that fails, one cancelled while it waits, one held for a while."""
    cluster.sbatch("-p", "infer-nv", "--gres=gpu:1", "-a", "1-3", "-t", "2", user="mail")
    cluster.sbatch("-p", "infer-nv", "--gres=gpu:1", "-t", "2", script="exit 3", user="games")
    gone = cluster.sbatch("-p", "train-nv", "--gres=gpu:8", "-H", "-t", "2", user="games")
    held = cluster.sbatch("-p", "train-nv", "--gres=gpu:8", "-H", "-t", "2", user="daemon")
    cluster.ok("scancel", gone)
    cluster.ok("scontrol", "release", held)


def report(cluster: Cluster, *options: str) -> str:
    return cluster.tool("admin", "report", *options)


def test_the_report_of_shadow_tells_who_would_have_started_sooner(site: Cluster) -> None:
    made = json.loads(report(site, "--json"))
    changes = made["changes"]
    assert made["jobs"] > JOBS / 2
    assert made["decided"] > JOBS / 4
    assert changes["earlier"] > JOBS / 4
    assert made["ours"]["mean"] < made["waits"]["mean"]
    assert {one["name"] for one in changes["users"]} == set(USERS)
    assert {one["name"] for one in changes["accounts"]} == set(USERS.values())
    really = {p.key: p.start - p.since for p in from_sacct(site) if p.start is not None}
    if made["jobs"] == len(really):
        assert made["waits"]["mean"] == pytest.approx(statistics.mean(really.values()), abs=0.1)
    for one in changes["worst"]:
        assert one["plain"] == pytest.approx(really[one["job"]])
    lines = report(site).splitlines()
    assert len(lines) <= 40
    assert lines[0].startswith("Shadow from ")
    assert "no forecast" in lines[1]


def test_without_slurmdbd_the_report_is_the_same(site: Cluster) -> None:
    path = str(site.box.layout.log / "jobcomp.log")
    until = ("--json", "--until", time.strftime("%Y-%m-%dT%H:%M:%S"))
    there, here = (json.loads(report(site, *until, *more)) for more in ((), ("--past", path)))
    same = ("jobs", "waits", "ours", "decided", "overtaken", "losers", "busy")
    assert {key: there[key] for key in same} == {key: here[key] for key in same}
    for kind in ("users", "accounts", "sizes", "worst"):
        assert there["changes"][kind] == here["changes"][kind]


def from_sacct(cluster: Cluster) -> list[PastJob]:
    asked = ["env", *(f"{k}={v}" for k, v in ENVIRONMENT.items()), *command("now-1hour", "now")]
    text = cluster.ok(*asked)
    return list(read_past(text.splitlines(keepends=True), WallClock(), Tally()))


def test_filetxt_and_slurmdbd_tell_the_same_of_the_same_jobs(site: Cluster) -> None:
    tally = Tally()
    lines = lines_of(site.box.layout.log / "jobcomp.log")
    written = by_key(read_past(lines, WallClock(), tally))
    kept = by_key(from_sacct(site))
    assert not tally.left_out
    assert len(written) == JOBS + 6
    # sacct leaves out who was held until he was cancelled: he was at no time in the queue.
    never = {key for key, past in written.items() if past.eligible is None}
    assert len(never) == 1
    assert written.keys() - never == kept.keys()
    lists = slurm_version().tuple < (26, 5)
    differ = {
        key: {name: (a[name], b[name]) for name in a if a[name] != b[name]}
        for key in kept
        if (a := shared(kept[key], lists)) != (b := shared(written[key], lists))
    }
    assert not differ


def test_what_a_replay_asks_of_a_site_has_its_hidden_partitions_with_their_limits(
    site: Cluster,
) -> None:
    site.ok(
        "scontrol", "create", "PartitionName=secret", "Nodes=ALL", "Hidden=YES",
        "MaxTime=00:30:00", "DenyAccounts=two",
    )  # fmt: skip
    try:
        told = [site.ok("scontrol", *words.split(), user="daemon") for words in WORDS]
    finally:
        site.ok("scontrol", "delete", "PartitionName=secret")
    secret = read_site("\n".join(told), load_config(site.box.config_path)).records["secret"]
    assert (secret.max_minutes, *secret.deny_accounts) == (30, "two")


def by_key(pasts: Sequence[PastJob] | Iterator[PastJob]) -> dict[str, PastJob]:
    return {past.key: past for past in pasts}


def shared(past: PastJob, lists: bool) -> dict[str, Any]:
    """What both sources have. filetxt has what was asked for alone, without types that were given;
    and of several partitions it has the list, if it `lists` them (26.05 does not), where sacct's
    record names the one where it ran and the command line tells the others."""
    bare = replace(past, priority=None, features="", words="", suspended=0.0)
    told = {name: getattr(bare, name) for name in PastJob.__slots__}
    del told["given"], told["asked"], told["priority"]
    several = asked_by_words(past).partitions
    if lists and past.partition in several:
        told["partition"] = ",".join(several)
    return told | {"devices": sum(past.tres.devices.values()), "since": past.since}
