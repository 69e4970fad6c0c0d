"""slurm-het why from the outside: what it tells of jobs that wait, run, ended and are forgotten."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from slurm_het.cli import why as module
from slurm_het.cli.documents import schema_of
from slurm_het.core.jobs.ending import end_of
from slurm_het.core.jobs.mark import encode_comment
from slurm_het.core.model import Classification, Job, Placement, Plan, Snapshot
from slurm_het.core.reasons import Spared
from slurm_het.errors import HetError
from slurm_het.journal import Journal
from tests.support.squeue_cluster import CONFIG, NOW, running, snapshot, waiting

Why = Callable[..., Result]
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "slurm-het-why.json"
WHAT = Classification("training", ("nvidia",), ("a100",), evidence=("rule nvidia: module:cuda",))
MARKED = encode_comment(WHAT, {"tres_per_node": "gpu:1"})


class FakeSlurm:
    """Slurm that lists some jobs and remembers some that ended."""

    jobs: tuple[Job, ...] = ()
    ended: tuple[Job, ...] = ()
    hides: frozenset[str] = frozenset()

    def __init__(self, _settings: object) -> None:
        pass

    async def snapshot(self) -> Snapshot:
        """The jobs that squeue lists."""
        return snapshot(*FakeSlurm.jobs)

    async def ended_jobs(self, ids: Collection[int] = ()) -> tuple[Job, ...]:
        """Those that it still remembers."""
        return tuple(j for j in FakeSlurm.ended if {j.id, j.array_job_id} & set(ids))

    async def batch_script(self, _number: int) -> str:
        """Nothing that tells of a vendor."""
        return "#!/bin/sh\n./simulate\n"

    async def hidden(self) -> frozenset[str]:
        """What PrivateData keeps from us."""
        return FakeSlurm.hides


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db")
    assert made.db
    yield made
    made.close()


@pytest.fixture
def why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, journal: Journal) -> Why:
    """`slurm-het why` of a job while Slurm lists some jobs, and remembers others."""
    config = tmp_path / "het.yaml"
    paths = f"{{control_socket: {tmp_path}/control.sock, journal: {journal.path}}}"
    config.write_text(f"{CONFIG}paths: {paths}\n")
    monkeypatch.setattr(module, "CliSlurm", FakeSlurm)
    monkeypatch.setattr(module, "slurm_of", lambda config: FakeSlurm(config.slurm))

    def _why(*given: str | Job, ended: tuple[Job, ...] = ()) -> Result:
        words = [one for one in given if isinstance(one, str)]
        FakeSlurm.jobs = tuple(one for one in given if isinstance(one, Job))
        FakeSlurm.ended = ended
        return CliRunner().invoke(module.why, ["--config", str(config), *words])

    return _why


def told(result: Result) -> list[str]:
    """Its lines, with every time of day as `T`."""
    assert result.exception is None, result.exception
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "T", result.stdout)
    return [line for line in text.splitlines() if "weight" not in line and "plan of" not in line]


def stamp(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def job(number: int, task: int | None = None, **fields: object) -> Job:
    """A job of ann's that ran for a minute; with `task` one of array 6."""
    changes: dict[str, object] = {"admin_comment": MARKED, "submit_time": NOW - 3700}
    if task is not None:
        changes |= {"array_job_id": 6, "array_task_id": task}
    return running(number, "nv1", "gpu:a100:1(IDX:0)", **(changes | fields))


def over(one: Job, state: str = "COMPLETED", **fields: object) -> Job:
    """Its last record."""
    return replace(one, state=state, end_time=NOW - 3540, **fields)  # type: ignore[arg-type]


def record(journal: Journal, *jobs: Job, node: str = "nv1") -> None:
    """What hetd journals of jobs until they have started, and, if they have, of their end."""
    journal.record_jobs((one, WHAT) for one in jobs)
    placements = (Placement(one.key, "train-nv", (node,), ((0,),), ("a100",), 80) for one in jobs)
    journal.record_plan(float(NOW - 3650), 0.1, len(jobs), Plan(tuple(placements)))
    journal.record_outcomes(
        float(NOW - 3600), [(one.key, "started", f"{one.nodes}:0") for one in jobs]
    )
    journal.record_ends([end for one in jobs if (end := end_of(one))])


