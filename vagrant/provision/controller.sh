# slurmctld with the hook, and hetd. Sourced by host.sh.
# shellcheck shell=bash

controller() {
    need slurmctld lua5.1 lua-socket
    shared
    install -d -o slurm -g slurm -m 700 /shared/slurmctld /shared/slurm-het
    put 644 root gres.conf /etc/slurm/gres.conf
    install_package
    systemctl stop hetd 2>/dev/null || true # one that has been there: the gate opens meanwhile
    install_hook
    running slurmctld
    start_hetd
}
