"""Which controller Slurm's programs ask first: one that answers, where the site's first is dead.

Each of them asks the first SlurmctldHost first. Where its host is dead, not only its slurmctld,
they wait for TCPTimeout (2 s) before they ask the next one, and a cycle is some programs long. So
they are given a slurm.conf of their own then: the site's, but for those that answer coming first.
Back with the site's as soon as its first answers or refuses: one that has given up control has
programs wait for half of SlurmctldTimeout.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slurm_het.errors import SlurmError
from slurm_het.slurm.programs import Given

log = logging.getLogger("slurm_het.controllers")

LOOK_SECONDS, ALONE_SECONDS = 4.0, 60.0
SILENT_SECONDS = 0.4
"""Who refuses does so at once; `scontrol ping` waits for one that is silent, 0.9 s on 22.05."""
LOOKS = 2
"""In a row that show the first as silent, before others are asked first."""
MOST_FILES = 500
_PINGED = re.compile(r"^Slurmctld\(\S+\) at (\S+) is (UP|DOWN)\s*$", re.MULTILINE)
_HOST = re.compile(r"\s*SlurmctldHost\s*=", re.IGNORECASE)


class Pinged(NamedTuple):
    """A controller as `scontrol ping` has it, in slurm.conf's order."""

    name: str
    up: bool


def pinged(text: str) -> list[Pinged]:
    """What `scontrol ping` printed."""
    return [Pinged(name, word == "UP") for name, word in _PINGED.findall(text)]


def reordered(text: str, found: Sequence[Pinged]) -> str:
    """A slurm.conf in which those that answer come before the others; '' if it does not name just
    these controllers (an included file does). By place: ping may call them otherwise (localhost).
    """
    lines = text.splitlines()
    places = [n for n, line in enumerate(lines) if _HOST.match(line)]
    if len(places) != len(found):
        return ""
    order = sorted(zip(places, found, strict=True), key=lambda pair: not pair[1].up)
    moved = {n: place for n, (place, _) in zip(places, order, strict=True)}
    return "".join(f"{lines[moved.get(n, n)]}\n" for n in range(len(lines)))


class Controllers:
    """Watches the controllers; `conf` is what programs are to read, None: what they read anyway."""

    def __init__(
        self,
        run: Callable[..., Awaitable[bytes]],
        configured: Callable[[], Awaitable[Mapping[str, str]]],
        given: Path | None,
    ) -> None:
        self._run, self._configured, self._given = run, configured, given
        self.conf: Path | None = None
        self._silent = 0
        self._refused = False
        self._copied: tuple[int, int] = (0, 0)  # of the site's file, when it was read

    @property
    def env(self) -> dict[str, str]:
        """For the environment of a program."""
        return {"SLURM_CONF": str(self.conf)} if self.conf else {}

    async def watch(self, directory: Path) -> None:
        """Look again and again, for ever. Our own slurm.conf comes into a directory of its own
        there."""
        while True:
            alone = await self.look(directory / "slurm-conf")
            await asyncio.sleep(ALONE_SECONDS if alone else LOOK_SECONDS)

    async def look(self, directory: Path) -> bool:
        """Ask all controllers how they are; returns whether there is but one."""
        site = await self._site()
        began = time.monotonic()
        found = await self._ping(site)
        quick = time.monotonic() - began < SILENT_SECONDS
        if quick or not any(controller.up for controller in found) or found[0].up:
            self._silent, self._refused = 0, False
            if self.conf:
                log.warning("Slurm's programs ask its first controller first again")
            self.conf = None
        else:
            self._silent += 1
        if site and self._silent >= LOOKS and not self._refused:
            await self._divert(site, directory, found)
        return len(found) == 1

    async def _divert(self, site: Path, directory: Path, known: Sequence[Pinged]) -> None:
        try:
            stat = site.stat()
            if self.conf and self._copied == (stat.st_mtime_ns, stat.st_size):
                return
            conf = await asyncio.to_thread(_write, site, directory, known)
        except OSError as error:
            self._refuse(f"cannot write {directory}: {error.strerror}")
            return
        if conf is None:
            self._refuse(f"{site} does not name them itself")
            return
        first, found = next(c for c in known if c.up), await self._ping(conf)
        if not found or found[0] != first:
            self._refuse(f"{conf} does not work")
            return
        self.conf, self._copied = conf, (stat.st_mtime_ns, stat.st_size)
        log.warning(
            "Slurm's first controller does not answer: its programs ask %s first, by %s",
            first.name,
            conf,
        )

    def _refuse(self, why: str) -> None:
        self._refused, self.conf = True, None
        log.error("Slurm's programs go on asking the dead controller first: %s", why)

    async def _ping(self, conf: Path | None) -> list[Pinged]:
        env = {"SLURM_CONF": str(conf)} if conf else {}
        try:  # it fails where one is down
            text = await self._run(
                "scontrol", "ping", given=Given(env=env, may_fail=True, aside=True)
            )
        except SlurmError:
            return []
        return pinged(text.decode("utf-8", "replace"))

    async def _site(self) -> Path | None:
        """The site's slurm.conf on this host; None where it has none (configless)."""
        try:
            told = (await self._configured()).get("SLURM_CONF", "")
        except SlurmError:
            told = ""
        known = (self._given, os.environ.get("SLURM_CONF"), told, "/etc/slurm/slurm.conf")
        files = (Path(path) for path in known if path)
        return next((path for path in files if path.is_file()), None)


def _write(site: Path, directory: Path, found: Sequence[Pinged]) -> Path | None:
    """Beside our own slurm.conf the site's other files, for Slurm looks for them there."""
    text = reordered(site.read_text(errors="surrogateescape"), found)
    if not text:
        return None
    directory.mkdir(mode=0o755, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    for file in sorted(site.parent.iterdir())[:MOST_FILES]:
        if file.name not in {site.name, "slurm.conf"}:
            (directory / file.name).symlink_to(file)
    conf = directory / "slurm.conf"
    conf.touch(mode=0o600)
    conf.write_text(text, errors="surrogateescape")
    conf.chmod(site.stat().st_mode & 0o777)
    return conf
