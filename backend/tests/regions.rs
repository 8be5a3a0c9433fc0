//! Whole regions: loops, entries, links, faults, helpers, flags across blocks.

mod common;

use common::*;
use jib_backend::Options;
use jib_ir::op::*;
use jib_ir::region::BlockId;
use jib_ir::runtime::Exit;
use jib_ir::softfloat::Fmt;
use jib_ir::state::{Slot, State, slot};
use jib_ir::ty::*;

fn x(n: u16) -> Slot {
    Slot(n)
}

/// `x0` = sum of x1 words at x2, in a loop; then svc.
fn sum_loop(pc: u64) -> jib_ir::region::Region {
    let mut b = begin(pc);
    let zero = b.imm64(0);
    b.set(x(0), zero);
    b.end_block(Op::Jump { to: BlockId(1) });
    b.begin_block(pc + 4);
    b.begin_insn(pc + 4);
    let addr = b.get(Ty::I64, x(2));
    let v = b.load(Ty::I64, Size::B8, addr);
    let next = b.add_imm(addr, 8);
    b.set(x(2), next);
    b.set(x(3), v);
    b.begin_insn(pc + 8);
    let (sum, v) = (b.get(Ty::I64, x(0)), b.get(Ty::I64, x(3)));
    let sum = b.add(sum, v);
    b.set(x(0), sum);
    b.begin_insn(pc + 12);
    let n = b.get(Ty::I64, x(1));
    let one = b.imm64(1);
    let left = b.sub(n, one);
    let flags = b.flags(FlagOp::Sub, n, one);
    b.set(x(1), left);
    b.set_flags(flags);
    b.begin_insn(pc + 16);
    let c = b.cond(Cond::Ne);
    b.end_block(Op::Branch { c, then: BlockId(1), els: BlockId(2) });
    b.begin_block(pc + 20);
    b.begin_insn(pc + 20);
    b.end_block(stop(pc + 24));
    finish(b, pc, &[0])
}

#[test]
fn a_loop_adds_up() {
    let p = Program::default();
    p.put(sum_loop(0x1000));
    let t = translator(&p, eager());
    let data: Vec<u64> = (0..100).collect();
    let mut s = State::default();
    s.set_x(1, 100);
    s.set_x(2, data.as_ptr() as u64);
    let (e, s) = run(&t, &s, 0x1000);
    assert_eq!((e, s.x(0), s.x(1), s.pc()), (Exit::Svc(1), 4950, 0, 0x1018));
    assert_eq!(s.nzcv(), 0x6000_0000);
    assert_eq!(t.stats().regions, 1);
    assert_eq!(t.stats().block_runs, 0);
}

#[test]
fn a_load_fault_is_met_at_its_own_instruction_with_exact_state() {
    catch_faults();
    let p = Program::default();
    p.put(sum_loop(0x1000));
    // The interpreter's view of the middle of the loop, after a fault.
    let mut tail = begin(0x1004);
    let addr = tail.get(Ty::I64, x(2));
    tail.load(Ty::I64, Size::B8, addr);
    tail.end_block(stop(0x1008));
    p.put(finish(tail, 0x1004, &[0]));
    let t = translator(&p, eager());
    let mut s = State::default();
    s.set_x(1, 5);
    s.set_x(2, 64);
    let (e, s) = run(&t, &s, 0x1000);
    let Exit::Fault(f) = e else { panic!("{e:?}") };
    assert_eq!((f.addr, s.pc(), s.x(0), s.x(1), s.x(2)), (64, 0x1004, 0, 5, 64));
    assert_eq!(t.stats().faults, 1);
}

