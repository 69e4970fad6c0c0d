"""What is particular to a vendor's accelerators, as data: data/vendors/ has a file for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]

SlurmFlag = Literal["nvidia_gpu_env", "amd_gpu_env", "intel_gpu_env", "opencl_env"]

SLURM_SETS: Mapping[SlurmFlag, str] = {
    "nvidia_gpu_env": "CUDA_VISIBLE_DEVICES",
    "amd_gpu_env": "ROCR_VISIBLE_DEVICES",
    "intel_gpu_env": "ZE_AFFINITY_MASK",
    "opencl_env": "GPU_DEVICE_ORDINAL",
}
"""The words of gres.conf's `Flags=`, and the variable that Slurm sets by each for a task's gpu."""


class Pci(Struct, frozen=True, forbid_unknown_fields=True):
    """How the cards are known on the PCI bus: vendor ids, and the classes that are accelerators.

    Both as sysfs writes them, without 0x: `10de`, `0302`. No class: any device of the vendor.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...] = ()


class DeviceFiles(Struct, frozen=True, forbid_unknown_fields=True):
    """The character devices: one for each device, numbered from `first`, and those of all.

    `each` has `{}` for the number: `/dev/dri/renderD{}`.
    """

    each: str
    first: Annotated[int, Meta(ge=0, le=4096)] = 0
    common: tuple[str, ...] = ()

    def numbered(self, count: int, start: int = 0) -> str:
        """The files of `count` devices from the `start`th, as gres.conf writes them."""
        low = self.first + start
        return self.each.format(low if count == 1 else f"[{low}-{low + count - 1}]")


class Environment(Struct, frozen=True, forbid_unknown_fields=True):
    """The variables by which a program is told its devices.

    `slurm_flag`: the word of gres.conf by which Slurm sets one of them itself; for a vendor that
    Slurm does not know that of OpenCL, whose value the TaskProlog gives to the right variable.
    `visible` get the devices' indexes, `fixed` are set as they are, `unset` must not be there
    beside them.
    """

    slurm_flag: SlurmFlag
    visible: tuple[str, ...]
    fixed: Mapping[str, str] = {}
    unset: tuple[str, ...] = ()


class Metric(Struct, frozen=True, forbid_unknown_fields=True):
    """A time series of the vendor's exporter; `unit`: MiB, B, percent, 1, code."""

    name: str
    unit: Literal["MiB", "KiB", "B", "percent", "1", "code"]
    labels: Mapping[str, str] = {}
    well: tuple[float, ...] = ()


class Exporter(Struct, frozen=True, forbid_unknown_fields=True):
    """What the vendor's own Prometheus exporter calls things.

    `index` and `address` are labels: which device a sample is of. A sample with a label `part` is
    of a part of that device, which Slurm counts as a device. A health metric says that a device is
    well by one of its `well` values. `apart`: it gives samples a time of their own, and those of
    one scrape are so many seconds apart at most. `lag`: what it tells at a scrape it may have read
    so many seconds before.
    """

    program: str
    index: str = ""
    address: str = ""
    part: str = ""
    apart: Annotated[float, Meta(ge=0, le=600)] = 0.0
    lag: Annotated[float, Meta(ge=0, le=600)] = 0.0
    memory_used: Metric | None = None
    memory_free: Metric | None = None
    memory_total: Metric | None = None
    utilization: Metric | None = None
    health: tuple[Metric, ...] = ()


class ModelFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a model: figures of one schedulable device, a die where a card has several.

    `dies`: of a card. `whole_cards`: a job gets all dies of a card or none. `unverified`: the
    fields whose figure was not seen in one of the vendor's `sources`. The fits are estimates.
    """

    memory_gib: Annotated[int, Meta(ge=1, le=65536)]
    training: Share
    inference: Share
    tflops: Annotated[float, Meta(gt=0, le=1e6)]
    also: tuple[str, ...] = ()
    dies: Annotated[int, Meta(ge=1, le=16)] = 1
    whole_cards: bool = False
    unverified: tuple[str, ...] = ()


class Vendor(Struct, frozen=True, forbid_unknown_fields=True):
    """A vendor's profile. `gres`: names that users write for its cards beside gpu.

    `probes`: what reads its devices, the first that is installed. `unverified`: the parts that
    were not seen in one of the `sources`, nor on a device.
    """

    vendor: str
    name: str
    pci: Pci
    devices: DeviceFiles
    environment: Environment
    types: Mapping[str, ModelFacts]
    gres: tuple[str, ...] = ()
    autodetect: Literal["nvml", "rsmi", "oneapi", ""] = ""
    probes: tuple[str, ...] = ()
    exporter: Exporter | None = None
    sources: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()


def variables(vendors: Iterable[Vendor]) -> tuple[str, ...]:
    """Every variable by which some vendor's programs are told their devices."""
    words = (
        name
        for vendor in vendors
        for name in (
            *vendor.environment.visible, *vendor.environment.fixed, *vendor.environment.unset,
        )
    )  # fmt: skip
    return tuple(dict.fromkeys(words))
