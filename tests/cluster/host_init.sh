#!/bin/bash
# PID 1 of a make-believe host; started by hosts.sh inside fresh namespaces.
set -euo pipefail
i=$1 D=$2 NET=$3 VENV=$4
read -r outer _ </proc/self/stat            # /proc is still the outer one: this is our pid outside
echo "$outer" >"$D/h$i/pid"
mount --make-rprivate /
hostname "rh$i"
ram=$D/h$i/ram
mount -t tmpfs -o size=4g tmpfs "$ram"      # the host's "disk": vanishes with the host
mkdir "$ram/up" "$ram/work" "$ram/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$ram/up,workdir=$ram/work" "$ram/root"
R=$ram/root
mount -t proc proc "$R/proc"
mount --rbind /sys "$R/sys"
mount --rbind /dev "$R/dev"; mount -t tmpfs -o size=1g tmpfs "$R/dev/shm"
mkdir -p "$R/mnt/shared"; mount --bind "$D/shared" "$R/mnt/shared"
mkdir -p "$R/run/sshd"; chmod 755 "$R/run/sshd"
rm -rf "$R/tmp/ray" "$R"/tmp/ray_ssh_*
mkdir -p -m 700 "$D/h$i/home"; mount --bind "$D/h$i/home" "$R/root"   # on a disk: it is there again after a boot
# keep an interpreter that lives under the home folder (pyenv, uv, conda) reachable
base=$(readlink -f "$VENV/bin/python"); case $base in "$HOME"/*)
  top=${base#"$HOME"/}; top=${top%%/*}; mkdir -p "$R$HOME/$top"; mount --bind "$HOME/$top" "$R$HOME/$top";; esac
# the environment is shared, and knows the launcher's copy of the project: this host has its own
# ray runs its ssh commands as `bash --login -c -i`: PATH must come from the profile
echo "export PATH=$VENV/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin RAY_USAGE_STATS_ENABLED=0 OMP_WAIT_POLICY=PASSIVE PYTHONPATH=/root/vpr-search" >"$R/root/.bash_profile"
[ -d "$D/home" ] && cp -an "$D/home/." "$R/root/"   # what every machine has from the start
touch "$R/root/.bashrc"                     # ray does `source ~/.bashrc` first
{ echo "127.0.0.1 localhost"; for k in $(seq "$(cat "$D/n")"); do echo "$NET.$k rh$k"; done; } >"$R/etc/hosts"
cp "$D/key/host" "$R/run/sshd/hostkey"; chmod 600 "$R/run/sshd/hostkey"
cp "$D/key/id.pub" "$R/run/sshd/authorized_keys"
cat >"$R/run/sshd/config" <<C
ListenAddress $NET.$i:22
HostKey /run/sshd/hostkey
AuthorizedKeysFile /run/sshd/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
PidFile none
MaxSessions 100
MaxStartups 100
Subsystem sftp internal-sftp
C
cd "$R"; mkdir -p .old; pivot_root . .old; umount -l /.old
# not exec'd: bash stays PID 1 and reaps Ray's orphaned daemons
/usr/sbin/sshd -D -e -f /run/sshd/config </dev/null &
trap 'exit 0' TERM
while :; do wait || true; sleep 1; done
