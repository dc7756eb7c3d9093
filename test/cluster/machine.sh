# Process 1 of a machine of its own: see machine_test.go.
#
# SOFTWARE is the folder of scripts/with-cluster, WORK an empty one, CGROUP the
# name of the machine's cgroup.
set -eu
software=$1 work=$2 cgroup=$3

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
mount --bind "$software/bin" usr/local/bin
mount --rbind /dev dev
mount -t tmpfs machine dev/shm
mount --rbind /sys sys
mount -t proc proc proc

# The kubelet wants these settings, and they are not a namespace's but the kernel's
# (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables). It finds what it wants.
setting() { # FILE VALUE
	echo "$2" >"../scratch/setting-$(basename "$1")"
	mount --bind "../scratch/setting-$(basename "$1")" "proc/sys/$1"
}
setting vm/overcommit_memory 1
setting vm/panic_on_oom 0
setting kernel/panic 10
setting kernel/panic_on_oops 1
setting kernel/keys/root_maxkeys 1000000
setting kernel/keys/root_maxbytes 25000000

pivot_root . mnt
cd /
umount -l /mnt
mount --make-rshared / # for pods that mount /run/netns
rm -rf /etc/cni/net.d /etc/kubernetes
mkdir -p /etc/cni/net.d /etc/kubernetes
echo '127.0.0.1 localhost' >/etc/hosts
: >/etc/resolv.conf
for hierarchy in /sys/fs/cgroup/*/ /sys/fs/cgroup/; do
	if [ -e "$hierarchy/cgroup.procs" ]; then
		mkdir -p "$hierarchy/$cgroup"
	fi
done

echo ready
# Whoever loses its parent becomes a child of this one, which buries it.
sleep infinity &
wait $!
