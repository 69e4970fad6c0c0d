"""The solver's worker process: answers, and what happens when it does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.solve_naive import instance
from slurm_het.core.assignment.first_fit import greedy
from slurm_het.core.assignment.fluid import DeviceSort, Fluid, Kind, NodeGroup
from slurm_het.core.assignment.problem import Problem, Solution, violations
from slurm_het.pipes import LateError, Pipes
from slurm_het.solve import Deadline, Solver
from slurm_het.solve.detailed.model import variables
from slurm_het.solve.fluid import solve_fluid
from slurm_het.solve.search import DEFAULT_GAP
from slurm_het.solve.solve import DETAILED_MOST
from slurm_het.solve.worker import Reply, SolveRequest, WorkerSolver
from tests.support.problems import free_of_charge, simple

PARENT = """
import sys
from bench.solve_naive import instance
from slurm_het.solve.worker import WorkerSolver
worker = WorkerSolver()
worker.warm()
print(worker.pid, flush=True)
worker.solve(instance(28, 200, 0.0, 3), 60)
"""

STAND_IN = """#!{python}
import time
from slurm_het.pipes import Pipes
pipes, (ready, answer) = Pipes(0, 1), {frames}
pipes.send(ready)
pipes.receive()
pipes.send(answer)
time.sleep(600)
"""


@pytest.fixture
def worker() -> Iterator[WorkerSolver]:
    solver = WorkerSolver()
    assert solver.warm()
    yield solver
    solver.close()


def reply(pipes: Pipes) -> Reply:
    """The worker's next reply."""
    return msgspec.msgpack.decode(pipes.receive(time.monotonic() + 60), type=Reply)


def ask(pipes: Pipes, request: SolveRequest) -> Reply:
    """The worker's first reply to a request."""
    pipes.send(msgspec.msgpack.encode(request))
    return reply(pipes)


