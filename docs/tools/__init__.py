"""What is made from the programs for packages and docs: `./dev man`, `./dev screens`."""
