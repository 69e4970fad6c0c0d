# slurm-het itself. Sourced by host.sh. docs/install.md and telemetry.md have each `# step` word for
# word; tests/test_vagrant.py compares them.
# shellcheck shell=bash

install_package() {
    [[ -x /opt/slurm-het/bin/hetd ]] && return
    # step: the package
    python3 -m venv /opt/slurm-het && /opt/slurm-het/bin/pip install .      # in a checkout
    ln -sf /opt/slurm-het/bin/{slurm-het,het-squeue,het-sinfo,hetd} /usr/local/bin/
    # end
}

install_hook() {
    # step: the hook
    install -m 755 job_submit/{job_submit,het_protocol,het_transport,het_event}.lua /etc/slurm/
    slurm-het hook-config > /etc/slurm/het_hook_config.lua
    # end
}

install_exporter() {
    /opt/slurm-het/bin/python -c 'import prometheus_client' 2>/dev/null && return
    # step: the exporter's libraries
    /opt/slurm-het/bin/pip install '.[exporter]'    # '.[exporter,nvidia]'
    # end
}

start_exporter() { # what the node's devices say of themselves; Prometheus may read it too
    # step: the exporter
    slurm-het systemd-unit --exporter :9788 > /etc/systemd/system/het-exporter.service
    systemctl daemon-reload && systemctl enable --now het-exporter
    # end
}

start_hetd() {
    # step: the daemon
    slurm-het systemd-unit > /etc/systemd/system/hetd.service
    systemctl daemon-reload && systemctl enable --now hetd
    # end
}
