"""The two rewrites of a job: at submit (into the intake) and at release (onto its nodes).

At submit the request stays vendor-neutral: partition, Features and admin_comment are set, so that
plain Slurm places the job rightly too when the gate is open. At release one update names a
different partition and exactly N nodes: Slurm refuses it as a whole if the job has started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slurm_het.core.cluster.inventory import Inventory
from slurm_het.core.jobs.classify import Request, classify
from slurm_het.core.jobs.gres_choice import only_kind
from slurm_het.core.jobs.mark import TRES_FIELDS, decode_comment, encode_comment
from slurm_het.core.jobs.pools import fitting_pools, fitting_types
from slurm_het.core.model import Classification, Job, Pool
from slurm_het.core.policy import Policy
from slurm_het.core.syntax import gres
from slurm_het.core.syntax.constraint import combine, parse_features
from slurm_het.errors import HetError


@dataclass(frozen=True, slots=True)
class Admission:
    """What the hook is told: `action` admit or pass, why, and the fields to assign."""

    action: str
    why: str
    fields: dict[str, str] = field(default_factory=dict)
    classification: Classification | None = None


def admit(sent: Mapping[str, str], policy: Policy, inventory: Inventory) -> Admission:
    """Decide on a submitted job. TRES values in `sent` are normalised (no `gres:` prefix)."""
    try:
        parse_features(sent.get("features", ""))
        tres = {f: registered(sent[f], policy) for f in TRES_FIELDS if sent.get(f)}
        request = _request(sent, policy)
    except HetError as error:
        return Admission("pass", error.message)
    what = classify(request, policy)
    types = fitting_types(what, inventory.types(), policy)
    pool_types = {p.partition: inventory.types_of(p.partition) for p in policy.pools}
    pools, remark = fitting_pools(what, types, pool_types, policy)
    if not pools:
        return Admission("pass", f"no pool has a device for it ({'; '.join(what.evidence)})"[:400])
    if remark:
        what = replace(what, evidence=(*what.evidence, remark))
    what, shared = _share(what, tres, pools, inventory)
    what, named = _name_kind(what, tres, pools, types, inventory, policy)
    fields = {f: v for f, v in (tres | named | shared).items() if v != sent.get(f)}
    fields["partition"] = policy.intake_partition
    features = feature_text(sent.get("features", ""), pools, types, inventory, request)
    if features != sent.get("features", "") and len(features) < 1024:
        fields["features"] = features
    fields["admin_comment"] = encode_comment(what, sent)
    return Admission("admit", what.evidence[0] if what.evidence else "", fields, what)


def _request(sent: Mapping[str, str], policy: Policy) -> Request:
    tres = tuple(sent[f] for f in TRES_FIELDS if sent.get(f))
    nodes = _int(sent.get("min_nodes"), 1)
    partition = sent.get("partition", "")
    return Request(
        user=sent.get("user_name", ""),
        account=sent.get("account", ""),
        name=sent.get("name", ""),
        partition="" if partition == policy.intake_partition else partition,
        features=sent.get("features", ""),
        comment=sent.get("comment", ""),
        tres=tres,
        nodes=nodes,
        devices=sum(g.count for t in tres for g in gres.parse(t) if _counts(g.name, policy)),
        script=sent.get("script", ""),
    )


def _counts(name: str, policy: Policy) -> bool:
    return name in policy.gres and not policy.gres[name].shared


def _int(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 12 else default


def registered(text: str, policy: Policy) -> str:
    """The request with aliases (npu) replaced by the GRES name the cluster registers (gpu)."""
    items = []
    for item in gres.parse(text):
        name = policy.gres.get(item.name)
        changed = name is not None and name.alias_of
        items.append(str(replace(item, name=name.alias_of)) if changed and name else None)
    if not any(items):
        return text
    return ",".join(new or old for new, old in zip(items, gres.split_list(text), strict=True))


def _share(
    what: Classification, tres: dict[str, str], pools: tuple[Pool, ...], inventory: Inventory
) -> tuple[Classification, dict[str, str]]:
    """`gpu:1` of a job that may share and needs M GiB becomes `shard:M`, where shards exist."""
    partitions = {p.partition for p in pools}
    has_shards = any(n.shared and partitions & set(n.partitions) for n in inventory.nodes.values())
    single = list(tres) == ["tres_per_node"] and tres["tres_per_node"] in {"gpu", "gpu:1"}
    if not (what.share and what.memory_gib and has_shards and single):
        return what, {}
    why = f"shares a device: gpu:1 becomes shard:{what.memory_gib}"
    return (
        replace(what, evidence=(*what.evidence, why)),
        {"tres_per_node": f"shard:{what.memory_gib}"},
    )


def _name_kind(
    what: Classification,
    tres: dict[str, str],
    pools: tuple[Pool, ...],
    types: frozenset[str],
    inventory: Inventory,
    policy: Policy,
) -> tuple[Classification, dict[str, str]]:
    """`gpu:2` becomes `gpu:l40s:2` or `npu:910b:2` where that is all that fits."""
    partitions = {p.partition for p in pools}
    nodes = [n for n in inventory.nodes.values() if partitions & set(n.partitions)]
    found = {f: only_kind(text, types, nodes, policy) for f, text in tres.items()}
    named = {f: text for f, text in found.items() if text}
    why = (f"only {text} fits: {tres[f]} becomes that" for f, text in named.items())
    return replace(what, evidence=(*what.evidence, *why)), named


def feature_text(
    user: str,
    pools: tuple[Pool, ...],
    types: frozenset[str],
    inventory: Inventory,
    request: Request,
) -> str:
    """The Features that keep plain Slurm to these pools and types, on top of the user's own.

    Node Features carry the pools' partition names and the types (`slurm-het check` sees to it).
    """
    partitions = {p.partition for p in pools}
    inside = [n for n in inventory.nodes.values() if partitions & set(n.partitions)]
    all_types = frozenset(d.type for n in inside for d in n.devices)
    outside = frozenset(
        d.type
        for n in inventory.nodes.values()
        if not partitions & set(n.partitions)
        for d in n.devices
    )
    wanted = types & all_types
    by_pool = wanted & outside and all(partitions & n.features for n in inside)
    by_type = wanted < (all_types | outside) and _registered_types(inside, wanted)
    several = request.nodes > 1 or request.devices > 1
    one_for_all = several and not (by_pool and by_type)  # brackets cannot be ANDed
    text = user
    if by_pool:
        text = combine(text, partitions, one_for_all=one_for_all)
    if by_type:
        text = combine(text, wanted, one_for_all=one_for_all)
    return text


def _registered_types(nodes: list[Any], wanted: frozenset[str]) -> bool:
    return all(d.type in n.features for n in nodes for d in n.devices if d.type in wanted)


# --- what is kept in admin_comment ---


def classification_of(job: Job, policy: Policy, script: str = "") -> Classification:
    """A job's classification: from its admin_comment, else made from its record and script."""
    kept = decode_comment(job.admin_comment)
    if kept:
        return kept[0]
    return classify(_request(sent_by(job, script), policy), policy)


def sent_by(job: Job, script: str = "") -> dict[str, str]:
    """What the hook would have sent about a job that is already in the queue."""
    sent = {
        "user_name": job.user,
        "account": job.account,
        "name": job.name,
        "partition": job.partition,
        "features": job.features,
        "comment": job.comment,
        "min_nodes": str(job.nodes_min),
        "script": script,
    }
    return sent | {f: getattr(job, f) for f in TRES_FIELDS if getattr(job, f)}


# --- release and return ---
