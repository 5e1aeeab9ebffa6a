# Installs $PACKAGE over the root directory, in memory at $PLACE, and boots systemd there as the first
# process of its own namespaces. $TESTBED is shared with the test; its BPF file system is the guest's.

guest="$PLACE/root"
mount -t tmpfs none "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$guest"
mount -t overlay -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" none "$guest"
mount -t proc proc "$guest/proc"
mount -t sysfs -o ro sysfs "$guest/sys"
mount --rbind /dev "$guest/dev"
mount -t tmpfs -o mode=755 tmpfs "$guest/run"
mkdir -p "$guest/run/testbed"
mount --bind "$TESTBED" "$guest/run/testbed"
mount --bind "$TESTBED/balancer-bpf" "$guest/sys/fs/bpf"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$guest/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=755 tmpfs "$guest/sys/fs/cgroup"
    mkdir "$guest/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$guest/sys/fs/cgroup/systemd"
fi

# Disables everything that this host has enabled, above all its network configuration.
rm -rf "$guest"/etc/systemd/system/*.wants
ln -sf /dev/null "$guest/etc/systemd/system/network-online.target"
cp "$TESTBED/steps.service" "$guest/etc/systemd/system/"

cp "$PACKAGE" "$guest/run/xdplb.deb"
chroot "$guest" dpkg --install /run/xdplb.deb
chroot "$guest" systemd-analyze verify xdplb.service
chroot "$guest" systemd-analyze security --offline=true --threshold=23 xdplb.service
test -f "$guest/usr/share/man/man1/xdplb-backend-drain.1"
test -f "$guest/usr/share/man/man5/xdplb.toml.5"
for license in 'MIT or Apache-2.0' 'MIT or Apache-2.0 or GPL-2'; do
    grep --quiet --line-regexp "License: $license" "$guest/usr/share/doc/xdplb/copyright"
done
chroot "$guest" xdplb check -c /etc/xdplb/xdplb.toml
cp "$TESTBED/xdplb.toml" "$guest/etc/xdplb/xdplb.toml"
# A file that only root may read, and the operator's own drop-in that gives it to the daemon.
mkdir "$guest/etc/systemd/system/xdplb.service.d"
cp "$TESTBED/credential.conf" "$guest/etc/systemd/system/xdplb.service.d/"
install -m 600 "$TESTBED/secret" "$guest/etc/xdplb/secret"

cd "$guest"
pivot_root . mnt
umount --lazy /mnt
# As systemd itself does on a machine: credentials are mounted by a process of another namespace.
mount --make-rshared /
exec env --ignore-environment container=unshare \
    /lib/systemd/systemd --unit=steps.service --log-target=console
