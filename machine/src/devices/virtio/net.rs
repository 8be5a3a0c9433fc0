//! Virtio network device (virtio 1.2, 5.1) with one pair of queues.

use std::io::Write;

use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net as net;

use super::VirtioDevice;
use super::queue::{Broken, QueueIo};

const ID: u32 = VIRTIO_ID_NET;
const F_CSUM: u64 = 1 << net::VIRTIO_NET_F_CSUM;
const F_GUEST_CSUM: u64 = 1 << net::VIRTIO_NET_F_GUEST_CSUM;
const F_MAC: u64 = 1 << net::VIRTIO_NET_F_MAC;
const F_STATUS: u64 = 1 << net::VIRTIO_NET_F_STATUS;
const RX: usize = 0;
/// Length of struct virtio_net_hdr with num_buffers.
const HEADER: usize = 12;
/// VIRTIO_NET_HDR_F_DATA_VALID: checksums were checked.
const DATA_VALID: u8 = 2;
/// Largest frame either way: no segmentation offload, so an Ethernet frame with room to spare.
const MOST_FRAME: usize = 0x1_0000;

/// The wire behind the device.
pub trait Wire: Send {
    /// The guest sent an Ethernet frame. Its transport checksums may be unset.
    fn send(&mut self, frame: &[u8]);
    /// The next frame for the guest.
    fn receive(&mut self) -> Option<Vec<u8>>;
}

/// The device. When its wire may have frames, service queue 0.
pub struct Net {
    wire: Box<dyn Wire>,
    mac: [u8; 6],
    /// A frame that waits for a buffer.
    waiting: Option<Vec<u8>>,
}

impl Net {
    /// A device with this address on this wire.
    pub fn new(wire: Box<dyn Wire>, mac: [u8; 6]) -> Self {
        Net { wire, mac, waiting: None }
    }

    fn receive(&mut self, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        while let Some(frame) = self.waiting.take().or_else(|| self.wire.receive()) {
            let Some(chain) = io.take()? else {
                self.waiting = Some(frame);
                return Ok(());
            };
            let room = chain.writable_len();
            if room < HEADER as u64 {
                return Err(Broken);
            }
            let mut header = [0; HEADER];
            header[0] = DATA_VALID;
            header[10] = 1;
            let mut writer = chain.writer(io.mem());
            // A frame that does not fit is lost, as on any wire.
            if (frame.len() + HEADER) as u64 <= room {
                writer.write_all(&header).and_then(|()| writer.write_all(&frame)).map_err(|_| Broken)?;
                let written = writer.written();
                io.complete(chain, written)?;
            } else {
                io.put_back(chain);
            }
        }
        Ok(())
    }

    fn transmit(&mut self, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        while let Some(chain) = io.take()? {
            let bytes = chain.read_all(io.mem(), (MOST_FRAME + HEADER) as u64)?;
            self.wire.send(bytes.get(HEADER..).ok_or(Broken)?);
            io.complete(chain, 0)?;
        }
        Ok(())
    }
}

impl VirtioDevice for Net {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        F_CSUM | F_GUEST_CSUM | F_MAC | F_STATUS
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[256, 256]
    }

    /// 5.1.4: address, then status (link up).
    fn config(&self) -> Vec<u8> {
        [&self.mac[..], &[1, 0]].concat()
    }

    fn process(&mut self, index: usize, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        match index {
            RX => self.receive(io),
            _ => self.transmit(io),
        }
    }

    fn reset(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Driver;
    use super::*;
    use crate::device::{Device, Size};
    use crate::testing::Rng;
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    /// Sends every frame back.
    #[derive(Clone, Default)]
    struct Loop(Arc<Mutex<VecDeque<Vec<u8>>>>);

    impl Wire for Loop {
        fn send(&mut self, frame: &[u8]) {
            self.0.lock().unwrap().push_back(frame.to_vec());
        }
        fn receive(&mut self) -> Option<Vec<u8>> {
            self.0.lock().unwrap().pop_front()
        }
    }

    fn driver() -> (Driver, Loop) {
        let wire = Loop::default();
        (Driver::new(Box::new(Net::new(Box::new(wire.clone()), [2, 0, 0, 0, 0, 9])), F_MAC), wire)
    }

    #[test]
    fn frames_go_out_and_come_in() {
        let (mut d, _) = driver();
        assert_eq!((d.dev.read(0x100, Size::B4), d.dev.read(0x104, Size::B4)), (2, 0x1_0900));
        d.submit(1, &[&[0; 12], b"a frame"], &[]);
        assert_eq!(d.reap(1), Some((0, 0)));
        d.submit(0, &[], &[12, 100]);
        assert_eq!(d.reap(0), Some((0, 19)));
        assert_eq!(d.written()[0], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(&d.written()[1][..7], b"a frame");
    }

    #[test]
    fn a_frame_waits_for_a_buffer() {
        let (mut d, mut wire) = driver();
        wire.send(b"early");
        d.dev.service(0);
        assert_eq!(d.reap(0), None);
        d.submit(0, &[], &[64]);
        assert_eq!(d.reap(0), Some((0, 17)));
        wire.send(&[1; 60]);
        wire.send(b"fits");
        d.submit(0, &[], &[64]);
        assert_eq!(d.reap(0), Some((0, 16)), "one too long is dropped");
    }

    #[test]
    fn short_buffers_break_the_device() {
        let (mut d, mut wire) = driver();
        wire.send(b"x");
        d.submit(0, &[], &[11]);
        assert!(d.broken());
        let (mut d, _) = driver();
        d.submit(1, &[&[0; 11]], &[]);
        assert!(d.broken());
    }

    #[test]
    fn random_frames() {
        let (mut d, _) = driver();
        let mut rng = Rng::new(5);
        for _ in 0..5000 {
            let data = vec![0; 12 + rng.below(1600) as usize];
            d.submit(1, &[&data], &[]);
            d.submit(0, &[], &[12, 1700 + rng.below(3000) as usize]);
        }
        assert!(!d.broken());
    }
}
