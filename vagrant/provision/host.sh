#!/usr/bin/env bash
# host.sh NAME: make this machine the host NAME of vagrant/hosts. As root, from a checkout; run it
# again after a change of vagrant/etc, as often as you like.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
name=$1
role=$(awk -v name="$name" '$1 == name { print $3 }' vagrant/hosts)
for part in base slurm_het "${role:?there is no host $name in vagrant/hosts}"; do
    # shellcheck source=/dev/null  # checked on its own
    source "vagrant/provision/$part.sh"
done
base
"$role"
