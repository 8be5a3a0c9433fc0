//! What the calling thread's guest was doing: for the report of an internal error. Nothing here may fail.

use std::fmt::Write as _;

use jib_frontend_aarch64::cpu::Profile;
use jib_ir::state::State;

use crate::core_file::copy_of;
use crate::mem;
use crate::signal::host::Context;
use crate::syscall::name_of;

/// Where the calling thread's guest is: as exact as the last exit from translated code.
#[derive(Clone, Debug)]
pub struct GuestThread {
    /// Program counter.
    pub pc: u64,
    /// The address that its function returns to, as far as one knows.
    pub return_address: u64,
    /// Registers, code and system calls, as text.
    pub text: String,
}

/// The guest of the calling thread, if it runs one.
pub fn guest_thread() -> Option<GuestThread> {
    let (address, calls) = Context::of_current()?;
    let state = copy_of(address)?;
    let mut text = format!("processor: {}\n", Profile::of(&state).name());
    registers(&mut text, &state);
    code(&mut text, state.pc());
    text += "last system calls, the latest one last:\n";
    for (nr, result) in calls {
        _ = writeln!(text, "  {nr} {} = {result}", name_of(nr));
    }
    Some(GuestThread { pc: state.pc(), return_address: state.x(30), text })
}

fn registers(text: &mut String, s: &State) {
    for n in 0..32 {
        let name = if n == 31 { "sp ".to_string() } else { format!("x{n:<2}") };
        // Writing to a string cannot fail.
        _ = write!(text, "{name} {:016x}{}", s.x(n), if n % 4 == 3 { '\n' } else { ' ' });
    }
    _ = writeln!(text, "pc  {:016x} nzcv {:08x} fpcr {:08x} fpsr {:08x}", s.pc(), s.nzcv(), s.fpcr(), s.fpsr());
}

/// The instruction words around `pc`.
fn code(text: &mut String, pc: u64) {
    const AROUND: u64 = 8;
    text.push_str("instruction words:\n");
    for at in (0..2 * AROUND + 1).map(|i| (pc & !3).wrapping_add(4 * i).wrapping_sub(4 * AROUND)) {
        let mut word = [0; 4];
        let mark = if at == pc & !3 { '>' } else { ' ' };
        match mem::read(at, &mut word) {
            Ok(()) => _ = writeln!(text, "{mark} {at:#x}: {:08x}", u32::from_le_bytes(word)),
            Err(_) => _ = writeln!(text, "{mark} {at:#x}: not mapped"),
        }
    }
}
