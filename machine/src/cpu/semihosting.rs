//! Semihosting (Arm, "Semihosting for AArch32 and AArch64"): a program without an operating system writes to the console
//! and ends with a status, by HLT 0xF000. There are no files but the console.

use jib_ir::ty::Size;

use super::system::System;

/// The immediate of HLT that means it.
pub const HLT: u32 = 0xf000;

/// Where what is written goes.
pub type Console = Box<dyn Fn(&[u8]) + Send>;

const OPEN: u32 = 0x01;
const CLOSE: u32 = 0x02;
const WRITEC: u32 = 0x03;
const WRITE0: u32 = 0x04;
const WRITE: u32 = 0x05;
const ISTTY: u32 = 0x09;
const EXIT: u32 = 0x18;
const EXIT_EXTENDED: u32 = 0x20;
/// ADP_Stopped_ApplicationExit
const APPLICATION_EXIT: u64 = 0x2_0026;
/// The console's name, and our only handle: to write.
const CONSOLE: &[u8] = b":tt";
const HANDLE: u64 = 1;
/// The answer of what failed or is not there.
const FAILED: u64 = u64::MAX;
/// Most bytes of one call.
const MOST: u64 = 1 << 16;

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// x0
    Return(u64),
    /// The program ended.
    Exit(u8),
}

/// Carries out operation `op` with `x1`; what is written goes to `console`.
pub(super) fn call(system: &mut System, console: &dyn Fn(&[u8]), op: u32, x1: u64) -> Done {
    Done::Return(match op {
        OPEN => open(system, x1).unwrap_or(FAILED),
        CLOSE => 0,
        ISTTY => u64::from(word(system, x1, 0) == Some(HANDLE)),
        WRITEC => match bytes(system, x1, 1) {
            Some(byte) => {
                console(&byte);
                0
            }
            None => FAILED,
        },
        WRITE0 => {
            let text = (0..MOST).map_while(|i| byte(system, x1.wrapping_add(i)).filter(|b| *b != 0));
            console(&text.collect::<Vec<u8>>());
            0
        }
        WRITE => write(system, console, x1).unwrap_or(FAILED),
        EXIT | EXIT_EXTENDED => {
            let ended = word(system, x1, 0) == Some(APPLICATION_EXIT);
            return Done::Exit(if ended { word(system, x1, 1).unwrap_or(1) as u8 } else { 1 });
        }
        _ => FAILED,
    })
}

/// The name, how it is opened, and the name's length: the console, to be written.
fn open(system: &mut System, block: u64) -> Option<u64> {
    let [name, mode, len] = [0, 1, 2].map(|i| word(system, block, i));
    let is_console = len? == CONSOLE.len() as u64 && bytes(system, name?, len?)? == CONSOLE;
    // 0 to 3 are fopen's "r" modes.
    (is_console && (4..12).contains(&mode?)).then_some(HANDLE)
}

/// Handle, bytes, their number; gives how many were not written.
fn write(system: &mut System, console: &dyn Fn(&[u8]), block: u64) -> Option<u64> {
    let [handle, at, len] = [0, 1, 2].map(|i| word(system, block, i));
    if handle? != HANDLE {
        return None;
    }
    let written = len?.min(MOST);
    console(&bytes(system, at?, written)?);
    Some(len? - written)
}

fn byte(system: &mut System, at: u64) -> Option<u8> {
    let rights = system.memory.rights;
    system.memory.load(Size::B1, at, rights).ok().map(|v| v as u8)
}

fn bytes(system: &mut System, at: u64, len: u64) -> Option<Vec<u8>> {
    (0..len).map(|i| byte(system, at.wrapping_add(i))).collect()
}

/// Word `i` of the block of arguments.
fn word(system: &mut System, block: u64, i: u64) -> Option<u64> {
    let bytes = bytes(system, block.wrapping_add(8 * i), 8)?;
    Some(bytes.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
}
