#!/usr/bin/env bash
# Submit jobs for both vendors as alice, wait until hetd has placed them, show where. On host login.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
jobs=()
for script in train-nvidia train-amd serve; do
    jobs+=("$(runuser -u alice -- sbatch --parsable --chdir=/tmp "jobs/$script.sh" "${1:-20}")")
done
ids=$(IFS=, && echo "${jobs[*]}")
for _ in {1..60}; do
    waiting=$(squeue --noheader --jobs="$ids" --states=PENDING --format=%i)
    [[ $waiting ]] || break
    sleep 0.5
done
squeue --jobs="$ids" --states=all --format='%i %j %P %T %N %b'
[[ ! $waiting ]]
