//! PL011 UART (DDI 0183): the machine's serial console.
//!
//! Transmission is instantaneous, so the transmit FIFO is always empty. Received bytes are pulled
//! from an [`InputQueue`] as the FIFO has room; none is ever dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::device::{Device, Size, merge, narrow, primecell_id, registers};
use crate::host::Output;
use crate::host::input::InputQueue;
use crate::irq::IrqLine;

registers! {
    /// DDI 0183, table 3-1.
    enum Reg {
        /// Data
        Dr = 0x00,
        /// Receive status, error clear
        Rsr = 0x04,
        /// Flags
        Fr = 0x18,
        /// IrDA low-power counter
        Ilpr = 0x20,
        /// Integer baud rate
        Ibrd = 0x24,
        /// Fractional baud rate
        Fbrd = 0x28,
        /// Line control
        Lcrh = 0x2c,
        /// Control
        Cr = 0x30,
        /// FIFO level select
        Ifls = 0x34,
        /// Interrupt mask
        Imsc = 0x38,
        /// Raw interrupt status
        Ris = 0x3c,
        /// Masked interrupt status
        Mis = 0x40,
        /// Interrupt clear
        Icr = 0x44,
        /// DMA control
        Dmacr = 0x48,
    }
}

const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RT: u32 = 1 << 6;
const INT_BE: u32 = 1 << 9;
const INT_OE: u32 = 1 << 10;
const INT_ALL: u32 = 0x7ff;
const FR_RXFE: u32 = 1 << 4;
const FR_RXFF: u32 = 1 << 6;
const FR_TXFE: u32 = 1 << 7;
/// Clear to send, data set ready, data carrier detect: someone is at the other end.
const FR_MODEM: u32 = 0x7;
const LCRH_FEN: u32 = 1 << 4;
const CR_LBE: u32 = 1 << 7;
const DR_BREAK: u16 = 1 << 10;
const DR_OVERRUN: u16 = 1 << 11;
const DEPTH: usize = 16;
const PERIPHERAL_ID: u32 = 0x0014_1011;
/// Reads of the flags in a row, seeing no data, that make a guest one that polls for input.
const POLLS: u8 = 32;

/// The UART.
pub struct Pl011 {
    irq: IrqLine,
    output: Box<dyn Output>,
    input: Arc<InputQueue>,
    rx: VecDeque<u16>,
    errors: u32,
    ilpr: u32,
    ibrd: u32,
    fbrd: u32,
    lcrh: u32,
    cr: u32,
    ifls: u32,
    mask: u32,
    raw: u32,
    dmacr: u32,
    idle_polls: u8,
}

impl Pl011 {
    /// A UART that sends to `output` and receives from `input`.
    pub fn new(irq: IrqLine, output: Box<dyn Output>, input: Arc<InputQueue>) -> Self {
        let mut uart = Pl011 {
            irq,
            output,
            input,
            rx: VecDeque::with_capacity(DEPTH),
            errors: 0,
            ilpr: 0,
            ibrd: 0,
            fbrd: 0,
            lcrh: 0,
            cr: 0,
            ifls: 0,
            mask: 0,
            raw: 0,
            dmacr: 0,
            idle_polls: 0,
        };
        uart.reset();
        uart
    }

    /// The input queue has something new: take what the FIFO has room for.
    pub fn poll_input(&mut self) {
        self.refill();
        self.update_irq();
    }

    /// Writes to the output what did not come through the UART.
    pub fn write_past(&mut self, bytes: &[u8]) {
        self.output.write(bytes);
    }

    /// A break condition on the line (magic SysRq).
    pub fn receive_break(&mut self) {
        self.raw |= INT_BE;
        self.receive(DR_BREAK);
        self.update_irq();
    }

    fn depth(&self) -> usize {
        if self.lcrh & LCRH_FEN != 0 { DEPTH } else { 1 }
    }

