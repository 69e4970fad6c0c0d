"""Whether slurm.conf lets slurm-het do its work."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slurm_het.cli.checks.site import Finding, Installation
from slurm_het.core.records import state_words
from slurm_het.core.syntax import hostlist
from slurm_het.slurm.versions import parse_version

BF_INTERVAL = 30  # Slurm's own defaults, in seconds
BATCH_SCHED_DELAY = 3
SCHED_INTERVAL = 60


def plugin(site: Installation) -> Iterator[Finding]:
    """The job-submit plugin that runs the hook."""
    words = site.words("JobSubmitPlugins")
    if not any(word in {"lua", "job_submit/lua"} for word in words):
        yield Finding(
            "slurm.conf, JobSubmitPlugins",
            f"is {','.join(words) or 'empty'}: no submission passes the hook, so nothing is placed",
            f"JobSubmitPlugins={','.join([*words, 'lua'])}, once job_submit.lua is there; then"
            " restart slurmctld",
        )  # fmt: skip


def gres_types(site: Installation) -> Iterator[Finding]:
    """Aliases that users could not write; a name that a node has is there, or Slurm complains."""
    have = site.words("GresTypes")
    aliases = [name for name, entry in site.settings.policy.gres.items() if entry.alias_of]
    if lost := [name for name in aliases if name not in have]:
        yield Finding(
            "slurm.conf, GresTypes",
            f"lacks {', '.join(lost)}: sbatch refuses a job that asks by that name before any hook"
            " is asked",
            f"GresTypes={','.join([*have, *lost])}, and restart slurmctld and the slurmds",
        )  # fmt: skip


def intake_state(site: Installation) -> Iterator[Finding]:
    """An intake that a restarted slurmctld would keep closed."""
    intake = site.settings.policy.intake_partition
    text = site.controller.slurm_conf if site.controller else ""
    state = partition_words(text, intake).get("state", "UP").upper()
    if state != "UP":
        yield Finding(
            f"slurm.conf, PartitionName={intake}",
            f"says State={state}: a slurmctld that restarts without hetd starts none of its jobs",
            "State=UP; it is hetd that sets it DOWN",
        )  # fmt: skip


def kept_state(site: Installation) -> Iterator[Finding]:
    """A slurmctld that keeps the gate closed over its restart."""
    for word in site.words("ReconfigFlags"):
        if word in {"KeepPartState", "KeepPartInfo"}:
            yield Finding(
                "slurm.conf, ReconfigFlags",
                f"has {word}: a slurmctld that restarts keeps the gate as it was, closed maybe."
                " hetd, its supervisor and `slurm-het bypass on` open it all the same",
                f"take {word} out; or see that hetd is supervised on every controller host",
                remark=True,
            )  # fmt: skip


def job_shrink(site: Installation) -> Iterator[Finding]:
    """A late update could take nodes from a job that runs."""
    if "disable_job_shrink" not in _scheduler(site):
        yield Finding(
            "slurm.conf, SchedulerParameters",
            "lacks disable_job_shrink: a node list that comes late could shrink a job that runs",
            "add disable_job_shrink",
        )  # fmt: skip


def grace(site: Installation) -> Iterator[Finding]:
    """Pins that would be taken back before Slurm has had its turn to start them."""
    words = _scheduler(site)
    seconds = site.settings.planner.grace_seconds
    turns = {
        "bf_interval": _int(words, "bf_interval", BF_INTERVAL),
        "batch_sched_delay": _int(words, "batch_sched_delay", BATCH_SCHED_DELAY),
    }
    if "sched_interval" in words:  # left alone, each change of a job has Slurm look at once
        turns["sched_interval"] = _int(words, "sched_interval", SCHED_INTERVAL)
    for word, turn in turns.items():
        if turn >= seconds:
            yield Finding(
                "het.yaml, planner.grace_seconds",
                f"is {seconds:g} s, and {word} is {turn} s: a released job is taken back before"
                " Slurm has looked at it",
                f"grace_seconds: {int(turn * 1.5)} at least, or a smaller {word}",
            )  # fmt: skip


def select(site: Installation) -> Iterator[Finding]:
    """A Slurm that does not count devices."""
    kind = site.conf.get("SelectType", "select/cons_tres")
    if kind != "select/cons_tres":
        yield Finding(
            "slurm.conf, SelectType",
            f"is {kind}, which gives whole nodes, or knows no --gpus: devices are not told apart",
            "SelectType=select/cons_tres and SelectTypeParameters=CR_Core_Memory; drain the"
            " cluster before",
        )  # fmt: skip


def scheduler(site: Installation) -> Iterator[Finding]:
    """A Slurm without backfill."""
    kind = site.conf.get("SchedulerType", "sched/backfill")
    if kind != "sched/backfill":
        yield Finding(
            "slurm.conf, SchedulerType",
            f"is {kind}, which starts jobs of a partition strictly one after the other: one that is"
            " released to nodes that are not free yet holds up all others of its pool",
            "SchedulerType=sched/backfill, and restart slurmctld",
        )  # fmt: skip


def cloud(site: Installation) -> Iterator[Finding]:
    """Nodes that nobody sees while they are powered down."""
    nodes = site.snapshot.nodes
    sleeping = site.conf.get("SuspendProgram", "(null)") != "(null)" and any(
        "CLOUD" in state_words(node.state) for node in nodes
    )
    told = site.conf.get("SLURM_VERSION", "")
    hides = sleeping and bool(told) and parse_version(told).hides_cloud
    shown = "cloud" in {word.lower() for word in site.words("PrivateData")}
    if (hides or site.snapshot.unseen) and not shown:
        unseen = hostlist.fold(sorted(site.snapshot.unseen))
        now = f", as {unseen} now" if unseen else ""
        yield Finding(
            "slurm.conf, PrivateData",
            f"lacks cloud: this Slurm tells nobody of nodes of State=CLOUD that are powered down"
            f"{now}. hetd plans nothing there until it has seen them up",
            f"PrivateData={','.join([*site.words('PrivateData'), 'cloud'])}, and scontrol"
            " reconfigure",
        )  # fmt: skip


def job_age(site: Installation) -> Iterator[Finding]:
    """A Slurm that forgets jobs before hetd has asked how they ended."""
    text = site.conf.get("MinJobAge", "").partition(" ")[0]
    least = 2 * site.settings.planner.poll_seconds
    if text.isdecimal() and 0 < int(text) < least:
        yield Finding(
            "slurm.conf, MinJobAge",
            f"is {text} s: Slurm forgets jobs before hetd has asked how they ended, and nothing is"
            " learned of them",
            "MinJobAge=300, which is Slurm's default", remark=True,
        )  # fmt: skip


def task_prolog(site: Installation) -> Iterator[Finding]:
    """Vendors whose variables nobody sets."""
    vendors = ", ".join(sorted(site.by_prolog))
    if vendors and site.conf.get("TaskProlog", "(null)") == "(null)":
        yield Finding(
            "slurm.conf, TaskProlog",
            f"is not set: Slurm itself tells no task its devices of {vendors}, so programs take all"
            " that the node has",
            "slurm-het task-prolog > FILE on every node, and TaskProlog=FILE; or set them in a"
            " prolog of your own", remark=True,
        )  # fmt: skip


def _scheduler(site: Installation) -> dict[str, str]:
    pairs = (word.partition("=") for word in site.words("SchedulerParameters"))
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _int(words: dict[str, str], key: str, default: int) -> int:
    value = words.get(key, "")
    return int(value) if value.isascii() and value.isdigit() else default


_PAIR = re.compile(r"""([\w.]+)\s*[-+*/]?=\s*("[^"]*"|\S+)""")
"""Slurm takes blanks around the equals sign."""


def partition_words(text: str, name: str) -> dict[str, str]:
    """What slurm.conf says of a partition, DEFAULT's words included; keys in small letters.

    Of DEFAULT itself: what a partition begins with whose line follows all of these.
    """
    default: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        pairs = _PAIR.findall(line.partition("#")[0])
        words = {key.lower(): value.strip('"') for key, value in pairs}
        who = words.get("partitionname", "")
        if who.upper() == "DEFAULT":
            default |= words
        elif name in re.split(",", who):
            found |= default | words
    return default if name == "DEFAULT" else found


CHECKS = (
    plugin, gres_types, intake_state, kept_state, job_shrink, grace, select, scheduler, cloud,
    job_age, task_prolog,
)  # fmt: skip
