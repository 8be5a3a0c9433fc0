//! A network in user mode: guests reach the host and whatever the host reaches, without root.
//!
//! | address | who |
//! |---|---|
//! | 10.0.2.2 | gateway and DHCP server; connections to it go to the host's loopback |
//! | 10.0.2.3 | DNS, forwarded to the host's name server |
//! | 10.0.2.15 | the guest |
//!
//! Ethernet, ARP, DHCP, ICMP echo and UDP are handled packet by packet with smoltcp's wire formats
//! ([`frame`], [`dhcp`], [`udp`]); TCP connections end in smoltcp's stack and continue on sockets of
//! the host ([`tcp`]). IPv4 only. Nothing a guest sends is trusted.

pub mod dhcp;
pub mod frame;
pub mod ready;
pub mod tcp;
pub mod udp;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr,
    IpProtocol, Ipv4Packet, UdpPacket,
};

use crate::devices::virtio::net::Wire;
use frame::{Ipv4Header, Link, checksums};
use ready::Ready;

/// Address of the gateway, which stands for the host.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Address of the name server.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Address leased to the guest.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Ethernet address of everything that is not the guest.
const GATEWAY_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 0x0a, 0x00, 0x02, 0x02]);
/// Frames kept for a guest that does not take them.
const MOST_QUEUED: usize = 1024;
const DNS_PORT: u16 = 53;

/// A TCP port of the host that leads into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where the host listens.
    pub host: SocketAddrV4,
    /// The guest's port.
    pub guest_port: u16,
}

/// The network; one guest is attached to it.
pub struct UserNet {
    link: Link,
    out: VecDeque<Vec<u8>>,
    tcp: tcp::Nat,
    udp: udp::Nat,
    ready: Arc<Ready>,
}

impl UserNet {
    /// A network for the guest with this Ethernet address. Fails if a forwarded port is taken.
    pub fn new(guest: [u8; 6], forwards: &[Forward]) -> io::Result<Self> {
        let ready = Arc::new(Ready::new()?);
        let resolver = std::fs::read_to_string("/etc/resolv.conf").ok().and_then(|text| nameserver(&text));
        let translate = Translate { resolver };
        Ok(UserNet {
            link: Link { guest: EthernetAddress(guest), gateway: GATEWAY_MAC },
            out: VecDeque::new(),
            tcp: tcp::Nat::new(translate, ready.clone(), forwards)?,
            udp: udp::Nat::new(translate, ready.clone()),
            ready,
        })
    }

    /// Tells when the host side has news; then have the device's receive queue serviced.
    pub fn ready(&self) -> Arc<Ready> {
        self.ready.clone()
    }

    /// Number of TCP connections.
    pub fn tcp_flows(&self) -> usize {
        self.tcp.flows()
    }

    fn queue(&mut self, frame: Vec<u8>) {
        if self.out.len() < MOST_QUEUED {
            self.out.push_back(frame);
        }
    }

    fn queue_ip(&mut self, header: &Ipv4Header, payload: &[u8]) {
        self.queue(self.link.ipv4(header, payload));
    }

    /// Moves data between host sockets and guest.
    fn poll(&mut self) {
        let events = self.ready.take();
        self.tcp.poll(&events);
        self.udp.poll(&events);
        while self.out.len() < MOST_QUEUED {
            let Some(packet) = self.tcp.next_packet() else { break };
            self.queue(self.link.wrap(EthernetProtocol::Ipv4, &packet));
        }
        while self.out.len() < MOST_QUEUED {
            let Some(datagram) = self.udp.next_datagram() else { break };
            let payload = frame::udp(datagram.from, SocketAddrV4::new(GUEST, datagram.guest_port), &datagram.bytes);
            let header = Ipv4Header { from: *datagram.from.ip(), to: GUEST, protocol: IpProtocol::Udp };
            self.queue_ip(&header, &payload);
        }
        self.ready.set_deadline(self.tcp.deadline());
    }