    /// How many bytes in the receive FIFO raise the receive interrupt.
    fn trigger(&self) -> usize {
        match ((self.ifls >> 3) & 7, self.depth()) {
            (_, 1) => 1,
            (0, n) => n / 8,
            (1, n) => n / 4,
            (3, n) => n * 3 / 4,
            (4, n) => n * 7 / 8,
            (_, n) => n / 2,
        }
    }

    /// True if the guest wants input: it takes receive interrupts, or it polls. While a kernel is
    /// starting neither holds, and what it would read then to clean up the FIFO would be lost.
    fn listening(&self) -> bool {
        self.mask & (INT_RX | INT_RT) != 0 || self.idle_polls >= POLLS
    }

    fn refill(&mut self) {
        let room = self.depth().saturating_sub(self.rx.len());
        if room == 0 || !self.listening() {
            return;
        }
        for byte in self.input.pop(room) {
            self.receive(u16::from(byte));
        }
    }

    fn receive(&mut self, data: u16) {
        if self.rx.len() >= self.depth() {
            self.raw |= INT_OE;
            self.errors |= 1 << 3;
            if let Some(last) = self.rx.back_mut() {
                *last |= DR_OVERRUN;
            }
            return;
        }
        self.rx.push_back(data);
        if self.rx.len() >= self.trigger() {
            self.raw |= INT_RX;
        }
        // Whatever came, came at once: the line has been idle since, so the timeout has passed.
        self.raw |= INT_RT;
    }

    fn read_data(&mut self) -> u32 {
        let data = self.rx.pop_front().unwrap_or(0);
        self.errors = u32::from(data >> 8) & 0xf;
        if self.rx.len() < self.trigger() {
            self.raw &= !INT_RX;
        }
        if self.rx.is_empty() {
            self.raw &= !INT_RT;
        } else {
            self.raw |= INT_RT;
        }
        self.refill();
        u32::from(data)
    }

    fn write_data(&mut self, byte: u8) {
        self.idle_polls = 0;
        if self.cr & CR_LBE != 0 {
            self.receive(u16::from(byte));
        } else {
            self.output.write(&[byte]);
        }
        self.raw |= INT_TX;
    }

    fn flags(&mut self) -> u32 {
        let mut flags = FR_TXFE | FR_MODEM;
        if self.rx.is_empty() {
            flags |= FR_RXFE;
            self.idle_polls = self.idle_polls.saturating_add(1);
            self.refill();
        }
        if self.rx.len() >= self.depth() {
            flags |= FR_RXFF;
        }
        flags
    }

    /// The line is a function of state, recomputed after each change.
    fn update_irq(&self) {
        self.irq.set(self.raw & self.mask != 0);
    }

    fn read_register(&mut self, reg: Reg) -> u32 {
        match reg {
            Reg::Dr => self.read_data(),
            Reg::Rsr => self.errors,
            Reg::Fr => self.flags(),
            Reg::Ilpr => self.ilpr,
            Reg::Ibrd => self.ibrd,
            Reg::Fbrd => self.fbrd,
            Reg::Lcrh => self.lcrh,
            Reg::Cr => self.cr,
            Reg::Ifls => self.ifls,
            Reg::Imsc => self.mask,
            Reg::Ris => self.raw,
            Reg::Mis => self.raw & self.mask,
            Reg::Icr => 0,
            Reg::Dmacr => self.dmacr,
        }
    }

    /// The value a narrow write leaves the other bytes of; free of side effects.
    fn stored(&self, reg: Reg) -> u32 {
        match reg {
            Reg::Ilpr => self.ilpr,
            Reg::Ibrd => self.ibrd,
            Reg::Fbrd => self.fbrd,
            Reg::Lcrh => self.lcrh,
            Reg::Cr => self.cr,
            Reg::Ifls => self.ifls,
            Reg::Imsc => self.mask,
            Reg::Dmacr => self.dmacr,
            Reg::Dr | Reg::Rsr | Reg::Fr | Reg::Ris | Reg::Mis | Reg::Icr => 0,
        }
    }

