"""A child that is killed as it ends: asyncio still learns how it ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

import pytest

from slurm_het.children import kill_child

LOOK = os.WEXITED | os.WNOWAIT


@pytest.fixture(autouse=True)
def nobody_looks_at_once() -> Iterator[None]:
    """Before Python 3.12 a thread waits for each child: it may be first, or may not."""
    if sys.version_info >= (3, 12):
        yield
        return
    before = asyncio.get_child_watcher()
    asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    yield
    asyncio.set_child_watcher(before)


async def ended(*, by_itself: bool) -> int:
    """Its exit status, after it was killed; it had ended by itself, and asyncio had not looked."""
    if sys.version_info < (3, 12):
        asyncio.get_child_watcher().attach_loop(asyncio.get_running_loop())
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", "read told; exit 3", stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin
    if by_itself:
        process.stdin.write(b"end\n")  # at once: nothing is to be written before
        os.waitid(os.P_PID, process.pid, LOOK)
    kill_child(process)
    status = await asyncio.wait_for(process.wait(), 20)
    kill_child(process)
    process.stdin.close()
    return status


@pytest.mark.parametrize(("by_itself", "status"), [(True, 3), (False, -9)])
def test_its_status_is_its_own(
    by_itself: bool, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert asyncio.run(ended(by_itself=by_itself)) == status
    assert caplog.text == ""
