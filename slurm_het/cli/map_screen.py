"""het-sinfo's screen: a line per pool and type, then the map with a cell for each device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from slurm_het.cli.render import cut, table, width, wrapped
from slurm_het.cli.screen import brief
from slurm_het.core.reasons import TellTime
from slurm_het.core.reasons.idle import Cause
from slurm_het.core.syntax import hostlist
from slurm_het.core.syntax.gres import format_indexes
from slurm_het.core.syntax.printable import clean
from slurm_het.core.views.device_map import DeviceMap, MapDevice, MapNode, PoolType
from slurm_het.core.views.probes import Largest

LETTERS = {
    Cause.USABLE: ".", Cause.UNWANTED: "-", Cause.HELD: "h", Cause.NO_CORES: "c",
    Cause.NO_MEMORY: "m", Cause.DRAINED: "d", Cause.RESERVED: "r", Cause.FOREIGN: "f",
    Cause.UNHEALTHY: "u", Cause.CLOSED: "p",
}  # fmt: skip
"""The cell of an idle device."""
NAMES = {
    Cause.USABLE: "usable now", Cause.UNWANTED: "usable, nobody waits", Cause.HELD: "held",
    Cause.NO_CORES: "no core", Cause.NO_MEMORY: "no host memory", Cause.DRAINED: "drained, down",
    Cause.RESERVED: "reserved", Cause.FOREIGN: "foreign use", Cause.UNHEALTHY: "unhealthy",
    Cause.CLOSED: "pool closed",
}  # fmt: skip
"""What its letter means."""
_BLOCKS = "▁▂▃▄▅▆▇█"
MANY = 32
"""Of more devices on a node the cells are counted."""
NODES = 20
"""So many characters of a list of nodes stand in a narrow table."""


@dataclass(frozen=True, slots=True)
class MapLook:
    """How to draw it: whether the terminal has `blocks`; its width, None in a pipe."""

    blocks: bool
    terminal: int | None
    header: bool
    at: TellTime


def type_lines(types: Sequence[PoolType], look: MapLook) -> list[str]:
    """What there is by pool and type, and the largest job that would start now."""
    heads = ["POOL", "FOR", "TYPE", "GIB", "DEV", "IDLE", "NOW", "LARGEST JOB NOW"]
    rights = [False, False, False, True, True, True, True, False]
    cells = [
        [
            t.pool, brief(t.scenario), t.type, str(t.memory_gib), str(t.devices),
            str(t.idle), str(t.starts_now),
            largest_words(t.largest) if t.state == "UP" else f"none: {t.pool} is {t.state}",
        ]
        for t in types
    ]  # fmt: skip
    lines = table(heads, [[clean(c) for c in row] for row in cells], rights)
    return _fit(lines if look.header else lines[1:], look)


def largest_words(found: Largest) -> str:
    """`4 on nv2`, `2x8 on amd[1-2]`, with the largest share of a device."""
    said = []
    if found.devices:
        count = f"{found.nodes}x{found.devices}" if found.nodes > 1 else str(found.devices)
        where = hostlist.fold(found.on) if found.nodes > 1 else found.on[0]
        said.append(f"{count} on {where}")
    if found.share_gib:
        said.append(f"share of {found.share_gib} GiB")
    return "; ".join(said) or "none"


def map_lines(shown: DeviceMap, look: MapLook) -> list[str]:
    """A line for nodes that are alike, with a cell for each device, and why idle ones are idle."""
    groups: dict[tuple[str, str, str, str, str], list[str]] = {}
    for node in shown.nodes:
        key = (
            ",".join(node.pools) or "-",
            "|".join(dict.fromkeys(d.type for d in node.devices)),
            "|".join(dict.fromkeys(str(d.memory_gib) for d in node.devices)),
            _cells(node, look),
            _why(node, look.at),
        )
        groups.setdefault(key, []).append(node.node)
    heads = ["POOL", "NODES", "TYPE", "GIB", "DEVICES", "WHY IDLE"]
    rows = [
        [pool, _nodes(names, look), kind, gib, cells, why]
        for (pool, kind, gib, cells, why), names in groups.items()
    ]
    rows = [[clean(cell) for cell in row] for row in rows]
    rights = [False, False, False, True, False, False]
    if not look.terminal:
        lines = table(heads, rows, rights)
        return lines if look.header else lines[1:]
    return _folded(heads, rows, rights, look)


def _folded(
    heads: list[str], rows: list[list[str]], rights: list[bool], look: MapLook
) -> list[str]:
    """The table, with causes that do not fit on lines of their own, below the cells."""
    terminal = look.terminal or 80
    widths = [max(width(row[c]) for row in [heads, *rows]) for c in range(len(heads))]
    before = sum(widths[:-1]) + len(heads) - 1
    room = terminal - before
    out: list[list[str]] = []
    more: list[list[str]] = []
    for row in rows:
        parts = wrapped(row[-1], max(16, room)) or [""]
        below = room < 16
        out.append([*row[:-1], "" if below else parts[0]])
        rest = wrapped(row[-1], terminal - 5) if below else parts[1:]
        more.append([" " * (4 if below else before) + part for part in rest if part])
    lines = table(heads, out, rights)
    woven = lines[:1] if look.header else []
    for line, rest in zip(lines[1:], more, strict=True):
        woven += [line, *rest]
    return _fit(woven, look)


def _fit(lines: Iterable[str], look: MapLook) -> list[str]:
    mark = "…" if look.blocks else "~"
    return [cut(line, look.terminal, mark) if look.terminal else line for line in lines]


def _nodes(names: Sequence[str], look: MapLook) -> str:
    """The nodes, folded, with how many they are where that is not plain to see."""
    folded = hostlist.fold(names)
    short = cut(folded, NODES, "…" if look.blocks else "~") if look.terminal else folded
    return f"{short} ({len(names)})" if len(names) > 2 else short


def _cells(node: MapNode, look: MapLook) -> str:
    cells = [_cell(device, look) for device in node.devices]
    if len(cells) <= MANY:
        return "".join(cells)
    runs: list[tuple[str, int]] = []
    for cell in cells:
        last = runs.pop() if runs and runs[-1][0] == cell else (cell, 0)
        runs.append((cell, last[1] + 1))
    return " ".join(f"{cell}x{count}" for cell, count in runs)


def _cell(device: MapDevice, look: MapLook) -> str:
    """How full its memory is, or the letter of why it is idle."""
    if device.idle:
        letter = LETTERS[device.idle.cause]
        return "·" if letter == "." and look.blocks else letter
    fill = device.occupied_gib / device.memory_gib
    if look.blocks:
        return _BLOCKS[min(7, max(0, int(fill * 8)))]
    return "#" if fill >= 1 else str(max(1, int(fill * 10)))


def _why(node: MapNode, at: TellTime) -> str:
    """`4-7 held for job 71 until 14:20:00`; without indexes where all devices fare alike."""
    groups: dict[str, list[int]] = {}
    for device in node.devices:
        if device.idle:
            groups.setdefault(device.idle.told(at), []).append(device.index)
    everything = len(groups) == 1 and sum(d.idle is not None for d in node.devices) in {
        1, len(node.devices)}  # fmt: skip
    if everything:
        return next(iter(groups))
    return "; ".join(f"{format_indexes(indexes)} {why}" for why, indexes in groups.items())


def legend(shown: DeviceMap, look: MapLook) -> list[str]:
    """What the cells mean that are there."""
    causes = {d.idle.cause for node in shown.nodes for d in node.devices if d.idle}
    fill = "▁-█ memory in use" if look.blocks else "1-9 tenths in use, # all"
    dot: Callable[[str], str] = lambda c: "·" if c == "." and look.blocks else c  # noqa: E731
    words = [f"{dot(LETTERS[cause])} {NAMES[cause]}" for cause in Cause if cause in causes]
    text = "   ".join([fill, *words])
    return wrapped(text, look.terminal) if look.terminal else [text]
