#!/bin/busybox sh
# Process 1 of the default guest: prepares the system, runs a shell or the command, and powers off.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
. /etc/jib/settings
export TERM

serial=/dev/ttyAMA0
exec 3>$serial

# Tells the host something; it takes such lines out of the console's output.
mark() { printf '\036jib:%s %s\n' "$TOKEN" "$*" >&3; }

# Mounts the shared folders below /mnt of the root given.
mount_shares() {
    share=0
    while [ $share -lt "$SHARES" ]; do
        mkdir -p "$1/mnt/share$share"
        mount -t 9p -o trans=virtio,version=9p2000.L share$share "$1/mnt/share$share"
        share=$((share + 1))
    done
}

. /etc/profile
trap 'power poweroff' USR1 USR2
trap 'power reboot' TERM

for module in /lib/modules/*.ko; do
    [ -f "$module" ] && insmod "$module"
done

if [ -n "$ROOT" ]; then
    # The disk's own system goes on from here; it sets up the rest.
    mkdir -p /root
    if ! mount -o rw "/dev/$ROOT" /root 2>/dev/null; then
        echo "jib: cannot mount /dev/$ROOT" >&3
        power poweroff
    fi
    mount_shares /root
    umount /tmp /dev/pts
    for folder in dev proc sys; do
        mkdir -p /root/$folder
        mount --move /$folder /root/$folder
    done
    exec 3>&-
    exec switch_root -c /dev/console /root /sbin/init
fi

hostname jib
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
    udhcpc -i eth0 -n -q -t 5 -T 1 -s /etc/jib/udhcpc >/dev/null 2>&1
fi

mount_shares ""

main=$serial
if [ -n "$COMMAND" ] && [ -c /dev/hvc0 ]; then
    main=/dev/hvc0
fi
# Kept open: the settings of a console that nobody has open are lost.
exec 4<>$main
stty rows "$ROWS" cols "$COLUMNS" <&4
if [ -n "$COMMAND" ]; then
    # A stream that is no terminal on the host passes unchanged; ^V quotes and ^D ends its input.
    [ -n "$INPUT_TTY" ] || stty -icrnl -ixon -isig -echo icanon iexten <&4
    [ -n "$OUTPUT_TTY" ] || stty -opost <&4
    [ -n "$ERROR_TTY" ] || stty -opost <&3
    set -- sh /etc/jib/command
    errors=$serial
else
    set -- sh -l
    errors=$main
fi

cd /root
mark ready ${main#/dev/}
# In the foreground: what runs in the background is deaf to Ctrl-C.
setsid -c "$@" <$main >$main 2>$errors 3>&- 4>&-
status=$?
cd /
sync
umount -a -r 2>/dev/null
[ -z "$COMMAND" ] || mark status $status
# Waits until everything is out.
stty sane <&3
busybox poweroff -f
