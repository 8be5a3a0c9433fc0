//! TCP to the host's network: the guest's connections end in smoltcp, and a socket of the host goes
//! on from there, so that neither side's loss or window reaches the other.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Packet, TcpPacket};

use super::frame::checksums;
use super::ready::{Event, Ready};
use super::{Forward, GATEWAY, GUEST, Translate};

/// Event numbers of listening sockets: this plus the forward's index.
const LISTENER_BASE: u64 = 2 << 32;
const MTU: usize = 1500;
/// Buffer of each direction of a connection.
const BUFFER: usize = 0x2_0000;
/// Most connections at a time; further attempts get no answer.
const MOST_FLOWS: usize = 256;
/// Packets kept for the guest before the stack has to wait.
const MOST_PACKETS: usize = 256;
/// How long the guest may take to accept a forwarded connection.
const ACCEPT_TIMEOUT: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(10);
const FIRST_EPHEMERAL: u16 = 49_152;

/// Packets between the stack and the guest.
#[derive(Default)]
struct Packets {
    to_stack: VecDeque<Vec<u8>>,
    to_guest: VecDeque<Vec<u8>>,
}

struct RxToken(Vec<u8>);
struct TxToken<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push_back(bytes);
        result
    }
}

impl phy::Device for Packets {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken, TxToken<'_>)> {
        if self.to_guest.len() >= MOST_PACKETS {
            return None;
        }
        Some((RxToken(self.to_stack.pop_front()?), TxToken(&mut self.to_guest)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        (self.to_guest.len() < MOST_PACKETS).then_some(TxToken(&mut self.to_guest))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities.checksum = checksums();
        capabilities
    }
}

/// Which connection a segment belongs to: the guest's port, and the address it talks to.
type Key = (u16, SocketAddrV4);

/// A connection.
struct Flow {
    key: Key,
    host: TcpStream,
    /// `None` while the host is still connecting.
    guest: Option<SocketHandle>,
    /// The guest's first segment, answered once the host is connected.
    syn: Vec<u8>,
    readable: bool,
    writable: bool,
    /// The host sent its end.
    host_ended: bool,
    /// The guest's end was passed on.
    guest_ended: bool,
}

/// Every connection.
pub struct Nat {
    translate: Translate,
    ready: Arc<Ready>,
    stack: Interface,
    sockets: SocketSet<'static>,
    packets: Packets,
    listeners: Vec<(TcpListener, u16)>,
    flows: HashMap<u64, Flow>,
    by_key: HashMap<Key, u64>,
    next_id: u64,
    next_port: u16,
    buffer: Vec<u8>,
}

impl Nat {
    /// Listens on every forwarded port.
    pub fn new(translate: Translate, ready: Arc<Ready>, forwards: &[Forward]) -> io::Result<Self> {
        let mut packets = Packets::default();
        let mut stack = Interface::new(Config::new(HardwareAddress::Ip), &mut packets, Instant::ZERO);
        // It answers for the whole world: every address is reached through itself.
        stack.set_any_ip(true);
        stack.update_ip_addrs(|addresses| {
            // The list is empty and has room for one.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(GATEWAY), 24));
        });
        stack.routes_mut().add_default_ipv4_route(GATEWAY).map_err(|_| io::Error::other("no room for a route"))?;
        let mut listeners = Vec::new();
        for (forward, id) in forwards.iter().zip(LISTENER_BASE..) {
            let listener = TcpListener::bind(forward.host)
                .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {}: {e}", forward.host)))?;
            listener.set_nonblocking(true)?;
            ready.watch(&listener, id)?;
            listeners.push((listener, forward.guest_port));
        }
        Ok(Nat {
            translate,
            ready,
            stack,
            sockets: SocketSet::new(Vec::new()),
            packets,
            listeners,
            flows: HashMap::new(),
            by_key: HashMap::new(),
            next_id: 0,
            next_port: FIRST_EPHEMERAL,
            buffer: vec![0; 0x1_0000],
        })
    }

