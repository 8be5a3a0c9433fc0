//! A bank of CFI flash (JESD68, Intel command set 0001h): two 16-bit chips side by side, so that each command and each
//! answer stands in both halves of a 32-bit word.

use crate::device::{Device, Size, narrow};
use crate::host::disk::Disk;

/// Bytes that are erased together, of both chips.
pub const BLOCK: u64 = 0x4_0000;
/// log2 of the bytes that one write of a buffer has at most, of one chip.
const BUFFER_SHIFT: u8 = 9;
/// The same in words of the bank.
const BUFFER_WORDS: usize = 2 << BUFFER_SHIFT >> 2;

/// Status register: ready; erasing failed; programming failed.
const READY: u8 = 0x80;
const ERASE_ERROR: u8 = 0x20;
const PROGRAM_ERROR: u8 = 0x10;
/// Both errors: the commands made no sense.
const SEQUENCE_ERROR: u8 = ERASE_ERROR | PROGRAM_ERROR;

const MANUFACTURER: u8 = 0x89;
const DEVICE: u8 = 0x18;

/// What reads give, and what the next write means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// Reads give the content.
    Array,
    /// Reads give the status register.
    Status,
    /// Reads give manufacturer, device, and lock bits (none).
    Id,
    /// Reads give the CFI table.
    Query,
    /// The next write is data.
    Program,
    /// The next write confirms.
    Erase,
    /// The next write says what is done to a block's lock; there are none.
    Lock,
    /// The next write is the number of data words, less one.
    Count,
    /// So many words are to come; then a write confirms.
    Fill(usize, Vec<(u64, Size, u64)>),
}

/// The bank.
pub struct Flash {
    disk: Option<Box<dyn Disk>>,
    /// Blocks that were touched.
    blocks: Vec<Option<Box<[u8]>>>,
    mode: Mode,
    status: u8,
}

impl Flash {
    /// A bank of `size` bytes (whole blocks) that begins with the content of `disk`; the rest is erased. What is
    /// written is written to `disk`, too.
    pub fn new(size: u64, disk: Option<Box<dyn Disk>>) -> Flash {
        let blocks = (0..size / BLOCK).map(|_| None).collect();
        Flash { disk, blocks, mode: Mode::Array, status: READY }
    }

    /// The block at `offset`, fetched when first touched, and the place in there; `None` beyond the end.
    fn block(&mut self, offset: u64) -> Option<(&mut [u8], usize)> {
        let slot = self.blocks.get_mut((offset / BLOCK) as usize)?;
        let disk = &mut self.disk;
        let block = slot.get_or_insert_with(|| {
            let start = offset / BLOCK * BLOCK;
            let mut bytes = vec![0xff; BLOCK as usize].into_boxed_slice();
            if let Some(disk) = disk.as_mut().filter(|d| start + BLOCK <= d.len())
                && disk.read_at(start, &mut bytes).is_err()
            {
                bytes.fill(0xff);
            }
            bytes
        });
        Some((block, (offset % BLOCK) as usize))
    }

    /// Has `len` bytes from `offset` on (in one block) written to the disk.
    fn save(&mut self, offset: u64, len: usize, error: u8) {
        let Some(block) = self.blocks.get((offset / BLOCK) as usize).and_then(Option::as_ref) else { return };
        let at = (offset % BLOCK) as usize;
        let bytes = &block[at..(at + len).min(BLOCK as usize)];
        if let Some(disk) = self.disk.as_mut().filter(|d| offset + len as u64 <= d.len())
            && disk.write_at(offset, bytes).is_err()
        {
            self.status |= error;
        }
    }

    fn content(&mut self, offset: u64, size: Size) -> u64 {
        (0..size.bytes()).rev().fold(0, |v, i| {
            let byte = self.block(offset + i).map_or(0xff, |(block, at)| block[at]);
            v << 8 | u64::from(byte)
        })
    }

    /// Programming only clears bits.
    fn program(&mut self, offset: u64, size: Size, value: u64) {
        for i in 0..size.bytes() {
            if let Some((block, at)) = self.block(offset + i) {
                block[at] &= (value >> (8 * i)) as u8;
                self.save(offset + i, 1, PROGRAM_ERROR);
            }
        }
    }

    fn erase(&mut self, offset: u64) {
        let start = offset / BLOCK * BLOCK;
        if let Some((block, _)) = self.block(start) {
            block.fill(0xff);
            self.save(start, BLOCK as usize, ERASE_ERROR);
        }
    }

