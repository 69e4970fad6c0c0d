"""slurm-het check: each mistake of a first installation is found, with its place and remedy."""

from __future__ import annotations

import datetime
import getpass
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_het.cli.checks import findings
from slurm_het.cli.checks.hook import HEAD
from slurm_het.cli.checks.host_reading import closed_to, hook_complaint, is_file, local_storage
from slurm_het.cli.checks.reading import included, is_controller
from slurm_het.cli.checks.site import AssociationKey, ControllerHost, Finding, Installation
from slurm_het.cli.checks.slurm_conf import partition_words
from slurm_het.core.measured import OF_NODE, Measured
from slurm_het.core.model import Partition
from slurm_het.core.policy import Pool
from slurm_het.settings import Config, PlannerSettings, TelemetrySettings
from slurm_het.templating import hook_config
from tests.support.world import policy, snapshot

CONFIG = Config(policy())
ETC = Path("/etc/slurm")
HOOK = {
    ETC / "job_submit.lua": f"{HEAD}\n",
    ETC / "het_protocol.lua": "",
    ETC / "het_transport.lua": "",
    ETC / "het_event.lua": "",
    ETC / "het_chain.lua": "",
    ETC / "het_hook_config.lua": hook_config(CONFIG),
}
OWN = "function slurm_job_submit() return 0 end  -- not het_protocol, not slurm-het\n"


def right() -> Installation:
    """A site at which nothing is wrong, nor worth a look."""
    conf = {
        "SchedulerParameters": "disable_job_shrink,batch_sched_delay=0",
        "GresTypes": "gpu,shard,npu,mlu,dcu,gcu,hpu,xpu",
        "JobSubmitPlugins": "lua",
        "SelectTypeParameters": "CR_CORE_MEMORY",
        "DefMemPerCPU": "1024",
        "ReconfigFlags": "(null)",
    }
    event = ETC / "het_event.lua"
    host = ControllerHost(ETC, HOOK, "PartitionName=accel Nodes=ALL State=UP", {event: ""})
    return Installation(Config(policy()), snapshot(), conf, controller=host)


def conf(**words: str) -> Callable[[Installation], Installation]:
    return lambda site: replace(site, conf={**site.conf, **words})


def little_memory(site: Installation) -> Installation:
    site = conf(MaxJobCount="100000", SLURM_VERSION="24.11.5")(site)
    return host(memory_max_mib=1000)(site)


def host(**fields: Any) -> Callable[[Installation], Installation]:
    def change(site: Installation) -> Installation:
        assert site.controller
        return replace(site, controller=replace(site.controller, **fields))

    return change


def partition(name: str, **fields: Any) -> Callable[[Installation], Installation]:
    def change(site: Installation) -> Installation:
        shot = site.snapshot
        made = tuple(replace(p, **fields) if p.name == name else p for p in shot.partitions)
        return replace(site, snapshot=replace(shot, partitions=made))

    return change


def also(extra: Partition) -> Callable[[Installation], Installation]:
    def change(site: Installation) -> Installation:
        made = (*site.snapshot.partitions, extra)
        return replace(site, snapshot=replace(site.snapshot, partitions=made))

    return change


def node(name: str, **fields: Any) -> Callable[[Installation], Installation]:
    def change(site: Installation) -> Installation:
        made = tuple(replace(n, **fields) if n.name == name else n for n in site.snapshot.nodes)
        return replace(site, snapshot=replace(site.snapshot, nodes=made))

    return change


def policies(**fields: Any) -> Callable[[Installation], Installation]:
    return lambda site: replace(site, settings=Config(replace(policy(), **fields)))


def grace(seconds: float) -> Callable[[Installation], Installation]:
    settings = Config(policy(), planner=PlannerSettings(grace_seconds=seconds))
    return lambda site: replace(site, settings=settings)


def bound(*rows: AssociationKey) -> Callable[[Installation], Installation]:
    return lambda site: replace(site, associations=rows)


def without(name: str, **more: str) -> dict[Path, str]:
    """The hook's files but one, and others."""
    kept = {path: text for path, text in HOOK.items() if path.name != name}
    return kept | {ETC / key: text for key, text in more.items()}


