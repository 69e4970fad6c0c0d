"""What a job is: its fitting scenario, vendors and types, each with the evidence for it.

Order of trust, strongest first: what the request itself names (type, GRES name, partition), what
the user says in a directive (`#HET scenario=inference` or `--comment het:...`), the rules on the
script's words, the sure signs, how the program fared before, the other signs, the shape of the
request, and the site's defaults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from slurm_het.core.catalog import model_of
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.constraint_hints import (
    Meant,
    meant_by,
    memory_in_gres,
    vendors_named,
)
from slurm_het.core.jobs.request import JobRequest
from slurm_het.core.jobs.signs import weigh
from slurm_het.core.jobs.sizes import LEAST_RUNS
from slurm_het.core.jobs.trials import learned_gib, weigh_trials
from slurm_het.core.model import SCENARIOS, Classification, Scenario
from slurm_het.core.policy import Policy, Rule
from slurm_het.core.syntax.gres import Gres
from slurm_het.core.syntax.script import directives_of, parse_gib, parse_hints


@dataclass
class _Draft:
    """The classification while it is being made; the first to set a field wins.

    `here` are the device types of the cluster.
    """

    here: Collection[str] = ()
    scenario: Scenario | None = None
    vendors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    memory_gib: int = 0
    share: bool = False
    evidence: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    named: bool = False
    any_vendor: bool = False
    job_class: str = ""
    memory_auto: str = ""

    def set_scenario(self, scenario: Scenario | None, why: str) -> None:
        if self.scenario is None and scenario is not None:
            self.scenario = scenario
            self.evidence.append(f"{scenario}: {why}")

    def set_vendors(self, vendors: tuple[str, ...], why: str) -> None:
        if not self.vendors and not self.any_vendor and vendors:
            self.vendors = tuple(sorted(set(vendors)))
            self.evidence.append(f"vendors {'|'.join(self.vendors)}: {why}")

    def set_types(self, types: tuple[str, ...], why: str) -> None:
        if not self.types and types:
            self.types = tuple(sorted(set(types)))
            self.evidence.append(f"types {'|'.join(self.types)}: {why}")

    def set_memory(self, gib: int, why: str) -> None:
        if not self.memory_gib and gib:
            self.memory_gib = gib
            self.evidence.append(f"{gib} GiB per device: {why}")

    def set_class(self, name: str, why: str) -> None:
        if not self.job_class and name:
            self.job_class = name
            self.evidence.append(f"class {name}: {why}")


def classify(
    request: JobRequest, policy: Policy, inventory: Inventory | None = None
) -> Classification:
    """Classify a job; never raises on what users write: odd directives become evidence."""
    draft = _Draft(inventory.types if inventory else ())
    meant = meant_by(request.features, inventory, policy)
    for item in request.gres.all():
        _from_gres(draft, item, policy, inventory)
    _from_partitions(draft, request, policy)
    in_request = draft.memory_gib
    _from_directives(draft, request, policy)
    memory_named = draft.memory_gib > in_request
    draft.named = bool(draft.vendors or draft.types)
    _memory_hints(draft, request, meant, policy)
    _from_rules(draft, request, policy)
    _from_runs(draft, request)
    settled = bool(draft.vendors or draft.types or draft.any_vendor)
    settled |= _from_signs(draft, request, policy, inventory)
    _from_constraint(draft, request, meant)
    if inventory and not (settled or meant.named or meant.vendors):
        _from_trials(draft, request, policy, inventory)
    _from_shape(draft, request, policy)
    _from_defaults(draft, policy)
    return Classification(
        scenario=draft.scenario or policy.default_scenario,
        vendors=draft.vendors,
        types=draft.types,
        partitions=draft.partitions,
        memory_gib=draft.memory_gib,
        share=draft.share,
        evidence=tuple(draft.evidence),
        job_class=draft.job_class,
        problems=tuple(draft.problems),
        named=draft.named,
        memory_named=memory_named,
        program=request.program,
    )


def _from_gres(draft: _Draft, asked: Gres, policy: Policy, inventory: Inventory | None) -> None:
    name = policy.gres.get(asked.name)
    if name is None:
        return
    if asked.type:
        model = model_of(asked.type, policy.types)
        draft.set_types((model,), f"the request names {asked}")
        draft.set_vendors(_whose(model, policy, inventory), f"the request names {asked}")
    draft.set_vendors(name.vendors, f"the request names {asked.name}")
    if name.shared:
        draft.set_scenario("inference", f"a share of a device is asked for ({asked})")
        draft.set_memory(asked.count, f"the request is {asked}, one {asked.name} per GiB")


def _whose(model: str, policy: Policy, inventory: Inventory | None) -> tuple[str, ...]:
    """Whose devices a type is: what the catalogue or the cluster says, else the words in its name.

    A type that the cluster has is what its nodes' pool says, whatever its name.
    """
    if model not in policy.types and inventory and (there := inventory.types.get(model)):
        return (there.vendor,) if there.vendor in policy.vendors() else ()
    named = model.lower() if model.lower() in policy.vendors() else ""
    return (named,) if named else tuple(vendors_named([model], policy))


def _from_partitions(draft: _Draft, request: JobRequest, policy: Policy) -> None:
    pools = [policy.pool(name) for name in request.partitions]
    named = tuple(p for p in pools if p is not None)
    if not named or len(named) < len(pools):
        return
    draft.partitions = tuple(p.partition for p in named)
    draft.evidence.append(f"pools {'|'.join(draft.partitions)}: the user named them")
    if len({p.scenario for p in named}) == 1:
        draft.set_scenario(named[0].scenario, f"pool {named[0].partition} is for it")
    draft.any_vendor = True  # whoever names a pool has chosen its vendor


def _from_constraint(draft: _Draft, request: JobRequest, meant: Meant) -> None:
    if meant.named and not draft.vendors:
        draft.any_vendor = True
        draft.evidence.append(
            f"vendors: left to --constraint, which names {', '.join(meant.named)}"
        )
    if not meant.vendors:
        return
    where = f"--constraint={request.features[:40]}"
    common = meant.vendors & set(draft.vendors)
    if draft.vendors and common != set(draft.vendors):
        draft.vendors = tuple(sorted(common or meant.vendors))
        draft.evidence.append(f"vendors {'|'.join(draft.vendors)}: no other node meets {where}")
    elif not draft.any_vendor:
        draft.set_vendors(tuple(meant.vendors), f"the nodes that meet {where} are theirs")


def _memory_hints(draft: _Draft, request: JobRequest, meant: Meant, policy: Policy) -> None:
    in_gres = memory_in_gres(request.gres.all(), policy.gres)
    draft.set_memory(in_gres, "a GRES of the site names device memory")
    draft.set_memory(meant.memory_gib, f"--constraint={request.features[:40]}")


ASK = "slurm-het ask"
"""Where it stands what a user asks for since, in evidence."""


def _from_directives(draft: _Draft, request: JobRequest, policy: Policy) -> None:
    sources = directives_of(request.script, request.comment)
    if request.asked:
        sources.insert(0, (ASK, request.asked))
    for where, text in sources:
        hints, odd = parse_hints(text)
        problems = [_apply_hint(draft, key, value, where, policy) for key, value in hints.items()]
        problems += [f"{item[:40]!r} is no key=value" for item in odd[:4]]
        for problem in filter(None, problems):
            draft.problems.append(f"{where}: {problem}")
            draft.evidence.append(f"ignored {where}: {problem}")


def canonical(key: str) -> str:
    """The key of a directive, whichever of its words a user writes."""
    return _ALSO.get(key, key)


def _apply_hint(draft: _Draft, key: str, value: str, where: str, policy: Policy) -> str:
    """Apply one directive; returns what is wrong with it, or ''."""
    key = canonical(key)
    if key not in _HINTS:
        return f"{key[:40]}= is no directive{_nearest(key, _HINTS)}; valid: {', '.join(_HINTS)}"
    return _HINTS[key](draft, value, where, policy)


def _nearest(word: str, valid: Iterable[str]) -> str:
    """What was meant, if that can be guessed."""
    near = get_close_matches(word[:40], sorted(valid), n=1)
    return f", did you mean {near[0]}?" if near else ""


def _hint_scenario(draft: _Draft, value: str, where: str, _policy: Policy) -> str:
    scenario = next((s for s in SCENARIOS if s == value), None)
    draft.set_scenario(scenario, where)
    if scenario:
        return ""
    near = _nearest(value, SCENARIOS)
    return f"scenario={value[:40]} is no scenario{near}; valid: {', '.join(SCENARIOS)}"


def _hint_vendors(draft: _Draft, value: str, where: str, policy: Policy) -> str:
    vendors = listed(value)
    if not vendors:
        return f"vendors={value} names none"
    if value == "any":
        draft.any_vendor = draft.any_vendor or not draft.vendors
        draft.evidence.append(f"vendors any: {where}")
        return ""
    if unknown := sorted(set(vendors) - policy.vendors()):
        here = sorted({v for pool in policy.pools for v in pool.vendors})
        near = _nearest(unknown[0], policy.vendors())
        valid = ", ".join(["any", *here])
        return f"vendors={value[:40]}: {unknown[0][:40]} is no vendor{near}; here: {valid}"
    draft.set_vendors(vendors, where)
    return ""


def _hint_types(draft: _Draft, value: str, where: str, policy: Policy) -> str:
    types = listed(value)
    if not types:
        return f"types={value} names none"
    if unknown := {name for name in types if name not in policy.types}:
        name = min(unknown)
        return f"types={value[:40]}: {name[:40]} is not known here{_nearest(name, policy.types)}"
    draft.set_types(_spelled_here(types, draft, policy), where)
    draft.set_vendors(tuple(policy.types[name].vendor for name in types), where)
    return ""


def _spelled_here(types: tuple[str, ...], draft: _Draft, policy: Policy) -> tuple[str, ...]:
    """The types as the cluster spells them: of `a100` also `nvidia_a100-sxm4-80gb`."""
    spelled = {name for asked in types for name in draft.here if policy.types.means(asked, name)}
    return tuple(sorted(spelled)) or types


def _hint_memory(draft: _Draft, value: str, where: str, _policy: Policy) -> str:
    if value == "auto":
        draft.memory_auto = draft.memory_auto or where
        return ""
    gib = parse_gib(value)
    draft.set_memory(gib or 0, where)
    return "" if gib else f"memory={value[:40]} is no amount; such as memory=24G, or auto"


def _hint_class(draft: _Draft, value: str, where: str, policy: Policy) -> str:
    known = policy.job_classes()
    draft.set_class(value if value in known else "", where)
    if value in known:
        return ""
    valid = ", ".join(known) or "none"
    return f"class={value[:40]} is no class{_nearest(value, known)}; valid: {valid}"


def _hint_share(draft: _Draft, value: str, _where: str, _policy: Policy) -> str:
    draft.share = draft.share or value in YES
    return "" if value in YES | NO else "share is yes or no"


_ALSO = {
    "vendor": "vendors", "type": "types", "mem": "memory", "vram": "memory", "gpu_mem": "memory",
    "gpu_memory": "memory", "gpumem": "memory", "shared": "share", "sharing": "share",
}  # fmt: skip
"""Other words that people write for the keys of a directive."""
YES, NO = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0"})
_HINTS: dict[str, Callable[[_Draft, str, str, Policy], str]] = {
    "scenario": _hint_scenario,
    "vendors": _hint_vendors,
    "types": _hint_types,
    "memory": _hint_memory,
    "class": _hint_class,
    "share": _hint_share,
    "retry": lambda _d, value, *_: "" if value in YES | NO else "retry is yes or no",  # larger.py
}
"""The keys of a directive. Each takes the draft, the value, where it stands, and the policy."""


def listed(value: str) -> tuple[str, ...]:
    """The names of a directive's value."""
    return tuple(name for name in re.split(r"[,|]", value) if name)


