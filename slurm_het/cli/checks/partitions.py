"""Whether the intake and the pools take what they are to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slurm_het.cli.checks.site import AssociationKey, Finding, Installation
from slurm_het.core.partition import Partition, narrower
from slurm_het.core.reasons import few
from slurm_het.core.syntax import hostlist


def missing(site: Installation) -> Iterator[Finding]:
    """Partitions that Slurm does not have."""
    known = {p.name for p in site.snapshot.partitions}
    policy = site.settings.policy
    pools = (*policy.pools, *policy.spanning)
    for name in (policy.intake_partition, *(pool.partition for pool in pools)):
        if name not in known:
            meant = [there for there in known if there.casefold() == name.casefold()]
            yield Finding(
                "het.yaml", f"Slurm has no partition {name!r}; it has: {', '.join(sorted(known))}",
                f"write {meant[0]}: Slurm tells capital letters from small ones" if meant else
                "add it to slurm.conf, or name one that is there",
            )  # fmt: skip


def outside_the_intake(site: Installation) -> Iterator[Finding]:
    """Nodes of pools that the intake lacks."""
    intake = site.intake()
    if not intake:
        return
    inside = set(hostlist.expand(intake.nodes))
    for pool in site.pools():
        if nodes := sorted(set(hostlist.expand(pool.nodes)) - inside):
            yield Finding(
                f"partition {intake.name}",
                f"nodes {hostlist.fold(nodes)} of {pool.name} are not in the intake {intake.name}:"
                " with the gate open no job could use them",
                "add them to its Nodes= in slurm.conf, and restart slurmctld",
            )  # fmt: skip


def outside_the_spanning(site: Installation) -> Iterator[Finding]:
    """Nodes of pools that the spanning partition lacks; and one that starts nothing."""
    spanning = site.spanning()
    if not spanning:
        return
    place, inside = f"partition {spanning.name}", set(hostlist.expand(spanning.nodes))
    outside = {node for pool in site.pools() for node in hostlist.expand(pool.nodes)} - inside
    if outside:
        yield Finding(
            place, f"is to have the nodes of all pools, and lacks {hostlist.fold(sorted(outside))}:"
            " a job that needs them beside others' would wait for ever",
            "add them to its Nodes= in slurm.conf, and restart slurmctld",
        )  # fmt: skip
    if spanning.state != "UP":
        yield Finding(
            place, f"is {spanning.state}: what no pool can hold alone starts nowhere",
            f"scontrol update PartitionName={spanning.name} State=UP; and in slurm.conf",
        )  # fmt: skip


def no_default_time(site: Installation) -> Iterator[Finding]:
    """Jobs that name no time limit, in an intake without DefaultTime."""
    intake = site.intake()
    if not intake or intake.default_minutes is not None:
        return
    remedy = f"give {intake.name} a DefaultTime"
    place = f"partition {intake.name}"
    limited = [pool.name for pool in site.pools() if pool.max_minutes is not None]
    if intake.max_minutes is None and limited:
        what = (
            f"the intake {intake.name} has neither DefaultTime nor MaxTime: Slurm shows a job that"
            f" names no time as unlimited, and {', '.join(limited)} with a MaxTime would never take"
            " it"
        )
        yield Finding(place, what, remedy)
    else:
        until = "its MaxTime" if intake.max_minutes is not None else "ever"
        what = f"has no DefaultTime: a job that names no time is planned as if it ran for {until}"
        yield Finding(place, what, remedy, remark=True)


def endless(site: Installation) -> Iterator[Finding]:
    """Partitions in which two jobs with giant limits hang slurmctld: its backfill counts through
    their minutes, with all locks held. Seen on 24.11.5, not on 22.05.8 and 26.05.5."""
    open_ended = [p.name for p in site.snapshot.partitions if p.max_minutes is None]
    if open_ended and site.conf.get("SLURM_VERSION", "").startswith("24.11."):
        yield Finding(
            f"partition {few(open_ended)}",
            "has no MaxTime: on Slurm 24.11 two jobs that run there, with -t UNLIMITED and"
            " -t 1000000000, make slurmctld hang until it is killed, whoever's they are",
            "give each partition a MaxTime, such as 365-0", remark=True,
        )  # fmt: skip


def not_up(site: Installation) -> Iterator[Finding]:
    """Pools in which Slurm starts nothing."""
    for pool in site.pools():
        if pool.state != "UP":
            yield Finding(
                f"partition {pool.name}", f"this pool is {pool.state}: nothing starts there",
                f"scontrol update PartitionName={pool.name} State=UP; and in slurm.conf",
            )  # fmt: skip


def closed_to_users(site: Installation) -> Iterator[Finding]:
    """Partitions of ours that Slurm lets no user's job into."""
    intake = site.intake()
    for record in site.ours():
        shown = site.partition_words.get(record.name, {})
        for word, who in (("RootOnly", "root's jobs"), ("ReqResv", "jobs with a --reservation")):
            if word == "RootOnly" and record is not intake:
                continue  # nobody needs to name a pool
            if shown.get(word, "NO").upper() == "YES":
                yield Finding(
                    f"partition {record.name}", f"has {word}=YES: Slurm takes only {who} there, and"
                    " refuses all others",
                    f"take {word} out of its line in slurm.conf",
                )  # fmt: skip


