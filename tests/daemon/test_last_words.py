"""What hetd says last: a line where the host has nothing left for it, a traceback for a bug."""

from __future__ import annotations

import errno

import pytest

from slurm_het.daemon.last_words import last_words
from slurm_het.errors import HetError


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (HetError("no", "do"), "hetd: no\n  do"),
        (MemoryError(), "no memory left"),
        (RuntimeError("can't start new thread"), "a thread cannot be started"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "Too many open files: /x"),
    ],
)
def test_what_is_no_bug_is_one_line(error: Exception, says: str) -> None:
    with pytest.raises(SystemExit) as ended, last_words("hetd"):
        raise error
    assert says in str(ended.value.code)


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), OSError(errno.EBADF, "x")])
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), last_words("hetd"):
        raise error