    /// A segment from the guest, with its IP header.
    pub fn from_guest(&mut self, packet: &[u8]) {
        let Some((key, first)) = classify(packet) else { return };
        let known = self.by_key.get(&key).and_then(|id| self.flows.get(id));
        match known {
            // Still connecting: the guest will try again, or be answered then.
            Some(flow) if flow.guest.is_none() => return,
            None if first => {
                self.open(key, packet);
                return;
            }
            // Segments of connections long gone get the stack's reset.
            _ => {}
        }
        if self.packets.to_stack.len() < MOST_PACKETS {
            self.packets.to_stack.push_back(packet.to_vec());
        }
    }

    /// Lets everything move on.
    pub fn poll(&mut self, events: &[Event]) {
        for event in events {
            if let Some(flow) = self.flows.get_mut(&event.id) {
                flow.readable |= event.readable;
                flow.writable |= event.writable;
            } else if let Some(index) = event.id.checked_sub(LISTENER_BASE) {
                self.accept(index as usize);
            }
        }
        self.establish();
        self.run_stack();
        let ids: Vec<u64> = self.flows.keys().copied().collect();
        for id in ids {
            self.exchange(id);
        }
        self.run_stack();
    }

    /// The next packet for the guest.
    pub fn next_packet(&mut self) -> Option<Vec<u8>> {
        self.packets.to_guest.pop_front()
    }

    /// When the stack has something to do by itself (a retransmission), in the time of [`Ready`].
    pub fn deadline(&mut self) -> Option<u64> {
        let now = self.now();
        let at = self.stack.poll_at(now, &self.sockets)?;
        // Work it could not do for want of room continues when the guest takes packets.
        Some((at.total_millis().max(0) as u64).max(now.total_millis() as u64 + 1))
    }

    /// Number of connections.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.ready.now_millis() as i64)
    }

    fn run_stack(&mut self) {
        let now = self.now();
        self.stack.poll(now, &mut self.packets, &mut self.sockets);
    }

    fn new_id(&mut self) -> u64 {
        self.next_id = (self.next_id + 1) % super::udp::EVENT_BASE;
        self.next_id
    }

    /// The guest wants a connection: connect on the host first.
    fn open(&mut self, key: Key, syn: &[u8]) {
        if self.flows.len() >= MOST_FLOWS {
            return;
        }
        let id = self.new_id();
        let connected = self.translate.outward(key.1).ok_or(ErrorKind::NetworkUnreachable.into()).and_then(dial);
        match connected.and_then(|host| self.ready.watch(&host, id).map(|()| host)) {
            Ok(host) => self.insert(id, key, host, None, syn.to_vec()),
            // Nobody listens for it in the stack, which will refuse it.
            Err(_) => self.packets.to_stack.push_back(syn.to_vec()),
        }
    }

    fn insert(&mut self, id: u64, key: Key, host: TcpStream, guest: Option<SocketHandle>, syn: Vec<u8>) {
        let flow =
            Flow { key, host, guest, syn, readable: false, writable: false, host_ended: false, guest_ended: false };
        self.by_key.insert(key, id);
        self.flows.insert(id, flow);
    }

    /// Attempts of the host that ended: answer the guest's SYN, by a connection or a refusal.
    fn establish(&mut self) {
        let done: Vec<u64> =
            self.flows.iter().filter(|(_, flow)| flow.guest.is_none() && flow.writable).map(|(id, _)| *id).collect();
        for id in done {
            let Some(flow) = self.flows.get_mut(&id) else { continue };
            let syn = std::mem::take(&mut flow.syn);
            let connected = matches!(flow.host.take_error(), Ok(None)) && flow.host.peer_addr().is_ok();
            let mut socket = new_socket();
            if connected && socket.listen((*flow.key.1.ip(), flow.key.1.port())).is_ok() {
                let _ = flow.host.set_nodelay(true);
                flow.guest = Some(self.sockets.add(socket));
            } else {
                self.remove(id);
            }
            self.packets.to_stack.push_back(syn);
            // At once, so that this SYN meets this socket.
            self.run_stack();
        }
    }

