"""The texts of a proposal: het.yaml, and the lines for slurm.conf."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

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
_NO_AMOUNT = dict.fromkeys(("DefMemPerCPU", "DefMemPerNode", "MaxMemPerCPU", "MaxMemPerNode"), "0")
_TAKEN_BACK = _NO_AMOUNT | {"DenyAccounts": '""', "DenyQos": '""', "TRESBillingWeights": '""'}
"""What a line says so that a word of PartitionName=DEFAULT does not hold, where that is not what
Slurm shows."""
_FOR_GOOD = {"DefCpuPerGPU", "DefMemPerGPU", "QoS", "SelectTypeParameters", "Topology"}
"""What no line can take back: Slurm has no word for none, or does not start with it."""
_SHARING = {"OverSubscribe", "Exclusive", "ExclusiveUser", "ExclusiveTopo"}
"""One word of DEFAULT, of these or `Shared`, says something of all of them that Slurm shows."""


class _Written(NamedTuple):
    """What a line says beside its nodes, and the words of DEFAULT that it cannot take back."""

    limits: str
    lasting: tuple[str, ...]


def het_yaml(proposal: SiteProposal) -> str:
    """het.yaml, with what is guessed marked so."""
    return render(
        "site_het.yaml.j2",
        intake=proposal.intake,
        pools=[(pool, hostlist.fold_for_slurm(pool.partition.nodes)) for pool in proposal.pools],
        registered=proposal.registered,
        shared=proposal.shares,
        aliases=proposal.aliases,
        types=proposal.types,
        default_vendor=proposal.default_vendor,
        spanning=proposal.spanning,
        left_out=proposal.left_out,
    )


def conf_lines(
    proposal: SiteProposal,
    conf: Mapping[str, str],
    shown: Mapping[str, Mapping[str, str]],
    default: Container[str] | None = (),
) -> str:
    """The lines that slurm.conf needs.

    `conf` is what `scontrol show config` says, `shown` what `scontrol show partition` says of each;
    `default` are the keys, in small letters, that lines of PartitionName=DEFAULT set; None: it is
    not known.
    """
    pools = [pool.partition for pool in proposal.pools]
    partitions = [proposal.intake, *pools, *filter(None, [proposal.spanning])]
    return render(
        "site_slurm.conf.j2",
        features=[(hostlist.fold_for_slurm(nodes), words) for nodes, words in proposal.features],
        partitions=[
            {"name": p.name, "nodes": hostlist.fold_for_slurm(p.nodes),
             "like": p.like.name if p.like else "",
             **_written(p, shown, conf, default or ())._asdict()}
            for p in partitions if p.new
        ],
        settings=list(_settings(proposal, conf)),
        unread=default is None,
    )  # fmt: skip


def _written(
    partition: ProposedPartition,
    shown: Mapping[str, Mapping[str, str]],
    conf: Mapping[str, str],
    default: Container[str],
) -> _Written:
    if not partition.like:  # what DEFAULT says is all that the site has said of it
        return _Written("", ())
    words = dict(shown.get(partition.like.name, {}))
    # slurm.conf has these as keys of their own.
    words |= dict(parse_pairs(words.get("JobDefaults", "")))
    usual = LIMITS | {"PreemptMode": (conf.get("PreemptMode", "OFF"),)}
    told = {key: value for key in LIMITS if (value := words.get(key, "")) not in {"", *usual[key]}}
    of_default = {key for key in LIMITS if key.lower() in default}
    if "shared" in default or of_default & _SHARING:
        of_default = of_default - _SHARING | _SHARING & words.keys()
    none = {key: _TAKEN_BACK.get(key, usual[key][0]) for key in LIMITS} | {
        "DefaultTime": words.get("MaxTime") or "UNLIMITED",
        "OverTimeLimit": conf.get("OverTimeLimit", "0").split()[0],
    }
    said = {key: told.get(key, none[key]) for key in LIMITS if key in told.keys() | of_default}
    lasting = tuple(key for key in LIMITS if key in of_default & _FOR_GOOD - told.keys())
    limits = "".join(f" {key}={value}" for key, value in said.items() if key not in lasting)
    return _Written(limits, lasting)


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
