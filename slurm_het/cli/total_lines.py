"""The table of `het-squeue --totals`: all, each account, each user."""

from __future__ import annotations

from slurm_het.cli.render import Styled, table
from slurm_het.core.syntax.durations import duration
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.totals import Total, Totals

ALL, ACCOUNT = "GRAND_TOTAL", "ACCT_TOTAL"


def total_lines(totals: Totals, *, header: bool) -> list[str]:
    """The lines; who holds most devices comes first."""
    heads = ["USER", "ACCOUNT", "RUN", "DEV", "GIB", "WAIT", "ASKED", "LONGEST"]
    rows = [_cells(ALL, totals.all)]
    rows += [_cells(ACCOUNT, total) for total in totals.accounts if total.account]
    rows += [_cells(total.user or "-", total) for total in totals.users]
    lines = table(heads, rows, [False, False, *[True] * 6])
    return ([Styled(lines[0], "1")] if header else []) + lines[1:]


def _cells(name: str, total: Total) -> list[str]:
    numbers = (
        total.running, total.devices, total.memory_gib, total.waiting, total.devices_asked,
    )  # fmt: skip
    longest = duration(total.longest_wait) if total.waiting else "-"
    account = "*" if name == ALL else total.account or "-"
    return [clean(name), clean(account), *map(str, numbers), longest]
