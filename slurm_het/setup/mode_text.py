"""Another mode of a pool in the text of het.yaml; all else of the text stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from slurm_het.core.policy import Mode
from slurm_het.errors import ConfigError


def with_mode(text: str, pool: str, mode: Mode) -> str:
    """het.yaml with that mode for a pool. Raises ConfigError if it has no such pool."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pools = _entry(root, "pools")
    tag = _entry(pools, pool)
    if not isinstance(tag, yaml.MappingNode) or not tag.value:
        raise ConfigError(f"het.yaml has no pool {pool!r}", f"it has: {', '.join(_keys(pools))}")
    if there := _entry(tag, "mode"):
        return text[: there.start_mark.index] + mode + text[there.end_mark.index :]
    first, last = tag.value[0][0], tag.value[-1][1]
    if tag.flow_style:
        return text[: last.end_mark.index] + f", mode: {mode}" + text[last.end_mark.index :]
    at = first.start_mark.index
    return text[:at] + f"mode: {mode}\n{' ' * first.start_mark.column}" + text[at:]


def with_modes(text: str, modes: Mapping[str, Mode]) -> str:
    """The same for several pools. Raises ConfigError."""
    for pool, mode in modes.items():
        text = with_mode(text, pool, mode)
    return text


def without_ours(now: str, ours: str, before: str, modes: Mapping[str, Mode]) -> str:
    """het.yaml as it is `now`, with the modes that these pools had before we wrote `ours`.

    Whatever else somebody has changed since stays. Raises ConfigError if he left no such pool.
    """
    return before if now == ours else with_modes(now, modes)


def _entry(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _keys(node: yaml.Node | None) -> list[str]:
    return [str(k.value) for k, _ in node.value] if isinstance(node, yaml.MappingNode) else []
