"""The site's limits and their use, from `scontrol show assoc_mgr`; read where they are enforced.
Which account is above which is read there too, where partitions or reservations go by that.

Its names (accounts, QOSs, users) are the admins'. The text is told apart by how far its lines are
indented: a record begins at the margin, its fields have 4 blanks, an account or user under a QOS
has 6, and the limits of that one have 8. It is the same on 22.05, 24.11 and 26.05, but for users
under a QOS: `1`, from 24.11 on `daemon(1)`.

An account or a user is listed under a QOS once it has a job there, pending ones included. What each
may have who is not listed yet, and a QOS's flags, only sacctmgr tells.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from slurm_het.core.model import Job, Snapshot
from slurm_het.core.site_limits import Association, Limit, Qos, SiteLimits, line_of
from slurm_het.errors import SlurmError
from slurm_het.slurm.accounts import enforced, go_by_parents
from slurm_het.slurm.qos import QosFields, QosReader

LASTS_SECONDS = 60.0
"""So long limits hold that cannot be read anew."""
MOST_NAMES = 400
"""Of more accounts than that all are asked for: a command line has its bounds."""

_FIELD = re.compile(r"(?:^|\s)([A-Z]\w*)=(\S*)")
_AMOUNT = re.compile(r"([^=,()]+)=(\d+|N)(?:\((\d+)\))?")
_COUNT = re.compile(r"(\d+)(?:\((\d+))?")  # MaxJobs=9(2), GrpWall=500(3.25), MaxWallPJ=60
_UID = re.compile(r"(?:.*\()?(\d+)\)?")
_PLAIN = re.compile(r"[^\s,=\x00-\x1f]+")
_COUNTS = frozenset({"GrpJobs", "GrpWall", "MaxJobs", "MaxJobsPA", "MaxJobsPU", "MaxWallPJ"})
_TRES = frozenset({
    "GrpTRES", "GrpTRESMins", "GrpTRESRunMins", "MaxTRESPJ", "MaxTRESPN", "MaxTRESMinsPJ",
    "MaxTRESPA", "MaxTRESPU",
})  # fmt: skip
_SIZES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}  # of host memory, in MiB


@dataclass(frozen=True)
class QosRules:
    """What sacctmgr tells of a QOS: its flags, and what each user and each account may have."""

    flags: frozenset[str] = frozenset()
    each_user: tuple[Limit, ...] = ()
    each_account: tuple[Limit, ...] = ()


@dataclass
class LimitReader:
    """Reads what concerns the pending jobs; remembers who is above whom.

    `run` runs one of Slurm's programs and gives its output; it raises SlurmError. `qos` tells what
    slurmdbd says of the QOSs.
    """

    run: Callable[..., Awaitable[str]]
    qos: QosReader
    clock: Callable[[], float] = time.monotonic
    _parents: dict[str, str] = field(default_factory=dict)
    _last: tuple[float, SiteLimits] = (-math.inf, SiteLimits())

    async def read(
        self, snapshot: Snapshot, conf: Mapping[str, str], also: Iterable[Job] = ()
    ) -> SiteLimits:
        """The limits that bear on the snapshot's pending jobs, and on those that are `also` to
        wait, and the accounts above theirs; `conf` is slurmctld's.

        They are read after the jobs: a released job that starts in between may count twice, which
        costs a cycle, where the other way round one too many would be released. While they cannot
        be read those of the last minute hold: a release without them might set a time that is
        longer than MaxWall, which Slurm itself would not stop then.
        """
        waiting = [*(job for job in snapshot.jobs if job.state == "PENDING"), *also]
        words = enforced(conf)
        holds = "associations" in words
        limits = SiteLimits()
        try:
            if words & {"limits", "safe"}:
                limits = await self._of_accounts(snapshot, waiting, safe="safe" in words)
            elif holds and go_by_parents(snapshot) and (accounts := _accounts_of(waiting)):
                await self._with_parents(accounts, frozenset())
            if any(job.licenses for job in waiting):
                text = await self.run("scontrol", "-o", "show", "licenses")
                limits = replace(limits, licenses=parse_licenses(text))
            self._last = self.clock(), limits
        except SlurmError:  # hidden from us (PrivateData), or busy: Slurm itself keeps its limits
            read_at, last = self._last
            limits = last if self.clock() <= read_at + LASTS_SECONDS else limits
        return replace(limits, parents=self._parents) if holds else limits

    async def _of_accounts(
        self, snapshot: Snapshot, waiting: Iterable[Job], *, safe: bool
    ) -> SiteLimits:
        qos = {job.qos for job in waiting} | {p.qos for p in snapshot.partitions}
        accounts = _accounts_of(waiting)
        if not accounts:
            return SiteLimits()
        # Nobody is missing under the QOS of his own jobs: only a partition's may need the rules.
        known = await self.qos.read() if any(p.qos for p in snapshot.partitions) else {}
        rules = {name: rules_of(fields) for name, fields in known.items()}
        text = await self._with_parents(accounts, qos - {""})
        return parse_limits(text, waiting, rules, safe=safe)

    async def _with_parents(self, accounts: Set[str], qos: Set[str]) -> str:
        """assoc_mgr's text of the accounts, of all that are above them, and of the QOSs."""
        text = await self._ask(asked := self._with_those_above(accounts), qos)
        self._parents = self._parents | parents(text)  # a new one: a snapshot has the old one
        while unseen := self._with_those_above(accounts) - asked:
            asked |= unseen
            above = await self._ask(unseen, frozenset())
            self._parents = self._parents | parents(above)
            text += above
        return text

    def _with_those_above(self, accounts: Iterable[str]) -> set[str]:
        """The accounts and those above them, as far as is known."""
        return {name for account in accounts for name in line_of(account, self._parents)}

    async def _ask(self, accounts: Set[str], qos: Set[str]) -> str:
        asked = [f"accounts={','.join(names)}"] if (names := _plain(accounts)) else []
        asked += [f"qos={','.join(names)}"] if (names := _plain(qos)) else []
        kinds = [*["assoc"] * bool(accounts), *["qos"] * bool(qos)]
        return await self.run("scontrol", "show", "assoc_mgr", f"flags={','.join(kinds)}", *asked)


