//! The DHCP server: one lease, always the same.

use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, Ipv4Address};

use super::{DNS, GATEWAY, GUEST};

/// Where the server listens.
pub const SERVER_PORT: u16 = 67;
/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;
const MASK: Ipv4Address = Ipv4Address::new(255, 255, 255, 0);
const LEASE_SECONDS: u32 = 86_400;

/// The reply to a client's message, if it deserves one.
pub fn answer(request: &[u8]) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(request).ok()?;
    let request = DhcpRepr::parse(&packet).ok()?;
    let message_type = match request.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request => {
            let wanted = request.requested_ip.unwrap_or(request.client_ip);
            if wanted == GUEST { DhcpMessageType::Ack } else { DhcpMessageType::Nak }
        }
        DhcpMessageType::Inform => DhcpMessageType::Ack,
        _ => return None,
    };
    let granted = message_type != DhcpMessageType::Nak;
    let leased = granted && request.message_type != DhcpMessageType::Inform;
    let reply = DhcpRepr {
        message_type,
        transaction_id: request.transaction_id,
        secs: 0,
        client_hardware_address: request.client_hardware_address,
        client_ip: Ipv4Address::UNSPECIFIED,
        your_ip: if leased { GUEST } else { Ipv4Address::UNSPECIFIED },
        server_ip: GATEWAY,
        router: granted.then_some(GATEWAY),
        subnet_mask: granted.then_some(MASK),
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: request.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: granted.then(|| [DNS].into_iter().collect()),
        max_size: None,
        lease_duration: leased.then_some(LEASE_SECONDS),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut bytes = vec![0; reply.buffer_len()];
    reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).ok()?;
    Some(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::Rng;
    use smoltcp::wire::EthernetAddress;

    pub(crate) fn message(message_type: DhcpMessageType, requested_ip: Option<Ipv4Address>) -> Vec<u8> {
        let repr = DhcpRepr {
            message_type,
            transaction_id: 0x1234,
            secs: 0,
            client_hardware_address: EthernetAddress([2, 0, 0, 0, 0, 9]),
            client_ip: Ipv4Address::UNSPECIFIED,
            your_ip: Ipv4Address::UNSPECIFIED,
            server_ip: Ipv4Address::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: false,
            requested_ip,
            client_identifier: None,
            server_identifier: None,
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
        bytes
    }

    fn kind(reply: &[u8]) -> (DhcpMessageType, Ipv4Address) {
        let packet = DhcpPacket::new_checked(reply).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        assert_eq!(repr.transaction_id, 0x1234);
        (repr.message_type, repr.your_ip)
    }

    #[test]
    fn offers_acknowledges_and_refuses() {
        let ask = |kind_, ip| kind(&answer(&message(kind_, ip)).unwrap());
        assert_eq!(ask(DhcpMessageType::Discover, None), (DhcpMessageType::Offer, GUEST));
        assert_eq!(ask(DhcpMessageType::Request, Some(GUEST)), (DhcpMessageType::Ack, GUEST));
        let other = Some(Ipv4Address::new(192, 168, 0, 7));
        assert_eq!(ask(DhcpMessageType::Request, other).0, DhcpMessageType::Nak);
        assert!(answer(&message(DhcpMessageType::Release, None)).is_none());
    }

    #[test]
    fn the_offer_has_a_router_and_a_name_server() {
        let reply = answer(&message(DhcpMessageType::Discover, None)).unwrap();
        let packet = DhcpPacket::new_checked(&reply[..]).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        assert_eq!((repr.router, repr.subnet_mask, repr.lease_duration), (Some(GATEWAY), Some(MASK), Some(86_400)));
        assert_eq!(repr.dns_servers.unwrap()[..], [DNS]);
    }

    #[test]
    fn garbage_gets_no_answer_and_no_panic() {
        let mut rng = Rng::new(3);
        let valid = message(DhcpMessageType::Discover, Some(GUEST));
        for _ in 0..20_000 {
            let mut bytes = valid.clone();
            for _ in 0..rng.below(8) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.next() as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let _ = answer(&bytes);
        }
    }
}
