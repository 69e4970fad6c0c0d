"""What shadow decided beside what plain Slurm did: a made journal and made records, then a report.

Two nodes of eight A100s; a job has two of a1's for an hour, if nothing else is said of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from slurm_het.cli.replay_html import shadow_html
from slurm_het.cli.replay_text import MOST_LINES, shadow_text
from slurm_het.core.model import Job, Placement, Plan
from slurm_het.core.planner.outcomes import Event
from slurm_het.core.planner.shadow import TAKEN
from slurm_het.journal import Journal, Planning
from slurm_het.journal.shadowed import read_shadow
from slurm_het.replay.documents import ShadowDocument
from slurm_het.replay.shadow import UNSEEN, shadow_findings
from tests.replay.past import T0, record, site, trace_of

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "slurm-het-report.json"


class MadeJournal:
    """Shadow's journal, written by what hetd writes it with; times are seconds after T0."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path)

    def saw(self, key: str, submitted: float = 0.0) -> None:
        """Shadow saw the job waiting."""
        job = Job(int(key.partition("_")[0]), submit_time=T0 + int(submitted), user="ann")
        self.journal.record_jobs([(job, None)])

    def would_start(
        self, key: str, at: float, node: str = "a1", devices: int = 2, status: str = "optimal"
    ) -> None:
        """It would have started the job then."""
        made = Placement(key, "train", (node,), (tuple(range(devices)),), ("a100",), 80)
        plan = Plan((made,), status=status)
        self.journal.record_plan(T0 + at, 0.1, 1, plan, Planning({key: T0}, {}))

    def happened(self, key: str, at: float, event: Event, detail: str = "") -> None:
        """An event of the job."""
        self.journal.record_outcomes(T0 + at, [(key, event, detail)], {key: T0})


@pytest.fixture
def made(tmp_path: Path) -> MadeJournal:
    journal = MadeJournal(tmp_path / "shadow.db")
    journal.happened("1", -60.0, Event.GONE)  # from then on it was there
    return journal


def told(made: MadeJournal, *records: dict[str, str]) -> ShadowDocument:
    """The report of these."""
    trace, tally = trace_of(*records, drop=0.0)
    past = read_shadow(made.journal.db)
    assert past
    return shadow_findings(trace, site(), past, tally, T0)


def test_who_would_have_started_sooner_waits_until_the_first_decision(made: MadeJournal) -> None:
    made.saw("7")
    made.would_start("7", 600)
    made.would_start("7", 1200)  # once more, after hetd was started anew
    result = told(made, record(7, 0, start=3600))
    assert (result.jobs, result.decided, result.overtaken, result.losers) == (1, 1, 0, 0)
    assert (result.waits.mean, result.ours.mean) == (3600, 600)
    assert (result.changes.earlier, result.changes.later) == (1, 0)
    assert [(one.name, one.plain.mean, one.ours.mean) for one in result.changes.sizes] == [
        ("2 to 4", 3600, 600)
    ]


def test_who_took_the_nodes_of_another_waits_until_that_one_had_ended(made: MadeJournal) -> None:
    """Job 7 had them in the book from minute 10; 8 came at once in minute 15; 7 ran for an hour."""
    made.saw("7")
    made.would_start("7", 600, devices=8)
    made.happened("7", 902, Event.RETURNED, TAKEN)
    eight = {"ReqTRES": "cpu=8,gres/gpu=8,mem=16000M,node=1"}
    eight |= {"AllocTRES": eight["ReqTRES"]}
    result = told(
        made,
        record(7, 0, start=7200, ran=3600, **eight),
        record(8, 900, start=0, User="bob", **eight),
        record(9, 900, start=0, User="eve", NodeList="a2"),
    )
    assert (result.decided, result.overtaken, result.losers) == (1, 1, 1)
    changes = {one.name: (one.plain.mean, one.ours.mean) for one in result.changes.users}
    assert changes == {"ann": (7200, 600), "bob": (0, 600 + 3600 - 900)}
    assert [one.job for one in result.changes.worst] == ["8"]
    assert UNSEEN in {one.cause for one in result.left_out}


def test_of_a_shared_node_those_who_came_last_took_what_the_book_held(made: MadeJournal) -> None:
    made.saw("7")
    made.would_start("7", 0.5, devices=2)
    made.happened("7", 400, Event.RETURNED, TAKEN)
    others = [record(8 + n, 100 * n, start=0, User=f"u{n}") for n in range(4)]
    result = told(made, record(7, 0, start=9000, ran=1800), *others)
    assert [one.job for one in result.changes.worst] == ["11"], "it took the last two of eight"


def test_nobody_gains_by_what_plain_slurm_did_first(made: MadeJournal) -> None:
    made.saw("7")
    made.would_start("7", 3700)
    made.saw("8")
    made.would_start("8", 10, status="preempting")
    made.would_start("8", 10, status="reserved")
    result = told(made, record(7, 0, start=3600), record(8, 0, start=1800))
    assert (result.decided, result.changes.earlier, result.changes.later) == (0, 0, 0)
    assert result.waits == result.ours


def test_who_was_pinned_ahead_starts_when_the_nodes_are_free(made: MadeJournal) -> None:
    made.saw("7")
    made.would_start("7", 10, status="reserved")
    made.happened("7", 1000, Event.DUE)
    result = told(made, record(7, 0, start=3600))
    assert result.ours.mean == 1000


def test_an_id_that_came_again_and_the_task_of_an_array(made: MadeJournal) -> None:
    made.saw("7")
    made.would_start("7_2", 60)
    made.would_start("9", 60)  # of another one, submitted at T0
    made.saw("9", 7000)
    result = told(
        made, record(8, 0, JobID="7_2", start=600), record(9, 7000, start=600, NodeList="a2")
    )
    assert result.jobs == 2
    assert (result.decided, result.ours.mean) == (1, (60 + 600) / 2)


def test_the_report_is_of_its_schema_short_and_says_what_it_cannot_tell(made: MadeJournal) -> None:
    made.saw("7")
    made.would_start("7", 600)
    result = told(made, record(7, 0, start=3600, User="<b>"))
    jsonschema.validate(json.loads(msgspec.json.encode(result)), json.loads(SCHEMA.read_text()))
    lines = shadow_text(result)
    assert len(lines) <= MOST_LINES
    assert "no forecast" in lines[1]
    page = shadow_html(result)
    assert "&lt;b&gt;" in page
    assert all(cause in page.replace("&#39;", "'") for cause in result.not_told)
    assert not any(word in page for word in ("<script", "http:", "https:", "url(", " src="))


def test_a_journal_without_a_decision_says_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "empty.db")
    journal.record_jobs([])
    assert read_shadow(journal.db) is None
