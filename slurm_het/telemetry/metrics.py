"""The devices as Prometheus reads them: /metrics of het-exporter.

No label grows without bound: a series is of a device, and a reason has no numbers but short ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from slurm_het.core.cluster.ailing import Sample
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.host_watch import HostWatch
from slurm_het.telemetry.report import short

PREFIX = "slurm_het_device_"
MIB = 1 << 20
_NUMBER = re.compile(r"(?i)\b0x[0-9a-f]+|[0-9a-f]*\d[0-9a-f]{3,}|\d{4,}")
Value = Callable[[DeviceReading, Sample], float | None]


def _bytes(mib: int | None) -> float | None:
    return None if mib is None else float(mib * MIB)


GAUGES: tuple[tuple[str, str, Value], ...] = (
    ("memory_total_bytes", "Memory of the device.", lambda d, _: _bytes(d.memory_total_mib)),
    ("memory_used_bytes", "Memory in use, whoever's.", lambda d, _: _bytes(d.memory_used_mib)),
    ("memory_foreign_bytes", "Memory that processes of no Slurm job have.",
     lambda _, sample: _bytes(sample.foreign_mib)),
    ("utilization_ratio", "Share of the time that it computes, 0 to 1.",
     lambda d, _: d.utilization),
    ("processes", "Processes that use the device.", lambda d, _: float(len(d.processes))),
    ("healthy", "1 if it can be used, else 0.", lambda d, _: float(d.healthy)),
)  # fmt: skip


def bounded(reason: str) -> str:
    """A reason as a label: without addresses and counters, which would make a series each."""
    return _NUMBER.sub("#", short(reason))


class DeviceCollector(Collector):
    """Makes the metrics of the latest reading; none of what is too old to be told."""

    def __init__(self, watch: HostWatch) -> None:
        self.watch = watch

    def collect(self) -> Iterable[Metric]:
        """All metrics, now."""
        report, readings = self.watch.report(), self.watch.readings()
        both = list(zip(readings, report.devices, strict=False))
        for name, text, value in GAUGES:
            family = GaugeMetricFamily(PREFIX + name, text, labels=("device", "vendor"))
            for device, sample in both:
                if (amount := value(device, sample)) is not None:
                    family.add_metric(_labels(device), amount)
            yield family
        yield from _told(readings)
        yield _slurm_index(report.devices)
        yield GaugeMetricFamily(
            "slurm_het_devices_age_seconds", "Seconds since the devices were read.", report.age
        )
        yield GaugeMetricFamily(
            "slurm_het_devices_unreadable", "1 if they could not be read at the last attempt.",
            float(bool(report.failure)),
        )  # fmt: skip


def _told(readings: Iterable[DeviceReading]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        PREFIX + "info", "The device.", labels=("device", "vendor", "model", "address")
    )
    trouble = GaugeMetricFamily(
        PREFIX + "trouble", "Why it must not be used.", labels=("device", "vendor", "reason")
    )
    for device in readings:
        info.add_metric([*_labels(device), short(device.model), short(device.address)], 1.0)
        if device.unhealthy:
            trouble.add_metric([*_labels(device), bounded(device.unhealthy)], 1.0)
    yield info
    yield trouble


def _slurm_index(samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(
        PREFIX + "slurm_index", "Which of Slurm's `of` devices of a GRES name it is.",
        labels=("device", "vendor", "gres", "of"),
    )  # fmt: skip
    for sample in samples:
        if slurm := sample.slurm:
            labels = [str(sample.place), short(sample.vendor), slurm.gres, str(slurm.of)]
            family.add_metric(labels, float(slurm.index))
    return family


def _labels(device: DeviceReading) -> list[str]:
    return [str(device.index), short(device.vendor)]
