# Process 1 of a machine of its own: see machine_test.go.
#
# SOFTWARE is a folder with usr and etc of the packages that this machine has
# and the real one lacks, PLUGINS one with CNI plugins, WORK an empty one.
set -eu
software=$1 plugins=$2 work=$3

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
mount -t tmpfs machine dev/shm # podman keeps its locks there
mount --rbind /sys sys
mount --bind "$plugins" opt/cni/bin
mount -o remount,bind,ro opt/cni/bin
mount -t proc proc proc
pivot_root . mnt
cd /
umount -l /mnt
rm -f /etc/cni/net.d/*

echo ready
# Whoever loses its parent becomes a child of this one, which buries it.
sleep infinity &
wait $!
