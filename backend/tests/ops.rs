//! Every integer, flag and memory op, compiled and interpreted, on edge values: same state afterwards.

mod common;

use common::check::*;
use jib_ir::op::*;
use jib_ir::runtime::RmwOp;
use jib_ir::state::Slot;
use jib_ir::ty::*;

const INT_TYS: [Ty; 2] = [Ty::I32, Ty::I64];

#[test]
fn integers() {
    let mut c = Check::new();
    use BinOp::*;
    for ty in INT_TYS {
        for op in [Add, Sub, Mul, UMulHi, SMulHi, UDiv, SDiv, And, Or, Xor, AndNot, Shl, Shr, Sar, Ror] {
            c.op(|b| Op::Bin { op, ty, a: operand(b, ty, 0), b: operand(b, ty, 1) });
        }
        use UnOp::*;
        for op in [Not, Neg, Clz, Ctz, Cls, Rbit, Rev, Rev16, Popcnt] {
            c.op(|b| Op::Un { op, ty, a: operand(b, ty, 0) });
        }
        for cc in [Cc::Eq, Cc::Ne, Cc::Slt, Cc::Sle, Cc::Ult, Cc::Ule] {
            c.op(|b| Op::Cmp { cc, ty, a: operand(b, ty, 0), b: operand(b, ty, 1) });
        }
        for bit in [0, 1, 31] {
            c.op(|b| Op::TestBit { ty, a: operand(b, ty, 0), bit });
        }
        for from in INT_TYS {
            for (signed, bits) in (1..=64).flat_map(|n| [(false, n), (true, n)]) {
                if bits <= from.int_bits().unwrap() as u8 {
                    c.op(|b| Op::Ext { ty, signed, bits, a: operand(b, from, 0) });
                }
            }
        }
        c.op(|b| {
            let k = operand(b, Ty::Bool, 2);
            Op::Select { ty, c: k, a: operand(b, ty, 0), b: operand(b, ty, 1) }
        });
        c.op(|_| Op::Imm { ty, v: 0xffff_fffe });
    }
    c.op(|b| Op::TestBit { ty: Ty::I64, a: operand(b, Ty::I64, 0), bit: 63 });
    c.op(|b| Op::Un { op: UnOp::Rev32, ty: Ty::I64, a: operand(b, Ty::I64, 0) });
    c.op(|b| Op::BNot { c: operand(b, Ty::Bool, 0) });
    c.op(|b| Op::BAnd { a: operand(b, Ty::Bool, 0), b: operand(b, Ty::Bool, 1) });
    for (k, size) in [Size::B1, Size::B2, Size::B4, Size::B8].into_iter().flat_map(|s| [(false, s), (true, s)]) {
        c.op(|b| Op::Crc32 { c: k, size, acc: operand(b, Ty::I32, 0), v: operand(b, Ty::I64, 1) });
    }
    c.run(&int_states());
}

#[test]
fn flags() {
    let mut c = Check::new();
    for ty in INT_TYS {
        for op in [FlagOp::Add, FlagOp::Sub] {
            c.op(|b| Op::Flags { op, ty, a: operand(b, ty, 0), b: operand(b, ty, 1) });
        }
        c.op(|b| Op::FlagsLogic { ty, a: operand(b, ty, 0) });
        c.op(|b| {
            let k = operand(b, Ty::Bool, 2);
            Op::FlagsAdc { ty, a: operand(b, ty, 0), b: operand(b, ty, 1), c: k }
        });
        for cond in Cond::ALL {
            for op in [FlagOp::Add, FlagOp::Sub] {
                c.op(|b| {
                    let (x, y) = (operand(b, ty, 0), operand(b, ty, 1));
                    Op::Cond { cond, f: b.flags(op, x, y) }
                });
            }
            c.op(|b| {
                let x = operand(b, ty, 0);
                Op::Cond { cond, f: b.flags_logic(x) }
            });
            c.op(|b| {
                let (x, y, k) = (operand(b, ty, 0), operand(b, ty, 1), operand(b, Ty::Bool, 2));
                Op::Cond { cond, f: b.push(Op::FlagsAdc { ty, a: x, b: y, c: k }) }
            });
            c.op(|b| {
                let (x, y, k) = (operand(b, ty, 0), operand(b, ty, 1), operand(b, Ty::Bool, 2));
                let (f, g) = (b.flags(FlagOp::Sub, x, y), b.flags_logic(x));
                Op::Cond { cond, f: b.select(k, f, g) }
            });
        }
    }
    for cond in Cond::ALL {
        c.op(|b| Op::Cond { cond, f: operand(b, Ty::Flags, 0) });
    }
    c.op(|b| Op::FlagsPack { a: operand(b, Ty::I32, 0) });
    c.op(|b| Op::FlagsUnpack { f: operand(b, Ty::Flags, 0) });
    c.op(|b| {
        let (x, y) = (operand(b, Ty::I64, 0), operand(b, Ty::I64, 1));
        Op::FlagsUnpack { f: b.flags(FlagOp::Sub, x, y) }
    });
    c.run(&int_states());
}

