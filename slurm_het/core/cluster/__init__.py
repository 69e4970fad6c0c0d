"""Nodes and devices: what there is, who holds what, what is free, what fits where."""
