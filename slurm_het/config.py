"""The configuration: one YAML file → Config. Messages name the key, the line, the valid values."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import Meta

from slurm_het.core.catalog import Catalog, DeviceType
from slurm_het.core.model import Scenario
from slurm_het.core.policy import ExpectedJob, GresName, Mode, Policy, Pool, Rule, Weights
from slurm_het.core.sign import STRENGTHS, Sign, SignTable
from slurm_het.errors import ConfigError
from slurm_het.settings import (
    Config,
    Fraction,
    HookSettings,
    PageSettings,
    Paths,
    PlannerSettings,
    SlurmSettings,
    TelemetrySettings,
)
from slurm_het.vendors import Vendor, catalogue, load_vendors

DEFAULT_PATH = Path("/etc/slurm-het/het.yaml")
_DATA = Path(__file__).resolve().parent / "data"
MAX_BYTES = 4 << 20
MAX_SOCKET = 107  # bytes of a unix socket's name
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _PoolTag:
    scenario: Scenario
    vendors: tuple[str, ...]
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class _TypeFields:
    vendor: str | None = None
    memory_gib: Annotated[int, Meta(ge=1, le=65536)] | None = None
    training: Fraction | None = None
    inference: Fraction | None = None
    tflops: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    also: tuple[str, ...] | None = None


# What a bare number may be: nothing in the configuration is negative or endless.
_BOUNDED: dict[Any, Any] = {
    float: Annotated[float, Meta(ge=0, le=1e6)],
    int: Annotated[int, Meta(ge=0, le=1 << 31)],
}
_CLASS = re.compile(r"[a-z0-9_.+:-]{1,64}")  # hints are read in lower case
_PARTITION = re.compile(r"[A-Za-z0-9_.+-]+")

KEYS = (
    "intake_partition", "pools", "gres", "types", "default_vendors", "default_scenario", "rules",
    "signs", "weights", "preference", "throughput", "expected_jobs", "hook", "planner", "paths",
    "slurm", "operators", "history_days", "impossible_memory", "spanning_partition", "mode",
    "telemetry", "page")  # fmt: skip


def config_path(given: str | os.PathLike[str] | None = None) -> Path:
    """The file to read: the one given, $HET_CONFIG, or /etc/slurm-het/het.yaml."""
    return Path(given or os.environ.get("HET_CONFIG") or DEFAULT_PATH)


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read and check the configuration file. Raises ConfigError."""
    file = config_path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the configuration {file}: {error}",
            "give it with --config or $HET_CONFIG; examples/het.yaml is a start",
        ) from error
    return parse_config(text, file)


def parse_config(text: str, source: Path | None = None) -> Config:
    """Check a configuration text. Raises ConfigError with key, line and valid values."""
    return _Reader(_document(text, source), str(source or "config")).config(source)


def _document(text: str, source: Path | None) -> yaml.Node | None:
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{source or 'config'}: {len(text)} bytes", f"at most {MAX_BYTES}")
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)  # most have one, and say more in lines
        line = f":{mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigError(f"{source or 'config'}{line} is not YAML: {why}") from error


def _builtin(name: str) -> yaml.Node | None:
    return _document((_DATA / name).read_text(encoding="utf-8"), _DATA / name)


def _path(kind: type[Any], value: Any) -> Any:
    """msgspec's hook for the one type it does not know."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected {kind.__name__}")


def _expected(kind: Any) -> str:
    """The valid values of a closed choice, which msgspec's message leaves out."""
    kinds = [kind, *get_args(kind)]
    words = [w for k in kinds if get_origin(k) is Literal for w in get_args(k)]
    return f"valid: {', '.join(words)}" if words else ""