_CHOOSY = (
    ("AllowGroups", "allow_groups"), ("AllowAccounts", "allow_accounts"),
    ("DenyAccounts", "deny_accounts"), ("AllowQos", "allow_qos"), ("DenyQos", "deny_qos"),
)  # fmt: skip


def not_for_everybody(site: Installation) -> Iterator[Finding]:
    """Pools and an intake that not everybody may use."""
    intake = site.intake()
    for record in site.ours():
        for word, name in _CHOOSY:
            who = getattr(record, name)
            if who and (record is intake or not intake or who != getattr(intake, name)):
                others = "jobs of others are left to plain Slurm" if record is intake else (
                    "no job of others is planned there")  # fmt: skip
                yield Finding(
                    f"partition {record.name}", f"has {word}={','.join(sorted(who))}: {others}",
                    f"take {word} out, unless that is what you want", remark=True,
                )  # fmt: skip


def _others(site: Installation) -> list[Partition]:
    """The partitions beside ours that start jobs on accelerator nodes."""
    names = {record.name for record in (*site.ours(), site.spanning()) if record}
    inside = {n.name for n in site.snapshot.nodes if n.gres}
    return [
        p for p in site.snapshot.partitions
        if p.name not in names and p.state == "UP" and inside & set(hostlist.expand(p.nodes))
    ]  # fmt: skip


def narrow_intake(site: Installation) -> Iterator[Finding]:
    """Limits of the intake that refuse what another partition of its nodes takes."""
    intake = site.intake()
    found: dict[str, list[str]] = {}
    for wider in (*site.pools(), *_others(site)):
        if intake and (words := narrower(intake, wider)):
            found.setdefault("; ".join(words), []).append(wider.name)
    for text, wide in found.items():
        yield Finding(
            f"partition {site.settings.policy.intake_partition}",
            f"is narrower than {', '.join(wide)}: {text}: jobs that run there are refused here or"
            " wait for ever",
            "give the intake the widest limits of its pools and of the old partitions",
        )  # fmt: skip


def narrow_pools(site: Installation) -> Iterator[Finding]:
    """Limits of pools that refuse what the intake, or an old partition of their nodes, takes."""
    intake = site.intake()
    for wider in (*filter(None, [intake]), *_others(site)):
        nodes = set(hostlist.expand(wider.nodes))
        here = [pool for pool in site.pools() if nodes & set(hostlist.expand(pool.nodes))]
        lacks = {pool.name: words for pool in here if (words := narrower(pool, wider))}
        if lacks and len(lacks) == len(here):
            words = next(iter(lacks.values()))
            yield Finding(
                f"partition {', '.join(lacks)}",
                f"no pool takes all that {wider.name} takes: {'; '.join(words)}",
                f"give the pools the limits of {wider.name}",
            )  # fmt: skip
        elif wider is intake:
            for name, words in lacks.items():
                yield Finding(
                    f"partition {name}",
                    f"is narrower than the intake {wider.name}: {'; '.join(words)}: a job beyond"
                    " that which only these nodes can hold waits for ever",
                    f"give it the limits of {wider.name}, unless that is what you want",
                    remark=True,
                )


