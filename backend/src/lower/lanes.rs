//! Vector integer arithmetic, lane by lane, across lanes, and between lane widths.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use jib_ir::op::{Op, VBinOp, VReduceOp, VUnOp};
use jib_ir::region::Val;
use jib_ir::ty::{Lane, Shape};

use super::vector::lanes_of;
use super::{Lowerer, Repr};

impl Lowerer<'_, '_> {
    /// `op` is the whole row, for those that go out of line.
    pub(super) fn vbin(&mut self, row: Op, op: VBinOp, lane: Lane, a: Val, b: Val) -> Repr {
        if matches!(op, VBinOp::PMul | VBinOp::SShl | VBinOp::UShl | VBinOp::SRShl | VBinOp::URShl) {
            return self.by_thunk(row, &[a, b]);
        }
        let ty = lanes_of(lane);
        let (x, y) = (self.vec_as(ty, a), self.vec_as(ty, b));
        let r = match op {
            VBinOp::Zip1 | VBinOp::Zip2 | VBinOp::Uzp1 | VBinOp::Uzp2 | VBinOp::Trn1 | VBinOp::Trn2 => {
                return self.permute(a, b, |i| source_byte(op, lane.bytes() as u8, i));
            }
            VBinOp::AddP | VBinOp::SMaxP | VBinOp::SMinP | VBinOp::UMaxP | VBinOp::UMinP => {
                self.pairwise(op, lane, x, y)
            }
            VBinOp::CmpEq => self.b.ins().icmp(IntCC::Equal, x, y),
            VBinOp::CmpGt => self.b.ins().icmp(IntCC::SignedGreaterThan, x, y),
            VBinOp::CmpGe => self.b.ins().icmp(IntCC::SignedGreaterThanOrEqual, x, y),
            VBinOp::CmpHi => self.b.ins().icmp(IntCC::UnsignedGreaterThan, x, y),
            VBinOp::CmpHs => self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, x, y),
            VBinOp::CmpTst => {
                let both = self.b.ins().band(x, y);
                let zero = self.zero(lane);
                self.b.ins().icmp(IntCC::NotEqual, both, zero)
            }
            VBinOp::SHAdd | VBinOp::UHAdd | VBinOp::SHSub | VBinOp::UHSub | VBinOp::SRHAdd | VBinOp::URHAdd => {
                self.halving(op, lane, x, y)
            }
            VBinOp::Mul if lane == Lane::B => self.mul_bytes(x, y),
            _ => self.plain(op, x, y),
        };
        self.whole_of(r)
    }

    /// Ops that the host has, or nearly.
    fn plain(&mut self, op: VBinOp, x: Value, y: Value) -> Value {
        match op {
            VBinOp::Add => self.b.ins().iadd(x, y),
            VBinOp::Sub => self.b.ins().isub(x, y),
            VBinOp::Mul => self.b.ins().imul(x, y),
            VBinOp::SMin => self.b.ins().smin(x, y),
            VBinOp::UMin => self.b.ins().umin(x, y),
            VBinOp::SMax => self.b.ins().smax(x, y),
            VBinOp::UMax => self.b.ins().umax(x, y),
            VBinOp::SAbd => {
                let (max, min) = (self.b.ins().smax(x, y), self.b.ins().smin(x, y));
                self.b.ins().isub(max, min)
            }
            VBinOp::UAbd => {
                let (max, min) = (self.b.ins().umax(x, y), self.b.ins().umin(x, y));
                self.b.ins().isub(max, min)
            }
            _ => unreachable!("op {} has another place", self.at),
        }
    }

    fn zero(&mut self, lane: Lane) -> Value {
        let z = self.vconst(0);
        self.cast(lanes_of(lane), z)
    }

    /// The same value in each lane.
    fn splat(&mut self, lane: Lane, v: u64) -> Value {
        let n = lane.bits();
        let bits = (0..lane.count()).fold(0u128, |all, i| all | u128::from(v & lane.mask()) << (i * n));
        let c = self.vconst(bits);
        self.cast(lanes_of(lane), c)
    }

    /// Even and odd bytes are multiplied in 16-bit lanes.
    fn mul_bytes(&mut self, x: Value, y: Value) -> Value {
        let (x, y) = (self.cast(types::I16X8, x), self.cast(types::I16X8, y));
        let even = self.b.ins().imul(x, y);
        let low = self.splat(Lane::H, 0xff);
        let even = self.b.ins().band(even, low);
        let (x, y) = (self.b.ins().ushr_imm_u(x, 8), self.b.ins().ushr_imm_u(y, 8));
        let odd = self.b.ins().imul(x, y);
        let odd = self.b.ins().ishl_imm_u(odd, 8);
        self.b.ins().bor(even, odd)
    }

    /// Averages without the extra bit: `a + b` is `2 (a & b) + (a ^ b)`, and the like for the others.
    fn halving(&mut self, op: VBinOp, lane: Lane, x: Value, y: Value) -> Value {
        if op == VBinOp::URHAdd && matches!(lane, Lane::B | Lane::H) {
            return self.b.ins().avg_round(x, y);
        }
        let differ = self.b.ins().bxor(x, y);
        let half = match op {
            VBinOp::SHAdd | VBinOp::SHSub | VBinOp::SRHAdd => self.b.ins().sshr_imm_u(differ, 1),
            _ => self.b.ins().ushr_imm_u(differ, 1),
        };
        match op {
            VBinOp::SHAdd | VBinOp::UHAdd => {
                let both = self.b.ins().band(x, y);
                self.b.ins().iadd(both, half)
            }
            VBinOp::SRHAdd | VBinOp::URHAdd => {
                let any = self.b.ins().bor(x, y);
                self.b.ins().isub(any, half)
            }
            _ => {
                let not_x = self.b.ins().bnot(x);
                let borrow = self.b.ins().band(not_x, y);
                self.b.ins().isub(half, borrow)
            }
        }
    }

    fn pairwise(&mut self, op: VBinOp, lane: Lane, x: Value, y: Value) -> Value {
        if op == VBinOp::AddP && matches!(lane, Lane::H | Lane::S) {
            return self.b.ins().iadd_pairwise(x, y);
        }
        let n = lane.bytes() as u8;
        let (x, y) = (self.cast(types::I8X16, x), self.cast(types::I8X16, y));
        let even = self.permute_bytes(x, y, |i| source_byte(VBinOp::Uzp1, n, i));
        let odd = self.permute_bytes(x, y, |i| source_byte(VBinOp::Uzp2, n, i));
        let (even, odd) = (self.cast(lanes_of(lane), even), self.cast(lanes_of(lane), odd));
        let op = match op {
            VBinOp::SMaxP => VBinOp::SMax,
            VBinOp::SMinP => VBinOp::SMin,
            VBinOp::UMaxP => VBinOp::UMax,
            VBinOp::UMinP => VBinOp::UMin,
            _ => VBinOp::Add,
        };
        self.plain(op, even, odd)
    }

    pub(super) fn vun(&mut self, row: Op, op: VUnOp, lane: Lane, a: Val) -> Repr {
        let n = lane.bytes() as u8;
        match op {
            VUnOp::Abs | VUnOp::Neg | VUnOp::Cnt => {
                let x = self.vec_as(lanes_of(lane), a);
                let r = match op {
                    VUnOp::Abs => self.b.ins().iabs(x),
                    VUnOp::Neg => self.b.ins().ineg(x),
                    _ => self.b.ins().popcnt(x),
                };
                self.whole_of(r)
            }
            VUnOp::Rev16 => self.permute(a, a, |i| reversed(2, n, i)),
            VUnOp::Rev32 => self.permute(a, a, |i| reversed(4, n, i)),
            VUnOp::Rev64 => self.permute(a, a, |i| reversed(8, n, i)),
            VUnOp::SAddLP | VUnOp::UAddLP if lane != Lane::D => {
                let x = self.vec_as(lanes_of(lane), a);
                let r = self.add_long_pairs(op == VUnOp::SAddLP, lane, x);
                self.whole_of(r)
            }
            _ => self.by_thunk(row, &[a]),
        }
    }

    /// Sums of neighbours in lanes of twice the width.
    fn add_long_pairs(&mut self, signed: bool, lane: Lane, x: Value) -> Value {
        let wide = lanes_of(lane.wider().unwrap_or(Lane::D));
        if lane == Lane::B && self.env.host.ssse3 {
            let ones = self.splat(Lane::B, 1);
            let (signed_side, unsigned_side) = if signed { (x, ones) } else { (ones, x) };
            return self.b.ins().x86_pmaddubsw(signed_side, unsigned_side);
        }
        let bits = i64::from(lane.bits());
        let x = self.cast(wide, x);
        let (low, high) = if signed {
            let up = self.b.ins().ishl_imm_u(x, bits);
            (self.b.ins().sshr_imm_u(up, bits), self.b.ins().sshr_imm_u(x, bits))
        } else {
            let up = self.b.ins().ishl_imm_u(x, bits);
            (self.b.ins().ushr_imm_u(up, bits), self.b.ins().ushr_imm_u(x, bits))
        };
        self.b.ins().iadd(low, high)
    }

    /// The low half's lanes in twice the width.
    pub(super) fn widen_low(&mut self, signed: bool, lane: Lane, v: Value) -> Value {
        let v = self.cast(lanes_of(lane), v);
        if signed { self.b.ins().swiden_low(v) } else { self.b.ins().uwiden_low(v) }
    }

    pub(super) fn vnarrow(&mut self, row: Op, lane: Lane, a: Val) -> Repr {
        if !self.env.host.ssse3 {
            return self.evaluate(row);
        }
        let n = lane.bytes() as u8;
        let mask: [u8; 16] = std::array::from_fn(|i| if i < 8 { (i as u8 / n) * 2 * n + i as u8 % n } else { 0x80 });
        let mask = self.vconst(u128::from_le_bytes(mask));
        let a = self.vec(a);
        Repr::Vec(self.b.ins().x86_pshufb(a, mask))
    }

    pub(super) fn vreduce(&mut self, op: VReduceOp, lane: Lane, shape: Shape, a: Val) -> Repr {
        let mut v = self.vec_as(lanes_of(lane), a);
        let mut lane = lane;
        let step = match op {
            VReduceOp::Add => VBinOp::Add,
            VReduceOp::SAddL | VReduceOp::UAddL => {
                if let Some(wider) = lane.wider() {
                    v = self.add_long_pairs(op == VReduceOp::SAddL, lane, v);
                    lane = wider;
                }
                VBinOp::Add
            }
            VReduceOp::SMax => VBinOp::SMax,
            VReduceOp::SMin => VBinOp::SMin,
            VReduceOp::UMax => VBinOp::UMax,
            VReduceOp::UMin => VBinOp::UMin,
        };
        let mut bytes = if shape == Shape::Full { 8 } else { 4 };
        while bytes >= lane.bytes() as u8 {
            let all = self.cast(types::I8X16, v);
            let down = self.permute_bytes(all, all, |i| (i + bytes) % 16);
            let down = self.cast(lanes_of(lane), down);
            v = self.plain(step, v, down);
            bytes /= 2;
        }
        let v = self.cast(types::I8X16, v);
        let mask = self.vconst(u128::from(lane.mask()));
        Repr::Vec(self.b.ins().band(v, mask))
    }
}

/// Where byte `i` of a permutation of lanes of `n` bytes comes from, in the 32 bytes `b:a`.
fn source_byte(op: VBinOp, n: u8, i: u8) -> u8 {
    let (to, byte, count) = (i / n, i % n, 16 / n);
    // Lanes 0 to count - 1 are `a`, from there on `b`.
    let lane = match op {
        VBinOp::Zip1 => to / 2 + to % 2 * count,
        VBinOp::Zip2 => count / 2 + to / 2 + to % 2 * count,
        VBinOp::Uzp1 => 2 * to,
        VBinOp::Uzp2 => 2 * to + 1,
        VBinOp::Trn1 => to / 2 * 2 + to % 2 * count,
        _ => to / 2 * 2 + 1 + to % 2 * count,
    };
    lane * n + byte
}

/// Where byte `i` comes from when lanes of `n` bytes are reversed within groups of `group` bytes.
fn reversed(group: u8, n: u8, i: u8) -> u8 {
    let (base, lane, byte) = (i / group * group, i % group / n, i % n);
    base + (group / n - 1 - lane) * n + byte
}
