# Users' commands. Sourced by host.sh.
# shellcheck shell=bash

login() {
    install_package # het-squeue, slurm-het why
}
