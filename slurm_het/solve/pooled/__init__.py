"""The formulation for large clusters: tasks, nodes and devices in one state as counts."""