def moved(text: str) -> dict[Path, str]:
    """The hook in a directory of its own, and this as the site's job_submit.lua."""
    beside = {ETC / "slurm-het" / path.name: text for path, text in HOOK.items()}
    return {**beside, ETC / "job_submit.lua": text}


HALF = tuple(pool for pool in policy().pools if "nvidia" not in pool.vendors)
FEATURES = frozenset({"a100", "train-nv", "infer-nv"})


def all_pools(**changes: Any) -> Callable[[Installation], Installation]:
    names = {pool.partition for pool in policy().pools}

    def change(site: Installation) -> Installation:
        shot = site.snapshot
        changed = (replace(p, **changes) if p.name in names else p for p in shot.partitions)
        return replace(site, snapshot=replace(shot, partitions=tuple(changed)))

    return change


OLD = Partition("gpu", nodes="nv1", max_minutes=10_080)

WRONG = {
    "no such partition": (
        policies(pools=(*policy().pools, Pool("infer-x", "inference", ("nvidia",)))),
        "Slurm has no partition 'infer-x'; it has: accel, cpu, ",
    ),
    "no such spanning partition": (policies(spanning_partition="any"), "has no partition 'any'"),
    "a spanning partition that lacks nodes": (
        lambda s: also(Partition("any", nodes="nv1"))(policies(spanning_partition="any")(s)),
        "partition any: is to have the nodes of all pools, and lacks",
    ),
    "a spanning partition that is down": (
        lambda s: also(Partition("any", "DOWN"))(policies(spanning_partition="any")(s)),
        "partition any: is DOWN: what no pool can hold alone starts nowhere",
    ),
    "no time limit": (
        lambda s: partition("train-nv", max_minutes=60)(
            partition("accel", default_minutes=None, max_minutes=None)(s)
        ),
        "the intake accel has neither DefaultTime nor MaxTime",
    ),
    "a node outside the intake": (
        partition("accel", nodes="nv2,amd[1-2],asc[1-2],dcu[1-2],l40s[1-2],mlu[1-2],inf[1-2]"),
        "nodes nv1",
    ),
    "a pool that is down": (partition("train-nv", state="DOWN"), "this pool is DOWN"),
    "an intake narrower than a pool": (
        partition("accel", max_minutes=60), "MaxTime is 60 min, there it is none",
    ),
    "an intake narrower than the old partition": (
        lambda s: partition("accel", max_nodes=1)(also(replace(OLD, max_nodes=2))(s)),
        "is narrower than gpu: MaxNodes is 1 nodes, there it is 2 nodes",
    ),
    "pools narrower than the old partition": (
        lambda s: partition("train-nv", max_minutes=60)(also(OLD)(s)),
        "partition train-nv: no pool takes all that gpu takes: MaxTime is 60 min",
    ),
    "pools narrower than the intake": (
        all_pools(max_minutes=30), "no pool takes all that accel takes: MaxTime is 30 min",
    ),
    "pools for more nodes than the intake asks for": (
        all_pools(min_nodes=2), "no pool takes all that accel takes: MinNodes is 2, there it is 0",
    ),
    "no default memory": (
        conf(DefMemPerCPU="UNLIMITED"), "a job that names no memory takes all of its node",
    ),
    "associations of the old partition only": (
        bound(AssociationKey("phys", "ann", "gpu"), AssociationKey("phys", "bob")),
        "slurmdbd: the associations of ann of phys are bound to partitions, and none is to accel, ",
    ),
    "devices of several names": (
        node("nv1", gres="gpu:a100:4,npu:910b:4"),
        "node nv1: has devices of several names (gpu, npu)",
    ),
    "a node in pools of two scenarios": (
        node("nv1", partitions=("accel", "train-nv", "infer-nv"), features=FEATURES),
        "node nv1: is in several pools (train-nv, infer-nv)",
    ),
    "an unknown type": (
        node("nv1", gres="gpu:zzz:8"), "node nv1: type 'zzz' is not known",
    ),
    "no feature of the type": (
        node("nv1", features=frozenset({"train-nv"})), "node nv1: lacks the Feature 'a100'",
    ),
    "too few shards": (
        node("l40s1", gres="gpu:l40s:4,shard:l40s:160"),
        "node l40s1: has 160 shards for 4 l40s of 48 GiB, which are 192 GiB",
    ),
    "a default vendor without a pool": (
        policies(pools=HALF, default_vendors=("nvidia",)), "no pool is for nvidia",
    ),
    "no lua": (conf(JobSubmitPlugins="(null)"), "JobSubmitPlugins: is empty"),
    "another plugin alone": (conf(JobSubmitPlugins="all_partitions"), "is all_partitions"),
    "an alias that Slurm refuses": (
        conf(GresTypes="gpu,shard,mlu,dcu,gcu,hpu,xpu"), "GresTypes: lacks npu",
    ),
    "an intake that is down in slurm.conf": (
        host(slurm_conf="PartitionName=DEFAULT State=DOWN\nPartitionName=accel Nodes=ALL"),
        "slurm.conf, PartitionName=accel: says State=DOWN",
    ),
    "jobs that shrink": (conf(SchedulerParameters="bf_interval=1"), "lacks disable_job_shrink"),
    "a backfill that is too slow": (
        conf(SchedulerParameters="disable_job_shrink,bf_interval=120"),
        "grace_seconds: is 45 s, and bf_interval is 120 s",
    ),
    "a grace below Slurm's own interval": (grace(20), "is 20 s, and bf_interval is 30 s"),
    "a scheduler that looks too seldom": (
        conf(SchedulerParameters="disable_job_shrink,sched_interval=90"), "sched_interval is 90 s",
    ),
    "a start that is put off": (
        conf(SchedulerParameters="disable_job_shrink,batch_sched_delay=50"),
        "batch_sched_delay is 50 s",
    ),
    "no hook at all": (host(lua={}), "/etc/slurm/job_submit.lua: is not there"),
    "a missing part": (
        host(lua=without("het_transport.lua")), "/etc/slurm/het_transport.lua: is missing",
    ),
    "no configuration of the hook": (
        host(lua=without("het_hook_config.lua")), "/etc/slurm/het_hook_config.lua: is missing",
    ),
    "another configuration of the hook": (
        host(lua=without("", **{"het_hook_config.lua": "return {}"})),
        "het_hook_config.lua: is not what this configuration says",
    ),
    "the site's own, alone": (
        host(lua={ETC / "job_submit.lua": OWN}), "is in no directory beside it",
    ),
    "the site's own, which does not call ours": (
        host(lua=moved(OWN)), "is the site's own and does not call the hook",
    ),
    "the site's own, which only speaks of ours": (
        host(lua=moved(f"-- once: require('het_protocol')\n{OWN}")),
        "is the site's own and does not call the hook",
    ),
    "the site's own, which takes our place": (
        host(lua=moved('dofile("/etc/slurm/slurm-het/het_chain.lua")\n' + OWN)),
        "calls het_chain.lua before the site's own functions",
    ),
    "no chain": (
        host(
            lua={
                path: text
                for path, text in moved('dofile("/etc/slurm/slurm-het/het_chain.lua")').items()
                if path.name != "het_chain.lua"
            }
        ),
        "/etc/slurm/slurm-het/het_chain.lua: is missing",
    ),
    "no hetd": (host(hetd_silence="hetd is not answering"), "hetd: hetd is not answering"),
    "a trouble of hetd's": (host(troubles=("the journal /j is off: locked",)), "journal /j is off"),
    "no supervisor": (host(supervised=False), "runs without systemd or slurm_het.supervise"),
    "a hetd that is somebody": (
        host(hetd_user="ann"), "hetd: runs as ann: only SlurmUser (root) may change others' jobs",
    ),
    "a hetd that sees no jobs": (
        lambda s: conf(PrivateData="jobs,usage", SlurmUser="slurm(64030)")(
            host(hetd_user="ann")(s)
        ),
        "only SlurmUser (slurm) may change others' jobs and the intake; by PrivateData it does not",
    ),
    "another het.yaml": (
        lambda s: replace(
            host(hetd_config="/root/site/het.yaml")(s),
            settings=replace(s.settings, source=Path("/etc/slurm-het/het.yaml")),
        ),
        "hetd: goes by /root/site/het.yaml, and this is /etc/slurm-het/het.yaml",
    ),
    "a file that slurmctld cannot read": (
        host(closed={ETC / "het_protocol.lua": "-rw-------, root's"}),
        "/etc/slurm/het_protocol.lua: is -rw-------, root's: slurmctld, which runs as root, cannot",
    ),
    "a het.yaml for root alone": (
        lambda s: replace(
            s, settings=replace(s.settings, source=Path("/etc/slurm-het/het.yaml")),
            modes={Path("/etc/slurm-het/het.yaml"): stat.S_IFREG | 0o600},
        ),
        "/etc/slurm-het/het.yaml: is -rw-------: hetd, as root, and het-squeue",
    ),
    "a hook of another version": (
        lambda s: host(
            lua={**HOOK, ETC / "het_protocol.lua": "return {} -- 0.9"},
            shipped={"het_protocol.lua": "return {}", "het_transport.lua": ""},
        )(s),
        "/etc/slurm/het_protocol.lua: is not the one of this slurm-het",
    ),
    "a hook that slurmctld did not load": (
        host(hook_complaint="this Slurm has Lua 5.4, and no LuaSocket for that is installed"),
        "slurmctld's log: says last of the hook that it is not active: this Slurm has Lua 5.4",
    ),
    "two controllers, each with its own state": (
        lambda s: host(local_state="ext4")(
            conf(**{"SlurmctldHost[0]": "a(10.0.0.1)", "SlurmctldHost[1]": "b(10.0.0.2)"})(s)
        ),
        "paths.state_dir: /var/lib/slurm-het is on ext4, which only this host has, and slurmctld"
        " may run on a, b",
    ),
    "an epilog of two that counts": (
        host(
            slurm_conf="EpilogSlurmctld=/a.sh\nEpilogSlurmctld=/etc/slurm/het_event.lua\n",
            epilogs={Path("/a.sh"): ""},
        ),
        "EpilogSlurmctld: is on 2 lines, and this Slurm takes one of them, which is not ours",
    ),
    "a pool under another GRES name": (
        node("nv1", gres="accel:a100:8"),
        "node nv1: has Gres=accel:a100:8, and none of these names counts as an accelerator",
    ),
    "a gres.conf that lacks devices": (
        node("nv1", reason="gres/shard count reported lower than configured (0 < 640) [slurm@now]"),
        "node nv1: starts nothing: gres/shard count reported lower than configured (0 < 640)",
    ),
    "a Slurm that counts no devices": (
        conf(SelectType="select/linear"), "SelectType: is select/linear, which gives whole nodes",
    ),
    "a Slurm without backfill": (
        conf(SchedulerType="sched/builtin"), "SchedulerType: is sched/builtin, which starts jobs",
    ),
    "an intake for root alone": (
        lambda s: replace(s, partition_words={"accel": {"RootOnly": "YES"}}),
        "partition accel: has RootOnly=YES: Slurm takes only root's jobs there",
    ),
    "a pool for reservations alone": (
        lambda s: replace(s, partition_words={"train-nv": {"ReqResv": "YES"}}),
        "partition train-nv: has ReqResv=YES: Slurm takes only jobs with a --reservation there",
    ),
    "what others may write": (
        lambda s: replace(s, modes={ETC / "job_submit.lua": stat.S_IFREG | 0o666}),
        "/etc/slurm/job_submit.lua: is -rw-rw-rw-",
    ),
    "nodes that sleep unseen": (
        lambda s: node("nv1", state="IDLE+CLOUD")(
            conf(SuspendProgram="/x", SLURM_VERSION="22.05.8")(s)
        ),
        "PrivateData: lacks cloud: this Slurm tells nobody of nodes of State=CLOUD",
    ),
    "nodes that are not seen": (
        lambda s: replace(s, snapshot=replace(s.snapshot, unseen=frozenset({"c1", "c2"}))),
        "powered down, as c[1-2] now",
    ),
}  # fmt: skip

