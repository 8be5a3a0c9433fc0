//! Threads, invalidation, eviction, background compilation, fork.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::*;
use jib_backend::Options;
use jib_ir::op::*;
use jib_ir::region::{BlockId, Region};
use jib_ir::runtime::Exit;
use jib_ir::state::{Slot, State};
use jib_ir::ty::*;

/// `x1 += add`; then on to `next`.
fn step(pc: u64, add: u64, next: Op) -> Region {
    let mut b = begin(pc);
    let v = b.get(Ty::I64, Slot(1));
    let v = b.add_imm(v, add as i64);
    b.set(Slot(1), v);
    b.end_block(next);
    finish(b, pc, &[0])
}

/// `x0 -= 1`; stops at 0, else goes on to `next`.
fn count_down(pc: u64, next: u64) -> Region {
    let mut b = begin(pc);
    let v = b.get(Ty::I64, Slot(0));
    let v = b.add_imm(v, -1);
    b.set(Slot(0), v);
    let c = b.is_zero(v);
    b.end_block(Op::Branch { c, then: BlockId(1), els: BlockId(2) });
    b.begin_block(pc + 8);
    b.end_block(stop(pc + 12));
    b.begin_block(pc + 16);
    b.end_block(exit(next));
    finish(b, pc, &[0])
}

/// At 0x1000 `x1 += 1`, at 0x1008 `x0 -= 1` until that is 0; both go on where x5 says.
fn two_entries() -> Region {
    let mut b = begin(0x1000);
    b.begin_insn(0x1000);
    let v = b.get(Ty::I64, Slot(1));
    let v = b.add_imm(v, 1);
    b.set(Slot(1), v);
    let addr = b.get(Ty::I64, Slot(5));
    b.end_block(Op::ExitInd { addr, kind: ExitKind::Jump });
    b.begin_block(0x1008);
    b.begin_insn(0x1008);
    let v = b.get(Ty::I64, Slot(0));
    let v = b.add_imm(v, -1);
    b.set(Slot(0), v);
    let c = b.is_zero(v);
    b.end_block(Op::Branch { c, then: BlockId(2), els: BlockId(3) });
    b.begin_block(0x100c);
    b.end_block(stop(0x1010));
    b.begin_block(0x1010);
    let addr = b.get(Ty::I64, Slot(5));
    b.end_block(Op::ExitInd { addr, kind: ExitKind::Jump });
    let mut region = finish(b, 0x1000, &[0, 1]);
    region.code = std::iter::once(0x1000..0x1014).collect();
    region
}

#[test]
fn better_code_for_one_entry_of_a_region_is_found_by_all_ways() {
    let p = Program::default();
    p.put(two_entries());
    let t = translator(&p, Options { quick: 2, threshold: 5000, background: false, count: true, ..Options::default() });
    let from = |pc, n| {
        let mut s = State::default();
        s.set_x(0, n);
        s.set_x(5, 0x1008);
        let (exit, s) = run(&t, &s, pc);
        assert_eq!((exit, s.x(0)), (Exit::Svc(1), 0));
        s.x(1)
    };
    assert_eq!(from(0x1008, 100_000), 0);
    let [interpreted, quick, optimized] = t.stats().executed;
    assert!(interpreted < 100 && quick < 20_000 && optimized > 80_000, "{interpreted} {quick} {optimized}");
    // The other entry still has what it had.
    assert_eq!((from(0x1000, 5), t.stats().regions), (1, 1));
    t.invalidate(0x1000..0x1004);
    assert_eq!(from(0x1000, 100_000), 1);
    assert!(t.stats().executed[2] > 160_000, "{:?}", t.stats().executed);
}

#[test]
fn invalidated_code_is_never_run_again_by_a_thread_that_asks_after_it() {
    for background in [false, true] {
        let p = Program::default();
        p.put(count_down(0x1000, 0x2000));
        p.put(step(0x2000, 1, exit(0x1000)));
        let t = translator(&p, Options { background, threshold: 2, ..eager() });
        let done = AtomicBool::new(false);
        let current = AtomicU64::new(1);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let before = current.load(Ordering::SeqCst);
                        let mut s = State::default();
                        s.set_x(0, 100);
                        let (e, s) = run(&t, &s, 0x1000);
                        let after = current.load(Ordering::SeqCst);
                        assert_eq!(e, Exit::Svc(1));
                        assert!(s.x(1) >= 99 * before && s.x(1) <= 99 * (after + 1), "{} {before} {after}", s.x(1));
                    }
                });
            }
            for add in 2..300 {
                p.put(step(0x2000, add, exit(0x1000)));
                t.invalidate(0x2000..0x2004);
                current.store(add, Ordering::SeqCst);
                if add % 16 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut s = State::default();
        s.set_x(0, 11);
        assert_eq!(run(&t, &s, 0x1000).1.x(1), 2990);
        assert!(t.stats().invalidated > 0);
    }
}

#[test]
fn old_code_gives_way_when_the_cache_is_full() {
    let p = Program::default();
    const N: u64 = 2000;
    for i in 0..N {
        p.put(step(0x10000 + i * 0x100, 1, exit(0x10000 + (i + 1) * 0x100)));
    }
    p.put(step(0x10000 + N * 0x100, 1, stop(0)));
    let t = translator(&p, Options { cache_bytes: 1 << 16, verify: false, ..eager() });
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let (e, s) = run(&t, &State::default(), 0x10000);
                    assert_eq!((e, s.x(1)), (Exit::Svc(1), N + 1));
                }
            });
        }
    });
    assert!(t.stats().evicted > N, "{:?}", t.stats());
}

