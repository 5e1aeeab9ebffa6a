# What an operator does with the service, and what befalls it.

cd /run/bed

until_true() { until "$@"; do sleep 0.1; done; }
pid() { systemctl show --property MainPID --value xdplb; }
is_another_than() { test "$(pid)" != "$1" && test "$(pid)" != 0; }
has_up() { test "$(xdplb backend list -o json | grep -c '"in_ring": true')" = "$1"; }
has_said() { journalctl --quiet --unit xdplb | grep --quiet "$1"; }
status_of_nobody_in() {
    setpriv --reuid 65534 --regid "$1" --clear-groups xdplb status >/dev/null
}

trap 'journalctl --unit xdplb' EXIT
systemctl start xdplb
until_true has_up 3
touch started
until_true test -e disturb

test "$(stat --format '%a %U %G' /run/xdplb/xdplb.sock)" = '660 root xdplb'
status_of_nobody_in xdplb
if status_of_nobody_in 65534; then exit 1; fi

xdplb backend disable web 10.0.0.13:80
killed=$(pid)
kill -KILL "$killed"
until_true is_another_than "$killed"
until_true xdplb status >/dev/null
until_true has_up 2
xdplb backend enable web 10.0.0.13:80
echo broken >>/etc/xdplb/xdplb.toml
if systemctl reload xdplb; then exit 1; fi
until_true has_said 'key with no value'
systemctl is-active xdplb
sed --in-place '$d' /etc/xdplb/xdplb.toml
systemctl reload xdplb
until_true has_said 'xdplb.toml reloaded'
until_true has_up 3
systemctl stop xdplb
test ! -e /run/xdplb
touch stopped

until_true test -e remove
dpkg --remove xdplb
test ! -e /sys/fs/bpf/xdplb
