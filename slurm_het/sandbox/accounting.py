"""A site's accounting as data: QOSs, accounts, users and their limits, for sacctmgr and slurm.conf.

The keys of an entry are sacctmgr's own words (`man sacctmgr`), so that any limit can be written
without code for it here; `_QOS` and the tables after it say which there are, and what they take.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

CLUSTER = "het"
DEFAULT_ACCOUNTING = Path(__file__).resolve().parent.parent / "data" / "sandbox_accounting.yaml"
ENFORCE = ("associations", "limits", "qos", "safe", "nojobs", "nosteps", "wckeys")
TRES = ("cpu", "mem", "node", "energy", "billing", "fs/disk", "vmem", "pages")
"""What Slurm counts everywhere; devices are counted beside these."""

Value = str | int | float | tuple[str | int, ...] | dict[str, str | int]
Words = dict[str, Value]
"""sacctmgr's or slurm.conf's words of one entry: `{MaxJobs: 3, GrpTRES: {gres/gpu: 8}}`."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_CONF_KEY = re.compile(r"[A-Za-z]+")
_CONF_VALUE = re.compile(r"[^\s#]*")
_TIME = re.compile(r"-1|(\d+-)?\d+(:\d+){0,2}")
_FLAGS = (
    "DenyOnLimit", "EnforceUsageThreshold", "NoDecay", "NoReserve", "OverPartQOS",
    "PartitionMaxNodes", "PartitionMinNodes", "PartitionTimeLimit", "Relative",
    "RequiresReservation", "UsageFactorSafe",
)  # fmt: skip
_MODES = ("cancel", "cluster", "gang", "off", "requeue", "suspend", "within")
_COUNTED = "AccountingStorageTRES"
_OURS = (
    "ClusterName",
    "NodeName",
    "PartitionName",
    "AccountingStorageType",
    "AccountingStorageEnforce",
)


def _table(**kinds: str) -> dict[str, str]:
    return {key: kind for kind, keys in kinds.items() for key in keys.split()}


_QOS = _table(
    count="GrpJobs GrpJobsAccrue GrpSubmitJobs MaxJobsPerAccount MaxJobsPA MaxJobsPerUser "
    "MaxJobsPU MaxJobsAccruePerAccount MaxJobsAccruePA MaxJobsAccruePerUser MaxJobsAccruePU "
    "MaxSubmitJobsPerAccount MaxSubmitJobsPA MaxSubmitJobsPerUser MaxSubmitJobsPU "
    "MinPrioThresh Priority GraceTime",
    tres="GrpTRES GrpTRESMins GrpTRESRunMins MaxTRESPerAccount MaxTRESPA MaxTRESPerUser MaxTRESPU "
    "MaxTRESRunMinsPerAccount MaxTRESRunMinsPA MaxTRESRunMinsPerUser MaxTRESRunMinsPU "
    "MaxTRESPerJob MaxTRES MaxTRESPerNode MaxTRESMinsPerJob MaxTRESMins MinTRESPerJob MinTRES",
    time="GrpWall MaxWallDurationPerJob MaxWall PreemptExemptTime",
    number="UsageFactor UsageThreshold LimitFactor",
    qos="Preempt",
    flag="Flags",
    mode="PreemptMode",
    text="Description",
)
_ASSOCIATION = _table(
    count="GrpJobs GrpJobsAccrue GrpSubmitJobs MaxJobs MaxJobsAccrue MaxSubmitJobs Priority",
    tres="GrpTRES GrpTRESMins GrpTRESRunMins MaxTRESPerJob MaxTRES MaxTRESPerNode "
    "MaxTRESMinsPerJob MaxTRESMins",
    time="GrpWall MaxWallDurationPerJob MaxWall",
    qos="QOS DefaultQOS",
    share="Fairshare",
)
_ACCOUNT = _ASSOCIATION | _table(account="Parent", text="Description Organization")
_USER = _ASSOCIATION | _table(
    account="Account DefaultAccount", partition="Partition", text="AdminLevel"
)