#[test]
fn everything_can_be_invalidated_while_code_runs() {
    let p = Program::default();
    p.put(count_down(0x1000, 0x2000));
    let mut b = begin(0x2000);
    let v = b.get(Ty::I64, Slot(2));
    b.end_block(Op::ExitInd { addr: v, kind: ExitKind::Jump });
    p.put(finish(b, 0x2000, &[0]));
    let t = translator(&p, eager());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                t.invalidate_all();
                std::thread::yield_now();
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let mut s = State::default();
            s.set_x(0, 500);
            s.set_x(2, 0x1000);
            assert_eq!(run(&t, &s, 0x1000).0, Exit::Svc(1));
        }
    });
}

#[test]
fn the_background_thread_takes_over_hot_code() {
    let p = Program::default();
    p.put(count_down(0x1000, 0x2000));
    p.put(step(0x2000, 3, exit(0x1000)));
    let t = translator(&p, Options { background: true, threshold: 10, quick: u32::MAX, ..eager() });
    let start = std::time::Instant::now();
    while t.stats().regions < 2 {
        let mut s = State::default();
        s.set_x(0, 1000);
        assert_eq!(run(&t, &s, 0x1000).1.x(1), 2997);
        assert!(start.elapsed().as_secs() < 60, "{:?}", t.stats());
    }
    let runs = t.stats().block_runs;
    let mut s = State::default();
    s.set_x(0, 100_000);
    assert_eq!(run(&t, &s, 0x1000).1.x(1), 299_997);
    assert!(t.stats().block_runs - runs < 1000, "{:?}", t.stats());
}

#[test]
fn quick_code_makes_way_for_optimised_code() {
    let p = Program::default();
    p.put(count_down(0x1000, 0x2000));
    p.put(step(0x2000, 3, exit(0x1000)));
    let t = translator(&p, Options { background: true, threshold: 1000, quick: 1, ..eager() });
    let start = std::time::Instant::now();
    while t.stats().regions == 0 {
        let mut s = State::default();
        s.set_x(0, 1000);
        assert_eq!(run(&t, &s, 0x1000).1.x(1), 2997);
        assert!(start.elapsed().as_secs() < 60, "{:?}", t.stats());
    }
    let before = t.stats();
    assert!(before.quick_blocks >= 2, "{before:?}");
    let mut s = State::default();
    s.set_x(0, 100_000);
    assert_eq!(run(&t, &s, 0x1000).1.x(1), 299_997);
    let after = t.stats();
    assert_eq!(after.quick_blocks, before.quick_blocks, "nothing is translated twice");
    assert!(after.block_runs - before.block_runs < 10, "{before:?} {after:?}");
}

#[test]
fn parent_and_child_of_a_fork_have_their_own_code() {
    let p = Program::default();
    p.put(count_down(0x1000, 0x2000));
    p.put(step(0x2000, 1, exit(0x1000)));
    for background in [false, true] {
        let t = translator(&p, Options { background, ..eager() });
        let sum = |n, per: u64| {
            let mut s = State::default();
            s.set_x(0, n);
            let (e, s) = run(&t, &s, 0x1000);
            e == Exit::Svc(1) && s.x(1) == (n - 1) * per
        };
        assert!(sum(100, 1));
        t.before_fork();
        // SAFETY: the child uses only the translator, which is made for it, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            t.after_fork_child();
            let mut good = sum(100, 1);
            p.put(step(0x2000, 5, exit(0x1000)));
            t.invalidate(0x2000..0x2004);
            good &= sum(50, 5) && sum(1000, 5);
            // SAFETY: ends the child.
            unsafe { libc::_exit(if good { 42 } else { 1 }) };
        }
        t.after_fork_parent();
        p.put(step(0x2000, 7, exit(0x1000)));
        t.invalidate(0x2000..0x2004);
        for n in 2..200 {
            assert!(sum(n, 7));
        }
        let mut status = 0;
        // SAFETY: waits for our child.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(libc::WEXITSTATUS(status), 42);
        p.put(step(0x2000, 1, exit(0x1000)));
    }
}

#[test]
fn a_fork_and_a_compiling_thread_do_not_wait_for_each_other() {
    let p = Program::default();
    p.put(count_down(0x1000, 0x2000));
    p.put(step(0x2000, 1, exit(0x1000)));
    for background in [false, true] {
        let t = translator(&p, Options { background, ..eager() });
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    t.invalidate(0x2000..0x2004);
                    let mut s = State::default();
                    s.set_x(0, 20);
                    assert_eq!(run(&t, &s, 0x1000).0, Exit::Svc(1));
                }
            });
            for _ in 0..500 {
                t.before_fork();
                t.after_fork_parent();
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            done.store(true, Ordering::SeqCst);
        });
        assert!(t.stats().regions > 10, "nothing was compiled meanwhile: {:?}", t.stats());
    }
}

#[test]
fn what_ran_once_is_forgotten_before_it_takes_more_room_than_code_may() {
    const BLOCKS: u64 = 10_000;
    let p = Program::default();
    for n in 0..BLOCKS {
        let next = if n + 1 == BLOCKS { stop(0x10_0000 + 64 * BLOCKS) } else { exit(0x10_0000 + 64 * (n + 1)) };
        p.put(step(0x10_0000 + 64 * n, n, next));
    }
    let t = translator(&p, Options { quick: 8, threshold: 3000, cache_bytes: 1 << 20, ..eager() });
    for _ in 0..3 {
        let (e, s) = run(&t, &State::default(), 0x10_0000);
        assert_eq!((e, s.x(1)), (Exit::Svc(1), BLOCKS * (BLOCKS - 1) / 2));
        assert!(t.known() < 2500, "{}", t.known());
    }
    assert_ne!(t.known(), 0);
    t.reset();
    assert_eq!(t.known(), 0);
    assert_eq!(run(&t, &State::default(), 0x10_0000).0, Exit::Svc(1));
}
