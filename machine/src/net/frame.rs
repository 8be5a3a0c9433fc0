//! Building frames and packets.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::phy::{Checksum, ChecksumCapabilities};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

/// Checksums are computed towards the guest. From the guest they are not checked: the link loses
/// nothing, and the guest need not compute them.
pub(crate) fn checksums() -> ChecksumCapabilities {
    let mut checksums = ChecksumCapabilities::ignored();
    checksums.ipv4 = Checksum::Tx;
    checksums.udp = Checksum::Tx;
    checksums.tcp = Checksum::Tx;
    checksums.icmpv4 = Checksum::Tx;
    checksums
}

/// Both ends of the wire.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The guest's address.
    pub guest: EthernetAddress,
    /// Ours.
    pub gateway: EthernetAddress,
}

/// What a packet's header says.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Header {
    /// Source
    pub from: Ipv4Addr,
    /// Destination
    pub to: Ipv4Addr,
    /// What the payload is
    pub protocol: IpProtocol,
}

impl Link {
    /// A frame to the guest.
    pub fn wrap(&self, kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; EthernetFrame::<&[u8]>::buffer_len(payload.len())];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        frame.set_src_addr(self.gateway);
        frame.set_dst_addr(self.guest);
        frame.set_ethertype(kind);
        frame.payload_mut().copy_from_slice(payload);
        bytes
    }

    /// A frame with an IPv4 packet to the guest.
    pub fn ipv4(&self, header: &Ipv4Header, payload: &[u8]) -> Vec<u8> {
        let repr = Ipv4Repr {
            src_addr: header.from,
            dst_addr: header.to,
            next_header: header.protocol,
            payload_len: payload.len(),
            hop_limit: 64,
        };
        let mut bytes = vec![0; repr.buffer_len() + payload.len()];
        repr.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &checksums());
        bytes[repr.buffer_len()..].copy_from_slice(payload);
        self.wrap(EthernetProtocol::Ipv4, &bytes)
    }
}

/// A UDP datagram, without the IP header.
pub fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let mut bytes = vec![0; repr.header_len() + payload.len()];
    let (source, target) = (IpAddress::Ipv4(*from.ip()), IpAddress::Ipv4(*to.ip()));
    let fill = |buffer: &mut [u8]| buffer.copy_from_slice(payload);
    repr.emit(&mut UdpPacket::new_unchecked(&mut bytes[..]), &source, &target, payload.len(), fill, &checksums());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_in_a_packet_in_a_frame() {
        let link = Link { guest: EthernetAddress([1; 6]), gateway: EthernetAddress([2; 6]) };
        let (from, to) = (SocketAddrV4::new([10, 0, 2, 2].into(), 53), SocketAddrV4::new([10, 0, 2, 15].into(), 9));
        let header = Ipv4Header { from: *from.ip(), to: *to.ip(), protocol: IpProtocol::Udp };
        let bytes = link.ipv4(&header, &udp(from, to, b"answer"));
        let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
        assert_eq!((frame.dst_addr(), frame.ethertype()), (link.guest, EthernetProtocol::Ipv4));
        let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
        assert!(packet.verify_checksum());
        let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
        assert!(datagram.verify_checksum(&IpAddress::Ipv4(*from.ip()), &IpAddress::Ipv4(*to.ip())));
        assert_eq!((datagram.src_port(), datagram.dst_port(), datagram.payload()), (53, 9, &b"answer"[..]));
    }
}
