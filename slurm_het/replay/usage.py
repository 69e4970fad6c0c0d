"""Device-seconds in use over time, by pool: of what really ran, and of what was simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from slurm_het.replay.site import ReplaySite

NO_POOL = "(no pool)"
MOST_BINS = 120


@dataclass
class Usage:
    """By pool, device-seconds in each of equal parts of the time from `begin` to `end`."""

    begin: float
    end: float
    step: float
    pools: Mapping[str, str]
    used: dict[str, list[float]] = field(default_factory=dict)

    def add(self, nodes: Sequence[str], each: float, start: float, end: float) -> None:
        """A job had so many devices on each of these nodes."""
        start, end = max(start, self.begin), min(end, self.end)
        if end <= start or not each:
            return
        counts: dict[str, int] = {}
        for name in nodes:
            pool = self.pools.get(name)
            if pool is not None:
                counts[pool] = counts.get(pool, 0) + 1
        first = int((start - self.begin) / self.step)
        last = min(int((end - self.begin) / self.step), self.bins - 1)
        for pool, count in counts.items():
            bins = self.used.setdefault(pool, [0.0] * self.bins)
            for n in range(first, last + 1):
                low = self.begin + n * self.step
                part = min(end, low + self.step) - max(start, low)
                bins[n] += count * each * max(0.0, part)

    @property
    def bins(self) -> int:
        """How many parts there are."""
        return max(1, -(-int(self.end - self.begin) // int(self.step)))

    @property
    def total(self) -> float:
        """All device-seconds."""
        return sum(map(sum, self.used.values()))


def empty_usage(site: ReplaySite, begin: float, end: float) -> Usage:
    """Nothing in use yet; a day is a part, or less of a short time."""
    step = max(1.0, min(86_400.0, (end - begin) / 24), (end - begin) / MOST_BINS)
    return Usage(begin, end, step, pools_of(site))


def mean_usage(usages: Sequence[Usage]) -> Usage:
    """The mean of several, of the same time and pools."""
    first, many = usages[0], len(usages)
    pools = dict.fromkeys(pool for usage in usages for pool in usage.used)
    nothing = [0.0] * first.bins
    used = {}
    for pool in pools:
        bins = zip(*(usage.used.get(pool, nothing) for usage in usages), strict=True)
        used[pool] = [sum(parts) / many for parts in bins]
    return replace(first, used=used)


def pools_of(site: ReplaySite) -> dict[str, str]:
    """By node, its pool."""
    pools = [pool.partition for pool in site.config.policy.pools]
    return {
        host.name: next((p for p in pools if host.name in site.partitions[p]), NO_POOL)
        for host in site.hosts
    }


def devices_by_pool(site: ReplaySite) -> dict[str, int]:
    """How many devices each pool has."""
    of = pools_of(site)
    found: dict[str, int] = {}
    for host in site.hosts:
        found[of[host.name]] = found.get(of[host.name], 0) + len(host.types)
    return found
