#!/bin/busybox sh
# The first process of a guest, from the initramfs: puts the root file system together. Busybox is
# all there is; every command is one of its applets.
export PATH=/bin
give_up() {
    echo "vxqual: $1"
    busybox poweroff -f
}
busybox mkdir -p /dev /proc /sys /lower /upper /root
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
while read -r module; do
    busybox insmod "/modules/$module" || echo "vxqual: $module is not loaded"
done < /modules/order
turn=0
while [ ! -b /dev/vda ] && [ $turn -lt 100 ]; do
    turn=$((turn + 1))
    busybox sleep 0.1
done
busybox mount -t ext4 -o ro,noatime /dev/vda /lower ||
    give_up 'no root file system: the kernel needs virtio_pci, virtio_blk and ext4'
busybox mount -t tmpfs -o mode=755 upper /upper
busybox mkdir /upper/files /upper/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root ||
    give_up 'no writable root file system: the kernel needs overlay and tmpfs'
busybox mkdir -p /root/lib/modules
[ -b /dev/vdb ] && busybox mount -t ext4 -o ro,noatime /dev/vdb /root/lib/modules
busybox cp -a /guest /root/vxqual
for each in dev proc sys; do busybox mount --move "/$each" "/root/$each"; done
exec busybox switch_root /root /vxqual/start