/// `x0` compared with 5, a store at x2, and a branch on the comparison, whose read of the flags the passes replace.
#[test]
fn flags_that_are_read_behind_a_fault_are_exact_at_it() {
    catch_faults();
    let p = Program::default();
    let mut b = begin(0x1000);
    let (a, five) = (b.get(Ty::I64, x(0)), b.imm64(5));
    let f = b.push(Op::Flags { op: FlagOp::Sub, ty: Ty::I64, a, b: five });
    b.set_flags(f);
    b.begin_insn(0x1004);
    let addr = b.get(Ty::I64, x(2));
    b.store(Size::B8, addr, five);
    b.begin_insn(0x1008);
    let f = b.get_flags();
    let c = b.push(Op::Cond { cond: Cond::Eq, f });
    let f = b.push(Op::Flags { op: FlagOp::Sub, ty: Ty::I64, a: five, b: five });
    b.set_flags(f);
    b.end_block(Op::Branch { c, then: BlockId(1), els: BlockId(2) });
    for pc in [0x1010, 0x1020] {
        b.begin_block(pc);
        b.end_block(stop(pc));
    }
    let mut region = finish(b, 0x1000, &[0]);
    region.blocks[0].insns = 3;
    p.put(region);
    let mut tail = begin(0x1004);
    let addr = tail.get(Ty::I64, x(2));
    tail.store(Size::B8, addr, addr);
    tail.end_block(stop(0x1008));
    p.put(finish(tail, 0x1004, &[0]));
    let t = translator(&p, eager());
    let mut s = State::default();
    s.set_x(0, 5);
    s.set_x(2, 64);
    let (e, s) = run(&t, &s, 0x1000);
    assert!(matches!(e, Exit::Fault(_)), "{e:?}");
    assert_eq!((s.pc(), s.nzcv(), t.stats().faults), (0x1004, 0x6000_0000, 1));
}

/// FPSR is read, then a division is inexact, then a load faults: the read must not be made again.
#[test]
fn floating_point_flags_that_were_read_before_a_fault_stay_as_they_were() {
    catch_faults();
    let p = Program::default();
    let mut b = begin(0x1000);
    let read = b.get(Ty::I64, slot::FPSR);
    b.set(x(5), read);
    b.begin_insn(0x1004);
    let (one, ten) = (b.get(Ty::V128, Slot(slot::V0.0)), b.get(Ty::V128, Slot(slot::V0.0 + 2)));
    let tenth = b.push(Op::FBin { op: FBinOp::Div, fmt: Fmt::D, shape: Shape::Scalar, a: one, b: ten });
    b.set(Slot(slot::V0.0 + 4), tenth);
    b.begin_insn(0x1008);
    let addr = b.get(Ty::I64, x(2));
    b.load(Ty::I64, Size::B8, addr);
    b.end_block(stop(0x100c));
    let mut region = finish(b, 0x1000, &[0]);
    region.blocks[0].insns = 3;
    p.put(region);
    let mut tail = begin(0x1008);
    let addr = tail.get(Ty::I64, x(2));
    tail.load(Ty::I64, Size::B8, addr);
    tail.end_block(stop(0x100c));
    p.put(finish(tail, 0x1008, &[0]));
    for options in [eager(), Options { quick: 0, threshold: u32::MAX, ..eager() }] {
        let mut s = State::default();
        s.set_v(0, u128::from(1f64.to_bits()));
        s.set_v(1, u128::from(10f64.to_bits()));
        s.set_x(2, 64);
        let (e, s) = run(&translator(&p, options), &s, 0x1000);
        assert!(matches!(e, Exit::Fault(_)), "{e:?}");
        assert_eq!((s.pc(), s.fpsr(), s.x(5)), (0x1008, 0x10, 0));
    }
}

#[test]
fn a_store_fault_finds_the_state_before_its_instruction() {
    catch_faults();
    let p = Program::default();
    let mut b = begin(0x1000);
    let seven = b.imm64(7);
    b.set(x(1), seven);
    b.begin_insn(0x1004);
    let addr = b.get(Ty::I64, x(2));
    b.store(Size::B8, addr, seven);
    let next = b.add_imm(addr, 8);
    b.set(x(2), next);
    b.begin_insn(0x1008);
    let addr = b.get(Ty::I64, x(3));
    let nine = b.imm64(9);
    b.set(x(1), nine);
    b.store(Size::B8, addr, nine);
    b.end_block(stop(0x1010));
    p.put(finish(b, 0x1000, &[0]));
    let mut tail = begin(0x1008);
    let addr = tail.get(Ty::I64, x(3));
    tail.store(Size::B8, addr, addr);
    tail.end_block(stop(0x1010));
    p.put(finish(tail, 0x1008, &[0]));
    let t = translator(&p, eager());
    let mut s = State::default();
    let mut word = 0u64;
    s.set_x(2, &raw mut word as u64);
    s.set_x(3, 8);
    let (e, s) = run(&t, &s, 0x1000);
    let Exit::Fault(f) = e else { panic!("{e:?}") };
    assert_eq!((f.addr, s.pc(), s.x(1), s.x(2)), (8, 0x1008, 7, &raw mut word as u64 + 8));
    assert_eq!(word, 7);
}

