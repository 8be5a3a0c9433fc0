//! Firmware made for QEMU's `virt`, from Debian's packages: U-Boot and UEFI to their prompts, variables in flash, and a
//! kernel that the firmware gets through fw_cfg.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use jib_machine::host::Capture;
use jib_machine::host::Output;
use jib_machine::launch::io::{Streams, Terminals};
use jib_machine::launch::options::Options;
use jib_machine::launch::{self, End};
use jib_testing::{fetch, tools};

/// A user who waits for a text, and then types.
#[derive(Clone)]
struct User(Arc<(Mutex<Talk>, Condvar)>);

struct Talk {
    /// What was said so far, and how much of it was answered.
    heard: Vec<u8>,
    answered: usize,
    script: VecDeque<(&'static str, &'static str)>,
}

impl User {
    fn new(script: &[(&'static str, &'static str)]) -> User {
        let talk = Talk { heard: Vec::new(), answered: 0, script: script.iter().copied().collect() };
        User(Arc::new((Mutex::new(talk), Condvar::new())))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().heard).into_owned()
    }
}

impl Output for User {
    fn write(&mut self, bytes: &[u8]) {
        self.0.0.lock().unwrap().heard.extend_from_slice(bytes);
        self.0.1.notify_all();
    }
}

impl Read for User {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut talk = self.0.0.lock().unwrap();
        while let Some(&(text, answer)) = talk.script.front() {
            let rest = &talk.heard[talk.answered..];
            if let Some(at) = rest.windows(text.len()).position(|w| w == text.as_bytes()) {
                talk.answered += at + text.len();
                talk.script.pop_front();
                buf[..answer.len()].copy_from_slice(answer.as_bytes());
                return Ok(answer.len());
            }
            talk = self.0.1.wait(talk).unwrap();
        }
        Ok(0)
    }
}

/// Runs a machine with someone who follows `script`; what was on the serial line, and how it ended.
fn talk(options: Options, script: &[(&'static str, &'static str)]) -> (String, End) {
    let user = User::new(script);
    let streams = Streams {
        input: Box::new(user.clone()),
        output: Box::new(user.clone()),
        errors: Box::new(Capture::default()),
        terminals: Terminals::default(),
    };
    let options = Options { net: false, timeout: Some(Duration::from_secs(300)), ..options };
    let report = launch::run(&options, streams, &mut |line| eprintln!("{line}")).expect("the machine runs");
    (user.text(), report.end)
}

fn uefi() -> PathBuf {
    fetch::file("qemu-efi-aarch64", "usr/share/AAVMF/AAVMF_CODE.fd")
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn u_boot_keeps_its_environment_in_flash() {
    let bios = fetch::file("u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin");
    let scratch = tools::Scratch::new("u-boot");
    let flash = scratch.path().join("flash");
    fs::write(&flash, vec![0xff; 1 << 20]).expect("written");
    let options = |text: &str| Options {
        bios: Some(bios.clone()),
        flash: Some(format!("{}{text}", flash.display()).parse().expect("a flash")),
        ..Options::default()
    };
    let stop = ("Hit any key to stop autoboot", " ");
    let prompt = "=> ";
    let script = [
        stop,
        (prompt, "setenv greeting hello; saveenv\r"),
        (prompt, "reset\r"),
        stop,
        (prompt, "printenv greeting\r"),
        (prompt, "poweroff\r"),
    ];
    for (mode, kept) in [("", false), (",rw", true)] {
        let (text, end) = talk(options(mode), &script);
        assert!(text.contains("\ngreeting=hello"), "{mode}: {text}");
        assert_eq!(end, End::PowerOff, "{text}");
        let bytes = fs::read(&flash).expect("the flash");
        assert_eq!(bytes.windows(14).any(|w| w == b"greeting=hello"), kept, "{mode}");
        assert_eq!(bytes.len(), 1 << 20);
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn uefi_to_its_shell() {
    let script = [("seconds to skip", "\x1b"), ("Shell> ", "ver\r"), ("Shell> ", "reset -s\r")];
    let (text, end) = talk(Options { bios: Some(uefi()), ..Options::default() }, &script);
    assert!(text.contains("UEFI Interactive Shell"), "{text}");
    assert_eq!(end, End::PowerOff, "{text}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn uefi_starts_a_kernel_with_its_initrd() {
    let guest =
        launch::fetch::guest(&launch::fetch::Package::cloud(), &mut |line| eprintln!("{line}")).expect("a kernel");
    let scratch = tools::Scratch::new("uefi");
    let initrd = scratch.path().join("initrd");
    // No archive: the kernel says so, and has seen its length.
    fs::write(&initrd, vec![0x41; 12345]).expect("written");
    let options = Options {
        bios: Some(uefi()),
        kernel: Some(guest.kernel),
        initrd: Some(initrd),
        append: Some("hello=world".to_string()),
        cpus: 2,
        ..Options::default()
    };
    let (text, end) = talk(options, &[]);
    let expected = [
        "EFI stub: Booting Linux Kernel",
        "hello=world",
        "efi: EFI v",
        "hw perfevents: enabled with armv8_pmuv3 PMU driver, 7 counters available",
        "smp: Brought up 1 node, 2 CPUs",
        "Initramfs unpacking failed",
    ];
    for line in expected {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    assert_eq!(end, End::Panic, "{text}");
}
