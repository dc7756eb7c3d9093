# What the node is before anything runs: see machine.Software.
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
