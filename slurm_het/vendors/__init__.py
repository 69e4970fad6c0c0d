"""What is particular to each vendor's accelerators, as data."""

from __future__ import annotations

from slurm_het.vendors.load import SITE, catalogue, load_vendors
from slurm_het.vendors.profile import Vendor

__all__ = ["SITE", "Vendor", "catalogue", "load_vendors"]
