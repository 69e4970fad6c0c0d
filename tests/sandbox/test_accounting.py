"""The accounting section of a topology file: what it tells Slurm, and how what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from slurm_het.errors import HetError
from slurm_het.sandbox.accounting import Accounting, load_accounting
from slurm_het.sandbox.layout import (
    ACCOUNTING_APT_LINE,
    PROGRAMS,
    require_programs,
    require_users,
)
from slurm_het.sandbox.topology import (
    DEFAULT_TOPOLOGY,
    Topology,
    accounting_for,
    load_topology,
)

NODES = """
- {name: "a[1-2]", type: a100, vendor: nvidia, devices: 2, memory_gib_per_device: 80,
   cpus: 8, memory_gib: 64, pool: train-nv, scenario: training}
"""
SECTION = """
  enforce: [associations, limits, qos]
  slurm_conf: {PreemptMode: [SUSPEND, GANG], AccountingStorageTRES: license/matlab}
  partitions: {train-nv: {QOS: part}, debug: {Nodes: a1, MaxTime: "1:00:00"}}
  qos:
    normal: {Priority: 3}
    part: {GrpTRES: {gres/gpu: 3, "gres/gpu:a100": 2}}
    high: {Preempt: [normal, part], PreemptMode: requeue, MaxWall: "1-00:00:00", Flags: DenyOnLimit}
  accounts:
    vision: {Parent: research, MaxJobs: 3, GrpTRESMins: {license/matlab: 60}}
    research: {Fairshare: 2, QOS: [normal, high]}
  users:
    daemon: [{Account: vision}, {Account: research, Partition: train-nv, MaxTRES: {gres/gpu: 1}}]
    games: {Account: vision}
