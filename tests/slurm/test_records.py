"""Slurm's own output, captured from one set of jobs on 22.05.8, 24.11.5 and 26.05.5 sandboxes.

tests/data holds what `squeue --all --json` and `scontrol -o -a show` printed. From the JSON only
unused fields are left out (24.11 and 26.05 print 200 KiB of per-core allocations).
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from slurm_het.core.cluster.inventory import devices_lost, take_inventory
from slurm_het.core.jobs.demand import Demand, NodeSize, count_demand
from slurm_het.core.jobs.request import gres_of
from slurm_het.core.model import Job, Snapshot
from slurm_het.errors import SlurmError
from slurm_het.slurm.jobs import parse_jobs
from slurm_het.slurm.records import parse_fields, parse_nodes, parse_partitions
from slurm_het.slurm.versions import exit_status, normalise_tres, parse_version
from tests.support.world import DATA, policy

VERSIONS = ("22.05", "24.11", "26.05")


@cache
def jobs(version: str, memory_tracked: bool = True) -> dict[str, Job]:
    """The captured jobs by name; of an array, each task by its key."""
    payload = (DATA / f"squeue-{version}.json").read_bytes()
    parsed = parse_jobs(payload, memory_tracked=memory_tracked)
    return {j.name if j.name not in {"cpuarr", "wrap"} else j.key: j for j in parsed}


def lines(kind: str, version: str) -> str:
    """A captured text."""
    return (DATA / f"{kind}-{version}.txt").read_text()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("gpus", {"state": "RUNNING", "nodes": "nv1", "tres_per_job": "gpu:2",
                  "gres_detail": ("gpu:a100:2(IDX:0-1)",), "partition": "train-nv"}),
        ("pernode", {"nodes": "amd[1-2]", "nodes_min": 2, "tres_per_node": "gpu:4",
                     "gres_detail": ("gpu:mi300x:4(IDX:0-3)",) * 2}),
        ("typed", {"tres_per_node": "gpu:a100:2", "gres_detail": ("gpu:a100:2(IDX:2-3)",)}),
        ("array", {"state": "PENDING", "reason": "PartitionDown", "array_job_id": 6,
                   "array_task_id": None, "array_tasks": "0-9%3", "array_limit": 3}),
        ("pertask", {"tasks": 4, "cpus": 4}),
        ("socket", {"tres_per_socket": "gpu:1", "sockets_per_node": 2}),
        ("cpg", {"cpus_per_gpu": 4, "memory_per_gpu_mib": 8192, "memory_per_node_mib": None,
                 "memory_per_cpu_mib": None}),
        ("mem0", {"memory_per_node_mib": 0, "memory_per_cpu_mib": None}),
        ("excl", {"exclusive": True}),
        ("typed", {"exclusive": False}),
        ("tpn", {"ntasks_per_node": 4, "tasks": 8, "min_cpus_per_node": 12, "cpus": 24,
                 "nodes_min": 2, "nodes_max": 2}),
        ('x UserId=root(0) "q"', {"features": "a100|mi300x", "req_nodes": "amd1", "user": "root",
                                  "exc_nodes": "nv[1-2]", "comment": "State=RUNNING",
                                  "state": "PENDING"}),
        ("range", {"tres_per_job": "gpu:16", "nodes_min": 2, "nodes_max": 3}),
        ("cpu", {"memory_per_cpu_mib": 512, "tres_per_node": "", "tasks": 2}),
        ("hold", {"priority": 0, "reason": "JobHeldUser", "time_limit_minutes": 1440}),
        ("18_0", {"array_job_id": 18, "array_task_id": 0, "id": 21, "array_tasks": ""}),
        ("18_3", {"array_job_id": 18, "array_task_id": 3, "id": 18}),
        ("20", {"het_job_id": 19, "array_task_id": None}),
    ],
)  # fmt: skip
def test_every_version_gives_the_same_record(
    version: str, name: str, fields: dict[str, Any]
) -> None:
    job = jobs(version)[name]
    assert {key: getattr(job, key) for key in fields} == fields


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("array", [(1, 1, 1024)]),
        ("pertask", [(4, 4, 4096)]),
        ("cpg", [(2, 8, 16384)]),
        ("tpn", [(4, 12, 12288)] * 2),
        ("range", [(8, 1, 1024)] * 2),
    ],
)
def test_demands_are_the_same_on_every_version(
    version: str, name: str, slots: list[tuple[int, int, int]]
) -> None:
    job = jobs(version)[name]
    demand = count_demand(job, gres_of(job), policy(), NodeSize(8))
    assert isinstance(demand, Demand)
    assert [(s.devices, s.cpus, s.memory_mib) for s in demand.slots] == slots


@pytest.mark.parametrize("version", VERSIONS)
def test_the_inventory_of_the_captured_cluster(version: str) -> None:
    shot = Snapshot(
        time=0.0,
        jobs=tuple(jobs(version).values()),
        nodes=parse_nodes(lines("nodes", version)),
        partitions=parse_partitions(lines("partitions", version)),
    )
    found = take_inventory(shot, policy())
    assert found.warnings == ()
    assert len(found.nodes) == 14
    held = {
        f"{d.node}:{d.index}": (d.occupied_gib, d.holders) for d in found.devices() if d.holders
    }
    whole = {f"nv1:{i}": (80, ("1",) if i < 2 else ("3",)) for i in range(4)}
    whole |= {f"{n}:{i}": (192, ("2",)) for n in ("amd1", "amd2") for i in range(4)}
    assert held == whole | {"l40s1:0": (24, ("4",)), "l40s1:1": (40, ("5",))}
    assert found.nodes["nv1"].cpus_free == 62
    assert not found.nodes["nv1"].idle
    assert found.nodes["l40s2"].idle
    assert found.nodes["l40s1"].has_shards
    assert found.nodes["l40s1"].devices[0].memory_gib == 48
    assert found.nodes["amd1"].memory_free_mib == 1024 * 1024 - 1024


@pytest.mark.parametrize("version", VERSIONS)
def test_partitions_and_nodes(version: str) -> None:
    partitions = {p.name: p for p in parse_partitions(lines("partitions", version))}
    assert partitions["accel"].state == "DOWN"
    assert partitions["train-nv"].state == "UP"
    assert partitions["train-nv"].max_minutes is None
    assert partitions["train-nv"].max_nodes is None
    assert partitions["train-nv"].allow_groups == frozenset()
    assert [p.name for p in partitions.values() if p.default] == ["cpu"]
    nodes = {n.name: n for n in parse_nodes(lines("nodes", version))}
    assert nodes["amd1"].features == {"mi300x", "amd", "training", "train-amd"}
    assert nodes["amd1"].partitions == ("accel", "train-amd")
    assert nodes["l40s1"].gres.startswith("gpu:l40s:4")
    assert nodes["cpu1"].gres == ""
    assert (nodes["amd1"].cpus, nodes["amd1"].cpus_alloc) == (96, 1)


@pytest.mark.parametrize(
    ("told", "exclusive"),
    [
        ("OverSubscribe=EXCLUSIVE", True),  # 22.05, 24.11
        ("ExclusiveUser=NO OverSubscribe=NO", False),
        ("Exclusive=NODE OverSubscribe=NO", True),  # 26.05, of OverSubscribe=EXCLUSIVE too
        ("Exclusive=USER OverSubscribe=NO", False),
        ("Exclusive=NO OverSubscribe=FORCE:2", False),
    ],
)
def test_a_partition_whose_jobs_get_whole_nodes(told: str, exclusive: bool) -> None:
    (partition,) = parse_partitions(f"PartitionName=p Nodes=n1 {told} State=UP")
    assert partition.exclusive is exclusive


@pytest.mark.parametrize("version", VERSIONS)
def test_where_slurm_does_not_track_memory_none_is_asked_for(version: str) -> None:
    for job in jobs(version, False).values():
        assert job.memory_per_node_mib is None
        assert job.memory_per_cpu_mib is None
        assert job.memory_per_gpu_mib is None


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"jobs": [{}]}', b"\xff", b'{"jobs": 3}'])
def test_what_is_no_answer_is_a_slurm_error(payload: bytes) -> None:
    with pytest.raises(SlurmError, match="cannot read squeue's JSON"):
        parse_jobs(payload, memory_tracked=True)


def test_infinite_and_unset_numbers() -> None:
    record = {
        "job_id": 1,
        "time_limit": {"set": True, "infinite": True, "number": 0},
        "array_task_id": {"set": False, "infinite": False, "number": 0},
        "priority": {"set": True, "infinite": False, "number": 7},
        "job_state": ["RUNNING", "COMPLETING"],
    }
    (job,) = parse_jobs(json.dumps({"jobs": [record]}).encode(), memory_tracked=True)
    assert (job.time_limit_minutes, job.array_task_id, job.priority) == (None, None, 7)
    assert job.state == "COMPLETING"
    old = {"job_id": 1, "time_limit": 4294967295, "priority": None, "job_state": "PENDING"}
    (job,) = parse_jobs(json.dumps({"jobs": [old]}).encode(), memory_tracked=True)
    assert (job.time_limit_minutes, job.priority) == (None, 0)


@pytest.mark.parametrize(
    ("listed", "state"),
    [
        (["PENDING"], "PENDING"),
        (["PENDING", "SPECIAL_EXIT"], "SPECIAL_EXIT"),
        (["RUNNING", "STOPPED"], "STOPPED"),
        (["RUNNING", "POWER_UP_NODE", "CONFIGURING"], "CONFIGURING"),
        (["COMPLETED", "COMPLETING", "STAGE_OUT"], "COMPLETING"),
        ([], ""),
    ],
)
def test_a_state_is_the_first_of_its_flags_in_slurms_order(listed: list[str], state: str) -> None:
    assert read(job_state=listed).state == state


def read(**fields: object) -> Job:
    record = {"job_id": 1, "job_state": "PENDING"} | fields
    (job,) = parse_jobs(json.dumps({"jobs": [record]}).encode(), memory_tracked=True)
    return job


@pytest.mark.parametrize("value", [65534, 65535])
@pytest.mark.parametrize("wrapped", [False, True])
def test_numbers_that_are_unset_in_16_bits_only(value: int, wrapped: bool) -> None:
    """65535 MiB, minutes, priority or job id are just that."""
    shown: object = {"set": True, "infinite": False, "number": value} if wrapped else value
    job = read(memory_per_node=shown, time_limit=shown, priority=shown, array_job_id=shown)
    assert (job.memory_per_node_mib, job.time_limit_minutes) == (value, value)
    assert (job.priority, job.array_job_id) == (value, value)
    assert read(threads_per_core=shown, tasks_per_node=shown).threads_per_core == 0


def test_a_user_that_slurms_host_does_not_know() -> None:
    """22.05 prints null: one such job is no reason to read none."""
    assert read(user_name=None, user_id=4711).user == "4711"


@pytest.mark.parametrize(
    ("shared", "exclusive"),
    # user: every job of a partition with ExclusiveUser=YES, and they do share its nodes.
    [(["none"], True), (["user"], False), ([], False), ("", False), (None, False)],
)
def test_who_shares_no_node_with_others(shared: object, exclusive: bool) -> None:
    assert read(shared=shared).exclusive is exclusive


def test_features_that_slurm_is_to_prefer() -> None:
    """On a list of other nodes it starts no such job, and holds it: it has to choose itself."""
    assert read(prefer="nvlink&ib").layout.by_slurm == ("--prefer=nvlink&ib",)
    assert read(prefer="").layout == read().layout


def test_cpus_of_a_task_where_22_05_does_not_tell_them() -> None:
    assert read(cpus=24, tasks=8, cpus_per_task=None).cpus_per_task == 3
    assert read(cpus=8, tasks=8, cpus_per_task=1).cpus_per_task == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gres:gpu:2", "gpu:2"),
        ("gres/gpu:a100:2", "gpu:a100:2"),
        ("gres/gpu=1", "gpu=1"),
        ("cpu=2,gres/gpu=1", "gpu=1"),
        ("gres:gpu:1,gres:shard:2", "gpu:1,shard:2"),
        ("cpu=3", ""),
        ("", ""),
        ("gpu:2", "gpu:2"),
    ],
)
def test_tres_in_one_spelling(text: str, expected: str) -> None:
    assert normalise_tres(text) == expected


def test_the_first_of_a_key_counts() -> None:
    fields = parse_fields("NodeName=a State=IDLE Reason=x State=DOWN NodeName=b")
    assert fields == {"NodeName": "a", "State": "IDLE", "Reason": "x"}


@pytest.mark.parametrize(
    ("text", "version", "json_option", "cgroup", "rewrites"),
    [
        ("slurm-wlm 22.05.8", (22, 5), "--json", "cgroup/v1", False),
        ("slurm 24.11.5", (24, 11), "--json=v0.0.42", "disabled", True),
        ("slurm-wlm 26.05.5-1", (26, 5), "--json=v0.0.42", "disabled", True),
        ("slurm 23.11.0-0rc1", (23, 11), "--json", "cgroup/v1", True),
    ],
)
def test_versions(
    text: str, version: tuple[int, int], json_option: str, cgroup: str, rewrites: bool
) -> None:
    found = parse_version(text)
    assert found.tuple == version
    assert found.squeue_json == json_option
    assert found.cgroup_plugin == cgroup
    assert found.rewrites_gres is rewrites


@pytest.mark.parametrize("text", ["", "scontrol: not found", "slurm"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(SlurmError):
        parse_version(text)


def test_what_slurmd_keeps_for_itself_is_no_memory_for_jobs() -> None:
    (node,) = parse_nodes("NodeName=n1 CPUTot=8 CPUEfctv=6 RealMemory=1000 MemSpecLimit=100")
    assert (node.cpus, node.memory_mib) == (6, 900)


RESTARTED = """
NodeName=amd1 CPUAlloc=2 CPUTot=16 Gres=gpu:mi300x:4 GresUsed=gpu:mi300x:1 State=MIXED \
BootTime=None SlurmdStartTime=None LastBusyTime=2026-11-25T01:32:06
NodeName=amd2 CPUAlloc=0 CPUTot=16 Gres=gpu:mi300x:4 GresUsed=gpu:mi300x:4(IDX:0-3),shard:0 \
State=IDLE BootTime=2026-11-25T00:48:17 SlurmdStartTime=2026-11-25T01:32:00
NodeName=nv1 CPUAlloc=1 CPUTot=16 Gres=gpu:a100:4 GresUsed=gpu:a100:4(IDX:0-3),shard:0 \
State=MIXED BootTime=2026-11-25T00:48:17 SlurmdStartTime=2026-11-25T01:32:00
NodeName=nv2 CPUAlloc=0 CPUTot=16 Gres=gpu:a100:4 GresUsed=gpu:a100:0(IDX:N/A),shard:0 \
State=IDLE BootTime=2026-11-25T00:48:17 SlurmdStartTime=2026-11-25T01:32:00
""".replace("\\\n", "")


@pytest.mark.parametrize("forgets", [True, False])
def test_after_a_restart_of_slurmctld(forgets: bool) -> None:
    """22.05.8's own words: amd1 has not registered; amd2's devices are used, and by nobody."""
    nodes = parse_nodes(RESTARTED, forgets_devices=forgets)
    assert nodes[0].state == ("MIXED+UNREGISTERED" if forgets else "MIXED")
    assert [n.name for n in nodes if "UNREGISTERED" in n.state] == ["amd1"] * forgets
    assert [n.name for n in nodes if n.gres_stale] == ["amd2"]
    shot = Snapshot(0.0, (), nodes, ())
    assert devices_lost(shot) == ("amd2",)
    ending = Job(1, state="COMPLETING", nodes="amd[1-2]")
    assert devices_lost(replace(shot, jobs=(ending,))) == ()
    assert take_inventory(shot, policy()).nodes["amd1"].usable is not forgets
    assert parse_version("slurm-wlm 22.05.8").forgets_devices
    assert not parse_version("slurm 24.11.5").forgets_devices


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ("IDLE+POWERED_DOWN", True),  # Slurm powers it up for a job, and gives that its devices
        ("UNKNOWN+POWERING_UP", False),  # it starts none there before the node has registered
        ("IDLE", False),
    ],
)
def test_who_did_not_register_since_slurmctld_started(state: str, usable: bool) -> None:
    """22.05.8's own words. What is powered down registers for the first job that it is given."""
    text = f"NodeName=amd1 CPUTot=16 Gres=gpu:mi300x:4 State={state} SlurmdStartTime=None"
    shot = Snapshot(0.0, (), parse_nodes(text, forgets_devices=True), ())
    assert take_inventory(shot, policy()).nodes["amd1"].usable is usable


