"""What a person reads when something is wrong: the thing, the place, and the remedy."""

from __future__ import annotations

import errno
import shlex
import sys

LACKING = 78
"""Exit status (EX_CONFIG) of who lacks a library: systemd is not to start it anew."""
_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}


class HetError(Exception):
    """A failure with a message for the user and a hint of what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class ConfigError(HetError):
    """The configuration is wrong; the message names the key, the line and the valid values."""


class SlurmError(HetError):
    """A Slurm program failed, is missing, or answered something we cannot read."""


class SlurmBusyError(SlurmError):
    """Slurm could not do it just now; the same request may succeed a moment later."""


class GresError(HetError):
    """A GRES string does not follow Slurm's grammar."""


class CannotRunError(SlurmError):
    """A program of Slurm's could not be started: the fault is this process's, or this host's."""


class TooMuchError(SlurmError):
    """A program of Slurm's printed more than is read of it."""


class TooSlowError(SlurmError):
    """A program of Slurm's takes too long for what slurmctld has answered."""


class LeadError(HetError):
    """Another hetd plans for this Slurm now, or this one can no longer tell."""


class ProbeError(HetError):
    """The devices of a vendor cannot be read: no driver, no program, no answer."""


class LibraryError(HetError):
    """A Python library that only some need is not installed: no restart will find it."""

    def __init__(self, who: str, requirement: str) -> None:
        super().__init__(f"{who} needs {requirement}, which is not installed", pip(requirement))


class SilenceError(HetError):
    """hetd does not answer on its control socket, or there is none."""


def pip(requirement: str) -> str:
    """What installs a library where this program finds it."""
    return f"install it: {sys.executable} -m pip install {shlex.quote(requirement)}"


def lacks(error: BaseException) -> str:
    """What there is no more of, in words; '' if that is not why it failed."""
    if isinstance(error, MemoryError):
        return "there is no memory left for it"
    if isinstance(error, OSError) and error.errno in _SCARCE:
        return f"{error.strerror}" + (f": {error.filename}" if error.filename else "")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "no memory or no process is left for it: a thread cannot be started"
    return ""
