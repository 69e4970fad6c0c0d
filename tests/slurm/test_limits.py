"""The site's limits as Slurm prints them: 22.05, 24.11 and 26.05, read from a sandbox."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from slurm_het.core.model import Job, Partition, Snapshot
from slurm_het.core.site_limits import Limit, SiteLimits
from slurm_het.errors import SlurmError
from slurm_het.slurm.limits import LimitReader, QosRules, parse_licenses, parse_limits, rules_of
from slurm_het.slurm.qos import QosReader, parse_qos
from tests.support.world import DATA

VERSIONS = ("22.05", "24.11", "26.05")
WAITING = Job(4, user="daemon", uid=1, account="research", qos="limited")
RULES = """normal||||||||||
limited|DenyOnLimit,OverPartQOS||||||3|cpu=100,gres/gpu=4|5|gres/gpu=12
pool||||||||mem=2G||
"""
CONF = {"AccountingStorageEnforce": "associations,limits,qos,safe"}


def rules(printed: str) -> dict[str, QosRules]:
    return {name: rules_of(fields) for name, fields in parse_qos(printed).items()}


def text(version: str) -> str:
    return (DATA / f"assoc_mgr-{version}.txt").read_text()


def read(version: str, *waiting: Job) -> SiteLimits:
    return parse_limits(text(version), waiting or (WAITING,), rules(RULES), safe=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_limits_of_accounts_and_users_with_their_use(version: str) -> None:
    found = {(a.account, a.user): a for a in read(version).associations}
    assert set(found) == {
        ("research", ""), ("research", "daemon"), ("vision", ""), ("vision", "daemon"),
    }  # fmt: skip
    assert found["research", ""].parent == "root"
    assert found["vision", ""].parent == "research"
    assert [found[who].running for who in (("vision", ""), ("research", "daemon"))] == [1, 3]
    assert set(found["research", ""].limits) == {
        Limit("GrpTRES", "gres/gpu", 10, 4),
        Limit("GrpTRESMins", "gres/gpu", 5000, 0, 40),
    }
    assert found["research", "daemon"].limits == (Limit("MaxJobs", "", 1, 3),)
    assert set(found["vision", "daemon"].limits) == {
        Limit("MaxJobs", "", 9, 1),
        Limit("MaxWallPJ", "", 300),
        Limit("MaxTRESPJ", "cpu", 10),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_limits_of_a_qos_of_its_users_and_accounts(version: str) -> None:
    qos = {q.name: q for q in read(version).qos}["limited"]
    assert qos.over_partition
    assert {
        Limit("GrpJobs", "", 20, 3),
        Limit("GrpTRES", "gres/gpu:a100", 8, 3),
        Limit("GrpTRESMins", "gres/gpu", 1000, 0, 30),
        Limit("GrpTRESRunMins", "cpu", 5000, 240),
        Limit("MaxWallPJ", "", 60),
        Limit("MaxTRESPN", "gres/gpu", 2),
    } <= set(qos.limits)
    assert set(qos.users[1]) == {
        Limit("MaxJobsPU", "", 3, 3),
        Limit("MaxTRESPU", "cpu", 100, 24),
        Limit("MaxTRESPU", "gres/gpu", 4, 3),
    }
    assert set(qos.accounts["research"]) == {
        Limit("MaxJobsPA", "", 5, 3),
        Limit("MaxTRESPA", "gres/gpu", 12, 3),
    }
    assert Limit("MaxTRESPU", "gres/gpu", 4) in qos.each_user


@pytest.mark.parametrize("version", VERSIONS)
def test_only_what_the_waiting_jobs_concern_is_kept(version: str) -> None:
    found = read(version, replace(WAITING, user="games", uid=5))
    assert {a.user for a in found.associations} <= {"", "games"}
    assert all(set(qos.users) <= {5} for qos in found.qos)


def test_sacctmgr_tells_what_each_may_have_who_has_no_job_there() -> None:
    assert rules(RULES)["pool"] == QosRules(
        flags=frozenset({""}), each_user=(Limit("MaxTRESPU", "mem", 2048),)
    )


@pytest.mark.parametrize(
    "broken", ["", "QOS=", "ClusterName=", "QOS=x\n        MaxTRESPU=y\n", "\n\n"]
)
def test_any_text_is_read(broken: str) -> None:
    parse_limits(broken, (WAITING,), rules("a|b\n|||||\nx||y||=||z|y|=|z|a=1Q"), safe=False)


class FakeSlurm:
    """Answers as Slurm 22.05 did, and counts what it was asked."""

    def __init__(self, failing: str = "") -> None:
        self.asked: list[tuple[str, ...]] = []
        self.failing = failing

    async def run(self, *argv: str) -> str:
        self.asked.append(argv)
        if argv[0] == self.failing:
            raise SlurmError("it does not answer")
        return RULES if argv[0] == "sacctmgr" else text("22.05")


def read_by(slurm: FakeSlurm, *jobs: Job, times: int = 1, **conf: str) -> SiteLimits:
    shot = Snapshot(0.0, jobs, (), (Partition("train-nv", qos="pool"),))

    async def reads() -> SiteLimits:
        reader = LimitReader(slurm.run, QosReader(slurm.run))
        for _ in range(times):
            found = await reader.read(shot, {**CONF, **conf})
        return found

    return asyncio.run(reads())


def test_what_the_waiting_jobs_concern_is_asked_for_and_no_more() -> None:
    slurm = FakeSlurm()
    found = read_by(slurm, WAITING, times=3)
    assert found.safe
    assert [argv for argv in slurm.asked if argv[0] == "sacctmgr"] == [slurm.asked[0]]
    first, *later = [argv[3:] for argv in slurm.asked if argv[0] == "scontrol"]
    assert first == ("flags=assoc,qos", "accounts=research", "qos=limited,pool")
    # The accounts above are known after that.
    assert later[-1][1] == "accounts=research,root"


def test_slurmdbd_is_left_alone_where_no_partition_has_a_qos() -> None:
    slurm = FakeSlurm()
    shot = Snapshot(0.0, (WAITING,), (), (Partition("train-nv"),))
    assert asyncio.run(LimitReader(slurm.run, QosReader(slurm.run)).read(shot, CONF))
    assert {argv[0] for argv in slurm.asked} == {"scontrol"}


@pytest.mark.parametrize("jobs", [(), (replace(WAITING, state="RUNNING"),)])
def test_where_nobody_waits_nothing_is_asked(jobs: tuple[Job, ...]) -> None:
    slurm = FakeSlurm()
    assert not read_by(slurm, *jobs)
    assert not slurm.asked


def test_who_is_also_to_wait_is_asked_for() -> None:
    slurm = FakeSlurm()
    reader, shot = LimitReader(slurm.run, QosReader(slurm.run)), Snapshot(0.0, (), (), ())
    found = asyncio.run(reader.read(shot, CONF, (replace(WAITING, licenses="matlab"),)))
    assert ("research", "daemon") in {(a.account, a.user) for a in found.associations}
    assert ("scontrol", "-o", "show", "licenses") in slurm.asked


@pytest.mark.parametrize("enforced", ["none", "associations", "associations,qos", ""])
def test_where_slurm_enforces_no_limits_nothing_is_asked(enforced: str) -> None:
    slurm = FakeSlurm()
    assert not read_by(slurm, WAITING, AccountingStorageEnforce=enforced)
    assert not slurm.asked


def test_a_slurmdbd_that_is_down_hides_no_limits_of_those_with_jobs() -> None:
    found = read_by(FakeSlurm(failing="sacctmgr"), WAITING)
    assert {q.name for q in found.qos} == {"limited", "pool"}


def test_limits_that_are_hidden_from_us_are_left_to_slurm() -> None:
    assert not read_by(FakeSlurm(failing="scontrol"), WAITING)


def test_while_slurmctld_is_busy_the_limits_of_the_last_minute_hold() -> None:
    """By a clock that never goes back, as the snapshot's may."""
    slurm = FakeSlurm()
    now = 0.0
    reader = LimitReader(slurm.run, QosReader(slurm.run), lambda: now)

    def found(seconds: float) -> SiteLimits:
        nonlocal now
        now = seconds
        shot = Snapshot(-seconds, (WAITING,), (), (Partition("train-nv", qos="pool"),))
        return asyncio.run(reader.read(shot, CONF))

    read = found(1000.0)
    assert read
    slurm.failing = "scontrol"
    assert found(1060.0) == read
    assert not found(1061.0), "they may be others by now, and Slurm keeps them itself"


def test_licences_are_asked_for_where_a_job_waits_for_one() -> None:
    printed = "LicenseName=matlab Total=5 Used=1 Free=2 Reserved=2 Remote=no\nNo licenses"
    assert parse_licenses(printed) == (Limit("Licenses", "matlab", 5, 1),)
    remote = "LicenseName=lsf@server Total=5 Used=1 Free=2 Reserved=0 Remote=yes LastDeficit=2"
    assert parse_licenses(remote) == (Limit("Licenses", "lsf@server", 3, 1),)
    slurm = FakeSlurm()
    read_by(slurm, replace(WAITING, licenses="matlab:1"), AccountingStorageEnforce="none")
    assert slurm.asked == [("scontrol", "-o", "show", "licenses")]


@pytest.mark.parametrize("account", ["a b", "a,b", "x=y", "a\nb", ""])
def test_a_strange_name_is_no_part_of_the_command(account: str) -> None:
    slurm = FakeSlurm()
    read_by(slurm, replace(WAITING, account=account))
    assert not [word for argv in slurm.asked for word in argv if account and account in word]
