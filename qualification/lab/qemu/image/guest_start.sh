#!/bin/sh
# The first process of a guest once its root file system is there: the network to log in over, the
# NICs under their names, sshd. It stays, to take over orphans.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /vxqual || exit 1
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/sshd /run/lock /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
[ -d /sys/fs/cgroup ] && mount -t cgroup2 cgroup /sys/fs/cgroup
cat hostname > /proc/sys/kernel/hostname
# A driver for every device, which udev would otherwise see to.
for alias in $(cat /sys/bus/pci/devices/*/modalias /sys/bus/virtio/devices/*/modalias); do
    modprobe -q "$alias" &
done
ip link set dev lo up
wait
# Names by MAC address, likewise.
for found in /sys/class/net/*; do
    read -r address < "$found/address"
    while read -r mac name; do
        [ "$mac" = "$address" ] && ip link set dev "${found##*/}" name "$name"
    done < interfaces
done
# An emulated CPU empties a ring slowly, and some models drop what finds it full without counting
# it: vmxnet3 with its 1024 lost one frame in 600, which looks like a fault of the sender's.
while read -r mac name; do
    most=$(ethtool -g "$name" 2>/dev/null | sed -n 's/^RX:[^0-9]*\([0-9]*\)$/\1/p' | head -n 1)
    [ "${most:-0}" -gt 256 ] && ethtool -G "$name" rx "$most"
done < interfaces
ip address add 10.0.2.15/24 dev mgmt
ip link set dev mgmt up
mkdir -p -m 700 /root/.ssh
cp authorized_keys /root/.ssh/authorized_keys
chmod 600 host_key /root/.ssh/authorized_keys
/usr/sbin/sshd -f /vxqual/sshd_config -E /run/sshd.log
echo "vxqual: ready after $(cut -d' ' -f1 /proc/uptime) s" > /dev/console
while :; do
    sleep 3600 &
    wait
done
