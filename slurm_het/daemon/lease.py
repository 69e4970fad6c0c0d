"""The lead among several hetds: a lock on a file in the state directory that their hosts share.

The kernel (for NFS, the server) gives an exclusive lock to one process and takes it back when that
process ends, however it ends: no clocks are compared and nothing expires under a slow leader. What
a lock cannot do is tell a leader that it lost its storage or that the file system's locks are no
locks, so the holder writes its name into the file and reads it again before it updates Slurm.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from slurm_het.aside import Aside
from slurm_het.errors import LeadError

CHECK_SECONDS = 5.0
RELEASE_SECONDS = 1.0
T = TypeVar("T")
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
_FULL = {errno.ENOSPC, errno.EDQUOT}


def lease_path(state_dir: Path) -> Path:
    """The file whose lock is the lead."""
    return state_dir / "lease"


class Lease:
    """One process's claim to the lead."""

    def __init__(self, state_dir: Path) -> None:
        self.path = lease_path(state_dir)
        # The random part: pids and host names repeat.
        self.name = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}\n".encode()
        self._fd = -1
        self._storage = Aside("lease")

    def take(self) -> bool:
        """Take the lead if nobody has it. Raises LeadError if the file cannot be used."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            hint = "paths.state_dir must be SlurmUser's, on storage that all controllers share"
            raise LeadError(f"cannot use {self.path}: {error.strerror}", hint) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(fd)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError as error:
            os.close(fd)
            raise self._unusable(error) from error
        self._fd = fd
        return True

    def check(self) -> None:
        """Raise LeadError unless the lead is still ours. Slow storage makes it slow."""
        try:
            found = self.path.read_bytes()  # opened anew: only then does NFS look past its cache
            if found in {self.name, b""}:
                return self._write(self._fd)  # fails where a server took the lock back
        except OSError as error:
            raise LeadError(f"the lead is lost: {self.path}: {error.strerror}") from error
        who = found.decode("ascii", "replace").split(" ")[0][:64]
        raise LeadError(f"the lead is lost: {self.path} is {who!r}'s")

    async def taken(self) -> bool:
        """`take` in bounded time, beside the event loop."""
        return await self._in_time(self.take)

    async def checked(self) -> None:
        """`check` in bounded time, beside the event loop."""
        await self._in_time(self.check)

    async def released(self) -> None:
        """`release`, if its storage answers soon; else the end of this process does it."""
        with contextlib.suppress(TimeoutError):
            await self._storage.run(self.release, RELEASE_SECONDS)

    async def _in_time(self, what: Callable[[], T]) -> T:
        try:
            return await self._storage.run(what, CHECK_SECONDS)
        except TimeoutError as error:
            why = f"{self.path} did not answer for {CHECK_SECONDS:g} s"
            raise LeadError(why, "see to the storage of paths.state_dir") from error

    def release(self) -> None:
        """Give the lead to whoever asks next."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def _unusable(self, error: OSError) -> LeadError:
        if error.errno in _NO_LOCKS:
            hint = (
                "only a lock says who plans: mount it with locks (Lustre: flock, NFS: without"
                " nolock), or let paths.state_dir lie on another file system"
            )
            return LeadError(f"the file system of {self.path} has no locks: {error.strerror}", hint)
        hint = "paths.state_dir must be SlurmUser's, and `lease` in it a plain file"
        return LeadError(f"cannot use {self.path}: {error.strerror}", hint)

    def _write(self, fd: int) -> None:
        try:
            os.pwrite(fd, self.name, 0)
            os.ftruncate(fd, len(self.name))
            os.fsync(fd)
        except OSError as error:
            if error.errno not in _FULL:  # a full disk takes no lock back
                raise
