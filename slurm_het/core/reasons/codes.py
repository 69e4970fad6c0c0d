"""Why a job waits, in at most twenty fixed codes for operators and their programs, and what to do.

Behind each stand one or more reasons, whose sentences say whose and what. docs/operators.md has the
codes one by one. A code is only ever added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from slurm_het.core.reasons.base import Reason

ACTIONS: Mapping[str, str] = {
    "busy": "wait, or ask for fewer devices, other types, or less memory of each",
    "host": "ask for fewer CPUs or less host memory beside the devices",
    "whole-node": "wait until a node is empty, or ask without --exclusive",
    "behind": "wait: jobs of higher priority go first; a shorter time limit may let it in before",
    "kept": "a time limit that ends before the time told lets it start",
    "reserved": "a time limit that ends before the reservation lets it start; scontrol show res",
    "next": "nothing: it is released by the next plan",
    "starting": "nothing: Slurm starts it on its nodes",
    "no-plan": "start hetd, or let plain Slurm place it: slurm-het bypass on",
    "no-node": "the nodes that fit are down, drained, excluded or in no pool that is UP: het-sinfo",
    "ailing": "look at the devices that the sentence names; drain the node or end the process",
    "never": "ask for less or for what there is (het-sinfo), or have limits raised: no wait helps",
    "limit": "wait until jobs that count against it end, or have the limit raised",
    "held": "scontrol release it, or ask who holds it",
    "dependency": "nothing until the jobs that it depends on end",
    "begin": "nothing until its begin time; scontrol update StartTime=now brings that forward",
    "array": "raise its array's limit: scontrol update ArrayTaskThrottle=",
    "slurm-places": "nothing: plain Slurm places it, by its own rules",
    "returned": "see Slurm's reason in the sentence: the job was released, and did not start",
    "slurm": "see Slurm's own reason",
}
"""By code, what its user or an operator can do."""

HOLDS = frozenset({"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue"})
"""Slurm's words for a job that waits until somebody releases it."""
NEVER_SATISFIED = "DependencyNeverSatisfied"
_ACTIONS_OF_WORDS: Mapping[tuple[str, str], str] = {
    ("dependency", NEVER_SATISFIED): "it will not start so: scancel it, or scontrol update"
    " JobId=ID Dependency= (what it depended on ended otherwise)",
}
"""By code and Slurm's word for why the job waits: what to do, where it is not as above."""

_OF_REASONS: Mapping[str, str] = {
    "too-few-free": "busy", "too-few-nodes": "busy", "not-together": "busy",
    "waits-for-speed": "busy",
    "host-too-small": "host",
    "needs-whole-node": "whole-node", "node-taken": "whole-node", "would-mix": "whole-node",
    "goes-to-others": "behind", "slurms-order": "behind", "preempts-first": "behind",
    "room-is-made": "behind", "behind-the-line": "behind", "in-slurms-line": "behind",
    "not-looked-at": "behind", "kept": "kept", "all": "kept",
    "closed": "reserved", "opens-later": "reserved", "left-out": "reserved",
    "can-start": "next", "out-of-time": "next", "plan-refused": "next",
    "no-candidate": "no-node", "too-few-able": "no-node", "partition-shut": "no-node",
    "no-usable-pool": "no-node", "placed-by-nobody": "no-node",
    "beside-ailing": "ailing", "only-behind-ailing": "ailing",
    "no-fitting-device": "never", "nodes-too-small": "never",
    "no-such-partition": "never", "partition-refuses": "never",
    "at-limit": "limit", "held-alike": "limit", "held": "held", "array-limit": "array",
    "placed-by-slurm": "slurm-places", "not-in-plan": "slurm-places",
    "returned-before": "returned", "refuses-nodes": "returned",
}  # fmt: skip
_OF_SLURM: tuple[tuple[str, str], ...] = (
    (r"(QOS|Assoc)\w*(PerJob|PerNode|MaxWall)|QOSMin|MaxMemPerLimit", "never"),  # of one job alone
    (r"(QOS|Account)NotAllowed|Invalid(QOS|Account)|Partition(Time|Node)Limit", "never"),
    ("|".join((*sorted(HOLDS), "Held")), "held"), (r"Dependency", "dependency"),
    (r"BeginTime", "begin"), (r"JobArrayTaskLimit", "array"), (r"Reservation", "reserved"),
    (r"QOS|Assoc|Licenses|Max\w+Per", "limit"),
)  # fmt: skip


class Waits(NamedTuple):
    """Why a job waits: the code, and the sentence."""

    code: str
    text: str


def code_of(reason: Reason) -> str:
    """The code of a reason; Slurm's own word has that of the word, and what lasts for ever its
    own."""
    word = getattr(reason, "word", "") if reason.code == "slurm-waits" else ""
    if getattr(reason, "for_ever", False):
        return "never"
    return code_of_word(word) if word else _OF_REASONS.get(reason.code, "slurm")


def action_for(code: str, word: str) -> str:
    """What can be done about a job that waits for the reason of that code, of which Slurm says
    `word`; '' for a code that there is not."""
    return _ACTIONS_OF_WORDS.get((code, word)) or ACTIONS.get(code, "")


def code_of_word(word: str) -> str:
    """The code of a reason as Slurm spells it."""
    return next((code for pattern, code in _OF_SLURM if re.match(pattern, word)), "slurm")
