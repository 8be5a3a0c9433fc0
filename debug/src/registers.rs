//! The registers that a debugger sees: their places in the guest state, their order, their description.
//!
//! Numbers are those of GDB's standard features (GDB manual, "AArch64 Features"); a system register's number is its
//! 16-bit encoding, as `gdbstub_arch` has it.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use gdbstub::arch::{Arch, Registers};
use gdbstub_arch::aarch64::reg::id::AArch64RegId as RegId;
use jib_frontend_aarch64::cpu::{self, Feature, Profile};
use jib_frontend_aarch64::pauth;
use jib_frontend_aarch64::system::state::{self, pstate};
use jib_frontend_aarch64::system::sysreg::{self, Encoding, SYSREGS, Store, reg};
use jib_ir::state::{State, slot};

/// AArch64 as `gdbstub` wants to know it.
#[derive(Debug)]
pub enum AArch64 {}

impl Arch for AArch64 {
    type Usize = u64;
    type Registers = Core;
    type RegId = RegId;
    type BreakpointKind = usize;
}

/// Registers of the `g` packet, in order: x0 to x30, sp, pc, cpsr, v0 to v31, fpsr, fpcr.
const CORE: std::ops::Range<usize> = 0..68;
/// PSTATE bits of a process that are not flags.
const USER_PSTATE: u64 = cpu::PSTATE_DIT | cpu::PSTATE_SSBS;

/// The values of [`CORE`], one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Core(Vec<u8>);

