"""What tasks asked, when, and for how long they held room: the journal's side of worth/rates.py."""

from __future__ import annotations

import math
import sqlite3

import msgspec

from slurm_het.core.worth.forecast import MOST
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.rates import HOUR_SECONDS, WEEK, WEEK_SECONDS, Ended, HourSeen, Past

ADDED = "hour *"
"""The keys under which an hour's demands are added up: which tasks they were nobody asks, and each
hour of their limits counts as one task."""
_HEAVY = """
    WITH heavy AS (SELECT demand FROM (
        SELECT demand, ROW_NUMBER() OVER (
            PARTITION BY json_extract(demand, :devices) > 0 ORDER BY SUM(minutes) DESC) AS place
        FROM demand WHERE time >= :since AND time < :until GROUP BY demand) WHERE place <= :most)
"""
_SEEN = f"""{_HEAVY}
    SELECT demand, CAST(time / :hour AS INTEGER) % :hours AS hour,
        SUM(CASE WHEN key GLOB :added THEN minutes / 60 ELSE 1 END), SUM(minutes)
    FROM demand WHERE time >= :since AND time < :until AND demand IN heavy GROUP BY demand, hour
"""  # noqa: S608 - ours
_ENDED = f"""{_HEAVY}
    SELECT demand, SUM(minutes),
        SUM(json_extract(job_end, '$.ended') - json_extract(job_end, '$.started')) / 60.0
    FROM demand JOIN job_end USING (key)
    WHERE demand.time >= :since AND demand.time < :until AND demand IN heavy
        AND job_end.time >= demand.time AND json_extract(job_end, '$.started') > 0
    GROUP BY demand
"""  # noqa: S608 - ours


def read_past(db: sqlite3.Connection, since: float, now: float) -> Past:
    """What came since then, week by week: so a long journal takes little memory. Of each week's
    profiles with devices the heaviest, and of those without.

    Raises what `UNREADABLE` lists.
    """
    (first,) = db.execute("SELECT MIN(time) FROM demand WHERE time >= ?", (since,)).fetchone()
    seen: dict[TaskProfile, list[HourSeen]] = {}
    ended: dict[TaskProfile, Ended] = {}
    values = {
        "devices": f"$[{TaskProfile._fields.index('devices')}]", "most": MOST,
        "hour": HOUR_SECONDS, "hours": WEEK, "added": ADDED,
    }  # fmt: skip
    for week in range(max(1, math.ceil((now - since) / WEEK_SECONDS))):
        until = now - week * WEEK_SECONDS
        values["since"] = max(since, until - WEEK_SECONDS)
        values["until"] = until if week else math.inf  # the clock may have been set back
        for text, *row in db.execute(_SEEN, values):
            seen.setdefault(_profile(text), []).append(HourSeen(week, *row))
        for text, asked, minutes in db.execute(_ENDED, values):
            before = ended.get(profile := _profile(text), Ended(0.0, 0.0))
            ended[profile] = Ended(before.asked + asked, before.minutes + minutes)
    return Past(math.inf if first is None else first, seen, ended)


def _profile(text: str) -> TaskProfile:
    return msgspec.json.decode(text, type=TaskProfile)
