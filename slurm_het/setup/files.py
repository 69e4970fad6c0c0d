"""The texts of a proposal: het.yaml, and the lines for slurm.conf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slurm_het.core.syntax import hostlist
from slurm_het.setup.proposal import ProposedPartition, SiteProposal
from slurm_het.slurm.records import conf_words, parse_pairs
from slurm_het.templating import render

NO_SHRINK = "disable_job_shrink"
_ANY, _NO, _UNSET = ("ALL",), ("NO",), ("NONE", "N/A", "(null)")
_UNLIMITED, _ONE = ("UNLIMITED", "INFINITE", "0"), ("1",)
LIMITS = {
    "AllowGroups": _ANY, "AllowAccounts": _ANY, "AllowQos": _ANY, "AllocNodes": _ANY,
    "DenyAccounts": _UNSET, "DenyQos": _UNSET, "RootOnly": _NO, "DisableRootJobs": _NO,
    "ReqResv": _NO, "Hidden": _NO, "ExclusiveUser": _NO, "ExclusiveTopo": _NO, "Exclusive": _NO,
    "LLN": _NO, "MaxTime": _UNLIMITED, "DefaultTime": _UNSET, "MinNodes": ("0", "1"),
    "MaxNodes": _UNLIMITED, "MaxCPUsPerNode": _UNLIMITED, "MaxCPUsPerSocket": _UNLIMITED,
    "DefMemPerCPU": _UNLIMITED, "DefMemPerNode": _UNLIMITED, "MaxMemPerCPU": _UNLIMITED,
    "MaxMemPerNode": _UNLIMITED, "DefCpuPerGPU": _UNSET, "DefMemPerGPU": _UNSET,
    "OverSubscribe": _NO, "PriorityTier": _ONE, "PriorityJobFactor": _ONE, "PreemptMode": (),
    "GraceTime": ("0",), "OverTimeLimit": _UNSET, "QoS": _UNSET, "TRESBillingWeights": _UNSET,
    "SelectTypeParameters": _UNSET, "Topology": _UNSET,
}  # fmt: skip
"""What a new partition takes over from the one that it is like: whom it lets in, and its limits;
with what Slurm shows where slurm.conf says nothing. Of PreemptMode that is the cluster's."""


def het_yaml(proposal: SiteProposal) -> str:
    """het.yaml, with what is guessed marked so."""
    return render(
        "site_het.yaml.j2",
        intake=proposal.intake,
        pools=[(pool, hostlist.fold(pool.partition.nodes)) for pool in proposal.pools],
        registered=proposal.registered,
        shared=proposal.shares,
        aliases=proposal.aliases,
        types=proposal.types,
        default_vendor=proposal.default_vendor,
        spanning=proposal.spanning,
        left_out=proposal.left_out,
    )


def conf_lines(
    proposal: SiteProposal, conf: Mapping[str, str], shown: Mapping[str, Mapping[str, str]]
) -> str:
    """The lines that slurm.conf needs.

    `conf` is what `scontrol show config` says, `shown` what `scontrol show partition` says of each.
    """
    pools = [pool.partition for pool in proposal.pools]
    partitions = [proposal.intake, *pools, *filter(None, [proposal.spanning])]
    return render(
        "site_slurm.conf.j2",
        features=[(hostlist.fold(nodes), words) for nodes, words in proposal.features],
        partitions=[
            {"name": p.name, "nodes": hostlist.fold(p.nodes), "limits": _limits(p, shown, conf)}
            for p in partitions if p.new
        ],
        settings=list(_settings(proposal, conf)),
    )  # fmt: skip


def _limits(
    partition: ProposedPartition,
    shown: Mapping[str, Mapping[str, str]],
    conf: Mapping[str, str],
) -> str:
    words = dict(shown.get(partition.like.name, {})) if partition.like else {}
    # slurm.conf has these as keys of their own.
    words |= dict(parse_pairs(words.get("JobDefaults", "")))
    usual = LIMITS | {"PreemptMode": (conf.get("PreemptMode", "OFF"),)}
    told = {key: words.get(key, "") for key in LIMITS}
    return "".join(f" {k}={value}" for k, value in told.items() if value not in {"", *usual[k]})


def _settings(proposal: SiteProposal, conf: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Keys of slurm.conf that are to be as these, and why; none that are so already."""
    types = conf_words(conf, "GresTypes")
    if lost := [name for name in proposal.aliases if name not in types]:
        why = "These names users may write; sbatch refuses what is not listed before the hook."
        yield "GresTypes", ",".join([*types, *lost]), why
    scheduler = conf_words(conf, "SchedulerParameters")
    missing = [] if NO_SHRINK in scheduler else [NO_SHRINK]
    if not any(word.startswith("batch_sched_delay=") for word in scheduler):
        missing.append("batch_sched_delay=0")
    if missing:
        why = "A job that we release starts at once; a late update never shrinks one that runs."
        yield "SchedulerParameters", ",".join([*scheduler, *missing]), why
    plugins = conf_words(conf, "JobSubmitPlugins")
    if not {"lua", "job_submit/lua"} & set(plugins):
        why = "The hook; set it once job_submit.lua is there (docs/install.md, step 4)."
        yield "JobSubmitPlugins", ",".join([*plugins, "lua"]), why
