//! Virtio block device (virtio 1.2, 5.2).

use std::io::{self, Read, Write};

use virtio_bindings::virtio_blk as blk;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

use super::VirtioDevice;
use super::queue::{Broken, Chain, ChainReader, ChainWriter, QueueIo};
use crate::host::disk::Disk;

const ID: u32 = VIRTIO_ID_BLOCK;
const SECTOR: u64 = 512;
const F_SEG_MAX: u64 = 1 << blk::VIRTIO_BLK_F_SEG_MAX;
const F_RO: u64 = 1 << blk::VIRTIO_BLK_F_RO;
const F_BLK_SIZE: u64 = 1 << blk::VIRTIO_BLK_F_BLK_SIZE;
const F_FLUSH: u64 = 1 << blk::VIRTIO_BLK_F_FLUSH;
const F_DISCARD: u64 = 1 << blk::VIRTIO_BLK_F_DISCARD;
const F_WRITE_ZEROES: u64 = 1 << blk::VIRTIO_BLK_F_WRITE_ZEROES;
const QUEUE: u16 = 256;
/// Most sectors of one discard or write-zeroes segment.
const MOST_SECTORS: u32 = 1 << 22;
/// Most segments of one discard or write-zeroes request.
const MOST_SEGMENTS: u32 = 16;
/// Bytes moved at a time.
const CHUNK: usize = 0x1_0000;
const ID_LEN: usize = 20;

/// Request types (5.2.6).
const T_IN: u32 = blk::VIRTIO_BLK_T_IN;
const T_OUT: u32 = blk::VIRTIO_BLK_T_OUT;
const T_FLUSH: u32 = blk::VIRTIO_BLK_T_FLUSH;
const T_GET_ID: u32 = blk::VIRTIO_BLK_T_GET_ID;
const T_DISCARD: u32 = blk::VIRTIO_BLK_T_DISCARD;
const T_WRITE_ZEROES: u32 = blk::VIRTIO_BLK_T_WRITE_ZEROES;

/// Why a request failed, as its status byte says.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Io = blk::VIRTIO_BLK_S_IOERR as isize,
    Unsupported = blk::VIRTIO_BLK_S_UNSUPP as isize,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Failure::Io
    }
}

/// The device.
pub struct Blk {
    disk: Box<dyn Disk>,
    serial: String,
    buffer: Vec<u8>,
}

impl Blk {
    /// Serves `disk`; `serial` (up to 20 bytes) is what `/dev/disk/by-id` shows.
    pub fn new(disk: Box<dyn Disk>, serial: &str) -> Self {
        Blk { disk, serial: serial.to_string(), buffer: vec![0; CHUNK] }
    }

    fn capacity(&self) -> u64 {
        self.disk.len().div_ceil(SECTOR)
    }

    /// Byte range of `bytes` from `sector`, if the disk has it.
    fn range(&self, sector: u64, bytes: u64) -> Result<u64, Failure> {
        let end = sector.checked_add(bytes.div_ceil(SECTOR)).ok_or(Failure::Io)?;
        if !bytes.is_multiple_of(SECTOR) || end > self.capacity() {
            return Err(Failure::Io);
        }
        Ok(sector * SECTOR)
    }

    fn request(&mut self, chain: &Chain, io: &QueueIo<'_>) -> Result<u32, Broken> {
        let (mut reader, mut writer) = (chain.reader(io.mem()), chain.writer(io.mem()));
        let mut header = [0; 16];
        reader.read_exact(&mut header).map_err(|_| Broken)?;
        // The last writable byte is the status.
        let room = chain.writable_len().checked_sub(1).ok_or(Broken)?;
        let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let mut sector = [0; 8];
        sector.copy_from_slice(&header[8..]);
        let sector = u64::from_le_bytes(sector);
        let given = chain.readable_len() - 16;
        let done = match kind {
            T_IN => self.read(sector, room, &mut writer),
            T_OUT => self.write(sector, given, &mut reader),
            T_FLUSH => self.disk.flush().map_err(Failure::from),
            T_GET_ID => self.identify(room, &mut writer),
            T_DISCARD | T_WRITE_ZEROES => self.erase(kind, given, &mut reader),
            _ => Err(Failure::Unsupported),
        };
        let status = match done {
            Ok(()) => 0,
            Err(failure) => failure as u8,
        };
        // Whatever of the data area was not filled stays as it is; the status still comes last.
        let written = writer.written();
        writer.skip(room.saturating_sub(u64::from(written)));
        writer.write_all(&[status]).map_err(|_| Broken)?;
        Ok(written + 1)
    }

