"""The deb and the rpm of slurm-het: `./dev package DIR`, docs/packages.md."""
