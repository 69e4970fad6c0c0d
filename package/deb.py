"""The deb, by Debian's own dpkg-deb."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from package.tree import HOME, PROJECT
from slurm_het.templating import render

TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = ("postinst", "prerm", "postrm")
SECONDS = 600


def make_deb(tree: Path, release: int, epoch: int, directory: Path) -> Path:
    """Make the deb of a tree. Raises CalledProcessError."""
    version = f"{PROJECT['version']}-{release}"
    path = directory / f"slurm-het_{version}_amd64.deb"
    files = [path for path in sorted(tree.rglob("*")) if not path.is_dir() or path.is_symlink()]
    with tempfile.TemporaryDirectory(prefix="slurm-het-deb-") as folder:
        whole = Path(folder) / "deb"
        shutil.copytree(tree, whole, symlinks=True)
        own = whole / "DEBIAN"
        own.mkdir()
        values = {
            "version": version, "summary": PROJECT["description"], "home": HOME,
            "step": f"/{HOME}/libexec/package-step",
            "kib": sum(path.lstat().st_size for path in files) // 1024,
        }  # fmt: skip
        for name in ("control", *SCRIPTS):
            (own / name).write_text(render(f"{name}.j2", TEMPLATES, **values))
            (own / name).chmod(0o755 if name in SCRIPTS else 0o644)
        (own / "md5sums").write_text("".join(_sum(file, tree) for file in files))
        (own / "md5sums").chmod(0o644)
        for made in (*own.iterdir(), own, whole):
            made.chmod(made.stat().st_mode | 0o055 if made.is_dir() else made.stat().st_mode)
            os.utime(made, (epoch, epoch))
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--threads-max=1", "-Zxz", "-z2", "--build",
             str(whole), str(path)],
            env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}, stdout=subprocess.DEVNULL,
            timeout=SECONDS, check=True,
        )  # fmt: skip
    return path


def _sum(file: Path, tree: Path) -> str:
    if file.is_symlink():
        return ""
    digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    return f"{digest}  {file.relative_to(tree)}\n"
