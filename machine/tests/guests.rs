//! Debian's standard kernels (fetched by apt-get into the cache) at work: disks, network, shared folders; and what is
//! handed to a kernel. What a guest makes of data must be what the host's own programs make of it.

mod common;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use jib_machine::devices::gic::Version;
use jib_machine::initramfs::Archive;
use jib_machine::launch::End;
use jib_machine::launch::fetch::{self, Package};
use jib_machine::launch::options::{DiskMode, DiskSpec, Options, PortForward};
use jib_testing::tools;

use common::{Done, boot};

/// What the host's `sha256sum` says of these bytes.
fn sha256(bytes: &[u8]) -> String {
    let mut tool = tools::command("sha256sum");
    let mut tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cannot start");
    tool.stdin.take().expect("piped").write_all(bytes).expect("cannot write");
    let out = tool.wait_with_output().expect("cannot wait").stdout;
    String::from_utf8(out).expect("no text").trim_end().to_string()
}

/// 32 MiB that look random but for every eighth kilobyte, which is text.
fn data() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let block = |n: u64| -> Vec<u8> {
        match n % 8 {
            0 => format!("{n:0>16}").repeat(64).into_bytes(),
            _ => (0..128).flat_map(|_| word().to_le_bytes()).collect(),
        }
    };
    (0..32 * 1024).flat_map(block).collect()
}

/// An ext4 image of 64 MiB with one file.
fn image(dir: &Path, name: &str) -> PathBuf {
    let content = dir.join(format!("{name}-content"));
    fs::create_dir(&content).expect("cannot make a folder");
    fs::write(content.join("greeting"), format!("this is {name}\n")).expect("cannot write");
    let path = dir.join(name);
    tools::output(tools::command("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&content).arg(&path).arg("64M"));
    path
}

/// Runs one of e2fsprogs' tools on an image; it must be content.
fn e2fs(tool: &str, arguments: &[&str], image: &Path) -> Vec<u8> {
    let out = tools::command(tool).args(arguments).arg(image).output().expect("cannot start");
    assert!(out.status.success(), "{tool} {}: {}", image.display(), String::from_utf8_lossy(&out.stdout));
    out.stdout
}

/// A server on the loopback that gives these bytes to each client who asks by HTTP.
fn serve(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("cannot listen");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // Its request ends with an empty line; what goes wrong from here on is seen in the guest.
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let _ = client.write_all(format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes());
            let _ = client.write_all(&bytes);
        }
    });
    port
}

/// A port of the loopback that nobody uses now.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("no port").port()
}

/// Fetches `file` from a web server behind `port` that may not be there yet; `None` after many tries.
fn fetch(port: u16, file: &str) -> Option<Vec<u8>> {
    for _ in 0..6000 {
        let mut answer = Vec::new();
        let got = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|mut server| {
            server.write_all(format!("GET /{file} HTTP/1.0\r\n\r\n").as_bytes())?;
            server.read_to_end(&mut answer)
        });
        let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map(|at| answer[at + 4..].to_vec());
        if got.is_ok() && answer.starts_with(b"HTTP/1.1 200") && body.is_some() {
            return body;
        }
        thread::sleep(Duration::from_millis(100));
    }
    None
}

/// All that a guest is made to do, on the first disk kept, the second read-only and the third thrown away. `PORT` is
/// the server's.
const SCRIPT: &str = r#"set -e
uname -r | cut -d. -f1-2; nproc
cd /mnt/share0
sha256sum < data
head -c 4000000 data | gzip > packed
gunzip -c < packed | sha256sum
seq 1 100000 | awk '{ s = (s * 31 + $1) % 1000003 } END { print s }'
i=0; while [ $i -lt 200 ]; do /bin/busybox true; i=$((i+1)); done; echo forks $i
cat /sys/block/vda/serial /sys/block/vdb/serial /sys/block/vdc/serial | tr -d '\0' | sed 's/disk/ &/g'; echo
mkdir /tmp/a /tmp/b /tmp/c
for n in a c; do
    mount -t ext4 /dev/vd$n /tmp/$n
    mkdir -p /tmp/$n/x/y; ln -s ../../file /tmp/$n/x/y/link; head -c 8000000 data > /tmp/$n/file
    umount /tmp/$n; echo 3 > /proc/sys/vm/drop_caches; mount -t ext4 /dev/vd$n /tmp/$n
    cat /tmp/$n/greeting; sha256sum < /tmp/$n/x/y/link
    umount /tmp/$n
