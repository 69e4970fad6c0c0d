"""Admission: what a job becomes when it is submitted.

It goes to the intake partition, and its admin_comment keeps what it is and what its user wrote. The
request stays vendor-neutral; its Features make plain Slurm place it rightly too when the gate is
open. What is written into it at its release: planner/updates.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from slurm_het.core.capacity import UNKNOWN, Capacity
from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.classify import classify
from slurm_het.core.jobs.constraint_hints import where_allowed
from slurm_het.core.jobs.constraint_of_ours import Fit, features_for
from slurm_het.core.jobs.gres_choice import only_gres
from slurm_het.core.jobs.job_size import size_of_message
from slurm_het.core.jobs.mark import Mark, encode_mark
from slurm_het.core.jobs.never import may_lift, never, suits_of
from slurm_het.core.jobs.pools import (
    UNKNOWN_SUITS,
    Suits,
    fitting_pools,
    fitting_types,
    own_first,
    whats_there,
)
from slurm_het.core.jobs.request import (
    TRES_FIELDS,
    GresRequests,
    JobRequest,
    from_message,
    from_record,
    registered,
)
from slurm_het.core.jobs.trials import NO_TRIALS, Trials, program_of
from slurm_het.core.model import Classification, Job
from slurm_het.core.policy import Policy, Pool
from slurm_het.core.reasons import (
    ForReservation,
    Never,
    NoFittingDevice,
    NoPoolHolds,
    NotOurs,
    Reason,
    TooMuchMemory,
    Unreadable,
)
from slurm_het.core.reservations.closings import inside_named
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.constraint import parse_features
from slurm_het.core.syntax.gres import Gres
from slurm_het.errors import HetError


@dataclass(frozen=True, slots=True)
class Admitted:
    """The job goes to the intake: the fields to assign, and what it is.

    `too_much` says which memory its user asked for in vain. `less`: no pool could hold it with the
    memory or the vendors that it was read as, so it was read as less. `pools` are those that it is
    for.
    """

    fields: dict[str, str]
    classification: Classification
    pools: tuple[Pool, ...] = ()
    too_much: str = ""
    less: bool = False

    @property
    def why(self) -> str:
        """The first evidence for what it is."""
        return self.classification.evidence[0] if self.classification.evidence else ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with its directives."""
        return self.classification.problems