class Accounting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What slurmdbd is filled with, and what slurm.conf says of it.

    `slurm_conf` are keys of slurm.conf as they are; `partitions` are keys of a partition's line, of
    a pool, of the intake, or of a further one that names its Nodes. An account or a QOS is one
    entry; a user is one entry for each `Account`, or for several that are alike. The QOS `normal`
    and the account `root` with the user root are there anyway.
    """

    enforce: tuple[str, ...] = ("associations", "limits", "qos", "safe")
    slurm_conf: Words = {}
    partitions: dict[str, Words] = {}
    qos: dict[str, Words] = {}
    accounts: dict[str, Words] = {}
    users: dict[str, Words | tuple[Words, ...]] = {}

    def entries(self, user: str) -> list[Words]:
        """A user's entries, whose first one's Account is the default one."""
        words = self.users[user]
        return [words] if isinstance(words, dict) else list(words)

    def counted(self, devices: Sequence[str]) -> list[str]:
        """What is counted beside `TRES`: the devices, and what slurm_conf adds to them."""
        return [*devices, *_names(self.slurm_conf.get(_COUNTED, ()))]

    def conf(self, devices: Sequence[str]) -> dict[str, str]:
        """slurm.conf's keys of accounting and priority; `devices` are TRES to be counted."""
        made = {"PriorityType": "priority/multifactor"}
        made |= {key: text_of(value) for key, value in self.slurm_conf.items()}
        if self.enforce:
            made["AccountingStorageEnforce"] = ",".join(self.enforce)
        return made | {_COUNTED: ",".join(self.counted(devices))}

    def partition_lines(self, lines: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """Partitions' lines, each by its keys, with what the section says of them and its own."""
        extra = {n: {k: text_of(v) for k, v in w.items()} for n, w in self.partitions.items()}
        return {n: {**lines.get(n, {}), **extra.get(n, {})} for n in (*lines, *extra)}

    def calls_before(self) -> list[list[str]]:
        """What sacctmgr is told before slurmctld starts: all but what counts TRES.

        So slurmctld finds its partitions' QOSs, and works out everybody's fair share as it starts.
        """
        names = [name for name in self.qos if name != "normal"]
        calls = [["add", "cluster", CLUSTER]]
        calls += [["add", "qos", ",".join(names)]] if names else []
        calls += _modify("qos", self.qos.items(), tres=False)
        for name in sorted(self.accounts, key=lambda name: len(_ancestors(self, name))):
            calls.append(["add", "account", name, *_told(self.accounts[name], tres=False)])
        return calls + [["add", "user", n, *_told(w, tres=False)] for n, w in _alike(self)]

    def calls_after(self) -> list[list[str]]:
        """What sacctmgr is told when slurmctld has registered the devices that limits count."""
        calls = _modify("qos", self.qos.items(), tres=True)
        calls += _modify("account", self.accounts.items(), tres=True)
        return calls + _modify("user", _alike(self), tres=True)


def text_of(value: Value) -> str:
    """A value as sacctmgr and slurm.conf take it: `a,b` for a list, `k=v,k=v` for a mapping."""
    if isinstance(value, dict):
        return ",".join(f"{key}={number}" for key, number in value.items())
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def load_accounting() -> Accounting:
    """The default section, which has a file of its own."""
    return msgspec.yaml.decode(DEFAULT_ACCOUNTING.read_bytes(), type=Accounting)


@dataclass(frozen=True)
class _Known:
    """The names that an entry may use."""

    qos: Iterable[str]
    account: Iterable[str]
    partition: Iterable[str]
    tres: Iterable[str]


def problems(section: Accounting, partitions: Sequence[str], devices: Sequence[str]) -> list[str]:
    """What is wrong with a section for a cluster with these partitions and devices (as TRES)."""
    known = _Known(
        qos=("normal", *section.qos),
        account=("root", *section.accounts),
        partition=(*partitions, *section.partitions),
        tres=(*TRES, *section.counted(devices)),
    )
    found = [f"enforce: {_none(w, ENFORCE)}" for w in section.enforce if w not in ENFORCE]
    for title, entries, table in (
        ("qos", section.qos.items(), _QOS),
        ("accounts", section.accounts.items(), _ACCOUNT),
        ("users", [(u, w) for u in section.users for w in section.entries(u)], _USER),
    ):
        for name, words in entries:
            found += _entry_problems(f"{title}: {name}", name, words, table, known)
    found += _order_problems(section)
    found += _conf_problems("slurm_conf", section.slurm_conf)
    for name, words in section.partitions.items():
        found += _conf_problems(f"partitions: {name}", words)
        if name not in partitions and "Nodes" not in words:
            found.append(f"partitions: {name}: no pool has this name, so it needs Nodes")
        wrong = _value_problems("qos", words.get("QOS", ()), known)
        found += [f"partitions: {name}: QOS: {text}" for text in wrong]
    return [f"accounting: {text}" for text in found]


def _told(words: Words, *, tres: bool) -> list[str]:
    """The words that count TRES, or the other ones."""
    return [f"{k}={text_of(v)}" for k, v in words.items() if ("TRES" in k) == tres]


def _alike(section: Accounting) -> list[tuple[str, Words]]:
    """Users' entries, with the names of all users that have the same one: a call takes long."""
    names: dict[tuple[int, str], list[str]] = {}
    words: dict[tuple[int, str], Words] = {}
    for user in section.users:
        for index, entry in enumerate(section.entries(user)):
            key = index, repr(entry)
            names.setdefault(key, []).append(user)
            words[key] = entry
    return [(",".join(names[key]), words[key]) for key in sorted(names, key=lambda key: key[0])]


def _modify(kind: str, entries: Iterable[tuple[str, Words]], *, tres: bool) -> list[list[str]]:
    calls = []
    for name, words in entries:
        if told := _told(words, tres=tres):
            which = [f"{k}={text_of(words[k])}" for k in ("Account", "Partition") if k in words]
            calls.append(["modify", kind, "where", f"name={name}", *which, "set", *told])
    return calls


def _names(value: Value) -> list[str]:
    return [word for word in text_of(value).split(",") if word]


def _none(word: object, valid: Iterable[str]) -> str:
    return f"{word!r} is none of {', '.join(dict.fromkeys(valid))}"


def _ancestors(section: Accounting, name: str) -> list[str]:
    """The accounts above one; of a circle each once."""
    found: list[str] = []
    while (name := str(section.accounts.get(name, {}).get("Parent", ""))) and name not in found:
        found.append(name)
    return found


def _order_problems(section: Accounting) -> Iterator[str]:
    for name in section.accounts:
        if name in _ancestors(section, name):
            yield f"accounts: {name}: Parent: it is above itself"
    if "nobody" in section.users:
        yield "users: nobody: no user to Slurm 26.05, whatever his associations; name another"
    for user in section.users:
        if any("Account" not in words for words in section.entries(user)):
            yield f"users: {user}: needs Account, one of {', '.join(section.accounts)}"


def _entry_problems(
    place: str, name: str, words: Words, table: Mapping[str, str], known: _Known
) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"{place}: Slurm's names are of small letters, digits, . _ -"
    for key, value in words.items():
        kind = table.get(key)
        if kind is None:
            yield f"{place}: {_none(key, table)}"
        else:
            yield from (f"{place}: {key}: {text}" for text in _value_problems(kind, value, known))


def _value_problems(kind: str, value: Value, known: _Known) -> Iterator[str]:
    valid = {
        "qos": known.qos, "account": known.account, "partition": known.partition,
        "flag": _FLAGS, "mode": _MODES,
    }.get(kind)  # fmt: skip
    if valid is not None:
        lower = {word.lower() for word in valid}
        for word in _names(value):
            if word.lower() not in lower:
                yield _none(word, valid)
    elif kind == "tres":
        if not isinstance(value, dict):
            yield f"{value!r} is no mapping of what is limited to a number, e.g. {{gres/gpu: 4}}"
            return
        for word in value:
            if word not in known.tres:
                yield _none(word, known.tres)
    elif kind == "time":
        if not _TIME.fullmatch(text_of(value)):
            yield f'{value!r} is no time: minutes, or "days-hours:minutes:seconds" in quotes'
    elif kind == "share":
        if value != "parent" and not isinstance(value, int):
            yield f"{value!r} is no whole number, nor parent"
    elif kind == "count" and not isinstance(value, int):
        yield f"{value!r} is no whole number"
    elif kind == "number" and not isinstance(value, int | float):
        yield f"{value!r} is no number"


def _conf_problems(place: str, words: Words) -> Iterator[str]:
    for key, value in words.items():
        if not _CONF_KEY.fullmatch(key) or key in _OURS:
            yield f"{place}: {key!r} is no key of slurm.conf, or one that the sandbox writes"
        elif not _CONF_VALUE.fullmatch(text_of(value)):
            yield f"{place}: {key}: slurm.conf cannot hold blanks or # in {text_of(value)!r}"
