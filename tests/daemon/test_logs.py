"""hetd's log: a fault that lasts neither fills it nor hides the others."""

from __future__ import annotations

import asyncio
import logging

import pytest

from slurm_het.daemon.logs import ShadowFilter, SparingFilter, in_shadow, say_os_errors


def test_few_lines_of_a_kind_a_minute_and_the_next_one_has_their_number() -> None:
    now = 0.0
    sparing, written = SparingFilter(lambda: now), list[str]()

    def log(level: int, text: str, *facts: object) -> None:
        record = logging.LogRecord("hetd", level, "", 0, text, facts, None)
        if sparing.filter(record):
            written.append(record.getMessage())

    for number in range(100):
        log(logging.WARNING, "node %d is not there", number)
    log(logging.WARNING, "another fault")
    assert written == [*(f"node {n} is not there" for n in range(6)), "another fault"]
    now = 61.0
    log(logging.WARNING, "node %d is not there", 100)
    assert written[-1] == "node 100 is not there (and 94 more like this before)"
    for number in range(100):
        log(logging.INFO, "planned %d", number)
        log(logging.DEBUG, "seen %d", number)
    assert sum(line.startswith("planned") for line in written) == 60
    assert sum(line.startswith("seen") for line in written) == 100


def test_what_is_wrong_with_every_job_is_said_once_a_minute() -> None:
    now = 0.0
    sparing, written = SparingFilter(lambda: now), list[str]()
    for second in range(70):
        now = float(second)
        for why in ("denied", "busy"):
            facts = (f"{second}_{second}", second, why)
            text = "job %s was not released: scontrol update JobId=%d: %s"
            record = logging.LogRecord("hetd", logging.WARNING, "", 0, text, facts, None)
            if sparing.filter(record):
                written.append(record.getMessage())
    assert len(written) == 4
    assert written[1] == "job 0_0 was not released: scontrol update JobId=0: busy"
    assert written[2].endswith("JobId=60: denied (and 59 more like this before)")


def test_what_is_in_a_line_is_no_format() -> None:
    now = 0.0
    sparing = SparingFilter(lambda: now)
    for _ in range(7):
        sparing.filter(
            logging.LogRecord("hetd", logging.ERROR, "", 0, "50 %% of %s", ("%d",), None)
        )
    now = 100.0
    record = logging.LogRecord("hetd", logging.ERROR, "", 0, "50 %% of %s", ("%d",), None)
    assert sparing.filter(record)
    assert record.getMessage() == "50 % of %d (and 6 more like this before)"


def test_the_same_words_of_a_fault_come_once_a_minute() -> None:
    now = 0.0
    sparing = SparingFilter(lambda: now)
    written = list[str]()
    for second in range(130):
        now = float(second)
        for text in ("the journal %s is locked", "it is %s"):
            record = logging.LogRecord("hetd", logging.ERROR, "", 0, text, ("here",), None)
            if sparing.filter(record):
                written.append(record.getMessage())
    assert written[:2] == ["the journal here is locked", "it is here"]
    assert len(written) == 6
    assert written[-1] == "it is here (and 59 more like this before)"


def test_what_the_loop_lacks_is_a_line_and_a_bug_of_ours_has_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """asyncio itself logs a traceback for each client while there are no descriptors."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(say_os_errors)
    lacking = OSError(24, "Too many open files")
    loop.call_exception_handler({"message": "socket.accept() failed", "exception": lacking})
    loop.call_exception_handler({"message": "a task failed", "exception": KeyError("x")})
    amid = asyncio.CancelledError()
    amid.__context__ = RuntimeError("can't start new thread")
    loop.call_exception_handler({"message": "never retrieved\nfuture: x", "exception": amid})
    loop.close()
    first, second, third = caplog.records
    assert third.getMessage().startswith("never retrieved: no memory or no process is left")
    assert not third.exc_info
    assert first.getMessage() == "socket.accept() failed: Too many open files"
    assert not first.exc_info
    assert second.exc_info


def test_what_is_logged_in_shadow_says_so_in_threads_and_tasks_too() -> None:
    written = list[str]()

    def log(text: str, *facts: object) -> None:
        record = logging.LogRecord("hetd", logging.INFO, "", 0, text, facts, None)
        ShadowFilter().filter(record)
        written.append(record.getMessage())

    async def work() -> None:
        with in_shadow():
            await asyncio.to_thread(log, "job %s is pinned", "1")
            await asyncio.gather(asyncio.create_task(asyncio.to_thread(log, "100 %")))
        log("job %s is pinned", "2")

    asyncio.run(work())
    assert written == ["shadow: job 1 is pinned", "shadow: 100 %", "job 2 is pinned"]
