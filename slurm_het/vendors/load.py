"""Reads the vendors' profiles: the built-in ones, and a site's files laid over them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from slurm_het.core.catalog import DeviceType
from slurm_het.errors import ConfigError
from slurm_het.vendors.profile import Vendor

BUILT_IN = Path(__file__).resolve().parent.parent / "data" / "vendors"
SITE = Path("/etc/slurm-het/vendors")
MAX_PROFILE_BYTES = 1 << 20
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_FILE = re.compile(r"/dev/(?:[A-Za-z0-9_.-]+/)?[A-Za-z0-9_.-]+\{\}")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C: a sixth of the time


def load_vendors(site: Path | None = None) -> dict[str, Vendor]:
    """Each vendor's profile by its name. Raises ConfigError.

    `site` is a directory whose files are laid over the built-in ones, key by key; a file of a
    vendor that is not built in adds it. A list replaces the one below it.
    """
    raw = {name: dict(text) for name, text in _built_in().items()}
    places = {name: BUILT_IN / f"{name}.yaml" for name in raw}
    for path in sorted(site.glob("*.yaml")) if site else ():
        given = _document(path)
        name = str(given.get("vendor", path.stem))
        raw[name] = _laid_over(raw.get(name, {"vendor": name}), given)
        places[name] = path
    return {name: _profile(text, places[name]) for name, text in raw.items()}


def catalogue(vendors: Mapping[str, Vendor]) -> dict[str, DeviceType]:
    """The device types of all vendors by name."""
    return {
        name: DeviceType(
            name, vendor.vendor, facts.memory_gib, facts.training, facts.inference, facts.tflops,
            facts.also,
        )
        for vendor in vendors.values()
        for name, facts in vendor.types.items()
    }  # fmt: skip


@functools.cache
def _built_in() -> dict[str, Any]:
    return {path.stem: _document(path) for path in sorted(BUILT_IN.glob("*.yaml"))}


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PROFILE_BYTES + 1)
        if len(text) > MAX_PROFILE_BYTES:
            raise ConfigError(f"{path} has more than {MAX_PROFILE_BYTES} bytes")
        read = yaml.load(text, _LOADER)  # noqa: S506 - a safe one
    except (OSError, yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the vendor's profile {path}: {error}") from error
    if not isinstance(read, dict):
        raise ConfigError(f"{path} is no mapping", f"compare it with those in {BUILT_IN}")
    return read


def _laid_over(base: Any, given: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(given, dict)):
        return given
    return base | {key: _laid_over(base.get(key), value) for key, value in given.items()}


def _profile(text: Any, path: Path) -> Vendor:
    try:
        vendor = msgspec.convert(text, Vendor)
    except msgspec.ValidationError as error:
        hint = f"compare it with those in {BUILT_IN}"
        raise ConfigError(f"vendor's profile {path}: {error}", hint) from error
    for text, form in _written(vendor):  # these come to stand in a shell script and in gres.conf
        if not form.fullmatch(text):
            raise ConfigError(f"vendor's profile {path}: {text!r} cannot be written there")
    return vendor


def _written(vendor: Vendor) -> Iterator[tuple[str, re.Pattern[str]]]:
    env = vendor.environment
    yield vendor.vendor, _WORD
    yield vendor.devices.each, _FILE
    yield from ((name, _VARIABLE) for name in (*env.visible, *env.fixed, *env.unset))
    yield from ((word, _WORD) for word in (*env.fixed.values(), *vendor.gres))
