"""Line plots as SVG beside RESULTS.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib import pyplot as plt

HERE = Path(__file__).parent


class Series(NamedTuple):
    """A line of a plot."""

    name: str
    points: Sequence[tuple[float, float]]


def draw(
    name: str, title: str, x: str, y: str, series: Sequence[Series], directory: Path = HERE
) -> Path:
    """Draw NAME.svg; its path."""
    mpl.use("Agg")
    # Equal figures give equal files, so that a commit shows what changed.
    mpl.rcParams.update({"svg.hashsalt": name, "font.size": 9, "axes.grid": True,
                         "grid.alpha": 0.3})  # fmt: skip
    figure, axes = plt.subplots(figsize=(7, 4))
    for line in series:
        axes.plot(*zip(*line.points, strict=True), label=line.name, linewidth=1.4)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.legend()
    path = directory / f"{name}.svg"
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return path