STORY = [
    "  classified: training; vendors nvidia; types a100; memory per device any",
    "    because rule nvidia: module:cuda",
    "  asked for: tres_per_node=gpu:1",
    "  planned: train-nv nv1:0 (a100)",
    "  T started: nv1:0",
]


def test_a_forgotten_job_keeps_its_whole_story(why: Why, journal: Journal) -> None:
    record(journal, over(job(7), "FAILED", exit_code=3))
    result = why("7")
    assert told(result) == [
        "job 7 of ann is not in Slurm's queue any more",
        *STORY,
        "  ended T: FAILED with exit code 3 after 0:01:00 on nv1",
    ]
    assert f"  ended {stamp(NOW - 3540)}: FAILED" in result.stdout


def test_what_the_prices_kept_free_is_told_with_the_plan(why: Why, journal: Journal) -> None:
    one = job(7)
    journal.record_jobs([(one, WHAT)])
    spared = Spared(8, 0, 8, ("a100",), True, 3.2, NOW + 3600.0)
    placed = Placement("7", "train-nv", ("nv1",), ((0,),), ("a100",), 80, {}, spared)
    journal.record_plan(float(NOW - 3650), 0.1, 1, Plan((placed,)))
    assert (
        "    keeps 8 whole a100 nodes for jobs of 8 devices, about 3 of which are expected by"
        f" {stamp(NOW + 3600)}"
    ) in why("7", one).stdout.splitlines()


def test_the_wait_is_told_in_its_parts_and_beside_what_was_told(why: Why, journal: Journal) -> None:
    late = job(7, eligible_time=NOW - 3690)
    record(journal, late)
    journal.record_outcomes(float(NOW - 3620), [("7", "released", "nv1")], {"7": late.submit_time})
    journal.record_told(float(NOW - 3680), [("7", late.submit_time, float(NOW - 3300))])
    journal.record_told(float(NOW - 3670), [("7", late.submit_time, float(NOW - 3590))])
    said = "  told T: it starts by T; told last T: by T"
    assert said in told(why("7")), "while it waits"
    journal.record_starts([("7", late.submit_time, float(NOW - 3600))])
    waited = (
        "  waited 0:01:40: 0:00:10 for a dependency, a hold or its begin time;"
        " 0:01:10 in the queue; 0:00:20 pinned to its nodes"
    )
    for lines in (told(why("7", late)), told(why("7", ended=(over(late),)))):
        assert f"{said}; it started 0:05:00 sooner" in lines
        assert waited in lines
    journal.record_ends([end for end in (end_of(over(late)),) if end])
    forgotten = told(why("7"))
    assert forgotten[-2:] == [waited, "  ended T: COMPLETED after 0:01:00 on nv1"]
    assert f"{said}; it started 0:05:00 sooner" in forgotten


def test_what_another_program_writes_over_our_mark_is_known_from_the_journal(
    why: Why, journal: Journal
) -> None:
    """jobstats writes its own into AdminComment, seconds after the end."""
    record(journal, over(job(7)))
    lines = told(why("7", ended=(over(job(7, admin_comment="JS1:H4sIAAAA")),)))
    assert lines[1:4] == STORY[:3]
    assert lines[-1] == "  ended T: COMPLETED after 0:01:00 on nv1"


def test_a_job_that_slurm_remembers_tells_its_end_without_hetd(why: Why, journal: Journal) -> None:
    record(journal, job(7))
    lines = told(why("7", ended=(over(job(7)),)))
    assert lines == [
        "job 7 of ann: COMPLETED in train-nv, Slurm's reason None",
        *STORY,
        "  ended T: COMPLETED after 0:01:00 on nv1",
    ]


def test_a_running_job_has_no_end_even_if_it_had_one_before(why: Why, journal: Journal) -> None:
    record(journal, over(job(7)))
    lines = told(why("7", job(7, restarts=2, features="a100")))
    assert lines[:2] == [
        "job 7 of ann: RUNNING in train-nv, Slurm's reason None",
        "  requeued 2 times",
    ]
    assert f"{STORY[2]}; features now a100" in lines
    assert not [line for line in lines if "ended" in line]