#[test]
fn a_dead_load_still_faults() {
    catch_faults();
    let p = Program::default();
    let mut b = begin(0x1000);
    let addr = b.get(Ty::I64, x(2));
    b.load(Ty::I32, Size::B4, addr);
    b.end_block(stop(0x1004));
    p.put(finish(b, 0x1000, &[0]));
    let t = translator(&p, Options { optimize: true, ..eager() });
    let (e, _) = run(&t, &State::default(), 0x1000);
    assert!(matches!(e, Exit::Fault(_)), "{e:?}");
    assert_eq!(t.stats().faults, 1);
}

#[test]
fn regions_link_and_indirect_exits_are_found() {
    let p = Program::default();
    // 0x1000: x0 += 1; if x0 == x1 svc else -> 0x2000. 0x2000: x2 += 1, jump through x3 (0x1000).
    let mut b = begin(0x1000);
    let v = b.get(Ty::I64, x(0));
    let v = b.add_imm(v, 1);
    b.set(x(0), v);
    let n = b.get(Ty::I64, x(1));
    let c = b.cmp(Cc::Eq, v, n);
    b.end_block(Op::Branch { c, then: BlockId(1), els: BlockId(2) });
    b.begin_block(0x1008);
    b.end_block(stop(0x100c));
    b.begin_block(0x1010);
    b.end_block(exit(0x2000));
    p.put(finish(b, 0x1000, &[0]));
    let mut b = begin(0x2000);
    let v = b.get(Ty::I32, x(2));
    let v = b.add_imm(v, 1);
    b.set(x(2), v);
    let addr = b.get(Ty::I64, x(3));
    b.end_block(Op::ExitInd { addr, kind: ExitKind::Ret });
    p.put(finish(b, 0x2000, &[0]));
    let t = translator(&p, eager());
    let mut s = State::default();
    s.set_x(1, 1000);
    s.set_x(3, 0x1000);
    let (e, s) = run(&t, &s, 0x1000);
    assert_eq!((e, s.x(0), s.x(2)), (Exit::Svc(1), 1000, 999));
    let stats = t.stats();
    assert_eq!((stats.regions, stats.links, stats.block_runs), (2, 1, 0));
}

#[test]
fn each_entry_starts_at_its_own_block() {
    let p = Program::default();
    let mut b = begin(0x1000);
    let one = b.imm64(1);
    b.set(x(0), one);
    b.end_block(Op::Jump { to: BlockId(1) });
    b.begin_block(0x1004);
    b.begin_insn(0x1004);
    let v = b.get(Ty::I64, x(0));
    let v = b.add_imm(v, 10);
    b.set(x(0), v);
    b.end_block(Op::Jump { to: BlockId(2) });
    b.begin_block(0x1008);
    b.begin_insn(0x1008);
    let v = b.get(Ty::I64, x(0));
    let v = b.add_imm(v, 100);
    b.set(x(0), v);
    b.end_block(stop(0x100c));
    p.put(finish(b, 0x1000, &[0, 1, 2]));
    let t = translator(&p, eager());
    let mut s = State::default();
    s.set_x(0, 5);
    for (pc, want) in [(0x1000, 111), (0x1004, 115), (0x1008, 105)] {
        assert_eq!(run(&t, &s, pc).1.x(0), want);
    }
    assert_eq!(t.stats().regions, 1);
}

#[test]
fn helpers_see_and_change_state_and_may_leave() {
    let p = Program::default();
    let mut b = begin(0x1000);
    let two = b.imm64(2);
    b.set(x(5), two);
    b.begin_insn(0x1004);
    let r = b.call(1, &[two, two, two]);
    b.set(x(6), r);
    b.begin_insn(0x1008);
    let v = b.get(Ty::I64, x(5));
    b.set(x(7), v);
    b.begin_insn(0x100c);
    b.call(0, &[v]);
    b.end_block(stop(0x1010));
    p.put(finish(b, 0x1000, &[0]));
    let t = translator(&p, eager());
    let (e, s) = run(&t, &State::default(), 0x1000);
    assert_eq!((e, s.pc(), s.x(5), s.x(6), s.x(7)), (Exit::Brk(3), 0x100c, 3, 6, 3));
}