@dataclass(frozen=True, slots=True)
class Passed:
    """The job stays as it is: plain Slurm places it, in `partition` if one is given.

    `problems` are told to its user.
    """

    why: Reason
    problems: tuple[str, ...] = ()
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Slurm could never start the job, and plain Slurm would refuse it."""

    why: Never
    problems: tuple[str, ...] = ()


Admission = Admitted | Passed
Verdict = Admission | Refused


class _Suited(NamedTuple):
    """What a job is, the device types and pools for it, and as in Admitted."""

    what: Classification
    types: frozenset[str]
    pools: tuple[Pool, ...]
    too_much: str = ""
    less: bool = False


def admit_message(
    sent: Mapping[str, str],
    policy: Policy,
    inventory: Inventory,
    capacity: Capacity = UNKNOWN,
    trials: Trials = NO_TRIALS,
) -> Verdict:
    """`admit` for the hook's message: a request that cannot be read passes as it is.

    What plain Slurm would refuse is refused, as far as the `capacity` is known. With the `op` judge
    that is all there is to say: the job stays as it is for another reason. `trials` are how
    programs fared before.
    """
    try:
        request = from_message(sent, names_most=capacity.rules.bounds_gpus)
    except HetError as error:
        return Passed(Unreadable(error.message))
    size = size_of_message(sent, request, policy)
    if why := never(sent, request, size, capacity, policy):
        return Refused(why)
    suits = suits_of(size, capacity, policy, may_lift(sent, capacity))
    if sent.get("op") == "judge":
        return _judged(request, policy, inventory, suits)
    request = remembering(request, policy, inventory, trials)
    made = admit(request, policy, inventory, suits)
    if isinstance(made, Admitted) and made.too_much and policy.impossible_memory == "refuse":
        return Refused(TooMuchMemory(made.too_much))
    return made


def _judged(request: JobRequest, policy: Policy, inventory: Inventory, suits: Suits) -> Passed:
    """What becomes of a job that is not ours to plan, and goes where we close all there is."""
    types = frozenset(inventory.types)
    if request.reservation or any(suits.holds(p.partition, types) for p in policy.pools):
        return Passed(NotOurs())
    return Passed(NoPoolHolds(), (), _spanning(request, types, policy, suits))


def _spanning(request: JobRequest, types: frozenset[str], policy: Policy, suits: Suits) -> str:
    """The partition for a job that no pool can hold alone; '' if its user named the pools."""
    named = request.partitions and policy.intake_partition not in request.partitions
    partition = policy.spanning_partition
    return partition if partition and not named and suits.holds(partition, types) else ""


def remembering(
    request: JobRequest, policy: Policy, inventory: Inventory, trials: Trials
) -> JobRequest:
    """The request with what is known of how its program fared before."""
    if not policy.history_days:
        return request
    program = program_of(request.script)
    known = trials.of(request.user, program, inventory.vendors)
    return replace(request, program=program, trials=known)


def admit_record(
    job: Job, script: str, policy: Policy, inventory: Inventory, trials: Trials = NO_TRIALS
) -> Admission:
    """`admit` for a job that is in the queue already, and its batch script."""
    try:
        request = from_record(job, script)
    except HetError as error:
        return Passed(Unreadable(error.message))
    return admit(remembering(request, policy, inventory, trials), policy, inventory)


def admit(
    request: JobRequest, policy: Policy, inventory: Inventory, suits: Suits = UNKNOWN_SUITS
) -> Admission:
    """Decide on a job: it passes as it is, or goes to the intake with these fields.

    What it was read as counts for nothing where only other devices could hold it.
    """
    try:
        parse_features(request.features)
    except HetError as error:
        return Passed(Unreadable(error.message))
    if names := request.gres.under_two_names(policy):
        why = f"{names} are two names of the same devices here: use one"
        return Passed(Unreadable(why), (why,))
    found = _where(request, policy, inventory, suits)
    if isinstance(found, Passed):
        return found
    what = found.what
    fit = Fit.of(found.types, found.pools, inventory.nodes.values())
    fields, evidence = _tres_fields(request, what, fit, policy)
    what = replace(what, evidence=(*what.evidence, *evidence))
    fields["partition"] = policy.intake_partition
    features = features_for(request, fit, policy)
    if features != request.features:
        fields["features"] = features
    wrote = {field: text for field, text in fields.items() if field != "partition"}
    fields["admin_comment"] = encode_mark(
        Mark(what, request.original, "", wrote, request.asked, whats_there(inventory, policy))
    )
    return Admitted(fields, what, found.pools, found.too_much, found.less)


def _where(
    request: JobRequest, policy: Policy, inventory: Inventory, suits: Suits
) -> Passed | _Suited:
    most = max((there.memory_gib for there in inventory.types.values()), default=0)
    if any(share > most for share in _shares(request, policy)):
        return Passed(NoFittingDevice((f"a share of more than {most} GiB",)))
    what = classify(request, policy, inventory)
    types, pools = fitting(request, what, policy, inventory)
    if request.trials and not own_first(pools, what, types, suits):
        # Better where it failed than nowhere.
        return _where(replace(request, trials=()), policy, inventory, suits)
    too_much, less = "", False
    if not pools:
        what, types, pools, too_much, less = _with_less_memory(
            request, what, policy, inventory, suits
        )
    if not pools:
        return Passed(NoFittingDevice(what.evidence), what.problems)
    able = own_first(pools, what, types, suits)
    if not able and not what.named:
        remark = f"nothing else could hold it than what is no {'|'.join(what.vendors) or 'fit'}"
        what = replace(what, vendors=(), types=(), evidence=(*what.evidence, remark))
        less = True
        types, pools = fitting(request, what, policy, inventory)
        able = own_first(pools, what, types, suits)
    if not able:
        spanning = _spanning(request, types, policy, suits)
        return Passed(NoPoolHolds(), what.problems, spanning)
    if request.reservation:
        pairs = inside_named(request.reservation, inventory)
        if not any((p.partition, t) in pairs for p in able for t in types):
            return Passed(ForReservation(request.reservation))
    if any(p.scenario != what.scenario for p in able):
        none = not any(p.scenario == what.scenario for p in pools)
        lacks = "has a node for it" if none else "can hold it and allows it"
        remark = f"no {what.scenario} pool {lacks}; using the others"
        what = replace(what, evidence=(*what.evidence, remark))
    return _Suited(what, types, able, too_much, less)


READ_AS = ": it "
"""Behind it, what becomes of memory that is too much."""


def _with_less_memory(
    request: JobRequest, what: Classification, policy: Policy, inventory: Inventory, suits: Suits
) -> _Suited:
    """The same of a job that no device has the memory for: the largest is better than none."""
    others = fitting_types(replace(what, memory_gib=0), inventory.types, policy)
    if not what.memory_gib or not others:
        return _Suited(what, frozenset(), ())
    sizes = {inventory.types[name].memory_gib: name for name in sorted(others)}
    most = max(sizes)
    asked = next((e for e in what.evidence if " GiB per device: " in e), "")
    has = f"the largest that it may use ({sizes[most]}) has {most} GiB"
    beyond = most < what.memory_gib
    told = f"{asked}, but {has if beyond else 'no pool has so many of them on a node'}"
    read_as = 0
    for gib in () if policy.impossible_memory == "ignore" else sorted(sizes, reverse=True):
        smaller = replace(what, memory_gib=gib)
        types, pools = fitting(request, smaller, policy, inventory)
        if gib < what.memory_gib and own_first(pools, smaller, types, suits):
            read_as = gib
            break
    remark = f"{told}{READ_AS}{f'is read as {read_as}G' if read_as else 'counts as not said'}"
    what = replace(
        what, memory_gib=read_as, problems=(*what.problems, remark),
        evidence=(*what.evidence, remark),
    )  # fmt: skip
    found = fitting(request, what, policy, inventory)
    return _Suited(what, *found, told if beyond and what.memory_named else "", less=True)


def _shares(request: JobRequest, policy: Policy) -> Iterator[int]:
    """The shares of devices that it asks for, GiB."""
    for item in request.gres.all():
        if policy.is_share(item.name):
            yield item.count


def fitting(
    request: JobRequest, what: Classification, policy: Policy, inventory: Inventory
) -> tuple[frozenset[str], tuple[Pool, ...]]:
    """The device types, and the pools of either scenario, for what it was read as."""
    types = fitting_types(what, inventory.types, policy)
    inside = where_allowed(types, request.features, inventory)
    largest = {p.partition: inventory.largest_of(p.partition) for p in policy.pools}
    least = request.least_on_a_node(policy)
    return types, fitting_pools(what, inside, largest, policy, least)


def _tres_fields(
    request: JobRequest, what: Classification, fit: Fit, policy: Policy
) -> tuple[dict[str, str], list[str]]:
    """The TRES fields that are to say something else than the user wrote, and the evidence."""
    written, asked = request.original, request.gres.registered(policy)
    texts: dict[str, str] = {}
    evidence: list[str] = []
    for tres, own_items, items in zip(TRES_FIELDS, request.gres, asked, strict=True):
        if items != own_items:
            texts[tres] = _with_registered_names(written[tres], own_items, policy)
        # `gpu:2` becomes `gpu:l40s:2` or `npu:910b:2` where that is all that fits.
        if only := only_gres(items, fit.types, fit.inside, policy):
            evidence.append(f"only {only} fits: {texts.get(tres, written[tres])} becomes that")
            texts[tres] = str(only)
    if _may_share(asked, what, fit):
        texts["tres_per_node"] = f"shard:{what.memory_gib}"
        evidence.insert(0, f"shares a device: gpu:1 becomes {texts['tres_per_node']}")
    return texts, evidence


def _with_registered_names(written: str, asked: tuple[Gres, ...], policy: Policy) -> str:
    """The user's text with the aliases in it (npu) replaced; `asked` is what it says."""
    parts = []
    for item, part in zip(asked, gres.split_list(written), strict=True):
        new = registered(item, policy)
        parts.append(part if new is item else str(new))
    return ",".join(parts)


def _may_share(asked: GresRequests, what: Classification, fit: Fit) -> bool:
    """Whether `gpu:1` becomes `shard:M`: it may share, needs M GiB, and shards exist."""
    one_device = asked == GresRequests(node=(Gres("gpu"),))
    return (
        what.share and what.memory_gib > 0 and one_device and any(n.has_shards for n in fit.inside)
    )
