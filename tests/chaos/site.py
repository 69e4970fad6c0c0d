"""A site with accounts: its limits, QOSs, tiers and reservations, and what its admins do to them.

Its events are laid over those of `events.py`: users submit under accounts and QOSs; limits change,
reservations come and go, slurmdbd and its database fail. All of it follows from the seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from tests.chaos.events import NODES, TOPOLOGY, Event

SCAVENGE = "scavenge"
NO_LIMIT = -1
ADMIN_EVERY = 5.0  # seconds, on average, from one thing that an admin does to the next
RESERVED_FROM = 100_000  # submissions into reservations count from here

USERS = {"daemon": "vision", "mail": "teaching", "games": "vision"}
"""Each user's account."""
EXEMPT_SECONDS = {"calm": 10}
PREEMPTS = {"urgent": frozenset({"idle", "calm"})}
"""Where QOSs decide: whose jobs those of a QOS may preempt."""


@dataclass(frozen=True, slots=True)
class Limited:
    """A limit that an admin changes: of a qos, a partition (by its QOS), an account or a user.

    `name` is whose; `word` is Slurm's, `value` what it is at first, `others` what it may become.
    """

    kind: str
    name: str
    word: str
    value: int
    others: tuple[int, ...]
    partition: str = ""

    @property
    def of_devices(self) -> bool:
        """Whether it counts devices, or else jobs."""
        return "TRES" in self.word

    @property
    def each_user(self) -> bool:
        """Whether each user has so much for himself."""
        return self.word.endswith("PU")

    def told(self, value: int) -> tuple[str, ...]:
        """What sacctmgr is told to set it."""
        kind = "qos" if self.kind == "partition" else self.kind
        what = f"gres/gpu={value}" if self.of_devices else str(value)
        return ("modify", kind, "where", f"name={self.name}", "set", f"{self.word}={what}")


LIMITS = (
    Limited("qos", "normal", "MaxTRESPU", 6, (3, 5, 9)),
    Limited("qos", "urgent", "MaxJobsPU", 3, (1, 2, 4)),
    Limited("qos", "idle", "GrpTRES", 10, (4, 7)),
    Limited("account", "teaching", "GrpTRES", 5, (2, 4, 8)),
    Limited("user", "games", "MaxJobs", 4, (1, 2, 6)),
    Limited("partition", "amd", "MaxTRESPU", 5, (2, 4), partition="train-amd"),
)


def limits_in(text: str) -> dict[int, int]:
    """What `scontrol -o show assoc_mgr` says of LIMITS, by index.

    A limit of each user is shown for those alone who use something.
    """
    found = {}
    for index, limit in enumerate(LIMITS):
        record = {
            "account": rf"^ClusterName=\S+ Account={limit.name} UserName= .*",
            "user": rf"^ClusterName=\S+ Account=\S+ UserName={limit.name}\(.*",
        }.get(limit.kind, rf"^QOS={limit.name}\(.*")
        value = rf"\b{limit.word}=[^ }}]*?gres/gpu=(N|\d+)\(" if limit.of_devices else (
            rf"\b{limit.word}=(N|\d+|(?= ))")  # fmt: skip
        line = re.search(record, text, re.MULTILINE)
        if line and (shown := re.search(value, line.group())):
            found[index] = int(shown.group(1)) if shown.group(1).isdigit() else NO_LIMIT
    return found


_NODES = ",".join(NODES)
_COMMON = """
  slurm_conf: {%s, PriorityWeightQOS: 100000}
  qos:
    normal: {Priority: 10, MaxTRESPU: {gres/gpu: 6}}
    idle: {GrpTRES: {gres/gpu: 10}}
    calm: {Priority: 5, PreemptExemptTime: "00:00:10"}
    urgent: {Priority: 100, MaxJobsPU: 3%s}
    amd: {MaxTRESPU: {gres/gpu: 5}}
  accounts:
    research: {QOS: [normal, idle, calm, urgent]}
    vision: {Parent: research}
    teaching: {Parent: research, GrpTRES: {gres/gpu: 5}}
  users:
    daemon: {Account: vision}
    mail: {Account: teaching}
    games: {Account: vision, MaxJobs: 4}
  partitions:
"""
_BY_QOS = _COMMON % ("PreemptType: preempt/qos, PreemptMode: REQUEUE", ", Preempt: [idle, calm]")
_BY_QOS += "    train-amd: {QOS: amd}\n"
_BY_TIER = _COMMON % ("PreemptType: preempt/partition_prio, PreemptMode: REQUEUE", "")
_BY_TIER += "".join(
    f"    {name}: {{PriorityTier: 10{', QOS: amd' if name == 'train-amd' else ''}}}\n"
    for name in ("accel", "train-nv", "train-amd", "infer-nv", "infer-mlu")
)
_BY_TIER += f'    {SCAVENGE}: {{Nodes: "{_NODES}", PriorityTier: 1, MaxTime: INFINITE}}\n'


def by_tier(seed: int) -> bool:
    """Whether tiers of partitions decide who preempts whom, or else QOSs."""
    return seed % 2 == 1


