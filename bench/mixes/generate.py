"""A mix from a seed: a cluster of several types, its users and limits, what they submit and when.

It is a scenario as `./dev compare` reads them. Nothing is drawn but from the seed and the length of
the mix, so that a mix of six hours and one of two minutes can be made of the same seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOURS = 6 * 3600.0
LATER = 120.0
"""So many seconds later at most a submission comes in another rendition of a mix."""
SMALL, LARGE = (1, 1, 1, 1, 2, 2, 4, 4, 8), (1, 1, 2, 2, 4, 4, 8, 8, 8)
"""How many devices a job asks of a node, by how large the cluster is."""
USERS = ("daemon", "mail", "games", "news", "lp", "man")


@dataclass(frozen=True)
class _Type:
    """A type of device: GiB of one, what its pool is for, how many a node has."""

    name: str
    vendor: str
    gib: int
    scenario: str
    devices: tuple[int, ...]

    @property
    def pool(self) -> str:
        """The pool of such nodes."""
        return f"{'train' if self.scenario == 'training' else 'infer'}-{self.vendor}"


TYPES = (
    _Type("a100", "nvidia", 80, "training", (8, 4)),
    _Type("h100", "nvidia", 80, "training", (8,)),
    _Type("v100", "nvidia", 32, "training", (4, 8)),
    _Type("l40s", "nvidia", 48, "inference", (4, 8)),
    _Type("t4", "nvidia", 16, "inference", (4,)),
    _Type("mi300x", "amd", 192, "training", (8,)),
    _Type("mi210", "amd", 64, "training", (4, 8)),
    _Type("910b", "ascend", 64, "training", (8,)),
    _Type("310p", "ascend", 24, "inference", (4, 8)),
)


@dataclass
class _Site:
    """What has been drawn so far."""

    rng: random.Random
    types: list[_Type]
    counts: list[tuple[int, int]]
    """Nodes, and devices of each, by type."""
    shards: bool

    @property
    def devices(self) -> int:
        return sum(nodes * each for nodes, each in self.counts)

    def pools(self) -> dict[str, list[int]]:
        """The pools, each with the types that it has."""
        found: dict[str, list[int]] = {}
        for n, kind in enumerate(self.types):
            found.setdefault(kind.pool, []).append(n)
        return found


def generate(seed: int, seconds: float = HOURS, most_nodes: int = 24) -> dict[str, Any]:
    """The mix of a seed, `seconds` long, on at most so many nodes."""
    rng = random.Random(seed)
    site = _site(rng, most_nodes)
    accounting, qos = _accounting(rng, site)
    submissions, load = _submissions(site, seconds, qos)
    events = _reservations(rng, site, seconds)
    if events and rng.random() < 0.5:
        _enter(rng, submissions, events)
    return {
        "what": f"mix {seed}: {sum(n for n, _ in site.counts)} nodes, {site.devices} devices,"
        f" {sum(s['count'] for s in submissions)} jobs, load {load:.2f}",
        "cluster": {"nodes": _nodes(site), "accounting": accounting},
        "het": {"default_vendors": []},
        "seconds": seconds,
        "submissions": submissions,
        "events": events,
        "bounds": {"busy": 0.98},
    }


def rendition(mix: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The same mix by a little chance: each submission comes up to LATER seconds later."""
    rng = random.Random(number)
    late = [
        submission | {"at": round(submission.get("at", 0.0) + rng.uniform(0.0, LATER), 1)}
        for submission in mix["submissions"]
    ]
    return {**mix, "submissions": late}


def _site(rng: random.Random, most_nodes: int) -> _Site:
    vendors = ["nvidia"] if rng.random() < 0.5 else rng.sample(["nvidia", "amd", "ascend"], k=2)
    known = [kind for kind in TYPES if kind.vendor in vendors]
    types = rng.sample(known, k=min(len(known), rng.choice((2, 3, 3, 4))))
    nodes = 4 + int((most_nodes - 3) * rng.random() ** 2)
    cuts = [rng.random() + 0.3 for _ in types]
    counts = [
        (max(1, round(nodes * cut / sum(cuts))), rng.choice(kind.devices))
        for cut, kind in zip(cuts, types, strict=True)
    ]
    return _Site(rng, types, counts, shards=rng.random() < 0.3)


