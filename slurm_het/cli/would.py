"""What shadow would do with jobs, beside why they wait under plain Slurm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from slurm_het.core.views.job_rows import JobRow, View


def with_would(view: View, would: Mapping[str, str]) -> View:
    """The view; to the reason of each waiting job that shadow has decided about that is added.

    `would` is by job key. Of an array that is one line, what most of its tasks would do is told.
    """
    if not would:
        return view
    by_array: dict[str, Counter[str]] = {}
    for key, text in would.items():
        array, _, task = key.partition("_")
        if task:
            by_array.setdefault(array, Counter())[text] += 1
    return replace(view, rows=tuple(_with(row, would, by_array) for row in view.rows))


def _with(row: JobRow, would: Mapping[str, str], by_array: Mapping[str, Counter[str]]) -> JobRow:
    if not row.waits:
        return row
    told = would.get(row.job.key, "")
    if row.job.unsplit and (tasks := by_array.get(str(row.job.array_job_id))):
        text, count = tasks.most_common(1)[0]
        told = f"{text} ({count} of its tasks)"
    return replace(row, reason="; ".join(filter(None, [row.reason, told]))) if told else row
