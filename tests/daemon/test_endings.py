"""How jobs ended: hetd asks while Slurm remembers, beside its cycles, and journals it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_het.core.model import Job, Snapshot
from slurm_het.daemon.endings import MAX_IDS, PAUSE_SECONDS, Endings
from slurm_het.errors import SlurmError
from slurm_het.journal import Journal
from tests.support.fake_slurm import FakeSlurm
from tests.support.world import marked, policy, snapshot

NOW = 1_795_000_000


def ended(job: Job, state: str = "COMPLETED", **fields: object) -> Job:
    """The job's last record."""
    times = {"submit_time": NOW, "start_time": NOW + 5, "end_time": NOW + 9, "nodes": "nv1"}
    return replace(job, state=state, **(times | fields))  # type: ignore[arg-type]


class Forgetful(FakeSlurm):
    """Slurm from 24.11 on: squeue lists no job that ended, but tells of them when asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Collection[int]] = []
        self.remembers: tuple[Job, ...] = ()
        self.down = self.all_of_an_array = False

    async def ended_jobs(self, ids: Collection[int] = ()) -> tuple[Job, ...]:
        self.asked.append(set(ids))
        if self.down:
            raise SlurmError("slurm_load_jobs error: Unable to contact slurm controller")
        if self.all_of_an_array:  # as scontrol tells by its id
            return self.remembers
        return tuple(job for job in self.remembers if not ids or job.id in ids)


class Watch:
    """Endings on that Slurm, with a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.slurm, self.journal = Forgetful(), Journal(path)
        self.now = 0.0
        self.loop = asyncio.Runner()
        self.restart()

    def restart(self) -> None:
        """A new hetd on the same journal."""
        self.endings = Endings(self.slurm, policy(), self.journal, lambda: self.now)

    def see(self, *jobs: Job) -> None:
        """A cycle that finds these jobs, some time after the last one."""
        self.now += PAUSE_SECONDS
        self.loop.run(self.seen(snapshot(*jobs)))

    async def seen(self, shot: Snapshot) -> None:
        """The same, in a loop that runs."""
        self.endings.see(shot)
        await self.endings.settled()

    def end(self, key: str) -> tuple[str, int]:
        """State and exit code of a job in the journal."""
        end = self.journal.history(key).end
        return (end.state, end.exit_code) if end else ("", 0)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    it = Watch(tmp_path / "journal.db")
    it.see()
    it.slurm.asked.clear()
    yield it
    it.journal.close()
    it.loop.close()


def test_jobs_that_are_gone_are_asked_for_in_one_call(watch: Watch) -> None:
    jobs = [marked(n) for n in (1, 2, 3)]
    watch.see(*jobs)
    assert watch.slurm.asked == [], "nothing has ended"
    watch.slurm.remembers = (ended(jobs[0]), ended(jobs[1], "FAILED", exit_code=3))
    watch.see(jobs[2])
    assert watch.slurm.asked == [{1, 2}]
    assert (watch.end("1"), watch.end("2"), watch.end("3")) == (
        ("COMPLETED", 0), ("FAILED", 3), ("", 0),
    )  # fmt: skip
    watch.see(jobs[2])
    assert len(watch.slurm.asked) == 1, "nobody is asked for twice"


def test_where_squeue_lists_what_ended_nothing_is_asked(watch: Watch) -> None:
    watch.see(marked(1))
    watch.see(ended(marked(1), "TIMEOUT"))
    watch.see(ended(marked(1), "TIMEOUT"))
    watch.see()
    assert watch.end("1") == ("TIMEOUT", 0)
    assert watch.slurm.asked == []


def test_what_slurm_has_forgotten_is_not_asked_for_again(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="hetd")
    watch.see(marked(1))
    watch.see()
    watch.see()
    assert watch.slurm.asked == [{1}]
    assert watch.end("1") == ("", 0)
    assert "Slurm has forgotten how 1 of our jobs ended" in caplog.text


def test_a_slurm_that_does_not_answer_is_asked_again(watch: Watch) -> None:
    watch.see(marked(1))
    watch.slurm.down = True
    watch.see()
    watch.slurm.down, watch.slurm.remembers = False, (ended(marked(1)),)
    watch.see()
    assert watch.slurm.asked == [{1}, {1}]
    assert watch.end("1") == ("COMPLETED", 0)


def test_questions_have_a_pause_between_them_and_a_bound(watch: Watch) -> None:
    watch.see(*(marked(n) for n in range(1, MAX_IDS + 3)))
    watch.see(marked(1))
    assert watch.slurm.asked == [set()], "so many that all that ended are asked for"
    watch.now -= PAUSE_SECONDS
    watch.see()
    assert len(watch.slurm.asked) == 1, "a moment ago it was asked"
    watch.see()
    assert watch.slurm.asked[1:] == [{1}]