def test_an_end_that_nobody_saw_is_said_to_be_unknown(why: Why, journal: Journal) -> None:
    record(journal, job(7))
    assert told(why("7"))[-1] == (
        "  how it ended is not known: hetd did not see it end, and Slurm has forgotten it"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"state": "CANCELLED", "nodes": "", "exit_signal": 0}, "CANCELLED before the start"),
        ({"state": "FAILED", "exit_signal": 9}, "FAILED by signal 9 after 0:01:00 on nv1"),
        (
            {"state": "FAILED", "exit_signal": 53},
            "FAILED at its launch (can its output be written there?) after 0:01:00 on nv1",
        ),
        ({"state": "TIMEOUT", "exit_signal": 15}, "TIMEOUT after 0:01:00 on nv1"),
        ({"start_time": NOW - 200000}, "COMPLETED after 2-06:34:20 on nv1"),
        ({"nodes": "nv[1-2]"}, "COMPLETED after 0:01:00 on nv[1-2]"),
    ],
)
def test_how_a_job_ended_in_words(
    why: Why, journal: Journal, fields: dict[str, object], text: str
) -> None:
    record(journal, over(job(7), **fields))  # type: ignore[arg-type]
    assert told(why("7"))[-1] == f"  ended T: {text}"


ARRAY = (
    over(job(8, 0)),
    over(job(9, 1), start_time=NOW - 3550),
    over(job(10, 2), "FAILED", exit_code=5),
    job(11, 3),
)
REST = waiting(
    6, "gpu:8", array_job_id=6, array_tasks="4-5", admin_comment=MARKED, nodes_min=3, user="ann"
)


def test_an_array_tells_how_its_tasks_fare(why: Why, journal: Journal) -> None:
    """Two have ended and are forgotten, one is remembered, one runs, the rest waits."""
    record(journal, *ARRAY[:2], job(10, 2))
    record(journal, job(11, 3), node="nv2")
    *lines, _, sooner = told(why("6", ARRAY[3], REST, ended=(ARRAY[2],)))
    assert lines == [
        "job 6 of ann is an array; 6 of its tasks are known",
        *STORY[:3],
        "  6_[0-1]: COMPLETED after 0:00:10 to 0:01:00 on nv1, as planned",
        "  6_2: FAILED with exit code 5 after 0:01:00 on nv1, as planned",
        "  6_3: RUNNING on nv1, planned for nv2",
        "  6_[4-5]: waits: needs 8 free on each of 3 nodes; only nv1, nv2 could have them",
    ]
    assert "scontrol update job '6_[4-5]' NumNodes=1" in sooner


def test_a_forgotten_array_keeps_its_story(why: Why, journal: Journal) -> None:
    array = replace(REST, submit_time=NOW - 3700, eligible_time=NOW - 3700)
    journal.record_jobs([(array, WHAT)])
    record(journal, *ARRAY)
    journal.record_ends([end for one in (over(array, "CANCELLED"),) if (end := end_of(one))])
    lines = told(why("6"))
    assert lines == [
        "job 6 of ann is an array; 6 of its tasks are known",
        *STORY[:3],
        "  6_[0-1]: COMPLETED after 0:00:10 to 0:01:00 on nv1, as planned",
        "  6_2: FAILED with exit code 5 after 0:01:00 on nv1, as planned",
        "  6_3: how it ended is not known; the last that is known: started, planned for nv1",
        "  6_[4-5]: CANCELLED before the start",
    ]
    assert told(why("6_5")) == [
        "job 6_5 of ann is not in Slurm's queue any more",
        *STORY[:3],
        "  waited 0:02:40 in the queue",
        "  ended T: CANCELLED before the start",
    ]


def test_an_arrays_task_is_not_taken_for_another_one(why: Why, journal: Journal) -> None:
    """The last task that is split off has the array's own id."""
    record(journal, *ARRAY)
    lines = told(why("6_0", job(6, 3)))
    assert lines[0] == "job 6_0 of ann is not in Slurm's queue any more"
    assert lines[-1] == "  ended T: COMPLETED after 0:01:00 on nv1"
    assert told(why("11", job(11, 3)))[-1] == "  T started: nv1:0", "by its own id too"
    assert told(why("6", job(6, 3)))[0].startswith("job 6 of ann is an array")


