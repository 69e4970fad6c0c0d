"""What a queued job is, and becomes where its user asks for something else, in functions: by
`slurm-het ask`, or by an update of Slurm's."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.admission import (
    READ_AS,
    Admission,
    Admitted,
    Passed,
    admit,
    remembering,
)
from slurm_het.core.jobs.classify import ASK, canonical, classify, listed
from slurm_het.core.jobs.mark import Mark, decode_comment, encode_mark, having_written, in_place
from slurm_het.core.jobs.outdated import given_back
from slurm_het.core.jobs.pools import UNKNOWN_SUITS, Suits
from slurm_het.core.jobs.request import (
    TRES_FIELDS,
    GresRequests,
    JobRequest,
    changed_since,
    from_marked,
    from_record,
    from_texts,
)
from slurm_het.core.jobs.trials import NO_TRIALS, Trials
from slurm_het.core.model import Classification, Job
from slurm_het.core.policy import Policy
from slurm_het.core.syntax.script import parse_gib, parse_hints
from slurm_het.errors import HetError


def classification_of(
    job: Job, policy: Policy, inventory: Inventory | None = None
) -> Classification:
    """What a job in the queue is, by its admin_comment; else by its record, without a script.

    Where its user has asked for other GRES since, its devices are those. Raises GresError.
    """
    mark = decode_comment(job.admin_comment)
    if mark is None:
        return classify(from_record(job), policy, inventory)
    before = mark.classification
    if not changed_since(job, mark):
        return before
    request = from_marked(job, mark)
    if _kinds(request.gres) == _kinds(from_texts(mark.original)):
        return before
    now = classify(request, policy, inventory)
    return replace(before, types=now.types, vendors=now.vendors, memory_gib=now.memory_gib)


def _kinds(asked: GresRequests) -> set[tuple[str, str | None]]:
    return {(item.name, item.type) for item in asked.all()}


class Anew(NamedTuple):
    """A job in the intake whose user asks for something else since: its batch script, and what is
    asked for, in the words of a directive ('': nothing)."""

    job: Job
    script: str
    asked: str = ""


def asked_anew(
    anew: Anew,
    policy: Policy,
    inventory: Inventory,
    trials: Trials = NO_TRIALS,
    suits: Suits = UNKNOWN_SUITS,
) -> Admitted:
    """What the job is from now on. Raises HetError where that cannot be."""
    key = anew.job.key
    request = remembering(request_of(anew), policy, inventory, trials)
    made = admit(request, policy, inventory, suits)
    if isinstance(made, Passed):
        raise HetError(f"job {key} is left as it is: {made.why}")
    if wrong := [p for p in made.classification.problems if ASK in p]:
        told = wrong[0].removeprefix(f"{ASK}: ").partition(READ_AS)[0]  # for it is not read so
        raise HetError(told, "nothing is changed")
    if overruled := _overruled(anew.asked, made.classification, policy):
        raise HetError(overruled, "nothing is changed")
    if not made.fields["admin_comment"]:
        raise HetError("what it would be does not fit into its record", "nothing is changed")
    return replace(made, fields={"features": request.features, **made.fields})


def _overruled(words: str, what: Classification, policy: Policy) -> str:
    """Which of the words of a user comes to nothing, for his request itself says something else;
    '' if each counts."""
    for key, value in parse_hints(words)[0].items():
        stands = _other(canonical(key), value, what, policy)
        if stands:
            whys = (e.removeprefix(f"{stands}: ") for e in what.evidence if e.startswith(stands))
            return f"{key[:40]}={value[:40]} would come to nothing: {next(whys, stands)}"
    return ""


def _other(key: str, value: str, what: Classification, policy: Policy) -> str:
    """What stands there instead, as evidence begins; '' where the word counts."""
    names, gib = listed(value), parse_gib(value)
    match key:
        case "vendors" if value != "any" and set(names).isdisjoint(what.vendors):
            return f"vendors {'|'.join(what.vendors)}"
        case "types" if not any(policy.types.means(a, t) for a in names for t in what.types):
            return f"types {'|'.join(what.types)}"
        case "scenario" if value != what.scenario:
            return what.scenario
        case "memory" if gib and gib != what.memory_gib:
            return f"{what.memory_gib} GiB per device"
    return ""


def adoption(
    anew: Anew,
    policy: Policy,
    inventory: Inventory,
    trials: Trials = NO_TRIALS,
    suits: Suits = UNKNOWN_SUITS,
) -> dict[str, str]:
    """The update of a gated job that the hook did not classify, or whose user has changed what it
    asks for since, or whose Features, which are ours, keep it from the pools that it may use: as if
    it had been submitted so now, but its GRES stay. One that can run nowhere any more gets his
    constraint back. Raises HetError if it is none of ours, or would stay as it is."""
    job, mark = anew.job, decode_comment(anew.job.admin_comment)
    if mark:
        try:
            made: Admission = asked_anew(anew, policy, inventory, trials, suits)
        except HetError:
            if not mark.there or changed_since(job, mark):
                raise
            return given_back(job, mark, policy, inventory)
    else:
        request = remembering(from_record(job, anew.script), policy, inventory, trials)
        made = admit(request, policy, inventory, suits)
    if isinstance(made, Passed):
        raise HetError(str(made.why))
    comment, features = made.fields["admin_comment"], made.fields.get("features", job.features)
    now = decode_comment(comment)
    if now and (left := _our_gres(job, mark)):
        comment = encode_mark(having_written(now, left))
    if not comment:
        raise HetError("what it is does not fit into its admin_comment")
    if mark and features == job.features and not changed_since(job, mark):
        raise HetError("nothing of it would be another", "its partitions may do that")
    update = {"AdminComment": in_place(job.admin_comment, comment)}
    return update | ({"Features": features} if features != job.features else {})


def _our_gres(job: Job, mark: Mark | None) -> dict[str, str]:
    """The GRES of the job that we wrote, by Slurm's names of the fields; they say something else
    than its user did."""
    wrote = (mark and mark.wrote) or {}
    ours = {field: wrote[field] for field in TRES_FIELDS if field in wrote}
    return ours if all(getattr(job, field) == text for field, text in ours.items()) else {}


def _own_gres(job: Job, mark: Mark) -> dict[str, str]:
    """The GRES that its user wrote, where the job has others of ours: per node, as a release says
    it."""
    text = mark.original.get("tres_per_node") or mark.original.get("tres_per_job")
    return {"tres_per_node": text} if text and _our_gres(job, mark) else {}


def gres_as_submitted(job: Job, mark: Mark, policy: Policy) -> dict[str, str]:
    """The fields of the update by which a job whose GRES a release has replaced asks again for what
    its user wrote, by the names that the cluster registers; none where they are not a release's."""
    ours = _our_gres(job, mark)
    if ours.get("tres_per_job") != "":  # the hook writes none that is empty
        return {}
    node, in_all, *_ = from_texts(mark.original).registered(policy)
    if node:
        return {"Gres": ",".join(map(str, node))}
    # In no other words: 26.05 takes TresPerJob=gpu:2, and gives such a job no device.
    text = ",".join(f"gres/{item}" for item in in_all)
    return {"TresPerNode": "", "TresPerJob": text} if text else {}


