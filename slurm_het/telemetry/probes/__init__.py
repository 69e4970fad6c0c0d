"""What reads the devices of each vendor: a module for each library or program.

A profile names its probes (`probes:`); the first that is installed is asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from slurm_het.errors import ProbeError
from slurm_het.telemetry.device import Probe

MODULES: Mapping[str, str] = {
    "nvml": "nvml",
    "amd-smi": "amd_smi",
    "rocm-smi": "rocm_smi",
    "hy-smi": "rocm_smi",
    "xpu-smi": "xpu_smi",
    "npu-smi": "npu_smi",
    "cnmon": "cnmon",
    "hl-smi": "hl_smi",
    "gpustack": "gpustack",
}
"""A probe's name to its module here, which has `probe(vendor)`. It is imported when asked for."""


def probe_named(name: str, vendor: str) -> Probe:
    """The probe for a vendor's devices. Raises ProbeError if there is none of that name."""
    if name not in MODULES:
        raise ProbeError(f"there is no probe {name!r}", f"valid: {', '.join(MODULES)}")
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    made: Probe = module.probe(vendor)
    return made