REMARKS = {
    "nobody's name": (
        host(strangers=("*",)), "operators: this host has no user '*', who may give hetd orders"
    ),
    "little memory": (little_memory, "reading the MaxJobCount=100000 jobs may take 17699 MiB"),
    "no default time": (partition("accel", default_minutes=None), "has no DefaultTime"),
    "no MaxTime on 24.11": (
        conf(SLURM_VERSION="24.11.5"), "more: has no MaxTime: on Slurm 24.11 two jobs",
    ),
    "a pool narrower than the intake": (
        partition("train-nv", max_minutes=30),
        "partition train-nv: is narrower than the intake accel: MaxTime is 30 min, there it is",
    ),
    "a pool that gives whole nodes": (
        partition("train-nv", exclusive=True),
        "partition train-nv: is not as the intake accel: Exclusive=NODE (OverSubscribe=EXCLUSIVE)"
        " is set, there it is not set: jobs fare otherwise",
    ),
    "pools of another tier": (
        all_pools(tier=5), "is not as the intake accel: PriorityTier is 5, there it is 1: jobs",
    ),
    "pools of another network": (
        all_pools(topology="nvl72"), "Topology is nvl72, there it is not set: jobs fare",
    ),
    "groups": (
        partition("train-nv", allow_groups=frozenset({"ml"})),
        "partition train-nv: has AllowGroups=ml: no job of others is planned there",
    ),
    "in no pool": (node("nv1", partitions=("accel",)), "node nv1: has accelerators and is in no"),
    "in two pools of one scenario": (
        node("nv1", partitions=("accel", "train-nv", "train-amd"),
             features=frozenset({"a100", "train-nv", "train-amd"})),
        "is in several pools",
    ),
    "no feature of the pool": (
        node("nv1", features=frozenset({"a100"})), "lacks the Feature 'train-nv'",
    ),
    "a kept state": (conf(ReconfigFlags="KeepPartState"), "ReconfigFlags: has KeepPartState"),
    "a kept partition": (conf(ReconfigFlags="KeepPartInfo"), "has KeepPartInfo"),
    "no events": (host(epilogs={}), "EpilogSlurmctld: is not set"),
    "a Slurm that forgets": (conf(MinJobAge="2 sec"), "MinJobAge: is 2 s: Slurm forgets jobs"),
    "variables that nobody sets": (
        lambda s: replace(s, by_prolog=frozenset({"ascend"})),
        "TaskProlog: is not set: Slurm itself tells no task its devices of ascend",
    ),
    "another's AdminComment": (
        host(
            epilogs={
                ETC / "jobs.sh": "sacctmgr -i update job set AdminComment=JS1:x\n/x/het_event.lua"
            }
        ),
        "jobs.sh: writes AdminComment, where hetd keeps what it made of a job",
    ),
    "a prolog's AdminComment": (
        host(prologs={ETC / "p.sh": "scontrol update admincomment=x"}), "p.sh: writes AdminComment",
    ),
    "another's epilog": (
        host(epilogs={ETC / "epilog.sh": "exit 0"}), "is /etc/slurm/epilog.sh, which does not call",
    ),
}  # fmt: skip


