"""The site's limits in the simulation: which a job would break, and how Slurm tells their use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from slurm_het.core.site_limits import Association, Limit, Qos, SiteLimits
from slurm_het.simulation.jobs import JobRun, JobSpec


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit, and whose jobs count: of this `qos`, `account`, `user` ('' is any).

    `each` says that each user, or each account, has so much of it.
    """

    limit: Limit
    qos: str = ""
    account: str = ""
    user: str = ""
    each: str = ""

    def bears_on(self, job: JobSpec) -> bool:
        """Whether the job counts."""
        return (
            self.qos in ("", job.qos)
            and self.account in ("", job.account)
            and self.user in ("", job.user)
        )

    def used(self, running: Iterable[JobRun], who: str) -> int:
        """What these use of it; `who` is the user, or the account, where each has his own."""
        return sum(
            amount(self.limit, run.spec)
            for run in running
            if self.bears_on(run.spec) and (not self.each or getattr(run.spec, self.each) == who)
        )

    def allows(self, job: JobSpec, running: Iterable[JobRun]) -> bool:
        """Whether the job may start beside these."""
        if not self.bears_on(job):
            return True
        asks = amount(self.limit, job)
        if self.limit.word == "MaxTRESPJ":
            return asks <= self.limit.most
        used = self.used(running, getattr(job, self.each) if self.each else "")
        return asks == 0 or used + asks <= self.limit.most


def amount(limit: Limit, job: JobSpec) -> int:
    """What a job takes of a limit."""
    if not limit.tres:
        return 1
    if limit.tres == "cpu":
        return job.nodes * job.ask.cpus
    if limit.tres == "gres/shard":
        return job.ask.share * job.nodes
    if job.ask.share or limit.tres != "gres/gpu":
        return 0
    return job.nodes * job.ask.devices


@dataclass(frozen=True, slots=True)
class SiteRules:
    """All limits of a site, and who there is: QOSs, accounts, users with their account."""

    rules: tuple[LimitRule, ...] = ()
    qos: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    users: tuple[tuple[str, str], ...] = ()


NO_RULES = SiteRules()


class LimitsAtWork:
    """The limits at work."""

    def __init__(self, site: SiteRules) -> None:
        self.site, self.rules = site, site.rules

    def allow(self, job: JobSpec, running: Iterable[JobRun]) -> bool:
        """Whether none holds the job back."""
        return all(rule.allows(job, running) for rule in self.rules)

    def told(self, uids: dict[str, int], running: tuple[JobRun, ...]) -> SiteLimits:
        """As slurmctld tells of them, with their use."""
        if not self.rules:
            return SiteLimits()
        names = ["normal", *self.site.qos]
        return SiteLimits(
            tuple(self._associations(running)),
            tuple(self._qos(name, uids, running) for name in dict.fromkeys(names)),
        )

    def _qos(self, name: str, uids: dict[str, int], running: tuple[JobRun, ...]) -> Qos:
        mine = [rule for rule in self.rules if rule.qos == name]

        def of(each: str, who: str) -> tuple[Limit, ...]:
            rules = (rule for rule in mine if rule.each == each)
            return tuple(replace(r.limit, used=r.used(running, who)) for r in rules)

        accounts = self.site.accounts
        return Qos(
            name,
            limits=of("", ""),
            each_user=tuple(rule.limit for rule in mine if rule.each == "user"),
            each_account=tuple(rule.limit for rule in mine if rule.each == "account"),
            users={uid: of("user", user) for user, uid in uids.items()},
            accounts={account: of("account", account) for account in accounts},
        )

    def _associations(self, running: tuple[JobRun, ...]) -> Iterator[Association]:
        yield Association("root")
        for account in self.site.accounts:
            yield Association(account, parent="root", limits=self._of(account, "", running))
        for user, account in self.site.users:
            count = sum(run.spec.user == user for run in running)
            limits = self._of(account, user, running)
            yield Association(account, user, limits=limits, running=count)

    def _of(self, account: str, user: str, running: tuple[JobRun, ...]) -> tuple[Limit, ...]:
        rules = (r for r in self.rules if not r.qos and (r.account, r.user) == (account, user))
        return tuple(replace(rule.limit, used=rule.used(running, "")) for rule in rules)
