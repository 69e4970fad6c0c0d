"""Length-prefixed frames over a pair of pipes, with a deadline on every byte."""

from __future__ import annotations

import math
import os
import select
import struct
import time

MAX_FRAME = 256 * 1024 * 1024  # bytes; 500 tasks on 10,000 devices are about 60 MiB
LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The other side is late, gone, or sends or is to be sent too much."""


class LateError(FrameError):
    """The other side did not answer in time."""


class Pipes:
    """Frames: a length (4 bytes, big endian) and that many bytes.

    The pipes are not blocking, so that a stopped reader cannot hold a writer beyond its deadline.
    Deadlines are of time.monotonic().
    """

    def __init__(self, incoming: int, outgoing: int) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self._begun = bytearray()  # of the next frame: it may have been late
        os.set_blocking(incoming, False)
        os.set_blocking(outgoing, False)

    def send(self, payload: bytes, deadline: float = math.inf) -> None:
        """Write one frame."""
        if len(payload) > MAX_FRAME:
            raise FrameError(f"a frame of {len(payload)} bytes is too long")
        rest = memoryview(LENGTH.pack(len(payload)) + payload)
        while rest:
            _wait(self.outgoing, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self.outgoing, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise FrameError(f"the other side is gone: {error.strerror}") from error

    def receive(self, deadline: float = math.inf) -> bytes:
        """Read one frame. Of one that is late the rest is read by the next call."""
        self._read(LENGTH.size, deadline)
        (length,) = LENGTH.unpack_from(self._begun)
        if length > MAX_FRAME:
            raise FrameError(f"a frame of {length} bytes is too long")
        self._read(LENGTH.size + length, deadline)
        frame, self._begun = self._begun, bytearray()
        return bytes(frame[LENGTH.size :])

    def _read(self, size: int, deadline: float) -> None:
        """Have so many bytes of the frame."""
        while len(self._begun) < size:
            _wait(self.incoming, select.POLLIN, deadline)
            try:
                some = os.read(self.incoming, size - len(self._begun))
            except BlockingIOError:
                continue
            if not some:
                raise FrameError("the other side is gone")
            self._begun += some


def own_pipes() -> Pipes:
    """Keep stdin and stdout to ourselves: a library in C may print to file descriptor 1."""
    pipes = Pipes(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    return pipes


def _wait(fd: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(fd, event)
    # What is there already counts, also where it was us who came too late to look.
    left = max(0.0, deadline - time.monotonic())
    if not poll.poll(None if left == math.inf else math.ceil(left * 1000)):
        raise LateError("no answer in time")