#[test]
fn a_spin_loop_sees_another_threads_store_and_polls() {
    let p = Program::default();
    let mut b = begin(0x1000);
    let addr = b.get(Ty::I64, x(1));
    let v = b.load(Ty::I64, Size::B8, addr);
    let c = b.is_zero(v);
    b.end_block(Op::Branch { c, then: BlockId(0), els: BlockId(1) });
    b.begin_block(0x1008);
    b.begin_insn(0x1008);
    b.end_block(stop(0x100c));
    p.put(finish(b, 0x1000, &[0]));
    for optimize in [false, true] {
        let t = translator(&p, Options { optimize, ..eager() });
        let word = std::sync::atomic::AtomicU64::new(0);
        let mut s = State::default();
        s.set_x(1, word.as_ptr() as u64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                word.store(1, std::sync::atomic::Ordering::SeqCst);
            });
            assert_eq!(run(&t, &s, 0x1000).0, Exit::Svc(1));
        });
        word.store(0, std::sync::atomic::Ordering::SeqCst);
        let mut vcpu = jib_backend::Vcpu::new(&t);
        *vcpu.state = s;
        vcpu.state.set_pc(0x1000);
        let request = &raw mut vcpu.state.0[slot::EXIT_REQUEST.0 as usize] as usize;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                // SAFETY: the word lives in the vcpu's state, which outlives the scope.
                unsafe { std::sync::atomic::AtomicU64::from_ptr(request as *mut u64) }
                    .store(1, std::sync::atomic::Ordering::SeqCst);
            });
            assert_eq!(vcpu.run(&mut Flat), Exit::Interrupt);
        });
        assert_eq!(vcpu.state.pc(), 0x1000);
    }
}

/// Block 0 sets flags in one of several ways; blocks 1 and 2 ask for `cond` and its opposite.
fn flags_region(form: u32, cond: Cond, entries: &[u32]) -> jib_ir::region::Region {
    let mut b = begin(0x1000);
    let (a64, b64) = (b.get(Ty::I64, x(1)), b.get(Ty::I64, x(2)));
    let (a32, b32) = (b.get(Ty::I32, x(1)), b.get(Ty::I32, x(2)));
    let f = match form {
        0 => b.flags(FlagOp::Sub, a64, b64),
        1 => b.flags(FlagOp::Add, a32, b32),
        2 => b.flags_logic(a32),
        3 => b.push(Op::FlagsPack { a: a32 }),
        4 => {
            let c = b.test_bit(a64, 0);
            b.push(Op::FlagsAdc { ty: Ty::I64, a: a64, b: b64, c })
        }
        _ => {
            let c = b.test_bit(a64, 1);
            let (f, g) = (b.flags(FlagOp::Sub, a64, b64), b.flags_logic(b32));
            b.select(c, f, g)
        }
    };
    b.set_flags(f);
    let c = b.test_bit(b64, 5);
    b.end_block(Op::Branch { c, then: BlockId(1), els: BlockId(2) });
    b.begin_block(0x1004);
    b.begin_insn(0x1004);
    let c = b.cond(cond);
    let r = b.from_bool(Ty::I64, c);
    b.set(x(0), r);
    b.end_block(Op::Jump { to: BlockId(2) });
    b.begin_block(0x1008);
    b.begin_insn(0x1008);
    let c = b.cond(cond.negate());
    let r = b.from_bool(Ty::I64, c);
    b.set(x(3), r);
    b.end_block(stop(0x100c));
    finish(b, 0x1000, entries)
}

#[test]
fn flags_cross_blocks_in_every_form() {
    let operands = [(0, 0), (1, 2), (u64::MAX, 1), (1 << 63, 1 << 63 | 32), (32, 0x8000_0020), (7, 0x60)];
    for (form, entries) in (0..6).flat_map(|f| [(f, &[0][..]), (f, &[0, 1, 2])]) {
        for cond in Cond::ALL {
            let p = Program::default();
            p.put(flags_region(form, cond, entries));
            let (jit, reference) = (translator(&p, eager()), translator(&p, interp()));
            for (m, n) in operands {
                let mut s = State::default();
                s.set_x(1, m);
                s.set_x(2, n);
                let (got, want) = (run(&jit, &s, 0x1000), run(&reference, &s, 0x1000));
                assert_eq!(visible(&got.1), visible(&want.1), "form {form} {cond:?} {m:#x} {n:#x}");
            }
        }
    }
}

/// Stores 1 where x5 points to.
fn make_request(b: &mut jib_ir::builder::Builder) {
    let (at, one) = (b.get(Ty::I64, x(5)), b.imm64(1));
    b.push(Op::Store { ty: Ty::I64, size: Size::B8, order: Order::Plain, addr: at, v: one });
}

/// Calls itself x1 times, then returns as often, counting in x2; the last time to x4.
fn recursion(pc: u64) -> jib_ir::region::Region {
    let lr = x(30);
    let mut b = begin(pc);
    let (n, one) = (b.get(Ty::I64, x(1)), b.imm64(1));
    let left = b.sub(n, one);
    b.set(x(1), left);
    let zero = b.imm64(0);
    let c = b.push(Op::Cmp { cc: Cc::Slt, ty: Ty::I64, a: left, b: zero });
    b.end_block(Op::Branch { c, then: BlockId(3), els: BlockId(1) });
    b.begin_block(pc + 4);
    b.begin_insn(pc + 4);
    let ret = b.imm64(pc + 8);
    b.set(lr, ret);
    b.end_block(Op::Exit { pc, kind: ExitKind::Call { ret: pc + 8 } });
    b.begin_block(pc + 8);
    b.begin_insn(pc + 8);
    let (n, one) = (b.get(Ty::I64, x(2)), b.imm64(1));
    let n = b.add(n, one);
    b.set(x(2), n);
    let end = b.get(Ty::I64, x(3));
    let done = b.push(Op::Cmp { cc: Cc::Eq, ty: Ty::I64, a: n, b: end });
    let (out, back) = (b.get(Ty::I64, x(4)), b.get(Ty::I64, lr));
    let to = b.push(Op::Select { ty: Ty::I64, c: done, a: out, b: back });
    b.set(lr, to);
    make_request(&mut b);
    b.end_block(Op::ExitInd { addr: to, kind: ExitKind::Ret });
    b.begin_block(pc + 12);
    b.begin_insn(pc + 12);
    make_request(&mut b);
    let back = b.get(Ty::I64, lr);
    b.end_block(Op::ExitInd { addr: back, kind: ExitKind::Ret });
    finish(b, pc, &[0, 2])
}

#[test]
fn returns_to_the_region_itself_stay_inside() {
    let p = Program::default();
    p.put(recursion(0x1000));
    let mut end = begin(0x2000);
    end.end_block(stop(0x2004));
    p.put(finish(end, 0x2000, &[0]));
    let t = translator(&p, eager());
    let mut s = State::default();
    s.set_x(1, 1000);
    s.set_x(3, 1000);
    s.set_x(4, 0x2000);
    s.set_x(30, 0x2000);
    let mut word = 0u64;
    s.set_x(5, &raw mut word as u64);
    let (e, s) = run(&t, &s, 0x1000);
    assert_eq!((e, s.x(2), s.pc()), (Exit::Svc(1), 1000, 0x2004));
    let left: u64 = t.stats().exits.iter().sum();
    assert!(left < 5, "compiled code was left {left} times");
}

#[test]
fn requests_to_leave_find_exact_state_at_every_return() {
    let p = Program::default();
    p.put(recursion(0x1000));
    let mut end = begin(0x2000);
    end.end_block(stop(0x2004));
    p.put(finish(end, 0x2000, &[0]));
    let t = translator(&p, eager());
    let mut vcpu = jib_backend::Vcpu::new(&t);
    for (n, v) in [(1, 1000), (3, 1000), (4, 0x2000), (30, 0x2000)] {
        vcpu.state.set_x(n, v);
    }
    // Each return makes a request first.
    let request = &raw mut vcpu.state.0[slot::EXIT_REQUEST.0 as usize] as u64;
    vcpu.state.set_x(5, request);
    vcpu.state.set_pc(0x1000);
    let mut at_return = 0;
    loop {
        match vcpu.run(&mut Flat) {
            Exit::Interrupt => {
                let s = &mut vcpu.state;
                at_return += u64::from(s.pc() == 0x1008);
                assert!(s.x(2) <= 1000, "a return was made twice");
                assert!(matches!(s.pc(), 0x1008 | 0x2000), "interrupted at {:#x}", s.pc());
                assert_eq!((s.x(1) as i64, s.x(2)), (-1, if s.pc() == 0x2000 { 1000 } else { at_return }));
                s.set(slot::EXIT_REQUEST, 0);
            }
            end => break assert_eq!(end, Exit::Svc(1)),
        }
    }
    // The first one does not close a loop.
    assert_eq!((vcpu.state.x(2), at_return), (1000, 999));
}

