"""Renders the files in templates/; the hook's configuration comes from the checked Config."""

from __future__ import annotations

import json
from collections.abc import Sequence

import jinja2

from slurm_het.config import Config
from slurm_het.resources import data_dir


def render(template: str, **values: object) -> str:
    """A template with its values; an undefined one is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    environment.filters["lua"] = lua_literal
    return environment.get_template(template).render(values)


def lua_literal(value: str | Sequence[str]) -> str:
    """A string or a list of strings as Lua source."""
    if isinstance(value, str):
        return json.dumps(value)
    return "{" + ", ".join(json.dumps(item) for item in value) + "}"


def hook_config(config: Config) -> str:
    """het_hook_config.lua, which lies beside job_submit.lua."""
    hook = config.hook
    return render(
        "het_hook_config.lua.j2",
        socket=str(config.paths.hook_socket),
        event_socket=str(config.paths.event_socket),
        deadline_ms=hook.deadline_ms,
        intake=config.policy.intake_partition,
        gres_names=list(config.policy.gres),
        pools=[pool.partition for pool in config.policy.pools],
        on_failure=hook.on_failure,
        breaker_failures=hook.breaker_failures,
        breaker_seconds=hook.breaker_seconds,
        max_script_bytes=hook.max_script_bytes,
    )
