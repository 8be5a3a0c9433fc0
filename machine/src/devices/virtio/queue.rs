//! Descriptor chains, checked: a chain that reaches a device is complete, in memory, ordered, and
//! not longer than its limit.

use std::io::{self, Read, Write};

use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use crate::ram::Dma;

/// Most bytes one chain may describe in one direction. Far more than any driver sends.
const MOST: u64 = 1 << 30;

/// The driver broke the rules of virtqueues (or the device met something it cannot go on from).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// One piece of guest memory.
type Segment = (GuestAddress, u32);

/// A chain of buffers: what the device reads, then what it writes.
#[derive(Debug)]
pub struct Chain {
    head: u16,
    readable: Vec<Segment>,
    writable: Vec<Segment>,
}

fn total(segments: &[Segment]) -> u64 {
    segments.iter().map(|(_, len)| u64::from(*len)).sum()
}

impl Chain {
    /// Number of bytes for the device to read.
    pub fn readable_len(&self) -> u64 {
        total(&self.readable)
    }

    /// Number of bytes that the device may write.
    pub fn writable_len(&self) -> u64 {
        total(&self.writable)
    }

    /// Reads the readable part.
    pub fn reader<'a>(&'a self, mem: &'a Dma) -> ChainReader<'a> {
        ChainReader { mem, cursor: Cursor::new(&self.readable) }
    }

    /// Writes the writable part.
    pub fn writer<'a>(&'a self, mem: &'a Dma) -> ChainWriter<'a> {
        ChainWriter { mem, cursor: Cursor::new(&self.writable), written: 0 }
    }

    /// Everything readable, if it is at most `most` bytes.
    pub fn read_all(&self, mem: &Dma, most: u64) -> Result<Vec<u8>, Broken> {
        if self.readable_len() > most {
            return Err(Broken);
        }
        let mut bytes = Vec::with_capacity(self.readable_len() as usize);
        self.reader(mem).read_to_end(&mut bytes).map_err(|_| Broken)?;
        Ok(bytes)
    }
}

/// A place in a list of segments.
struct Cursor<'a> {
    segments: &'a [Segment],
    done: u32,
}

impl<'a> Cursor<'a> {
    fn new(segments: &'a [Segment]) -> Self {
        Cursor { segments, done: 0 }
    }

    /// The next contiguous piece of at most `want` bytes, and steps past it.
    fn advance(&mut self, want: usize) -> Option<(GuestAddress, usize)> {
        while let Some((addr, len)) = self.segments.first() {
            let left = len - self.done;
            if left == 0 {
                (self.segments, self.done) = (&self.segments[1..], 0);
                continue;
            }
            let count = left.min(u32::try_from(want).unwrap_or(u32::MAX));
            let at = GuestAddress(addr.0.wrapping_add(u64::from(self.done)));
            self.done += count;
            return Some((at, count as usize));
        }
        None
    }
}

/// Reads through the device-readable part of a chain.
pub struct ChainReader<'a> {
    mem: &'a Dma,
    cursor: Cursor<'a>,
}

impl Read for ChainReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((addr, count)) = self.cursor.advance(buf.len()) else { return Ok(0) };
        self.mem.read_slice(&mut buf[..count], addr).map_err(io::Error::other)?;
        Ok(count)
    }
}

/// Writes through the device-writable part of a chain.
pub struct ChainWriter<'a> {
    mem: &'a Dma,
    cursor: Cursor<'a>,
    written: u32,
}

impl ChainWriter<'_> {
    /// Number of bytes written so far.
    pub fn written(&self) -> u32 {
        self.written
    }

    /// Leaves the next `count` bytes as they are.
    pub fn skip(&mut self, mut count: u64) {
        while count > 0 {
            let Some((_, step)) = self.cursor.advance(usize::try_from(count).unwrap_or(usize::MAX)) else { return };
            count -= step as u64;
        }
    }
}

impl Write for ChainWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some((addr, count)) = self.cursor.advance(buf.len()) else { return Ok(0) };
        self.mem.write_slice(&buf[..count], addr).map_err(io::Error::other)?;
        self.written = self.written.saturating_add(count as u32);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A queue while a device works on it.
pub struct QueueIo<'a> {
    queue: &'a mut Queue,
    mem: &'a Dma,
    completed: u32,
}

