"""hetd: the process that plans, releases and keeps the gate."""
