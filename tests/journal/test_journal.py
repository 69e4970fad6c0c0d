"""The journal: what it tells of a job, whatever became of its file."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from slurm_het.core.jobs.ending import JobEnd
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.jobs.paces import Pace, without_runs
from slurm_het.core.jobs.trials import Trial, forgotten
from slurm_het.core.model import Classification, Job, Placement, Plan
from slurm_het.core.worth.profiles import TaskProfile
from slurm_het.core.worth.speeds import PastRun
from slurm_het.errors import HetError
from slurm_het.journal import Journal, Planning, schema
from slurm_het.journal.history import MAX_TASKS
from tests.support.asked import asked

TRAINING = Classification("training", ("nvidia",), evidence=("rule nvidia",))
OLD_SCHEMA = """
CREATE TABLE job (
    key TEXT, submitted INTEGER, user TEXT, classification TEXT, PRIMARY KEY (key, submitted));
CREATE TABLE cycle (
    id INTEGER PRIMARY KEY, time REAL, seconds REAL, solve_seconds REAL, status TEXT, gap REAL,
    objective REAL, bound REAL, tasks INTEGER, placed INTEGER);
CREATE TABLE placement (cycle INTEGER, time REAL, key TEXT, placement TEXT);
CREATE INDEX placement_key ON placement (key);
CREATE TABLE demand (
    key TEXT, time REAL, demand TEXT, minutes REAL, PRIMARY KEY (key, demand));
CREATE TABLE outcome (time REAL, key TEXT, event TEXT, detail TEXT);
CREATE INDEX outcome_key ON outcome (key);
INSERT INTO job VALUES ('7', 10, 'ann', '{"scenario": "training", "vendors": ["nvidia"],
    "types": [], "partitions": [], "memory_gib": 0, "share": false, "evidence": ["rule nvidia"],
    "job_class": ""}');
INSERT INTO cycle VALUES (1, 11.0, 0.1, 0.05, 'optimal', 0.0, 2.0, 2.0, 1, 1);
INSERT INTO placement VALUES (1, 11.0, '7', '{"key": "7", "partition": "train-nv",
    "nodes": ["nv1"], "devices": [[0]], "types": ["a100"], "memory_gib": 80,
    "terms": {"scenario_fit": 4.0}, "start": 0.0}');
