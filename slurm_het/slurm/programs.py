"""Runs Slurm's programs: argument lists, a deadline and a bounded answer each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from slurm_het.children import end_child
from slurm_het.errors import (
    CannotRunError,
    SlurmBusyError,
    SlurmError,
    TooMuchError,
    TooSlowError,
    lacks,
)
from slurm_het.proc_stat import cpu_seconds_of
from slurm_het.settings import SlurmSettings
from slurm_het.slurm.environment import environment
from slurm_het.slurm.printed import Printed
from slurm_het.slurm.versions import RETRY_PAUSE, RETRY_SECONDS, TRANSIENT

AT_ONCE = 8
"""Few: each is a process here and a connection to slurmctld."""
CHUNK = 1 << 20
MAX_ANSWER = 1 << 30
"""Bytes of an answer: squeue --json is about 4 KB a job (22.05)."""
OWN_SHARE = 0.2
"""Of its time on the CPU: who waits for slurmctld takes next to nothing."""
DEAR_JOBS = "not slurmctld is slow: look for large arrays with thousands of nodes in --exclude"
NO_TOPOLOGY = b"slurm_load_topo error"
"""scontrol ends with 0 all the same (22.05, 24.11, 26.05)."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a program is given beside its arguments; whether it may say that it failed, as scontrol
    does once one of the commands on its stdin has; how many bytes it may print at the most, and how
    many seconds of CPU time it may take, if that is bounded; what is said of it if it fails, where
    its arguments do not say it; whether it is `aside`: that it ends, or not, tells nobody whether
    Slurm answers; what is called when it begins to print; how many bytes of the start are wanted,
    if not all; and whether it runs only `if_heard`: if slurmctld was not silent a moment ago, else
    SlurmBusyError."""

    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    may_fail: bool = False
    most: int = MAX_ANSWER
    cpu_seconds: int = 0
    called: str = ""
    aside: bool = False
    begun: Callable[[], None] | None = None
    start: int = 0
    if_heard: bool = False


NOTHING = Given()


class Run(Protocol):
    """Runs one of Slurm's programs; raises SlurmError if it fails."""

    async def __call__(self, program: str, *arguments: str, given: Given = NOTHING) -> bytes: ...


class Programs:
    """Runs them, a few at a time. `more_env` is told anew for each: which slurm.conf it reads."""

    def __init__(
        self, settings: SlurmSettings, more_env: Callable[[], dict[str, str]] = dict
    ) -> None:
        self.settings, self._more_env = settings, more_env
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._silent_until = 0.0  # of time.monotonic()
        self.answered = 0.0
        """When one of them last came to its end, of time.monotonic()."""

    async def text(self, program: str, *arguments: str) -> str:
        """What it prints. Raises SlurmError."""
        return (await self.run(program, *arguments)).decode("utf-8", "replace")

    async def change(self, *arguments: str, given: Given = NOTHING) -> None:
        """Have scontrol do something. What may pass is tried again for 3 s, then SlurmBusyError."""
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                await self.run("scontrol", *arguments, given=given)
            except SlurmError as error:
                if not any(text in error.message for text in TRANSIENT):
                    raise
                if time.monotonic() > deadline:
                    raise SlurmBusyError(error.message, "try again") from error
                await asyncio.sleep(RETRY_PAUSE)
            else:
                return

    async def run(self, program: str, *arguments: str, given: Given = NOTHING) -> bytes:
        """Its output, or the start of it; SlurmError if it fails, or prints without an end."""
        limit = given.start or given.most
        directory = self.settings.bin_dir
        path = str(directory / program) if directory else program
        async with self._slots:
            if given.if_heard and time.monotonic() < self._silent_until:
                raise SlurmBusyError("not sent: slurmctld was silent a moment ago", "try again")
            with Printed(limit, given.begun) as printed:
                process = await self._start(path, *arguments, given=given, printed=printed)
                feeding = asyncio.create_task(_feed(process, given.stdin))
                try:
                    err = await self._end(process, path, printed, aside=given.aside)
                finally:
                    feeding.cancel()
                out = printed.read()
        if len(out) > limit:
            if not given.start:
                called = (*arguments, given.called)[0]
                raise TooMuchError(f"{path} {called} printed more than {limit} bytes")
            return out[:limit]
        failed = process.returncode != 0 or (not out and NO_TOPOLOGY in err)
        if failed and not given.may_fail:
            reason = err.decode("utf-8", "replace").strip()[-500:]
            reason = reason or f"{_ending(process.returncode)}, and says nothing"
            called = given.called or " ".join(arguments[:3])
            raise SlurmError(f"{program} {called}: {reason}")
        return out

    async def _start(
        self, path: str, *arguments: str, given: Given, printed: Printed
    ) -> asyncio.subprocess.Process:
        env = environment(os.environ, self.settings) | self._more_env() | dict(given.env)
        try:
            process = await asyncio.create_subprocess_exec(
                path, *arguments, env=env, stdin=PIPE if given.stdin else DEVNULL,
                stdout=printed.file, stderr=PIPE, limit=CHUNK,
            )  # fmt: skip
        except (OSError, RuntimeError) as error:
            if not (why := lacks(error) or getattr(error, "strerror", "")):
                raise
            raise CannotRunError(
                f"cannot run {path}: {why}",
                "install slurm-client, or set slurm.bin_dir in the configuration",
            ) from error
        printed.limit(process.pid, given.cpu_seconds)
        return process

    async def _end(
        self, process: asyncio.subprocess.Process, path: str, printed: Printed, *, aside: bool
    ) -> bytes:
        """Wait until it ends, in time; the end of its complaints."""
        seconds = self.settings.timeout_seconds
        assert process.stderr  # noqa: S101 - asked for above
        errors = asyncio.create_task(_end_of(process.stderr))
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
                self.answered = self.answered if aside else time.monotonic()
                return await errors
        except TimeoutError as error:
            spent = cpu_seconds_of(process.pid)
            at_work = path.endswith("squeue") and spent > seconds * OWN_SHARE
            if printed.has_begun or at_work:  # slurmctld has answered
                why = f"{path} was not done after {seconds:g} s, {spent:.1f} s of them on the CPU"
                raise TooSlowError(why, DEAR_JOBS if at_work else "") from error
            # That slurmdbd does not answer is another matter.
            if not aside and not path.endswith("sacctmgr"):
                self._silent_until = time.monotonic() + RETRY_SECONDS
            raise SlurmError(
                f"{path} did not answer within {seconds:g} s", "is slurmctld up and responsive?"
            ) from error
        finally:
            if process.returncode is None:
                await end_child(process)
            errors.cancel()


async def _feed(process: asyncio.subprocess.Process, text: bytes) -> None:
    if not process.stdin:
        return
    with contextlib.suppress(ConnectionError):  # it ended before it read all
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()


async def _end_of(stream: asyncio.StreamReader) -> bytes:
    out = b""
    while part := await stream.read(CHUNK):
        out = (out + part)[-4096:]
    return out


def _ending(code: int | None) -> str:
    return f"ended by signal {-code}" if code and code < 0 else f"failed with exit code {code}"
