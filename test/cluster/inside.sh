# What the node has of the real machine: see machine.Software.
mount --bind "$software/bin" usr/local/bin

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
