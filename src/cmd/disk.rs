//! A disk image with a Debian arm64 system on it, made of packages without the rights of root.
//!
//! A root folder is made as for `jib shell`, with what starts and serves a whole system besides; the guest's own
//! `mke2fs`, run inside, makes a file system of it, so that files have the owners that they have inside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cmd::debian;
use crate::report::tell;

/// What a system needs that a root folder does not.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "udev",
    "kmod",
    "dbus",
    "libpam-systemd",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "netbase",
    "procps",
];
/// Names in the folder in the making.
const ROOT: &str = "root";
const IMAGE: &str = "disk";
/// Where that folder is inside.
const WORK: &str = "/media";
/// Runs inside: makes a system of the root, an image of the system, and room.
const FINISH: &str = r#"set -e
passwd -q -d root
systemctl -q enable systemd-networkd
systemctl -q disable systemd-networkd-wait-online
# The root as it is below what lies over it here: /proc, the host's resolver and so on.
mount --bind / /mnt
cd /mnt
rm -f usr/sbin/policy-rc.d
# A link means that some service makes it.
[ -L etc/resolv.conf ] || echo "nameserver $2" > etc/resolv.conf
# Each system that comes of the image gets its own.
: > etc/machine-id
rm -f var/lib/dbus/machine-id
# Hosts may be slow, or busy.
mkdir -p etc/systemd/system.conf.d
printf '[Manager]\nDefaultDeviceTimeoutSec=15min\n' > etc/systemd/system.conf.d/jib.conf
printf '[Match]\nType=ether\n[Network]\nDHCP=yes\n' > etc/systemd/network/80-dhcp.network
cd /
mke2fs -q -t ext4 -L root -d /mnt /media/disk "$1"
# Others than us own some of it. Mount points stay; they are empty.
rm -rf --one-file-system /mnt/* 2>/dev/null || :
"#;

/// Makes `disk`, which must not exist, of `size` bytes.
pub(crate) fn make(disk: &Path, release: &str, more: &[String], size: u64) -> Result<(), String> {
    let io = |e: io::Error| e.to_string();
    if disk.exists() {
        return Err("is there already; leave --debian out to boot it".into());
    }
    let mut work = disk.as_os_str().to_owned();
    work.push(".making");
    let work = PathBuf::from(work);
    fs::create_dir(&work).map_err(|e| format!("cannot make {}: {e}", work.display()))?;
    let made = fill(&fs::canonicalize(&work).map_err(io)?, release, more, size);
    let made = made.and_then(|()| fs::rename(work.join(IMAGE), disk).map_err(io));
    let removed = fs::remove_dir_all(&work);
    made?;
    removed.map_err(|e| format!("made, but {} cannot be removed: {e}", work.display()))
}

/// Makes the image in `work`.
fn fill(work: &Path, release: &str, more: &[String], size: u64) -> Result<(), String> {
    let packages: Vec<String> = PACKAGES.iter().map(|p| p.to_string()).chain(more.iter().cloned()).collect();
    let root = work.join(ROOT);
    debian::make(&root, release, &packages)?;
    tell("making a file system of it ...");
    let bind = format!("{}:{WORK}", work.display());
    let arguments = [format!("{}M", size >> 20), jib_machine::net::DNS.to_string()];
    debian::inside(&root, &["--bind", &bind], FINISH, &arguments)
}