INSERT INTO outcome VALUES (11.0, '7', 'released', 'train-nv nv1');
INSERT INTO demand VALUES ('7', 11.0, '[["a100"], ["train-nv"], 1, 1, 0, false, 1, 1024]', 60.0);
"""


def place(journal: Journal, time: float, *keys: str, node: str = "nv1", submitted: int = 0) -> None:
    """A plan for these jobs in the journal."""
    placements = (Placement(k, "train-nv", (node,), ((0,),), ("a100",), 80) for k in keys)
    beside = Planning(dict.fromkeys(keys, submitted))
    journal.record_plan(time, 0.1, len(keys), Plan(tuple(placements)), beside)


def end(key: str, submitted: int, ended: int, **fields: object) -> JobEnd:
    """How a job ended that started 3 s after its submission."""
    made = JobEnd(key, submitted, "COMPLETED", submitted + 3, ended, "train-nv", "nv1")
    return replace(made, **fields)  # type: ignore[arg-type]  # a test's own fields


def job_row(journal: Journal, key: str, submitted: int, user: str) -> None:
    """A job in the journal."""
    job = Job(int(key), submit_time=submitted, user=user)
    journal.record_jobs([(job, Classification("training"))])


def test_the_history_names_the_newest_jobs_user(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    job_row(journal, "7", 10, "ann")
    job_row(journal, "7", 20, "bob")  # job ids start anew when Slurm's state is lost
    journal.record_outcomes(30.0, [("7_3", "released", "x")])
    assert journal.history("7_3").user == "bob"
    assert journal.history("7_3").outcomes == [(30.0, "released", "x")]
    assert journal.history("8").empty


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 300, None])
def test_a_damaged_journal_is_put_aside(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    job_row(journal, "7", 10, "ann")
    journal.close()
    whole = path.read_bytes()
    # None: pages overwritten behind an intact header, which only a later statement meets.
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100) if damage is None else damage)
    journal = Journal(path)
    for n in range(3):
        job_row(journal, str(n), 20, "bob")
    assert journal.history("2").user == "bob"
    assert journal.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept = [p.read_bytes() for p in tmp_path.glob("*.damaged-*")]
    assert len(kept) == (0 if damage == b"" else 1), "an empty file is an empty database"


def damage_a_page(path: Path, table: str) -> None:
    """The first page of a table, which shows when the table is read or written, and not before."""
    db = sqlite3.connect(path)
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize("how", ["written", "asked"])
def test_damage_that_shows_later_puts_the_journal_aside_too(tmp_path: Path, how: str) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.record_outcomes(10.0, [("7", "released", "")])
    journal.close()
    damage_a_page(path, "outcome")
    journal = Journal(path)
    if how == "written":
        journal.record_outcomes(20.0, [("7", "released", "")])
    else:
        nothing: list[tuple[float, str, str]] = []
        asked = journal.ask(lambda kept: kept.outcomes_of("7"), nothing)
        assert asyncio.run(asked) is nothing
    assert "malformed" in journal.trouble
    for n in range(3):
        journal.record_outcomes(30.0, [(str(n), "released", "")])
    assert not journal.trouble
    assert journal.outcomes_of("2") == [(30.0, "released", "")]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_damage_of_a_file_that_was_put_aside_is_not_that_of_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.record_outcomes(10.0, [("7", "released", "")])
    damage_a_page(path, "outcome")
    reader = Journal(path, read_only=True)
    with pytest.raises(sqlite3.DatabaseError) as found:
        reader.outcomes_of("7")
    for n in range(3):
        journal.complain(found.value, reader.file)
        journal.record_outcomes(20.0, [(str(n), "released", "")])
    assert [len(journal.outcomes_of(key)) for key in "012"] == [1, 1, 1]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    reader.close()


def test_a_journal_without_a_directory_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", logger="hetd")
    (tmp_path / "state").write_text("a file where the directory should be")
    journal = Journal(tmp_path / "state" / "journal.db")
    job_row(journal, "7", 10, "ann")
    (said,) = (r.message for r in caplog.records)
    assert f"{journal.path} does not work, planning goes on without it" in said
    with pytest.raises(HetError, match="cannot read the journal"):
        journal.history("7")
    (tmp_path / "state").unlink()
    job_row(journal, "8", 10, "ann")
    assert journal.history("8").user == "ann"


def test_a_journal_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(HetError, match="SlurmUser and root"):
        Journal(tmp_path / "none.db", read_only=True)
    sqlite3.connect(tmp_path / "other.db").close()
    with pytest.raises(HetError, match="no such table"):
        Journal(tmp_path / "other.db", read_only=True)


def test_a_job_that_ended_is_told_as_a_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    comment = encode_comment(TRAINING, {"tres_per_node": "gpu:1", "partition": "accel"})
    journal.record_jobs([(Job(7, user="ann", submit_time=10, admin_comment=comment), TRAINING)])
    place(journal, 11.0, "7")
    failed = end("7", 10, 20, state="FAILED", exit_code=3)
    journal.record_ends([failed])
    told = journal.history("7")
    assert (told.user, told.classification, told.end) == ("ann", TRAINING, failed)
    assert told.asked == {"tres_per_node": "gpu:1", "partition": "accel"}
    assert told.placement
    assert told.placement.nodes == ("nv1",)
    assert told.cycle
    assert told.cycle["tasks"] == 1


def test_what_a_job_is_may_be_known_better_later(tmp_path: Path) -> None:
    """The hook was cut off: hetd adopts the job, and reads its script then."""
    journal = Journal(tmp_path / "journal.db")
    stray = Job(7, user="ann", submit_time=10)
    journal.record_jobs([(stray, Classification("inference"))])
    assert journal.history("7").asked is None
    adopted = replace(stray, admin_comment=encode_comment(TRAINING, {"features": "a100"}))
    journal.record_jobs([(adopted, TRAINING)])
    told = journal.history("7")
    assert (told.classification, told.asked) == (TRAINING, {"features": "a100"})


def test_an_array_tells_of_its_tasks_and_they_of_the_array(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    array = Job(6, user="ann", submit_time=10, array_job_id=6, array_tasks="0-9")
    journal.record_jobs([(array, TRAINING)])
    place(journal, 11.0, "6_0", "6_10", "60_1", "5_1")
    journal.record_outcomes(12.0, [("6_0", "released", ""), ("6_0", "started", "")])
    journal.record_ends([end("6_0", 10, 20), end("6_[4-9]", 10, 30, state="CANCELLED", nodes="")])
    told = journal.history("6")
    assert (told.user, told.classification) == ("ann", TRAINING)
    assert [(task.key, task.event) for task in told.tasks] == [
        ("6_0", "started"), ("6_10", ""), ("6_[4-9]", ""),
    ]  # fmt: skip
    assert [task.end.state if task.end else "" for task in told.tasks] == [
        "COMPLETED", "", "CANCELLED",
    ]  # fmt: skip
    assert not told.more_tasks
    one = journal.history("6_0")
    assert (one.user, one.classification, one.tasks) == ("ann", TRAINING, [])
    assert one.end == end("6_0", 10, 20)
    never = journal.history("6_5")
    assert (never.end or one.end).state == "CANCELLED", "its array's rest ended as one"
    assert journal.history("6_3").end is None


def test_of_a_huge_array_some_tasks_are_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    place(journal, 11.0, *(f"6_{n}" for n in range(MAX_TASKS + 10)))
    told = journal.history("6")
    assert len(told.tasks) == MAX_TASKS
    assert told.more_tasks


def test_an_older_job_of_another_user_is_not_told(tmp_path: Path) -> None:
    """Job ids start anew when Slurm's state is lost."""
    journal = Journal(tmp_path / "journal.db")
    job_row(journal, "7", 10, "ann")
    place(journal, 11.0, "7", "7_1", node="nv2")
    journal.record_outcomes(12.0, [("7", "started", "hers"), ("7_1", "started", "hers")])
    journal.record_ends([end("7", 10, 20), end("7_1", 10, 20)])
    job_row(journal, "7", 30, "bob")
    for key in ("7", "7_1"):
        told = journal.history(key)
        assert (told.user, told.placement, told.cycle, told.outcomes, told.end, told.tasks) == (
            "bob", None, None, [], None, [],
        )  # fmt: skip