    fn command(&mut self, command: u8) -> Mode {
        match command {
            0x10 | 0x40 => Mode::Program,
            0x20 => Mode::Erase,
            0x50 => {
                self.status = READY;
                Mode::Array
            }
            0x60 => Mode::Lock,
            0x70 => Mode::Status,
            0x90 => Mode::Id,
            0x98 => Mode::Query,
            0xe8 => Mode::Count,
            // FFh, and F0h of another command set, which is how drivers find out.
            _ => Mode::Array,
        }
    }

    /// The commands made no sense.
    fn out_of_sequence(&mut self) -> Mode {
        self.status |= SEQUENCE_ERROR;
        Mode::Status
    }

    fn filled(&mut self, left: usize, mut words: Vec<(u64, Size, u64)>, write: (u64, Size, u64)) -> Mode {
        if left > 0 {
            words.push(write);
            return Mode::Fill(left - 1, words);
        }
        if write.2 as u8 != 0xd0 {
            return self.out_of_sequence();
        }
        words.into_iter().for_each(|(offset, size, value)| self.program(offset, size, value));
        Mode::Status
    }
}

/// The CFI table, word `index` of one chip, for a bank of `blocks` blocks.
fn query(index: u64, blocks: usize) -> u8 {
    /// From index 10h on: "QRY", command set 0001h, its own table at 31h, no alternative; 2.7 to 3.6 V, no Vpp; typical
    /// and longest times; then what depends on the size.
    const HEAD: [u8; 23] = [b'Q', b'R', b'Y', 1, 0, 0x31, 0, 0, 0, 0, 0, 0x27, 0x36, 0, 0, 7, 7, 10, 0, 4, 4, 4, 0];
    /// The command set's own table: version 1.0, nothing optional.
    const OWN: [u8; 5] = [b'P', b'R', b'I', b'1', b'0'];
    const REGION: u64 = BLOCK / 2 / 256;
    let last = blocks.saturating_sub(1);
    match index {
        0x10..0x27 => HEAD[(index - 0x10) as usize],
        0x27 => (blocks as u64 * BLOCK / 2).checked_ilog2().unwrap_or(0) as u8,
        // 16 bits wide.
        0x28 => 1,
        0x2a => BUFFER_SHIFT,
        // One region of blocks of equal size.
        0x2c => 1,
        0x2d => last as u8,
        0x2e => (last >> 8) as u8,
        0x2f => REGION as u8,
        0x30 => (REGION >> 8) as u8,
        0x31..0x36 => OWN[(index - 0x31) as usize],
        _ => 0,
    }
}

