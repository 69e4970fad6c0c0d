"""Which of the site's limits bear on a task, and whether there is anything left of them for it."""
