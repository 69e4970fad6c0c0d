"""What can keep a job waiting on a real cluster: how each cause is staged, what takes it out of the
way, and what looks as if it did and does not.
"""

from __future__ import annotations

from dataclasses import dataclass

OWNER, STRANGER, OTHER = "mail", "daemon", "games"
POLL_SECONDS = 2.0

SITE = """
nodes:
- {name: "nv[1-2]", type: a100, devices: 4, cpus: 16, memory_gib: 64, pool: train-nv, scenario: training}
- {name: amd1, type: mi300x, devices: 4, cpus: 16, memory_gib: 64, pool: train-amd, scenario: training}
- {name: asc1, type: 910b, devices: 4, cpus: 16, memory_gib: 64, pool: train-ascend, scenario: training}
- {name: "dcu[1-2]", type: k100ai, devices: 4, cpus: 16, memory_gib: 64, pool: train-dcu, scenario: training}
- {name: "mlu[1-2]", type: mlu370, devices: 4, cpus: 16, memory_gib: 64, pool: train-mlu, scenario: training}
- {name: "ln[1-2]", type: l40s, devices: 4, cpus: 16, memory_gib: 64, pool: line, scenario: training}
- {name: wide1, type: h20, devices: 16, cpus: 64, memory_gib: 256, pool: wide, scenario: training}
- {name: res1, type: h100, devices: 4, cpus: 16, memory_gib: 64, pool: booked, scenario: training}
- {name: shut1, type: h200, devices: 4, cpus: 16, memory_gib: 64, pool: shut, scenario: training}
- {name: brief1, type: a30, devices: 4, cpus: 16, memory_gib: 64, pool: brief, scenario: training}
- {name: alone1, type: a40, devices: 4, cpus: 16, memory_gib: 64, pool: alone, scenario: training}
- {name: pre1, type: a800, devices: 4, cpus: 16, memory_gib: 64, pool: preempted, scenario: training}
accounting:
  slurm_conf: {PreemptType: preempt/qos, PreemptMode: REQUEUE, Licenses: "solver:1,viewer:1"}
  qos:
    one: {MaxTRESPU: {gres/gpu: 1}}
    idle: {GraceTime: 1800}
    high: {Preempt: idle}
  accounts:
    research: {QOS: [normal, one, idle, high]}
    small: {Parent: research, GrpTRES: {gres/gpu: 1}}
  users:
    mail: [{Account: research}, {Account: small}]
    games: [{Account: research}, {Account: small}]
    daemon: {Account: research}
"""  # noqa: E501  # a table
Command = tuple[str, ...]


@dataclass(frozen=True)
class Cause:
    """One cause. In all texts `{0}`, `{1}` are the ids of `there`, `{first}` and `{job}` their own.

    - `there`: options of jobs that run before it, `owners` or another user's; their script begins
      with `heads`;
    - `does`: commands that come then; `first`: options of a job that waits ahead of it;
    - `job`: options of the one that waits, and `script` what stands in it;
    - `code`, `says`: the code of its reason, and a part of its sentence;
    - `remove`: what takes the obstacle away; `other`: what takes away something else.
    """

    name: str
    code: str
    says: str
    job: Command
    remove: Command
    other: Command
    there: tuple[Command, ...] = ()
    does: tuple[Command, ...] = ()
    first: Command = ()
    script: str = ""
    owners: bool = False
    heads: str = ""


def on(node: str, pool: str, *options: str) -> Command:
    """Options of a job that plain Slurm starts at once on a node."""
    return ("-p", pool, "-w", node, "-t", "60", *options)


def update(what: str, *settings: str) -> Command:
    """A change by an admin."""
    return ("scontrol", "update", what, *settings)


SHORTER = update("JobId={job}", "TimeLimit=80")
WIDE = on("wide1", "wide", "--gres=gpu:1")
FREE = ("--gres=gpu:h20:1",)
"""What is there is enough for such a job all the time."""

