#!/bin/sh
# The part of the image's recipe that runs in its tree: the project set up by packaging/, users, and
# a boot with nothing in it that the tests do not look at.
#
# usage: customize.sh USER…
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

for user in "$@"; do
    sh /opt/rl/packaging/setup-system.sh run "$user"
    passwd -d "$user" >/dev/null
    install -d -m 0700 -o "$user" -g "$user" "/home/$user/.ssh"
    install -m 0600 -o "$user" -g "$user" /root/.ssh/authorized_keys "/home/$user/.ssh/"
done
chmod 0700 /root/.ssh
missing=$(sh /opt/rl/packaging/setup-system.sh --check run "$1" | grep -v ' /dev/' || true)
[ -z "$missing" ] || { echo "$missing" >&2; exit 1; }

PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheels sh /opt/rl/packaging/setup-python.sh run
ln -s /opt/rl/.venv/bin/rl /opt/rl/.venv/bin/rl-oci /usr/local/bin/
rm -r /tmp/wheels

mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/rl-linger # what `loginctl enable-linger` leaves

cat >/etc/fstab <<'END'
/dev/vda / ext4 rw,noatime 0 0
/dev/vdb none swap sw 0 0
END
cat >/etc/systemd/network/qemu.network <<'END'
[Match]
Type=ether
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
LinkLocalAddressing=no
END
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' >/etc/systemd/journald.conf.d/volatile.conf
printf 'UseDNS no\nPrintMotd no\nMaxSessions 100\nPermitRootLogin prohibit-password\n' \
    >/etc/ssh/sshd_config.d/system-tests.conf
sed -i '/pam_motd\|pam_mail/d' /etc/pam.d/sshd
# The network ends at the guest: a name that is looked up fails at once.
echo 'nameserver 127.0.0.1' >/etc/resolv.conf
touch /etc/default/locale # PAM complains when it is absent
echo rl-guest >/etc/hostname
echo '127.0.0.1 localhost rl-guest' >/etc/hosts
systemctl --quiet enable systemd-networkd ssh
systemctl --quiet mask systemd-networkd-wait-online.service systemd-resolved.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer man-db.timer systemd-tmpfiles-clean.timer \
    serial-getty@ttyS0.service getty@tty1.service
printf '[storage]\ndriver = "overlay"\n' >/etc/containers/storage.conf
# podman-restart would run podman at the start of every user's manager.
for whose in --system --global; do
    systemctl --quiet $whose disable podman.service podman.socket podman-auto-update.service \
        podman-auto-update.timer podman-restart.service
done
# The tests that want them start them.
systemctl --quiet disable lxcfs nfs-server rpcbind.service rpcbind.socket nfs-client.target
