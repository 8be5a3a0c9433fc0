//! The quick tier: one pass from a region's IR to x86-64, without optimisation and without waiting.
//!
//! What runs more than once is translated here; what turns out to be hot goes on to Cranelift. The code has the same
//! exits and link cells as compiled regions, so that both link to each other, and an entry of its own for each place
//! that several ways lead to. Backward jumps, also those inside, go through link cells: there the code can be left for
//! better code.
//!
//! State is written through (see [`regs`]), so it is exact at every guest instruction: a fault goes back to the
//! instruction that met it. Ops without a template here call the evaluator, as everywhere.
//!
//! Next to each link cell lies a count-down that exits by calls and backward jumps decrement. When it runs out, the
//! code leaves with [`crate::abi::EXIT_HOT`], and the run loop credits the target.

mod asm;
mod call;
mod exit;
mod flags;
mod float;
mod float_convert;
mod int;
mod memory;
mod regs;
mod shape;
mod vector;
mod vector_int;

use std::sync::atomic::AtomicU64;

use jib_ir::op::{Effect, Op};
use jib_ir::passes::{self, Room};
use jib_ir::region::{Region, Val};
use jib_ir::runtime::Helper;
use jib_ir::state::slot;
use jib_ir::ty::Ty;

use crate::abi::HostFeatures;
use crate::code_memory::FaultTable;
use crate::compile::Code;
use crate::options::{Memory, Options};
use crate::reloc::Target;
use asm::{Asm, Label, Mem, RAX, RBP, RDI, RDX, RSI, Reg};
use regs::{Loc, Registers, Value};
use shape::Shape;

/// RBP points this far into the state, so that the general registers have short displacements.
const BIAS: i32 = 128;

/// The region wants more than there is here: it stays with the other executors.
#[derive(Debug)]
struct TooHard;

/// The emitter with its reusable memory.
pub(crate) struct QuickCompiler {
    host: HostFeatures,
    helpers: &'static [Helper],
    /// Guest memory is reached through the table of [`crate::tlb`].
    table: bool,
    /// Code counts the guest instructions that it executes.
    count: bool,
    room: Room,
    region: Region,
    asm: Asm,
    vals: Vec<Value>,
    regs: Box<Registers>,
    cold: Vec<Cold>,
    labels: Vec<Label>,
}

/// Code out of the way, emitted after the rest.
enum Cold {
    /// Leaves with a code, state exact for the pc.
    Leave { from: Label, pc: u64, code: u64 },
    /// Asks for the host address of the guest address in RSI.
    Miss { from: Label, on: Label, info: u64, pc: u64 },
    /// Leaves with a code, state exact for the pc in RSI; RDX may be a link cell to note.
    LeaveAt { from: Label, code: u64, cell: bool },
    /// Jumps back to a guest address.
    Back { from: Label, pc: u64 },
    /// `d` by the evaluator, whose operands' numbers are those of their registers here.
    Exact { from: Label, on: Label, op: Op, operands: [Option<Reg>; 3], d: Reg },
}

/// A region being translated.
struct Quick<'a> {
    region: &'a Region,
    shape: Shape,
    host: &'a HostFeatures,
    helpers: &'static [Helper],
    table: bool,
    asm: &'a mut Asm,
    vals: &'a mut Vec<Value>,
    regs: &'a mut Registers,
    cold: &'a mut Vec<Cold>,
    /// Ops passed to the evaluator by address.
    #[expect(clippy::vec_box, reason = "the code holds their addresses")]
    ops: Vec<Box<Op>>,
    /// How many of them only rare operands need.
    rare: usize,
    faults: Vec<(u32, u64)>,
    /// Cells that lead to a fixed guest address, and that address.
    targets: Vec<(u32, u64)>,
    /// Guest addresses at which the code may be entered, and where.
    entries: Vec<(u64, u32)>,
    /// Executed instructions are counted.
    count: bool,
    /// FPCR is written, which changes the mode, so that the pc alone does not tell where to go. (What an exit block does
    /// follows the block that led to it.)
    mode_may_change: bool,
    /// Direct and indirect exits so far.
    exits: u32,
    /// The op being emitted.
    at: u32,
    /// First op of the block being emitted.
    block_start: u32,
    /// The block being emitted.
    block: usize,
    /// Guest address of the instruction being emitted.
    pc: u64,
}