impl Device for Flash {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let index = offset >> 2 & 0xff;
        let answer = match self.mode {
            Mode::Array => return self.content(offset, size),
            Mode::Id => match index {
                0 => MANUFACTURER,
                1 => DEVICE,
                _ => 0,
            },
            Mode::Query => query(index, self.blocks.len()),
            _ => self.status,
        };
        narrow(u32::from(answer) * 0x1_0001, offset, size)
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        let byte = value as u8;
        self.mode = match std::mem::replace(&mut self.mode, Mode::Status) {
            Mode::Array | Mode::Status | Mode::Id | Mode::Query => self.command(byte),
            Mode::Program => {
                self.program(offset, size, value);
                Mode::Status
            }
            Mode::Erase if byte == 0xd0 => {
                self.erase(offset);
                Mode::Status
            }
            Mode::Lock if matches!(byte, 0xd0 | 0x01 | 0x2f) => Mode::Status,
            Mode::Erase | Mode::Lock => self.out_of_sequence(),
            Mode::Count => match (value & 0xffff) as usize + 1 {
                count @ 1..=BUFFER_WORDS => Mode::Fill(count, Vec::new()),
                _ => self.out_of_sequence(),
            },
            Mode::Fill(left, words) => self.filled(left, words, (offset, size, value)),
        };
    }

    /// The content stays.
    fn reset(&mut self) {
        (self.mode, self.status) = (Mode::Array, READY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::RawFile;
    use crate::testing::hammer;

    fn flash() -> Flash {
        Flash::new(8 * BLOCK, None)
    }

    fn write(f: &mut Flash, writes: &[(u64, u32)]) {
        writes.iter().for_each(|&(offset, v)| f.write(offset, Size::B4, v.into()));
    }

    #[test]
    fn drivers_find_out_what_it_is() {
        let mut f = flash();
        write(&mut f, &[(0x55 * 4, 0x0098_0098)]);
        let qry: Vec<u64> = (0x10..0x13).map(|i| f.read(i * 4, Size::B4)).collect();
        assert_eq!(qry, [0x51_0051, 0x52_0052, 0x59_0059]);
        let byte = |f: &mut Flash, i: u64| f.read(i * 4, Size::B1);
        assert_eq!(byte(&mut f, 0x27), 20, "two chips of 1 MiB");
        let region = [0x2c, 0x2d, 0x2e, 0x2f, 0x30].map(|i| byte(&mut f, i));
        assert_eq!(region, [1, 7, 0, 0, 2], "8 blocks of 128 KiB each");
        write(&mut f, &[(0, 0x90_0090)]);
        assert_eq!((f.read(0, Size::B4), f.read(4, Size::B4), f.read(8, Size::B4)), (0x89_0089, 0x18_0018, 0));
        write(&mut f, &[(0, 0xff_00ff)]);
        assert_eq!(f.read(0, Size::B8), u64::MAX, "erased");
    }

    #[test]
    fn programming_clears_bits_and_erasing_sets_them() {
        let mut f = flash();
        write(&mut f, &[(0x1000, 0x40_0040), (0x1000, 0x1234_5678)]);
        assert_eq!(f.read(0, Size::B4), 0x80_0080);
        write(&mut f, &[(0x1000, 0x10_0010), (0x1000, 0xffff_ff00), (0, 0xff_00ff)]);
        assert_eq!(f.read(0x1000, Size::B8), 0xffff_ffff_1234_5600);
        write(&mut f, &[(BLOCK - 4, 0x20_0020), (BLOCK - 4, 0xd0_00d0), (0, 0xff_00ff)]);
        assert_eq!(f.read(0x1000, Size::B4), 0xffff_ffff);
    }

    #[test]
    fn a_buffer_is_written_when_confirmed() {
        let mut f = flash();
        let buffer = [(BLOCK, 0xe8_00e8), (BLOCK, 0x1_0001), (BLOCK + 4, 0x0b0b_0b0b), (BLOCK, 0x0a0a_0a0a)];
        write(&mut f, &buffer);
        write(&mut f, &[(BLOCK, 0xff_00ff)]);
        assert_eq!(f.read(0, Size::B1), 0xb0, "not confirmed");
        write(&mut f, &[(0, 0x50_0050), (0, 0xff_00ff)]);
        assert_eq!(f.read(BLOCK, Size::B8), u64::MAX);
        write(&mut f, &buffer);
        write(&mut f, &[(BLOCK, 0xd0_00d0), (0, 0xff_00ff)]);
        assert_eq!(f.read(BLOCK, Size::B8), 0x0b0b_0b0b_0a0a_0a0a);
        write(&mut f, &[(0, 0xe8_00e8), (0, 0xffff)]);
        assert_eq!(f.read(0, Size::B1), 0xb0, "more than the buffer holds");
        write(&mut f, &[(0, 0x60_0060), (0, 0xd0_00d0), (0, 0x20_0020), (0, 0)]);
        assert_eq!(f.read(0, Size::B1), 0xb0, "an erasure that was not confirmed");
    }

    #[test]
    fn content_comes_from_a_file_and_goes_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vars");
        std::fs::write(&path, vec![0x5a; BLOCK as usize]).unwrap();
        let mut f = Flash::new(2 * BLOCK, Some(Box::new(RawFile::open(&path, false).unwrap())));
        assert_eq!((f.read(BLOCK - 1, Size::B1), f.read(BLOCK, Size::B1)), (0x5a, 0xff));
        write(&mut f, &[(8, 0x40), (8, 0x1011_1213), (BLOCK, 0x40), (BLOCK, 0)]);
        f.reset();
        assert_eq!(f.read(BLOCK, Size::B4), 0, "kept in memory alone");
        drop(f);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((&bytes[7..13], bytes.len()), (&[0x5a, 0x12, 0x12, 0x10, 0x10, 0x5a][..], BLOCK as usize));
    }

    #[test]
    fn random_accesses() {
        hammer(&mut flash(), 8 * BLOCK, 31, |_, _| {});
    }
}
