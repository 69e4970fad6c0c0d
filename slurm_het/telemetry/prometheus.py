"""What a Prometheus server has of the devices, in whatever words their exporters tell it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from slurm_het.core.cluster.ailing import Sample, SlurmPlace
from slurm_het.errors import HetError
from slurm_het.telemetry.http import HttpAnswer, get
from slurm_het.telemetry.report import MAX_MIB, HostReport, short
from slurm_het.vendors.profile import Exporter, Metric, Vendor

MAX_BYTES = 256 << 20
NODE_LABELS = ("node", "Hostname", "hostname", "instance")
UNWELL = "its exporter says that it is not well"
AGE = "slurm_het_devices_age_seconds"
OURS = Exporter(
    "het-exporter",
    index="device",
    memory_used=Metric("slurm_het_device_memory_used_bytes", "B"),
    memory_total=Metric("slurm_het_device_memory_total_bytes", "B"),
    health=(Metric("slurm_het_device_healthy", "1", well=(1.0,)),),
)
OURS_BESIDE = {
    "foreign": Metric("slurm_het_device_memory_foreign_bytes", "B"),
    "reason": Metric("slurm_het_device_trouble", "1"),
    "slurm": Metric("slurm_het_device_slurm_index", "1"),
}
"""What only het-exporter tells; it tells the vendor too, by a label."""

_PLACE = re.compile(r"(\d{1,4})$")
_COUNT = re.compile(r"\d{1,4}", re.ASCII)
_MIB = {"MiB": 1.0, "KiB": 1 / 1024, "B": 1 / (1 << 20)}


class Meaning(NamedTuple):
    """What a metric is of a device: of which vendor ('': its label tells), by which label. A sample
    with a label `part` is of a part of it. `apart`, `lag`: see Exporter."""

    what: str
    metric: Metric
    label: str
    vendor: str
    part: str = ""
    apart: float = 0.0
    lag: float = 0.0


Meanings = Mapping[str, Meaning]
"""By the metrics' names."""


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]

    @property
    def scrape(self) -> tuple[str, str]:
        """What it was read with: such series have the same times."""
        return self.metric.get("job", ""), self.metric.get("instance", "")

    def last(self) -> tuple[float, float] | None:
        """The time and the value of the last sample, if they are numbers."""
        try:
            at, amount = self.values[-1][0], float(self.values[-1][1])
        except (IndexError, ValueError):
            return None
        return (at, amount) if math.isfinite(at) and math.isfinite(amount) else None

    @property
    def every(self) -> float:
        """From one sample to the next, where it has two."""
        times = [at for at, _ in self.values if math.isfinite(at)]
        return min((b - a for a, b in pairwise(times) if b > a), default=0.0)


class _Result(msgspec.Struct):
    result: list[_Series]


class _QueryReply(msgspec.Struct):
    data: _Result


@dataclass
class _Told:
    """What is told of one device: amounts by what they are, as of the oldest one's time."""

    mib: dict[str, int] = field(default_factory=dict)
    unwell: bool = False
    reason: str = ""
    slurm: SlurmPlace | None = None
    at: float = math.inf
    lag: float = 0.0
    every: float = 0.0


def meanings(vendors: Iterable[Vendor]) -> dict[str, Meaning]:
    """All metrics that are read: those of het-exporter, and of the vendors' own exporters."""
    read = dict(_of(OURS, "")) | {
        metric.name: Meaning(what, metric, OURS.index, "") for what, metric in OURS_BESIDE.items()
    }
    for vendor in vendors:
        if vendor.exporter and vendor.exporter.index:
            read |= dict(_of(vendor.exporter, vendor.vendor))
    return read


def _of(exporter: Exporter, vendor: str) -> Iterable[tuple[str, Meaning]]:
    amounts = {
        "used": exporter.memory_used, "total": exporter.memory_total, "free": exporter.memory_free,
    }  # fmt: skip
    means = [(what, m) for what, m in amounts.items() if m and m.unit in _MIB]
    means += [("health", metric) for metric in exporter.health if metric.well]
    for what, metric in means:
        yield (
            metric.name,
            Meaning(
                what, metric, exporter.index, vendor, exporter.part, exporter.apart, exporter.lag
            ),
        )


async def ask(server: str, read: Meanings, within: float, seconds: float) -> HttpAnswer:
    """All samples of the last `within` seconds, answered in so many `seconds`. Raises HetError."""
    names = "|".join(map(re.escape, sorted({*read, AGE})))
    query = f'{{__name__=~"{names}"}}[{max(1, round(within))}s]'
    url = f"{server.rstrip('/')}/api/v1/query?query={quote(query, safe='')}"
    return await get(url, seconds, MAX_BYTES)