OF_JOB_7 = "job 7 is no array", "slurm-het why 7"


def test_a_task_that_there_is_not_is_no_task_of_the_past(why: Why, journal: Journal) -> None:
    """Neither of a job that is no array, nor beyond an array's tasks; whoever still knows of it."""
    record(journal, *ARRAY, job(7))
    waits = replace(REST, submit_time=NOW - 3700)
    of_6 = "array 6 has no task 99 that is known", "known are 0-3"
    for result, told_of in (
        (why("7_0", job(7)), OF_JOB_7),
        (why("7_0", ended=(over(job(7)),)), OF_JOB_7),
        (why("7_0"), OF_JOB_7),
        (why("6_99", *ARRAY), of_6),
        (why("6_99"), of_6),
        (why("6_99", ARRAY[3], waits), (of_6[0], "known are 0-5")),
    ):
        assert isinstance(result.exception, HetError), result.stdout
        assert (result.exception.message, result.exception.hint) == told_of
    journal.record_jobs([(waits, WHAT)])
    short = replace(waits, array_tasks="4,6,...")
    assert told(why("6_99", short))[0] == "job 6_99 of ann is not in Slurm's queue any more"


def test_what_plain_slurm_places_keeps_what_it_was(why: Why, journal: Journal) -> None:
    """hetd's mark is taken off then: the journal has what stood there."""
    record(journal, job(7))
    lines = told(why("7", job(7, admin_comment="slurm-het: names its nodes")))
    assert "    because rule nvidia: module:cuda" in lines
    assert STORY[2] in lines


def test_a_job_that_nobody_knows(why: Why) -> None:
    for job_id in ("7", "7_1"):
        result = why(job_id)
        assert isinstance(result.exception, HetError)
        assert result.exception.message == (f"Slurm knows no job {job_id}, and the journal neither")
    assert isinstance(why("7;1").exception, HetError)


def test_hostile_words_of_the_journal_are_made_visible(why: Why, journal: Journal) -> None:
    record(journal, over(job(7, user="a\x1b[31mn\nn")))
    assert "\x1b" not in why("7").stdout


def test_a_request_that_cannot_be_read_hides_nothing_else(why: Why) -> None:
    lines = told(why("7", job(7, admin_comment="", tres_per_node="gpu:::9x")))
    assert lines == [
        "job 7 of ann: RUNNING in train-nv, Slurm's reason None",
        "  what it was taken for is not known: hetd never saw it in the gate",
    ]


def test_another_job_of_that_id_is_not_told_under_the_one_that_slurm_has(
    why: Why, journal: Journal
) -> None:
    """Of another user, or of the same; one that was requeued is the same."""
    record(journal, over(job(7)))
    for new in (job(7, user="bob"), job(7, submit_time=NOW - 60)):
        assert not [line for line in told(why("7", new)) if "planned" in line or "started" in line]
    requeued = job(7, submit_time=NOW - 60, restarts=1)
    assert [line for line in told(why("7", requeued)) if "started" in line]


