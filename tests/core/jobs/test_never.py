"""What is refused at submit: the verdicts of real Slurm (22.05, 24.11, 26.05), case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm_het.core.capacity import UNKNOWN, Capacity, SubmitRules
from slurm_het.core.cluster.capacity import capacity_of
from slurm_het.core.jobs.admission import Admitted, Passed, Refused, admit_message
from slurm_het.core.jobs.job_size import size_of_message
from slurm_het.core.jobs.never import suits_of
from slurm_het.core.jobs.request import from_message
from slurm_het.core.model import NodeRecord, Partition, Snapshot
from slurm_het.core.policy import GresName
from slurm_het.core.reasons import NoPoolHolds
from tests.support.world import inventory, policy

ACCEL = "accel"


def node(name: str, gres: str, pool: str, memory_gib: int) -> NodeRecord:
    return NodeRecord(
        name, "DOWN*", gres, 64, memory_mib=memory_gib * 1024 - 8000,
        configured=(64, memory_gib * 1024), partitions=(ACCEL, pool), sockets=(2, 32),
        tmp_disk_mib=900 * 1024,
        features=frozenset({gres.split(":")[1], pool}),
    )  # fmt: skip


NODES = (
    node("a1", "gpu:a100:8,shard:a100:640", "train-nv", 512),
    node("a2", "gpu:a100:8,shard:a100:640", "train-nv", 512),
    node("l1", "gpu:l40s:4", "infer-nv", 256),
    node("l2", "gpu:l40s:4", "infer-nv", 256),
    node("m1", "gpu:mi300x:8", "train-amd", 512),
)
DAY = 24 * 60
PARTITIONS = (
    Partition(ACCEL, "DOWN", max_minutes=DAY),
    Partition("train-nv", max_minutes=DAY),
    Partition("infer-nv", max_minutes=120),
    Partition("train-amd", max_minutes=DAY),
)


def capacity(enforces: str = "ANY", *, bounds_gpus: bool = True) -> Capacity:
    rules = SubmitRules(enforces, bounds_gpus)
    return capacity_of(Snapshot(0.0, (), NODES, PARTITIONS, submit_rules=rules), policy())


def said(sent: dict[str, str], known: Capacity) -> str:
    """The refusal's sentence; '' if it is not refused."""
    verdict = admit_message({"partition": ACCEL} | sent, policy(), inventory(), known)
    return str(verdict.why) if isinstance(verdict, Refused) else ""


