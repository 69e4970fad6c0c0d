"""Unix sockets that know who is on the other end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from pathlib import Path

from slurm_het.errors import HetError


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """The uid of the process on the other end of a stream."""
    return uid_behind(writer.get_extra_info("socket"))


def uid_behind(sock: socket.socket) -> int:
    """The uid of the process on the other end (SO_PEERCRED, from the kernel)."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])


def claim_socket(path: Path, kind: socket.SocketKind, mode: int) -> socket.socket:
    """Bind a unix socket, taking over what a dead daemon left. Raises HetError if one is alive, or
    if it cannot be had."""
    try:
        return _claimed(path, kind, mode)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise HetError(
            f"cannot listen on {path}: {error.strerror or error}{where}",
            f"{path.parent} must be SlurmUser's own directory; systemd makes /run/slurm-het",
        ) from error


def identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to (device, inode); None if there is none, or one cannot tell."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _claimed(path: Path, kind: socket.SocketKind, mode: int) -> socket.socket:
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o755)  # whatever our umask: the socket's own mode says who may
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise HetError(f"{path} is not a socket", "remove it, or configure another path")
        with socket.socket(socket.AF_UNIX, kind) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink()
            else:
                raise HetError(f"another hetd listens on {path}", "stop it first")
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock
