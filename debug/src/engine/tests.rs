//! Short programs without memory.

use super::*;
use jib_frontend_aarch64::A64;
use std::cell::RefCell;

struct Code(RefCell<Vec<u32>>);
impl Fetch for Code {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let fault = Fault { addr: pc, access: Access::Fetch, cause: 0 };
        self.0.borrow().get((pc.wrapping_sub(0x1000) / 4) as usize).copied().ok_or(fault)
    }
}

/// Memory that is nowhere.
struct Nothing;
impl Runtime for Nothing {
    fn load(&mut self, _: Size, _: u64) -> Result<u128, Fault> {
        Ok(7)
    }
    fn store(&mut self, _: Size, _: u64, _: u128) -> Result<(), Fault> {
        Ok(())
    }
    fn store_release(&mut self, _: Size, _: u64, _: u128) -> Result<(), Fault> {
        Ok(())
    }
    fn rmw(&mut self, _: RmwOp, _: Size, _: u64, _: u64) -> Result<u64, Fault> {
        Ok(0)
    }
    fn cas(&mut self, _: Size, _: u64, _: u128, _: u128) -> Result<u128, Fault> {
        Ok(0)
    }
    fn fence(&mut self) {}
    fn counter(&mut self) -> u64 {
        0
    }
    fn counter_hz(&self) -> u64 {
        1
    }
    fn random(&mut self) -> Option<u64> {
        None
    }
}

// add x0, x0, #1; b . - 4; ldr x1, [x2]; str x1, [x3]
const PROGRAM: [u32; 4] = [0x9100_0400, 0x17ff_ffff, 0xf940_0041, 0xf900_0061];

fn at(pc: u64) -> State {
    let mut s = State::default();
    s.set_pc(pc);
    s
}

#[test]
fn one_instruction_or_one_round_of_a_loop() {
    let (code, mut engine, mut s) = (Code(RefCell::new(PROGRAM.to_vec())), Engine::default(), at(0x1000));
    assert_eq!(engine.run(&A64, &code, &mut s, &mut Nothing, 1), Exit::Next);
    assert_eq!((s.x(0), s.pc()), (1, 0x1004));
    assert_eq!(engine.run(&A64, &code, &mut s, &mut Nothing, 1), Exit::Next);
    assert_eq!((s.x(0), s.pc()), (1, 0x1000));
    assert_eq!(engine.run(&A64, &code, &mut s, &mut Nothing, BLOCK), Exit::Next);
    assert_eq!((s.x(0), s.pc()), (2, 0x1000));
}

#[test]
fn changed_code_is_seen_without_being_announced() {
    let (code, mut engine, mut s) = (Code(RefCell::new(PROGRAM.to_vec())), Engine::default(), at(0x1000));
    engine.run(&A64, &code, &mut s, &mut Nothing, 1);
    code.0.borrow_mut()[0] = 0x9100_1400; // add x0, x0, #5
    s.set_pc(0x1000);
    engine.run(&A64, &code, &mut s, &mut Nothing, 1);
    assert_eq!(s.x(0), 6);
}

#[test]
fn a_watched_access_is_not_made() {
    let (code, mut engine, mut s) = (Code(RefCell::new(PROGRAM.to_vec())), Engine::default(), at(0x1008));
    s.set_x(3, 0x2004);
    let watches = [Watch { addr: 0x2008, len: 4, read: false, write: true, el0: true, el1: false }];
    let mut nothing = Nothing;
    let mut rt = Watched::new(&mut nothing, &watches, true);
    let exit = engine.run(&A64, &code, &mut s, &mut rt, BLOCK);
    let fault = Fault { addr: 0x2008, access: Access::Write, cause: CAUSE_WATCHPOINT };
    assert_eq!(exit, Exit::Fault(fault));
    assert_eq!((s.pc(), s.x(1)), (0x100c, 7));
    assert_eq!(rt.hit, Some(Hit { index: 0, addr: 0x2008, access: Access::Write, el0: true }));
    let mut rt = Watched::new(&mut nothing, &watches, false);
    s.set_pc(0x100c);
    engine.run(&A64, &code, &mut s, &mut rt, 1);
    assert_eq!(rt.hit, None, "EL1 is not watched");
}
