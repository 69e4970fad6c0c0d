"""A Prometheus server of a test's own."""

from __future__ import annotations

import shutil

import pytest


def need_prometheus() -> None:
    """Skip the test where there is none."""
    if not shutil.which("prometheus"):
        pytest.skip("not installed: prometheus (./dev setup installs it)")
