//! UDP to the host's network: each of the guest's ports has a socket of the host.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use super::Translate;
use super::ready::{Event, Ready};

/// Event numbers of UDP sockets: this plus the guest's port.
pub(crate) const EVENT_BASE: u64 = 1 << 32;
/// Most sockets at a time; the one idle longest makes room.
const MOST_SOCKETS: usize = 256;
/// A socket idle for this long is closed.
const IDLE_MILLIS: u64 = 120_000;
/// Largest datagram that fits the link: an MTU of 1500 less the headers.
const MOST_BYTES: usize = 1472;
/// Datagrams taken from a socket at a time.
const BURST: usize = 64;

/// A datagram for the guest.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source, as the guest knows it.
    pub from: SocketAddrV4,
    /// The guest's port.
    pub guest_port: u16,
    /// Payload
    pub bytes: Vec<u8>,
}

struct Port {
    socket: UdpSocket,
    used: u64,
}

/// The table of ports.
pub struct Nat {
    translate: Translate,
    ready: Arc<Ready>,
    ports: HashMap<u16, Port>,
    inbox: VecDeque<Datagram>,
}

impl Nat {
    /// An empty table.
    pub fn new(translate: Translate, ready: Arc<Ready>) -> Self {
        Nat { translate, ready, ports: HashMap::new(), inbox: VecDeque::new() }
    }

    /// Sends a guest's datagram on; what cannot be sent is lost.
    pub fn from_guest(&mut self, port: u16, to: SocketAddrV4, bytes: &[u8]) {
        let Some(to) = self.translate.outward(to) else { return };
        let now = self.ready.now_millis();
        if !self.ports.contains_key(&port) {
            self.make_room(now);
            let Ok(socket) = self.open(port) else { return };
            self.ports.insert(port, Port { socket, used: now });
        }
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.used = now;
            let _ = entry.socket.send_to(bytes, to);
        }
    }

    /// Takes in what arrived.
    pub fn poll(&mut self, events: &[Event]) {
        for event in events.iter().filter(|event| event.readable) {
            let port = event.id.checked_sub(EVENT_BASE).and_then(|port| u16::try_from(port).ok());
            if let Some(port) = port {
                self.receive(port);
            }
        }
    }

    /// The next datagram for the guest.
    pub fn next_datagram(&mut self) -> Option<Datagram> {
        self.inbox.pop_front()
    }

    fn receive(&mut self, port: u16) {
        let Some(entry) = self.ports.get_mut(&port) else { return };
        entry.used = self.ready.now_millis();
        let mut buffer = [0; 0x1_0000];
        // Edge-triggered, so until it would block; what the guest has no room for is lost.
        while let Ok((len, from)) = entry.socket.recv_from(&mut buffer) {
            let SocketAddr::V4(from) = from else { continue };
            if len <= MOST_BYTES && self.inbox.len() < BURST {
                let from = self.translate.inward(from);
                self.inbox.push_back(Datagram { from, guest_port: port, bytes: buffer[..len].to_vec() });
            }
        }
    }

    fn open(&self, port: u16) -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_nonblocking(true)?;
        self.ready.watch(&socket, EVENT_BASE + u64::from(port))?;
        Ok(socket)
    }

    fn make_room(&mut self, now: u64) {
        self.ports.retain(|_, port| now.saturating_sub(port.used) < IDLE_MILLIS);
        if self.ports.len() >= MOST_SOCKETS {
            let oldest = self.ports.iter().min_by_key(|(_, port)| port.used).map(|(number, _)| *number);
            if let Some(oldest) = oldest {
                self.ports.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn nat() -> Nat {
        Nat::new(Translate { resolver: None }, Arc::new(Ready::new().unwrap()))
    }

    fn wait(nat: &mut Nat) -> Datagram {
        for _ in 0..50 {
            let events = nat.ready.take();
            nat.poll(&events);
            if let Some(datagram) = nat.next_datagram() {
                return datagram;
            }
            nat.ready.wait();
        }
        panic!("no datagram");
    }

    #[test]
    fn there_and_back_through_the_gateway() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let mut nat = nat();
        let gateway = SocketAddrV4::new(super::super::GATEWAY, port);
        nat.from_guest(4000, gateway, b"ping");
        let mut buffer = [0; 10];
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"ping");
        server.send_to(b"pong", from).unwrap();
        assert_eq!(wait(&mut nat), Datagram { from: gateway, guest_port: 4000, bytes: b"pong".to_vec() });
    }

    #[test]
    fn sockets_are_bounded() {
        let mut nat = nat();
        let nowhere = SocketAddrV4::new(super::super::GATEWAY, 9);
        for port in 1..=(MOST_SOCKETS as u16 + 10) {
            nat.from_guest(port, nowhere, b"x");
        }
        assert_eq!(nat.ports.len(), MOST_SOCKETS);
        nat.from_guest(9999, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9), b"x");
        assert!(!nat.ports.contains_key(&9999), "the guest's own loopback is not ours");
    }
}
