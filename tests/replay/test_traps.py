"""What of accounting's records is not what it seems: each is counted right, and told."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from slurm_het.errors import HetError
from slurm_het.replay.asked import UNTOLD_TYPE
from slurm_het.replay.moments import WallClock
from slurm_het.replay.past import UNLIMITED, Tally, parse_tres, tasks_of
from slurm_het.replay.sacct import read_sacct
from slurm_het.replay.trace import DAY, Trace
from slurm_het.simulation.jobs import JobSpec
from tests.replay.past import DAYS, MARK, T0, edges, never_ran, record, text_of, trace_of

LATER = 2 * DAY
"""After the first day."""
STILL = "jobs that still ran at the end: as long as others like them"


def job(trace: Trace, key: str) -> JobSpec:
    """The simulated job of a record."""
    (found,) = jobs(trace, key)
    return found


def jobs(trace: Trace, key: str) -> list[JobSpec]:
    """All of them."""
    pairs = zip(trace.world.jobs, trace.subjects, strict=True)
    return [spec for spec, subject in pairs if subject.key == key]


def counted(trace: Trace) -> list[str]:
    """The jobs whose waits are compared."""
    return [subject.key for subject in trace.subjects if subject.counts]


def test_an_ordinary_job_asks_what_it_asked_and_runs_as_long_as_it_did() -> None:
    trace, _ = trace_of(record(1, LATER, ran=1800))
    one = job(trace, "1")
    assert (one.ask.devices, one.ask.type, one.ask.cpus, one.ask.memory_mib) == (2, None, 8, 16000)
    assert (one.nodes, one.minutes, one.seconds, one.at) == (1, 120, 1800.0, LATER)
    assert one.partitions == ("train",)


def test_a_requeued_job_is_two_runs_each_with_its_own_wait() -> None:
    first = record(1, LATER, ran=600, State="REQUEUED")
    again = record(1, LATER + 660, start=300, Eligible=T0 + int(LATER) + 780)
    trace, tally = trace_of(first, again)
    assert [one.at for one in jobs(trace, "1")] == [LATER, LATER + 780]
    assert [one.seconds for one in jobs(trace, "1")] == [600, 3600]
    assert tally.taken["runs that ended in a requeue"] == 1


def test_the_same_record_twice_is_one_and_the_later_one_counts() -> None:
    """Months that are read one by one both have who ran across."""
    runs = record(1, LATER, End="Unknown", State="RUNNING")
    trace, tally = trace_of(runs, record(1, LATER), record(1, LATER))
    assert [one.seconds for one in jobs(trace, "1")] == [3600]
    assert tally.left_out["records that are there twice"] == 2
    assert STILL not in tally.taken


def test_steps_are_parts_of_jobs() -> None:
    steps = [record(f"1.{step}", LATER) for step in ("batch", "extern", "0")]
    trace, tally = trace_of(record(1, LATER), *steps)
    assert counted(trace).count("1") == 1
    assert tally.left_out["steps of jobs, which are parts of them"] == 3


def test_tasks_of_an_array_are_jobs_and_what_waits_of_it_is_as_many_as_it_says() -> None:
    ran = [record(11 + n, LATER, JobID=f"10_{n}") for n in range(3)]
    waits = never_ran(10, LATER, JobID="10_[3-5,9%2]")
    trace, tally = trace_of(*ran, waits)
    assert len(jobs(trace, "10_[3-5,9%2]")) == 4
    assert tally.taken["tasks of arrays, each as a job"] == 7
    assert tally.taken["not in the waits: still waited at the end"] == 4


@pytest.mark.parametrize(
    ("key", "tasks"),
    [("7", 1), ("7_3", 1), ("7_[1-3,5%2]", 4), ("7_[0-10:5]", 3), ("7_[4]", 1), ("7_[0-9]", 10)],
)
def test_how_many_tasks_a_record_stands_for(key: str, tasks: int) -> None:
    assert tasks_of(key) == tasks


def test_no_array_makes_more_tasks_than_are_worth_it() -> None:
    assert tasks_of("7_[0-4000000]") == 100_000


def test_a_suspended_job_kept_its_devices() -> None:
    """ElapsedRaw is without the time in which it was suspended."""
    one = record(1, LATER, Suspended="00:30:00", End=T0 + int(LATER) + 60 + 3600 + 1800)
    trace, tally = trace_of(one)
    assert job(trace, "1").seconds == 5400
    assert tally.taken["jobs that were suspended: they kept their devices"] == 1


def test_who_still_runs_is_taken_to_run_to_its_limit_where_nobody_tells_better() -> None:
    at = DAYS * DAY - 600
    trace, tally = trace_of(record(1, at, End="Unknown", State="RUNNING", User="eve"))
    assert job(trace, "1").seconds == 7200
    assert tally.taken[STILL] == 1
    assert "1" in counted(trace)


@pytest.mark.parametrize(
    ("told", "overdue"),
    [
        ({"TimelimitRaw": 120}, True),
        ({"TimelimitRaw": "Partition_Limit"}, True),
        ({"TimelimitRaw": "UNLIMITED"}, False),
        ({"TimelimitRaw": 90 * 1440}, False),
        ({"State": "SUSPENDED"}, False),
        ({"Suspended": "90-00:00:00"}, False),
        ({"End": T0 + 100}, False),
    ],
)
def test_who_runs_in_accounting_though_its_limit_is_over(
    told: dict[str, object], overdue: bool
) -> None:
    runs: dict[str, object] = {"State": "RUNNING", "End": "Unknown"}
    trace, _ = trace_of(record(1, -60 * DAY, **(runs | told)), record(2, LATER))
    assert [s.key for s in trace.subjects if s.overdue] == ["1"] * overdue


def test_who_was_cancelled_in_the_queue_leaves_it_then_and_has_no_wait() -> None:
    """Slurm writes when it was cancelled as its Start, too."""
    when = T0 + int(LATER) + 900
    gone = never_ran(1, LATER, State="CANCELLED by 0", Start=when, End=when)
    trace, tally = trace_of(gone, record(2, LATER))
    assert job(trace, "1").until == LATER + 900
    assert counted(trace) == ["2", "900002"]
    assert tally.taken["not in the waits: were cancelled while they waited"] == 1


def test_who_starts_after_the_end_still_waited_then() -> None:
    """In the simulation nobody comes after the end to compete with him: he would gain by that."""
    late, last = record(1, LATER, start=int(3 * DAY)), record(2, LATER, start=int(DAYS * DAY) - 1)
    trace, tally = trace_of(late, last, record(3, DAYS * DAY - 30, start=29))
    assert len(jobs(trace, "1")) == len(jobs(trace, "2")) == 1
    assert counted(trace) == ["3", "900002"]
    assert tally.taken["not in the waits: still waited at the end"] == 2


@pytest.mark.parametrize("held", [{"Eligible": "Unknown"}, {"Priority": 0}])
def test_a_job_that_is_held_is_in_nobodys_way(held: dict[str, object]) -> None:
    trace, tally = trace_of(record(2, LATER), never_ran(1, LATER, **held))
    assert not jobs(trace, "1")
    assert tally.left_out["jobs that were held, or waited for another one, to the end"] == 1


def test_the_wait_for_another_job_is_none_for_nodes() -> None:
    eligible = T0 + int(LATER) + 5000
    trace, _ = trace_of(record(1, LATER, start=5060, Eligible=eligible))
    (subject,) = (s for s in trace.subjects if s.key == "1")
    assert subject.start is not None
    assert (subject.since, subject.start - subject.since) == (eligible, 60)


@pytest.mark.parametrize(
    ("limit", "partition", "minutes"),
    [("Partition_Limit", "train", 60), ("Partition_Limit", "infer", UNLIMITED),
     ("UNLIMITED", "infer", UNLIMITED), ("UNLIMITED", "train", 2880),
     ("0", "train", 60), ("", "train", 60)],
)  # fmt: skip
def test_a_time_limit_that_is_no_number(limit: str, partition: str, minutes: int) -> None:
    node = "a1" if partition == "train" else "l1"
    trace, _ = trace_of(record(1, LATER, TimelimitRaw=limit, Partition=partition, NodeList=node))
    assert job(trace, "1").minutes == minutes


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_a_time_limit_of_0_of_a_job_without_an_end_is_its_partitions(state: str) -> None:
    told = {"TimelimitRaw": 0, "End": "Unknown", "State": state, "User": "eve"}
    at = DAYS * DAY - 600
    one = record(1, at, **told) if state == "RUNNING" else never_ran(1, at, **told)
    trace, _ = trace_of(one)
    assert job(trace, "1").seconds == 3600


def test_plans_go_by_the_limit_and_ends_by_the_run() -> None:
    trace, tally = trace_of(record(1, LATER, ran=300), record(2, LATER, ran=9000))
    assert (job(trace, "1").minutes, job(trace, "1").seconds) == (120, 300)
    assert (job(trace, "2").minutes, job(trace, "2").seconds) == (150, 9000)
    assert tally.taken["jobs that ran longer than their limit"] == 1


def test_the_first_day_counts_for_nothing_and_who_ran_before_is_where_it_was() -> None:
    before = record(1, -7200, ran=20_000, NodeList="a2")
    trace, tally = trace_of(before, record(2, 3600), record(3, LATER))
    assert counted(trace) == ["3", "900002"]
    one = job(trace, "1")
    assert (one.at, one.on, one.seconds) == (0.0, frozenset({"a2"}), 20_000 - 7140)
    assert tally.taken["not in the waits: ran already when it began"] == 1
    assert tally.taken["not in the waits: came on the first day"] == 1


def test_a_file_ends_where_the_last_job_came_not_where_the_last_one_ended() -> None:
    """sacct prints real ends, days after its --endtime: nothing new comes there."""
    long = record(1, LATER, ran=int(9 * DAY), TimelimitRaw=20_000)
    released = record(2, LATER, start=60 + int(DAYS * DAY), Eligible=T0 + int(LATER + DAYS * DAY))
    far = never_ran(3, LATER, Eligible=T0 + int(300 * DAY))
    assert trace_of(long)[0].span.end == T0 + DAYS * DAY
    assert trace_of(long, far)[0].span.end == T0 + DAYS * DAY
    assert trace_of(long, released)[0].span.end == T0 + LATER + DAYS * DAY + 1


def test_a_list_of_partitions_is_only_in_the_command_line() -> None:
    named = record(1, LATER, SubmitLine="sbatch -p infer,train --gres gpu:2 job.sh")
    other = record(2, LATER, SubmitLine="sbatch -p infer,nowhere job.sh")  # is no list of it
    waits = never_ran(3, LATER, Partition="infer,train")
    trace, tally = trace_of(named, other, waits)
    assert job(trace, "1").partitions == ("infer", "train")
    assert job(trace, "2").partitions == ("train",)
    assert job(trace, "3").partitions == ("infer", "train")
    assert tally.taken["jobs that named several partitions"] == 2


def test_what_it_was_given_is_no_type_that_it_asked_for() -> None:
    given = "cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=16000M,node=1"
    free = record(1, LATER, AllocTRES=given)
    tres = record(2, LATER, AllocTRES=given, ReqTRES=given)
    words = record(3, LATER, AllocTRES=given, SubmitLine="sbatch --gres=gpu:a100:2 job.sh")
    trace, _ = trace_of(free, tres, words)
    assert [job(trace, key).ask.type for key in "123"] == [None, "a100", "a100"]
    assert [job(trace, key).ask.devices for key in "123"] == [2, 2, 2]


@pytest.mark.parametrize(
    ("told", "jobs"),
    [
        ({"SubmitLine": "sbatch job.sh"}, 1),
        ({"SubmitLine": "/usr/bin/sbatch -p train -t 60 job.sh a b"}, 1),
        ({"SubmitLine": "sbatch -p train --gres=gpu:2 job.sh"}, 0),
        ({"SubmitLine": "sbatch -G 2 job.sh"}, 0),
        ({"SubmitLine": "sbatch --gres=gpu:a100:2 job.sh"}, 0),
        ({"SubmitLine": "srun --gres gpu:2 --pty bash"}, 0),
        ({"SubmitLine": "sbatch --wrap hostname"}, 0),
        ({"AllocTRES": "cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=16000M,node=1"}, 0),
        ({"ReqTRES": "cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=16000M,node=1"}, 0),
    ],
)
def test_a_type_that_only_the_script_may_name_is_told(told: dict[str, object], jobs: int) -> None:
    _, tally = trace_of(record(1, LATER, **told))
    edge = 1  # `sbatch job.sh` of edges()
    assert tally.taken[UNTOLD_TYPE] == jobs + edge


def test_devices_on_several_nodes_are_dealt_out() -> None:
    tres = "cpu=32,gres/gpu=16,mem=64000M,node=2"
    odd = "cpu=32,gres/gpu=9,mem=64000M,node=2"
    trace, tally = trace_of(
        record(1, LATER, AllocTRES=tres, NodeList="a[1-2]"),
        record(2, LATER, AllocTRES=odd, NodeList="a[1-2]"),
    )
    one, two = job(trace, "1"), job(trace, "2")
    assert (one.nodes, one.ask.devices, one.ask.cpus) == (2, 8, 16)
    assert (two.nodes, two.ask.devices) == (2, 5)
    assert tally.taken["jobs with more devices on one node than on another: evenly"] == 1


def test_parts_of_heterogeneous_jobs_reservations_and_bad_ends_are_told() -> None:
    trace, tally = trace_of(
        record(1, LATER, JobID="1+0"), record(2, LATER, Reservation="r"),
        record(3, LATER, State="NODE_FAIL"),
    )  # fmt: skip
    assert len(counted(trace)) == 4
    for cause in (
        "parts of heterogeneous jobs, each as a job",
        "jobs in a reservation, as if there were none",
        "runs that ended with their node, or by preemption",
    ):
        assert tally.taken[cause] == 1


def test_jobs_without_accelerators_take_only_what_they_took_of_accelerator_nodes() -> None:
    tres = "cpu=16,mem=1000M,node=1"
    beside = record(1, LATER, AllocTRES=tres, ReqTRES=tres)
    elsewhere = record(2, LATER, AllocTRES=tres, ReqTRES=tres, Partition="cpu", NodeList="c1")
    trace, tally = trace_of(record(3, LATER), beside, elsewhere)
    one = job(trace, "1")
    assert (one.ask.devices, one.on, one.at) == (0, frozenset({"a1"}), LATER + 60)
    assert tally.left_out["jobs without accelerators, on other nodes"] == 1
    assert "1" not in counted(trace)


def test_what_no_node_of_today_has_is_left_out() -> None:
    large = record(1, LATER, AllocTRES="cpu=8,gres/gpu=16,mem=1G,node=1")
    gone = record(2, LATER, Partition="old")
    features = record(3, LATER, Constraints="h100")
    trace, tally = trace_of(large, gone, features, record(4, LATER))
    assert counted(trace) == ["4", "900002"]
    assert tally.left_out["jobs that ask for more than the nodes of today have"] == 2
    assert tally.left_out["jobs of partitions that have no accelerators, or are gone"] == 1


def test_no_user_can_write_a_record_into_the_list() -> None:
    """A command line with line breaks, bars and a whole record of sacct's is one command line."""
    forged = "".join(f"{value}|" for value in record(666, LATER).values())
    hostile = f"sbatch -p train\n{forged}\n\r\x1e\u2028 --gres=gpu:\n"
    trace, tally = trace_of(record(1, LATER, SubmitLine=hostile), record(2, LATER))
    assert counted(trace) == ["1", "2", "900002"]
    assert set(tally.left_out) == {"jobs that had ended before"}  # the one at the edge