    /// Answers for every address of the network but the guest's own.
    fn arp(&mut self, payload: &[u8]) -> Option<()> {
        let packet = ArpPacket::new_checked(payload).ok()?;
        let ArpRepr::EthernetIpv4 {
            operation, source_hardware_addr, source_protocol_addr, target_protocol_addr, ..
        } = ArpRepr::parse(&packet).ok()?
        else {
            return None;
        };
        let ours = target_protocol_addr == GATEWAY || target_protocol_addr == DNS;
        if operation != ArpOperation::Request || !ours {
            return None;
        }
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: GATEWAY_MAC,
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut ArpPacket::new_unchecked(&mut bytes));
        self.queue(self.link.wrap(EthernetProtocol::Arp, &bytes));
        Some(())
    }

    fn ipv4(&mut self, bytes: &[u8]) -> Option<()> {
        let packet = Ipv4Packet::new_checked(bytes).ok()?;
        // Reassembly is not worth having: nothing sends fragments on this link.
        if packet.version() != 4 || packet.more_frags() || packet.frag_offset() != 0 {
            return None;
        }
        let (from, to) = (packet.src_addr(), packet.dst_addr());
        match packet.next_header() {
            IpProtocol::Icmp => self.icmp(from, to, packet.payload()),
            IpProtocol::Udp => self.datagram(from, to, packet.payload()),
            IpProtocol::Tcp if from == GUEST => {
                self.tcp.from_guest(&bytes[..usize::from(packet.total_len())]);
                Some(())
            }
            _ => None,
        }
    }

    /// Echoes for the addresses that are ours.
    fn icmp(&mut self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Option<()> {
        let packet = Icmpv4Packet::new_checked(payload).ok()?;
        let Icmpv4Repr::EchoRequest { ident, seq_no, data } = Icmpv4Repr::parse(&packet, &checksums()).ok()? else {
            return None;
        };
        if to != GATEWAY && to != DNS {
            return None;
        }
        let reply = Icmpv4Repr::EchoReply { ident, seq_no, data };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &checksums());
        self.queue_ip(&Ipv4Header { from: to, to: from, protocol: IpProtocol::Icmp }, &bytes);
        Some(())
    }

    fn datagram(&mut self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Option<()> {
        let packet = UdpPacket::new_checked(payload).ok()?;
        if packet.dst_port() == dhcp::SERVER_PORT && (to == GATEWAY || to.is_broadcast()) {
            let reply = dhcp::answer(packet.payload())?;
            let server = SocketAddrV4::new(GATEWAY, dhcp::SERVER_PORT);
            let client = SocketAddrV4::new(Ipv4Addr::BROADCAST, dhcp::CLIENT_PORT);
            let header = Ipv4Header { from: GATEWAY, to: Ipv4Addr::BROADCAST, protocol: IpProtocol::Udp };
            self.queue_ip(&header, &frame::udp(server, client, &reply));
        } else if from == GUEST {
            self.udp.from_guest(packet.src_port(), SocketAddrV4::new(to, packet.dst_port()), packet.payload());
        }
        Some(())
    }
}

impl Wire for UserNet {
    fn send(&mut self, frame: &[u8]) {
        let Ok(frame) = EthernetFrame::new_checked(frame) else { return };
        // What cannot be understood is dropped.
        let _ = match frame.ethertype() {
            EthernetProtocol::Arp => self.arp(frame.payload()),
            EthernetProtocol::Ipv4 => self.ipv4(frame.payload()),
            _ => None,
        };
        self.ready.news();
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        if self.out.is_empty() {
            self.poll();
        }
        self.out.pop_front()
    }
}

/// Where the guest's addresses lead on the host.
#[derive(Clone, Copy, Debug)]
pub struct Translate {
    /// The host's name server.
    pub resolver: Option<Ipv4Addr>,
}

impl Translate {
    /// The host's address for one the guest uses; `None` leads nowhere.
    pub fn outward(&self, to: SocketAddrV4) -> Option<SocketAddrV4> {
        let ip = *to.ip();
        match ip {
            GATEWAY => Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port())),
            DNS if to.port() == DNS_PORT => Some(SocketAddrV4::new(self.resolver?, to.port())),
            // The host's own loopback is reached through the gateway only.
            _ if ip.is_loopback() || ip.is_broadcast() || ip.is_multicast() || ip.is_unspecified() => None,
            _ if ip.octets()[..3] == GATEWAY.octets()[..3] => None,
            _ => Some(to),
        }
    }

    /// The guest's address for one of the host.
    pub fn inward(&self, from: SocketAddrV4) -> SocketAddrV4 {
        match from.ip() {
            ip if from.port() == DNS_PORT && self.resolver == Some(*ip) => SocketAddrV4::new(DNS, DNS_PORT),
            ip if ip.is_loopback() => SocketAddrV4::new(GATEWAY, from.port()),
            _ => from,
        }
    }
}

/// The first IPv4 name server of a resolv.conf.
fn nameserver(text: &str) -> Option<Ipv4Addr> {
    text.lines().find_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
