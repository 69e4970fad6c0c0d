"""What is particular to each vendor's accelerators, as data."""

from __future__ import annotations

from slurm_het.vendors.load import catalogue, load_vendors
from slurm_het.vendors.profile import Vendor

__all__ = ["Vendor", "catalogue", "load_vendors"]
