//! Shares a folder of the host by 9P2000.L over virtio (virtio 1.2, 5.9; the server is the crate `p9`).

use std::io;
use std::path::{Path, PathBuf};

use p9::Server;

use super::VirtioDevice;
use super::queue::{Broken, QueueIo};

const ID: u32 = virtio_bindings::virtio_ids::VIRTIO_ID_9P;
const F_MOUNT_TAG: u64 = 1 << 0;
/// Largest request taken: the largest message a client may negotiate, with room to spare.
const MOST: u64 = 1 << 20;

/// The device.
pub struct P9 {
    server: Server,
    root: PathBuf,
    tag: String,
}

impl P9 {
    /// Shares `root` under `tag` (`mount -t 9p -o trans=virtio,version=9p2000.L TAG DIR`).
    pub fn new(root: &Path, tag: &str) -> io::Result<Self> {
        if !root.is_dir() {
            let why = format!("{} is not a folder", root.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
        }
        let root = root.canonicalize()?;
        Ok(P9 { server: serve(&root)?, root, tag: tag.chars().take(255).collect() })
    }
}

/// A server with no session yet; user and group ids are the host's.
fn serve(root: &Path) -> io::Result<Server> {
    Server::new(root, Default::default(), Default::default())
}

impl VirtioDevice for P9 {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        F_MOUNT_TAG
    }

    fn queue_sizes(&self) -> &'static [u16] {
        &[128]
    }

    fn config(&self) -> Vec<u8> {
        [&(self.tag.len() as u16).to_le_bytes(), self.tag.as_bytes()].concat()
    }

    fn process(&mut self, _index: usize, io: &mut QueueIo<'_>) -> Result<(), Broken> {
        while let Some(chain) = io.take()? {
            let request = chain.read_all(io.mem(), MOST)?;
            let mut reply = chain.writer(io.mem());
            // A request that cannot even be parsed has no tag to answer to.
            self.server.handle_message(&mut request.as_slice(), &mut reply).map_err(|_| Broken)?;
            let written = reply.written();
            io.complete(chain, written)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        // A new driver starts without fids; should the host refuse, the old session goes on.
        if let Ok(server) = serve(&self.root) {
            self.server = server;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Driver;
    use super::*;
    use crate::device::{Device, Size};
    use crate::testing::Rng;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = (7 + body.len()) as u32;
        [&len.to_le_bytes()[..], &[kind], &1u16.to_le_bytes(), body].concat()
    }

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn reads_a_file_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hello"), "shared text").unwrap();
        let mut d = Driver::new(Box::new(P9::new(dir.path(), "host").unwrap()), F_MOUNT_TAG);
        assert_eq!((d.dev.read(0x100, Size::B2), d.dev.read(0x102, Size::B4)), (4, 0x7473_6f68));
        let mut ask = |kind, body: &[u8]| {
            d.submit(0, &[&message(kind, body)], &[4096]);
            let (_, len) = d.reap(0).unwrap();
            let reply = d.written().concat()[..len as usize].to_vec();
            assert_eq!(reply[4], kind + 1, "{reply:?}");
            reply[7..].to_vec()
        };
        let u32s = |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        ask(100, &[u32s(&[8192]), string("9P2000.L")].concat());
        ask(104, &[u32s(&[1, !0]), string("root"), string(""), u32s(&[0])].concat());
        ask(110, &[u32s(&[1, 2]), 1u16.to_le_bytes().to_vec(), string("hello")].concat());
        ask(12, &u32s(&[2, 0]));
        let read = ask(116, &[u32s(&[2]), 0u64.to_le_bytes().to_vec(), u32s(&[100])].concat());
        assert_eq!(&read[4..], b"shared text");
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(P9::new(Path::new("/nonexistent/folder"), "x").is_err());
    }

    #[test]
    fn random_messages() {
        let dir = tempfile::tempdir().unwrap();
        let mut d = Driver::new(Box::new(P9::new(dir.path(), "host").unwrap()), 0);
        let mut rng = Rng::new(9);
        for _ in 0..3000 {
            let kind = [100, 104, 110, 8, 12, 24, 40, 116, 120, 122][rng.below(10) as usize];
            let body: Vec<u8> = (0..rng.below(40)).map(|_| rng.value() as u8).collect();
            d.submit(0, &[&message(kind, &body)], &[256]);
            if d.broken() {
                d = Driver::new(Box::new(P9::new(dir.path(), "host").unwrap()), 0);
            }
        }
    }
}
