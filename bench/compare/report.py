"""A comparison as text for people, and as data for scripts."""

from __future__ import annotations

from typing import Any

from bench.compare.records import JobSeen, Side
from bench.compare.verdict import NEVER, Comparison, Pair
from slurm_het.core.syntax import hostlist

BARS = " ▁▂▃▄▅▆▇█"
STEPS = 60
SHOWN = 20


def text(seen: Comparison, *, everything: bool = False) -> str:
    """The totals, who fared worse, and the bounds."""
    worse = [pair for pair in seen.pairs if pair.worse]
    lines = [*_totals(seen), ""]
    if worse:
        worse.sort(key=lambda pair: -pair.at_least)
        shown = worse if everything else worse[:SHOWN]
        more = f"; the worst {SHOWN}, --all shows each" if len(shown) < len(worse) else ""
        lines += [f"{len(worse)} of {len(seen.pairs)} jobs fared worse{more}:", *_rows(shown)]
    else:
        lines.append(f"none of {len(seen.pairs)} jobs fared worse")
    lines += _refusals(seen, everything)
    broken = seen.broken()
    lines += ["", *(f"BROKEN {found.bound}: {found.says}" for found in broken)]
    lines += ["all bounds hold"] if not broken else []
    if seen.scenario.not_yet:
        known = "known, not yet mended" if broken else "holds now: take not_yet out of the file"
        lines.append(f"{known}: {seen.scenario.not_yet}")
    return "\n".join(lines)


def _totals(seen: Comparison) -> list[str]:
    plain, ours = seen.plain, seen.ours
    rows = [("", plain.name, ours.name)]
    rows += [(name, _figure(a), _figure(b)) for name, (a, b) in _figures(seen).items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    lines.append(f"  device-seconds with {ours.name}: {seen.busy:.3f} of plain Slurm's")
    width = max(len(plain.name), len(ours.name))
    return lines + [f"  {side.name:<{width}} |{_bars(side)}|" for side in (plain, ours)]


def _refusals(seen: Comparison, everything: bool) -> list[str]:
    """What both refused in other words."""
    refused = [pair for pair in seen.pairs if not pair.plain.id and not pair.ours.id]
    other = [pair for pair in refused if pair.plain.said != pair.ours.said]
    if not refused:
        return []
    more = ":" if everything and other else "; --all shows each" if other else ""
    lines = [f"{len(refused)} were refused by both, {len(other)} of them in other words{more}"]
    for pair in other if everything else ():
        lines += [f"  {pair.name}"]
        lines += [f"    {n}: {line}" for n, line in _said(seen, pair)]
    return lines


def _said(seen: Comparison, pair: Pair) -> list[tuple[str, str]]:
    both = ((seen.plain.name, pair.plain), (seen.ours.name, pair.ours))
    return [(name, line) for name, job in both for line in job.said.splitlines()]


def _figures(seen: Comparison) -> dict[str, tuple[float, float]]:
    made = {side.name: totals(side) for side in (seen.plain, seen.ours)}
    plain, ours = made[seen.plain.name], made[seen.ours.name]
    return {name.replace("_", " "): (plain[name], ours[name]) for name in plain}


def totals(side: Side) -> dict[str, float]:
    """The figures of one side."""
    accepted = [job for job in side.jobs if job.id]
    waits = [job.wait for job in accepted if job.wait is not None]
    return {
        "submitted": len(side.jobs),
        "refused": len(side.jobs) - len(accepted),
        "started": len(waits),
        "mean_wait_seconds": round(sum(waits) / len(waits), 2) if waits else 0.0,
        "busy_device_seconds": round(side.busy, 1),
        "devices_busy": round(side.busy / max(side.seconds - side.busy_from, 1e-9), 2),
        "runs_cut_short": side.requeues,
        "lost_device_seconds": round(side.lost, 1),
        **({"leaves_per_wide_job": round(side.leaves, 2)} if side.network else {}),
    }


def _figure(value: float) -> str:
    return f"{value:g}" if value == int(value) else f"{value:.1f}"


def _bars(side: Side) -> str:
    return "".join(BARS[round(share * (len(BARS) - 1))] for share in side.busy_over_time(STEPS))


def _rows(pairs: list[Pair]) -> list[str]:
    head = ("SUBMISSION", "PLAIN", "WAIT", "WHERE", "OURS", "WAIT", "WHERE")
    rows = [head]
    for pair in pairs:
        name = f"{pair.name} {pair.place}"
        rows.append((name, *_cells(pair.plain), *_cells(pair.ours)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  " + "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
    ]


def _cells(job: JobSeen) -> tuple[str, str, str]:
    if not job.id:
        return "refused", "", job.said
    if not job.runs:
        return job.id, "-", f"pending: {job.reason or '?'}"
    wait = f"{job.wait:.0f} s"
    again = f", {len(job.runs)} runs" if len(job.runs) > 1 else ""
    return job.id, wait, f"{job.runs[0].partition} {_place(job)}{again}"


def _place(job: JobSeen) -> str:
    run = job.runs[0]
    return f"{hostlist.fold(run.nodes)} {run.held}".rstrip()


def data(name: str, seen: Comparison) -> dict[str, Any]:
    """All of it: the totals, every job on both sides, the bounds that are broken."""
    sides = {"plain": seen.plain, "ours": seen.ours}
    broken = [{"bound": found.bound, "says": found.says} for found in seen.broken()]
    return {
        "scenario": name,
        "what": seen.scenario.what,
        "not_yet": seen.scenario.not_yet,
        "seconds": seen.plain.seconds,
        "devices": seen.plain.devices,
        "busy_of_plain": seen.busy if seen.busy < NEVER else None,
        "totals": {key: totals(side) for key, side in sides.items()},
        "busy_over_time": {
            key: [round(share, 3) for share in side.busy_over_time(STEPS)]
            for key, side in sides.items()
        },
        "jobs": [_pair(pair) for pair in seen.pairs],
        "broken": broken,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    later = pair.later if pair.later < NEVER else None
    return {
        "submission": pair.name, "place": pair.place, "worse": pair.worse, "later_seconds": later,
        "plain": _job(pair.plain), "ours": _job(pair.ours),
    }  # fmt: skip


def _job(job: JobSeen) -> dict[str, Any]:
    runs = [
        {
            "start": round(run.start, 1), "end": round(run.end, 1), "partition": run.partition,
            "nodes": list(run.nodes), "devices": run.devices, "held": run.held, "state": run.state,
        }
        for run in job.runs
    ]  # fmt: skip
    wait = None if job.wait is None else round(job.wait, 1)
    return {
        "id": job.id, "accepted": bool(job.id), "said": job.said, "wait_seconds": wait,
        "runs": runs, "reason": job.reason,
    }  # fmt: skip
