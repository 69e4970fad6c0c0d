"""The wheels that a package carries: fetched by pip, held to their hashes, kept for next time."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

PINS = Path(__file__).with_name("wheels.txt")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64")
"""The package needs glibc 2.28 therefore."""
FETCH_SECONDS = 300


def fetch_wheels() -> dict[str, list[Path]]:
    """By Python version its wheels. Raises SystemExit where they cannot be had."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slurm-het-wheels"
    wanted = set(re.findall(r"sha256:([0-9a-f]{64})", PINS.read_text()))
    found: dict[str, list[Path]] = {}
    for python in PYTHONS:
        folder = base / python
        _fetch(python, folder)
        found[python] = [path for path in sorted(folder.glob("*.whl")) if _hash(path) in wanted]
    if missing := wanted - {_hash(path) for paths in found.values() for path in paths}:
        raise SystemExit(f"package: {PINS.name} names wheels that no Python takes: {missing}")
    return found


def _fetch(python: str, folder: Path) -> None:
    stamp, pins = folder / "pins", _hash(PINS)
    if stamp.exists() and stamp.read_text() == pins:
        return
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--require-hashes", "--requirement", str(PINS), "--dest", str(folder),
            "--only-binary=:all:", "--python-version", python,
            *(word for platform in PLATFORMS for word in ("--platform", platform)),
        ],
        timeout=FETCH_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"package: pip could not fetch the wheels for Python {python} (see above)")
    stamp.write_text(pins)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_pure(wheel: Path) -> bool:
    """Whether a wheel is the same for each Python and machine."""
    return wheel.name.endswith("-none-any.whl")


def unpack(wheel: Path, folder: Path, only: str = r"") -> None:
    """Put a wheel's modules, or those whose path matches, below a folder; no scripts, no stubs."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = PurePosixPath(info.filename)
            if path.parts[0].endswith(".data"):
                if path.parts[1] not in {"purelib", "platlib"}:
                    continue
                path = PurePosixPath(*path.parts[2:])
            if info.is_dir() or path.suffix in {".pyi", ".pyx", ".pxd"} or ".." in path.parts:
                continue
            if re.match(only, str(path)):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(info))


def licence_of(wheel: Path) -> tuple[str, str, str, str]:
    """A wheel's name, version, licence, and the licence's text."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        head = archive.read(metadata).decode().partition("\n\n")[0]
        texts = [
            archive.read(name).decode("utf-8", "replace").strip()
            for name in sorted(names)
            if re.search(r"\.dist-info/.*(LICEN[CS]E|COPYING|NOTICE)", name, re.IGNORECASE)
        ]
    said = _field(head, "License-Expression") or _field(head, "License")
    words = said or _field(head, "Classifier: License :: OSI Approved :") or "see below"
    return _field(head, "Name"), _field(head, "Version"), words, "\n\n".join(texts)


def _field(head: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.+)$", head, re.MULTILINE)
    return found[1].strip() if found else ""