    /// Connections from outside into the guest.
    fn accept(&mut self, index: usize) {
        while let Some((listener, guest_port)) = self.listeners.get(index) {
            let guest_port = *guest_port;
            let Ok((host, _)) = listener.accept() else { return };
            if self.flows.len() >= MOST_FLOWS {
                continue;
            }
            let id = self.new_id();
            let Some(key) = self.free_key(guest_port) else { continue };
            if host.set_nonblocking(true).and_then(|()| self.ready.watch(&host, id)).is_err() {
                continue;
            }
            let _ = host.set_nodelay(true);
            let mut socket = new_socket();
            socket.set_timeout(Some(ACCEPT_TIMEOUT));
            let local = (IpAddress::Ipv4(*key.1.ip()), key.1.port());
            if socket.connect(self.stack.context(), (IpAddress::Ipv4(GUEST), guest_port), local).is_ok() {
                let guest = self.sockets.add(socket);
                self.insert(id, key, host, Some(guest), Vec::new());
            }
        }
    }

    /// A key with an unused port of the gateway.
    fn free_key(&mut self, guest_port: u16) -> Option<Key> {
        for _ in 0..=MOST_FLOWS {
            let key = (guest_port, SocketAddrV4::new(GATEWAY, self.next_port));
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
            if !self.by_key.contains_key(&key) {
                return Some(key);
            }
        }
        None
    }

    /// Moves data both ways and passes ends on.
    fn exchange(&mut self, id: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let Some(handle) = flow.guest else { return };
        let socket = self.sockets.get_mut::<Socket>(handle);
        if socket.state() == State::Established {
            socket.set_timeout(None);
        }
        let fine = to_guest(flow, socket, &mut self.buffer).and_then(|()| to_host(flow, socket));
        if fine.is_err() {
            socket.abort();
            self.run_stack();
            self.remove(id);
        } else if matches!(socket.state(), State::Closed | State::TimeWait) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(flow) = self.flows.remove(&id) {
            self.by_key.remove(&flow.key);
            if let Some(handle) = flow.guest {
                self.sockets.remove(handle);
            }
        }
    }
}

/// Host to guest, as far as the guest's window and our buffer allow.
fn to_guest(flow: &mut Flow, socket: &mut Socket<'_>, buffer: &mut [u8]) -> io::Result<()> {
    while flow.readable && socket.can_send() {
        let room = (socket.send_capacity() - socket.send_queue()).min(buffer.len());
        match flow.host.read(&mut buffer[..room]) {
            Ok(0) if room > 0 => {
                flow.host_ended = true;
                flow.readable = false;
            }
            Ok(0) => break,
            Ok(count) => {
                socket.send_slice(&buffer[..count]).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => flow.readable = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    if flow.host_ended {
        socket.close();
    }
    Ok(())
}

/// Guest to host, as far as the host takes it.
fn to_host(flow: &mut Flow, socket: &mut Socket<'_>) -> io::Result<()> {
    while flow.writable && socket.can_recv() {
        let host = &mut flow.host;
        let written = socket.recv(|bytes| match host.write(bytes) {
            Ok(count) => (count, Ok(count)),
            Err(e) => (0, Err(e)),
        });
        match written.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))? {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => flow.writable = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let ended = matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
    if ended && !socket.can_recv() && !flow.guest_ended {
        flow.guest_ended = true;
        // The host may have closed already.
        let _ = flow.host.shutdown(Shutdown::Write);
    }
    Ok(())
}

fn new_socket() -> Socket<'static> {
    let mut socket = Socket::new(SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket
}

/// Starts to connect.
fn dial(to: SocketAddrV4) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(e) => Err(e.into()),
    }
}

/// The connection a packet belongs to, and whether it asks for a new one.
fn classify(packet: &[u8]) -> Option<(Key, bool)> {
    let packet = Ipv4Packet::new_checked(packet).ok()?;
    let to: Ipv4Addr = packet.dst_addr();
    let segment = TcpPacket::new_checked(packet.payload()).ok()?;
    let key = (segment.src_port(), SocketAddrV4::new(to, segment.dst_port()));
    let ports = key.0 != 0 && key.1.port() != 0;
    ports.then(|| (key, segment.syn() && !segment.ack() && !segment.rst()))
}
