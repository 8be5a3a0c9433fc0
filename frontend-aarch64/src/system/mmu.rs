//! Stage 1 address translation of the EL1&0 regime: a pure function of registers and physical memory
//! (Arm ARM D8, VMSAv8-64).
//!
//! 4K, 16K and 64K granules, 48-bit addresses, hardware access flag and dirty state, contiguous
//! hint, hierarchical permissions, top-byte-ignore, PAN and E0PD. What is found is an [`Entry`] that a
//! TLB may keep; whether an access may use it is [`Entry::check`]'s business.

/// The registers that control translation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Regime {
    /// SCTLR_EL1
    pub sctlr: u64,
    /// TCR_EL1
    pub tcr: u64,
    /// TTBR0_EL1
    pub ttbr0: u64,
    /// TTBR1_EL1
    pub ttbr1: u64,
    /// MAIR_EL1
    pub mair: u64,
}

/// SCTLR_EL1.M: translation is on.
pub const SCTLR_M: u64 = 1;
/// SCTLR_EL1.WXN: writable implies execute-never.
pub const SCTLR_WXN: u64 = 1 << 19;

/// Physical memory as a table walk needs it.
pub trait PhysMem {
    /// The little-endian doubleword at `pa`, or `None` for an external abort.
    fn read64(&mut self, pa: u64) -> Option<u64>;
    /// Atomically replaces `old` by `new` at `pa`; false if it no longer holds `old`.
    fn cas64(&mut self, pa: u64, old: u64, new: u64) -> Option<bool>;
}

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data read.
    Read,
    /// Data write (and the read part of an atomic, AT S1E1W).
    Write,
    /// Instruction fetch.
    Fetch,
}

/// A fault of translation: the fault status code of ESR_ELx.ISS (DFSC, IFSC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fsc(pub u8);

impl Fsc {
    const fn address_size(level: u8) -> Fsc {
        Fsc(level)
    }
    const fn translation(level: u8) -> Fsc {
        Fsc(0b000100 | level)
    }
    const fn access_flag(level: u8) -> Fsc {
        Fsc(0b001000 | level)
    }
    const fn permission(level: u8) -> Fsc {
        Fsc(0b001100 | level)
    }
    const fn external_on_walk(level: u8) -> Fsc {
        Fsc(0b010100 | level)
    }
    /// Alignment fault.
    pub const ALIGNMENT: Fsc = Fsc(0b100001);
    /// Synchronous external abort, not on a walk.
    pub const EXTERNAL: Fsc = Fsc(0b010000);
}

/// The permissions of a page at one exception level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Perms {
    /// Readable.
    pub r: bool,
    /// Writable.
    pub w: bool,
    /// Executable.
    pub x: bool,
}

/// A translation that a TLB may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First virtual address that it translates.
    pub va: u64,
    /// First physical address.
    pub pa: u64,
    /// log2 of the bytes it translates (contiguous runs count as one).
    pub shift: u32,
    /// Permissions of EL0.
    pub el0: Perms,
    /// Permissions of EL1.
    pub el1: Perms,
    /// Writable once the descriptor is marked dirty: a first write must walk again.
    pub clean: bool,
    /// Device memory: unaligned accesses fault.
    pub device: bool,
    /// Not global: belongs to the current ASID.
    pub not_global: bool,
    /// Level of the descriptor, for permission faults.
    pub level: u8,
}

impl Entry {
    /// Physical address of `va`.
    pub fn translate(&self, va: u64) -> u64 {
        self.pa | va & ((1 << self.shift) - 1)
    }

    /// May an access of `kind` from EL0 (or by an unprivileged instruction) or EL1 use the entry?
    pub fn check(&self, kind: Kind, el0: bool, pan: bool) -> Result<(), Fsc> {
        let p = if el0 { self.el0 } else { self.el1 };
        // No leaf is at level 0: that is memory without translation, which PAN knows nothing of.
        let shielded = pan && self.level != 0 && !el0 && kind != Kind::Fetch && (self.el0.r || self.el0.w);
        let allowed = match kind {
            Kind::Read => p.r,
            Kind::Write => p.w,
            Kind::Fetch => p.x,
        };
        if allowed && !shielded { Ok(()) } else { Err(Fsc::permission(self.level)) }
    }
}

/// Translation granule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Granule {
    K4,
    K16,
    K64,
}