done
cat /sys/block/vdb/ro
mount -t ext4 -o ro /dev/vdb /tmp/b; cat /tmp/b/greeting; umount /tmp/b
! head -c 512 data 2>/dev/null > /dev/vdb
wget -q -O - http://10.0.2.2:PORT/ | sha256sum
httpd -p 8080 -h /mnt/share0
until [ -e done ]; do sleep 0.1; done
exit 7
"#;

/// Boots the kernel of this package with two CPUs and has it do everything.
fn at_work(package: &str, gic: Version, version: &str) {
    let scratch = tools::Scratch::new("guest");
    let dir = scratch.path();
    let share = dir.join("share");
    fs::create_dir(&share).expect("cannot make a folder");
    let data = data();
    fs::write(share.join("data"), &data).expect("cannot write");
    let [kept, fixed, passing] = ["kept", "fixed", "passing"].map(|name| image(dir, name));
    fs::set_permissions(&fixed, Permissions::from_mode(0o444)).expect("cannot protect");
    let before = [&fixed, &passing].map(|path| fs::read(path).expect("cannot read"));
    let (server, forward) = (serve(data.clone()), free_port());
    let visitor = thread::spawn({
        let share = share.clone();
        move || {
            let got = fetch(forward, "packed");
            // Whatever came of it, the guest waits for this.
            fs::write(share.join("done"), "").expect("cannot write");
            got
        }
    });
    let command = ["sh".into(), "-c".into(), SCRIPT.replace("PORT", &server.to_string()).into()];
    let disk = |path: &PathBuf, mode| DiskSpec { path: path.clone(), mode };
    let options = Options {
        package: Some(package.parse().expect("a package")),
        gic,
        cpus: 2,
        disks: vec![
            disk(&kept, DiskMode::ReadWrite),
            disk(&fixed, DiskMode::ReadOnly),
            disk(&passing, DiskMode::Snapshot),
        ],
        shares: vec![share.clone()],
        forwards: vec![PortForward { host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, forward), guest: 8080 }],
        command: command.into(),
        ..Options::default()
    };
    let Done { report, output, errors } = boot(options, &[]);
    let sum = (1..=100_000).fold(0, |s: u64, n| (s * 31 + n) % 1_000_003).to_string();
    let (all, part, file) = (sha256(&data), sha256(&data[..4_000_000]), sha256(&data[..8_000_000]));
    let expected = [
        version,
        "2",
        &all,
        &part,
        &sum,
        "forks 200",
        " disk0 disk1 disk2",
        "this is kept",
        &file,
        "this is passing",
        &file,
        "1",
        "this is fixed",
        &all,
    ];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected, "{errors}");
    assert_eq!(report.end, End::Status(7), "{errors}");
    // What the guest left is what the host finds.
    let packed = fs::read(share.join("packed")).expect("the guest wrote it");
    assert_eq!(visitor.join().expect("no panic").as_ref(), Some(&packed), "through the forwarded port");
    let unpacked = tools::output(tools::command("gzip").arg("-dc").arg(share.join("packed")));
    assert!(unpacked == data[..4_000_000], "the guest's gzip");
    e2fs("e2fsck", &["-f", "-n"], &kept);
    assert!(e2fs("debugfs", &["-R", "cat file"], &kept) == data[..8_000_000], "on the disk that is kept");
    assert!([&fixed, &passing].map(|path| fs::read(path).expect("cannot read")) == before, "disks that are not");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn the_standard_kernel_at_work() {
    at_work("linux-image-arm64", Version::V3, "6.1");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn a_newer_kernel_at_work_with_the_older_interrupt_controller() {
    at_work("linux-image-arm64/trixie", Version::V2, "6.12");
}

/// Process 1 of a guest of our own: shows what it was given.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir /proc /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox cat /proc/cmdline
echo BEGIN
/bin/busybox base64 /sys/firmware/fdt
echo END
/bin/busybox poweroff -f
";

/// A kernel gets the initrd, the arguments and the device tree that the user names.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn own_initrd_arguments_and_device_tree() {
    let scratch = tools::Scratch::new("guest");
    let guest = fetch::guest(&Package::cloud(), &mut |line| eprintln!("{line}")).expect("a guest");
    let mut archive = Archive::new();
    archive.folder("dev", 0o755).device("dev/console", 0o600, 5, 1);
    archive.file("bin/busybox", 0o755, &guest.busybox).file("init", 0o755, INIT.as_bytes());
    let initrd = scratch.path().join("initrd");
    fs::write(&initrd, archive.finish()).expect("cannot write");
    let kernel = Options { kernel: Some(guest.kernel), ..Options::default() };
    let append = Some("quiet marker=\"a b\"".to_string());
    let Done { report, output, .. } = boot(Options { initrd: Some(initrd), append, ..kernel.clone() }, &[]);
    assert_eq!(report.end, End::PowerOff, "{output}");
    let line = "console=ttyAMA0 panic=-1 quiet marker=\"a b\"";
    assert!(output.lines().any(|l| l.trim_end() == line), "{output}");
    let text = output.split("BEGIN").nth(1).and_then(|t| t.split("END").next()).expect("a device tree");
    let packed = scratch.path().join("fdt.base64");
    fs::write(&packed, text.replace('\r', "")).expect("cannot write");
    let mut tree = tools::output(tools::command("base64").arg("-d").arg(&packed));
    // The same tree, but for one letter of the arguments; the initrd that it tells of is not there.
    let at = tree.windows(6).position(|w| w == b"quiet ").expect("the arguments");
    tree[at..at + 6].copy_from_slice(b"QUIET ");
    let dtb = scratch.path().join("dtb");
    fs::write(&dtb, tree).expect("cannot write");
    let Done { report, output, .. } = boot(Options { dtb: Some(dtb), ..kernel }, &[]);
    assert_eq!(report.end, End::Panic, "{output}");
    let line = "Kernel command line: console=ttyAMA0 panic=-1 QUIET marker=\"a b\"";
    assert!(output.contains(line) && output.contains("Unable to mount root fs"), "{output}");
}