CAUSES = (
    Cause(
        "too few devices are free", "busy", "({0} is there)", ("--gres=gpu:a100:2",),
        there=(on("nv1", "train-nv", "--gres=gpu:4"), on("nv2", "train-nv", "--gres=gpu:3", "-t80"),
               on("nv2", "train-nv", "--gres=gpu:1", "-t80")),
        remove=("scancel", "{0}"), other=("scancel", "{2}"),
    ),
    Cause(
        "its script is for one vendor", "busy",
        "best is amd1 with 0 ({0} is there until T at the latest)", ("--gres=gpu:1",),
        there=(on("amd1", "train-amd", "--gres=gpu:4"), WIDE),
        first=("--gres=gpu:mi300x:1",), script="module load rocm",
        remove=("scancel", "{0}"), other=("scancel", "{1}"),
    ),
    Cause(
        "no cores beside idle devices", "host", "it needs 4 CPUs", ("--gres=gpu:910b:1", "-c4"),
        there=(on("asc1", "train-ascend", "-c15"), on("asc1", "train-ascend", "--gres=gpu:1")),
        first=("--gres=gpu:910b:1", "-c4"), remove=("scancel", "{0}"), other=("scancel", "{1}"),
    ),
    Cause(
        "its node is drained", "no-node", "dcu1 is IDLE+DRAIN; dcu2 is excluded",
        ("--gres=gpu:k100ai:1", "-x", "dcu2"),
        does=(update("NodeName=dcu[1-2]", "State=DRAIN", "Reason=fan"),),
        remove=update("NodeName=dcu1", "State=RESUME"),
        other=update("NodeName=dcu2", "State=RESUME"),
    ),
    Cause(
        "it excludes the nodes", "no-node", "mlu1 is excluded",
        ("--gres=gpu:mlu370:1", "-x", "mlu1"),
        does=(update("NodeName=mlu2", "State=DRAIN", "Reason=fan"),),
        remove=update("JobId={job}", "ExcNodeList="), other=SHORTER,
    ),
    Cause(
        "its user holds it", "held", "JobHeldUser", (*FREE, "-H"),
        remove=("scontrol", "release", "{job}"), other=SHORTER,
    ),
    Cause(
        "its begin time is to come", "begin", "BeginTime", (*FREE, "--begin=now+2hours"),
        remove=update("JobId={job}", "StartTime=now"), other=SHORTER,
    ),
    Cause(
        "it depends on another", "dependency", "{0}", (*FREE, "--dependency=afterany:{0}"),
        there=(WIDE, WIDE), remove=("scancel", "{0}"), other=("scancel", "{1}"),
    ),
    Cause(
        "its array is throttled", "array", "at most 1 task", (*FREE, "--array=0-1%1"),
        remove=update("JobId={job}", "ArrayTaskThrottle=2"), other=SHORTER,
    ),
    Cause(
        "a limit of a QOS", "limit", "QOSMaxGRESPerUser", (*FREE, "--qos=one"), owners=True,
        there=((*WIDE, "--qos=one"), WIDE), remove=("scancel", "{0}"), other=("scancel", "{1}"),
    ),
    Cause(
        "a limit of an account", "limit", "AssocGrpGRES", (*FREE, "-A", "small"),
        there=((*WIDE, "-A", "small"), WIDE),
        remove=("sacctmgr", "-i", "modify", "account", "small", "set", "GrpTRES=gres/gpu=2"),
        other=("scancel", "{1}"),
    ),
    Cause(
        "no licence is left", "limit", "solver", (*FREE, "-L", "solver:1"),
        there=((*WIDE, "-L", "solver:1"), (*WIDE, "-L", "viewer:1")),
        remove=("scancel", "{0}"), other=("scancel", "{1}"),
    ),
    Cause(
        "a reservation is ahead", "reserved", "the reservation works", ("--gres=gpu:h100:1",),
        does=tuple(
            ("scontrol", "create", "reservation", f"ReservationName={name}", f"Nodes={node}",
             "StartTime=now+30minutes", "Duration=60", "Users=root")
            for name, node in (("works", "res1"), ("talks", "pre1"))
        ),
        remove=("scontrol", "delete", "ReservationName=works"),
        other=("scontrol", "delete", "ReservationName=talks"),
    ),
    Cause(
        "nodes are kept for one that goes first", "kept", "kept for job {first}",
        ("--gres=gpu:l40s:1",), there=(on("ln1", "line", "--gres=gpu:4"),),
        first=("--gres=gpu:l40s:4", "-N2"), remove=("scancel", "{first}"), other=SHORTER,
    ),
    Cause(
        "its pool is closed", "no-node", "(shut: State=DOWN); it waits until shut is UP",
        ("--gres=gpu:h200:1",),
        does=(update("PartitionName=shut", "State=DOWN"),),
        remove=update("PartitionName=shut", "State=UP"), other=SHORTER,
    ),
    Cause(
        "no pool allows it", "never", "brief: MaxTime=60 min", ("--gres=gpu:a30:1",),
        does=(update("PartitionName=brief", "MaxTime=60"),),
        remove=update("JobId={job}", "TimeLimit=50"), other=SHORTER,
    ),
    Cause(
        "it wants a node for itself", "whole-node", "alone1", ("--gres=gpu:a40:1", "--exclusive"),
        there=(on("alone1", "alone", "--gres=gpu:1"), on("alone1", "alone", "--gres=gpu:1")),
        remove=("scancel", "{0}"), other=("scancel", "{1}"),
    ),
    Cause(
        "others are preempted for it", "behind", "preempted on pre1",
        ("--gres=gpu:a800:4", "--qos=high", "-t25"),
        there=((*on("pre1", "preempted", "--gres=gpu:4", "--qos=idle", "-t25"),), WIDE),
        remove=("scancel", "--full", "-s", "KILL", "{0}"), other=("scancel", "{1}"),
        heads="trap '' TERM",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Ids:
    """The ids of the jobs of one cause."""

    there: tuple[str, ...]
    first: str = ""
    job: str = ""

    def filled(self, text: str) -> str:
        """The text with them."""
        return text.format(*self.there, first=self.first, job=self.job)

    def command(self, words: Command) -> Command:
        """A command, or options, with them."""
        return tuple(self.filled(word) for word in words)