def test_a_line_that_is_cut_is_counted_and_no_more_is_lost() -> None:
    text = text_of([*edges(), record(1, LATER)])
    tally = Tally()
    jobs_read = list(read_sacct([*text.splitlines(keepends=True), "12" + MARK], WallClock(), tally))
    assert [past.key for past in jobs_read] == ["900001", "900002", "1"]
    assert tally.left_out["lines that cannot be read"] == 1


def test_another_text_is_refused_with_the_command_line_that_makes_the_right_one() -> None:
    for text in ("", "JobID|State|\n1|COMPLETED|\n"):
        with pytest.raises(HetError) as caught:
            list(read_sacct(text.splitlines(keepends=True), WallClock(), Tally()))
        assert "--delimiter=$(uuidgen)" in caught.value.hint


def test_clocks_that_go_back_and_forward_change_no_run() -> None:
    """Times of a wall clock, in a zone whose clocks went back on 25 October 2026 at three."""
    zone = ZoneInfo("Europe/Berlin")
    clock = WallClock(zone)
    assert clock.read("2026-10-25T02:30:00") == datetime(2026, 10, 25, 0, 30).timestamp() - _utc()
    first = clock.read("2026-10-25T02:30:00")
    assert first is not None
    assert clock.read("2026-10-25T02:10:00", first) == first + 2400
    times = {
        "Submit": "2026-10-25T02:50:00", "Eligible": "2026-10-25T02:50:00",
        "Start": "2026-10-25T02:10:00", "End": "2026-10-25T02:40:00", "ElapsedRaw": 1800,
    }  # fmt: skip
    tally = Tally()
    lines = text_of([record(1, 0, **times)]).splitlines(keepends=True)
    (past,) = read_sacct(lines, clock, tally)
    assert past.start is not None
    assert past.end is not None
    assert (past.start - past.submit, past.end - past.start) == (1200, 1800)