impl Granule {
    const fn page_shift(self) -> u32 {
        match self {
            Granule::K4 => 12,
            Granule::K16 => 14,
            Granule::K64 => 16,
        }
    }
    /// Address bits that one table resolves.
    const fn stride(self) -> u32 {
        self.page_shift() - 3
    }
    /// Number of entries in a contiguous run at `level`, as log2.
    const fn contiguous(self, level: u8) -> u32 {
        match (self, level) {
            (Granule::K4, _) => 4,
            (Granule::K16, 2) => 5,
            (Granule::K16, _) => 7,
            (Granule::K64, _) => 5,
        }
    }
    /// May a descriptor at `level` be a block?
    const fn has_blocks(self, level: u8) -> bool {
        match self {
            Granule::K4 => level == 1 || level == 2,
            Granule::K16 | Granule::K64 => level == 2,
        }
    }
}

/// One half of the address space as TCR_EL1 describes it.
struct Half {
    ttbr: u64,
    granule: Granule,
    /// Virtual address bits.
    bits: u32,
    disabled: bool,
    e0pd: bool,
    /// Hierarchical permissions are off (HPD).
    flat: bool,
}

const fn bit(v: u64, n: u32) -> bool {
    v >> n & 1 == 1
}

impl Regime {
    /// Is translation on?
    pub fn enabled(&self) -> bool {
        self.sctlr & SCTLR_M != 0
    }

    /// The ASID in use.
    pub fn asid(&self) -> u16 {
        let ttbr = if bit(self.tcr, 22) { self.ttbr1 } else { self.ttbr0 };
        self.asid_of((ttbr >> 48) as u16)
    }

    /// Of an ASID as it is written the bits that count.
    pub fn asid_of(&self, asid: u16) -> u16 {
        if bit(self.tcr, 36) { asid } else { asid & 0xff }
    }

    /// Does the top byte of `va` not take part in translation (TBI0, TBI1)?
    pub fn ignores_top_byte(&self, va: u64) -> bool {
        bit(self.tcr, if bit(va, 55) { 38 } else { 37 })
    }

    /// `va` as translation sees it: with an ignored top byte replaced by copies of bit 55.
    pub fn canonical(&self, va: u64) -> u64 {
        if self.enabled() && self.ignores_top_byte(va) { ((va << 8) as i64 >> 8) as u64 } else { va }
    }

    fn half(&self, upper: bool) -> Half {
        let t = self.tcr;
        let granule = if upper {
            match t >> 30 & 3 {
                1 => Granule::K16,
                3 => Granule::K64,
                _ => Granule::K4,
            }
        } else {
            match t >> 14 & 3 {
                1 => Granule::K64,
                2 => Granule::K16,
                _ => Granule::K4,
            }
        };
        let size = if upper { t >> 16 & 63 } else { t & 63 } as u32;
        // Out-of-range sizes are clamped: 48 bits at most, 25 (39 in the smallest tables) at least.
        let bits = 64 - size.clamp(16, 39);
        let n = |lower: u32, higher: u32| bit(t, if upper { higher } else { lower });
        Half {
            ttbr: if upper { self.ttbr1 } else { self.ttbr0 },
            granule,
            bits,
            disabled: n(7, 23),
            e0pd: n(55, 56),
            flat: n(41, 42),
        }
    }

    /// Physical address bits (TCR_EL1.IPS), 48 at most.
    fn pa_bits(&self) -> u32 {
        [32, 36, 40, 42, 44, 48, 48, 48][(self.tcr >> 32 & 7) as usize]
    }
}

/// Permissions collected from the table descriptors above a leaf.
#[derive(Default)]
struct Hierarchy {
    no_write: bool,
    no_el0: bool,
    uxn: bool,
    pxn: bool,
}

impl Hierarchy {
    fn add(&mut self, table: u64) {
        self.no_write |= bit(table, 62);
        self.no_el0 |= bit(table, 61);
        self.uxn |= bit(table, 60);
        self.pxn |= bit(table, 59);
    }
}

