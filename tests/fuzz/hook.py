"""The hook's side of the wire, in Lua, as a fuzz target."""

from __future__ import annotations

import importlib
from typing import Any

from slurm_het.resources import data_dir

LUA = "lua51"  # what Debian's slurmctld loads
JOB = """
  protocol = require("het_protocol")
  function header(bytes)
    local length, why = protocol.parse_header(bytes)
    return length or -1, why
  end
  function assignments(body)
    local reply, why = protocol.reply(body)
    if not reply then return nil, why end
    local job = {tres_per_node = "gres:gpu:2", admin_comment = "kept"}
    local out = {}
    for _, pair in ipairs(protocol.assignments(reply, job, "gres:")) do
      out[#out + 1] = pair[1]
      out[#out + 1] = pair[2]
    end
    return table.concat(out, "\\n"), protocol.clean(reply.why) .. protocol.clean(reply.action)
  end
"""


class LuaHook:
    """het_protocol.lua in a Lua of its own; its strings are bytes."""

    def __init__(self) -> None:
        self.lua: Any = importlib.import_module(f"lupa.{LUA}").LuaRuntime(encoding=None)
        self.lua.execute(f"package.path = '{data_dir('job_submit')}/?.lua;' .. package.path")
        self.lua.execute(JOB)
        self._header = self.lua.eval("header")
        self._assignments = self.lua.eval("assignments")

    def check_header(self, header: bytes) -> None:
        """A header is a length within bounds, or is refused with a reason."""
        length, why = self._header(header)
        assert (why and length == -1) or 0 < length <= 16384

    def assignments(self, body: bytes) -> list[tuple[bytes, bytes]]:
        """What a reply would make the hook assign; nothing where it is refused with a reason."""
        made, why = self._assignments(body)
        assert isinstance(why, bytes)
        if not made:
            return []
        words = made.split(b"\n")
        return list(zip(words[::2], words[1::2], strict=True))

    def must_accept(self, body: bytes) -> None:
        """A reply that hetd wrote is one that the hook takes."""
        made, why = self._assignments(body)
        assert made is not None, f"the hook refuses hetd's own reply: {why!r}: {body[:300]!r}"