def _from_rules(draft: _Draft, request: JobRequest, policy: Policy) -> None:
    for rule in policy.rules:
        why = _match(rule, request)
        if not why:
            continue
        draft.set_scenario(rule.scenario, why)
        draft.set_vendors(rule.vendors, why)
        draft.set_types(_spelled_here(rule.types, draft, policy), why)
        draft.set_memory(rule.memory_gib, why)
        draft.memory_auto = draft.memory_auto or (why if rule.memory_auto else "")
        draft.set_class(rule.job_class, why)
        if rule.share and not draft.share:
            draft.share = True
            draft.evidence.append(f"may share a device: {why}")


def _from_runs(draft: _Draft, request: JobRequest) -> None:
    """The memory that the program took before, where that is asked for."""
    if not draft.memory_auto or draft.memory_gib:
        return
    if gib := learned_gib(request.trials):
        draft.set_memory(gib, f"memory=auto ({draft.memory_auto}), by its runs before")
    else:
        draft.evidence.append(
            f"a whole device: memory=auto ({draft.memory_auto}), and fewer than {LEAST_RUNS} of its"
            " runs are known"
        )


def _match(rule: Rule, request: JobRequest) -> str:
    """Why a rule matches, or '' if it does not."""
    why = [f"rule {rule.name}"]
    for condition, value in (
        (rule.users, request.user),
        (rule.accounts, request.account),
        (rule.job_names, request.name),
    ):
        if condition and value not in condition:
            return ""
        if condition:
            why.append(value[:40])
    if rule.words:
        hits = request.script.first_lines(rule.words)
        if not hits:
            return ""
        line, word = min(hits)
        why.append(f"line {line} has {word!r}")
    return ", ".join(why) if len(why) > 1 else ""