/// Translates `va` (already [`Regime::canonical`]) for an access of `kind`. `el0` tells an
/// unprivileged access (for E0PD). Sets the access flag and dirty state in memory where TCR_EL1 says so.
pub fn walk(r: &Regime, mem: &mut dyn PhysMem, va: u64, kind: Kind, el0: bool) -> Result<Entry, Fsc> {
    if !r.enabled() {
        return flat(va);
    }
    let upper = bit(va, 55);
    let half = r.half(upper);
    let sign = (va as i64 >> half.bits) as u64;
    let expected = if upper { u64::MAX } else { 0 };
    if sign != expected || half.disabled || (el0 && half.e0pd) {
        return Err(Fsc::translation(0));
    }
    let page = half.granule.page_shift();
    let stride = half.granule.stride();
    let levels = (half.bits - page).div_ceil(stride);
    let mut level = 4 - levels as u8;
    let mut top = half.bits;
    let mut table = half.ttbr & 0x0000_ffff_ffff_fffe;
    let mut above = Hierarchy::default();
    loop {
        let low = page + stride * (3 - level as u32);
        let width = top - low;
        let index = va >> low & ((1 << width) - 1);
        // The first table may be smaller than a page and is aligned to its own size.
        let base = table & !((8u64 << width) - 1);
        if base >> r.pa_bits() != 0 {
            return Err(Fsc::address_size(level));
        }
        let at = base + 8 * index;
        let desc = mem.read64(at).ok_or(Fsc::external_on_walk(level))?;
        if !bit(desc, 0) {
            return Err(Fsc::translation(level));
        }
        let is_table = bit(desc, 1) && level < 3;
        if is_table {
            if !half.flat {
                above.add(desc);
            }
            table = desc & 0x0000_ffff_ffff_f000 & !((1 << page) - 1);
            top = low;
            level += 1;
            continue;
        }
        if (level == 3) != bit(desc, 1) || (level < 3 && !half.granule.has_blocks(level)) {
            return Err(Fsc::translation(level));
        }
        let desc = update_flags(r, mem, at, desc, kind, level)?;
        return leaf(r, &half, va, desc, low, level, &above);
    }
}

/// Access flag and dirty state (D8.4.6, D8.4.7): what the walk sees after hardware updates.
fn update_flags(r: &Regime, mem: &mut dyn PhysMem, at: u64, seen: u64, kind: Kind, level: u8) -> Result<u64, Fsc> {
    const AF: u64 = 1 << 10;
    const READ_ONLY: u64 = 1 << 7;
    const DBM: u64 = 1 << 51;
    let (ha, hd) = (bit(r.tcr, 39), bit(r.tcr, 39) && bit(r.tcr, 40));
    let mut old = seen;
    loop {
        let mut new = old;
        if old & AF == 0 {
            if !ha {
                return Err(Fsc::access_flag(level));
            }
            new |= AF;
        }
        if hd && kind == Kind::Write && old & DBM != 0 {
            new &= !READ_ONLY;
        }
        if new == old || mem.cas64(at, old, new).ok_or(Fsc::external_on_walk(level))? {
            return Ok(new);
        }
        old = mem.read64(at).ok_or(Fsc::external_on_walk(level))?;
        if !bit(old, 0) {
            return Err(Fsc::translation(level));
        }
    }
}

fn leaf(r: &Regime, half: &Half, va: u64, desc: u64, low: u32, level: u8, above: &Hierarchy) -> Result<Entry, Fsc> {
    let run = if bit(desc, 52) { half.granule.contiguous(level) } else { 0 };
    let shift = low + run;
    let pa = desc & 0x0000_ffff_ffff_ffff & !((1 << shift) - 1) & !0xfff;
    if pa >> r.pa_bits() != 0 {
        return Err(Fsc::address_size(level));
    }
    let (el0, el1) = permissions(r, desc, above);
    let attr = (r.mair >> (8 * (desc >> 2 & 7))) as u8;
    let hd = bit(r.tcr, 39) && bit(r.tcr, 40);
    Ok(Entry {
        va: va & !((1 << shift) - 1),
        pa,
        shift,
        el0,
        el1,
        clean: hd && bit(desc, 51) && bit(desc, 7),
        device: attr & 0xf0 == 0,
        not_global: bit(desc, 11),
        level,
    })
}

/// Permissions of EL0 and EL1 from AP[2:1], UXN, PXN and the tables above (D8.4.1).
fn permissions(r: &Regime, desc: u64, above: &Hierarchy) -> (Perms, Perms) {
    let writable = !bit(desc, 7) && !above.no_write;
    let user = bit(desc, 6) && !above.no_el0;
    let wxn = r.sctlr & SCTLR_WXN != 0;
    let el0 = Perms { r: user, w: user && writable, x: !(bit(desc, 54) || above.uxn || (wxn && user && writable)) };
    // Code that EL0 can write is never executable at EL1.
    let pxn = bit(desc, 53) || above.pxn || (user && writable) || (wxn && writable);
    (el0, Perms { r: true, w: writable, x: !pxn })
}