REFUSED = {
    "no node has 9 GPUs; the largest (train-nv: a1, a2) has 8": {"tres_per_node": "gpu:9"},
    "no node has 1 h999; there are a100, l40s, mi300x": {"tres_per_node": "gpu:h999:1"},
    "no node has 5 l40s; the largest (infer-nv: l1, l2) has 4": {"tres_per_node": "gpu:l40s:5"},
    "no node of infer-nv has 5 GPUs; the largest (infer-nv: l1, l2) has 4":
        {"tres_per_node": "gpu:5", "partition": "infer-nv"},
    "it asks for 33 GPUs, and the nodes have 32": {"tres_per_job": "gpu:33"},
    "it asks for 17 a100, and the nodes have 16": {"tres_per_job": "gpu:a100:17"},
    "it asks for 17 GPUs on 2 nodes, and the nodes have 16":
        {"tres_per_job": "gpu:17", "min_nodes": "1", "max_nodes": "2"},
    "it asks for 4 tasks with 8 GPUs each, and the nodes have room for 3":
        {"tres_per_task": "gpu:8", "num_tasks": "4"},
    "no node has 900 GiB of memory; the largest (train-nv: a1, a2) has 512 GiB":
        {"tres_per_node": "gpu:1", "pn_min_memory": str(900 * 1024)},
    "no node has 300 GiB of memory; the largest (infer-nv: l1, l2) has 256 GiB":
        {"tres_per_node": "gpu:l40s:1", "pn_min_memory": str(300 * 1024)},
    "no node has 600 GiB of memory; the largest (infer-nv: l1, l2) has 256 GiB":
        {"tres_per_node": "gpu:l40s:1", "min_mem_per_cpu": str(60 * 1024), "pn_min_cpus": "10"},
    "no node has 65 CPUs; the largest (train-nv: a1, a2) has 64":
        {"tres_per_node": "gpu:1", "pn_min_cpus": "65", "min_cpus": "65"},
    "no node has 160 CPUs; the largest (train-nv: a1, a2) has 64":
        {"tres_per_node": "gpu:8", "cpus_per_tres": "gpu:20"},
    "no node has 1000 GiB of local disk (TmpDisk); the largest (train-nv: a1, a2) has 900 GiB":
        {"tres_per_node": "gpu:1", "pn_min_tmp_disk": str(1000 * 1024)},
    "no node has 3 sockets; the largest (train-nv: a1, a2) has 2":
        {"tres_per_node": "gpu:1", "sockets_per_node": "3"},
    "no node has 33 cores in a socket; the largest (train-nv: a1, a2) has 32":
        {"tres_per_node": "gpu:1", "cores_per_socket": "33"},
    "it asks for 160 CPUs on 1 nodes, and the nodes have 64":
        {"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:20", "max_nodes": "1"},
    "it asks for 4 such nodes, and the nodes have 3 of them":
        {"tres_per_node": "gpu:8", "min_nodes": "4"},
    "no node of train-nv has the features 'l40s'":
        {"tres_per_node": "gpu:1", "features": "l40s", "partition": "train-nv"},
    "no node of train-nv has a device and is not in --exclude":
        {"tres_per_node": "gpu:1", "exc_nodes": "a[1-2]", "partition": "train-nv"},
    "no node has 8 mi300x and is not in --exclude":
        {"tres_per_node": "gpu:mi300x:8", "exc_nodes": "m1"},
    "no node has 8 GPUs and is not in --exclude":
        {"tres_per_node": "gpu:8", "exc_nodes": "a[1-2],m1"},
    "it asks for 2 such nodes, and the nodes have 1 of them outside of --exclude":
        {"tres_per_node": "gpu:a100:8", "min_nodes": "2", "exc_nodes": "a1"},
    "no node has 9 l40s; the largest (infer-nv: l2) has 4":
        {"tres_per_node": "gpu:l40s:9", "exc_nodes": "l1"},
}  # fmt: skip
"""Whatever EnforcePartLimits says."""

ENFORCED = {
    "it asks for 6 nodes, and accel allows 5": {"tres_per_node": "gpu:1", "min_nodes": "6"},
    "it asks for 321 CPUs, and accel allows 320": {"tres_per_node": "gpu:1", "min_cpus": "321"},
    "it asks for 1441 min, and accel allows 1440": {"tres_per_node": "gpu:1", "time_limit": "1441"},
    "it asks for 300 min, and infer-nv allows 120":
        {"tres_per_node": "gpu:1", "time_limit": "300", "partition": "infer-nv"},
}  # fmt: skip
"""With EnforcePartLimits=NO it waits for the partition to change."""

ACCEPTED = (
    {"tres_per_node": "gpu:8"},
    {"tres_per_node": "gpu:8", "pn_min_memory": str(512 * 1024), "pn_min_cpus": "64"},
    {"tres_per_job": "gpu:32"},
    {
        "tres_per_node": "gpu:1",
        "pn_min_tmp_disk": str(900 * 1024),
        "sockets_per_node": "2",
        "cores_per_socket": "32",
    },
    {"tres_per_job": "gpu:16", "max_nodes": "2"},
    {"tres_per_task": "gpu:8", "num_tasks": "3"},
    {"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:20"},
    {"tres_per_node": "gpu:1", "min_nodes": "5", "min_cpus": "320"},
    {"tres_per_node": "gpu:1", "num_tasks": "1000", "min_cpus": "1"},  # --overcommit
    {"tres_per_node": "gpu:8", "partition": "infer-nv,train-nv"},
    {"tres_per_node": "gpu:1", "time_limit": "300", "partition": "infer-nv,train-nv"},
    {"tres_per_node": "gpu:mi300x:8", "partition": ""},
    {"tres_per_node": "gpu:64", "priority": "0"},  # --hold
    {"tres_per_node": "shard:500"},
    {"tres_per_node": "gpu:0,shard:a100:4"},
    {"tres_per_node": "gpu:64", "reservation": "r"},
    {"tres_per_node": "gpu:64", "partition": "nosuch"},
    {"tres_per_node": "gpu:8", "exc_nodes": "["},
)


@pytest.mark.parametrize("enforces", ["NO", "ANY", "ALL"])
@pytest.mark.parametrize("sentence", REFUSED)
def test_what_no_node_holds_is_refused(sentence: str, enforces: str) -> None:
    assert said(REFUSED[sentence], capacity(enforces)) == sentence


