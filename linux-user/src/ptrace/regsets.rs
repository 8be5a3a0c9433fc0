//! Register sets of AArch64 Linux (`uapi/asm/ptrace.h`), made from and written to the guest's state.

use jib_frontend_aarch64::cpu::{Feature, Profile};
use jib_frontend_aarch64::pauth;
use jib_ir::state::{State, slot};

use super::door::{BREAKS, WATCHES, word};
use crate::host::Errno;
use crate::signal::frame::PSTATE_BITS;

/// `NT_PRSTATUS`: general registers.
pub(super) const NT_PRSTATUS: u64 = 1;
/// `NT_PRFPREG`: vector registers.
pub(super) const NT_PRFPREG: u64 = 2;
/// `NT_ARM_TLS`: the thread pointer.
pub(super) const NT_ARM_TLS: u64 = 0x401;
/// `NT_ARM_HW_BREAK`: breakpoint registers.
pub(super) const NT_ARM_HW_BREAK: u64 = 0x402;
/// `NT_ARM_HW_WATCH`: watchpoint registers.
pub(super) const NT_ARM_HW_WATCH: u64 = 0x403;
/// `NT_ARM_SYSTEM_CALL`: the number of the system call at hand.
pub(super) const NT_ARM_SYSTEM_CALL: u64 = 0x404;
/// `NT_ARM_PAC_MASK`: the bits of codes in pointers to data and to code.
pub(super) const NT_ARM_PAC_MASK: u64 = 0x406;

/// Most breakpoint or watchpoint registers that the architecture allows.
const REGISTERS: usize = 16;

/// A thread's state as register sets show it.
pub(super) struct View<'a> {
    /// Registers.
    pub state: &'a mut State,
    /// The words of its door.
    pub door: &'a mut [u64; word::COUNT],
    /// Bytes by which the tracer sees the program counter behind where it is.
    pub behind: u64,
    /// What the tracer sees in X7 at a stop of a system call: 0 when it begins, 1 when it has ended.
    pub direction: Option<u64>,
    /// What the tracer sees in X8, if not what is there.
    pub number: Option<u64>,
}

fn put(out: &mut Vec<u8>, words: impl IntoIterator<Item = u64>) {
    out.extend(words.into_iter().flat_map(u64::to_le_bytes));
}

/// Debug architecture of Armv8.0, and the number of registers.
fn debug_info(n: usize) -> u64 {
    6 << 8 | n as u64
}

