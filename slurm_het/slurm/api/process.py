"""The process with pyslurm, as hetd sees it: asked with a deadline, killed beyond it, replaced."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

import msgspec

from slurm_het.errors import HetError
from slurm_het.pipes import FrameError, Pipes
from slurm_het.slurm.api.wire import JobsAsked, ToldJobs

PIPE_BYTES = 1 << 20
"""An answer on 10,000 jobs is 0.3 MiB. Each part of one that does not fit is waited for anew, for
Python's lock, too, while other threads work."""
KILLED_SECONDS = 2.0  # until one that was killed is gone
FAILURES = (FrameError, OSError, msgspec.MsgspecError)


class NoAnswerError(HetError):
    """The process gave none: it died, was too slow, or pyslurm failed. `useless`: nor will it."""

    def __init__(self, message: str, *, useless: bool = False) -> None:
        super().__init__(message)
        self.useless = useless


class ApiProcess:
    """Runs the process and asks it. `env` is its environment; `seconds` is what it has to answer.

    Calls from several threads take turns. `ask` blocks: in asyncio code use a thread.
    """

    def __init__(self, env: dict[str, str], seconds: float) -> None:
        self._env, self.seconds = env, seconds
        self._decoder = msgspec.msgpack.Decoder(ToldJobs)
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: Pipes | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Its process id, or None while there is none."""
        return self._process.pid if self._process else None

    def ask(self, question: JobsAsked) -> ToldJobs:
        """Its answer. Raises NoAnswerError, and then the process is gone."""
        with self._lock:
            until = time.monotonic() + self.seconds
            try:
                pipes = self._pipes or self._start(until)
                pipes.send(msgspec.msgpack.encode(question), until)
                return self._receive(pipes, until)
            except FAILURES as error:
                raise NoAnswerError(f"{error}{self._end()}") from error
            except NoAnswerError:
                self._end()
                raise

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _start(self, until: float) -> Pipes:
        command = [sys.executable, "-m", "slurm_het.slurm.api.child"]
        # A session of its own keeps a terminal's Ctrl-C away from it.
        self._process = process = subprocess.Popen(
            command, env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True, pipesize=PIPE_BYTES,
        )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise FrameError("the process has no pipes")
        pipes = Pipes(process.stdout.fileno(), process.stdin.fileno())
        self._receive(pipes, until)  # that pyslurm is there
        self._pipes = pipes
        return pipes

    def _receive(self, pipes: Pipes, until: float) -> ToldJobs:
        told: ToldJobs = self._decoder.decode(pipes.receive(until))
        if told.failure:
            raise NoAnswerError(told.failure, useless=told.useless)
        return told

    def _end(self) -> str:
        """End it; how it had ended before that, in words, or ''."""
        process, self._process, self._pipes = self._process, None, None
        if not process:
            return ""
        try:
            status = process.wait(0.1)  # one that closed its pipe is about to be gone
        except subprocess.TimeoutExpired:
            status = 0
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs within the kernel
            process.wait(KILLED_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        if status < 0:
            return f" (it ended by signal {-status})"
        return f" (it ended with {status})" if status else ""