@pytest.mark.parametrize("sentence", ENFORCED)
def test_a_partitions_limit_refuses_if_slurm_enforces_it(sentence: str) -> None:
    assert said(ENFORCED[sentence], capacity("ANY")) == sentence
    assert said(ENFORCED[sentence], capacity("ALL")) == sentence
    assert not said(ENFORCED[sentence], capacity("NO"))


@pytest.mark.parametrize(
    ("flag", "sent"),
    [
        ("PartitionTimeLimit", {"time_limit": "300"}),
        ("PartitionMaxNodes", {"min_nodes": "2"}),
    ],
)
def test_a_limit_that_a_qos_lifts_refuses_nobody_who_may_be_in_it(
    flag: str, sent: dict[str, str]
) -> None:
    asks = sent | {"tres_per_node": "gpu:1", "partition": "infer-nv"}
    known = capacity()
    tight = replace(known.partitions["infer-nv"], max_nodes=1)
    known = replace(known, partitions=known.partitions | {"infer-nv": tight})
    assert said(asks, known)
    assert not said(asks, replace(known, lifts=frozenset({flag})))
    assert not said(asks | {"qos": "long"}, known), "its flags are not told"


def test_with_all_one_of_several_partitions_is_enough() -> None:
    two = {"tres_per_node": "gpu:1", "time_limit": "300", "partition": "train-nv,infer-nv"}
    assert said(two, capacity("ALL")) == "it asks for 300 min, and infer-nv allows 120"
    assert not said(two, capacity("ANY"))


def test_a_limit_that_lets_it_wait_hides_what_the_nodes_have() -> None:
    job = {"tres_per_node": "gpu:64", "time_limit": "2000"}
    assert not said(job, capacity("NO"))


@pytest.mark.parametrize("sent", ACCEPTED, ids=str)
def test_what_plain_slurm_accepts_is_not_refused(sent: dict[str, str]) -> None:
    assert said(sent, capacity()) == ""


@pytest.mark.parametrize("sent", [*REFUSED.values(), *ENFORCED.values()], ids=str)
def test_without_a_capacity_nothing_is_refused(sent: dict[str, str]) -> None:
    assert said(sent, UNKNOWN) == ""


def test_26_05_looks_for_the_cpus_on_as_many_nodes_as_there_are_tasks() -> None:
    """It sends that number for the most nodes, and refuses -n1 or -n2 with these (seen)."""
    job = {"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:20", "num_tasks": "1", "max_nodes": "1"}
    assert said(job, capacity())
    assert said(job, capacity(bounds_gpus=False))
    assert said(job | {"num_tasks": "65", "max_nodes": "1"}, capacity(bounds_gpus=False))


def test_26_05_lets_more_gpus_than_one_node_has_wait() -> None:
    job = {"tres_per_job": "gpu:9", "max_nodes": "1"}
    assert said(job, capacity())
    assert not said(job, capacity(bounds_gpus=False))
    two = {"tres_per_job": "gpu:17", "max_nodes": "2"}
    assert said(two, capacity(bounds_gpus=False))


def test_a_future_node_counts() -> None:
    more = node("b1", "gpu:a100:16", "train-nv", 512)
    found = Snapshot(0.0, (), NODES, PARTITIONS, future=(replace(more, state="FUTURE"),))
    assert not said({"tres_per_node": "gpu:16"}, capacity_of(found, policy()))


def test_what_only_others_could_hold_goes_to_them_whatever_its_script_says() -> None:
    sent = {"tres_per_node": "gpu:8", "exc_nodes": "a[1-2]", "script": "module load cuda"}
    made = admit_message({"partition": ACCEL} | sent, policy(), inventory(), capacity())
    assert isinstance(made, Admitted)
    assert not made.classification.vendors
    usual = admit_message(sent | {"exc_nodes": ""}, policy(), inventory(), capacity())
    assert isinstance(usual, Admitted)
    assert usual.classification.vendors == ("nvidia",)


def test_what_only_several_pools_hold_together_stays_as_it_is() -> None:
    sent = {"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:20", "partition": ACCEL}
    assert admit_message(sent, policy(), inventory(), capacity()) == Passed(NoPoolHolds())