#[test]
fn what_is_above_a_float_that_a_loop_reads_is_kept() {
    let v = |n: u16| Slot(slot::V0.0 + 2 * n);
    let p = Program::default();
    // V0 += V1's double, X1 times; V1 is read whole only after that, V2 in both ways.
    let mut b = begin(0x1000);
    let (sum, by) = (b.get(Ty::V128, v(0)), b.get(Ty::V128, v(1)));
    let (fmt, shape) = (jib_ir::softfloat::Fmt::D, Shape::Scalar);
    let sum = b.push(Op::FBin { op: FBinOp::Add, fmt, shape, a: sum, b: by });
    let twice = b.get(Ty::V128, v(2));
    let twice = b.push(Op::FBin { op: FBinOp::Add, fmt, shape, a: twice, b: twice });
    b.push(Op::Set { ty: Ty::V128, slot: v(0), v: sum });
    b.push(Op::Set { ty: Ty::V128, slot: v(3), v: twice });
    let (n, one) = (b.get(Ty::I64, x(1)), b.imm64(1));
    let left = b.sub(n, one);
    b.set(x(1), left);
    let c = b.push(Op::Cmp { cc: Cc::Ne, ty: Ty::I64, a: n, b: one });
    b.end_block(Op::Branch { c, then: BlockId(0), els: BlockId(1) });
    b.begin_block(0x1004);
    b.begin_insn(0x1004);
    let two = b.get(Ty::V128, v(2));
    b.push(Op::Set { ty: Ty::V128, slot: v(4), v: two });
    b.end_block(exit(0x2000));
    p.put(finish(b, 0x1000, &[0]));
    let mut b = begin(0x2000);
    let one = b.get(Ty::V128, v(1));
    b.push(Op::Set { ty: Ty::V128, slot: v(5), v: one });
    b.end_block(stop(0x2004));
    p.put(finish(b, 0x2000, &[0]));
    let mut s = State::default();
    s.set_x(1, 3);
    for n in 0..3 {
        s.set_v(n, 7 << 64 | u128::from(f64::from(n as u32).to_bits()));
    }
    let (got, want) = (run(&translator(&p, eager()), &s, 0x1000), run(&translator(&p, interp()), &s, 0x1000));
    assert_eq!(visible(&got.1), visible(&want.1));
    assert_eq!((got.1.v(0), got.1.v(5)), (u128::from(3f64.to_bits()), s.v(1)));
    assert_eq!((got.1.v(3), got.1.v(4)), (u128::from(4f64.to_bits()), s.v(2)));
}

#[test]
fn what_optimised_code_leaves_for_often_is_optimised_too() {
    let p = Program::default();
    // A loop that leaves for another region each time, which comes back to it. Nothing counts there.
    let mut b = begin(0x1000);
    let (n, one) = (b.get(Ty::I64, x(1)), b.imm64(1));
    let left = b.sub(n, one);
    b.set(x(1), left);
    let c = b.push(Op::Cmp { cc: Cc::Ne, ty: Ty::I64, a: n, b: one });
    b.end_block(Op::Branch { c, then: BlockId(1), els: BlockId(2) });
    b.begin_block(0x1004);
    b.begin_insn(0x1004);
    b.end_block(exit(0x2000));
    b.begin_block(0x1008);
    b.begin_insn(0x1008);
    b.end_block(stop(0x100c));
    p.put(finish(b, 0x1000, &[0]));
    let mut b = begin(0x2000);
    let n = b.get(Ty::I64, x(2));
    let n = b.add_imm(n, 1);
    b.set(x(2), n);
    b.end_block(exit(0x1000));
    p.put(finish(b, 0x2000, &[0]));
    let t = translator(&p, Options { quick: 4, threshold: 500, ..eager() });
    let mut s = State::default();
    s.set_x(1, 20_000);
    let (e, s) = run(&t, &s, 0x1000);
    assert_eq!((e, s.x(2)), (Exit::Svc(1), 19_999));
    let mut made: Vec<u64> = t.regions().iter().map(|r| r.key.pc).collect();
    made.sort_unstable();
    assert!(made.contains(&0x2000) && made.len() >= 2, "{made:x?}");
    let left: u64 = t.stats().exits.iter().sum();
    assert!(left < 2000, "compiled code was left {left} times");
}
