//! Where guest addresses are translated: the host address of an access, from the table of [`crate::tlb`].

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use jib_ir::op::Order;
use jib_ir::state::slot;
use jib_ir::ty::Size;

use super::Lowerer;
use super::memory::Place;
use crate::{abi, tlb};

/// The guest pages that one tag stands for.
const PAGE_MASK: i64 = !0xfff;

impl Lowerer<'_, '_> {
    /// Where the host makes a guest access of `size` at `at`: the place itself, or what the table has for it. A miss
    /// asks the runtime, out of line; what it refuses is done by the interpreter, from the last checkpoint on.
    pub(super) fn host_place(&mut self, at: Place, size: Size, write: bool, order: Order) -> Place {
        if !self.env.table {
            return at;
        }
        let addr = match at.offset {
            0 => at.base,
            offset => self.b.ins().iadd_imm_s(at.base, i64::from(offset)),
        };
        Place { base: self.host_address(addr, size, write, order == Order::Unprivileged), offset: 0 }
    }

    fn host_address(&mut self, addr: Value, size: Size, write: bool, unprivileged: bool) -> Value {
        let (miss, on) = (self.b.create_block(), self.b.create_block());
        let hit = self.b.create_block();
        self.b.set_cold_block(miss);
        let host = self.b.append_block_param(on, types::I64);

        let last = match size {
            Size::B1 => addr,
            _ => self.b.ins().iadd_imm_s(addr, size.bytes() as i64 - 1),
        };
        let page = self.b.ins().band_imm_s(last, PAGE_MASK);
        let shifted = self.b.ins().ushr_imm_u(addr, i64::from(tlb::INDEX_SHIFT));
        let index = self.b.ins().band_imm_u(shifted, tlb::INDEX_MASK as i64);
        let table = self.load_state(types::I64, if unprivileged { abi::TLB_UNPRIVILEGED } else { abi::TLB });
        let entry = self.b.ins().iadd(table, index);
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.tlb));
        let tag = self.b.ins().load(types::I64, flags, entry, if write { tlb::WRITE } else { tlb::READ });
        let same = self.b.ins().icmp(IntCC::Equal, page, tag);
        self.b.ins().brif(same, hit, &[], miss, &[]);

        self.b.switch_to_block(hit);
        let addend = self.b.ins().load(types::I64, flags, entry, tlb::ADDEND);
        let direct = self.b.ins().iadd(addr, addend);
        self.b.ins().jump(on, &[direct.into()]);

        self.b.switch_to_block(miss);
        self.miss(addr, size, write, unprivileged, on);
        self.b.switch_to_block(on);
        host
    }

    /// Asks the runtime; goes `on` with the host address it gives, or leaves.
    fn miss(&mut self, addr: Value, size: Size, write: bool, unprivileged: bool, on: cranelift_codegen::ir::Block) {
        let info = self.const64(abi::encode_access(write, size, unprivileged));
        let target = self.const64(abi::tlb_miss_preserving() as u64);
        self.b.ins().call_indirect(self.sigs.miss, target, &[self.st, addr, info]);
        let found = self.load_state(types::I64, abi::TLB_FOUND);
        let refused = self.b.create_block();
        self.b.set_cold_block(refused);
        self.b.ins().brif(found, on, &[found.into()], refused, &[]);
        self.b.switch_to_block(refused);
        let pc = self.const64(self.cur.checkpoint);
        self.store_state(pc, slot::PC.offset());
        self.leave(abi::EXIT_FAULT);
    }
}
