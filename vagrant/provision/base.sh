# What every host has. Sourced by host.sh.
# shellcheck shell=bash

need() { # PACKAGE...: Debian packages
    local package missing=()
    for package; do
        [[ $(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

put() { # MODE OWNER FILE TO: a file of vagrant/etc
    install -D -m "$1" -o "$2" -g "$2" "vagrant/etc/$3" "$4"
}

running() { # SERVICE...: enabled, and started anew with the files that are there now
    systemctl enable --quiet "$@"
    systemctl restart "$@"
}

base() {
    need munge slurm-client python3-venv
    # Debian boxes give the host's own name to 127.0.1.1, where no other host finds it.
    sed -i '/^127\.0\.1\.1/d; /# of vagrant\/hosts$/d' /etc/hosts
    awk '/^[a-z]/ { print $2, $1, "# of vagrant/hosts" }' vagrant/hosts >>/etc/hosts
    id -u alice &>/dev/null || useradd --uid 5001 --create-home --shell /bin/bash alice
    install -m 400 -o munge -g munge vagrant/secrets/munge.key /etc/munge/munge.key
    running munge
    install -d -o slurm -g slurm /var/log/slurm
    put 644 root slurm.conf /etc/slurm/slurm.conf
    put 644 root het.yaml /etc/slurm-het/het.yaml
}

shared() { # the storage of both controllers, from the host db; nothing to do where it is there
    mountpoint -q /shared && return
    need nfs-common
    grep -q ' /shared ' /etc/fstab || echo 'db:/srv/shared /shared nfs4 _netdev 0 0' >>/etc/fstab
    mkdir -p /shared
    mount /shared
}