    fn write_register(&mut self, reg: Reg, value: u32) {
        match reg {
            Reg::Dr => self.write_data(value as u8),
            Reg::Rsr => self.errors = 0,
            Reg::Ilpr => self.ilpr = value & 0xff,
            Reg::Ibrd => self.ibrd = value & 0xffff,
            Reg::Fbrd => self.fbrd = value & 0x3f,
            Reg::Lcrh => self.set_line_control(value & 0xff),
            Reg::Cr => self.cr = value & 0xffff,
            Reg::Ifls => self.ifls = value & 0x3f,
            Reg::Imsc => {
                self.mask = value & INT_ALL;
                self.refill();
            }
            Reg::Icr => self.raw &= !value,
            Reg::Dmacr => self.dmacr = value & 7,
            Reg::Fr | Reg::Ris | Reg::Mis => {}
        }
    }

    /// Turning the FIFOs on or off empties them.
    fn set_line_control(&mut self, value: u32) {
        if (self.lcrh ^ value) & LCRH_FEN != 0 {
            self.rx.clear();
            self.raw &= !(INT_RX | INT_RT);
        }
        self.lcrh = value;
        self.refill();
    }
}

impl Device for Pl011 {
    fn read(&mut self, offset: u64, size: Size) -> u64 {
        let word = match Reg::at(offset) {
            Some(reg) => self.read_register(reg),
            None => primecell_id(offset, PERIPHERAL_ID).unwrap_or(0),
        };
        self.update_irq();
        narrow(word, offset, size)
    }

    fn write(&mut self, offset: u64, size: Size, value: u64) {
        if let Some(reg) = Reg::at(offset) {
            let word = merge(self.stored(reg), offset, size, value);
            self.write_register(reg, word);
            self.update_irq();
        }
    }