_SHARING = (
    ("Exclusive=NODE (OverSubscribe=EXCLUSIVE)", "exclusive"), ("OverSubscribe", "oversubscribe"),
    ("PriorityTier", "tier"), ("Topology", "topology"),
)  # fmt: skip


def shared_otherwise(site: Installation) -> Iterator[Finding]:
    """Pools that share nodes, or rank, otherwise than the intake: a job gets what its pool says."""
    intake = site.intake()
    found: dict[str, list[str]] = {}
    for pool in site.pools() if intake else ():
        unlike = [
            f"{word} is {_shown(mine)}, there it is {_shown(theirs)}" for word, name in _SHARING
            if (mine := getattr(pool, name)) != (theirs := getattr(intake, name))
        ]  # fmt: skip
        if unlike:
            found.setdefault("; ".join(unlike), []).append(pool.name)
    for text, names in found.items():
        yield Finding(
            f"partition {', '.join(names)}",
            f"is not as the intake {site.settings.policy.intake_partition}: {text}: jobs fare"
            " otherwise than where plain Slurm starts them in the intake",
            "give both the same in slurm.conf (a line of PartitionName=DEFAULT may have set it),"
            " unless that is what you want",
            remark=True,
        )  # fmt: skip


def _shown(value: object) -> str:
    return {"True": "set", "False": "not set", "": "not set"}.get(str(value), str(value))


def no_default_memory(site: Installation) -> Iterator[Finding]:
    """Partitions in which a job that names no memory takes all of its node."""
    if "MEMORY" not in site.conf.get("SelectTypeParameters", "").upper() or _default(site.conf):
        return
    bare = [
        record.name for record in site.ours()
        if not record.exclusive and not _default(site.partition_words.get(record.name, {}))
    ]  # fmt: skip
    if bare:
        yield Finding(
            f"partition {', '.join(bare)}",
            "has no DefMemPerGPU, DefMemPerCPU or DefMemPerNode, nor has slurm.conf: a job that"
            " names no memory takes all of its node, and nothing else runs there",
            "add DefMemPerCPU= (MiB) to slurm.conf, or DefMemPerGPU= to the partitions",
        )  # fmt: skip


def _default(shown: Mapping[str, str]) -> bool:
    """Whether what Slurm shows, of itself or of a partition, has a default of memory."""
    amounts = (shown.get(key, "UNLIMITED") for key in ("DefMemPerCPU", "DefMemPerNode"))
    return any(a not in {"UNLIMITED", "0"} for a in amounts) or (
        "DefMemPerGPU" in shown.get("JobDefaults", "")
    )


def bound_associations(site: Installation) -> Iterator[Finding]:
    """Users whose association holds only in other partitions than ours."""
    ours = [record.name for record in site.ours()]
    held: dict[tuple[str, str], set[str]] = {}
    for association in site.associations:
        held.setdefault((association.user, association.account), set()).add(association.partition)
    shut: dict[tuple[str, ...], list[AssociationKey]] = {}
    for (user, account), partitions in held.items():
        lacking = tuple(name for name in ours if name not in partitions)
        if "" not in partitions and lacking:
            shut.setdefault(lacking, []).append(AssociationKey(account, user))
    for lacking, who in shut.items():
        first = ", ".join(f"{a.user} of {a.account}" for a in who[:3])
        more = f" and {len(who) - 3} more" if len(who) > 3 else ""
        yield Finding(
            "slurmdbd", f"the associations of {first}{more} are bound to partitions, and none is to"
            f" {', '.join(lacking)}: Slurm refuses their jobs there",
            "sacctmgr add user NAME account=ACCOUNT (one without partition=), or one for each",
        )  # fmt: skip


CHECKS = (
    missing, outside_the_intake, outside_the_spanning, no_default_time, endless, not_up,
    closed_to_users, not_for_everybody, narrow_intake, narrow_pools, shared_otherwise,
    no_default_memory, bound_associations,
)  # fmt: skip
