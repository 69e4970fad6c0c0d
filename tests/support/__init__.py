"""What several tests need: sandboxes with verbs, the default cluster as plain data, problems."""