def reports_of(answer: HttpAnswer, read: Meanings, now: float) -> dict[str, HostReport]:
    """By node, what the server has of its devices. `now` is used where it does not tell its time.

    Raises HetError.
    """
    try:
        series = msgspec.json.decode(answer.body, type=_QueryReply).data.result
    except (msgspec.MsgspecError, RecursionError) as error:
        raise HetError(f"it is no answer of Prometheus: {error}") from error
    told: dict[tuple[str, str, int], _Told] = {}
    ages: dict[str, float] = {}
    # Slurm counts the parts through, and in which order an exporter of cards does not tell.
    parts = {meaning.part for meaning in read.values()} - {""}
    in_parts = {(_node(s.metric), part) for s in series for part in parts if s.metric.get(part)}
    # Their places are not het-exporter's, which tells of all vendors' devices.
    ours = {_node(s.metric) for s in series if (m := _meaning(read, s)) and not m.vendor}
    newest: dict[tuple[str, str], float] = {}
    for one in series:
        if last := one.last():
            newest[one.scrape] = max(last[0], newest.get(one.scrape, 0.0))
    for one in sorted(series, key=lambda one: (one.last() or (0.0,))[0]):
        name, node, last = one.metric.get("__name__", ""), _node(one.metric), one.last()
        meaning = _meaning(read, one)
        # What the last scrape has not any more is over, such as the reason of a trouble.
        apart = meaning.apart if meaning else 0.0
        if not node or last is None or last[0] < newest[one.scrape] - apart:
            continue
        if name == AGE:
            ages[node] = last[1]
        elif (
            meaning
            and (node, meaning.part) not in in_parts
            and not (meaning.vendor and node in ours)
            and (key := _device(node, meaning, one.metric))
        ):
            device = told.setdefault(key, _Told())
            device.every = max(device.every, one.every)
            _take(device, meaning, last, one.metric)
    return _by_node(told, ages, answer.date or now)


def _meaning(read: Meanings, series: _Series) -> Meaning | None:
    return read.get(series.metric.get("__name__", ""))


def _device(node: str, meaning: Meaning, labels: Mapping[str, str]) -> tuple[str, str, int] | None:
    place = _PLACE.search(labels.get(meaning.label, ""))
    if place is None or any(labels.get(k) != v for k, v in meaning.metric.labels.items()):
        return None
    vendor = meaning.vendor or short(labels.get("vendor", ""))
    return node, vendor, int(place.group(1))


def _take(
    told: _Told, meaning: Meaning, last: tuple[float, float], labels: Mapping[str, str]
) -> None:
    at, amount = last
    what, metric = meaning.what, meaning.metric
    told.at, told.lag = min(told.at, at), max(told.lag, meaning.lag)
    if what == "reason":
        told.reason = short(labels.get("reason", ""))
    elif what == "slurm":
        of = labels.get("of", "")
        if _COUNT.fullmatch(of) and 0 <= amount < int(of):
            told.slurm = SlurmPlace(short(labels.get("gres", "")), int(amount), int(of))
    elif what == "health":
        told.unwell |= amount not in metric.well
    elif 0 <= (mib := amount * _MIB[metric.unit]) < MAX_MIB:
        told.mib[what] = round(mib)


def _by_node(
    told: Mapping[tuple[str, str, int], _Told], ages: Mapping[str, float], now: float
) -> dict[str, HostReport]:
    samples: dict[str, list[Sample]] = {}
    oldest: dict[str, float] = {}
    every: dict[str, float] = {}
    for (node, vendor, place), device in sorted(told.items(), key=itemgetter(0)):
        samples.setdefault(node, []).append(_sample(place, vendor, device))
        oldest[node] = min(device.at, oldest.get(node, math.inf))
        every[node] = max(device.every, every.get(node, 0.0))
    reports = {}
    for node, those in samples.items():
        age = max(0.0, now - oldest[node]) + max(0.0, ages.get(node, 0.0))
        reports[node] = HostReport(age, tuple(those), every=every[node])
    return reports


def _sample(place: int, vendor: str, told: _Told) -> Sample:
    used, total, free = (told.mib.get(what) for what in ("used", "total", "free"))
    if total is None and used is not None and free is not None:
        total = used + free
    trouble = (told.reason or UNWELL) if told.unwell else ""
    return Sample(
        place, vendor, used, total, told.mib.get("foreign"), trouble,
        slurm=told.slurm, lag=told.lag,
    )  # fmt: skip


def _node(labels: Mapping[str, str]) -> str:
    """The short name of the host that a series is of."""
    name = next((labels[label] for label in NODE_LABELS if labels.get(label)), "")
    return name.partition(":")[0].partition(".")[0]
