"""The reference formulation: a variable per requested device and device."""