def test_what_would_start_it_sooner_is_told_as_commands(
    why: Why, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hetd does not answer here: nothing is said of what only `slurm-het ask` can change."""
    busy = running(1, "nv[1-2]", *["gpu:a100:8(IDX:0-7)"] * 2)
    known = encode_comment(WHAT, {"tres_per_node": "gpu:a100:8"})
    asks = {"admin_comment": known, "nodes_min": 2, "tasks": 2, "cpus": 2, "exc_nodes": "amd[1-2]"}
    waits = waiting(7, "gpu:a100:8", time_limit_minutes=60, **asks)
    one = replace(busy, nodes="nv1", gres_detail=busy.gres_detail[:1])
    text = re.sub(r"2023-11-1\d \d\d:\d\d", "T", "\n".join(told(why("7", one, waits))))
    lines = text.splitlines()
    assert lines[lines.index("  starts: by T on nv[1-2], as things stand") + 1 :] == [
        "  sooner, each alone, with all else as it was at T:",
        "    scontrol update job 7 NumNodes=1   # now on nv2:0-7; 1 node, not 2",
    ]
    assert not [line for line in told(why("7", busy, waits)) if "sooner" in line]
    for kept in ("jobs", "nodes", "reservations"):
        monkeypatch.setattr(FakeSlurm, "hides", frozenset({kept, "usage"}))
        assert [line for line in told(why("7", one, waits)) if "sooner" in line] == [
            f"  sooner: not to be told, as Slurm keeps {kept} from you (PrivateData)"
        ]


def document(why: Why, *given: str | Job, ended: tuple[Job, ...] = ()) -> dict[str, Any]:
    """What --json prints, which is as its schema says."""
    made: dict[str, Any] = json.loads(why("--json", *given, ended=ended).stdout)
    jsonschema.validate(made, json.loads(SCHEMA.read_text()))
    return made


def test_json_of_one_that_waits_has_what_the_lines_say(why: Why) -> None:
    blocker = running(1, "nv1", "gpu:a100:8(IDX:0-7)")
    known = encode_comment(WHAT, {"tres_per_node": "gpu:a100:8"})
    asks = {"admin_comment": known, "nodes_min": 2, "tasks": 2, "cpus": 2}
    waits = waiting(7, "gpu:a100:8", time_limit_minutes=60, **asks)
    lines, made = why("7", blocker, waits).stdout, document(why, "7", blocker, waits)
    assert (made["id"], made["user"], made["state"]) == ("7", "bob", "PENDING")
    assert not made["array"]
    assert made["waits"]["code"] == "busy"
    assert f"  waits: {made['waits']['reason']}\n" in lines
    assert f"  do: {made['waits']['action']}\n" in lines
    assert sorted(made["waits"]["starts"]["nodes"]) == ["nv1", "nv2"]
    (change,) = made["waits"]["sooner"]
    assert change["starts"]["nodes"] == ["nv2"]
    assert f"  {change['command']}   # now on nv2:0-7; {change['price']}\n" in lines
    assert (made["planned"], made["end"], made["waited"], made["tasks"]) == (None, None, None, [])


def test_json_of_one_that_ended_has_what_the_journal_says(why: Why, journal: Journal) -> None:
    one = over(job(7), "FAILED", exit_code=3)
    record(journal, one)
    made = document(why, "7")
    assert (made["state"], made["waits"], made["user"]) == (None, None, "ann")
    assert made["what"]["evidence"] == ["rule nvidia: module:cuda"]
    assert made["planned"]["devices"] == [[0]]
    assert [(o["event"], o["detail"]) for o in made["outcomes"]] == [("started", "nv1:0")]
    assert (made["end"]["state"], made["end"]["exit_code"]) == ("FAILED", 3)
    assert document(why, "7", ended=(one,))["state"] == "FAILED"


def test_json_of_an_array_says_how_its_tasks_fare(why: Why, journal: Journal) -> None:
    ended = over(job(61, 0))
    record(journal, ended)
    rest = waiting(
        6, "gpu:a100:1", array_job_id=6, array_tasks="1-3", reason="JobHeldUser", priority=0
    )
    made = document(why, "6", rest, ended=(ended,))
    assert made["array"]
    assert made["waits"]["code"] == "held"
    assert {group["tasks"]: group["fate"] for group in made["tasks"]} == {
        "0": "COMPLETED",
        "1-3": f"waits: {made['waits']['reason']}",
    }


def test_the_schema_of_json_is_the_published_one() -> None:
    assert SCHEMA.read_text() == schema_of("slurm-het-why"), (
        "python -m slurm_het.cli.documents docs/schemas"
    )


def test_json_says_what_is_left_out(why: Why, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSlurm, "hides", frozenset({"jobs"}))
    blocker = running(1, "nv[1-2]", *["gpu:a100:8(IDX:0-7)"] * 2)
    made = document(why, "7", blocker, waiting(7, "gpu:a100:4"))
    assert made["remarks"] == ["sooner: not to be told, as Slurm keeps jobs from you (PrivateData)"]
    assert made["waits"]["starts"] is None