impl<'a> QueueIo<'a> {
    /// Work on `queue` with buffers in `mem`.
    pub fn new(queue: &'a mut Queue, mem: &'a Dma) -> Self {
        QueueIo { queue, mem, completed: 0 }
    }

    /// Guest memory.
    pub fn mem(&self) -> &'a Dma {
        self.mem
    }

    /// How many chains were completed.
    pub fn completed(&self) -> u32 {
        self.completed
    }

    /// Takes the next chain, if the driver has made one available.
    pub fn take(&mut self) -> Result<Option<Chain>, Broken> {
        let mut available = self.queue.iter(self.mem).map_err(|_| Broken)?;
        let Some(descriptors) = available.next() else { return Ok(None) };
        let mut chain = Chain { head: descriptors.head_index(), readable: Vec::new(), writable: Vec::new() };
        let mut complete = false;
        for descriptor in descriptors {
            let segment = (descriptor.addr(), descriptor.len());
            if !self.mem.check_range(segment.0, segment.1 as usize) {
                return Err(Broken);
            }
            match descriptor.is_write_only() {
                true => chain.writable.push(segment),
                // What the device reads comes before what it writes.
                false if chain.writable.is_empty() => chain.readable.push(segment),
                false => return Err(Broken),
            }
            complete = !descriptor.has_next();
        }
        // The iterator also ends at a bad index, a loop, or an unreadable table.
        let sane = complete && chain.readable_len() <= MOST && chain.writable_len() <= MOST;
        if sane { Ok(Some(chain)) } else { Err(Broken) }
    }

    /// Puts back the chain taken last: it will be taken again.
    pub fn put_back(&mut self, _chain: Chain) {
        self.queue.go_to_previous_position();
    }

    /// Gives a chain back to the driver, `written` bytes of it filled.
    pub fn complete(&mut self, chain: Chain, written: u32) -> Result<(), Broken> {
        self.queue.add_used(self.mem, chain.head, written).map_err(|_| Broken)?;
        self.completed += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::Ram;
    use crate::testing::Rng;

    const BASE: u64 = 0x4000_0000;
    const AVAIL: u64 = BASE + 0x1000;
    const USED: u64 = BASE + 0x2000;

    fn setup() -> (Ram, Queue) {
        let ram = Ram::new(BASE, 0x10000).unwrap();
        let mut q = Queue::new(8).unwrap();
        q.try_set_desc_table_address(GuestAddress(BASE)).unwrap();
        q.try_set_avail_ring_address(GuestAddress(AVAIL)).unwrap();
        q.try_set_used_ring_address(GuestAddress(USED)).unwrap();
        q.set_ready(true);
        (ram, q)
    }

    fn desc(ram: &Ram, at: u64, addr: u64, len: u32, flags: u16, next: u16) {
        let m = ram.dma();
        m.write_obj(addr, GuestAddress(at)).unwrap();
        m.write_obj(len, GuestAddress(at + 8)).unwrap();
        m.write_obj(flags, GuestAddress(at + 12)).unwrap();
        m.write_obj(next, GuestAddress(at + 14)).unwrap();
    }

    fn offer(ram: &Ram, heads: &[u16]) {
        for (i, head) in heads.iter().enumerate() {
            ram.dma().write_obj(*head, GuestAddress(AVAIL + 4 + 2 * i as u64)).unwrap();
        }
        ram.dma().write_obj(heads.len() as u16, GuestAddress(AVAIL + 2)).unwrap();
    }

    const NEXT: u16 = 1;
    const WRITE: u16 = 2;
    const INDIRECT: u16 = 4;

    #[test]
    fn a_chain_is_read_and_written_across_segments() {
        let (ram, mut q) = setup();
        desc(&ram, BASE, BASE + 0x3000, 3, NEXT, 1);
        desc(&ram, BASE + 16, BASE + 0x4000, 2, NEXT, 2);
        desc(&ram, BASE + 32, BASE + 0x5000, 0, NEXT | WRITE, 3);
        desc(&ram, BASE + 48, BASE + 0x6000, 4, WRITE, 0);
        ram.dma().write_slice(b"abc", GuestAddress(BASE + 0x3000)).unwrap();
        ram.dma().write_slice(b"de", GuestAddress(BASE + 0x4000)).unwrap();
        offer(&ram, &[0]);
        let mut io = QueueIo::new(&mut q, ram.dma());
        let chain = io.take().unwrap().unwrap();
        assert_eq!((chain.readable_len(), chain.writable_len()), (5, 4));
        assert_eq!(chain.read_all(ram.dma(), 5).unwrap(), b"abcde");
        assert_eq!(chain.read_all(ram.dma(), 4), Err(Broken));
        let mut w = chain.writer(ram.dma());
        assert!(w.write_all(b"12345").is_err() && w.written() == 4);
        io.complete(chain, 4).unwrap();
        assert!(io.take().unwrap().is_none());
        assert_eq!(ram.dma().read_obj::<u32>(GuestAddress(USED + 8)).unwrap(), 4);
        assert_eq!(ram.dma().read_obj::<u32>(GuestAddress(BASE + 0x6000)).unwrap(), u32::from_le_bytes(*b"1234"));
    }

    #[test]
    fn indirect_tables() {
        let (ram, mut q) = setup();
        desc(&ram, BASE, BASE + 0x3000, 32, INDIRECT, 0);
        desc(&ram, BASE + 0x3000, BASE + 0x4000, 8, NEXT, 1);
        desc(&ram, BASE + 0x3010, BASE + 0x5000, 9, WRITE, 0);
        offer(&ram, &[0]);
        let chain = QueueIo::new(&mut q, ram.dma()).take().unwrap().unwrap();
        assert_eq!((chain.readable_len(), chain.writable_len()), (8, 9));
    }

    #[test]
    fn what_drivers_must_not_do() {
        let broken = |setup_descriptors: &dyn Fn(&Ram)| {
            let (ram, mut q) = setup();
            setup_descriptors(&ram);
            offer(&ram, &[0]);
            let taken = QueueIo::new(&mut q, ram.dma()).take();
            matches!(taken, Err(Broken))
        };
        assert!(broken(&|r| desc(r, BASE, BASE + 0x3000, 4, NEXT, 0)), "a loop");
        assert!(broken(&|r| desc(r, BASE, BASE + 0x3000, 4, NEXT, 8)), "an index beyond the table");
        assert!(broken(&|r| desc(r, BASE, 0x1000, 4, 0, 0)), "outside memory");
        assert!(broken(&|r| desc(r, BASE, BASE + 0xfffe, 4, 0, 0)), "over the end of memory");
        assert!(broken(&|r| desc(r, BASE, u64::MAX, u32::MAX, 0, 0)), "address overflow");
        assert!(broken(&|r| desc(r, BASE, BASE + 0x3000, 31, INDIRECT, 0)), "half an indirect descriptor");
        assert!(broken(&|r| desc(r, BASE, 0, 32, INDIRECT, 0)), "an indirect table outside memory");
        assert!(broken(&|r| desc(r, BASE, BASE + 0x3000, 0, INDIRECT, 0)), "an empty indirect table");
        assert!(broken(&|r| desc(r, BASE, BASE, 16, INDIRECT, 0)), "an indirect table in itself");
        assert!(
            broken(&|r| {
                desc(r, BASE, BASE + 0x3000, 4, NEXT | WRITE, 1);
                desc(r, BASE + 16, BASE + 0x3000, 4, 0, 0);
            }),
            "readable after writable"
        );
        let (ram, mut q) = setup();
        ram.dma().write_obj(9u16, GuestAddress(AVAIL + 2)).unwrap();
        assert!(QueueIo::new(&mut q, ram.dma()).take().is_err(), "more available than the queue holds");
    }

    #[test]
    fn random_rings() {
        let mut rng = Rng::new(77);
        let (ram, mut q) = setup();
        let mut taken = 0u32;
        for _ in 0..100_000 {
            let at = BASE + rng.below(0x2000);
            let value = if rng.below(2) == 0 { BASE + rng.below(0x10000) } else { rng.value() };
            ram.dma().write_obj(value, GuestAddress(at)).unwrap();
            if rng.below(4) == 0 {
                let index = q.next_avail().wrapping_add(rng.below(10) as u16);
                ram.dma().write_obj(index, GuestAddress(AVAIL + 2)).unwrap();
            }
            let mut io = QueueIo::new(&mut q, ram.dma());
            if let Ok(Some(chain)) = io.take() {
                taken += 1;
                let _ = chain.read_all(ram.dma(), 1 << 20);
                let _ = chain.writer(ram.dma()).write_all(&[0; 64]);
                let _ = io.complete(chain, 1);
            }
        }
        assert!(taken > 0);
    }
}
