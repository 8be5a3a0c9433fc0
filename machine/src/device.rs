//! What a memory-mapped device is.
//!
//! A device is a state machine behind a window of registers. It knows neither its address nor its
//! interrupt number, and nothing of virtual CPUs; the board gives it interrupt lines.

/// Width of a register access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 8 bits
    B1,
    /// 16 bits
    B2,
    /// 32 bits
    B4,
    /// 64 bits
    B8,
}

impl Size {
    /// Every width, narrowest first.
    pub const ALL: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

    /// Number of bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Size::B1 => 1,
            Size::B2 => 2,
            Size::B4 => 4,
            Size::B8 => 8,
        }
    }

    /// All bits an access of this width can carry.
    pub const fn mask(self) -> u64 {
        match self {
            Size::B8 => u64::MAX,
            _ => (1 << (self.bytes() * 8)) - 1,
        }
    }
}

/// A memory-mapped device.
///
/// Offsets are inside the window and may be misaligned; values are zero-extended. Registers that do
/// not exist read as zero and ignore writes: a guest can never make a device panic.
pub trait Device: Send {
    /// Reads a register; may have side effects.
    fn read(&mut self, offset: u64, size: Size) -> u64;
    /// Writes a register.
    fn write(&mut self, offset: u64, size: Size, value: u64);
    /// Returns to the state at power-on.
    fn reset(&mut self);
    /// Reads on behalf of CPU `cpu`; only devices with banked registers (GICv2) care which.
    fn read_by(&mut self, cpu: usize, offset: u64, size: Size) -> u64 {
        let _ = cpu;
        self.read(offset, size)
    }
    /// Writes on behalf of CPU `cpu`.
    fn write_by(&mut self, cpu: usize, offset: u64, size: Size, value: u64) {
        let _ = cpu;
        self.write(offset, size, value);
    }
}

/// The PrimeCell identification registers at the end of a 4 KiB window (offsets 0xfe0 to 0xffc).
///
/// `peripheral` is PID0 to PID3 as one little-endian word; the PCell identification is the same
/// for every PrimeCell.
pub(crate) fn primecell_id(offset: u64, peripheral: u32) -> Option<u32> {
    const PCELL: u32 = 0xb105_f00d;
    let byte = |word: u32| (word >> ((offset & 0xc) * 2)) & 0xff;
    match offset & !3 {
        0xfe0..=0xfec => Some(byte(peripheral)),
        0xff0..=0xffc => Some(byte(PCELL)),
        _ => None,
    }
}

/// Declares a device's 32-bit register map: an enum with the offsets and `at(offset)`.
macro_rules! registers {
    ($(#[$meta:meta])* enum $name:ident { $($(#[$doc:meta])* $reg:ident = $offset:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $name { $($(#[$doc])* $reg),* }
        impl $name {
            /// The register that contains `offset`, if there is one.
            const fn at(offset: u64) -> Option<Self> {
                match offset & !3 { $($offset => Some(Self::$reg),)* _ => None }
            }
        }
    };
}
pub(crate) use registers;

/// Picks the bytes of a 32-bit register that a read at `offset` of `size` sees.
pub(crate) fn narrow(word: u32, offset: u64, size: Size) -> u64 {
    (u64::from(word) >> ((offset & 3) * 8)) & size.mask()
}

/// Puts the bytes of a write at `offset` of `size` into the 32-bit register value `old`.
pub(crate) fn merge(old: u32, offset: u64, size: Size, value: u64) -> u32 {
    let shift = (offset & 3) * 8;
    let mask = (size.mask() << shift) as u32;
    (old & !mask) | ((value << shift) as u32 & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_and_merge_are_inverse() {
        assert_eq!(narrow(0x4433_2211, 1, Size::B1), 0x22);
        assert_eq!(narrow(0x4433_2211, 2, Size::B2), 0x4433);
        assert_eq!(narrow(0x4433_2211, 0, Size::B8), 0x4433_2211);
        assert_eq!(merge(0x4433_2211, 1, Size::B1, 0xaa), 0x4433_aa11);
        assert_eq!(merge(0, 2, Size::B2, 0x1_beef), 0xbeef_0000);
        assert_eq!(merge(7, 0, Size::B8, u64::MAX), u32::MAX);
    }

    #[test]
    fn sizes() {
        assert_eq!(Size::ALL.map(Size::bytes), [1, 2, 4, 8]);
        assert_eq!(Size::B2.mask(), 0xffff);
        assert_eq!(Size::B8.mask(), u64::MAX);
    }

    #[test]
    fn identification_bytes() {
        let ids: Vec<_> = (0xfe0..0x1000).step_by(4).map(|o| primecell_id(o, 0x0014_1011).unwrap_or(0)).collect();
        assert_eq!(ids, [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1]);
        assert_eq!(primecell_id(0xfdc, 1), None);
    }
}