def test_an_end_is_that_of_the_last_submission(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    job_row(journal, "7", 10, "ann")
    journal.record_ends([end("7", 10, 20)])
    journal.record_ends([end("7", 25, 40, state="TIMEOUT")])  # requeued, which submits it anew
    told = journal.history("7").end
    assert told
    assert told.state == "TIMEOUT"
    job_row(journal, "7", 50, "ann")
    assert journal.history("7").end is None, "it is another job"


def test_the_file_of_an_older_hetd_is_extended_in_place(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    old_file(path)
    reader = Journal(path, read_only=True)  # the old hetd still runs
    told = reader.history("7")
    reader.close()
    assert (told.user, told.classification, told.asked, told.end) == ("ann", TRAINING, None, None)
    assert [event for _, event, _ in told.outcomes] == ["released"]
    journal = Journal(path)
    assert journal.history("7") == told
    assert [profile.devices for profile in asked(journal)] == [1]
    journal.record_ends([end("7", 10, 20)])
    assert journal.history("7").end == end("7", 10, 20)
    last = journal.last_plan(Job(7, submit_time=10))
    assert last
    assert last.placement.terms == {"scenario_fit": 4.0}
    journal.close()
    assert not list(tmp_path.glob("*.damaged-*"))


def test_an_entry_that_we_did_not_write_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    for text in ("7", "{", '{"scenario": 7}', json.dumps(asdict(TRAINING) | {"asked": [1]})):
        with journal.writing() as db:
            db.execute("INSERT OR REPLACE INTO job VALUES ('7', 10, 'ann', ?, 0)", (text,))
        with pytest.raises(HetError, match="cannot read the journal"):
            journal.history("7")


def test_what_came_of_another_job_of_that_id_is_told_to_nobody(tmp_path: Path) -> None:
    """Also where the clock was set back meanwhile, and where hers was not ours to plan."""
    journal = Journal(tmp_path / "journal.db")
    journal.record_jobs([(Job(7, user="ann", submit_time=10), TRAINING)])
    place(journal, 11.0, "7", submitted=10)
    journal.record_outcomes(12.0, [("7", "released", "hers")], {"7": 10})
    journal.record_jobs([(Job(7, user="bob", submit_time=30), None)])
    journal.record_outcomes(5.0, [("7", "handed over", "his")], {"7": 30})
    told = journal.history("7")
    assert (told.user, told.submitted) == ("bob", 30)
    assert (told.placement, told.classification) == (None, None)
    assert [detail for _, _, detail in told.outcomes] == ["his"]


def test_a_second_job_of_the_same_user_has_a_story_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    for submitted in (10, 30):
        journal.record_jobs([(Job(7, user="ann", submit_time=submitted), TRAINING)])
        journal.record_outcomes(31.0, [("7", "released", f"{submitted}")], {"7": submitted})
    assert [detail for _, _, detail in journal.history("7").outcomes] == ["30"]


def test_a_job_that_was_requeued_is_the_same(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    for restarts, submitted in enumerate((10, 30, 50)):
        job = Job(7, user="ann", submit_time=submitted, restarts=restarts)
        journal.record_jobs([(job, TRAINING)])
        place(journal, submitted + 1.0, "7", node=f"nv{restarts}", submitted=submitted)
        journal.record_outcomes(60.0, [("7", "released", str(restarts))], {"7": submitted})
    assert [detail for _, _, detail in journal.history("7").outcomes] == ["0", "1", "2"]
    last = journal.last_plan(Job(7, submit_time=70, restarts=3))
    assert last
    assert last.placement.nodes == ("nv2",)


def test_a_plan_is_that_of_the_job_and_not_of_its_id(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    place(journal, 11.0, "7", submitted=10)
    assert journal.last_plan(Job(7, submit_time=10))
    assert journal.last_plan(Job(7, submit_time=30)) is None, "its user may have written that list"


def test_a_job_that_left_the_queue_is_the_one_that_was_planned(tmp_path: Path) -> None:
    """Slurm does not tell any more when it was submitted."""
    journal = Journal(tmp_path / "journal.db")
    job_row(journal, "7", 10, "ann")
    place(journal, 11.0, "7", submitted=10)
    journal.record_outcomes(12.0, [("7", "gone", "")])
    assert [event for _, event, _ in journal.history("7").outcomes] == ["gone"]


def old_file(path: Path) -> None:
    """A journal as the first slurm-het made it."""
    with sqlite3.connect(path) as old:
        old.executescript(OLD_SCHEMA)
    old.close()


def test_a_journal_goes_down_to_an_older_schema_and_up_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    old_file(path)
    journal = Journal(path)
    assert schema.version_of(journal.db) == schema.VERSION
    assert journal.db.execute("PRAGMA auto_vacuum").fetchone() == (2,), "it can give space back"
    assert journal.db.execute("SELECT day FROM day").fetchall() == [(0,)]
    place(journal, 12.0, "8", submitted=12)
    before = journal.history("7")
    schema.bring_to(journal.db, 0)
    journal.close()
    with sqlite3.connect(path) as old:  # as the older one writes
        old.execute("INSERT INTO outcome VALUES (13.0, '7', 'started', 'by the older one')")
        old.execute("INSERT INTO placement VALUES (2, 13.0, '9', '{}')")
        old.execute("INSERT INTO job VALUES ('9', 12, 'bob', '{}')")
    old.close()
    again = Journal(path).history("7")
    assert (again.user, again.placement) == (before.user, before.placement)
    assert [event for _, event, _ in again.outcomes] == ["released", "started"]


def test_how_programs_fared_is_kept_until_it_says_nothing_any_more(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    old = Trial("ann", "p", "amd", 10.0, well=True, job="7")
    new = Trial("ann", "p", "nvidia", 20.0, failures=1, submitted=15, job="8_2")
    journal.record_trials([new, old])
    journal.record_trials([new])
    assert journal.trials(0.0) == [old, new]
    assert journal.trials(15.0) == [new]
    journal.record_trials([forgotten(new)])
    assert journal.trials(0.0) == [old]


def test_how_programs_fared_is_forgotten_with_all_else_and_before_it_was_kept(
    tmp_path: Path,
) -> None:
    """An older journal is read as it is, and goes down and up with the others."""
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.record_trials([Trial("ann", "p", "amd", 10.0, well=True)])
    schema.bring_to(journal.db, 1)
    assert Journal(path, read_only=True).trials(0.0) == []
    journal.close()
    again = Journal(path)
    assert again.trials(0.0) == []
    again.record_trials([Trial("ann", "p", "amd", 10.0, well=True)])
    for day in range(40):
        again.prune(day * 86400.0)
    assert again.trials(0.0) == []


def test_how_long_programs_ran_is_kept_and_forgotten_as_all_else_is(tmp_path: Path) -> None:
    """An older journal has none of it, and goes down and up with the others."""
    path = tmp_path / "journal.db"
    journal = Journal(path)
    old = Pace("ann", "p", "a100", 2, 10.0, "7", (PastRun(9, 60, True), PastRun(60, 60)))
    new = Pace("ann", "p", "a100", 4, 20.0, "8_2", (PastRun(9),))
    journal.record_paces([new, old])
    journal.record_paces([new])
    assert journal.paces(0.0) == [old, new]
    assert journal.paces(15.0) == [new]
    journal.record_paces([without_runs(new)])
    assert journal.paces(0.0) == [old]
    schema.bring_to(journal.db, 3)
    assert Journal(path, read_only=True).paces(0.0) == []
    journal.close()
    again = Journal(path)
    again.record_paces([old])
    for day in range(40):
        again.prune(day * 86400.0)
    assert again.paces(0.0) == []


def test_a_newer_journal_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    place(journal, 11.0, "7")
    journal.db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    journal.close()
    was = path.read_bytes()
    for key in ("8", "9"):
        place(journal, 12.0, key)
    (said,) = (r.message for r in caplog.records if r.levelname == "ERROR")
    assert str(path) in said
    assert "a newer slurm-het made it" in said
    assert path.read_bytes() == was
    with pytest.raises(HetError, match="a newer slurm-het made it"):
        Journal(path, read_only=True)


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_journal_that_is_taken_away_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    job_row(journal, "7", 10, "ann")
    if how == "removed":
        path.unlink()
    else:
        other = Journal(tmp_path / "other.db")
        job_row(other, "6", 10, "eve")
        other.close()
        other.path.rename(path)
    job_row(journal, "8", 10, "bob")
    assert "was removed or replaced" in caplog.text
    reader = Journal(path, read_only=True)
    assert (reader.history("8").user, reader.history("7").user) == ("bob", "")
    assert reader.history("6").user == ("" if how == "removed" else "eve")
    reader.close()


def test_a_journal_that_another_has_locked_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_het.journal.file.LOCKED_SECONDS", 0.05)
    journal = Journal(tmp_path / "journal.db")
    job_row(journal, "7", 10, "ann")
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for key in ("8", "9"):
        job_row(journal, key, 10, "bob")
    assert "locked" in journal.trouble
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1
    other.execute("COMMIT")
    other.close()
    job_row(journal, "10", 10, "bob")
    assert not journal.trouble
    assert journal.history("10").user == "bob"


@pytest.mark.parametrize("old", [False, True], ids=["of today", "older"])
def test_what_is_noted_beside_a_file_is_not_in_it_and_little_of_it_is_copied(
    tmp_path: Path, old: bool
) -> None:
    path = tmp_path / "journal.db"
    profile = TaskProfile(("a100",), ("train-nv",), 1, 1, 0, False, 1, 1024)
    if old:
        with sqlite3.connect(path) as db:
            db.executescript(OLD_SCHEMA)
    else:
        journal = Journal(path)
        place(journal, 11.0, "7")
        journal.record_demands(11.0, [("7", profile, 60.0)])
        journal.close()
    noted = Journal.noting_beside(path)
    noted.record_demands(12.0, [("8", profile, 30.0), ("7", profile, 40.0)])
    noted.add_demands(12.0, {profile: 5.0})
    noted.add_demands(13.0, {profile: 5.0})
    assert sum(asked(noted).values()) == 80.0
    assert noted.placement_of("7") is not None
    copied = noted.db.execute("SELECT name FROM sqlite_temp_master WHERE type = 'table'").fetchall()
    assert {name for (name,) in copied} <= {"day", "demand", "job_end", "pace", "trial", "told"}
    assert not noted.trouble
    noted.close()
    kept = Journal(path, read_only=True)
    assert sum(asked(kept).values()) == 60.0