@pytest.mark.parametrize("op", ["admit", "judge"])
@pytest.mark.parametrize(
    ("asks", "goes"),
    [
        ({"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:20"}, True),
        ({"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:20", "partition": ""}, True),
        ({"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:20", "partition": "train-nv"}, False),
        ({"tres_per_job": "gpu:8", "cpus_per_tres": "gpu:2"}, False),
    ],
)
def test_what_only_several_pools_hold_goes_where_all_their_nodes_are(
    asks: dict[str, str], goes: bool, op: str
) -> None:
    nodes = tuple(replace(n, partitions=(*n.partitions, "any")) for n in NODES)
    known = capacity_of(Snapshot(0.0, (), nodes, (*PARTITIONS, Partition("any"))), policy())
    sent = {"op": op, "partition": ACCEL} | asks
    for spanning in ("", "any"):
        site = replace(policy(), spanning_partition=spanning)
        made = admit_message(sent, site, inventory(), known)
        assert getattr(made, "partition", "") == (spanning if goes else "")


def test_nodes_named_in_several_pools_are_where_all_nodes_are() -> None:
    nodes = tuple(replace(n, partitions=(*n.partitions, "any")) for n in NODES)
    known = capacity_of(Snapshot(0.0, (), nodes, (*PARTITIONS, Partition("any"))), policy())
    site = replace(policy(), spanning_partition="any")
    for names, goes in (("a1,l1", "any"), ("a[1-2]", ""), ("a1,x9", "")):
        sent = {"op": "judge", "partition": ACCEL, "tres_per_node": "gpu:1", "req_nodes": names}
        made = admit_message(sent, site, inventory(), known)
        assert isinstance(made, Passed)
        assert made.partition == goes, names


@pytest.mark.parametrize(
    ("script", "passes"), [("#HET vendors=amd", True), ("module load rocm", False)]
)
def test_what_a_script_shows_gives_way_to_what_can_hold_the_job_but_no_word_of_its_user(
    script: str, passes: bool
) -> None:
    """A job is not sent to devices that its user has excluded: plain Slurm has it then."""
    sent = {"tres_per_node": "gpu:8", "min_nodes": "2", "partition": ACCEL, "script": script}
    verdict = admit_message(sent, policy(), inventory(), capacity())
    assert isinstance(verdict, Passed) == passes


@pytest.mark.parametrize(
    ("asks", "pools"),
    [
        ({}, "infer-nv"),
        ({"min_nodes": "2"}, "infer-nv"),
        ({"min_nodes": "2", "exc_nodes": "l1"}, "train-nv"),
        ({"pn_min_memory": str(300 * 1024)}, "train-nv"),
        ({"time_limit": "120"}, "infer-nv"),
        ({"time_limit": "121"}, "train-nv infer-nv"),  # that one's MaxTime may be raised yet
        ({"time_limit": "121", "time_min": "60"}, "infer-nv"),
        ({"time_limit": "121", "qos": "long"}, "infer-nv"),  # which may lift MaxTime
        ({"time_limit": "121", "partition": "infer-nv"}, "infer-nv"),
    ],
)
def test_a_job_that_no_pool_of_its_scenario_can_take_is_for_the_others(
    asks: dict[str, str], pools: str
) -> None:
    sent = {"tres_per_node": "gpu:4", "script": "module load cuda\nvllm serve m"} | asks
    made = admit_message(sent, policy(), inventory(), capacity("NO"))
    assert isinstance(made, Admitted)
    assert [pool.partition for pool in made.pools] == pools.split()
    told = "no inference pool can hold it and allows it; using the others"
    assert (told in made.classification.evidence) == ("train-nv" in pools)


def test_devices_of_another_gres_name_count_for_a_request_without_a_type() -> None:
    """`gpu:2` of a job for Ascend becomes npu:910b:2 where that is what its cards are called."""
    npus = replace(NODES[0], name="n1", gres="npu:910b:4", partitions=(ACCEL, "train-ascend"))
    names = replace(policy(), gres=policy().gres | {"npu": GresName(vendors=("ascend",))})
    known = capacity_of(Snapshot(0.0, (), (*NODES, npus), PARTITIONS), names)
    for count, holds in ((2, True), (5, False)):
        sent = {"tres_per_node": f"gpu:{count}", "partition": ACCEL}
        size = size_of_message(sent, from_message(sent), names)
        can = suits_of(size, known, names).holds
        assert can("train-ascend", frozenset({"910b"})) == holds
