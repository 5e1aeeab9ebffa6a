# An operator's commands to the service, and failures that it must survive.

cd /run/testbed

until_true() { until "$@"; do sleep 0.1; done; }
pid() { systemctl show --property MainPID --value xdplb; }
is_another_than() { test "$(pid)" != "$1" && test "$(pid)" != 0; }
has_up() { test "$(xdplb backend list "$1" -o json | grep -c '"in_ring": true')" = "$2"; }
is_draining() { xdplb backend list web -o json | grep --quiet '"admin": "draining"'; }
has_said() { journalctl --quiet --unit xdplb | grep --quiet "$1"; }
status_of_nobody_in() {
    setpriv --reuid 65534 --regid "$1" --clear-groups xdplb status >/dev/null
}

owner() { stat --format '%a %U %G' "$1"; }

trap 'journalctl --unit xdplb' EXIT
# State left by a daemon that root ran by hand belongs to the user afterwards.
xdplb run --config /etc/xdplb/xdplb.toml &
until_true xdplb status >/dev/null
kill $!
wait $!
test "$(owner /var/lib/xdplb/journal | cut --delimiter=' ' --fields=2)" = root
systemctl start xdplb
until_true has_up web 3
until_true has_up confined 1
touch started
until_true test -e disturb

systemd-analyze security --threshold=23 xdplb.service >security.log
test "$(ps --no-headers --format user "$(pid)")" = xdplb
test "$(owner /run/xdplb/xdplb.sock)" = '660 xdplb xdplb'
test "$(owner /var/lib/xdplb)" = '700 xdplb xdplb'
test "$(owner /sys/fs/bpf/xdplb)" = '700 xdplb xdplb'
test -z "$(find /var/lib/xdplb /sys/fs/bpf/xdplb ! -user xdplb)"
if xdplb detach; then exit 1; fi
# The daemon can read the credential, but not the file.
nsenter --target "$(pid)" --mount setpriv --reuid xdplb --regid xdplb --clear-groups sh -eux -c '
    cmp /run/credentials/xdplb.service/secret /run/testbed/secret
    if cat /etc/xdplb/secret; then exit 1; fi
    grep --quiet . /usr/lib/xdplb/ipv4/ip_local_port_range
'
status_of_nobody_in xdplb
if status_of_nobody_in 65534; then exit 1; fi

xdplb backend disable web 10.0.0.13:80
xdplb backend drain web 10.0.0.12:80 --deadline 1h
killed=$(pid)
kill -KILL "$killed"
until_true is_another_than "$killed"
until_true xdplb status >/dev/null
until_true has_up web 1
is_draining
xdplb backend enable web 10.0.0.12:80
xdplb backend enable web 10.0.0.13:80
echo broken >>/etc/xdplb/xdplb.toml
if systemctl reload xdplb; then exit 1; fi
until_true has_said 'key with no value'
systemctl is-active xdplb
sed --in-place '$d' /etc/xdplb/xdplb.toml
# As SECURITY.md has it for a file with passwords: it is still trusted with a program.
chown xdplb:root /etc/xdplb/xdplb.toml
chmod 0400 /etc/xdplb/xdplb.toml
systemctl reload xdplb
if setpriv --reuid 65534 --regid xdplb --clear-groups cat /etc/xdplb/xdplb.toml; then exit 1; fi
until_true has_said 'configuration file reloaded'
until_true has_up web 3
systemctl stop xdplb
test ! -e /run/xdplb
touch stopped

until_true test -e remove
dpkg --remove xdplb
test ! -e /sys/fs/bpf/xdplb
