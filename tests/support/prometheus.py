"""A Prometheus server of a test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from slurm_het.sandbox.layout import free_ports


@contextmanager
def prometheus(base: Path, conf: Mapping[str, object]) -> Iterator[str]:
    """Run a server by this configuration; its URL. Skips the test where there is none."""
    program = shutil.which("prometheus")
    if not program:
        pytest.skip("not installed: prometheus (./dev setup installs it)")
    (port,) = free_ports(1)
    (base / "prometheus.yml").write_text(json.dumps(conf))
    argv = [program, f"--config.file={base / 'prometheus.yml'}", f"--storage.tsdb.path={base}/db"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    process = subprocess.Popen(argv)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
