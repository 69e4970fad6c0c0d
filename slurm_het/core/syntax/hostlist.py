"""Slurm's host lists (`nv[1-2],amd1`), read and written by ClusterShell's NodeSet."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from slurm_het.errors import HetError

MAX_HOSTS = 100_000
MAX_DIGITS = 63  # as many characters as a label of a host name may have
NODESET_WIDTH = 10**9  # of one range; it asserts that
_RANGE = re.compile(r"(\d+)-(\d+)")
_GROUP = re.compile(r"(\d?)\[([^\]]*)\](\d*)")
_PART = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")
_SEPARATORS = re.compile(r"[ \t,]{2,}|[ \t]")  # all but a single comma
MAX_BRACKETS = 2000  # parts with brackets; NodeSet takes 70 µs and more for each
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+\Z")
_ALLOWED = re.compile(r"(?:[A-Za-z0-9_.,-]|\[\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*\])*\Z")


def expand(text: str) -> tuple[str, ...]:
    """The host names of a list, in its order; `(null)` and empty give none.

    Inside brackets the order is ascending, as Slurm prints it. Slurm takes blanks, tabs and doubled
    commas between the names of a list that a user writes, and prints them as they were written.

    Raises HetError when the text is not a host list, names more than MAX_HOSTS hosts, or has more
    than MAX_BRACKETS parts with brackets.
    """
    if text in {"", "(null)", "None assigned"}:
        return ()
    if _PLAIN.match(text):  # by far the most frequent, and NodeSet takes 50 µs for it
        return (text,)
    text = _SEPARATORS.sub(",", text).strip(",")
    # NodeSet has operators (!&^@) that Slurm's lists do not have; and it expands as it reads.
    if not _ALLOWED.match(text):
        raise HetError(f"not a host list: {text[:80]!r}", "such as nv[1-2],amd1")
    parts = list(dict.fromkeys(_PART.findall(text)))
    brackets = sum(not _PLAIN.match(part) for part in parts)
    if brackets > MAX_BRACKETS or _size_bound(parts) > MAX_HOSTS:
        raise HetError(f"not a host list: {text[:80]!r}", "such as nv[1-2],amd1")
    names: dict[str, None] = {}  # a set in order: Slurm's per-node data follows the list's order
    for part in parts:
        if _PLAIN.match(part):
            names[part] = None
            continue
        try:
            names.update(dict.fromkeys(NodeSet(part, resolver=RESOLVER_NOGROUP)))
        except NodeSetException as error:
            raise HetError(f"not a host list: {text[:80]!r}", str(error)) from error
    return tuple(names)


def expand_readable(text: str) -> tuple[str, ...]:
    """The host names of a list, none if it cannot be read: users write some of them, and what one
    of them writes must stop nothing."""
    try:
        return expand(text)
    except HetError:
        return ()


def _size_bound(parts: list[str]) -> int:
    """How many hosts these are at most; more than MAX_HOSTS also for what NodeSet cannot read."""
    total = 0
    for part in parts:
        size = 1
        for lead, group, tail in _GROUP.findall(part):
            size *= _group_bound(lead, group, tail)
            if size > MAX_HOSTS:
                return size
        total += size
    return total


def _group_bound(lead: str, group: str, tail: str) -> int:
    """How many numbers a bracket holds, with the digits before and behind it."""
    ranges = _RANGE.findall(group)
    if any(len(b) + len(tail) > MAX_DIGITS for _, b in ranges):
        return MAX_HOSTS + 1
    widths = [abs(int(b) - int(a)) for a, b in ranges]
    # To NodeSet the digits behind a bracket are the last ones of each number in it...
    if any(width * 10 ** len(tail) >= NODESET_WIDTH for width in widths):
        return MAX_HOSTS + 1
    # ...and those before it the first ones: n1[8-12] would be all from n18 to n112.
    if lead and any(len(a) != len(b) for a, b in ranges):
        return MAX_HOSTS + 1
    return sum(widths) + group.count(",") + 1


def fold(names: Iterable[str]) -> str:
    """The shortest host list that names these hosts."""
    return str(NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP))


def fold_for_slurm(names: Iterable[str]) -> str:
    """A host list of these hosts for files and commands that Slurm reads, of any version.

    22.05 reads none with something behind its last bracket (`gpu[1-2]-ib`, `r[1-2]n3`), and
    slurmctld does not start with such a line in slurm.conf (seen).
    """
    parts = _PART.findall(fold(names))
    return ",".join(p if p.endswith("]") else _last_folded(p) for p in parts)


def _last_folded(part: str) -> str:
    """Hosts with a bracket in their last number alone, if they end with one."""
    hosts = NodeSet(part, resolver=RESOLVER_NOGROUP)
    if not part[-1].isdigit():
        return ",".join(hosts)
    hosts.fold_axis = (-1,)
    return str(hosts)