@contextmanager
def worker_process() -> Iterator[Pipes]:
    """The pipes of a worker that is ready, without the WorkerSolver around it."""
    argv = [sys.executable, "-m", "slurm_het.solve.worker", "highs"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        pipes = Pipes(process.stdout.fileno(), process.stdin.fileno())
        try:
            assert reply(pipes) == Reply()
            yield pipes
        finally:
            process.kill()


StandIn = Callable[[Reply], WorkerSolver]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Makes a WorkerSolver whose process gives this reply to its first request, and no other."""
    solver = WorkerSolver()

    def made(answer: Reply) -> WorkerSolver:
        program = tmp_path / "stand-in"
        frames = [msgspec.msgpack.encode(r) for r in (Reply(), answer)]
        program.write_text(STAND_IN.format(python=sys.executable, frames=frames))
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        assert solver.warm()
        return solver

    yield made
    solver.close()


def program() -> Fluid:
    """A small fluid program."""
    kinds = (
        Kind(1, 0, 4, 0, 1.0, 8.0, frozenset({0})), Kind(1, 20, 1, 0, 0.25, 8.0, frozenset({0})),
    )  # fmt: skip
    group = NodeGroup(32, 0, ((0, 80, True, 8),))
    sorts = (DeviceSort(80, 32, 0, 8),)
    return Fluid(kinds, sorts, (group,), 0, (0.0, 0.0, 0.0), (0.0, 0.1), (0.0, 0.0))


def _hard() -> Problem:
    return instance(28, 200, 0.0, seed=3)


def _pid(worker: WorkerSolver) -> int:
    assert worker.pid is not None
    return worker.pid


def _alive(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return fields[0] != "Z"  # where nobody reaps orphans they stay as zombies


def _later(seconds: float, pid: int, number: signal.Signals) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (pid, number))
    timer.start()
    return timer


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_an_answer_and_the_same_worker_again(solver: str) -> None:
    worker: Solver = WorkerSolver("cbc" if solver == "cbc" else "highs")
    assert isinstance(worker, WorkerSolver)
    try:
        found = worker.solve(simple(tasks=5), 60)
        assert (found.status, list(found.starts)) == ("optimal", [0, 1, 2, 3])
        assert violations(simple(tasks=5), found) == []
        first = worker.pid
        assert worker.solve(simple(tasks=2), 60).status == "optimal"
        assert worker.pid == first
    finally:
        worker.close()
    assert worker.pid is None
    assert not _alive(first or 0)


def test_the_gap_says_when_a_plan_is_good_enough() -> None:
    """Of the same problem: a first good plan within a half, a better one within half a percent."""
    problem = instance(14, 40, 0.0, seed=3)
    found = {}
    for gap in (0.5, 0.005):
        worker = WorkerSolver(gap=gap)
        try:
            assert worker.warm()
            found[gap] = worker.solve(problem, 60)
        finally:
            worker.close()
        assert violations(problem, found[gap]) == []
        assert found[gap].status == "optimal"
    loose, tight = found[0.5], found[0.005]
    assert len(loose.starts) == len(tight.starts), "who starts is exact all the same"
    assert tight.gap <= 0.005 < loose.gap < 0.5
    assert loose.objective < tight.objective
    assert loose.seconds < tight.seconds


def test_a_stopped_worker_is_killed_and_replaced(
    worker: WorkerSolver, caplog: pytest.LogCaptureFixture
) -> None:
    first = _pid(worker)
    os.kill(first, signal.SIGSTOP)
    began = time.monotonic()
    found = worker.solve(_hard(), 1)  # larger than a pipe's buffer: the send must not hang either
    assert time.monotonic() - began < 10
    assert found.starts == greedy(_hard()).starts
    assert found.status == "greedy"
    assert "in time" in caplog.text
    assert not _alive(first)
    assert worker.solve(simple(), 60).status == "optimal"


def test_a_worker_that_stops_amid_a_solve_is_killed_after_a_while(
    worker: WorkerSolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm_het.solve.worker.PATIENCE", 0.5)
    first = _pid(worker)
    timer = _later(0.5, first, signal.SIGSTOP)
    began = time.monotonic()
    assert worker.solve(_hard(), 2).status in {"greedy", "incumbent"}
    assert time.monotonic() - began < 10
    timer.join()
    time.sleep(0.5)
    assert worker.solve(simple(), 0.5).status == "greedy"
    assert not _alive(first)
    before = worker.unanswered
    assert worker.solve(simple(), 60).status == "optimal"
    assert worker.unanswered == before < worker.asked


def test_a_worker_that_is_a_little_late_goes_on(
    worker: WorkerSolver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answer is of no use any more, and is not taken for that to what is asked next."""
    monkeypatch.setattr("slurm_het.solve.worker.PATIENCE", 60.0)
    first = _pid(worker)
    os.kill(first, signal.SIGSTOP)
    for tasks in (3, 2):  # the first is sent, and both wait no longer than that
        assert worker.solve(simple(tasks=tasks), 0.5).status == "greedy"
    os.kill(first, signal.SIGCONT)
    found = worker.solve(simple(tasks=5), 60)
    assert (found.status, list(found.starts)) == ("optimal", [0, 1, 2, 3])
    assert worker.pid == first
    assert "failed" not in caplog.text


def test_a_worker_is_not_asked_when_the_time_is_up(
    worker: WorkerSolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First-fit by prices comes first, and may take all of it."""
    first = _pid(worker)
    os.kill(first, signal.SIGSTOP)

    def slow(problem: Problem) -> Solution:
        time.sleep(0.5)
        return greedy(problem)

    monkeypatch.setattr("slurm_het.solve.worker.greedy", slow)
    priced = replace(simple(tasks=5), prices=free_of_charge())
    for _ in range(3):
        assert worker.solve(priced, 0.5).status == "greedy"
    os.kill(first, signal.SIGCONT)
    assert worker.solve(simple(tasks=5), 60).status == "optimal"
    assert worker.pid == first


def test_the_worker_tells_of_a_better_plan_before_the_best_one() -> None:
    problem = instance(14, 64, 0.0, 3)
    with worker_process() as pipes:
        told = ask(pipes, SolveRequest(problem, time.monotonic() + 60, DEFAULT_GAP))
    assert told.more
    assert told.solution
    assert told.solution.status == "incumbent"
    ours, first_fits = (
        [t in made.starts for t in range(64)] for made in (told.solution, greedy(problem))
    )
    assert ours >= first_fits, "whoever comes first starts first"
    assert violations(problem, told.solution) == []


def test_what_a_late_worker_found_is_used(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It told of a better plan, and no more came in time: that one counts."""
    better = replace(greedy(simple()), status="incumbent", bound=7.0)
    monkeypatch.setattr("slurm_het.solve.worker.PATIENCE", 0.0)
    worker = stand_in(Reply(better, more=True))
    first = _pid(worker)
    found = worker.solve(simple(), 2)
    assert replace(found, seconds=0.0) == replace(better, seconds=0.0)
    assert not _alive(first)


def test_the_worker_finds_prices_and_plans_in_turn() -> None:
    fluid = program()
    worker = WorkerSolver()
    try:
        assert worker.price(fluid, 60) == solve_fluid(fluid, 60)
        assert worker.solve(simple(tasks=5), 60).status == "optimal"
        priced = replace(simple(tasks=2), prices=free_of_charge())
        first = _pid(worker)
        os.kill(first, signal.SIGSTOP)
        assert len(worker.solve(priced, 60).starts) == 2, "all start: it is not asked"
        os.kill(first, signal.SIGCONT)
        worker.use("highs", 0.0, rearrange=True)
        assert len(worker.solve(priced, 60).starts) == 2
        assert _pid(worker) == first
    finally:
        worker.close()


def test_no_plan_waits_for_prices(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slurm_het.solve.worker.PATIENCE", 0.0)
    worker = stand_in(Reply(more=True))
    process = _pid(worker)
    os.kill(process, signal.SIGSTOP)
    pricing = threading.Thread(target=worker.price, args=(program(), 5))
    pricing.start()
    while not worker.pricing:
        time.sleep(0.01)
    began = time.monotonic()
    assert worker.solve(simple(tasks=5), 60).status == "greedy"
    assert time.monotonic() - began < 4
    pricing.join()
    assert not _alive(process), "and who finds none in time is replaced"


def test_a_worker_amid_finding_prices_can_be_ended(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    worker = stand_in(Reply(more=True))
    process = _pid(worker)
    os.kill(process, signal.SIGSTOP)
    pricing = threading.Thread(target=worker.price, args=(program(), 60))
    pricing.start()
    while not worker.pricing:
        time.sleep(0.01)
    worker.close()
    pricing.join(10)
    assert not pricing.is_alive()
    assert worker.pid is None
    assert not caplog.records


def test_a_plan_is_there_by_its_deadline_whatever_it_is_made_of(
    worker: WorkerSolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the solver counts; without any time left first-fit's plan is there."""
    given: list[float] = []
    within = worker.solve

    def noted(problem: Problem, seconds: float) -> Solution:
        given.append(seconds)
        return within(problem, seconds)

    monkeypatch.setattr(worker, "solve", noted)
    solve = Deadline(worker, 1.0).solve
    time.sleep(0.5)
    assert violations(_hard(), solve(_hard())) == []
    assert all(seconds < 0.5 for seconds in given)
    time.sleep(0.5)
    assert solve(simple()).status == "greedy"
    assert within(simple(), 60).status == "optimal", "and a worker is there"


def test_a_worker_that_crashes_is_replaced(
    worker: WorkerSolver, caplog: pytest.LogCaptureFixture
) -> None:
    timer = _later(0.5, _pid(worker), signal.SIGSEGV)
    assert worker.solve(_hard(), 20).status in {"greedy", "incumbent"}
    timer.join()
    assert "gone" in caplog.text
    assert worker.solve(simple(), 60).status == "optimal"
    os.kill(_pid(worker), signal.SIGKILL)
    # All its threads: they share the pipes. And it is left for its parent to find.
    os.waitid(os.P_PID, _pid(worker), os.WEXITED | os.WNOWAIT)
    assert worker.solve(simple(), 60).status == "optimal"  # noticed before anything is asked
    assert "started again" in caplog.text


def test_a_worker_says_what_it_raised_and_goes_on() -> None:
    with worker_process() as pipes:
        pipes.send(b"no msgpack")
        said = reply(pipes)
        assert said.solution is None
        assert "Error" in said.failure
        assert ask(pipes, SolveRequest(simple(), time.monotonic() + 60, DEFAULT_GAP)).solution


def test_what_a_worker_raised_is_logged(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    worker = stand_in(Reply(failure="ValueError: a bug"))
    assert worker.solve(simple(), 60).status == "greedy"
    assert "a bug" in caplog.text
    assert (worker.asked, worker.unanswered) == (1, 1)


def test_a_problem_too_large_for_a_frame_is_not_sent(
    worker: WorkerSolver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("slurm_het.pipes.MAX_FRAME", 1000)
    assert worker.solve(_hard(), 5).status == "greedy"
    assert "too long" in caplog.text


def test_a_worker_that_cannot_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    worker = WorkerSolver()
    assert not worker.warm()
    assert worker.solve(simple(), 1).status == "greedy"
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert worker.solve(simple(), 1).status == "greedy"
    assert "no worker can be started" in caplog.text


def test_a_worker_that_starts_is_left_alone() -> None:
    """Short deadlines would never let it become ready."""
    worker = WorkerSolver()
    try:
        assert worker.solve(simple(), 0.11).status == "greedy"
        first = _pid(worker)
        os.kill(first, signal.SIGSTOP)
        for _ in range(5):
            assert worker.solve(simple(), 0.15).status == "greedy"
            assert worker.pid == first
        os.kill(first, signal.SIGCONT)
        assert worker.solve(simple(), 60).status == "optimal"
        assert worker.pid == first
    finally:
        worker.close()


def test_an_event_loop_goes_on_while_the_worker_solves(worker: WorkerSolver) -> None:
    async def both() -> tuple[Solution, int]:
        solving = asyncio.create_task(asyncio.to_thread(worker.solve, _hard(), 1.0))
        ticks = 0
        while not solving.done():
            await asyncio.sleep(0.02)
            ticks += 1
        return await solving, ticks

    found, ticks = asyncio.run(both())
    assert violations(_hard(), found) == []
    assert ticks > 10


def test_the_worker_outlives_the_thread_that_started_it() -> None:
    worker = WorkerSolver()
    thread = threading.Thread(target=worker.warm)
    thread.start()
    thread.join()
    first = _pid(worker)
    time.sleep(0.2)
    assert worker.solve(simple(), 60).status == "optimal"
    assert worker.pid == first
    worker.close()


def test_the_worker_dies_with_its_parent_amid_a_solve() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(1)
    assert _alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    limit = time.monotonic() + 30
    while _alive(pid) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not _alive(pid)


def test_solved_models_leave_no_memory_behind() -> None:
    """A model is a reference loop that holds the solver's memory."""

    def kib(pid: int) -> int:
        text = Path(f"/proc/{pid}/status").read_text()
        return int(next(li for li in text.splitlines() if li.startswith("VmRSS")).split()[1])

    solver = WorkerSolver()
    problems = [instance(4, 6, 0.5, seed) for seed in range(10)]
    for problem in problems * 3:
        solver.solve(problem, 10.0)
    before = kib(_pid(solver))
    for problem in problems * 10:
        solver.solve(problem, 10.0)
    grown = kib(_pid(solver)) - before
    solver.close()
    assert grown < 1500


def test_without_highs_cbc_plans_and_prices(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A release of highspy that python-mip cannot call costs no plans, small or large."""
    monkeypatch.setenv("PMIP_HIGHS_LIBRARY", "/nonexistent/libhighs.so")
    large = instance(200, 40, 0.5, seed=2)
    assert variables(large) > DETAILED_MOST
    worker = WorkerSolver("highs")
    try:
        solution, of_many = worker.solve(simple(tasks=3), 60), worker.solve(large, 60)
        prices = worker.price(program(), 60)
    finally:
        worker.close()
    assert prices == solve_fluid(program(), 60)
    assert solution.status == "optimal"
    assert of_many.status in ("optimal", "incumbent")
    assert "CBC is used" in capfd.readouterr().err


def test_a_frame_that_is_late_is_read_to_its_end_by_the_next_call() -> None:
    ours, theirs = os.pipe()
    pipes = Pipes(ours, os.open(os.devnull, os.O_WRONLY))
    for part in (b"\0\0\0\5he", b"ll"):
        os.write(theirs, part)
        with pytest.raises(LateError):
            pipes.receive(time.monotonic() + 0.01)
    os.write(theirs, b"o\0\0\0\1x")
    assert (pipes.receive(), pipes.receive()) == (b"hello", b"x")
    for end in (ours, theirs, pipes.outgoing):
        os.close(end)
