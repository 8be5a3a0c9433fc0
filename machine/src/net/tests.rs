//! The network seen from a guest: a second smoltcp stack plays the guest's kernel.

use super::*;
use crate::testing::Rng;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{DhcpMessageType, HardwareAddress, IpAddress, IpCidr};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// The guest's network card, plugged into the network.
struct Card(UserNet);

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut UserNet);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.send(&bytes);
        result
    }
}

impl phy::Device for Card {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;
    fn receive(&mut self, _now: Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.0.receive()?), Tx(&mut self.0)))
    }
    fn transmit(&mut self, _now: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.0))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Guest {
    card: Card,
    stack: Interface,
    sockets: SocketSet<'static>,
}

impl Guest {
    fn new(forwards: &[Forward]) -> Guest {
        let mut card = Card(UserNet::new(MAC, forwards).unwrap());
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
        let mut stack = Interface::new(config, &mut card, Instant::ZERO);
        stack.update_ip_addrs(|list| list.push(IpCidr::new(IpAddress::Ipv4(GUEST), 24)).unwrap());
        stack.routes_mut().add_default_ipv4_route(GATEWAY).unwrap();
        Guest { card, stack, sockets: SocketSet::new(Vec::new()) }
    }

    fn socket(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 65_536]);
        self.sockets.add(Socket::new(buffer(), buffer()))
    }

    fn connect(&mut self, to: SocketAddrV4, from: u16) -> SocketHandle {
        let handle = self.socket();
        let socket = self.sockets.get_mut::<Socket>(handle);
        socket.connect(self.stack.context(), (IpAddress::Ipv4(*to.ip()), to.port()), from).unwrap();
        handle
    }

    fn tcp(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Runs until `done` or ten seconds have passed.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Guest) -> bool) {
        let ready = self.card.0.ready();
        let start = std::time::Instant::now();
        while !done(self) {
            assert!(start.elapsed().as_secs() < 10, "waited in vain for {what}");
            let now = Instant::from_millis(ready.now_millis() as i64);
            self.stack.poll(now, &mut self.card, &mut self.sockets);
            ready.set_deadline(Some(ready.now_millis() + 2));
            ready.wait();
        }
    }
}

#[test]
fn a_download_and_an_upload_through_the_gateway() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let data: Vec<u8> = (0..600_000u32).map(|i| (i * 7 / 3) as u8).collect();
    let expected = data.clone();
    let host = std::thread::spawn(move || {
        let (mut peer, _) = server.accept().unwrap();
        let mut request = [0; 5];
        peer.read_exact(&mut request).unwrap();
        peer.write_all(&data).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        (request, rest)
    });
    let mut guest = Guest::new(&[]);
    let handle = guest.connect(SocketAddrV4::new(GATEWAY, port), 40_000);
    guest.until("a connection", |g| g.tcp(handle).may_send());
    guest.tcp(handle).send_slice(b"hello").unwrap();
    let mut got = Vec::new();
    guest.until("the data", |g| {
        let socket = g.tcp(handle);
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
        }
        !socket.may_recv()
    });
    assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
    guest.tcp(handle).send_slice(b" and thanks").unwrap();
    guest.tcp(handle).close();
    guest.until("the end", |_| host.is_finished());
    assert_eq!(host.join().unwrap(), (*b"hello", b" and thanks".to_vec()));
    guest.until("a clean table", |g| g.card.0.tcp_flows() == 0);
}

#[test]
fn a_closed_port_refuses() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut guest = Guest::new(&[]);
    let to_host = guest.connect(SocketAddrV4::new(GATEWAY, port), 40_001);
    let nowhere = guest.connect(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 1), port), 40_002);
    guest.until("two refusals", |g| !g.tcp(to_host).is_open() && !g.tcp(nowhere).is_open());
}

#[test]
fn a_forwarded_port_reaches_the_guest() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let forward = Forward { host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), guest_port: 22 };
    let mut guest = Guest::new(&[forward]);
    assert!(UserNet::new(MAC, &[forward]).is_err(), "the port is taken");
    let handle = guest.socket();
    guest.tcp(handle).listen(22).unwrap();
    let client = std::thread::spawn(move || {
        let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        peer.write_all(b"knock").unwrap();
        let mut answer = [0; 4];
        peer.read_exact(&mut answer).unwrap();
        answer
    });
    let mut got = Vec::new();
    guest.until("a knock", |g| {
        let socket = g.tcp(handle);
        if socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
        }
        got.len() == 5
    });
    guest.tcp(handle).send_slice(b"open").unwrap();
    guest.until("the answer", |_| client.is_finished());
    assert_eq!((got.as_slice(), &client.join().unwrap()), (&b"knock"[..], b"open"));
}

/// Frames that come back for one that was sent.
fn replies(net: &mut UserNet, kind: EthernetProtocol, payload: &[u8]) -> Vec<Vec<u8>> {
    let link = Link { guest: GATEWAY_MAC, gateway: EthernetAddress(MAC) };
    net.send(&link.wrap(kind, payload));
    std::iter::from_fn(|| net.receive()).collect()
}

#[test]
fn arp_dhcp_and_ping() {
    let mut net = UserNet::new(MAC, &[]).unwrap();
    let request = |target| {
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(MAC),
            source_protocol_addr: GUEST,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut ArpPacket::new_unchecked(&mut bytes));
        bytes
    };
    assert_eq!(replies(&mut net, EthernetProtocol::Arp, &request(DNS)).len(), 1);
    assert_eq!(replies(&mut net, EthernetProtocol::Arp, &request(GUEST)).len(), 0);
    let link = Link { guest: GATEWAY_MAC, gateway: EthernetAddress(MAC) };
    let (any, all) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let discover = dhcp::tests::message(DhcpMessageType::Discover, None);
    let datagram = frame::udp(SocketAddrV4::new(any, 68), SocketAddrV4::new(all, 67), &discover);
    let frame = link.ipv4(&Ipv4Header { from: any, to: all, protocol: IpProtocol::Udp }, &datagram);
    net.send(&frame);
    assert!(net.receive().is_some_and(|offer| offer.len() > 280));
    let echo = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: b"hi" };
    let mut bytes = vec![0; echo.buffer_len()];
    echo.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &checksums());
    net.send(&link.ipv4(&Ipv4Header { from: GUEST, to: GATEWAY, protocol: IpProtocol::Icmp }, &bytes));
    let reply = net.receive().unwrap();
    assert_eq!((reply[34], &reply[42..]), (0, &b"hi"[..]));
}

#[test]
fn addresses() {
    let t = Translate { resolver: Some(Ipv4Addr::new(9, 9, 9, 9)) };
    let at = |a, b, c, d, port| SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port);
    assert_eq!(t.outward(at(10, 0, 2, 2, 80)), Some(at(127, 0, 0, 1, 80)));
    assert_eq!(t.outward(at(10, 0, 2, 3, 53)), Some(at(9, 9, 9, 9, 53)));
    assert_eq!(t.outward(at(10, 0, 2, 3, 80)), None);
    assert_eq!(t.outward(at(10, 0, 2, 77, 80)), None);
    assert_eq!(t.outward(at(8, 8, 8, 8, 80)), Some(at(8, 8, 8, 8, 80)));
    assert_eq!(t.inward(at(9, 9, 9, 9, 53)), at(10, 0, 2, 3, 53));
    assert_eq!(t.inward(at(127, 0, 0, 1, 99)), at(10, 0, 2, 2, 99));
    assert_eq!(nameserver("# x\nnameserver ::1\n nameserver 1.2.3.4\n"), Some(Ipv4Addr::new(1, 2, 3, 4)));
}

#[test]
fn hostile_frames() {
    let mut net = UserNet::new(MAC, &[]).unwrap();
    let mut rng = Rng::new(42);
    let link = Link { guest: GATEWAY_MAC, gateway: EthernetAddress(MAC) };
    for _ in 0..100_000 {
        let protocol = [IpProtocol::Tcp, IpProtocol::Udp, IpProtocol::Icmp][rng.below(3) as usize];
        let mut payload: Vec<u8> = (0..rng.below(64)).map(|_| rng.value() as u8).collect();
        if payload.len() > 14 {
            payload[12] = 0x50;
            // Towards closed ports of the gateway.
            payload[2] = 0;
        }
        let mut frame = link.ipv4(&Ipv4Header { from: GUEST, to: GATEWAY, protocol }, &payload);
        for _ in 0..rng.below(3) {
            let at = rng.below(frame.len().min(34) as u64) as usize;
            if !(30..34).contains(&at) {
                frame[at] = rng.next() as u8;
            }
        }
        net.send(&frame);
        while net.receive().is_some() {}
    }
}
