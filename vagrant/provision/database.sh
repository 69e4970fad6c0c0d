# MariaDB, slurmdbd, and the storage that the controllers share. Sourced by host.sh.
# shellcheck shell=bash

database() {
    need mariadb-server slurmdbd
    put 644 root mariadb.cnf /etc/mysql/mariadb.conf.d/60-slurm.cnf
    running mariadb
    # No password: MariaDB knows SlurmUser by the socket.
    mariadb <<'SQL'
CREATE DATABASE IF NOT EXISTS slurm;
CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED VIA unix_socket;
GRANT ALL ON slurm.* TO slurm@localhost;
SQL
    put 600 slurm slurmdbd.conf /etc/slurm/slurmdbd.conf
    running slurmdbd
    export_shared
}

export_shared() {
    mountpoint -q /shared && return
    need nfs-kernel-server
    install -d -o slurm -g slurm /srv/shared
    install -d /etc/exports.d /etc/nfs.conf.d # Debian 12 has the second one alone
    echo '/srv/shared ctl1(rw,no_root_squash,sync,no_subtree_check) ctl2(rw,no_root_squash,sync,no_subtree_check)' \
        >/etc/exports.d/slurm.exports
    # A lock, and so the lead, outlives a controller that lost power by so many seconds.
    printf '[nfsd]\nlease-time=10\ngrace-time=10\n' >/etc/nfs.conf.d/slurm.conf
    running nfs-kernel-server
}