impl View<'_> {
    /// The bytes of a set.
    pub(super) fn get(&self, set: u64) -> Result<Vec<u8>, Errno> {
        let s = &*self.state;
        let mut out = Vec::new();
        match set {
            NT_PRSTATUS => {
                put(&mut out, (0..32).map(|n| self.general(n)));
                let pstate = s.nzcv() as u64 | s.get(slot::PSTATE) & PSTATE_BITS;
                put(&mut out, [s.pc().wrapping_sub(self.behind), pstate]);
            }
            NT_PRFPREG => {
                out.extend((0..32).flat_map(|n| s.v(n).to_le_bytes()));
                put(&mut out, [s.fpsr() as u64 | (s.fpcr() as u64) << 32, 0]);
            }
            NT_ARM_TLS => put(&mut out, [s.get(slot::TPIDR)]),
            NT_ARM_HW_BREAK => self.debug(&mut out, word::BREAK, BREAKS),
            NT_ARM_HW_WATCH => self.debug(&mut out, word::WATCH, WATCHES),
            NT_ARM_SYSTEM_CALL => out.extend((self.door[word::CALL] as u32).to_le_bytes()),
            NT_ARM_PAC_MASK if Profile::of(s).has(Feature::Pauth) => put(&mut out, pauth::masks(s)),
            _ => return Err(Errno(libc::EINVAL)),
        }
        Ok(out)
    }

    fn general(&self, n: usize) -> u64 {
        match n {
            7 => self.direction.unwrap_or(self.state.x(7)),
            8 => self.number.unwrap_or(self.state.x(8)),
            _ => self.state.x(n),
        }
    }

    fn debug(&self, out: &mut Vec<u8>, first: usize, n: usize) {
        put(out, [debug_info(n)]);
        put(out, self.door[first..first + 2 * n].iter().copied());
        // Linux shows the registers that there might be.
        put(out, std::iter::repeat_n(0, 2 * (REGISTERS - n)));
    }

    /// Writes the first bytes of a set, whole registers only.
    pub(super) fn set(&mut self, set: u64, bytes: &[u8]) -> Result<(), Errno> {
        if set == NT_ARM_PAC_MASK {
            return Err(Errno(libc::EINVAL));
        }
        let mut whole = self.get(set)?;
        if !bytes.len().is_multiple_of(4) {
            return Err(Errno(libc::EINVAL));
        }
        let n = bytes.len().min(whole.len());
        whole[..n].copy_from_slice(&bytes[..n]);
        let at = |w: usize| u64::from_le_bytes(std::array::from_fn(|i| whole[8 * w + i]));
        match set {
            NT_PRSTATUS => {
                // Bits that would change the mode: Linux refuses them.
                const MODE: u64 = 0x1f;
                if at(33) & MODE != 0 {
                    return Err(Errno(libc::EINVAL));
                }
                for i in 0..32 {
                    if at(i) != self.general(i) {
                        self.state.set_x(i, at(i));
                    }
                }
                self.state.set_pc(at(32).wrapping_add(self.behind));
                self.state.set_nzcv(at(33) as u32);
                self.state.set(slot::PSTATE, at(33) & PSTATE_BITS);
            }
            NT_PRFPREG => {
                (0..32).for_each(|i| self.state.set_v(i, at(2 * i) as u128 | (at(2 * i + 1) as u128) << 64));
                self.state.set(slot::FPSR, at(64) & 0xffff_ffff);
                self.state.set(slot::FPCR, at(64) >> 32);
            }
            NT_ARM_TLS => self.state.set(slot::TPIDR, at(0)),
            NT_ARM_HW_BREAK => self.set_debug(word::BREAK, &whole[8..]),
            NT_ARM_HW_WATCH => self.set_debug(word::WATCH, &whole[8..]),
            _ => self.door[word::CALL] = i32::from_le_bytes(std::array::from_fn(|i| whole[i])) as u32 as u64,
        }
        Ok(())
    }

    fn set_debug(&mut self, first: usize, bytes: &[u8]) {
        let n = if first == word::BREAK { BREAKS } else { WATCHES };
        for (i, w) in bytes.as_chunks::<8>().0.iter().take(2 * n).enumerate() {
            self.door[first + i] = u64::from_le_bytes(*w);
        }
        const ENABLED: u64 = 1;
        let controls = self.door[word::BREAK..].iter().skip(1).step_by(2);
        self.door[word::ARMED] = controls.fold(0, |all, c| all | c & ENABLED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(f: impl FnOnce(&mut View<'_>) -> T) -> (T, State, [u64; word::COUNT]) {
        let (mut state, mut door) = (State::default(), [0; word::COUNT]);
        (0..32).for_each(|n| state.set_x(n, 100 + n as u64));
        state.set_pc(0x1004);
        let mut view = View { state: &mut state, door: &mut door, behind: 4, direction: Some(1), number: None };
        let result = f(&mut view);
        (result, state, door)
    }

    #[test]
    fn general_registers_are_shown_as_linux_does_and_kept_when_written_back() {
        let (bytes, state, _) = with(|v| {
            let bytes = v.get(NT_PRSTATUS).unwrap();
            v.set(NT_PRSTATUS, &bytes).unwrap();
            bytes
        });
        assert_eq!((bytes.len(), bytes[56], bytes[64]), (272, 1, 108));
        assert_eq!(bytes[256..264], 0x1000u64.to_le_bytes());
        assert_eq!((state.x(7), state.pc()), (107, 0x1004));
        let (refused, ..) = with(|v| {
            let mut bytes = v.get(NT_PRSTATUS).unwrap();
            bytes[264] = 5;
            v.set(NT_PRSTATUS, &bytes)
        });
        assert_eq!(refused, Err(Errno(libc::EINVAL)));
    }

    #[test]
    fn sets_have_their_sizes_and_take_prefixes() {
        let sizes = with(|v| {
            [NT_PRFPREG, NT_ARM_TLS, NT_ARM_HW_BREAK, NT_ARM_HW_WATCH, NT_ARM_SYSTEM_CALL]
                .map(|set| v.get(set).unwrap().len())
        });
        assert_eq!(sizes.0, [528, 8, 8 + 16 * REGISTERS, 8 + 16 * REGISTERS, 4]);
        let (_, state, _) = with(|v| v.set(NT_PRSTATUS, &7u64.to_le_bytes()));
        assert_eq!((state.x(0), state.x(1)), (7, 101));
        let (result, ..) = with(|v| v.get(0x405));
        assert_eq!(result, Err(Errno(libc::EINVAL)));
    }

    #[test]
    fn enabled_watchpoints_arm_the_thread() {
        let mut bytes = vec![0; 24];
        bytes[8..16].copy_from_slice(&0x5000u64.to_le_bytes());
        bytes[16] = 0xf1;
        let (_, _, door) = with(|v| v.set(NT_ARM_HW_WATCH, &bytes));
        assert_eq!((door[word::WATCH], door[word::WATCH + 1], door[word::ARMED]), (0x5000, 0xf1, 1));
    }
}