def _nodes(site: _Site) -> list[dict[str, Any]]:
    nodes = []
    for n, (kind, (count, devices)) in enumerate(zip(site.types, site.counts, strict=True)):
        letter = "abcdefgh"[n]
        made: dict[str, Any] = {
            "name": f"{letter}[1-{count}]" if count > 1 else f"{letter}1",
            "type": kind.name, "vendor": kind.vendor, "devices": devices,
            "memory_gib_per_device": kind.gib, "cpus": devices * 8, "memory_gib": devices * 64,
            "pool": kind.pool, "scenario": kind.scenario,
        }  # fmt: skip
        if site.shards and kind.scenario == "inference":
            made["shards_per_device"] = kind.gib
        nodes.append(made)
    return nodes


def _accounting(rng: random.Random, site: _Site) -> tuple[dict[str, Any], list[str]]:
    """Its section, and of each user the QOS of his jobs."""
    few = max(2, site.devices // rng.choice((3, 4, 6)))
    first: dict[str, Any] = {"Priority": 10}
    if rng.random() < 0.4:
        first |= rng.choice(
            ({"MaxTRESPU": {"gres/gpu": few}}, {"MaxJobsPU": rng.randint(2, 6)},
             {"GrpTRES": {"gres/gpu": few * 2}})
        )  # fmt: skip
    low = {"Priority": 0}
    accounts: dict[str, Any] = {
        name: {"QOS": ["normal", "first", "low"]} for name in ("one", "two")
    }
    if rng.random() < 0.4:
        accounts["two"] |= rng.choice(
            ({"GrpTRES": {"gres/gpu": few}}, {"GrpJobs": rng.randint(3, 10)})
        )
    users = {user: {"Account": "two" if n % 3 == 2 else "one"} for n, user in enumerate(USERS)}
    qos = [rng.choice(("normal", "normal", "first", "low")) for _ in USERS]
    section = {
        "slurm_conf": {"PriorityWeightQOS": 100000},
        "qos": {"normal": {"Priority": 3}, "first": first, "low": low},
        "accounts": accounts,
        "users": users,
    }
    return section, qos


def _submissions(
    site: _Site, seconds: float, qos: Sequence[str]
) -> tuple[list[dict[str, Any]], float]:
    rng = site.rng
    jobs = rng.randint(50, 90) + min(60, site.devices)
    drafts: list[dict[str, Any]] = []
    while sum(draft["count"] for draft in drafts) < jobs:
        drafts.append(_draft(site, len(drafts), qos))
    load = rng.uniform(0.9, 1.7)
    work = sum(draft["count"] * draft["size"] * draft["length"] for draft in drafts)
    scale = load * site.devices * seconds / work
    burst = rng.random() < 0.3
    return [_finished(draft, rng, seconds, scale, burst=burst) for draft in drafts], load


def _draft(site: _Site, number: int, qos: Sequence[str]) -> dict[str, Any]:
    """A submission with a `size` in devices and a `length` in any unit."""
    rng = site.rng
    user = rng.randrange(len(USERS))
    partition, types = _where(site)
    gib = min(site.types[t].gib for t in types)
    shared = site.shards and all(site.types[t].scenario == "inference" for t in types)
    nodes, kind = 1, ""
    if shared and rng.random() < 0.5:
        share = rng.choice((gib // 8, gib // 4, gib // 2))
        gres, size, cpus = f"shard:{share}", share / gib, 2
    else:
        if rng.random() < 0.45:
            t = rng.choice(types)
            types, kind = [t], f":{site.types[t].name}"
        most = max(site.counts[t][1] for t in types)
        sizes = SMALL if site.devices < 50 else LARGE
        devices = rng.choice([n for n in sizes if n <= most])
        able = [t for t in types if site.counts[t][1] >= devices]
        if devices >= 4 and rng.random() < (0.2 if site.devices < 50 else 0.4):
            # Nobody trains over two types at once: who asks for several nodes names one.
            types = [rng.choice(able)]
            kind = f":{site.types[types[0]].name}"
            nodes = min(rng.choice((2, 2, 3)), site.counts[types[0]][0])
        gres, size = f"gpu{kind}:{devices}", float(devices * nodes)
        cpus = devices * rng.choice((1, 2, 4, 8))
    words = ["-p", partition, f"--gres={gres}", "-c", str(cpus), "--mem", str(2000 * cpus)]
    words += ["-N", str(nodes)] if nodes > 1 else []
    words += [f"--qos={qos[user]}"]
    return {
        "name": f"s{number}", "user": USERS[user], "count": rng.choice((1, 1, 2, 3, 5, 8)),
        "sbatch": words, "size": size, "length": math.exp(rng.gauss(0.0, 0.7)),
    }  # fmt: skip


def _where(site: _Site) -> tuple[str, list[int]]:
    """A list of partitions, and the types that are there. Whoever names several names pools of one
    sort, or all of them."""
    pools, rng = site.pools(), site.rng
    like = rng.choice(("train", "train", "infer"))
    alike = [name for name in pools if name.startswith(like)] or list(pools)
    names = alike if rng.random() < 0.5 else [rng.choice(alike)]
    return ",".join(names), [t for name in names for t in pools[name]]


def _finished(
    draft: dict[str, Any], rng: random.Random, seconds: float, scale: float, *, burst: bool
) -> dict[str, Any]:
    """The submission itself."""
    length = min(max(draft.pop("length") * scale, 0.01 * seconds), 0.4 * seconds)
    del draft["size"]
    limit = length * rng.choice((1.05, 1.3, 2.0, 3.0))
    step = 1 if limit < 1800 else 5
    minutes = max(1, math.ceil(limit / 60 / step) * step)
    at = 0.0 if burst or rng.random() < 0.3 else rng.uniform(0.0, 0.6 * seconds)
    every = 0.0 if rng.random() < 0.7 else 0.01 * seconds
    return draft | {
        "at": round(at, 1), "every": round(every, 1), "sleep": float(round(length, 1)),
        "sbatch": [*draft["sbatch"], "-t", str(minutes)],
    }  # fmt: skip


def _reservations(rng: random.Random, site: _Site, seconds: float) -> list[dict[str, Any]]:
    """Maintenance to come, of all nodes or of one group's; or nodes for one user."""
    if rng.random() < 0.6:
        return []
    names = [node["name"] for node in _nodes(site)]
    everything = rng.random() < 0.3
    nodes = ",".join(names) if everything else rng.choice(names)
    begin = max(1, round(rng.uniform(0.3, 0.8) * seconds / 60))
    lasts = max(1, round(rng.uniform(0.1, 0.2) * seconds / 60))
    of_user = not everything and rng.random() < 0.4
    words = [
        "scontrol", "create", "reservation", "ReservationName=kept", f"Nodes={nodes}",
        f"StartTime=now+{begin}minutes", f"Duration={lasts}",
        f"Users={rng.choice(USERS) if of_user else 'root'}",
    ]  # fmt: skip
    words.append("Flags=IGNORE_JOBS" if of_user else "Flags=MAINT,IGNORE_JOBS")
    return [{"at": 0.0, "run": words}]


def _enter(
    rng: random.Random, submissions: list[dict[str, Any]], events: Sequence[dict[str, Any]]
) -> None:
    """Have some jobs of the reservation's user ask for it."""
    users = {word.removeprefix("Users=") for e in events for word in e["run"] if "Users=" in word}
    for submission in submissions:
        if submission["user"] in users and rng.random() < 0.3:
            submission["sbatch"].append("--reservation=kept")
