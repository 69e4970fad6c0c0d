"""What the page shows.

page_of() makes the staff form. public_form() makes of that the one without what people wrote: names
of users, jobs, accounts and reservations, reasons of nodes. Ids of jobs are in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from slurm_het.cli.documents import (
    PageDocument,
    PageHealth,
    PageIdle,
    PageJob,
    PageLongest,
    PageMoment,
    PageNodes,
    PageReason,
    PageWaits,
)
from slurm_het.cli.health import HealthCode, Verdict
from slurm_het.cli.map_screen import LETTERS, NAMES
from slurm_het.core.policy import Policy
from slurm_het.core.reasons import MAX_SENTENCE, TellTime
from slurm_het.core.reasons.codes import ACTIONS
from slurm_het.core.reasons.idle import Cause, Idle
from slurm_het.core.reasons.plain import PLAIN
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import format_indexes
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.accuracy import Accuracy
from slurm_het.core.views.device_map import DeviceMap, MapDevice, MapNode
from slurm_het.core.views.job_rows import JobRow, View
from slurm_het.core.views.totals import Summary, tasks_of

QUEUE_ROWS = 100
NODE_ROWS = 600
MAX_TEXT, MAX_NAME = 160, 32
"""So many characters of what others wrote are shown."""
DAY = 86400
STEP = 300
"""Of so many seconds the last moment is kept for the plots."""
WAITS = (60, 600, 3600, 6 * 3600, DAY)
"""The bars of the waits end at these seconds; the last one has no end."""
_HEALTH = {
    HealthCode.WELL: "all is well",
    HealthCode.BYPASS: "plain Slurm schedules, as an admin wants it",
    HealthCode.STANDBY: "another controller plans",
    HealthCode.SHADOW: "plain Slurm schedules; slurm-het looks on",
    HealthCode.TROUBLED: "something does not work",
    HealthCode.HETD_SILENT: "hetd does not answer",
    HealthCode.ALL_SILENT: "hetd is dead",
    HealthCode.SLURM_SILENT: "Slurm does not answer",
    HealthCode.ELSEWHERE: "no hetd on the host that made this",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of the cluster: its views."""

    view: View
    shown: DeviceMap
    summary: Summary

    @property
    def time(self) -> int:
        """When (epoch seconds)."""
        return int(self.view.prepared.snapshot.time)


@dataclass(frozen=True, slots=True)
class Making:
    """A page that is made now: when, when the next one is due (None: by hand), the state, and how
    good told start times were, as far as hetd says so."""

    time: int
    renewed: int | None
    old_after: int
    verdict: Verdict
    accuracy: Accuracy | None = None

    def facts(self) -> dict[str, Any]:
        """What every page says."""
        health = self.verdict.health
        state = health.name.lower().replace("_", "-")
        words = _brief(self.verdict.words)
        return {
            "time": self.time, "old_after": self.old_after, "renewed_seconds": self.renewed,
            "told": self.accuracy,
            "health": PageHealth(state=state, code=int(health), words=words),
        }  # fmt: skip


def page_of(making: Making, seen: Seen, day: Sequence[PageMoment], at: TellTime) -> PageDocument:
    """The staff form; `day` are the moments of the page before."""
    rows = [row for row in seen.view.rows if row.waits]
    summary, groups = seen.summary, _alike(seen.shown.nodes, at)
    longest = summary.longest
    return PageDocument(
        form="staff",
        seen=seen.time,
        running=summary.running,
        waiting=summary.waiting,
        longest=PageLongest(
            id=_brief(longest.id), seconds=longest.seconds, user=_brief(longest.user, MAX_NAME)
        )
        if longest
        else None,
        pools=list(summary.pools),
        types=list(seen.shown.types),
        nodes=groups[:NODE_ROWS],
        more_nodes=sum(group.count for group in groups[NODE_ROWS:]),
        reasons=list(_reasons(rows)),
        jobs=[_job(row) for row in rows[:QUEUE_ROWS]],
        more_jobs=len(rows[QUEUE_ROWS:]),
        waits=list(_waits(seen)),
        day=_day(day, _moment(seen)),
        **making.facts(),
    )  # fmt: skip


def page_in_silence(making: Making, before: PageDocument | None) -> PageDocument:
    """The page while Slurm says nothing: what it said before, and when that was."""
    if before is None:
        return PageDocument(form="staff", seen=0, **making.facts())
    return msgspec.structs.replace(before, **making.facts())


def public_form(page: PageDocument, policy: Policy, at: TellTime) -> PageDocument:
    """The page without what people wrote."""
    types = {"any", *policy.types, *(known.vendor for known in policy.types.values())}
    health = msgspec.structs.replace(page.health, words=_HEALTH[HealthCode(page.health.code)])
    longest = page.longest and PageLongest(id=page.longest.id, seconds=page.longest.seconds)
    return msgspec.structs.replace(
        page,
        form="public",
        health=health,
        longest=longest,
        nodes=[_nameless(group, at) for group in page.nodes],
        reasons=[msgspec.structs.replace(r, action=ACTIONS.get(r.code, "")) for r in page.reasons],
        jobs=[
            msgspec.structs.replace(
                job, reason=PLAIN.get(job.code, job.code), user=UNSET, account=UNSET, name=UNSET,
                types=[t for t in job.types if t.rpartition(":")[2] in types],
            )
            for job in page.jobs
        ],
    )  # fmt: skip


