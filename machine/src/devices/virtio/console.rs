//! Virtio console (virtio 1.2, 5.3) with one port.

use std::io::Write;
use std::sync::Arc;

use super::VirtioDevice;
use super::queue::{Broken, QueueIo};
use crate::host::Output;
use crate::host::input::InputQueue;

const ID: u32 = virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
const F_SIZE: u64 = 1 << 0;
const RX: usize = 0;
/// Most bytes of one transmission.
const MOST: u64 = 1 << 20;

/// The device. After its [`InputQueue`] was filled, service queue 0.
pub struct Console {
    output: Box<dyn Output>,
    input: Arc<InputQueue>,
    columns: u16,
    rows: u16,
}

impl Console {
    /// A console of `columns` by `rows` characters.
    pub fn new(output: Box<dyn Output>, input: Arc<InputQueue>, (columns, rows): (u16, u16)) -> Self {
        Console { output, input, columns, rows }
    }

    fn receive(&mut self, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        while !self.input.is_empty() {
            let Some(chain) = io.take()? else { return Ok(()) };
            let bytes = self.input.pop(chain.writable_len().min(MOST) as usize);
            chain.writer(io.mem()).write_all(&bytes).map_err(|_| Broken)?;
            io.complete(chain, bytes.len() as u32)?;
        }
        Ok(())
    }

    fn transmit(&mut self, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        while let Some(chain) = io.take()? {
            self.output.write(&chain.read_all(io.mem(), MOST)?);
            io.complete(chain, 0)?;
        }
        Ok(())
    }
}

impl VirtioDevice for Console {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        F_SIZE
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[64, 64]
    }

    fn config(&self) -> Vec<u8> {
        [self.columns.to_le_bytes(), self.rows.to_le_bytes(), [0; 2], [0; 2], [0; 2], [0; 2]].concat()
    }

    fn process(&mut self, index: usize, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        match index {
            RX => self.receive(io),
            _ => self.transmit(io),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Driver;
    use super::*;
    use crate::device::{Device, Size};
    use crate::host::Capture;

    #[test]
    fn both_directions() {
        let (out, input) = (Capture::default(), Arc::new(InputQueue::default()));
        let mut d = Driver::new(Box::new(Console::new(Box::new(out.clone()), input.clone(), (80, 25))), F_SIZE);
        assert_eq!((d.dev.read(0x100, Size::B2), d.dev.read(0x102, Size::B2)), (80, 25));
        d.submit(1, &[b"hello ", b"world"], &[]);
        assert_eq!((out.take(), d.reap(1)), (b"hello world".to_vec(), Some((0, 0))));
        d.submit(0, &[], &[4]);
        assert_eq!(d.reap(0), None, "nothing typed yet");
        input.push(b"abcdef");
        d.dev.service(0);
        assert_eq!((d.reap(0), d.written()), (Some((0, 4)), vec![b"abcd".to_vec()]));
        d.submit(0, &[], &[4]);
        assert_eq!((d.reap(0), &d.written()[0][..2]), (Some((0, 2)), &b"ef"[..]));
    }
}
