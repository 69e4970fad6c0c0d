"""What people see: a row per job, why it waits, what is free."""
