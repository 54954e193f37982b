# SPDX-License-Identifier: GPL-2.0-or-later
#
# Functions for init, which sources this file: Debian's libvirt, in a folder of its own
# as it wants another C library than the server's other programs.  $libvirt has the
# files of its packages.
root=/libvirt

virsh() {
    chroot $root /usr/bin/virsh --quiet "$@"
}

# start_libvirtd OUT: with its log in there, and a line with its version
start_libvirtd() {
    mkdir -p $root/usr $root/run $root/tmp $root/var/lib $root/var/lock \
        $root/etc/libvirt /dev/pts
    ln -s usr/lib $root/lib
    ln -s ../run $root/var/run
    mount --bind "$libvirt/usr" $root/usr
    for path in /proc /sys /dev $(awk '{ print $2 }' /mounts); do
        mkdir -p "$root$path"
        mount --bind "$path" "$root$path"
    done
    mount -t devpts devpts $root/dev/pts
    # QEMU runs as root, by the names that Debian has for its user and groups
    echo libvirt-qemu:x:0:0::/:/bin/sh >$root/etc/passwd
    printf '%s:x:0:\n' libvirt-qemu kvm >$root/etc/group
    # QEMU's messages go to a file, not through another daemon.  QEMU gets no mount
    # namespace: a process that enters one is outside this folder.
    printf '%s\n' 'stdio_handler = "file"' 'namespaces = []' \
        >$root/etc/libvirt/qemu.conf

    chroot $root /usr/sbin/libvirtd --version
    chroot $root /usr/sbin/libvirtd >"$1/libvirtd.log" 2>&1 &
    until virsh uri >/dev/null 2>&1; do
        kill -0 $! || return
        usleep 200000
    done
}

# run_domain NAME OUT ADDRESS: from its start to its end, with logs in OUT.  Prints what
# QEMU holds of vfio, and the driver of the GPU with this address
run_domain() {
    # virsh wants a terminal for that; any will do
    : >/console
    virsh start --console "$1" </dev/console >/console 2>&1 &
    client=$!
    # Once the firmware runs, all devices are there
    until grep -q UEFI /console || ! kill -0 $client; do
        usleep 200000
    done
    held "$(cat $root/run/libvirt/qemu/"$1".pid)"
    bound_to "$3"
    follow $client "$2"
    status=$?
    cp $root/var/log/libvirt/qemu/"$1".log "$2/qemu.stderr"
    return $status
}

# undefine NAME: when libvirt has heard of its end
undefine() {
    while state=$(virsh domstate "$1") && [ "$state" != 'shut off' ]; do
        usleep 200000
    done
    virsh undefine --nvram "$1"
}
