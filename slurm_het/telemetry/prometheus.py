"""What a Prometheus server has of the devices, in whatever words their exporters tell it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import yaml

from slurm_het.core.cluster.ailing import Sample
from slurm_het.errors import HetError
from slurm_het.resources import data_dir
from slurm_het.telemetry.http import HttpAnswer, get
from slurm_het.telemetry.report import MAX_MIB, HostReport, short

MAX_BYTES = 256 << 20
MAX_FILE = 1 << 20
NODE_LABELS = ("node", "Hostname", "hostname", "instance")
UNWELL = "its exporter says that it is not well"
_PLACE = re.compile(r"(\d{1,4})$")


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one exporter calls things; see data/exporters.yaml."""

    used: str
    place: str
    mib: float
    total: str = ""
    free: str = ""
    foreign: str = ""
    healthy: str = ""
    reason: str = ""
    age: str = ""
    model: str = ""
    vendor_label: str = ""

    def metrics(self) -> dict[str, str]:
        """What each of its metrics is."""
        names = ("used", "total", "free", "foreign", "healthy", "reason", "age")
        return {getattr(self, name): name for name in names if getattr(self, name)}


def read_words(site: Path | None = None) -> dict[str, Words]:
    """The exporters that are known, with those of the site's own file. Raises HetError."""
    known: dict[str, Words] = {}
    for path in filter(None, (data_dir("data") / "exporters.yaml", site)):
        try:
            with path.open("rb") as file:
                raw: Any = yaml.safe_load(file.read(MAX_FILE))
            known |= msgspec.convert(raw or {}, dict[str, Words])
        except (OSError, yaml.YAMLError, RecursionError, msgspec.ValidationError) as error:
            raise HetError(f"no words of exporters in {path}: {error}") from error
    return known


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Result(msgspec.Struct):
    result: list[_Series]


class _Reply(msgspec.Struct):
    data: _Result


@dataclass
class _Device:
    """What is told of one device so far: the amounts by what they are, and the oldest's time."""

    labels: dict[str, str]
    words: Words
    amounts: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    at: float = math.inf


async def ask(server: str, words: Mapping[str, Words], within: float, seconds: float) -> HttpAnswer:
    """All samples of the last `within` seconds, answered in so many `seconds`. Raises HetError."""
    names = sorted({name for one in words.values() for name in one.metrics()})
    query = f'{{__name__=~"{"|".join(names)}"}}[{max(1, round(within))}s]'
    url = f"{server.rstrip('/')}/api/v1/query?query={quote(query, safe='')}"
    return await get(url, seconds, MAX_BYTES)


def reports_of(answer: HttpAnswer, words: Mapping[str, Words], now: float) -> dict[str, HostReport]:
    """By node, what the server has of its devices. `now` is used where it does not tell its time.

    Raises HetError.
    """
    try:
        series = msgspec.json.decode(answer.body, type=_Reply).data.result
    except (msgspec.MsgspecError, RecursionError) as error:
        raise HetError(f"it is no answer of Prometheus: {error}") from error
    now = answer.date or now
    known = {name: (vendor, w, what) for vendor, w in words.items()
             for name, what in w.metrics().items()}  # fmt: skip
    devices: dict[tuple[str, str, int], _Device] = {}
    ages: dict[str, float] = {}
    for one in series:
        entry = known.get(one.metric.get("__name__", ""))
        node = _node(one.metric)
        if not entry or not node or not one.values or not (value := _number(one.values[-1])):
            continue
        vendor, w, what = entry
        if what == "age":
            ages[node] = value[1]
        elif (place := _PLACE.search(one.metric.get(w.place, ""))) is not None:
            vendor = one.metric.get(w.vendor_label, "") if w.vendor_label else vendor
            key = node, short(vendor), int(place.group(1))
            _take(devices.setdefault(key, _Device(one.metric, w)), what, value, one.metric)
    return _by_node(devices, ages, now)


def _take(
    device: _Device, what: str, value: tuple[float, float], labels: Mapping[str, str]
) -> None:
    at, amount = value
    device.at = min(device.at, at)
    if what == "reason":
        device.reason = short(labels.get("reason", "")) if amount else ""
    else:
        device.amounts[what] = amount


def _by_node(
    devices: Mapping[tuple[str, str, int], _Device], ages: Mapping[str, float], now: float
) -> dict[str, HostReport]:
    samples: dict[str, list[Sample]] = {}
    oldest: dict[str, float] = {}
    for (node, vendor, place), device in devices.items():
        samples.setdefault(node, []).append(_sample(place, vendor, device))
        oldest[node] = min(device.at, oldest.get(node, math.inf))
    return {
        node: HostReport(max(0.0, now - oldest[node]) + ages.get(node, 0.0), tuple(those))
        for node, those in samples.items()
    }


def _sample(place: int, vendor: str, device: _Device) -> Sample:
    def mib(what: str) -> int | None:
        amount = device.amounts.get(what)
        in_mib = None if amount is None else amount * device.words.mib
        return round(in_mib) if in_mib is not None and 0 <= in_mib < MAX_MIB else None

    used, total, free = mib("used"), mib("total"), mib("free")
    if total is None and used is not None and free is not None:
        total = used + free
    unwell = device.amounts.get("healthy", 1.0) < 1
    trouble = (device.reason or UNWELL) if unwell else ""
    model = short(device.labels.get(device.words.model, ""))
    return Sample(place, vendor, used, total, mib("foreign"), trouble, model)


def _node(labels: Mapping[str, str]) -> str:
    """The short name of the host that a series is of."""
    name = next((labels[label] for label in NODE_LABELS if labels.get(label)), "")
    return name.partition(":")[0].partition(".")[0]


def _number(value: tuple[float, str]) -> tuple[float, float] | None:
    try:
        amount = float(value[1])
    except ValueError:
        return None
    return (value[0], amount) if math.isfinite(amount) and math.isfinite(value[0]) else None
