"""A mix's accounting as the simulation has it: its limits, its people, a job's priority."""

from __future__ import annotations

from collections.abc import Iterator

from slurm_het.core.site_limits import Limit
from slurm_het.sandbox.accounting import Accounting, Words
from slurm_het.simulation.limits import LimitRule, SiteRules

_USER = ("MaxTRESPU", "MaxJobsPU")
_ACCOUNT = ("MaxTRESPA", "MaxJobsPA")
_ALL = ("GrpTRES", "GrpJobs", "MaxJobs", "MaxTRESPJ")
KNOWN = (*_USER, *_ACCOUNT, *_ALL)
"""The limits that the simulation keeps, by Slurm's words."""
FIRST_PRIORITY = 4_000_000_000


def site_rules(accounting: Accounting) -> SiteRules:
    """The limits, where they are enforced."""
    return SiteRules(
        tuple(_rules(accounting)) if "limits" in accounting.enforce else (),
        tuple(accounting.qos),
        tuple(accounting.accounts),
        tuple((u, str(accounting.entries(u)[0]["Account"])) for u in accounting.users),
    )


def priority_of(job_id: int, qos: str, accounting: Accounting) -> int:
    """Without a weight of the QOS first come, first served: priority/basic."""
    weight = int(str(accounting.slurm_conf.get("PriorityWeightQOS", 0)))
    if not weight:
        return FIRST_PRIORITY - job_id
    each = {name: int(str(words.get("Priority", 0))) for name, words in accounting.qos.items()}
    most = max(each.values(), default=0)
    return 1 + (weight * each.get(qos, 0) // most if most else 0)


def _rules(accounting: Accounting) -> Iterator[LimitRule]:
    for name, words in accounting.qos.items():
        for limit in _limits(words):
            each = "user" if limit.word in _USER else "account" if limit.word in _ACCOUNT else ""
            yield LimitRule(limit, qos=name, each=each)
    for name, words in accounting.accounts.items():
        yield from (LimitRule(limit, account=name) for limit in _limits(words))
    for user in accounting.users:
        words = accounting.entries(user)[0]
        for limit in _limits(words):
            yield LimitRule(limit, account=str(words["Account"]), user=user)


def _limits(words: Words) -> Iterator[Limit]:
    for word, value in words.items():
        if word in KNOWN and isinstance(value, dict):
            yield from (Limit(word, tres, int(most)) for tres, most in value.items())
        elif word in KNOWN:
            yield Limit(word, "", int(str(value)))