"""


def topology(tmp_path: Path, section: str = SECTION) -> Topology:
    path = tmp_path / "site.yaml"
    path.write_text(f"nodes:{NODES}accounting:{section}")
    return load_topology(path)


def section_of(tmp_path: Path) -> Accounting:
    found = accounting_for(topology(tmp_path), wanted=True)
    assert found is not None
    return found


def test_sacctmgr_is_told_parents_first_and_tres_when_they_are_known(tmp_path: Path) -> None:
    section = section_of(tmp_path)
    assert [" ".join(call) for call in section.calls_before()] == [
        "add cluster het",
        "add qos part,high",
        "modify qos where name=normal set Priority=3",
        "modify qos where name=high set Preempt=normal,part PreemptMode=requeue "
        "MaxWall=1-00:00:00 Flags=DenyOnLimit",
        "add account research Fairshare=2 QOS=normal,high",
        "add account vision Parent=research MaxJobs=3",
        "add user daemon,games Account=vision",
        "add user daemon Account=research Partition=train-nv",
    ]
    assert [" ".join(call) for call in section.calls_after()] == [
        "modify qos where name=part set GrpTRES=gres/gpu=3,gres/gpu:a100=2",
        "modify account where name=vision set GrpTRESMins=license/matlab=60",
        "modify user where name=daemon Account=research Partition=train-nv set MaxTRES=gres/gpu=1",
    ]


def test_slurm_conf_is_told_what_is_counted_and_of_the_partitions(tmp_path: Path) -> None:
    section = section_of(tmp_path)
    assert section.conf(["gres/gpu", "gres/gpu:a100"]) == {
        "PriorityType": "priority/multifactor",
        "PreemptMode": "SUSPEND,GANG",
        "AccountingStorageEnforce": "associations,limits,qos",
        "AccountingStorageTRES": "gres/gpu,gres/gpu:a100,license/matlab",
    }
    assert section.partition_lines({"train-nv": {"Nodes": "a[1-2]", "State": "UP"}}) == {
        "train-nv": {"Nodes": "a[1-2]", "State": "UP", "QOS": "part"},
        "debug": {"Nodes": "a1", "MaxTime": "1:00:00"},
    }


def test_devices_and_shards_are_counted() -> None:
    counted = load_topology(DEFAULT_TOPOLOGY).tres()
    assert counted[:3] == ["gres/gpu", "gres/gpu:a100", "gres/gpu:mi300x"]
    assert counted[-1] == "gres/shard"


def test_which_section_is_used(tmp_path: Path) -> None:
    plain, site = load_topology(DEFAULT_TOPOLOGY), topology(tmp_path)
    given = Accounting(accounts={"x": {}})
    assert plain.accounting is None
    assert accounting_for(site, wanted=False) is None
    assert accounting_for(plain, wanted=True) == load_accounting()
    assert accounting_for(site, wanted=True) == site.accounting
    assert accounting_for(site, wanted=given) == given
    with pytest.raises(HetError, match="partitions: train-x: no pool"):
        accounting_for(plain, wanted=Accounting(partitions={"train-x": {"MaxTime": 3}}))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("qos]", "qoss]", "accounting: enforce: 'qoss' is none of associations, limits, qos"),
        ("  qos:", "  qoses:", "unknown field `qoses` - at `$.accounting`"),
        ("MaxJobs:", "MaxJob:", "accounting: accounts: vision: 'MaxJob' is none of GrpJobs,"),
        ("MaxJobs: 3", "MaxJobs: x", "accounts: vision: MaxJobs: 'x' is no whole number"),
        ("gres/gpu: 3", "gres/gpus: 3", "qos: part: GrpTRES: 'gres/gpus' is none of cpu, mem,"),
        ("gpu:a100", "gpu:h100", "'gres/gpu:h100' is none of cpu, mem, node"),
        ("{gres/gpu: 1}", "4", "users: daemon: MaxTRES: 4 is no mapping"),
        ("Parent: research", "Parent: reserch", "'reserch' is none of root, vision, research"),
        ("{Fairshare: 2", "{Parent: vision", "accounts: vision: Parent: it is above itself"),
        ("Fairshare: 2", "Fairshare: two", "Fairshare: 'two' is no whole number, nor parent"),
        ("[normal, part]", "[norm]", "qos: high: Preempt: 'norm' is none of normal, part, high"),
        ("PreemptMode: requeue", "PreemptMode: kill", "'kill' is none of cancel, cluster"),
        ("DenyOnLimit", "Deny", "Flags: 'Deny' is none of DenyOnLimit, "),
        ('"1-00:00:00"', "soon", "qos: high: MaxWall: 'soon' is no time"),
        ("games: {Account: vision}", "games: {}", "games: needs Account, one of vision, research"),
        ("games:", "nobody:", "users: nobody: no user to Slurm 26.05"),
        ("games:", "Games:", "users: Games: Slurm's names are of small letters"),
        ("Partition: train-nv", "Partition: train", "'train' is none of accel, train-nv, "),
        ("QOS: part", "QOS: parts", "partitions: train-nv: QOS: 'parts' is none of normal, part"),
        ("{Nodes: a1, ", "{", "partitions: debug: no pool has this name, so it needs Nodes"),
        ('"1:00:00"', '"1 hour"', "debug: MaxTime: slurm.conf cannot hold blanks or #"),
        ("PreemptMode: [", "NodeName: [", "slurm_conf: 'NodeName' is no key of slurm.conf, or"),
    ],
)  # fmt: skip
def test_a_bad_section_is_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SECTION
    with pytest.raises(HetError) as caught:
        topology(tmp_path, SECTION.replace(old, new, 1))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_user_of_another_machine_is_refused() -> None:
    require_users(["root", "daemon"])
    with pytest.raises(HetError, match="users: ann-o-nym: this machine has no such user"):
        require_users(["root", "ann-o-nym"])


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\necho slurm 26.05.1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("slurm_het.sandbox.layout.search_path", lambda: str(tmp_path))
    assert require_programs().text == "26.05.1"
    with pytest.raises(HetError, match="slurmdbd is not installed") as caught:
        require_programs(accounting=True)
    assert ACCOUNTING_APT_LINE in str(caught.value)


def test_the_default_section_needs_no_file_of_the_topology() -> None:
    """It names no partition and no type, so that it fits any topology with a GPU."""
    section = load_accounting()
    assert not section.partitions
    assert msgspec.to_builtins(section)["users"]