def _accounts_of(jobs: Iterable[Job]) -> set[str]:
    return {job.account for job in jobs} - {""}


def _plain(names: Set[str]) -> list[str]:
    """The names as a list for scontrol; none where it must give all of them."""
    plain = sorted(name for name in names if _PLAIN.fullmatch(name))
    return plain if len(plain) <= MOST_NAMES else []


def rules_of(qos: QosFields) -> QosRules:
    """What sacctmgr says of a QOS, as rules."""
    return QosRules(
        frozenset(qos["Flags"].split(",")),
        _of_rule("PU", qos["MaxJobsPU"], qos["MaxTRESPU"]),
        _of_rule("PA", qos["MaxJobsPA"], qos["MaxTRESPA"]),
    )


def _of_rule(whose: str, jobs: str, tres: str) -> tuple[Limit, ...]:
    limits = [Limit(f"MaxJobs{whose}", "", int(jobs))] if jobs.isdecimal() else []
    for name, _, amount in (word.partition("=") for word in tres.split(",")):
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", amount):
            size = _SIZES[match.group(2)] if match.group(2) else 1
            limits.append(Limit(f"MaxTRES{whose}", name, int(float(match.group(1)) * size)))
    return tuple(limits)


def parents(text: str) -> dict[str, str]:
    """By account, the account above it, as far as assoc_mgr's text says."""
    found = _associations(text, frozenset())
    return {a.account: a.parent for a in found if a.parent and not a.user}


def parse_limits(
    text: str, waiting: Iterable[Job], rules: Mapping[str, QosRules], *, safe: bool
) -> SiteLimits:
    """Read `scontrol show assoc_mgr flags=assoc,qos`, as far as it bears on the waiting jobs."""
    jobs = list(waiting)
    users, uids = {job.user for job in jobs}, {job.uid for job in jobs}
    associations = tuple(a for a in _associations(text, users))
    return SiteLimits(associations, tuple(_qos(text, uids, rules)), safe)


