"""Readings from a file, in place of a host's drivers: for tests, the sandbox and demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from slurm_het.core.cluster.ailing import SlurmPlace
from slurm_het.errors import HetError
from slurm_het.telemetry.device import DeviceReading
from slurm_het.telemetry.host import with_gone
from slurm_het.telemetry.host_watch import HostReading

MAX_BYTES = 4 << 20


class Replay:
    """Reads the file anew each time, as a host is read. What it told of and does not any more is
    gone, as a card that falls off its bus. Its indexes are Slurm's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[DeviceReading, ...] = ()

    def read(self, _seconds: float) -> HostReading:
        """The devices. Raises HetError."""
        told = replayed(self.path)
        self._seen = with_gone(self._seen, told.devices)
        places = (SlurmPlace("gpu", one.index, len(self._seen)) for one in self._seen)
        return HostReading(self._seen, told.age, tuple(places))


def replayed(path: Path) -> HostReading:
    """Read the file (YAML or JSON) anew: a table with `devices`, or their list alone.

    Raises HetError.
    """
    try:
        with path.open("rb") as file:
            raw: Any = yaml.safe_load(file.read(MAX_BYTES))
        return msgspec.convert({"devices": raw} if isinstance(raw, list) else raw, HostReading)
    except (OSError, yaml.YAMLError, RecursionError, msgspec.ValidationError) as error:
        raise HetError(f"no readings in {path}: {error}") from error
