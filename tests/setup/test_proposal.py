"""What becomes of a site's partitions, and that what is written is read again as it was meant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from slurm_het.config import parse_config
from slurm_het.core.catalog import Catalog
from slurm_het.core.model import Job, NodeRecord, Partition, Snapshot
from slurm_het.errors import HetError
from slurm_het.setup.files import conf_lines, het_yaml
from slurm_het.setup.proposal import GresVendors, SiteProposal, propose_site
from slurm_het.templating import yaml_word
from slurm_het.vendors import catalogue, load_vendors
from tests.support import world

VENDORS = load_vendors()
NAMES = GresVendors({"gpu": "", **{n: v.vendor for v in VENDORS.values() for n in v.gres}})
CATALOG = Catalog(catalogue(VENDORS))
GRES = {
    "a": "gpu:a100:8", "l": "gpu:l40s:4", "m": "gpu:mi300x:8", "n": "gpu:910b:8", "c": "",
    "u": "gpu:rtx_x:2", "t": "tpu:v5e:4", "f": "fpga:2,nic:1",
}  # fmt: skip


def site(*partitions: Partition, jobs: tuple[Job, ...] = ()) -> Snapshot:
    """Nodes by the letters of their names; each partition names its own, one by one."""
    names = sorted({name for p in partitions for name in p.nodes.split(",")})
    nodes = tuple(
        NodeRecord(
            name, "IDLE", GRES[name[0]], 64,
            partitions=tuple(p.name for p in partitions if name in p.nodes.split(",")),
        )
        for name in names
    )  # fmt: skip
    return Snapshot(0.0, jobs, nodes, partitions)


def proposed(*partitions: Partition, jobs: tuple[Job, ...] = ()) -> SiteProposal:
    return propose_site(site(*partitions, jobs=jobs), CATALOG, NAMES)


def pools(found: SiteProposal) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {p.partition.name: (p.scenario, p.partition.nodes) for p in found.pools}


GPU = Partition("gpu", nodes="a1,a2,l1", max_minutes=600)


def test_partitions_that_are_there_are_taken() -> None:
    found = proposed(GPU, Partition("big", nodes="a1,a2"), Partition("small", nodes="l1"),
                     Partition("debug", nodes="a1"), Partition("cpu", nodes="c1"))  # fmt: skip
    assert (found.intake.name, found.intake.new) == ("gpu", False)
    assert pools(found) == {"big": ("training", ("a1", "a2")), "small": ("inference", ("l1",))}
    assert [line.split()[1] for line in found.left_out] == ["debug"]


def test_what_no_partition_is_for_gets_new_ones_by_vendor_and_scenario() -> None:
    found = proposed(replace(GPU, nodes="a1,a2,l1,m1"), Partition("train-nvidia", nodes="c1"))
    assert pools(found) == {
        "train-nvidia-2": ("training", ("a1", "a2")),
        "infer-nvidia": ("inference", ("l1",)),
        "train-amd": ("training", ("m1",)),
    }
    assert found.spanning
    assert (found.spanning.name, found.spanning.new) == ("accel-any", True)


@pytest.mark.parametrize(
    ("partition", "intake"),
    [
        (replace(GPU, nodes="a1,a2,l1,c1"), "accel"),  # closing it would stop jobs on c1
        (replace(GPU, allow_accounts=frozenset({"x"})), "accel"),
        (replace(GPU, name="accel", root_only=True), "accel-2"),
        (GPU, "gpu"),
    ],
)
def test_closing_the_intake_stops_nobody_else(partition: Partition, intake: str) -> None:
    assert proposed(partition, Partition("cpu", nodes="c1")).intake.name == intake


def test_the_intake_is_the_partition_that_jobs_are_sent_to() -> None:
    other = replace(GPU, name="other")
    jobs = (Job(1, partition="gpu"), Job(2, partition="gpu"), Job(3, partition="other"))
    found = proposed(other, GPU, jobs=jobs)
    assert found.intake.name == "gpu"
    assert found.spanning
    assert (found.spanning.name, found.spanning.new) == ("other", False)


DEBUG = Partition("debug", nodes="a1,a2", max_minutes=30, tier=10)


@pytest.mark.parametrize(
    "other",
    [
        DEBUG,
        Partition("few", nodes="a1,a2", max_nodes=1),
        Partition("scavenge", nodes="a1,a2", preempt_modes=frozenset({"REQUEUE"})),
        Partition("low", nodes="a1,a2", tier=0),
        Partition("old", nodes="a1,a2", state="INACTIVE"),
        Partition("own-qos", nodes="a1,a2", qos="few"),
        Partition("whole", nodes="a1,a2", exclusive=True),
        Partition("blocks", nodes="a1,a2", topology="nvl72"),
        Partition("there", nodes="a1,a2", alloc_nodes=frozenset({"login1"})),
    ],
    ids=lambda p: p.name,
)
@pytest.mark.parametrize("more", ["", ",c1"])  # gpu is the intake; a new one is like gpu
def test_a_partition_in_which_jobs_fare_otherwise_is_no_pool(other: Partition, more: str) -> None:
    gpu = Partition("gpu", nodes=f"a1,a2{more}", max_minutes=10_080, default=True)
    found = proposed(other, gpu, Partition("cpu", nodes="c1"))
    assert found.intake.name == ("accel" if more else "gpu")
    assert found.intake.like == gpu
    (pool,) = found.pools
    assert pool.partition.name == ("gpu" if more else "train-nvidia")
    assert pool.partition.like == gpu
    assert f"partition {other.name} stays as it is" in " ".join(found.left_out)


def test_a_retired_partition_is_no_intake() -> None:
    gpu, old = Partition("gpu", nodes="a1", max_minutes=60), Partition("old", nodes="a1")
    for state in ("INACTIVE", "DRAIN", "DOWN"):
        assert proposed(replace(old, state=state), gpu).intake.name == "gpu"
    closed = replace(gpu, state="DOWN")  # by a hetd that runs
    both = replace(closed, nodes="a1,l1")
    pools = (replace(gpu, name="train", nodes="a1"), replace(gpu, name="infer", nodes="l1"))
    assert proposed(both, *pools).intake.name == "gpu"


def test_a_new_partition_is_as_what_has_its_nodes() -> None:
    vision = Partition("vision", nodes="a1,a2", allow_accounts=frozenset({"vision"}))
    nlp = Partition("nlp", nodes="l1", allow_groups=frozenset({"nlp"}), max_minutes=60)
    found = proposed(vision, nlp, Partition("nlp-debug", nodes="l1", max_minutes=5, tier=9))
    assert {p.partition.name: p.partition.like for p in found.pools} == {
        "train-nvidia": vision, "infer-nvidia": nlp,
    }  # fmt: skip
    assert found.intake.like == vision
    told = " ".join(found.left_out)
    assert "look whom accel, accel-any (new, with its nodes) lets in" in told


@pytest.mark.parametrize(
    ("shown", "written"),
    [
        ({"AllowAccounts": "vision", "AllowGroups": "ALL", "AllowQos": "ALL"},
         "AllowAccounts=vision"),
        ({"AllowGroups": "gpuusers"}, "AllowGroups=gpuusers"),
        ({"AllowQos": "a,b", "DenyAccounts": "x"}, "AllowQos=a,b DenyAccounts=x"),
        ({"DenyQos": "x", "AllocNodes": "login[1-2]"}, "AllocNodes=login[1-2] DenyQos=x"),
        ({"RootOnly": "YES", "ReqResv": "YES", "LLN": "YES"}, "RootOnly=YES ReqResv=YES LLN=YES"),
        ({"ExclusiveUser": "YES", "LLN": "NO"}, "ExclusiveUser=YES"),
        ({"MaxNodes": "1", "MinNodes": "1"}, "MaxNodes=1"),
        ({"MaxNodes": "UNLIMITED", "MinNodes": "2"}, "MinNodes=2"),
        ({"PreemptMode": "OFF"}, "PreemptMode=OFF"),
        ({"PreemptMode": "REQUEUE"}, ""),
        ({"JobDefaults": "DefCpuPerGPU=2,DefMemPerGPU=4096"}, "DefCpuPerGPU=2 DefMemPerGPU=4096"),
        ({"JobDefaults": "(null)"}, ""),
        ({"MaxCPUsPerNode": "1", "OverTimeLimit": "0"}, "MaxCPUsPerNode=1 OverTimeLimit=0"),
        ({"DefMemPerCPU": "1", "PriorityTier": "1", "PriorityJobFactor": "0"},
         "DefMemPerCPU=1 PriorityJobFactor=0"),
    ],
)  # fmt: skip
def test_a_new_partition_has_the_limits_and_keeps_out_whom_the_old_one_does(
    shown: dict[str, str], written: str
) -> None:
    lines = conf_lines(proposed(GPU), {"PreemptMode": "REQUEUE"}, {"gpu": shown}).splitlines()
    (line,) = (x for x in lines if x.startswith("PartitionName=train-nvidia "))
    told = line.removeprefix("PartitionName=train-nvidia Nodes=a[1-2]").removesuffix(" State=UP")
    assert told.strip() == written


@pytest.mark.parametrize(
    ("default", "shown", "written"),
    [
        ("maxtime llnx", {"MaxTime": "UNLIMITED", "LLN": "NO"}, "MaxTime=UNLIMITED"),
        ("lln allowgroups prioritytier", {"LLN": "NO", "AllowGroups": "ALL", "PriorityTier": "1"},
         "AllowGroups=ALL LLN=NO PriorityTier=1"),
        ("lln", {"LLN": "YES", "MaxTime": "9"}, "LLN=YES MaxTime=9"),
        ("defaulttime", {"DefaultTime": "NONE", "MaxTime": "2-00:00:00"},
         "MaxTime=2-00:00:00 DefaultTime=2-00:00:00"),
        ("defaulttime", {"DefaultTime": "NONE", "MaxTime": "UNLIMITED"}, "DefaultTime=UNLIMITED"),
        ("overtimelimit", {"OverTimeLimit": "NONE"}, "OverTimeLimit=5"),
        ("preemptmode", {"PreemptMode": "REQUEUE"}, "PreemptMode=REQUEUE"),
        ("defmempercpu", {"DefMemPerNode": "UNLIMITED"}, "DefMemPerCPU=0"),
        ("denyaccounts tresbillingweights", {}, 'DenyAccounts="" TRESBillingWeights=""'),
        ("allowaccounts", {"DenyAccounts": "x"}, "AllowAccounts=ALL DenyAccounts=x"),
        ("oversubscribe", {"OverSubscribe": "NO"}, "OverSubscribe=NO"),
        ("shared", {"OverSubscribe": "NO", "Exclusive": "NODE"}, "Exclusive=NODE OverSubscribe=NO"),
        ("exclusiveuser", {"OverSubscribe": "NO", "Exclusive": "NO"},
         "Exclusive=NO OverSubscribe=NO"),
        ("nodes state", {"MaxTime": "UNLIMITED"}, ""),
    ],
)  # fmt: skip
def test_a_new_partition_takes_nothing_of_slurm_confs_default_partition(
    default: str, shown: dict[str, str], written: str
) -> None:
    conf = {"PreemptMode": "REQUEUE", "OverTimeLimit": "5 min"}
    text = conf_lines(proposed(GPU), conf, {"gpu": shown}, default.split())
    (line,) = (x for x in text.splitlines() if x.startswith("PartitionName=train-nvidia "))
    told = line.removeprefix("PartitionName=train-nvidia Nodes=a[1-2]").removesuffix(" State=UP")
    assert told.strip() == written
    assert "take back" not in text


def test_what_a_line_cannot_take_back_of_the_default_partition_is_told() -> None:
    shown = {"gpu": {"QoS": "N/A", "JobDefaults": "DefMemPerGPU=9"}}
    text = conf_lines(proposed(GPU), {}, shown, {"qos", "defmempergpu", "defcpupergpu"})
    lines = text.splitlines()
    place = lines.index("PartitionName=train-nvidia Nodes=a[1-2] DefMemPerGPU=9 State=UP")
    told = "# PartitionName=DEFAULT sets DefCpuPerGPU, QoS, which gpu does not have"
    assert lines[place - 2].startswith(told)
    assert "cannot be read" in conf_lines(proposed(GPU), {}, shown, None)


def test_what_is_written_is_read_as_it_was_meant() -> None:
    whole = Partition("no", nodes="a1,l1,n1,u1", max_minutes=60)
    partitions = (whole, Partition("1e3", nodes="u1"))
    found = proposed(*partitions)
    policy = parse_config(het_yaml(found)).policy
    assert policy.intake_partition == "no"
    assert {p.partition: p.scenario for p in policy.pools} == {
        p.partition.name: p.scenario for p in found.pools
    }
    assert "1e3" in {p.partition for p in policy.pools}
    assert policy.types["rtx_x"].vendor == "nvidia"
    assert policy.gres["npu"].alias_of == "gpu"
    assert "mlu" not in policy.gres, "no node has cards of that vendor"
    assert policy.spanning_partition == "accel-any"


def test_slurm_conf_gets_what_it_lacks_and_keeps_what_it_has() -> None:
    found = proposed(GPU)
    shown = {"gpu": {"MaxTime": "10:00:00", "PriorityTier": "1", "QoS": "gpuq", "Nodes": "x"}}
    conf = {"GresTypes": "gpu", "SchedulerParameters": "bf_interval=30", "JobSubmitPlugins": "x"}
    lines = conf_lines(found, conf, shown).splitlines()
    assert "PartitionName=train-nvidia Nodes=a[1-2] MaxTime=10:00:00 QoS=gpuq State=UP" in lines
    assert "SchedulerParameters=bf_interval=30,disable_job_shrink,batch_sched_delay=0" in lines
    assert "JobSubmitPlugins=x,lua" in lines
    assert "#   Feature=...,a100,train-nvidia" in lines
    assert not any(line.startswith(("PartitionName=gpu ", "GresTypes")) for line in lines)
    assert "GresTypes=gpu,npu" in conf_lines(proposed(replace(GPU, nodes="a1,n1")), conf, shown)


def test_the_sandbox_is_found_as_it_is() -> None:
    found = propose_site(world.snapshot(), CATALOG, NAMES)
    assert found.intake.name == world.policy().intake_partition
    assert {p.partition.name for p in found.pools} == {p.partition for p in world.policy().pools}
    assert found.left_out == ()


def test_a_cluster_without_accelerators_is_told() -> None:
    with pytest.raises(HetError, match="no node has an accelerator"):
        proposed(Partition("cpu", nodes="c1"))


def test_nodes_whose_gres_nobody_knows_are_told() -> None:
    found = proposed(replace(GPU, nodes="a1,t1,t2"), Partition("cpu", nodes="c1,f1"))
    assert [line.partition(",")[0] for line in found.left_out if line.startswith("nodes")] == [
        "nodes f1 have GRES fpga", "nodes t[1-2] have GRES tpu",
    ]  # fmt: skip
    with pytest.raises(HetError, match="no node has an accelerator") as raised:
        proposed(Partition("tpus", nodes="t1,t2"))
    assert (raised.value.hint or "").startswith("nodes t[1-2] have GRES tpu, of which no vendor")


@pytest.mark.parametrize("word", ["gpu", "no", "1e3", "a: b", "on", "~", "train-nv", "x#y", "é"])
def test_a_word_is_read_from_yaml_as_it_is(word: str) -> None:
    assert yaml.safe_load(f"key: {yaml_word(word)}") == {"key": word}