/// The identity mapping while translation is off: data accesses are to Device memory.
fn flat(va: u64) -> Result<Entry, Fsc> {
    if va >> 48 != 0 {
        return Err(Fsc::address_size(0));
    }
    let all = Perms { r: true, w: true, x: true };
    Ok(Entry {
        va: va & !0xfff,
        pa: va & !0xfff,
        shift: 12,
        el0: all,
        el1: all,
        clean: false,
        device: true,
        not_global: false,
        level: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Tables(BTreeMap<u64, u64>);

    impl PhysMem for Tables {
        fn read64(&mut self, pa: u64) -> Option<u64> {
            Some(self.0.get(&pa).copied().unwrap_or(0))
        }
        fn cas64(&mut self, pa: u64, old: u64, new: u64) -> Option<bool> {
            let at = self.0.entry(pa).or_insert(0);
            let same = *at == old;
            if same {
                *at = new;
            }
            Some(same)
        }
    }

    const AF: u64 = 1 << 10;
    const USER: u64 = 1 << 6;
    const RO: u64 = 1 << 7;

    /// 4K granule, 48 bits below, tables at 0x1000 (level 0) to 0x4000 (level 3).
    fn regime() -> Regime {
        Regime { sctlr: SCTLR_M, tcr: 16 | 16 << 16 | 5 << 32, ttbr0: 0x1000, ttbr1: 0x1000, mair: 0xff }
    }

    fn tables(leaf: u64) -> Tables {
        Tables(BTreeMap::from([(0x1000, 0x2003), (0x2000, 0x3003), (0x3000, 0x4003), (0x4008, leaf)]))
    }

    #[test]
    fn a_page_is_found_through_four_levels() {
        let mut mem = tables(0x8_0000 | AF | USER | 3);
        let e = walk(&regime(), &mut mem, 0x1234, Kind::Read, true).expect("mapped");
        assert_eq!((e.translate(0x1234), e.shift, e.level), (0x8_0234, 12, 3));
        assert_eq!(e.check(Kind::Write, true, false), Ok(()));
        assert_eq!(e.check(Kind::Read, false, true), Err(Fsc(0b001111)), "PAN");
        let off = walk(&Regime::default(), &mut Tables::default(), 0x1000, Kind::Read, false).expect("no translation");
        assert_eq!(off.check(Kind::Read, false, true), Ok(()), "PAN without translation");
        assert_eq!(e.check(Kind::Fetch, false, false), Err(Fsc(0b001111)), "EL0 can write it");
    }

    #[test]
    fn faults_name_their_level() {
        let mut mem = tables(0);
        assert_eq!(walk(&regime(), &mut mem, 0x1000, Kind::Read, false), Err(Fsc(0b000111)));
        assert_eq!(walk(&regime(), &mut mem, 1 << 47, Kind::Read, false), Err(Fsc(0b000100)));
        assert_eq!(walk(&regime(), &mut mem, 1 << 50, Kind::Read, false), Err(Fsc(0b000100)));
        let mut old = tables(0x8_0000 | 3);
        assert_eq!(walk(&regime(), &mut old, 0x1000, Kind::Read, false), Err(Fsc(0b001011)));
    }

    #[test]
    fn hardware_sets_access_flag_and_dirty_state() {
        let mut r = regime();
        r.tcr |= 3 << 39;
        let mut mem = tables(0x8_0000 | RO | 1 << 51 | 3);
        let e = walk(&r, &mut mem, 0x1000, Kind::Read, false).expect("mapped");
        assert!(e.clean && !e.el1.w);
        let e = walk(&r, &mut mem, 0x1000, Kind::Write, false).expect("mapped");
        assert!(!e.clean && e.el1.w);
        assert_eq!(mem.0[&0x4008], 0x8_0000 | AF | 1 << 51 | 3);
    }

    #[test]
    fn blocks_and_contiguous_runs_widen_the_entry() {
        let mut mem = Tables(BTreeMap::from([(0x1000, 0x2003), (0x2000, 0x3003), (0x3000, 0x4020_0000 | AF | 1)]));
        let e = walk(&regime(), &mut mem, 0x12_3456, Kind::Read, false).expect("mapped");
        assert_eq!((e.shift, e.translate(0x12_3456)), (21, 0x4032_3456));
        let mut mem = tables(0x8_1000 | AF | 1 << 52 | 3);
        let e = walk(&regime(), &mut mem, 0x1234, Kind::Read, false).expect("mapped");
        assert_eq!((e.shift, e.va, e.translate(0x1234)), (16, 0, 0x8_1234));
    }
}