    fn read(&mut self, sector: u64, bytes: u64, writer: &mut ChainWriter<'_>) -> Result<(), Failure> {
        let mut at = self.range(sector, bytes)?;
        let end = at + bytes;
        while at < end {
            let count = (end - at).min(CHUNK as u64) as usize;
            self.disk.read_at(at, &mut self.buffer[..count])?;
            writer.write_all(&self.buffer[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    fn write(&mut self, sector: u64, bytes: u64, reader: &mut ChainReader<'_>) -> Result<(), Failure> {
        let mut at = self.range(sector, bytes)?;
        if self.disk.read_only() {
            return Err(Failure::Io);
        }
        let end = at + bytes;
        while at < end {
            let count = (end - at).min(CHUNK as u64) as usize;
            reader.read_exact(&mut self.buffer[..count])?;
            self.disk.write_at(at, &self.buffer[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    fn identify(&mut self, room: u64, writer: &mut ChainWriter<'_>) -> Result<(), Failure> {
        let mut id = [0; ID_LEN];
        let serial = self.serial.as_bytes();
        let count = serial.len().min(ID_LEN);
        id[..count].copy_from_slice(&serial[..count]);
        Ok(writer.write_all(&id[..ID_LEN.min(room as usize)])?)
    }

    /// Discard and write-zeroes: segments of 16 bytes, each a sector, a count and flags.
    fn erase(&mut self, kind: u32, given: u64, reader: &mut ChainReader<'_>) -> Result<(), Failure> {
        if given == 0 || !given.is_multiple_of(16) || given / 16 > u64::from(MOST_SEGMENTS) || self.disk.read_only() {
            return Err(Failure::Io);
        }
        for _ in 0..given / 16 {
            let mut segment = [0; 16];
            reader.read_exact(&mut segment)?;
            let (mut sector, mut count) = ([0; 8], [0; 4]);
            sector.copy_from_slice(&segment[..8]);
            count.copy_from_slice(&segment[8..12]);
            let (count, flags) = (u32::from_le_bytes(count), segment[12]);
            // Flag 0 is unmap, which a discard must not set; the rest are reserved.
            if flags & !1 != 0 || (flags != 0 && kind == T_DISCARD) {
                return Err(Failure::Unsupported);
            }
            if count > MOST_SECTORS {
                return Err(Failure::Io);
            }
            let bytes = u64::from(count) * SECTOR;
            let at = self.range(u64::from_le_bytes(sector), bytes)?;
            match kind {
                T_DISCARD => self.disk.discard(at, bytes)?,
                _ => self.disk.write_zeroes(at, bytes)?,
            }
        }
        Ok(())
    }
}

impl VirtioDevice for Blk {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        let common = F_SEG_MAX | F_BLK_SIZE | F_FLUSH;
        common | if self.disk.read_only() { F_RO } else { F_DISCARD | F_WRITE_ZEROES }
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[QUEUE]
    }

    /// 5.2.4, struct virtio_blk_config.
    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 60];
        let mut put = |at: usize, value: u32| config[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, self.capacity() as u32);
        put(4, (self.capacity() >> 32) as u32);
        put(12, u32::from(QUEUE) - 2);
        put(20, SECTOR as u32);
        put(36, MOST_SECTORS);
        put(40, MOST_SEGMENTS);
        put(44, 8);
        put(48, MOST_SECTORS);
        put(52, MOST_SEGMENTS);
        put(56, 1);
        config
    }

    fn process(&mut self, _index: usize, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        while let Some(chain) = io.take()? {
            let written = self.request(&chain, io)?;
            io.complete(chain, written)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Driver;
    use super::*;
    use crate::device::{Device, Size};
    use crate::host::disk::{Overlay, RawFile};
    use crate::testing::Rng;
    use std::fs::File;

    fn image() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..0x10_0000u32).map(|i| (i / 512) as u8).collect();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn open(file: &tempfile::NamedTempFile, read_only: bool) -> RawFile {
        RawFile::open(file.path(), read_only).unwrap()
    }

    fn driver(disk: impl Disk + 'static) -> Driver {
        Driver::new(Box::new(Blk::new(Box::new(disk), "jib-disk-0")), 0)
    }

    fn header(kind: u32, sector: u64) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
    }

    /// Status and data of a read.
    fn read(d: &mut Driver, sector: u64, bytes: usize) -> (u8, Vec<u8>) {
        d.submit(0, &[&header(T_IN, sector)], &[bytes, 1]);
        d.reap(0).unwrap();
        let out = d.written();
        (out[1][0], out[0].clone())
    }

    fn send(d: &mut Driver, kind: u32, sector: u64, data: &[u8]) -> u8 {
        d.submit(0, &[&header(kind, sector), data], &[1]);
        d.reap(0).unwrap();
        d.written()[0][0]
    }

    fn segment(sector: u64, count: u32, flags: u32) -> Vec<u8> {
        [&sector.to_le_bytes()[..], &count.to_le_bytes(), &flags.to_le_bytes()].concat()
    }

    #[test]
    fn reads_writes_and_keeps() {
        let file = image();
        let mut d = driver(open(&file, false));
        assert_eq!(d.dev.read(0x100, Size::B8), 2048);
        assert_eq!(read(&mut d, 3, 1024), (0, [[3u8; 512], [4; 512]].concat()));
        assert_eq!(send(&mut d, T_OUT, 3, &[0xee; 512]), 0);
        assert_eq!(send(&mut d, T_FLUSH, 0, &[]), 0);
        assert_eq!(read(&mut d, 3, 512), (0, vec![0xee; 512]));
        assert_eq!(std::fs::read(file.path()).unwrap()[3 * 512], 0xee);
    }

    #[test]
    fn an_overlay_keeps_nothing() {
        let file = image();
        let mut d = driver(Overlay::new(Box::new(open(&file, true))).unwrap());
        assert_eq!(send(&mut d, T_OUT, 5, &[0xee; 1024]), 0);
        assert_eq!(read(&mut d, 4, 2048).1, [[4u8; 512], [0xee; 512], [0xee; 512], [7; 512]].concat());
        assert_eq!(std::fs::read(file.path()).unwrap()[5 * 512], 5);
    }

    #[test]
    fn errors_are_status_bytes() {
        let file = image();
        let mut d = driver(open(&file, true));
        assert_eq!(d.dev.read(0x10, Size::B4) & F_RO, F_RO);
        assert_eq!(send(&mut d, T_OUT, 0, &[0; 512]), 1, "read-only");
        assert_eq!(read(&mut d, 2047, 1024).0, 1, "beyond the end");
        assert_eq!(read(&mut d, u64::MAX, 512).0, 1);
        assert_eq!(read(&mut d, 0, 100).0, 1, "not a sector");
        assert_eq!(send(&mut d, 99, 0, &[]), 2, "unknown request");
        d.submit(0, &[&[0; 8]], &[1]);
        assert!(d.broken(), "no whole header");
        let mut d = driver(open(&file, true));
        d.submit(0, &[&header(T_IN, 0)], &[]);
        assert!(d.broken(), "no room for the status");
    }

    #[test]
    fn discard_zeroes_and_identity() {
        let file = image();
        let mut d = driver(open(&file, false));
        assert_eq!(send(&mut d, T_WRITE_ZEROES, 0, &segment(9, 2, 1)), 0);
        assert_eq!(read(&mut d, 8, 2048).1, [[8u8; 512], [0; 512], [0; 512], [11; 512]].concat());
        assert_eq!(send(&mut d, T_DISCARD, 0, &segment(16, 8, 0)), 0);
        assert_eq!(read(&mut d, 16, 512), (0, vec![0; 512]));
        assert_eq!(send(&mut d, T_DISCARD, 0, &segment(2040, 9, 0)), 1);
        assert_eq!(send(&mut d, T_DISCARD, 0, &segment(0, 1, 1)), 2);
        assert_eq!(send(&mut d, T_WRITE_ZEROES, 0, &[0; 15]), 1);
        d.submit(0, &[&header(T_GET_ID, 0)], &[20, 1]);
        assert_eq!(d.written()[0][..11], b"jib-disk-0\0"[..]);
    }

    #[test]
    fn random_requests() {
        let file = image();
        let mut d = driver(Overlay::new(Box::new(open(&file, true))).unwrap());
        let mut shadow = std::fs::read(file.path()).unwrap();
        let mut rng = Rng::new(2);
        for _ in 0..5000 {
            let (kind, sector) = (rng.below(15) as u32, rng.below(2056));
            let bytes = rng.below(20) as usize * 512;
            let at = sector as usize * 512;
            match kind {
                T_OUT => {
                    let data = vec![rng.next() as u8; bytes];
                    let status = send(&mut d, T_OUT, sector, &data);
                    assert_eq!(status == 0, at + bytes <= shadow.len());
                    if status == 0 {
                        shadow[at..at + bytes].copy_from_slice(&data);
                    }
                }
                T_WRITE_ZEROES if bytes > 0 => {
                    if send(&mut d, kind, 0, &segment(sector, bytes as u32 / 512, 0)) == 0 {
                        shadow[at..at + bytes].fill(0);
                    }
                }
                T_DISCARD => {}
                _ if bytes > 0 => {
                    let (status, data) = read(&mut d, sector, bytes);
                    assert!(status != 0 || data == shadow[at..at + bytes]);
                }
                _ => drop(send(&mut d, kind, rng.value(), &[])),
            }
        }
        assert!(!d.broken() && File::open(file.path()).is_ok());
    }
}
