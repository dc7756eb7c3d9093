# Process 1 of a machine of its own: see machine.go.
#
# SOFTWARE is a folder with usr and etc of the packages that this machine has
# and the real one lacks, WORK an empty one, CGROUP the name of the machine's cgroup;
# INSIDE and SETUP are of those who make it.
set -eu
# shellcheck disable=SC2034 # cgroup is for them
software=$1 work=$2 cgroup=$3 inside=$4 setup=$5

mount --make-rprivate /
mount -t tmpfs machine "$work"
cd "$work"
mkdir -p written/usr written/etc scratch/usr scratch/etc root
mount --bind root root
cd root
mkdir -p dev etc mnt opt/cni/bin proc root run srv sys tmp usr var/lib var/log var/tmp
ln -s ../run var/run
for link in bin sbin lib lib32 lib64 libx32; do
	[ ! -L "/$link" ] || cp -P "/$link" .
done
for dir in usr etc; do
	mount -t overlay machine -o "lowerdir=$software/$dir:/$dir,upperdir=../written/$dir,workdir=../scratch/$dir" "$dir"
done
mount --rbind /dev dev
mount -t tmpfs machine dev/shm
mount --rbind /sys sys
mount -t proc proc proc
eval "$inside"
pivot_root . mnt
cd /
umount -l /mnt
eval "$setup"

echo ready
# Whoever loses its parent becomes a child of this one, which buries it.
sleep infinity &
wait $!