/// A disk with one partition: ext4, with what is in the folder.
fn partitioned(dir: &Path, content: &Path) -> PathBuf {
    const START: usize = 1 << 20;
    let files = dir.join("partition");
    tools::output(tools::command("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(content).arg(&files).arg("64M"));
    let mut bytes = vec![0; START];
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[446 + 4] = 0x83;
    bytes[446 + 8..][..4].copy_from_slice(&(START as u32 / 512).to_le_bytes());
    bytes[446 + 12..][..4].copy_from_slice(&(64u32 << 11).to_le_bytes());
    bytes.extend(fs::read(&files).expect("cannot read"));
    let disk = dir.join("disk");
    fs::write(&disk, bytes).expect("cannot write");
    disk
}

/// A disk without a kernel is booted by Debian's, one with a kernel by that.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn systems_on_disks() {
    let scratch = tools::Scratch::new("guest");
    let guest = fetch::guest(&Package::cloud(), &mut |line| eprintln!("{line}")).expect("a guest");
    let content = scratch.path().join("content");
    for folder in ["sbin", "bin"] {
        fs::create_dir_all(content.join(folder)).expect("cannot make a folder");
    }
    let init = "#!/bin/busybox sh\n/bin/busybox grep -o '^/dev/vda1 / ext4 rw' /proc/mounts\n\
                echo $$ kept > /file; /bin/busybox sync; /bin/busybox poweroff -f\n";
    for (name, bytes) in [("sbin/init", init.as_bytes()), ("bin/busybox", guest.busybox.as_slice())] {
        fs::write(content.join(name), bytes).expect("cannot write");
        fs::set_permissions(content.join(name), Permissions::from_mode(0o755)).expect("cannot allow");
    }
    let disk = partitioned(scratch.path(), &content);
    let named = Options { kernel: Some(format!("{},rw", disk.display()).into()), ..Options::default() };
    let Done { report, output, .. } = boot(named, &[]);
    assert_eq!(report.end, End::PowerOff, "{output}");
    assert!(output.lines().any(|line| line.trim_end() == "/dev/vda1 / ext4 rw"), "{output}");
    let inside = PathBuf::from(format!("{}?offset=1048576", disk.display()));
    assert_eq!(e2fs("debugfs", &["-R", "cat file"], &inside), b"1 kept\n");
    // The cloud kernel needs an initrd to reach its root; here it has none.
    fs::copy(&guest.kernel, content.join("vmlinuz")).expect("cannot copy");
    let disk = partitioned(scratch.path(), &content);
    let Done { report, output, .. } = boot(Options { kernel: Some(disk), ..Options::default() }, &[]);
    assert_eq!(report.end, End::Panic, "{output}");
    assert!(output.contains("Cannot open root device \"vda1\""), "{output}");
}
