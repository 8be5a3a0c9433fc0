# Ends the machine at once: process 1 waits for the shell.
power() {
    cd /
    sync
    umount -a -r 2>/dev/null
    busybox "$1" -f
}
poweroff() { power poweroff; }
halt() { power poweroff; }
reboot() { power reboot; }
