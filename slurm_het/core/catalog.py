"""Device types, and what a type's name says: a model, its memory, the slice of it.

Slurm's types are what a site's gres.conf says, or what NVML calls the device there:
`a100`, `nvidia_a100-sxm4-80gb`, `nvidia_h100_80gb_hbm3_3g.40gb`, `1g.10gb`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

MAX_NAME = 128
"""A longer type's name is taken as it is."""


@dataclass(frozen=True, slots=True)
class DeviceType:
    """A model of accelerator: `memory_gib` of one schedulable device, fits in 0..1, TFLOPS.

    `also` are other spellings of its name, without signs between the parts (titanxpascal).
    """

    name: str
    vendor: str
    memory_gib: int
    training: float = 1.0
    inference: float = 1.0
    tflops: float = 100.0
    also: tuple[str, ...] = ()

    def fit(self, scenario: Literal["training", "inference"]) -> float:
        """How well the type fits a scenario, 0 (not at all) to 1."""
        return self.training if scenario == "training" else self.inference


class Catalog(Mapping[str, DeviceType]):
    """The known device types by name. Asked for a name that is built from one, it tells that too.

    Iterating it gives the known models only.
    """

    def __init__(self, models: Mapping[str, DeviceType]) -> None:
        self._models = dict(models)
        self._spelled = {spelling: m for m in models.values() for spelling in _spellings(m)}
        self._read: dict[str, DeviceType | None] = {}

    def __getitem__(self, name: str) -> DeviceType:
        if known := self._models.get(name):
            return known
        if name not in self._read:
            if len(self._read) >= 4096:  # names come from users too
                self._read.clear()
            self._read[name] = self._built(name) if len(name) <= MAX_NAME else None
        built = self._read[name]
        if built is None:
            raise KeyError(name)
        return built

    def __or__(self, models: Mapping[str, DeviceType]) -> Catalog:
        return Catalog(self._models | dict(models))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalog) and self._models == other._models

    __hash__ = None  # type: ignore[assignment]  # as a dict: it equals by what it has

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def __repr__(self) -> str:
        return f"Catalog of {len(self)} types"

    def means(self, asked: str, name: str) -> bool:
        """Whether who asks for a model means a type by it: `a100` is `nvidia_a100-sxm4-80gb` too,
        but no slice of one, and `a100-40gb` is not; `3g.40gb` is that slice of any model."""
        if asked == name:
            return True
        known, there = self.get(asked), self.get(name)
        if known is None or there is None:
            return False
        (model, said, slice_), (other, _, other_slice) = self._parts(asked), self._parts(name)
        same = model in {None, other} and slice_ == other_slice
        return same and (not said or known.memory_gib == there.memory_gib)

    def model(self, name: str) -> DeviceType | None:
        """The known model that a name is built from, as the catalogue has it."""
        return self._parts(name)[0] if len(name) <= MAX_NAME else None

    def _built(self, name: str) -> DeviceType | None:
        """The type that a name is built from: its model, its memory, its share of a MIG device."""
        own = _DEVICE_OF_ITS_OWN.fullmatch(name)
        if own and own.group(1) in self and not _MEMORY.fullmatch(name.rpartition("_")[2]):
            return None  # of that one the model is asked for: model_of
        model, said, slice_ = self._parts(name)
        if not slice_:
            if model is None:
                return None
            # No variant has more than three times the least: gh200_480gb tells its CPU's memory.
            gib = said[0] if said and said[0] <= 3 * model.memory_gib else model.memory_gib
            return replace(model, name=name, memory_gib=gib, also=())
        sevenths, gib = slice_[0], max(1, slice_[1])
        whole = model or DeviceType(name, "nvidia", 7 * gib)
        return replace(
            whole, name=name, memory_gib=gib, tflops=whole.tflops * sevenths / 7, also=()
        )

    def _parts(self, name: str) -> tuple[DeviceType | None, list[int], tuple[int, int] | None]:
        """Of a type's name: the model, the GiB that it says, and the slice: sevenths and GiB."""
        low = name.lower()
        model, others = self._model([p for p in _BETWEEN.split(_SLICE.sub("", low)) if p])
        said = [int(m.group(1) or m.group(2)) for m in map(_MEMORY.fullmatch, others) if m]
        cut = _SLICE.search(low)
        return model, said, (int(cut.group(1)), int(cut.group(2))) if cut else None

    def _model(self, parts: list[str]) -> tuple[DeviceType | None, list[str]]:
        """The model that is spelled by the most parts that stand together, and the other parts.

        A memory may stand behind the model without a sign between: `pvc128g`.
        """
        if len(parts) == 1 and (glued := _GLUED.fullmatch(parts[0])):
            model, others = self._model([glued[1]])
            return (model, [glued[2], *others]) if model else self._spelled_by(parts)
        return self._spelled_by(parts)

    def _spelled_by(self, parts: list[str]) -> tuple[DeviceType | None, list[str]]:
        for length in range(min(5, len(parts)), 0, -1):
            for start in range(len(parts) - length + 1):
                spelled = "".join(parts[start : start + length])
                known = self._spelled.get(spelled) or self._spelled.get(_BRAND.sub("", spelled))
                if known:
                    return known, parts[:start] + parts[start + length :]
        return None, parts


# A slice of NVIDIA's MIG: sevenths of the compute, GiB of memory (MIG User Guide, "MIG profiles").
_SLICE = re.compile(r"(?<![a-z0-9])([1-7])g\.(\d{1,4})gb(?:\+\S+|\.me)?")
# Without a unit only usual sizes; q and c are of NVIDIA's vGPU profiles (a100-40c).
_MEMORY = re.compile(r"(\d{1,3})(?:gb?|[cq])|(16|24|32|40|48|64|80)")
_GLUED = re.compile(r"(.*[a-z]\w*?)([1-9]\d{1,2}(?:gb?|[cq]))")
_BRAND = re.compile(r"\A(?:nvidia|geforce|tesla|quadro|amd|instinct|radeon|intel|huawei|ascend)+")
_BETWEEN = re.compile(r"[^a-z0-9]+")
_DEVICE_OF_ITS_OWN = re.compile(r"(.+)_\d+")


def _spellings(model: DeviceType) -> tuple[str, ...]:
    return _BETWEEN.sub("", model.name.lower()), *model.also


def is_slice(name: str) -> bool:
    """Whether a type's name is that of a slice of a device: `1g.10gb`."""
    return _SLICE.search(name.lower()) is not None


def model_of(name: str, known: Container[str]) -> str:
    """The model behind a GRES type: `a100_2`, a device of its own type, is an `a100`.

    But `rtx_3090` is what it says, unless the catalogue (`known`) has an `rtx` and no such type.
    """
    match = _DEVICE_OF_ITS_OWN.fullmatch(name)
    if not match or name in known:
        return name
    model = name.rpartition("_")[0]
    return model if model in known else name
