"""What tasks asked, when, and for how long they held room: the journal's side of worth/rates.py."""

from __future__ import annotations

import math
import sqlite3

import msgspec

from slurm_het.core.worth.forecast import MOST
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.rates import HOUR_SECONDS, WEEK, WEEK_SECONDS, Ended, Past, Seen

ADDED = "hour *"
"""The keys under which an hour's demands are added up: which tasks they were nobody asks, and each
hour of their limits counts as one task."""
_HEAVY = """
    WITH heavy AS (SELECT demand FROM (
        SELECT demand, ROW_NUMBER() OVER (
            PARTITION BY json_extract(demand, :devices) > 0 ORDER BY SUM(minutes) DESC) AS place
        FROM demand WHERE time >= :since GROUP BY demand) WHERE place <= :most)
"""
_SEEN = f"""{_HEAVY}
    SELECT demand, MAX(0, CAST((:now - time) / :week AS INTEGER)) AS weeks_ago,
        CAST(time / :hour AS INTEGER) % :hours AS hour,
        SUM(CASE WHEN key GLOB :added THEN minutes / 60 ELSE 1 END), SUM(minutes)
    FROM demand JOIN heavy USING (demand) WHERE time >= :since GROUP BY demand, weeks_ago, hour
"""  # noqa: S608 - ours
_ENDED = f"""{_HEAVY}
    SELECT demand, SUM(minutes),
        SUM(json_extract(job_end, '$.ended') - json_extract(job_end, '$.started')) / 60.0
    FROM demand JOIN heavy USING (demand) JOIN job_end USING (key)
    WHERE demand.time >= :since AND job_end.time >= demand.time
        AND json_extract(job_end, '$.started') > 0
    GROUP BY demand
"""  # noqa: S608 - ours


def read_past(db: sqlite3.Connection, since: float, now: float) -> Past:
    """What came since then: of the profiles with devices the heaviest, and of those without.

    Raises what `UNREADABLE` lists.
    """
    values = {
        "devices": f"$[{TaskProfile._fields.index('devices')}]", "since": since, "most": MOST,
        "now": now, "week": WEEK_SECONDS, "hour": HOUR_SECONDS, "hours": WEEK, "added": ADDED,
    }  # fmt: skip
    (first,) = db.execute("SELECT MIN(time) FROM demand WHERE time >= ?", (since,)).fetchone()
    seen: dict[TaskProfile, list[Seen]] = {}
    for text, *row in db.execute(_SEEN, values):
        seen.setdefault(_profile(text), []).append(Seen(*row))
    ended = {_profile(text): Ended(*row) for text, *row in db.execute(_ENDED, values)}
    return Past(math.inf if first is None else first, seen, ended)


def _profile(text: str) -> TaskProfile:
    return msgspec.json.decode(text, type=TaskProfile)
