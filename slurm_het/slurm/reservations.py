"""Reservation records from `scontrol -o show reservation`, whose text is the same on every version.

Admins name reservations and write their comments. The name comes first and the comment (24.11 on)
last, and of each key the first counts: what they write can pose as no more than their own record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from slurm_het.core.model import NodeRecord
from slurm_het.core.slurm_reservation import ReservationRecord
from slurm_het.core.syntax import hostlist
from slurm_het.slurm.records import parse_fields

_NONE = {"", "(null)", "N/A"}


def parse_reservations(text: str, nodes: Iterable[NodeRecord]) -> tuple[ReservationRecord, ...]:
    """Read `scontrol -o show reservation`, printed with times as epoch seconds.

    Slurm does not say that a reservation has only a part of its `nodes`: it has fewer cores then.
    A record without readable times is left out.
    """
    cores = {node.name: node.cpus // max(1, node.threads_per_core) for node in nodes}
    records = (_record(parse_fields(line), cores) for line in text.splitlines())
    return tuple(record for record in records if record)


def _record(f: Mapping[str, str], cores: Mapping[str, int]) -> ReservationRecord | None:
    start, end = _number(f.get("StartTime")), _number(f.get("EndTime"))
    if "ReservationName" not in f or start is None or end is None:
        return None
    nodes = hostlist.expand_readable("" if f.get("Nodes", "") in _NONE else f["Nodes"])
    whole = sum(cores.get(node, 0) for node in nodes)
    reserved = _number(f.get("CoreCnt"))
    return ReservationRecord(
        name=f["ReservationName"],
        start=start,
        end=end,
        nodes=nodes,
        cores=reserved or 0,
        partial="gres/" in f.get("TRES", "") or (reserved is not None and reserved < whole),
        flags=_names(f.get("Flags")),
        users=_names(f.get("Users")),
        groups=_names(f.get("Groups")),
        accounts=_names(f.get("Accounts", "").lower()),  # shown as typed; Slurm's are small
        qos=_names(f.get("QOS")),
        partitions=_names(f.get("AllowedPartitions")),
        licenses="" if f.get("Licenses", "") in _NONE else f["Licenses"],
    )


def _names(text: str | None) -> frozenset[str]:
    names = "" if text is None or text in _NONE else text
    return frozenset(filter(None, names.split(",")))


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,12}", text, re.ASCII) else None