class _Reader:
    """Walks the YAML nodes, which know their lines, and converts leaves with msgspec."""

    def __init__(self, root: yaml.Node | None, name: str) -> None:
        self.root = root
        self.name = name
        self.vendors: dict[str, Vendor] = {}

    def config(self, source: Path | None) -> Config:
        top = self.mapping(self.root, "")
        self.known(top, KEYS, "")
        for key in ("intake_partition", "pools"):
            if key not in top:
                raise ConfigError(f"{self.name}: the key {key!r} is missing", "see examples/")
        paths = self.paths(top)
        self.vendors = load_vendors(paths.vendors)
        return Config(
            policy=self.policy({k: node for k, (_, node) in top.items()}),
            hook=self.section(top, "hook", HookSettings),
            planner=self.section(top, "planner", PlannerSettings),
            paths=paths,
            slurm=self.section(top, "slurm", SlurmSettings),
            telemetry=self.section(top, "telemetry", TelemetrySettings),
            page=self.section(top, "page", PageSettings),
            operators=self.operators(top),
            source=source,
        )

    def paths(self, top: dict[str, tuple[yaml.Node, yaml.Node]]) -> Paths:
        paths = self.section(top, "paths", Paths)
        for f in fields(paths):
            path: Path = getattr(paths, f.name)
            if not path.is_absolute():
                raise self.error(top["paths"][1], f"paths.{f.name}", f"{path} is not absolute")
            if f.name.endswith("_socket") and len(os.fsencode(path)) > MAX_SOCKET:
                what = f"has more than {MAX_SOCKET} bytes: Linux takes no longer name of a socket"
                raise self.error(top["paths"][1], f"paths.{f.name}", what)
        return paths

    def operators(self, top: dict[str, tuple[yaml.Node, yaml.Node]]) -> tuple[str, ...]:
        if "operators" not in top:
            return ()
        node = top["operators"][1]
        names: tuple[str, ...] = self.value(node, "operators", tuple[str, ...])
        if not all(name.strip() for name in names):
            raise self.error(node, "operators", "has an empty name; user names are valid")
        return names

    def policy(self, top: dict[str, yaml.Node]) -> Policy:
        types = self.types(top.get("types"))
        vendors = {t.vendor for t in types.values()}
        gres = {"gpu": GresName(), "shard": GresName(shared=True)} if "gres" not in top else {}
        for key, (_, node) in self.mapping(top.get("gres"), "gres").items():
            gres[key] = self.record(node, f"gres.{key}", GresName)
            self.choices(node, f"gres.{key}.vendors", gres[key].vendors, vendors)
        usual: Mode = self.value(top["mode"], "mode", Mode) if "mode" in top else "plan"
        pools = []
        for key, (_, node) in self.mapping(top["pools"], "pools").items():
            tag = self.record(node, f"pools.{key}", _PoolTag)
            self.choices(node, f"pools.{key}.vendors", tag.vendors, vendors)
            if not tag.vendors:
                valid = ", ".join(sorted(vendors))
                raise self.error(node, f"pools.{key}.vendors", f"names none; valid: {valid}")
            self.partition(node, f"pools.{key}", key)
            pools.append(Pool(key, tag.scenario, tag.vendors, tag.mode or usual))
        self.aliases(top.get("gres"), gres)
        if not pools:
            raise self.error(top["pools"], "pools", "names no pool; at least one is needed")
        simple = self.simple(top, vendors, types)
        ours = {}
        for key in top.keys() & {"intake_partition", "spanning_partition"}:
            ours[key] = self.value(top[key], key, str)
            self.partition(top[key], key, ours[key])
        policy = Policy(
            pools=tuple(pools),
            gres=gres,
            types=types,
            rules=self.rules(top.get("rules"), vendors, types, simple["throughput"]),
            signs=self.signs(top.get("signs"), vendors),
            expected_jobs=self.expected(top.get("expected_jobs"), types, pools),
            **ours,
            **simple,
        )
        for key, partition in ours.items():
            if policy.pool(partition):
                raise self.error(top[key], key, "cannot be one of the pools")
        if policy.spanning_partition == policy.intake_partition:
            raise self.error(top["spanning_partition"], "spanning_partition", "is the intake")
        return policy

    def simple(
        self, top: dict[str, yaml.Node], vendors: set[str], types: Mapping[str, DeviceType]
    ) -> dict[str, Any]:
        """The keys that are a value or a flat table."""
        out: dict[str, Any] = {"throughput": {}}
        if "default_vendors" in top:
            node = top["default_vendors"]
            out["default_vendors"] = self.value(node, "default_vendors", tuple[str, ...])
            self.choices(node, "default_vendors", out["default_vendors"], vendors)
        kinds = get_type_hints(Policy) | {"history_days": Annotated[float, Meta(ge=0, le=30)]}
        for key in top.keys() & {"default_scenario", "history_days", "impossible_memory"}:
            out[key] = self.value(top[key], key, kinds[key])
        if "weights" in top:
            out["weights"] = self.record(top["weights"], "weights", Weights)
        if "preference" in top:
            kind = Annotated[float, Meta(ge=-1, le=1)]
            out["preference"] = self.by_type(top["preference"], "preference", kind, types)
        if "throughput" in top:
            tables = self.mapping(top["throughput"], "throughput")
            out["throughput"] = {
                row: self.speeds(name, node, row, types) for row, (name, node) in tables.items()
            }
        return out

    def by_type(
        self, node: yaml.Node, path: str, kind: Any, types: Mapping[str, DeviceType]
    ) -> dict[str, float]:
        """A table of numbers by device type."""
        entries = self.mapping(node, path)
        self.choices(node, path, entries, types)
        return {k: self.value(entry, f"{path}.{k}", kind) for k, (_, entry) in entries.items()}

    def speeds(
        self, name: yaml.Node, node: yaml.Node, row: str, types: Mapping[str, DeviceType]
    ) -> dict[str, float]:
        """A row of `throughput`; its name is a scenario, or what `#HET class=` says."""
        if not _CLASS.fullmatch(row):
            raise self.error(name, f"throughput.{row}", "is no class; a-z, 0-9 and _.+:- are valid")
        return self.by_type(node, f"throughput.{row}", Fraction, types)

    def aliases(self, node: yaml.Node | None, gres: Mapping[str, GresName]) -> None:
        """Every `alias_of` is the name of a GRES that is itself no alias."""
        registered = [name for name, entry in gres.items() if not entry.alias_of]
        for key, entry in gres.items():
            if entry.alias_of and node is not None:
                self.choices(node, f"gres.{key}.alias_of", [entry.alias_of], registered)

    def partition(self, node: yaml.Node, path: str, name: str) -> None:
        if not _PARTITION.fullmatch(name):
            raise self.error(node, path, f"is {name!r}, which cannot be a partition's name")

    def types(self, node: yaml.Node | None) -> Catalog:
        """The vendors' types with the site's own laid over them."""
        out = catalogue(self.vendors)
        for key, (_, entry) in self.mapping(node, "types").items():
            given = asdict(self.record(entry, f"types.{key}", _TypeFields))
            changes = {name: value for name, value in given.items() if value is not None}
            known = out.get(key) or Catalog(out).get(key)  # nvidia_a100-sxm4-80gb: an a100
            merged = (asdict(known) if known else {}) | changes | {"name": key}
            for need in ("vendor", "memory_gib"):
                if need not in merged:
                    what = f"needs {need!r}: the type is not built in"
                    raise self.error(entry, f"types.{key}", what)
            out[key] = DeviceType(**merged)
        return Catalog(out)

    def expected(
        self, node: yaml.Node | None, types: Mapping[str, DeviceType], pools: list[Pool]
    ) -> tuple[ExpectedJob, ...]:
        out: list[ExpectedJob] = []
        for number, item in enumerate(self.items(node, "expected_jobs")):
            path = f"expected_jobs[{number}]"
            job = self.record(item, path, ExpectedJob)
            self.choices(item, f"{path}.types", job.types, types)
            self.choices(item, f"{path}.pools", job.pools, [pool.partition for pool in pools])
            for key in ("share", "nodes", *(("devices", "memory_gib") if job.shared else ())):
                if not getattr(job, key):
                    raise self.error(item, f"{path}.{key}", "must be more than 0")
            out.append(job)
        return tuple(out)

    def rules(
        self,
        node: yaml.Node | None,
        vendors: set[str],
        types: Mapping[str, DeviceType],
        classes: Mapping[str, Any],
    ) -> tuple[Rule, ...]:
        out: list[Rule] = []
        for number, item in enumerate(self.items(node, "rules")):
            rule = self.record(item, f"rules[{number}]", Rule)
            self.choices(item, f"rules[{number}].types", rule.types, types)
            if rule.job_class:
                self.choices(item, f"rules[{number}].job_class", [rule.job_class], classes)
            self.choices(item, f"rules[{number}].vendors", rule.vendors, vendors)
            out.append(rule)
        return tuple(out)

    def signs(self, node: yaml.Node | None, vendors: set[str]) -> SignTable:
        """The site's signs, then the built-in ones."""
        rows: list[Sign] = []
        for source in (node, _builtin("signs.yaml")):
            for number, item in enumerate(self.items(source, "signs")):
                sign = self.record(item, f"signs[{number}]", Sign)
                self.choices(item, f"signs[{number}].strength", [sign.strength], STRENGTHS)
                self.choices(item, f"signs[{number}].vendors", sign.vendors, vendors)
                if bool(sign.vendors) == bool(sign.scenario):
                    raise self.error(
                        item, f"signs[{number}]", "has vendors or a scenario, not both"
                    )
                rows.append(sign)
        return SignTable(tuple(rows))

    def items(self, node: yaml.Node | None, path: str) -> list[yaml.Node]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(node, path, f"is a list of {path.replace('_', ' ')}")
        return list(node.value)

    def section(self, top: dict[str, tuple[yaml.Node, yaml.Node]], key: str, cls: type[T]) -> T:
        return self.record(top[key][1], key, cls) if key in top else cls()

    def record(self, node: yaml.Node, path: str, cls: type[T]) -> T:
        """A mapping as a dataclass: unknown keys refused, values of the field's type."""
        entries = self.mapping(node, path)
        if path == "weights":
            entries.pop("quota", None)  # once a term; `fragmentation` says it now
        names = [f.name for f in fields(cls)]  # type: ignore[arg-type]  # T is always a dataclass
        self.known(entries, names, path)
        hints = get_type_hints(cls, include_extras=True)
        values = {
            k: self.value(entry, f"{path}.{k}", hints[k]) for k, (_, entry) in entries.items()
        }
        for item in fields(cls):  # type: ignore[arg-type]  # as above
            required = item.default is MISSING and item.default_factory is MISSING
            if required and item.name not in values:
                raise self.error(node, path, f"needs {item.name!r}; its keys: {', '.join(names)}")
        return cls(**values)

    def value(self, node: yaml.Node, path: str, kind: Any) -> Any:
        try:
            raw = yaml.SafeLoader("").construct_document(node)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise self.error(node, path, f"cannot be read: {error}") from error
        try:
            return msgspec.convert(raw, _BOUNDED.get(kind, kind), strict=True, dec_hook=_path)
        except msgspec.ValidationError as error:
            what = f"is {str(raw)[:80]!r}; {_expected(kind) or error}"
            raise self.error(node, path, what) from error

    def mapping(self, node: yaml.Node | None, path: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, path or "the file", "is not a table of key: value")
        out: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, path or "the file", "has a key that is not a word")
            if key.value in out:
                raise self.error(key, f"{path}.{key.value}".strip("."), "stands twice")
            out[str(key.value)] = (key, value)
        return out

    def known(self, entries: Mapping[str, Any], valid: Any, path: str) -> None:
        for key, (node, _) in entries.items():
            if key not in valid:
                close = difflib.get_close_matches(key, list(valid), 1)
                guess = f" (did you mean {close[0]!r}?)" if close else ""
                where = f"{path}.{key}".strip(".")
                raise self.error(node, where, f"is not a key{guess}; valid: {', '.join(valid)}")

    def choices(self, node: yaml.Node, path: str, given: Any, valid: Any) -> None:
        for item in given:
            if item not in valid:
                close = difflib.get_close_matches(item, list(valid), 1)
                guess = f" (did you mean {close[0]!r}?)" if close else ""
                raise self.error(
                    node, path, f"names {item!r}{guess}; valid: {', '.join(sorted(valid))}"
                )

    def error(self, node: yaml.Node, path: str, what: str) -> ConfigError:
        line = node.start_mark.line + 1
        return ConfigError(f"{self.name}:{line}: {path} {what}")
