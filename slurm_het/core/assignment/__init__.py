"""The assignment problem as plain numbers, and the plan without a solver: all that solve/ needs."""