def test_a_new_hetd_asks_once_for_all_that_ended_before_it(watch: Watch) -> None:
    watch.see(marked(1))
    not_ours = ended(replace(marked(2), admin_comment=""))
    watch.slurm.remembers = (ended(marked(1), "CANCELLED"), not_ours)
    watch.restart()
    watch.see()
    watch.see()
    assert watch.slurm.asked == [set()]
    assert watch.end("1") == ("CANCELLED", 0)
    assert watch.end("2") == ("", 0)


def test_another_programs_word_over_our_mark_hides_no_end(watch: Watch) -> None:
    """jobstats writes AdminComment seconds after the end: while no hetd runs, too."""
    one = marked(1, submit_time=NOW)
    watch.journal.record_jobs([(one, None)])
    over = [ended(replace(job, admin_comment="JS1:H4sI")) for job in (one, marked(2))]
    again = ended(replace(one, id=3, admin_comment="JS1:H4sI"), submit_time=NOW + 1)
    watch.slurm.remembers = (*over, again)
    watch.restart()
    watch.see()
    watch.see()
    assert watch.end("1") == ("COMPLETED", 0)
    rows = watch.journal.db.execute("SELECT key, submitted FROM job_end").fetchall()
    assert rows == [("1", NOW)], "neither what was never in the gate, nor another of that id"


def test_a_job_that_is_handed_to_plain_slurm_stays_ours(watch: Watch) -> None:
    """Its mark is taken off then."""
    watch.see(marked(1))
    passed = replace(marked(1), admin_comment="slurm-het: names its nodes", partition="train-nv")
    watch.see(passed)
    watch.slurm.remembers = (ended(passed),)
    watch.see()
    assert watch.end("1") == ("COMPLETED", 0)


def test_a_requeued_job_has_not_ended(watch: Watch) -> None:
    watch.see(marked(1))
    watch.slurm.remembers = (replace(marked(1), state="PENDING"),)
    watch.see()
    assert watch.end("1") == ("", 0)
    watch.see(marked(1))
    watch.slurm.remembers = (ended(marked(1)),)
    watch.see()
    assert watch.end("1") == ("COMPLETED", 0)


def test_the_tasks_of_an_array_end_one_by_one(watch: Watch) -> None:
    array = replace(marked(6), array_job_id=6, array_tasks="0-2")
    tasks = [
        replace(marked(number), array_job_id=6, array_task_id=task)
        for task, number in enumerate((7, 8, 6))  # the last one split off has the array's own id
    ]
    watch.see(array)
    watch.see(*tasks)
    assert watch.slurm.asked == []
    watch.slurm.remembers = tuple(map(ended, tasks))
    watch.see(tasks[0])
    assert watch.slurm.asked == [{6, 8}]
    assert [watch.end(f"6_{n}")[0] for n in range(3)] == ["", "COMPLETED", "COMPLETED"]


def test_another_programs_word_over_a_task_of_an_array_hides_no_end(watch: Watch) -> None:
    """Seen while it runs, in a record of its own by now, or with the others when all have ended."""
    array = replace(marked(6, submit_time=NOW), array_job_id=6, array_tasks="0-1")
    watch.journal.record_jobs([(array, None)])
    theirs = replace(array, array_tasks="", admin_comment="JS1:H4sI", partition="train-nv")
    seen, unseen = replace(theirs, id=7, array_task_id=0), replace(theirs, array_task_id=1)
    late = replace(theirs, id=8, array_task_id=2)
    watch.see(array)
    watch.see(seen, replace(array, array_tasks="1-2"))
    watch.slurm.remembers = (ended(seen),)
    watch.see(replace(array, array_tasks="1-2"))
    assert watch.end("6_0") == ("COMPLETED", 0)
    watch.slurm.remembers = (ended(late), ended(unseen))
    watch.slurm.all_of_an_array = True
    watch.see()
    assert [watch.end(f"6_{n}")[0] for n in (1, 2)] == ["COMPLETED"] * 2


def test_a_bug_in_a_question_is_no_secret(watch: Watch) -> None:
    watch.see(marked(1))

    async def broken(ids: Collection[int] = ()) -> tuple[Job, ...]:
        raise ZeroDivisionError(ids)

    watch.slurm.ended_jobs = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        watch.see()
    with pytest.raises(ZeroDivisionError):
        watch.loop.run(watch.seen(snapshot()))