impl Registers for Core {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        let at = 32 * 8;
        self.0.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().for_each(|&b| write_byte(Some(b)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
}

impl Core {
    /// The registers of `s`.
    pub fn of(s: &State, system: bool) -> Core {
        Core(CORE.filter_map(|n| read(s, id(n)?, system)).flatten().collect())
    }

    /// Puts them into `s`; a short list changes the first ones only.
    pub fn store(&self, s: &mut State, system: bool) {
        let mut rest = self.0.as_slice();
        for id in CORE.filter_map(id) {
            let Some(len) = read(s, id, system).map(|v| v.len()) else { continue };
            let Some((value, after)) = rest.split_at_checked(len) else { return };
            write(s, id, value, system);
            rest = after;
        }
    }
}

/// The register of a number.
fn id(n: usize) -> Option<RegId> {
    <RegId as gdbstub::arch::RegId>::from_raw_id(n).map(|(id, _): (RegId, Option<NonZeroUsize>)| id)
}

/// PSTATE with its flags, as GDB's `cpsr`.
fn cpsr(s: &State, system: bool) -> u32 {
    if system { state::spsr(s) as u32 } else { s.nzcv() | (s.get(slot::PSTATE) & USER_PSTATE) as u32 }
}

fn set_cpsr(s: &mut State, v: u32, system: bool) {
    s.set_nzcv(v);
    let rest = u64::from(v) & !pstate::NZCV;
    if !system {
        s.set(slot::PSTATE, rest & USER_PSTATE);
    } else if matches!(rest & 0x1f, 0b00000 | 0b00100 | 0b00101) {
        // Levels and modes that we do not have are not entered.
        state::set_pstate(s, rest);
    }
}

/// Where a system register's value is.
enum Place {
    /// A word, and which of its bits can be written.
    Word(jib_ir::state::Slot, u64),
    Const(u64),
}

/// Two stack pointers live in one place or another, as SPSel says.
fn stack_pointer(s: &State, el1: bool) -> jib_ir::state::Slot {
    let p = s.get(slot::PSTATE);
    let uses_el1 = p & pstate::EL != 0 && p & pstate::SPSEL != 0;
    match (el1, uses_el1) {
        (true, true) | (false, false) => slot::SP,
        (true, false) => state::SP_EL1,
        (false, true) => state::SP_EL0,
    }
}

/// SP_EL1, which has no row: EL1 itself cannot name it.
const SP_EL1: Encoding = Encoding::new(3, 4, 4, 1, 0);
/// Which bits of pointers to data and to code are their authentication codes: names of GDB's, which are no registers, with
/// encodings that no register has.
const MASKS: [(&str, Encoding); 2] =
    [("pauth_dmask", Encoding::new(2, 7, 15, 15, 6)), ("pauth_cmask", Encoding::new(2, 7, 15, 15, 7))];

fn place(s: &State, encoding: Encoding, system: bool) -> Option<Place> {
    match encoding {
        reg::TPIDR_EL0 => return Some(Place::Word(slot::TPIDR, u64::MAX)),
        _ if !system && signs_pointers(s) => {
            let which = MASKS.iter().position(|(_, mask)| *mask == encoding)?;
            return Some(Place::Const(pauth::masks(s)[which]));
        }
        _ if !system => return None,
        reg::SP_EL0 => return Some(Place::Word(stack_pointer(s, false), u64::MAX)),
        SP_EL1 => return Some(Place::Word(stack_pointer(s, true), u64::MAX)),
        _ => {}
    }
    match sysreg::find(encoding)?.store {
        Store::Word(slot, mask) | Store::Control(slot, mask) => Some(Place::Word(slot, mask)),
        Store::Const(v) => Some(Place::Const(v)),
        Store::Board | Store::Own => None,
    }
}

/// Does the processor of `s` put codes into pointers?
pub fn signs_pointers(s: &State) -> bool {
    Profile::of(s).has(Feature::Pauth)
}

/// The value of a register, little-endian; `None` if there is none to show.
pub fn read(s: &State, id: RegId, system: bool) -> Option<Vec<u8>> {
    let word = |v: u64| Some(v.to_le_bytes().to_vec());
    let half = |v: u32| Some(v.to_le_bytes().to_vec());
    match id {
        RegId::X(n) => word(s.x(usize::from(n))),
        RegId::Sp => word(s.x(31)),
        RegId::Pc => word(s.pc()),
        RegId::Pstate => half(cpsr(s, system)),
        RegId::V(n) => Some(s.v(usize::from(n)).to_le_bytes().to_vec()),
        RegId::FPSR => half(s.fpsr()),
        RegId::FPCR => half(s.fpcr()),
        RegId::System(n) => match place(s, Encoding(n), system)? {
            Place::Word(slot, _) => word(s.get(slot)),
            Place::Const(v) => word(v),
        },
        _ => None,
    }
}

/// Sets a register; false if it cannot be.
pub fn write(s: &mut State, id: RegId, bytes: &[u8], system: bool) -> bool {
    let mut wide = [0; 16];
    let Some(low) = wide.get_mut(..bytes.len()) else { return false };
    low.copy_from_slice(bytes);
    let wide = u128::from_le_bytes(wide);
    let v = wide as u64;
    match id {
        RegId::X(n) => s.set_x(usize::from(n), v),
        RegId::Sp => s.set_x(31, v),
        RegId::Pc => s.set_pc(v),
        RegId::Pstate => set_cpsr(s, v as u32, system),
        RegId::V(n) => s.set_v(usize::from(n), wide),
        RegId::FPSR => s.set(slot::FPSR, v & u64::from(cpu::FPSR_BITS)),
        RegId::FPCR => s.set(slot::FPCR, v & u64::from(cpu::FPCR_MODES)),
        RegId::System(n) => match place(s, Encoding(n), system) {
            Some(Place::Word(_, 0) | Place::Const(_)) | None => return false,
            Some(Place::Word(slot, mask)) => s.set(slot, s.get(slot) & !mask | v & mask),
        },
        _ => return false,
    }
    true
}

/// The description that GDB asks for; of a process, with what it needs to know of signed pointers if there are any.
pub fn description(system: bool, signed: bool) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">\
         <architecture>aarch64</architecture><feature name=\"org.gnu.gdb.aarch64.core\">",
    );
    // Writing to a string cannot fail.
    for n in 0..31 {
        let _ = write!(out, "<reg name=\"x{n}\" bitsize=\"64\" regnum=\"{n}\"/>");
    }
    out += "<reg name=\"sp\" bitsize=\"64\" type=\"data_ptr\" regnum=\"31\"/>\
            <reg name=\"pc\" bitsize=\"64\" type=\"code_ptr\" regnum=\"32\"/>";
    out += CPSR;
    out += "</feature><feature name=\"org.gnu.gdb.aarch64.fpu\">";
    out += VECTOR;
    for n in 0..32 {
        let _ = write!(out, "<reg name=\"v{n}\" bitsize=\"128\" type=\"aarch64v\" regnum=\"{}\"/>", 34 + n);
    }
    out += "<reg name=\"fpsr\" bitsize=\"32\" type=\"int\" regnum=\"66\"/>\
            <reg name=\"fpcr\" bitsize=\"32\" type=\"int\" regnum=\"67\"/></feature>\
            <feature name=\"org.gnu.gdb.aarch64.tls\">";
    let row = |name: &str, encoding: Encoding| {
        let (n, kind) = (encoding.0, "type=\"int\" group=\"system\" save-restore=\"no\"");
        format!("<reg name=\"{name}\" bitsize=\"64\" regnum=\"{n}\" {kind}/>")
    };
    out += &row("tpidr", reg::TPIDR_EL0);
    if signed && !system {
        // GDB 13 knows this name alone, later ones know `pauth_v2`, too.
        out += "</feature><feature name=\"org.gnu.gdb.aarch64.pauth\">";
        out.extend(MASKS.map(|(name, encoding)| row(name, encoding)));
    }
    if system {
        out += "</feature><feature name=\"jib.system\">";
        let blank = State::default();
        let shown = |encoding| encoding != reg::TPIDR_EL0 && place(&blank, encoding, true).is_some();
        let rows = SYSREGS.iter().map(|row| (row.name, row.encoding)).chain([("SP_EL1", SP_EL1)]);
        out.extend(rows.filter(|&(_, encoding)| shown(encoding)).map(|(name, encoding)| row(name, encoding)));
    }
    out + "</feature></target>"
}