/// Code that notes the unlinked cell (in RDX) and its target (in RSI), and leaves to the run loop.
pub(crate) fn link_stub() -> Vec<u8> {
    let mut asm = Asm::default();
    asm.store(Mem::at(RDI, slot::PC.offset()), RSI);
    asm.store(Mem::at(RDI, crate::abi::LINK), RDX);
    asm.mov_imm(RAX, crate::abi::EXIT_LINK);
    asm.ret();
    asm.finish().to_vec()
}

impl QuickCompiler {
    /// An emitter, unless the host lacks SSE4.1.
    pub(crate) fn new(helpers: &'static [Helper], options: &Options) -> Option<QuickCompiler> {
        let host = HostFeatures::detect();
        host.sse41.then(|| QuickCompiler {
            host,
            helpers,
            table: options.memory == Memory::Table,
            count: options.count,
            room: Room::default(),
            region: Region::default(),
            asm: Asm::default(),
            vals: Vec::new(),
            regs: Box::default(),
            cold: Vec::new(),
            labels: Vec::new(),
        })
    }

    /// A region to lift into.
    pub(crate) fn room(&mut self) -> Region {
        std::mem::take(&mut self.region)
    }

    /// Gives memory back to [`QuickCompiler::room`].
    pub(crate) fn give_back(&mut self, region: Region) {
        self.region = region;
    }

    /// Runs the passes on `region`, but for what [`Quick::find_uses`] does.
    pub(crate) fn optimize(&mut self, region: &mut Region) {
        passes::run_but_dce(region, &mut self.room);
    }

    /// Translates `region`; its cells first hold `stub`. `None` if it is too hard.
    pub(crate) fn compile(&mut self, region: &Region, stub: u64) -> Option<Code> {
        self.asm.clear();
        self.cold.clear();
        let mut quick = Quick {
            region,
            shape: Shape::of(region),
            host: &self.host,
            helpers: self.helpers,
            table: self.table,
            asm: &mut self.asm,
            vals: &mut self.vals,
            regs: &mut self.regs,
            cold: &mut self.cold,
            ops: Vec::new(),
            rare: 0,
            faults: Vec::new(),
            targets: Vec::new(),
            entries: Vec::new(),
            count: self.count,
            mode_may_change: false,
            exits: 0,
            at: 0,
            block_start: 0,
            block: 0,
            pc: region.key.pc,
        };
        quick.emit(&mut self.labels).ok()?;
        // Calls of the evaluator take so much longer that what makes many is hot sooner.
        let slowness = 1 + (EVALUATION * (quick.ops.len() - quick.rare)) as u32 / region.insns().max(1);
        let cells = new_cells(quick.exits as usize, stub, slowness);
        let (ops, points, targets, entries) = (quick.ops, quick.faults, quick.targets, quick.entries);
        let bytes = self.asm.finish().to_vec();
        let mut code = Code {
            bytes,
            relocs: self.asm.relocs.clone(),
            targets,
            entries,
            faults: Box::new(FaultTable { points, recipes: Vec::new(), pc: region.key.pc }),
            cells,
            slowness,
            ops,
            executed: self.count.then(Box::default),
        };
        code.relocate();
        Some(code)
    }
}

/// Cells for `exits` exits of code that takes `slowness` times as long, each with its count-down, that lead to `stub`.
pub(crate) fn new_cells(exits: usize, stub: u64, slowness: u32) -> Box<[AtomicU64]> {
    let count = first_count(slowness);
    (0..2 * exits).map(|n| AtomicU64::new(if n % 2 == 0 { stub } else { count })).collect()
}

/// An evaluation takes as long as about so many instructions.
const EVALUATION: usize = 24;

/// [`FIRST_COUNT`] for code that takes `slowness` times as long.
pub(crate) fn first_count(slowness: u32) -> u64 {
    (FIRST_COUNT / u64::from(slowness.max(1))).max(1)
}

/// Uses of an exit before its target is looked at for the first time, and between looks.
pub(crate) const FIRST_COUNT: u64 = 1024;
/// The same where the last target seen is optimised already, or about to be.
pub(crate) const LATER_COUNT: u64 = 16384;

/// Does `op` do nothing but give a value?
fn droppable(op: &Op) -> bool {
    matches!(op.effect(), Effect::Pure | Effect::Read)
}