def told(found: list[Finding]) -> list[str]:
    return [f"{f.place}: {f.what}" for f in found]


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    assert findings(right()) == []


def test_the_hook_of_before_a_pool_was_in_plan_is_but_a_remark() -> None:
    lua = without("", **{"het_hook_config.lua": hook_config(CONFIG, shadow=True)})
    (found,) = findings(host(lua=lua)(right()))
    assert found.remark
    assert found.what == "says on_failure: pass, as before a pool was in plan; het.yaml's is intake"
    assert found.remedy.startswith("slurm-het hook-config > ")


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_has_its_place_and_remedy(case: str) -> None:
    change, text = WRONG[case]
    found = [f for f in findings(change(right())) if not f.remark]
    assert any(text in line for line in told(found)), told(found)
    assert all(f.place and f.remedy for f in found)


@pytest.mark.parametrize("case", REMARKS)
def test_what_is_worth_a_look_is_no_mistake(case: str) -> None:
    change, text = REMARKS[case]
    found = findings(change(right()))
    assert any(text in line and f.remark for line, f in zip(told(found), found, strict=True))


RIGHT = {
    "a partition that is retired": also(replace(OLD, max_minutes=None, state="INACTIVE")),
    "ours in the site's own": host(lua=moved('dofile("/etc/slurm/slurm-het/het_chain.lua")')),
    "an epilog that calls ours": host(epilogs={ETC / "e.sh": "/etc/slurm/het_event.lua"}),
    "no controller host": lambda s: replace(s, controller=None),
    "memory by the card": lambda s: replace(
        conf(DefMemPerCPU="UNLIMITED")(s),
        partition_words={
            p.name: {"JobDefaults": "DefMemPerGPU=1000"} for p in s.snapshot.partitions
        },
    ),
    "memory is not counted": conf(DefMemPerCPU="UNLIMITED", SelectTypeParameters="CR_CORE"),
    "bound to all of ours": bound(
        *(AssociationKey("phys", "ann", p.partition) for p in policy().pools),
        AssociationKey("phys", "ann", "accel"),
    ),
    "a spanning partition": lambda s: also(
        Partition("any", nodes=",".join(n.name for n in s.snapshot.nodes), max_minutes=10_080)
    )(policies(spanning_partition="any")(s)),
    "an old partition without devices": also(Partition("old", nodes="cpu1", max_minutes=9)),
    "two epilogs, one of them ours": host(
        slurm_conf="EpilogSlurmctld=/a.sh\nEpilogSlurmctld=/etc/slurm/het_event.lua\n",
        epilogs={Path("/a.sh"): "", ETC / "het_event.lua": ""},
    ),
    "a hetd of root's, where slurmctld is not": lambda s: host(hetd_user="root")(
        conf(SlurmUser="slurm(64030)")(s)
    ),
    "one controller, with its own state": host(local_state="ext4"),
    "a prolog of the site's": lambda s: replace(
        conf(TaskProlog="/etc/slurm/task_prolog")(s), by_prolog=frozenset({"ascend"})
    ),
    "nodes that sleep": lambda s: node("nv1", state="IDLE+CLOUD")(
        conf(SuspendProgram="/x", SLURM_VERSION="26.05.5")(s)
    ),
    "nodes that sleep, and are shown": lambda s: node("nv1", state="IDLE+CLOUD")(
        conf(SuspendProgram="/x", SLURM_VERSION="22.05.8", PrivateData="cloud")(s)
    ),
    "jobs that Slurm keeps for ever": conf(MinJobAge="0 sec"),
    "no backfill": conf(SchedulerParameters="disable_job_shrink,bf_interval=-1"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_in_another_way(case: str) -> None:
    assert findings(RIGHT[case](right())) == []


def test_nodes_with_the_same_mistake_are_said_once() -> None:
    site = node("nv2", gres="gpu:zzz:8")(node("nv1", gres="gpu:zzz:8")(right()))
    assert [t for t in told(findings(site)) if "zzz" in t] == [
        "node nv[1-2]: type 'zzz' is not known: it is taken for its pool's vendor's, and jobs that"
        " ask for memory do not get it"
    ]


def test_slurm_conf_as_slurm_reads_it(tmp_path: Path) -> None:
    (tmp_path / "parts.conf").write_text(
        "partitionname=DEFAULT State=DOWN\nPartitionName=accel \\\n Nodes=ALL # State=UP\n"
        "PartitionName=gpu state=UP\n"
    )
    (tmp_path / "slurm.conf").write_text("ClusterName=x\nInclude parts.conf\nInclude gone.conf\n")
    text = included(tmp_path / "slurm.conf", "x")
    assert partition_words(text, "accel")["state"] == "DOWN"
    assert partition_words(text, "gpu")["state"] == "UP"
    assert partition_words(text, "other") == {}


@pytest.mark.parametrize(
    ("include", "line"),
    [
        ("Include\tparts/gpu.conf", "PartitionName=accel Nodes=ALL State=DOWN"),
        (
            "include parts/gpu.conf   # of the cards",
            "partitionname = accel Nodes = ALL State = DOWN",
        ),
        ("  INCLUDE   parts/%c.conf", 'PartitionName="accel" Nodes=ALL State="DOWN" # State=UP'),
        ("Include parts/gpu.conf", "PartitionName=accel \\ \r\n State=DOWN"),
        ("Include parts/more.conf", "PartitionName=accel State\t=\tDOWN"),
        ("Include parts/old.conf", "PartitionName=accel State=DOWN"),
    ],
)
def test_each_way_to_write_slurm_conf(tmp_path: Path, include: str, line: str) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "gpu.conf").write_text(f"{line}\n")
    (tmp_path / "parts" / "more.conf").write_text("Include parts/gpu.conf\n")
    (tmp_path / "parts" / "old.conf").write_text("Include gpu.conf\n")
    (tmp_path / "slurm.conf").write_text(f"ClusterName=gpu\n{include}\n")
    text = included(tmp_path / "slurm.conf", "gpu")
    assert partition_words(text, "accel")["state"] == "DOWN"


def test_a_host_without_slurmctld() -> None:
    assert is_controller({"SlurmctldHost[0]": "localhost(127.0.0.1)"})
    assert not is_controller({"SlurmctldHost[0]": "some-other-host"})


def says(*measured: Measured) -> Callable[[Installation], Installation]:
    """What the devices of nv1, eight A100 of 80 GiB, say of themselves."""

    def change(site: Installation) -> Installation:
        return replace(site, snapshot=replace(site.snapshot, measured={"nv1": measured}))

    return change


def like(gib: int, model: str, count: int = 8, trouble: str = "") -> tuple[Measured, ...]:
    return tuple(Measured(n, 0, gib, 0, trouble, model) for n in range(count))


@pytest.mark.parametrize(
    ("measured", "finding"),
    [
        (like(80, "NVIDIA A100-SXM4-80GB"), ""),
        (like(75, "NVIDIA A100-SXM4-80GB"), ""),
        (like(80, "what nobody knows"), ""),
        (like(0, ""), ""),
        (like(40, "NVIDIA A100-SXM4-40GB"), "node nv1: a a100 there has 40 GiB by its driver, and"
         " is planned as one of 80 GiB"),
        (like(80, "NVIDIA H100 80GB HBM3"), "node nv1: a a100 there is a 'NVIDIA H100 80GB HBM3' by"
         " its driver"),
        (like(80, "NVIDIA A100-SXM4-80GB", 7), "node nv1: Slurm has 8 devices, and its drivers tell"
         " of 7"),
        (like(80, "", trouble="Xid 79"), "node nv1, device 0: is not planned: Xid 79"),
        ((Measured(OF_NODE, 0, 80), *like(80, "")[1:]), "node nv1: which of Slurm's devices is"
         " which is not known of all that its exporter tells of, so what they say keeps no job from"
         " one of them"),
        ((Measured(OF_NODE, trouble="Xid 79"), *like(80, "")[1:]), "node nv1: which of its devices"
         " is not known: Xid 79; so none is kept from jobs"),
        ((Measured(OF_NODE, 0, 40), *like(80, "")[1:]), "node nv1: a a100 there has 40 GiB by its"
         " driver, and is planned as one of 80 GiB"),
    ],
)  # fmt: skip
def test_devices_are_what_slurm_takes_them_for(
    measured: tuple[Measured, ...], finding: str
) -> None:
    assert [t for t in told(findings(says(*measured)(right()))) if "nv1" in t][:1] == (
        [finding] if finding else []
    )


@pytest.mark.parametrize(
    ("exporters", "fence", "found"),
    [
        ({"nv[1-2]": "{node}:9788"}, "end", True),
        ({"nv[1-2]": "https://{node}"}, "end", True),
        ({"nv[1-2]": "{node}:987"}, "end", False),
        ({"nv[1-2]": "{node}:9788"}, "tell", False),
        ({}, "end", False),
    ],
)
def test_jobs_are_ended_by_the_word_of_root_alone(
    exporters: dict[str, str], fence: Any, found: bool
) -> None:
    telemetry = TelemetrySettings(exporters, fence=fence)
    site = right()
    site = replace(site, settings=replace(site.settings, telemetry=telemetry))
    assert any("any user of the node may" in text for text in told(findings(site))) is found


def test_what_only_plan_needs_is_no_mistake_before_a_pool_is_in_plan() -> None:
    bare = replace(right(), controller=ControllerHost(ETC))
    assert any(f.place.endswith("job_submit.lua") and not f.remark for f in findings(bare))
    pools = tuple(replace(pool, mode="shadow") for pool in policy().pools)
    shadow = replace(bare, settings=Config(replace(policy(), pools=pools)))
    assert all(f.remark for f in findings(shadow) if f.place.endswith("job_submit.lua"))


def test_a_name_in_the_wrong_letters_is_told_right() -> None:
    pools = tuple(replace(pool, partition=pool.partition.upper()) for pool in policy().pools[:1])
    found = findings(policies(pools=pools)(right()))
    remedies = [f.remedy for f in found if "Slurm has no partition" in f.what]
    name = policy().pools[0].partition
    assert remedies == [f"write {name}: Slurm tells capital letters from small ones"]


@pytest.mark.parametrize(
    ("closed", "mode"), [("", ""), ("het_protocol.lua", "-rw-------"), (".", "drwx------")]
)
def test_what_slurmctld_may_read(short_path: Path, closed: str, mode: str) -> None:
    """As whom it runs, through the directories before a file."""
    short_path.chmod(0o755)
    file = short_path / "het_protocol.lua"
    file.touch(0o644)
    if closed:
        (short_path / closed).chmod(0o600 if mode[0] == "-" else 0o700)
    told = {short_path / closed: f"{mode}, {getpass.getuser()}'s"} if closed else {}
    assert closed_to("nobody", [file]) == told
    assert closed_to("root", [file]) == closed_to("no-such-user", [file]) == {}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["slurm-het: hook not active, all jobs pass: no x", "sched: y"], "no x"),
        (["slurm-het: hook not active, all jobs pass: no x", "slurm-het: admit uid=1"], ""),
        (["slurm-het: hook not active, all jobs pass: x", "slurmctld version 24.11.5 started"], ""),
        (["slurm-het: admit uid=1", "slurm-het: hook not active, all jobs pass: no x"], "no x"),
        ([], ""),
    ],
)
def test_the_hooks_last_word(tmp_path: Path, lines: list[str], told: str) -> None:
    log, script = tmp_path / "slurmctld.log", tmp_path / "job_submit.lua"
    log.write_text("".join(f"[2026-11-29T10:00:00.123] {line}\n" for line in lines))
    script.touch()
    at = datetime.datetime(2026, 11, 29, 9, 59).timestamp()
    os.utime(script, (at, at))
    assert hook_complaint(log, script) == told
    assert hook_complaint(tmp_path / "none.log", script) == ""
    os.utime(script, (at + 120, at + 120))
    assert hook_complaint(log, script) == "", "it was touched since"


def test_storage_that_one_host_has() -> None:
    """/dev/shm is in memory; what is beside Slurm's own state is shared as that is."""
    memory, disk = Path("/dev/shm"), Path(__file__).parent
    assert local_storage(memory, disk) == "tmpfs"
    assert local_storage(disk, disk) == ""
    assert local_storage(memory / "not-there", disk) == ""


def test_one_file_has_many_names(tmp_path: Path) -> None:
    here, link = tmp_path / "het.yaml", tmp_path / "link.yaml"
    here.touch()
    link.symlink_to(here)
    assert is_file(str(link), here)
    assert not is_file(str(tmp_path / "other.yaml"), here)
    assert not is_file("", None)