    fn reset(&mut self) {
        self.rx.clear();
        (self.errors, self.ilpr, self.ibrd, self.fbrd, self.lcrh) = (0, 0, 0, 0, 0);
        (self.cr, self.ifls, self.mask, self.raw, self.dmacr) = (0x300, 0x12, 0, 0, 0);
        self.idle_polls = 0;
        self.update_irq();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Capture;
    use crate::irq::Probe;
    use crate::testing::hammer;

    fn uart() -> (Pl011, Arc<Probe>, Arc<InputQueue>, Capture) {
        let (irq, probe) = IrqLine::probe();
        let (input, capture) = (Arc::new(InputQueue::new(1000)), Capture::default());
        (Pl011::new(irq, Box::new(capture.clone()), input.clone()), probe, input, capture)
    }

    fn read(u: &mut Pl011, offset: u64) -> u64 {
        u.read(offset, Size::B4)
    }

    #[test]
    fn sends_in_every_access_size_and_raises_tx() {
        let (mut u, irq, _, out) = uart();
        u.write(0x38, Size::B2, u64::from(INT_TX));
        assert!(!irq.level(), "nothing sent yet");
        for (size, value) in [(Size::B1, 0x68), (Size::B2, 0x69), (Size::B4, 0x21), (Size::B8, 0x0a)] {
            u.write(0, size, value);
        }
        assert_eq!(out.take(), b"hi!\n");
        assert!(irq.level());
        u.write(0x44, Size::B2, u64::from(INT_TX));
        assert!(!irq.level());
        assert_eq!(read(&mut u, 0x18) & 0xb8, 0x90);
    }

    #[test]
    fn receive_levels_timeouts_and_backpressure() {
        let (mut u, irq, input, _) = uart();
        u.write(0x2c, Size::B4, u64::from(LCRH_FEN));
        u.write(0x38, Size::B4, u64::from(INT_RX));
        input.push(&[b'x'; 40]);
        u.poll_input();
        assert!(irq.level());
        assert_eq!(input.pop(100).len(), 24, "only 16 fit");
        assert_eq!(read(&mut u, 0x18) & u64::from(FR_RXFF), u64::from(FR_RXFF));
        for _ in 0..8 {
            assert!(irq.level());
            assert_eq!(u.read(0, Size::B2), u64::from(b'x'));
        }
        assert!(irq.level(), "8 left: the trigger level");
        read(&mut u, 0);
        assert!(!irq.level(), "7 left");
        u.write(0x38, Size::B4, u64::from(INT_RT));
        assert!(irq.level(), "the timeout covers the rest");
        for _ in 0..7 {
            read(&mut u, 0);
        }
        assert!(!irq.level());
        assert_eq!(read(&mut u, 0x3c), 0);
        assert_eq!(read(&mut u, 0x18) & u64::from(FR_RXFE), u64::from(FR_RXFE));
        assert_eq!(read(&mut u, 0), 0);
    }

    #[test]
    fn reading_pulls_more_input() {
        let (mut u, _, input, _) = uart();
        u.write(0x38, Size::B4, u64::from(INT_RX));
        input.push(b"hello");
        u.poll_input();
        let got: Vec<u8> = (0..5).map(|_| read(&mut u, 0) as u8).collect();
        assert_eq!(got, b"hello", "through a FIFO one deep");
    }

    #[test]
    fn input_waits_for_a_guest_that_listens() {
        let (mut u, _, input, _) = uart();
        input.push(b"ls\n");
        u.poll_input();
        for _ in 0..20 {
            assert_eq!(read(&mut u, 0x18) & 0x10, 0x10);
            u.write(0, Size::B1, 0x2e);
        }
        assert_eq!(read(&mut u, 0), 0, "a kernel cleaning the FIFO loses nothing");
        let polls = (0..100).take_while(|_| read(&mut u, 0x18) & 0x10 != 0).count();
        assert_eq!((polls, read(&mut u, 0)), (usize::from(POLLS), u64::from(b'l')));
    }

    #[test]
    fn break_overrun_and_loopback() {
        let (mut u, irq, _, out) = uart();
        u.write(0x38, Size::B4, u64::from(INT_BE));
        u.receive_break();
        assert!(irq.level());
        u.receive_break();
        assert_eq!(read(&mut u, 0), u64::from(DR_BREAK | DR_OVERRUN));
        assert_eq!(read(&mut u, 4), 0xc);
        u.write(4, Size::B1, 0);
        assert_eq!(read(&mut u, 4), 0);
        u.write(0x30, Size::B4, 0x381);
        u.write(0, Size::B1, 0x41);
        assert_eq!((read(&mut u, 0), out.take().len()), (0x41, 0));
    }

    #[test]
    fn identification_and_reset_values() {
        let (mut u, ..) = uart();
        assert_eq!((read(&mut u, 0x30), read(&mut u, 0x34), read(&mut u, 0x18)), (0x300, 0x12, 0x97));
        let id: Vec<_> = (0xfe0..0x1000).step_by(4).map(|o| u.read(o, Size::B1)).collect();
        assert_eq!(id, [0x11, 0x10, 0x14, 0, 0x0d, 0xf0, 0x05, 0xb1]);
        u.write(0x24, Size::B1, 0x34);
        u.write(0x25, Size::B1, 0x12);
        assert_eq!(read(&mut u, 0x24), 0x1234);
        u.reset();
        assert_eq!(read(&mut u, 0x24), 0);
    }

    #[test]
    fn random_accesses() {
        let (mut u, irq, input, _) = uart();
        hammer(&mut u, 0x1000, 11, |u, rng| {
            if rng.below(20) == 0 && input.is_empty() {
                input.push(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
                u.poll_input();
            }
            assert!(u.rx.len() <= DEPTH);
            assert_eq!(irq.level(), u.raw & u.mask != 0);
        });
    }
}