def request_of(anew: Anew) -> JobRequest:
    """The job as its user wrote it, not as we did, and what he asks for since. Raises HetError."""
    request = from_marked(anew.job, _mark_of(anew.job), anew.script)
    return replace(request, asked=anew.asked or request.asked)


def _mark_of(job: Job) -> Mark:
    mark = decode_comment(job.admin_comment)
    if mark is None or not mark.original:
        told = f"how job {job.key} was submitted is not known"
        raise HetError(told, "cancel it, submit it anew")
    return mark


def update_of(
    job: Job, fields: dict[str, str], policy: Policy, *, rewrites: bool
) -> dict[str, str]:
    """The update: with its partition, so that Slurm refuses it once the job has started.

    `rewrites`: this Slurm lets the GRES of a queued job be replaced. Raises HetError.
    """
    wanted = _own_gres(job, _mark_of(job)) if rewrites else {}
    wanted |= {field: fields[field] for field in TRES_FIELDS if field in fields}
    asks = {field: text for field, text in wanted.items() if text != getattr(job, field)}
    if asks and not rewrites:
        raise HetError(
            f"it would have to ask for {', '.join(asks.values())}, which this Slurm does not"
            " let a queued job do", "cancel it and submit it anew",
        )  # fmt: skip
    if set(asks) - {"tres_per_node"}:
        raise HetError("it asks for devices per job or task", "cancel it and submit it anew")
    update = {
        "Partition": policy.intake_partition,
        "AdminComment": in_place(job.admin_comment, fields["admin_comment"]),
        "Features": fields["features"],
    }
    return update | ({"Gres": asks["tres_per_node"]} if asks else {})


def updated(job: Job, update: dict[str, str]) -> Job:
    """The record of the job after such an update."""
    return replace(
        job, partition=update.get("Partition", job.partition),
        admin_comment=update["AdminComment"], features=update.get("Features", job.features),
        tres_per_node=update.get("Gres", job.tres_per_node),
    )  # fmt: skip
