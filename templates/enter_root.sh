#!/bin/sh
# enter_root.sh ROOT COMMAND [ARGS]: run COMMAND with the programs and libraries of the Debian tree
# ROOT and all else of this machine: its users, /tmp, /dev, /proc. Needs root (CAP_SYS_ADMIN).
#
# The tree's /usr lies over this machine's in a mount namespace of our own, so nothing outside
# sees a mount, and nothing stays when the last process has ended, however it ends. /bin and /lib
# are links into /usr on both sides (Debian 12 and later), so that is all of the programs.
set -eu
if [ "${SLURM_HET_ENTERING:-}" != yes ]; then
    export SLURM_HET_ENTERING=yes
    exec unshare --mount --propagation private sh "$0" "$@"
fi
unset SLURM_HET_ENTERING
root=$1
shift
if [ ! -L /bin ] || [ ! -L /lib ] || [ ! -d "$root/usr" ]; then
    echo "enter_root.sh: $root is no Debian tree, or /bin and /lib are no links into /usr here" >&2
    exit 2
fi
mount --bind "$root/etc/ld.so.cache" /etc/ld.so.cache
mount --bind "$root/etc/alternatives" /etc/alternatives
mount --bind "$root/usr" /usr # last: a small tree has no mount(8)
export SLURM_HET_ROOT="$root"
export PATH="$root/venv/bin:/usr/sbin:/usr/bin:$PATH"
# Several checkouts share the tree's venv: this is the one that counts.
export PYTHONPATH="${PYTHONPATH:-$PWD}"
exec "$@"
