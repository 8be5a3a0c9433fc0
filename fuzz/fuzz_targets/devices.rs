//! Any bytes, as a program for a device, come to their end: the first one chooses the device, or `JIB_DEVICE` names it.
#![no_main]
#![allow(dead_code, unreachable_pub, reason = "the machine needs more of these files than this")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

// The files themselves and not their crate, which brings the code generator.
#[path = "../../machine/src/device.rs"]
mod device;
#[path = "../../machine/src/devices/mod.rs"]
mod devices;
#[path = "../../machine/src/drive.rs"]
mod drive;
#[path = "../../machine/src/host/mod.rs"]
mod host;
#[path = "../../machine/src/irq.rs"]
mod irq;
#[path = "../../machine/src/net/mod.rs"]
mod net;
#[path = "../../machine/src/psci.rs"]
mod psci;
#[path = "../../machine/src/ram.rs"]
mod ram;

/// The device that is asked for.
fn chosen() -> Option<drive::Drive> {
    static CHOSEN: OnceLock<Option<drive::Drive>> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("JIB_DEVICE").ok()?;
        let found = drive::DRIVES.iter().find(|(known, _)| *known == name);
        Some(found.unwrap_or_else(|| panic!("no device {name:?}")).1)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let all = drive::DRIVES;
    let drive = chosen().unwrap_or(all[usize::from(*first) % all.len()].1);
    drive(&mut drive::Program(rest));
});
