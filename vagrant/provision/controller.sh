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
    wait_for_slurmctld
    # A new cluster's slurmctld writes this at its end, or after five minutes. Until then 26.05's
    # backup cannot take over: "No Assoc usage file to recover".
    if [[ ! -e /shared/slurmctld/assoc_usage ]]; then
        systemctl restart slurmctld
        wait_for_slurmctld
    fi
    start_hetd
}

wait_for_slurmctld() { # systemd calls it started before it answers
    local _
    for _ in {1..60}; do
        scontrol ping | grep -q " at $(uname -n) is UP" && return
        sleep 0.5
    done
    echo "slurmctld does not answer: see /var/log/slurm/slurmctld.log" >&2
    return 1
}
