"""Futures: how many tasks of each kind may come, where so many are expected.

A kind's numbers have the mean that is expected and the variance of Poisson arrivals whose rate is
not known for sure. Over all futures each kind takes all its quantiles, one in each (a Latin
hypercube, McKay, Beckman and Conover 1979): no luck of a few draws is in what comes of them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import NormalDist

SPREAD = 0.1
"""Variance of a kind's rate, of the square of its mean."""


def futures(expected: Sequence[float], count: int, seed: int) -> list[list[float]]:
    """So many futures, each with a number for every kind."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    levels = [NormalDist().inv_cdf((j + 0.5) / count) for j in range(count)]
    of_kinds = [_quantiles(mean, levels) for mean in expected]
    for numbers in of_kinds:
        rng.shuffle(numbers)
    return [[numbers[j] for numbers in of_kinds] for j in range(count)]


def _quantiles(mean: float, levels: Sequence[float]) -> list[float]:
    """The Gamma distribution's of that mean and variance (Wilson and Hilferty 1931).

    `levels` are those of a normal distribution, in order. The numbers have exactly the mean.
    """
    if mean <= 0:
        return [0.0] * len(levels)
    width = (1 / mean + SPREAD) / 9
    cubes = [max(0.0, 1 - width + level * width**0.5) ** 3 for level in levels]
    cubes[-1] = cubes[-1] or 1.0  # who is so rare comes in one of them
    scale = mean * len(levels) / sum(cubes)
    return [scale * cube for cube in cubes]
