//! The packets by which GDB's users switch to physical addresses, as QEMU has them:
//! `maintenance packet qqemu.PhyMemMode` and `maintenance packet Qqemu.PhyMemMode:1` (or `:0`).
//!
//! `gdbstub` has no place for packets of a target's own, so they are taken out of the stream before it; `vKill`, too.

use std::io;

use gdbstub::conn::Connection;

use super::target::Stub;

/// Looks at whole packets on their way.
#[derive(Default)]
pub(super) struct Filter {
    /// The packet so far, from its dollar sign.
    packet: Vec<u8>,
    /// Packets are not acknowledged any more.
    no_ack: bool,
    answers: Vec<u8>,
}

impl Filter {
    /// What of `bytes` is for `gdbstub`; only whole packets pass.
    pub(super) fn pass(&mut self, bytes: &[u8], stub: &mut Stub) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in bytes {
            if self.packet.is_empty() && byte != b'$' {
                out.push(byte);
                continue;
            }
            self.packet.push(byte);
            // A hash is only where a packet ends, before two digits.
            if self.packet.iter().rev().nth(2) == Some(&b'#') {
                let packet = std::mem::take(&mut self.packet);
                match own(&packet[1..packet.len() - 3], stub) {
                    Some(answer) => self.queue(&answer),
                    None => {
                        self.no_ack |= packet.starts_with(b"$QStartNoAckMode");
                        out.extend(packet);
                    }
                }
            }
        }
        out
    }

    fn queue(&mut self, answer: &str) {
        if !self.no_ack {
            self.answers.push(b'+');
        }
        let sum = answer.bytes().fold(0u8, u8::wrapping_add);
        self.answers.extend(format!("${answer}#{sum:02x}").bytes());
    }

    /// Sends the answers to packets that were ours.
    pub(super) fn answer<C: Connection<Error = io::Error>>(&mut self, wire: &mut C) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        wire.write_all(&std::mem::take(&mut self.answers))?;
        wire.flush()
    }
}

/// The answer to a packet that is ours.
fn own(body: &[u8], stub: &mut Stub) -> Option<String> {
    match body {
        // `gdbstub` knows it in its extended mode only.
        _ if body.starts_with(b"vKill;") => {
            stub.killed = true;
            Some("OK".to_string())
        }
        _ if !stub.is_system() => None,
        b"qqemu.PhyMemMode" => Some(u8::from(stub.physical).to_string()),
        b"Qqemu.PhyMemMode:0" | b"Qqemu.PhyMemMode:1" => {
            stub.physical = body.ends_with(b"1");
            Some("OK".to_string())
        }
        _ => None,
    }
}
