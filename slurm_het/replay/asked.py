"""What a past job asked for: devices of each node, a type, partitions, features."""

from __future__ import annotations

from typing import NamedTuple

from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.syntax.sbatch import read_arguments
from slurm_het.errors import HetError
from slurm_het.replay.past import PastJob, Tally, Tres
from slurm_het.replay.site import ReplaySite
from slurm_het.simulation.jobs import NodeAsk

MOST_WORDS = 4096
"""Of a command line so many characters are read: options come before the script."""
UNTOLD_TYPE = "jobs whose type, if they named one, stands in their script alone: any type"
_GRES_OPTIONS = ("gres", "gpus", "gpus-per-node", "gpus-per-task")


class AskedByWords(NamedTuple):
    """What a command line asks for, as far as it does. `devices`: whether it is what asks for
    these, and no script."""

    partitions: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()
    devices: bool = False


def asked_by_words(past: PastJob) -> AskedByWords:
    """From the command line. What is in the script's own lines, or quoted, it does not tell."""
    program, *words = past.words[:MOST_WORDS].split() or [""]
    scriptless = program.rpartition("/")[2] in {"srun", "salloc"}
    try:
        options = read_arguments(words).options
    except HetError:  # of srun's, or with blanks in a value
        return AskedByWords(devices=scriptless)
    types = set[str]()
    for name in _GRES_OPTIONS:
        text = options.get(name, "")
        if text and name != "gres":
            text = f"gpu:{text}"
        try:
            types |= {item.type for item in gres.parse(text) if item.type}
        except HetError:
            continue
    partitions = tuple(p for p in options.get("partition", "").split(",") if p)
    devices = scriptless or not options.keys().isdisjoint({*_GRES_OPTIONS, "wrap"})
    return AskedByWords(partitions, frozenset(types), devices)


def ask_of(past: PastJob, site: ReplaySite, tally: Tally) -> tuple[NodeAsk, int] | str:
    """What it asks of each of its nodes, and of how many; or why that cannot be replayed."""
    policy = site.config.policy
    tres = past.tres
    counts = _counts(tres, policy)
    nodes = max(1, tres.nodes)
    cpus, memory = -(-tres.cpus // nodes), -(-tres.memory_mib // nodes)
    if not counts:
        return NodeAsk(0, None, 0, cpus, memory), nodes
    if len(counts) > 1:
        return "jobs with shares and whole devices, or with devices of two names"
    types = _types(past, policy)
    if len(types) > 1:
        return "jobs with devices of two types"
    ((name, total),) = counts.items()
    each = -(-total // nodes)
    if each * nodes != total:
        tally.taken["jobs with more devices on one node than on another: evenly"] += past.tasks
    share = each if policy.is_share(name) else 0
    kind = next(iter(types), None)
    # A share is one of a device, which has the name of whole ones.
    registered = _whole_name(policy) if share else name
    return NodeAsk(1 if share else each, kind, share, cpus, memory, registered), nodes


def _counts(tres: Tres, policy: Policy) -> dict[str, int]:
    """How many accelerators of each name; other GRES count for nothing here."""
    found: dict[str, int] = {}
    for (name, _), count in tres.devices.items():
        if name in policy.gres:
            found[name] = found.get(name, 0) + count
    return found


def _types(past: PastJob, policy: Policy) -> frozenset[str]:
    """The types that its user named: what it was given tells only where it ran."""
    told = {t for (name, t), _ in past.asked.devices.items() if t and name in policy.gres}
    return frozenset(told) or asked_by_words(past).types


def only_script_tells_type(past: PastJob, site: ReplaySite) -> bool:
    """Whether a job for which no type is told may have asked for one all the same, in its script.

    Where accounting counts the devices of the type that it was given, it would say so.
    """
    if not site.types_to_name or any(type_ for _, type_ in past.given.devices):
        return False
    return not asked_by_words(past).devices


def _whole_name(policy: Policy) -> str:
    """The name of the devices that shares are of: Slurm shares only these."""
    return "gpu" if policy.is_whole("gpu") else next(iter(policy.gres))


def features_of(past: PastJob, tally: Tally) -> str:
    """Its constraint; none where that is one that nobody can read."""
    if not past.features:
        return ""
    try:
        parse_features(past.features)
    except HetError:
        tally.taken["jobs whose constraint is not understood, as if there were none"] += past.tasks
        return ""
    return past.features
