"""The pure core: no I/O and no clock. Rooms from the bottom up: see ARCHITECTURE.md."""