/// PSTATE's fields.
const CPSR: &str = "<flags id=\"cpsr_flags\" size=\"4\"><field name=\"SP\" start=\"0\" end=\"0\"/>\
    <field name=\"EL\" start=\"2\" end=\"3\"/><field name=\"nRW\" start=\"4\" end=\"4\"/>\
    <field name=\"F\" start=\"6\" end=\"6\"/><field name=\"I\" start=\"7\" end=\"7\"/>\
    <field name=\"A\" start=\"8\" end=\"8\"/><field name=\"D\" start=\"9\" end=\"9\"/>\
    <field name=\"SSBS\" start=\"12\" end=\"12\"/><field name=\"IL\" start=\"20\" end=\"20\"/>\
    <field name=\"SS\" start=\"21\" end=\"21\"/><field name=\"PAN\" start=\"22\" end=\"22\"/>\
    <field name=\"UAO\" start=\"23\" end=\"23\"/><field name=\"DIT\" start=\"24\" end=\"24\"/>\
    <field name=\"V\" start=\"28\" end=\"28\"/><field name=\"C\" start=\"29\" end=\"29\"/>\
    <field name=\"Z\" start=\"30\" end=\"30\"/><field name=\"N\" start=\"31\" end=\"31\"/></flags>\
    <reg name=\"cpsr\" bitsize=\"32\" type=\"cpsr_flags\" regnum=\"33\"/>";