def _utc() -> float:
    """Seconds that the zone of whoever runs this is ahead of UTC then."""
    offset = datetime(2026, 10, 25, 0, 30).astimezone().utcoffset()
    assert offset is not None
    return -offset.total_seconds()


def test_a_priority_is_without_the_age_that_only_a_long_wait_has_given() -> None:
    """Slurm works out age each five minutes: who started before has none in its record."""
    quick = record(1, LATER, start=200, Priority=500)
    slow = record(2, LATER, start=7200, Priority=500 + 7200)
    higher = record(3, LATER + 3600, start=60, Priority=9000)
    trace, _ = trace_of(quick, slow, higher)
    ranks = {key: job(trace, key).priority for key in "123"}
    assert ranks["1"] == ranks["2"] < ranks["3"]


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("billing=2,cpu=2,gres/gpu:a100=1,gres/gpu=1,mem=4000M,node=1", {("gpu", "a100"): 1}),
        ("cpu=2,gres/gpu=4,node=1", {("gpu", ""): 4}),
        ("cpu=2,gres/gpu:a=1,gres/gpu:b=2,gres/gpu=4", {("gpu", "a"): 1, ("gpu", "b"): 2,
                                                        ("gpu", ""): 1}),
        ("gres/shard=24,gres/gpu=x,nonsense", {("shard", ""): 24}),
    ],
)  # fmt: skip
def test_a_device_counts_once(text: str, devices: dict[tuple[str, str], int]) -> None:
    assert parse_tres(text).devices == devices