def topology(seed: int) -> str:
    """The sandbox's topology file for such a site."""
    nodes = "nodes:" + TOPOLOGY.replace("\n", "\n  ").rstrip() + "\n"
    return nodes + "accounting:" + (_BY_TIER if by_tier(seed) else _BY_QOS)


def qos_of(event: Event) -> str:
    """The QOS of a submission."""
    named = [word.removeprefix("--qos=") for word in event.args if word.startswith("--qos=")]
    return named[-1] if named else "normal"


def account_of(event: Event) -> str:
    """The account that a submission counts against."""
    return USERS.get(event.user, "")


# --- events ---


def at_site(events: list[Event], seed: int, seconds: float) -> list[Event]:
    """The events with users and QOSs, and with what the site's admins do."""
    rng = Random(f"site {seed}")
    out = [_owned(rng, e, by_tier(seed)) if e.verb == "submit" else e for e in events]
    out += _admins(Random(f"admins {seed}"), seconds)
    return sorted(out, key=lambda e: (e.at, e.verb, e.target))


def _owned(rng: Random, event: Event, tiers: bool) -> Event:
    user = rng.choice(list(USERS))
    qos = rng.choices(("normal", "idle", "calm", "urgent"), (4, 4, 2, 2))[0]
    scavenges = rng.random() < 0.35
    args = (*event.args, f"--qos={qos}")
    if tiers and scavenges and "-p" not in args and "array" not in event.kind:
        args = (*args, "-p", SCAVENGE)
    return replace(event, user=user, args=args)


def _admins(rng: Random, seconds: float) -> Iterator[Event]:
    at, number = 2.0, 0
    while True:
        at += rng.expovariate(1 / ADMIN_EVERY)
        if at >= seconds:
            return
        number += 1
        yield from rng.choices(list(_DEEDS), list(_DEEDS.values()))[0](rng, at, number)


def _limit(rng: Random, at: float, _number: int) -> list[Event]:
    index = rng.randrange(len(LIMITS))
    limit = LIMITS[index]
    value = rng.choice((*limit.others, limit.value, NO_LIMIT))
    return [Event(at, "limit", args=(str(index), str(value)))]


def _reservation(rng: Random, at: float, number: int) -> list[Event]:
    name, user = f"r{number}", rng.choice(("root", "mail", "games"))
    flags = rng.choice(("MAINT,IGNORE_JOBS", "IGNORE_JOBS", "IGNORE_JOBS,FLEX",
                        "IGNORE_JOBS,MAGNETIC"))  # fmt: skip
    nodes = ",".join(rng.sample(NODES, rng.choice((1, 1, 2))))
    start = rng.choice(("now", f"now+{rng.randint(5, 60)}"))
    settings = (f"StartTime={start}", f"Duration={rng.randint(1, 3)}", f"Nodes={nodes}",
                f"Users={user}", f"Flags={flags}")  # fmt: skip
    events = [Event(at, "reserve", args=(name, *settings))]
    if user != "root":
        events += [_inside(rng, at + 0.5 + n, number * 10 + n, name, user) for n in range(2)]
    if rng.random() < 0.4:
        change = rng.choice((f"Duration={rng.randint(1, 4)}", f"Nodes={rng.choice(NODES)}",
                             "Users+=games", "StartTime=now+20"))  # fmt: skip
        events.append(Event(at + rng.uniform(2, 10), "re-reserve", args=(name, change)))
    return [*events, Event(at + rng.uniform(8, 40), "unreserve", args=(name,))]


def _inside(rng: Random, at: float, number: int, name: str, user: str) -> Event:
    # To the intake: a reservation that hetd has not seen yet is plain Slurm's to deal with.
    options = (f"--gres=gpu:{rng.choice((1, 2))}", f"--reservation={name}", "-p", "accel",
               "-t", "1", "--requeue")  # fmt: skip
    hint = rng.choice(("training", "inference"))
    return Event(
        at, "submit", RESERVED_FROM + number, options, f"#HET scenario={hint} vendors=any",
        seconds=rng.choice((1.0, 4.0)), requeue=True, kind="reserved", user=user,
    )  # fmt: skip


def _slurmdbd(rng: Random, at: float, _number: int) -> list[Event]:
    return [Event(at, "dbd-kill"), Event(at + rng.uniform(3, 15), "dbd-start")]


def _database(rng: Random, at: float, _number: int) -> list[Event]:
    return [Event(at, "db-kill"), Event(at + rng.uniform(3, 15), "db-start")]


_Deed = Callable[[Random, float, int], list[Event]]
_DEEDS: dict[_Deed, int] = {_limit: 8, _reservation: 6, _slurmdbd: 1, _database: 1}
VERBS = frozenset({
    "limit", "reserve", "re-reserve", "unreserve", "dbd-kill", "dbd-start", "db-kill", "db-start",
})  # fmt: skip
"""What admins do, one after the other."""


def repairs() -> Iterator[Event]:
    """Accounting is back, and there is no limit any more."""
    yield from (Event(0.0, verb) for verb in ("db-start", "dbd-start"))
    for index in range(len(LIMITS)):
        yield Event(0.0, "limit", args=(str(index), str(NO_LIMIT)))