@pytest.mark.parametrize(
    ("state", "future"),
    [("FUTURE", True), ("IDLE+DYNAMIC_FUTURE", False), ("MIXED+DYNAMIC_FUTURE", False)],
)
def test_a_node_that_slurmd_has_claimed_is_there(state: str, future: bool) -> None:
    (node,) = parse_nodes(f"NodeName=nv1 Gres=gpu:a100:4 State={state}")
    assert node.future is future


def newer(code: int | None, signal: int | None) -> dict[str, Any]:
    """An exit status as 24.11 and 26.05 print it."""

    def number(value: int | None) -> dict[str, Any]:
        return {"set": value is not None, "infinite": False, "number": value or 0}

    return {
        "status": ["SIGNALED" if signal else "ERROR" if code else "SUCCESS"],
        "return_code": number(code),
        "signal": {"id": number(signal), "name": ""},
    }


@pytest.mark.parametrize(
    ("printed", "status"),
    [
        (None, (0, 0)),
        (0, (0, 0)), (768, (3, 0)), (9, (0, 9)), (15, (0, 15)), (0xFFFFFFFE, (0, 0)),
        (newer(0, None), (0, 0)), (newer(3, None), (3, 0)), (newer(None, 9), (0, 9)),
        ({"status": ["PENDING"], "return_code": {"set": False}, "signal": None}, (0, 0)),
    ],
)  # fmt: skip
def test_the_exit_status_of_every_version(printed: Any, status: tuple[int, int]) -> None:
    """`exit 3`, `kill -9 $$` and scancel, as the three versions printed them."""
    assert exit_status(printed) == status


