//! Where guest addresses are translated: the host address of an access, from the table of [`crate::tlb`].
//!
//! One look serves all accesses of an instruction to the same base register. Later ones with the same base only ask
//! whether they are still in the page that was found, and not even that where the bytes are the same.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, MemFlagsData, Value, types};
use jib_ir::op::{Op, Order};
use jib_ir::region::Val;
use jib_ir::ty::Size;

use super::Lowerer;
use super::memory::Place;
use crate::reloc::Target;
use crate::{abi, tlb};

/// The guest pages that one tag stands for.
const PAGE_MASK: i64 = !0xfff;
/// Most pages remembered.
const REMEMBERED: usize = 6;
/// Longest range that is looked up at once.
const LONGEST: i32 = 128;

/// A page that was found: bytes `start..end` from `base` lie in it.
#[derive(Clone, Copy)]
pub(super) struct Found {
    base: Value,
    start: i32,
    end: i32,
    write: bool,
    /// Its guest address.
    page: Value,
    /// `base` as a host address.
    host: Value,
}

/// An access to be looked up: bytes `start..end` from a guest address.
#[derive(Clone, Copy)]
struct Wanted {
    base: Value,
    start: i32,
    end: i32,
    write: bool,
    unprivileged: bool,
}

impl Lowerer<'_, '_> {
    /// Where the host makes the plain guest access of `size` at `addr`.
    pub(super) fn place(&mut self, addr: Val, size: Size, write: bool, order: Order) -> Place {
        let (root, offset) = self.root(addr);
        let base = self.int(root);
        if !self.env.table {
            return Place { base, offset };
        }
        let end = offset + size.bytes() as i32;
        let mut wanted = Wanted { base, start: offset, end, write, unprivileged: order == Order::Unprivileged };
        if wanted.unprivileged {
            return Place { base: self.look_up(&wanted).1, offset };
        }
        let known = self.cur.found.iter().rev().filter(|f| f.base == base && (f.write || !write)).copied();
        let near = known.clone().find(|f| f.start <= offset && end <= f.end).or_else(|| known.clone().next());
        let (page, host) = match near {
            Some(f) if f.start <= offset && end <= f.end => return Place { base: f.host, offset },
            Some(f) if f.start <= offset || end <= f.end => self.still_in(&f, &wanted),
            _ => {
                self.widen_to_instruction(&mut wanted, root);
                self.look_up(&wanted)
            }
        };
        if self.cur.found.len() == REMEMBERED {
            self.cur.found.remove(0);
        }
        self.cur.found.push(Found { base, start: wanted.start, end: wanted.end, write, page, host });
        Place { base: host, offset }
    }

    /// The host address of an access to `addr` by other means than plain loads and stores.
    pub(super) fn place_of(&mut self, addr: Value, size: Size, write: bool) -> Value {
        if !self.env.table {
            return addr;
        }
        let end = size.bytes() as i32;
        self.look_up(&Wanted { base: addr, start: 0, end, write, unprivileged: false }).1
    }

    /// Adds to `wanted` what the instruction accesses besides at the same base.
    fn widen_to_instruction(&self, wanted: &mut Wanted, root: Val) {
        for op in &self.region.ops[self.at as usize + 1..self.insn_end as usize] {
            let (addr, size) = match *op {
                Op::Load { addr, size, order: Order::Plain, .. } if !wanted.write => (addr, size),
                Op::Store { addr, size, order: Order::Plain, .. } if wanted.write => (addr, size),
                _ => continue,
            };
            let (other, offset) = self.root(addr);
            let (start, end) = (wanted.start.min(offset), wanted.end.max(offset + size.bytes() as i32));
            if other == root && end - start <= LONGEST {
                (wanted.start, wanted.end) = (start, end);
            }
        }
    }

    /// Looks in the table. A miss asks the runtime, out of line; what it refuses is done by the interpreter, from the
    /// last checkpoint on. The guest page, and the host address that belongs to the base.
    fn look_up(&mut self, w: &Wanted) -> (Value, Value) {
        let (hit, miss, on) = self.three_blocks();
        let first = self.offset_by(w.base, w.start);
        let last = self.offset_by(w.base, w.end - 1);
        let page = self.b.ins().band_imm_s(last, PAGE_MASK);
        let shifted = self.b.ins().ushr_imm_u(first, i64::from(tlb::INDEX_SHIFT));
        let index = self.b.ins().band_imm_u(shifted, tlb::INDEX_MASK as i64);
        let table = self.load_state(types::I64, if w.unprivileged { abi::TLB_UNPRIVILEGED } else { abi::TLB });
        let entry = self.b.ins().iadd(table, index);
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.tlb));
        let tag = self.b.ins().load(types::I64, flags, entry, if w.write { tlb::WRITE } else { tlb::READ });
        let same = self.b.ins().icmp(IntCC::Equal, page, tag);
        self.b.ins().brif(same, hit, &[], miss, &[]);

        self.b.switch_to_block(hit);
        let addend = self.b.ins().load(types::I64, flags, entry, tlb::ADDEND);
        let direct = self.b.ins().iadd(w.base, addend);
        self.b.ins().jump(on, &[direct.into()]);

        self.b.switch_to_block(miss);
        self.miss(w, first, on);
        self.b.switch_to_block(on);
        (page, self.b.block_params(on)[0])
    }

    /// The same for an access that is probably in the page `f`.
    fn still_in(&mut self, f: &Found, w: &Wanted) -> (Value, Value) {
        let (_, miss, on) = self.three_blocks();
        // The end that is not known to be in the page.
        let far = if f.start <= w.start { w.end - 1 } else { w.start };
        let far = self.offset_by(w.base, far);
        let page = self.b.ins().band_imm_s(far, PAGE_MASK);
        let same = self.b.ins().icmp(IntCC::Equal, page, f.page);
        self.b.ins().brif(same, on, &[BlockArg::Value(f.host)], miss, &[]);
        self.b.switch_to_block(miss);
        let first = self.offset_by(w.base, w.start);
        self.miss(w, first, on);
        self.b.switch_to_block(on);
        (page, self.b.block_params(on)[0])
    }

    /// For a hit, for a miss (cold), and for both with the base's host address.
    fn three_blocks(&mut self) -> (Block, Block, Block) {
        let (hit, miss, on) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(miss);
        self.b.append_block_param(on, types::I64);
        (hit, miss, on)
    }

    fn offset_by(&mut self, base: Value, offset: i32) -> Value {
        if offset == 0 { base } else { self.b.ins().iadd_imm_s(base, i64::from(offset)) }
    }

    /// Asks the runtime for the access, which begins at `first`; goes `on` with what it gives, or leaves.
    fn miss(&mut self, w: &Wanted, first: Value, on: Block) {
        let info = self.const64(abi::encode_access(w.write, w.end - w.start, w.unprivileged));
        let target = self.address(Target::program(abi::tlb_miss_preserving()));
        self.b.ins().call_indirect(self.sigs.miss, target, &[self.st, first, info]);
        let found = self.load_state(types::I64, abi::TLB_FOUND);
        let (refused, given) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(refused);
        self.b.set_cold_block(given);
        self.b.ins().brif(found, given, &[], refused, &[]);
        self.b.switch_to_block(refused);
        self.leave_to_checkpoint();
        self.b.switch_to_block(given);
        let host = self.offset_by(found, -w.start);
        self.b.ins().jump(on, &[host.into()]);
    }
}