def _from_signs(
    draft: _Draft, request: JobRequest, policy: Policy, inventory: Inventory | None
) -> bool:
    """Heed the signs; returns whether a sure one has decided over the vendors."""
    weighed = weigh(request.script, policy.signs, inventory.vendors if inventory else ())
    if by := weighed.scenario_by:
        draft.set_scenario(by.sign.scenario, str(by))
    if not draft.vendors and not draft.any_vendor and weighed.vendors:
        draft.set_vendors(weighed.vendors, str(weighed.vendors_by))
        if against := weighed.vendors_against:
            draft.evidence.append(f"outweighed, {'|'.join(against.vendors)}: {against}")
        return bool(weighed.vendors_by and weighed.vendors_by.is_sure)
    return False


def _from_trials(draft: _Draft, request: JobRequest, policy: Policy, inventory: Inventory) -> None:
    in_pools = {vendor for pool in policy.pools for vendor in pool.vendors}
    allowed = draft.vendors or policy.default_vendors or in_pools.intersection(inventory.vendors)
    vendors, why = weigh_trials(allowed, request.trials)
    if why:
        draft.vendors = ()
        draft.set_vendors(vendors, why)
        if not set(allowed).issubset(vendors):  # or whoever mended a slip would wonder
            on = "|".join(vendors)
            draft.problems.append(f"on {on} devices: {why}; #HET vendors=any lets it go anywhere")


def _from_shape(draft: _Draft, request: JobRequest, policy: Policy) -> None:
    devices = request.whole_devices(policy)
    if request.nodes > 1:
        draft.set_scenario("training", f"{request.nodes} nodes are asked for")
    elif devices >= 4:
        draft.set_scenario("training", f"{devices} devices are asked for")


def _from_defaults(draft: _Draft, policy: Policy) -> None:
    draft.set_scenario(policy.default_scenario, "the site's default_scenario")
    if not draft.types:
        draft.set_vendors(policy.default_vendors, "the site's default_vendors")