@pytest.mark.parametrize(
    "field",
    [
        '"priority": NaN', '"priority": {"set": true, "number": Infinity}', '"account": null',
        '"comment": "half \\ud800 a character"', '"restart_cnt": -Infinity',
    ],
)  # fmt: skip
def test_what_is_no_json_costs_a_field_and_no_snapshot(field: str) -> None:
    record = '{"job_id": 7, "name": "x", "job_state": "PENDING", %s}'
    text = f'{{"jobs": [{record % field}, {{"job_id": 8}}], "errors": []}}'
    jobs = parse_jobs(text.encode(), memory_tracked=True)
    assert [(job.id, job.name) for job in jobs] == [(7, "x"), (8, "")]
    assert "\ud800" not in jobs[0].comment


@pytest.mark.parametrize("bad", ['{"job_id": "seven"}', "[]", "7", '{"job_id": 9, "nodes": {}}'])
def test_a_record_that_cannot_be_read_costs_that_job(
    bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = f'{{"jobs": [{bad}, {{"job_id": 8}}]}}'
    jobs = parse_jobs(text.encode(), memory_tracked=True)
    assert [job.id for job in jobs] == [8]
    assert "is left out" in caplog.text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("bad fan [root@2026-11-30T23:12:34]", "bad fan"),
        ("fan [left] [slurm@1796079354]", "fan [left]"),
        ("fan [left]", "fan [left]"),
        ("", ""),
    ],
)
def test_the_reason_of_a_node_is_without_who_gave_it(said: str, reason: str) -> None:
    (node,) = parse_nodes(f"NodeName=n1 CPUTot=1 State=IDLE+DRAIN Partitions=p Reason={said}")
    assert node.reason == reason