#[test]
fn memory() {
    let mut c = Check::new();
    let buffer: Vec<u64> = INTS.to_vec();
    let cell = Box::leak(Box::new([0x0123_4567_89ab_cdefu64, 0xfedc_ba98_7654_3210, 3, 4]));
    for ty in [Ty::I32, Ty::I64, Ty::V128] {
        for size in Size::ALL {
            if ty == Ty::V128 || size.bytes() * 8 <= u64::from(ty.int_bits().unwrap()) {
                for order in [Order::Plain, Order::AcqRel] {
                    c.op(|b| Op::Load { ty, size, order, addr: operand(b, Ty::I64, 3) });
                    c.op(|b| {
                        let (addr, x) = (operand(b, Ty::I64, 4), operand(b, ty, 1));
                        b.push(Op::Store { ty, size, order, addr, v: x });
                        Op::Load { ty: Ty::V128, size: Size::B16, order, addr }
                    });
                }
                let cas = if ty == Ty::V128 { size == Size::B16 } else { true };
                if cas {
                    c.op(|b| {
                        let (addr, e, n) = (operand(b, Ty::I64, 4), operand(b, ty, 0), operand(b, ty, 1));
                        b.push(Op::Store { ty, size, order: Order::Plain, addr, v: e });
                        let old = b.push(Op::Cas { ty, size, addr, expected: e, new: n });
                        b.set(if ty == Ty::V128 { v(6) } else { Slot(6) }, old);
                        let k = operand(b, Ty::Bool, 2);
                        Op::CasIf { ty, size, c: k, addr, expected: n, new: e }
                    });
                }
            }
        }
    }
    use RmwOp::*;
    for op in [Add, Clr, Xor, Or, SMax, SMin, UMax, UMin, Swap] {
        for size in [Size::B1, Size::B2, Size::B4, Size::B8] {
            for ty in INT_TYS {
                if size.bytes() * 8 <= u64::from(ty.int_bits().unwrap()) {
                    c.op(|b| {
                        let (addr, x, y) = (operand(b, Ty::I64, 4), operand(b, Ty::I64, 0), operand(b, ty, 1));
                        b.store(Size::B8, addr, x);
                        let old = b.push(Op::Rmw { op, ty, size, addr, v: y });
                        b.set(Slot(6), old);
                        Op::Load { ty: Ty::I64, size: Size::B8, order: Order::Plain, addr }
                    });
                }
            }
        }
    }
    for (rule, size) in [(Align::Natural, Size::B2), (Align::Natural, Size::B16), (Align::Within16, Size::B8)] {
        c.op(|b| Op::CheckAlign { rule, size, write: true, addr: operand(b, Ty::I64, 4) });
    }
    c.op(|_| Op::Fence { kind: Fence::Full });
    c.op(|_| Op::Fence { kind: Fence::Compiler });
    let mut states = int_states();
    for (i, s) in states.iter_mut().enumerate() {
        s.set_x(3, buffer.as_ptr() as u64 + (i as u64 % 64));
        s.set_x(4, cell.as_ptr() as u64);
        s.set_v(0, u128::from(s.x(0)) << 64 | u128::from(s.x(1)));
        s.set_v(1, u128::from(s.x(1)) << 64 | u128::from(s.x(0)));
    }
    c.run(&states);
}