def _nameless(group: PageNodes, at: TellTime) -> PageNodes:
    idle = [msgspec.structs.replace(one, text=_plain_cause(one, at)) for one in group.idle]
    return msgspec.structs.replace(group, idle=idle)


def _plain_cause(idle: PageIdle, at: TellTime) -> str:
    words = NAMES[idle.cause]
    if idle.cause is Cause.HELD and idle.job:
        words += f" for job {idle.job}"
    if idle.time:
        words += f" {'until' if idle.cause is Cause.HELD else 'from'} {at(idle.time)}"
    return words


def _brief(text: str, most: int = MAX_TEXT) -> str:
    """What others wrote, made harmless and short."""
    text = clean(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _alike(nodes: Iterable[MapNode], at: TellTime) -> list[PageNodes]:
    """Nodes that are alike share a row, as on het-sinfo's screen."""
    groups: dict[tuple[Any, ...], list[MapNode]] = {}
    for node in nodes:
        cells = "".join(_cell(device) for device in node.devices)
        kinds = tuple(dict.fromkeys(d.type for d in node.devices))
        memory = tuple(dict.fromkeys(d.memory_gib for d in node.devices))
        key = (node.pools, kinds, memory, cells, tuple(_idle(node).items()))
        groups.setdefault(key, []).append(node)
    return [
        PageNodes(
            nodes=_brief(hostlist.fold([node.node for node in there])),
            count=len(there),
            pools=list(pools),
            types=list(kinds),
            memory_gib=list(memory),
            cells=cells,
            idle=[_page_idle(idle, indexes, at) for idle, indexes in why],
        )
        for (pools, kinds, memory, cells, why), there in groups.items()
    ]


def _cell(device: MapDevice) -> str:
    if device.idle:
        return LETTERS[device.idle.cause]
    return str(min(8, max(1, round(8 * device.occupied_gib / device.memory_gib))))


def _idle(node: MapNode) -> Mapping[Idle, tuple[int, ...]]:
    """The indexes of the idle devices, by why they are."""
    found: dict[Idle, tuple[int, ...]] = {}
    for device in node.devices:
        if device.idle:
            found[device.idle] = (*found.get(device.idle, ()), device.index)
    return found


def _page_idle(idle: Idle, indexes: Sequence[int], at: TellTime) -> PageIdle:
    return PageIdle(
        devices=format_indexes(indexes),
        cause=idle.cause,
        text=_brief(idle.told(at)),
        job=idle.job or None,
        time=int(idle.time) or None,
    )


def _devices_asked(row: JobRow) -> int:
    return tasks_of(row.job) * sum(row.ask.devices if row.ask else ())


def _reasons(rows: Sequence[JobRow]) -> Iterator[PageReason]:
    """By code, most tasks first."""
    by_code: dict[str, list[JobRow]] = {}
    for row in rows:
        by_code.setdefault(row.code, []).append(row)
    made = [
        PageReason(
            code=code,
            text=PLAIN[code],
            action=_brief(Counter(row.action for row in those).most_common(1)[0][0]),
            tasks=sum(tasks_of(row.job) for row in those),
            devices=sum(map(_devices_asked, those)),
            longest_seconds=max(row.waited for row in those),
        )
        for code, those in by_code.items()
    ]
    yield from sorted(made, key=lambda reason: -reason.tasks)


def _job(row: JobRow) -> PageJob:
    expected = row.expected
    return PageJob(
        id=_brief(row.id), pool=_brief(row.pool), scenario=row.scenario, asks=row.ask,
        types=list(row.types), tasks=tasks_of(row.job), waited_seconds=row.waited,
        time_limit_minutes=row.job.time_limit_minutes, code=row.code,
        reason=_brief(row.reason, MAX_SENTENCE),
        expected_start=int(expected.start) if expected else None,
        expected_nodes=_brief(hostlist.fold(expected.nodes)) if expected else "",
        user=_brief(row.job.user, MAX_NAME), account=_brief(row.job.account, MAX_NAME),
        name=_brief(row.job.name, MAX_NAME),
    )  # fmt: skip


def _waits(seen: Seen) -> Iterator[PageWaits]:
    waiting, started = [0] * (len(WAITS) + 1), [0] * (len(WAITS) + 1)
    for row in seen.view.rows:
        bar = sum(row.waited > most for most in WAITS)
        if row.waits:
            waiting[bar] += tasks_of(row.job)
        elif row.job.state == "RUNNING" and row.job.start_time > seen.time - DAY:
            started[bar] += 1
    for most, *counts in zip((*WAITS, None), waiting, started, strict=True):
        yield PageWaits(seconds=most, waiting=counts[0], started=counts[1])


def _moment(seen: Seen) -> PageMoment:
    summary = seen.summary
    return PageMoment(
        time=seen.time,
        running=summary.running,
        waiting=summary.waiting,
        longest_seconds=summary.longest.seconds if summary.longest else 0,
        used={pool.pool: pool.used for pool in summary.pools},
    )


def _day(before: Sequence[PageMoment], now: PageMoment) -> list[PageMoment]:
    """The last day's moments, one for each STEP, the newest last."""
    kept = [
        moment
        for moment in before
        if now.time - DAY < moment.time < now.time and moment.time // STEP != now.time // STEP
    ]
    return [*kept[-DAY // STEP :], now]