def parse_licenses(text: str) -> tuple[Limit, ...]:
    """Read `scontrol -o show licenses`: how many there are, reserved ones included, less those that
    a licence server has given to others than Slurm (LastDeficit, from 23.02 on)."""
    found: list[Limit] = []
    for line in text.splitlines():
        fields = dict(_FIELD.findall(line))
        name, total, used = (fields.get(key, "") for key in ("LicenseName", "Total", "Used"))
        gone = fields.get("LastDeficit", "0")
        if name and total.isdecimal() and used.isdecimal() and gone.isdecimal():
            found.append(Limit("Licenses", name, max(0, int(total) - int(gone)), int(used)))
    return tuple(found)


def _records(text: str, first: str) -> Iterator[list[str]]:
    """The lines of each record whose first line begins so."""
    record: list[str] | None = None
    for line in text.splitlines():
        if line[:1] not in {"", " "}:
            if record:
                yield record
            record = [line] if line.startswith(first) else None
        elif record is not None:
            record.append(line)
    if record:
        yield record


def _associations(text: str, users: Set[str]) -> Iterator[Association]:
    """The accounts, and of the users' associations those of `users`."""
    for head, *lines in _records(text, "ClusterName="):
        fields = dict(_FIELD.findall(head))
        user = fields.get("UserName", "").partition("(")[0]
        if user and user not in users:
            continue
        fields |= {key: value for line in lines for key, value in _FIELD.findall(line)}
        running = _COUNT.match(fields.get("GrpJobs", "").replace("N", "0"))
        yield Association(
            fields.get("Account", ""),
            user,
            fields.get("Partition", ""),
            fields.get("ParentAccount", "").partition("(")[0],
            _limits(lines),
            int(running.group(2) or 0) if running else 0,
        )


def _qos(text: str, uids: Set[int], rules: Mapping[str, QosRules]) -> Iterator[Qos]:
    for head, *lines in _records(text, "QOS="):
        name = head.removeprefix("QOS=").rpartition("(")[0]
        rule = rules.get(name, QosRules())
        own, accounts, users = _parts(lines)
        by_uid = {int(m.group(1)): of for who, of in users.items() if (m := _UID.fullmatch(who))}
        yield Qos(
            name,
            over_partition="OverPartQOS" in rule.flags,
            limits=_limits(own),
            each_user=_unused(users) or rule.each_user,
            each_account=_unused(accounts) or rule.each_account,
            users={uid: _limits(of) for uid, of in by_uid.items() if uid in uids},
            accounts={account: _limits(of) for account, of in accounts.items()},
        )


def _parts(lines: Iterable[str]) -> tuple[list[str], dict[str, list[str]], dict[str, list[str]]]:
    """The lines of a QOS: its own; by account; by user."""
    own: list[str] = []
    accounts: dict[str, list[str]] = {}
    users: dict[str, list[str]] = {}
    listed: dict[str, list[str]] = {}
    of = own
    for line in lines:
        depth = len(line) - len(line.lstrip(" "))
        if depth == 4 and line.endswith(" Limits"):
            listed = users if "User" in line else accounts
        elif depth == 6:
            of = listed.setdefault(line.strip(), [])
        elif depth in (4, 8) and "=" in line:
            of.append(line)
    return own, accounts, users


def _unused(listed: Mapping[str, list[str]]) -> tuple[Limit, ...]:
    """What each may have, from one that is listed."""
    one = next(iter(listed.values()), [])
    return tuple(replace(limit, used=0, running=0) for limit in _limits(one))


def _limits(lines: Iterable[str]) -> tuple[Limit, ...]:
    fields = {key: value for line in lines for key, value in _FIELD.findall(line)}
    limits: list[Limit] = []
    for word, value in fields.items():
        if word in _COUNTS and (count := _COUNT.match(value)):
            limits.append(Limit(word, "", int(count.group(1)), int(count.group(2) or 0)))
        elif word in _TRES:
            running = fields.get("GrpTRESRunMins", "") if word == "GrpTRESMins" else ""
            limits += _of_tres(word, value, running)
    return tuple(limits)


def _of_tres(word: str, value: str, running: str) -> Iterator[Limit]:
    limited = [m.groups() for m in _AMOUNT.finditer(value) if m.group(2) != "N"]
    if limited:
        minutes = {name: int(used or 0) for name, _, used in _AMOUNT.findall(running)}
        for name, most, used in limited:
            yield Limit(word, name, int(most), int(used or 0), minutes.get(name, 0))
