"""The rpm, by rpmbuild; its rpm need not be that of the distribution it is for."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from package.deb import TEMPLATES
from package.tree import COMPLETIONS, CONFIG, HOME, PROJECT
from slurm_het.templating import render

SECONDS = 600
OF_THE_SYSTEM = {
    "usr", "usr/bin", "usr/lib", "usr/lib/systemd", "usr/lib/systemd/system", "usr/share", "etc",
    "usr/share/doc", "usr/share/man", "usr/share/man/man1", "opt",
}  # fmt: skip
"""Directories that every system has. The others go with the last package that has them."""
ZSH = "usr/share/zsh/site-functions"
MACROS = {
    "_build_id_links": "none", "__os_install_post": "%{nil}", "__spec_install_post": "%{nil}",
    "debug_package": "%{nil}", "_buildhost": "localhost", "_binary_payload": "w2.xzdio",
    "use_source_date_epoch_as_buildtime": "1", "clamp_mtime_to_source_date_epoch": "1",
    "source_date_epoch_from_changelog": "0", "_docdir": "/nowhere",
}  # fmt: skip
"""Nothing is rewritten, nothing told of the machine it was built on. `_docdir`: no file is marked
as a document, for rpm may leave those out."""


def make_rpm(tree: Path, release: int, epoch: int, directory: Path) -> Path:
    """Make the rpm of a tree. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="slurm-het-rpm-") as folder:
        spec = Path(folder) / "slurm-het.spec"
        spec.write_text(
            render(
                f"{spec.name}.j2", TEMPLATES, version=PROJECT["version"], release=release,
                summary=PROJECT["description"], home=HOME, tree=tree, files=list(_files(tree)),
                step=f"/{HOME}/libexec/package-step", of_zsh=COMPLETIONS["zsh"], zsh=ZSH,
            )
        )  # fmt: skip
        macros = MACROS | {"_topdir": folder, "_rpmdir": folder, "_dbpath": f"{folder}/db"}
        subprocess.run(
            ["rpmbuild", "-bb", "--quiet", "--target", "x86_64-linux", str(spec)]
            + [word for name, value in macros.items() for word in ("--define", f"{name} {value}")],
            env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}, timeout=SECONDS, check=True,
        )  # fmt: skip
        (made,) = Path(folder).rglob("*.rpm")
        return made.rename(directory / made.name)


def _files(tree: Path) -> Iterator[str]:
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree)).replace(COMPLETIONS["zsh"], ZSH)
        if path.is_dir() and not path.is_symlink():
            if name not in OF_THE_SYSTEM:
                yield f'%dir "/{name}"'
        elif name == f"{HOME}/bin/python":  # %post has it lead to the Python that there is
            yield f'%verify(not link mtime) "/{name}"'
        else:
            yield f'"/{name}"'
    assert (tree / CONFIG).is_dir()  # noqa: S101 - it is listed above, empty
