"""Another mode of a pool in the text of het.yaml; all else of the text stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from slurm_het.config import parse_config
from slurm_het.core.policy import Mode
from slurm_het.errors import ConfigError

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
"""What stands before a value: `&name`, by which others may refer to it, and `!!tag`."""


def with_modes(text: str, modes: Mapping[str, Mode]) -> str:
    """het.yaml with these modes of these pools, and no other.

    Raises ConfigError if it has no such pool, or shares what would be changed with another.
    """
    had = _modes(text)
    for pool in modes:
        if pool not in had:
            raise ConfigError(f"het.yaml has no pool {pool!r}", f"it has: {', '.join(had)}")
    after = text
    try:
        for pool, mode in modes.items():
            after = _with_mode(after, pool, mode)
        has = _modes(after)
    except (yaml.YAMLError, ConfigError):
        has = {}
    if has != {**had, **modes}:
        raise _shared(text, after, modes, [p for p in has if p not in modes and has[p] != had[p]])
    return after


def without_ours(now: str, ours: str, before: str, modes: Mapping[str, Mode]) -> str:
    """het.yaml as it is `now`, with the modes that these pools had before we wrote `ours`.

    Whatever else somebody has changed since stays. Raises ConfigError if he left no such pool.
    """
    return before if now == ours else with_modes(now, modes)


def _with_mode(text: str, pool: str, mode: Mode) -> str:
    tag = _entry(_entry(yaml.compose(text, Loader=yaml.SafeLoader), "pools"), pool)
    if not isinstance(tag, yaml.MappingNode):
        return text
    if there := _entry(tag, "mode"):
        start, end = there.start_mark.index, there.end_mark.index
        kept = _PROPERTIES.match(text, start, end)
        return text[: kept.end() if kept else start] + mode + text[end:]
    first, last = tag.value[0][0], tag.value[-1][1]
    if tag.flow_style:
        return text[: last.end_mark.index] + f", mode: {mode}" + text[last.end_mark.index :]
    at, end_of_line = first.start_mark.index, "\r\n" if "\r\n" in text else "\n"
    return text[:at] + f"mode: {mode}{end_of_line}{' ' * first.start_mark.column}" + text[at:]


def _shared(text: str, after: str, modes: Mapping[str, Mode], others: list[str]) -> ConfigError:
    """What to say of a text in which the modes of these pools cannot be written alone."""
    lines = enumerate(zip(text.splitlines(), after.splitlines(), strict=False), 1)
    line = next((number for number, (old, new) in lines if old != new), 1)
    names = " and ".join(modes)
    if not others:
        return ConfigError(
            f"het.yaml:{line}: a mode: cannot be written into what is there of {names}",
            "write the pool in plain lines, `NAME:` and below it `scenario: …`; say it once more",
        )
    return ConfigError(
        f"het.yaml:{line}: what is written there of {names} is also that of {', '.join(others)}",
        "write each pool out, without & and *; or name them all:"
        f" --pool {' --pool '.join([*modes, *others])}",
    )


def _modes(text: str) -> dict[str, Mode]:
    return {pool.partition: pool.mode for pool in parse_config(text).policy.pools}


def _entry(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)