/// The ways to look at a vector register.
const VECTOR: &str = "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/><vector id=\"v2u\" type=\"uint64\" count=\"2\"/>\
    <vector id=\"v2i\" type=\"int64\" count=\"2\"/><vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\
    <vector id=\"v4u\" type=\"uint32\" count=\"4\"/><vector id=\"v4i\" type=\"int32\" count=\"4\"/>\
    <vector id=\"v8f\" type=\"ieee_half\" count=\"8\"/><vector id=\"v8u\" type=\"uint16\" count=\"8\"/>\
    <vector id=\"v8i\" type=\"int16\" count=\"8\"/><vector id=\"v16u\" type=\"uint8\" count=\"16\"/>\
    <vector id=\"v16i\" type=\"int8\" count=\"16\"/><vector id=\"v1u\" type=\"uint128\" count=\"1\"/>\
    <vector id=\"v1i\" type=\"int128\" count=\"1\"/>\
    <union id=\"vnd\"><field name=\"f\" type=\"v2d\"/><field name=\"u\" type=\"v2u\"/><field name=\"s\" type=\"v2i\"/></union>\
    <union id=\"vns\"><field name=\"f\" type=\"v4f\"/><field name=\"u\" type=\"v4u\"/><field name=\"s\" type=\"v4i\"/></union>\
    <union id=\"vnh\"><field name=\"f\" type=\"v8f\"/><field name=\"u\" type=\"v8u\"/><field name=\"s\" type=\"v8i\"/></union>\
    <union id=\"vnb\"><field name=\"u\" type=\"v16u\"/><field name=\"s\" type=\"v16i\"/></union>\
    <union id=\"vnq\"><field name=\"u\" type=\"v1u\"/><field name=\"s\" type=\"v1i\"/></union>\
    <union id=\"aarch64v\"><field name=\"d\" type=\"vnd\"/><field name=\"s\" type=\"vns\"/>\
    <field name=\"h\" type=\"vnh\"/><field name=\"b\" type=\"vnb\"/><field name=\"q\" type=\"vnq\"/></union>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_registers_round_trip_in_gdbs_order() {
        let mut s = State::default();
        for n in 0..32 {
            s.set_x(n, 0x100 + n as u64);
            s.set_v(n, 0x200 + n as u128);
        }
        s.set_pc(0x4000);
        s.set_nzcv(0x9000_0000);
        s.set(slot::FPSR, 1);
        s.set(slot::FPCR, 1 << 24);
        let core = Core::of(&s, false);
        assert_eq!(core.0.len(), 33 * 8 + 4 + 32 * 16 + 8);
        assert_eq!(core.pc(), 0x4000);
        assert_eq!(&core.0[264..268], &0x9000_0000u32.to_le_bytes());
        assert_eq!(&core.0[780..], [1, 0, 0, 0, 0, 0, 0, 1], "fpsr comes before fpcr");
        let mut other = State::default();
        core.store(&mut other, false);
        assert_eq!(Core::of(&other, false), core);
    }

    #[test]
    fn levels_that_are_not_there_cannot_be_entered() {
        let mut s = State::default();
        state::reset(&mut s, 0, true);
        s.set(slot::SP, 0x11);
        assert!(write(&mut s, RegId::Pstate, &0x0000_03c9u32.to_le_bytes(), true));
        assert_eq!(cpsr(&s, true), 0x3c5);
        assert!(write(&mut s, RegId::Pstate, &0x8000_0000u32.to_le_bytes(), true));
        assert_eq!((cpsr(&s, true), s.get(state::SP_EL1)), (0x8000_0000, 0x11));
        assert_eq!(read(&s, RegId::System(SP_EL1.0), true), Some(0x11u64.to_le_bytes().to_vec()));
        assert_eq!(read(&s, RegId::System(reg::TTBR0_EL1.0), false), None, "a process has no such register");
    }

    #[test]
    fn system_registers_keep_the_bits_that_the_guest_could_write() {
        let mut s = State::default();
        state::reset(&mut s, 0, true);
        let control = RegId::System(Encoding::new(2, 0, 0, 0, 5).0);
        assert!(write(&mut s, control, &[0xff; 8], true));
        assert_eq!(read(&s, control, true), Some(0x00ff_e1e7u64.to_le_bytes().to_vec()), "DBGBCR0_EL1");
        assert!(!write(&mut s, RegId::System(reg::MPIDR_EL1.0), &[1], true));
    }

    #[test]
    fn the_codes_of_pointers_have_masks_where_there_are_codes() {
        let mut s = State::default();
        for profile in [Profile::Default, Profile::Max] {
            profile.apply(&mut s);
            for (i, (_, encoding)) in MASKS.into_iter().enumerate() {
                let id = id(usize::from(encoding.0)).expect("a number that the protocol allows");
                let wanted = (profile == Profile::Max).then(|| pauth::masks(&s)[i].to_le_bytes().to_vec());
                assert_eq!(read(&s, id, false), wanted);
                assert!(!write(&mut s, id, &[0; 8], false));
            }
        }
    }

    #[test]
    fn the_description_names_each_register_once() {
        for (system, signed) in [(false, false), (false, true), (true, false)] {
            let text = description(system, signed);
            assert_eq!(text.contains("pauth_cmask"), signed);
            let names: Vec<&str> = text.split("<reg name=\"").skip(1).filter_map(|r| r.split('"').next()).collect();
            let mut unique = names.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), names.len());
            assert_eq!(names.contains(&"TTBR1_EL1"), system);
            assert_eq!(names[..34].last(), Some(&"cpsr"));
            assert_eq!(text.matches("<feature").count(), text.matches("</feature>").count());
        }
    }
}
