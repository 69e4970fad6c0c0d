# slurmd, and files in the place of devices. Sourced by host.sh.
# shellcheck shell=bash

compute() {
    need slurmd
    put 644 root gres.conf /etc/slurm/gres.conf
    echo "CgroupPlugin=$(cgroup_plugin)" >/etc/slurm/cgroup.conf
    make_devices
    running slurmd
    install_package
    install_exporter
    start_exporter
}

cgroup_plugin() { # the devices are none: nothing is to be fenced
    case $(slurmd -V) in
        *' 22.'*) echo cgroup/v1 ;;
        *) echo disabled ;;
    esac
}

make_devices() { # at each boot, before slurmd
    local file
    {
        echo 'd /dev/dri 0755'
        for file in /dev/nvidia{0..3} /dev/dri/renderD{128..131}; do echo "c $file 0666 - - - 1:3"; done
    } >/etc/tmpfiles.d/accelerators.conf
    systemd-tmpfiles --create /etc/tmpfiles.d/accelerators.conf
}
