"""het-squeue's screens: the job table fitted to a terminal, and the two tables of what is free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slurm_het.cli.columns import BY_NAME, DEFAULT, Column
from slurm_het.cli.render import Styled, cut, style_of, table, width, wrapped
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import format_indexes
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.free import NodeFree, PoolFree
from slurm_het.core.views.job_rows import JobRow

MARK = "…"
ROOM = 24  # cells for the last column below which its long texts go to a line of their own
STYLES = {"PENDING": "33", "COMPLETED": "2", "CANCELLED": "2"}
"""Colours by state, as ANSI's numbers; what went wrong is red, what runs as it is."""
_HEADS = {"scenario": "SCEN", "type": "TYPE"}  # of the short spellings
_SHORT = {"training": "train", "inference": "infer"}


@dataclass(frozen=True, slots=True)
class ScreenLayout:
    """Which of the default columns, with which of them held to how many cells."""

    names: tuple[str, ...]
    caps: dict[str, int]
    short: dict[str, Callable[[str], str]]


def _model(text: str) -> str:
    return "|".join(t.rpartition(":")[2] for t in text.split("|"))


def brief(text: str) -> str:
    """A scenario's short word."""
    return _SHORT.get(text, text)


_SMALL = {"user": 8, "name": 8}
_TRAIN: dict[str, Callable[[str], str]] = {"scenario": brief}
_SLIM = tuple(
    "spent" if n == "time" else n for n in DEFAULT if n not in {"scenario", "count", "wait"}
)
LAYOUTS = (
    ScreenLayout(DEFAULT, {"user": 16, "name": 24}, {}),
    ScreenLayout(DEFAULT, {"user": 8, "name": 16}, _TRAIN),
    ScreenLayout(DEFAULT, _SMALL, _TRAIN),
    ScreenLayout(_SLIM, {**_SMALL, "type": 16, "id": 13}, {"type": _model}),
)


def job_lines(
    rows: Sequence[JobRow],
    columns: Sequence[Column] | None,
    *,
    header: bool,
    why: bool,
    terminal: int | None,
) -> list[str]:
    """The job table. `columns` None is the default choice, fitted to a terminal that wide."""
    if columns is None and terminal:
        return _fitted(rows, terminal, header=header, why=why)
    chosen = columns or [BY_NAME[name] for name in DEFAULT]
    cells = [[clean(c.text(row)) for c in chosen] for row in rows]
    lines = table([c.heading for c in chosen], cells, [c.right for c in chosen])
    notes = [_evidence(row, None) if why else [] for row in rows]
    return _woven(coloured(lines, rows), notes, header=header)


def _fitted(rows: Sequence[JobRow], terminal: int, *, header: bool, why: bool) -> list[str]:
    """The widest layout whose last column still has room for its texts, the rest cut."""
    for layout in LAYOUTS:
        columns = [BY_NAME[name] for name in layout.names]
        cells = [_cells(row, columns, layout) for row in rows]
        headings = [_HEADS[c.name] if c.name in layout.short else c.heading for c in columns]
        widths = [max(width(r[n]) for r in [headings, *cells]) for n in range(len(columns))]
        room = terminal - sum(widths[:-1]) - len(columns) + 1
        if room >= widths[-1] or (layout is LAYOUTS[-2] and room >= 2 * ROOM):
            break
    notes: list[list[str]] = []
    for row, line in zip(rows, cells, strict=True):
        note = _evidence(row, terminal) if why else []
        if row.waits and width(line[-1]) > room:  # why it waits is what must not be cut
            note = [*_wrapped(line[-1], terminal), *note]
            line[-1] = ""
        notes.append(note)
    lines = table(headings, cells, [c.right for c in columns])
    lines = coloured([cut(line, terminal, MARK) for line in lines], rows)
    return _woven(lines, notes, header=header)


def _cells(row: JobRow, columns: Sequence[Column], layout: ScreenLayout) -> list[str]:
    out = []
    for column in columns:
        text = clean(column.text(row))
        if column.name in layout.short:
            text = layout.short[column.name](text)
        out.append(cut(text, layout.caps.get(column.name, 1 << 20), MARK))
    return out


def _evidence(row: JobRow, terminal: int | None) -> list[str]:
    text = clean("; ".join(row.evidence) or "asks for no accelerator")
    return _wrapped(text, terminal) if terminal else [f"    {text}"]


def _wrapped(text: str, terminal: int) -> list[str]:
    lines = wrapped(text, max(20, terminal - 5)) or [""]
    return [cut(f"    {line}", terminal, MARK) for line in lines]


def in_blocks(blocks: Sequence[Sequence[str]]) -> list[str]:
    """The lines of all blocks, an empty one between them."""
    lines: list[str] = []
    for block in blocks:
        lines += [*([""] if lines and block else []), *block]
    return lines


def coloured(lines: Sequence[str], rows: Sequence[JobRow]) -> list[str]:
    """A heading and a line for each row, each with its colour."""
    styles = [STYLES.get(row.job.state, "31" if row.job.finished else "") for row in rows]
    return [Styled(line, style) for line, style in zip(lines, ["1", *styles], strict=True)]


def _woven(lines: list[str], notes: list[list[str]], *, header: bool) -> list[str]:
    """The table's lines with each row's notes below it."""
    out = lines[:1] if header else []
    for line, note in zip(lines[1:], notes, strict=True):
        out += [line, *(Styled(text, style_of(line)) for text in note)]
    return out


def pool_lines(pools: Sequence[PoolFree], *, header: bool) -> list[str]:
    """What is free by pool and type."""
    heads = ["POOL", "SCENARIO", "VENDOR:TYPE", "GIB", "FREE", "DOWN", "LARGEST", "SHARED"]
    rights = [False, False, False, True, True, True, False, False]
    cells = [
        [
            p.pool, p.scenario, "|".join(p.types), str(p.memory_gib), f"{p.free}/{p.total}",
            str(p.unusable) if p.unusable else "-",
            f"{p.best} on {p.best_node}" if p.best else "-",
            f"up to {p.best_gib} GiB" if p.shared else "-",
        ]
        for p in pools
    ]  # fmt: skip
    lines = table(heads, [[clean(c) for c in row] for row in cells], rights)
    return lines if header else lines[1:]


def node_lines(nodes: Sequence[NodeFree], *, header: bool) -> list[str]:
    """What is free by node; nodes that are alike share a line."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for n in nodes:
        gib = _gib(n.free_gib) if n.shared else "-"
        key = (n.pool, "|".join(n.types), f"{n.free}/{n.total}", gib, n.state, n.note)
        groups.setdefault(key, []).append(n.node)
    heads = ["POOL", "VENDOR:TYPE", "NODES", "FREE", "GIB FREE ON EACH", "STATE"]
    cells = [
        [pool, types, hostlist.fold(names), free, gib, f"{state} ({note})" if note else state]
        for (pool, types, free, gib, state, note), names in groups.items()
    ]
    rights = [False, False, False, True, False, False]
    lines = table(heads, [[clean(c) for c in row] for row in cells], rights)
    return lines if header else lines[1:]


def _gib(free: Sequence[int]) -> str:
    """`0:8 1:0 2-3:48`: GiB free by device."""
    runs: list[tuple[list[int], int]] = []
    for index, gib in enumerate(free):
        if runs and runs[-1][1] == gib:
            runs[-1][0].append(index)
        else:
            runs.append(([index], gib))
    return " ".join(f"{format_indexes(indexes)}:{gib}" for indexes, gib in runs)
