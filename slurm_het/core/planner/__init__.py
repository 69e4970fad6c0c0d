"""From a snapshot to a plan, and what is written into jobs for it."""
