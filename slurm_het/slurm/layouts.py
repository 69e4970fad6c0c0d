"""How a job's nodes are to lie, from what Slurm's record says; the options' names are sbatch's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slurm_het.core.network import ANYHOW, Layout
from slurm_het.core.syntax.durations import parse_seconds
from slurm_het.slurm.versions import number, word

TOLD = ("ReqSwitch", "Wait4Switch", "SegmentSize")
"""Fields of squeue's lines that with_told reads."""

_FLAGS = {
    "SPREAD_JOB": "--spread-job",
    "GRES_ENFORCE_BIND": "--gres-flags=enforce-binding",  # 22.05, 24.11
    "GRES_BINDING_ENFORCED": "--gres-flags=enforce-binding",  # 26.05
    "SPREAD_SEGMENTS": "--spread-segments",
    "CONSOLIDATE_SEGMENTS": "--consolidate-segments",
}
"""Options that Slurm keeps only where it chooses the nodes, by the flag that tells of them."""
FEWEST = {"USE_MIN_NODES", "PREFER_MINIMUM_NODE_COUNT"}
"""--use-min-nodes: of `--nodes=2-4` the least."""
_TEXT = {"SpreadJob=Yes": "SPREAD_JOB", "GresEnforceBind=Yes": "GRES_ENFORCE_BIND"}
"""How scontrol's text tells of a flag."""


def flags_of(text: str) -> list[str]:
    """The flags of a job from the end of scontrol's text (22.05), where users could write some
    into their own."""
    words = set(text.split())
    return [flag for said, flag in _TEXT.items() if said in words]


def layout_of(raw: object) -> Layout:
    """The layout of a record in the form of the JSON, whose fields are attributes here."""
    flags = [str(flag) for flag in getattr(raw, "flags", None) or ()]
    asked = [_FLAGS[flag] for flag in flags if flag in _FLAGS]
    if getattr(raw, "contiguous", False):
        asked.append("--contiguous")
    if (shared := word(getattr(raw, "shared", None))) in {"user", "mcs", "topo"}:
        asked.append(f"--exclusive={shared}")
    # Slurm tries the nodes of that first; on a list without any of them it starts nothing.
    if prefer := getattr(raw, "prefer", ""):
        asked.append(f"--prefer={prefer}")
    switches = number(getattr(raw, "required_switches", None)) or 0
    wait = number(getattr(raw, "maximum_switch_wait_time", None)) or 0
    fewest = bool(FEWEST & set(flags))
    if not (asked or switches or fewest):
        return ANYHOW
    return Layout(switches, wait if switches else 0, tuple(asked), fewest)


def with_told(layout: Layout, told: Mapping[str, str]) -> Layout:
    """The layout with what only squeue's lines tell: --switches (22.05), --segment (26.05)."""
    segments = told.get("SegmentSize", "")
    if segments.isdecimal() and int(segments):
        layout = replace(layout, by_slurm=(*layout.by_slurm, f"--segment={segments}"))
    switches = told.get("ReqSwitch", "")
    if switches.isdecimal() and int(switches):
        wait = parse_seconds(told.get("Wait4Switch", "")) or 0
        layout = replace(layout, switches=int(switches), wait_seconds=wait)
    return layout
