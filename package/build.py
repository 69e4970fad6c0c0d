"""Build the packages: `./dev package DIR`. The same commit makes the same bytes."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

from package.deb import make_deb
from package.rpm import make_rpm
from package.tree import commit_time, make_tree

KINDS = {"deb": ("dpkg-deb", "dpkg", make_deb), "rpm": ("rpmbuild", "rpm", make_rpm)}
"""By kind of package what makes it, and Debian's package with that."""


def main() -> None:
    """Command line: build [--only KIND] [--release N] DIR."""
    parser = argparse.ArgumentParser(prog="./dev package", description=__doc__)
    parser.add_argument("directory", type=Path, help="gets the packages")
    parser.add_argument("--only", choices=KINDS, help="make this kind alone")
    parser.add_argument("--release", type=int, default=1, help="of this version; 2 follows 1")
    options = parser.parse_args()
    if platform.machine() != "x86_64":
        raise SystemExit(f"package: only x86-64 is built, this is {platform.machine()}")
    kinds = [options.only] if options.only else list(KINDS)
    for program, name in [("git", "git"), *(KINDS[kind][:2] for kind in kinds)]:
        if not shutil.which(program):
            raise SystemExit(f"package: there is no {program}: apt-get install {name}")
    options.directory.mkdir(parents=True, exist_ok=True)
    for path in build(options.directory, kinds, options.release):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}")


def build(directory: Path, kinds: list[str], release: int = 1) -> list[Path]:
    """Build packages of what is checked out, as old as SOURCE_DATE_EPOCH or the commit."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or commit_time())
    with tempfile.TemporaryDirectory(prefix="slurm-het-package-") as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        make_tree(tree, epoch)
        return [KINDS[kind][2](tree, release, epoch, directory.absolute()) for kind in kinds]


if __name__ == "__main__":
    main()
