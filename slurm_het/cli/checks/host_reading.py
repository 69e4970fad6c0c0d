"""Reads what only a controller host has: who may use what, the hook's last word, its storage."""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

MAX_LOG = 1 << 20
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay"})
"""File systems of one host alone, as they mostly are."""
ACL = "system.posix_acl_access"
_INACTIVE = re.compile(r"slurm-het: hook not active, all jobs pass: (.*)")
_TIME = re.compile(
    r"\[?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?)"
)  # local time, as Slurm writes it
_LATER = re.compile(r"slurm-het: (?!hook not active)|slurmctld version \S+ started")


def scripts_of(conf: Mapping[str, str], key: str) -> list[Path]:
    """The programs of a key of slurm.conf that may stand on several lines."""
    values = (value for name, value in conf.items() if name.partition("[")[0] == key)
    return [Path(p) for value in values for p in value.split(",") if p.startswith("/")]


def owner_of(path: Path) -> str:
    """Whose file it is; '' where that cannot be told."""
    try:
        return _name(path.stat().st_uid)
    except OSError:
        return ""


def is_file(path: str, other: Path | None) -> bool:
    """Whether that is this file, whatever the way to it."""
    try:
        return other is not None and Path(path).samefile(other)
    except OSError:
        return path == str(other)


def closed_to(user: str, files: Iterable[Path]) -> dict[Path, str]:
    """What keeps a user from reading these files, as `ls -l` shows it: they, or directories.

    What has an access list is taken to be open: the mode does not tell.
    """
    try:
        who = pwd.getpwnam(user)
    except (KeyError, ValueError):
        return {}
    if who.pw_uid == 0:
        return {}
    groups = frozenset(os.getgrouplist(user, who.pw_gid))
    found = {}
    for file in files:
        for path in (*reversed(file.absolute().parents), file):
            try:
                told = path.stat()
            except OSError:
                break
            need = 0o4 if path == file else 0o1
            if not _may(told, need, who.pw_uid, groups) and not _has_list(path):
                found[path] = f"{stat.filemode(told.st_mode)}, {_name(told.st_uid)}'s"
                break
    return found


def _may(told: os.stat_result, need: int, uid: int, groups: Collection[int]) -> bool:
    shift = 6 if told.st_uid == uid else 3 if told.st_gid in groups else 0
    return bool(told.st_mode >> shift & need)


def _has_list(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, ACL))
    except OSError:
        return False


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def hook_complaint(log: Path, script: Path) -> str:
    """Why slurmctld's log says last that the hook is not active; '' if a later line is of a hook
    that is, or of a start at which it was, or if its script was touched since: what comes of that
    is seen at the next job."""
    try:
        touched = datetime.fromtimestamp(script.stat().st_mtime)
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LOG))
            lines = file.read(MAX_LOG).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        if found := _INACTIVE.search(line):
            said = _TIME.match(line)
            since = touched if said and said.group(2) else touched.replace(microsecond=0)
            mended = said and datetime.fromisoformat(said.group(1)) < since
            return "" if mended else found.group(1).strip()[:200]
        if _LATER.search(line):
            return ""
    return ""


def local_storage(directory: Path, shared: Path) -> str:
    """The file system of a directory, if one host alone has it and it is not that of `shared`."""
    try:
        if directory.stat().st_dev == shared.stat().st_dev:
            return ""
        where = directory.resolve()
    except OSError:
        return ""
    mounts = dict(_mounts())
    nearest = next((mounts[path] for path in (where, *where.parents) if path in mounts), "")
    return nearest if nearest in LOCAL else ""


def _mounts() -> Iterator[tuple[Path, str]]:
    """Mount points and their file systems; the last one there counts."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        words, kind = before.split(), after.split()
        if len(words) > 4 and kind:
            yield Path(words[4].replace("\\040", " ")), kind[0]