impl Quick<'_> {
    /// `labels` is room for those of the blocks.
    fn emit(&mut self, labels: &mut Vec<Label>) -> Result<(), TooHard> {
        self.find_uses();
        if self.shape.blocks() > 1 && self.mode_may_change {
            return Err(TooHard);
        }
        labels.clear();
        labels.extend((0..self.region.blocks.len()).map(|_| self.asm.label()));
        let mut mark = 0;
        for (b, block) in self.region.blocks.iter().enumerate() {
            if !self.shape.goes_on(b) {
                self.regs.clear();
                if self.shape.is_code(b) {
                    self.entries.push((block.pc, self.asm.offset()));
                    self.asm.lea(RBP, Mem::at(RDI, BIAS));
                }
            }
            self.asm.bind(labels[b]);
            if let (true, insns @ 1..) = (self.count, block.insns) {
                self.asm.address(RAX, Target::Executed);
                self.asm.add_to(Mem::at(RAX, 0), insns as i32);
            }
            (self.block, self.block_start) = (b, block.ops.start);
            for i in block.ops.clone() {
                self.at = i;
                while let Some(m) = self.region.marks.get(mark).filter(|m| m.op <= i) {
                    self.pc = m.pc;
                    mark += 1;
                }
                self.regs.unlock();
                self.op(self.region.ops[i as usize], labels)?;
            }
        }
        self.cold_code()
    }

    /// Finds the last use of each value by what has an effect or is used itself.
    fn find_uses(&mut self) {
        self.vals.clear();
        self.vals.resize(self.region.ops.len(), Value { loc: Loc::Lazy, last_use: 0, clean: false });
        for (i, op) in self.region.ops.iter().enumerate().rev() {
            if self.vals[i].last_use == 0 && droppable(op) {
                continue;
            }
            self.mode_may_change |= matches!(op, Op::Set { slot: slot::FPCR, .. });
            op.for_each_arg(&mut |v| {
                let value = &mut self.vals[v.index()];
                value.last_use = value.last_use.max(i as u32);
            });
        }
    }

    /// The type of value `v`.
    fn ty(&self, v: Val) -> Option<Ty> {
        self.region.ops[v.index()].ty()
    }

    /// The constant that `v` is.
    fn imm(&self, v: Val) -> Option<u64> {
        match self.region.ops[v.index()] {
            Op::Imm { v, .. } => Some(v),
            _ => None,
        }
    }

    /// The constant that `v` is, if it fits an instruction that sign-extends it (`wide`) or takes 32 bits.
    fn small_imm(&self, v: Val, wide: bool) -> Option<i32> {
        let v = self.imm(v)?;
        if wide { i32::try_from(v as i64).ok() } else { Some(v as i32) }
    }

    fn op(&mut self, op: Op, labels: &[Label]) -> Result<(), TooHard> {
        if self.vals[self.at as usize].last_use == 0 && droppable(&op) {
            return Ok(());
        }
        match op {
            Op::Imm { .. } | Op::VImm { .. } => Ok(()),
            Op::Get { ty, slot } => self.get(ty, slot),
            Op::Set { ty, slot, v } => self.set(ty, slot, v),
            Op::Bin { .. }
            | Op::Un { .. }
            | Op::Ext { .. }
            | Op::Cmp { .. }
            | Op::TestBit { .. }
            | Op::BNot { .. }
            | Op::BAnd { .. }
            | Op::FromBool { .. }
            | Op::Select { .. } => self.int_op(op),
            Op::Flags { .. }
            | Op::FlagsAdc { .. }
            | Op::FlagsLogic { .. }
            | Op::FlagsPack { .. }
            | Op::FlagsUnpack { .. }
            | Op::Cond { .. } => self.flags_op(op),
            Op::Call { helper, a, b, c, d } => self.call_helper(helper, [a, b, c, d]),
            Op::FBin { .. }
            | Op::FUn { .. }
            | Op::FSign { .. }
            | Op::FMulAdd { .. }
            | Op::FRound { .. }
            | Op::FCmp { .. }
            | Op::FMask { .. }
            | Op::FCvt { .. }
            | Op::FToInt { .. }
            | Op::IntToF { .. } => self.float_op(op),
            _ => match op.effect() {
                Effect::Load | Effect::Store => {
                    self.note_fault_point();
                    self.memory_op(op)
                }
                Effect::End => self.end_op(op, labels),
                _ => self.vector_op(op),
            },
        }
    }

    /// What is emitted from now on faults at the instruction being emitted.
    fn note_fault_point(&mut self) {
        if self.faults.last().is_none_or(|f| f.1 != self.pc) {
            self.faults.push((self.asm.offset(), self.pc));
        }
    }

    /// Where the guest pc is kept.
    const fn pc_place() -> Mem {
        regs::state(slot::PC.offset())
    }
}
