//! Region to CLIF: one function per region, guest state in SSA values, exact state at every checkpoint.
//!
//! Reading order: [`plan`] (what is live where), [`state`] (slots, dirtiness, checkpoints), then one file per
//! chapter of ops. The function's signature is `(state, guest pc, link) -> exit code` in the `Tail` convention; the
//! guest pc selects the entry, the link is only for the stub that catches unlinked exits.

mod address;
mod aes;
mod call;
mod dead_flags;
mod exit;
mod flags;
mod float;
mod float_check;
mod float_convert;
mod float_step;
mod int;
mod keep;
mod lanes;
mod memory;
mod narrow;
mod plan;
mod probe;
mod returns;
mod saturate;
mod shift;
mod state;

pub(crate) use exit::stays_mapped;
mod vector;

use cranelift_codegen::ir::{
    AbiParam, AliasRegion, AliasRegionData, Block as ClifBlock, Function, InstBuilder, InstructionData, MemFlagsData,
    Opcode, SigRef, Signature, SourceLoc, Type, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Switch};
use jib_ir::op::{Effect, ExitKind, Op};
use jib_ir::region::{BlockId, InsnMark, Region, Val};
use jib_ir::state::slot;
use jib_ir::ty::Ty;

use crate::abi::{self, HostFeatures};
use crate::reloc::Target;
use flags::Flags;
use plan::Plan;
use state::SlotState;

/// What the lowering is told from outside.
pub(crate) struct Env<'a> {
    /// What the host can do.
    pub(crate) host: &'a HostFeatures,
    /// Guest addresses are looked up in the table of [`crate::tlb`].
    pub(crate) table: bool,
    /// Guest instructions are to be counted.
    pub(crate) count: bool,
    /// The frontend's helpers.
    pub(crate) helpers: &'static [jib_ir::runtime::Helper],
}

/// What the lowering leaves besides the function.
#[derive(Default)]
pub(crate) struct Lowered {
    /// Guest pcs of the checkpoints, with the recipe of the flags or 0; a source location is an index into this, plus one.
    pub(crate) checkpoints: Vec<(u64, u32)>,
    /// Ops that compiled code passes by address to the evaluator.
    #[expect(clippy::vec_box, reason = "compiled code holds their addresses")]
    pub(crate) ops: Vec<Box<Op>>,
    /// Cells that lead to a fixed guest address, and that address.
    pub(crate) targets: Vec<(u32, u64)>,
    /// What symbols stand for.
    symbols: Vec<Target>,
}

/// What a value of the IR has become.
#[derive(Clone, Copy)]
enum Repr {
    /// Not computed (yet).
    None,
    /// `I32`, `I64`, or `Bool` (as `i8`, 0 or 1).
    Int(Value),
    /// `V128` as `i8x16`.
    Vec(Value),
    /// `V128` as a scalar (`f32`, `f64`, `i32` or `i64`) with zeroes above it.
    Scalar(Value),
    /// `V128` as its low and high `i64`.
    Pair(Value, Value),
    /// Flags, not computed until somebody wants them.
    Flags(Flags),
}

/// Signatures of the functions that compiled code calls.
struct Sigs {
    region: SigRef,
    helper: SigRef,
    preserve: SigRef,
    miss: SigRef,
    state_only: SigRef,
    vector: [SigRef; 3],
    crc: SigRef,
    saturate: [SigRef; 3],
}

/// Memory that cannot overlap.
#[derive(Clone, Copy)]
struct Regions {
    state: AliasRegion,
    guest: AliasRegion,
    link: AliasRegion,
    tlb: AliasRegion,
}

struct Lowerer<'a, 'b> {
    b: FunctionBuilder<'b>,
    region: &'a Region,
    env: &'a Env<'a>,
    plan: Plan,
    out: Lowered,
    sigs: Sigs,
    regions: Regions,
    /// The state pointer.
    st: Value,
    vals: Vec<Repr>,
    /// Flags that [`Flags::Select`] chooses from.
    choices: Vec<Flags>,
    /// Which ops are 16-byte loads of which only the halves are used.
    halves: Vec<bool>,
    /// Which ops are first halves of AES rounds.
    first_halves: Vec<bool>,
    /// CLIF block of each region block.
    blocks: Vec<ClifBlock>,
    /// State at the end of each lowered block that has children.
    ends: Vec<Option<SlotState>>,
    cur: SlotState,
    /// The op being lowered.
    at: u32,
    /// Where its instruction's ops end.
    insn_end: u32,
    /// Guest pc of the instruction being lowered.
    pc: u64,
    /// The region block being lowered.
    block: usize,
    /// Direct exits lowered so far.
    exits: usize,
    /// What FP results are compared with, by format; see [`float_check`].
    limits: [Option<float_check::Limits>; 2],
    /// Results of FP operations that raise flags and are not checked.
    loud: Vec<Value>,
    /// FP ops may run on the host's FPU: FPCR is at its reset value.
    native_fp: bool,
}

/// Number of link cells that `region` needs.
pub(crate) fn count_cells(region: &Region) -> usize {
    region.ops.iter().filter(|op| matches!(op, Op::Exit { .. })).count()
}

/// Lowers `region` into `func`, which must be empty.
pub(crate) fn lower(
    region: &Region,
    env: &Env<'_>,
    func: &mut Function,
    ctx: &mut FunctionBuilderContext,
    frontend: cranelift_codegen::isa::TargetFrontendConfig,
) -> Lowered {
    func.signature = region_signature();
    let region = &with_inner_jumps(region);
    let mut l = Lowerer::new(region, env, func, ctx);
    l.entries();
    for k in 0..l.plan.order.len() {
        let b = l.plan.order[k] as usize;
        l.lower_block(b);
    }
    l.b.seal_all_blocks();
    let flags = l.state_flags();
    keep::keep(l.b.func, l.st, &l.loud, flags);
    l.b.finalize(frontend);
    l.out
}

/// `region` with exits to its own blocks, as recursive calls are, made jumps; and returns from those.
fn with_inner_jumps(region: &Region) -> Region {
    let mut inner = region.clone();
    let mut returns = Vec::new();
    for block in &region.blocks {
        let last = block.ops.end as usize - 1;
        // Blocks without instructions only stand for exits.
        if let Op::Exit { pc, kind } = region.ops[last]
            && kind != ExitKind::Sync
            && let Some(to) = region.blocks.iter().position(|b| b.pc == pc && b.insns > 0)
            && !exit::mode_may_change(region, block)
        {
            inner.ops[last] = Op::Jump { to: BlockId(to as u32) };
            if let ExitKind::Call { ret } = kind {
                returns.push(ret);
            }
        }
    }
    returns::keep_inside(&mut inner, &returns);
    inner
}

/// The signature of every region's function.
pub(crate) fn region_signature() -> Signature {
    let mut s = Signature::new(CallConv::Tail);
    s.params.extend([AbiParam::new(types::I64); 3]);
    s.returns.push(AbiParam::new(types::I64));
    s
}

fn signature(conv: CallConv, params: &[Type], returns: &[Type]) -> Signature {
    let mut s = Signature::new(conv);
    s.params.extend(params.iter().map(|t| AbiParam::new(*t)));
    s.returns.extend(returns.iter().map(|t| AbiParam::new(*t)));
    s
}

impl<'a, 'b> Lowerer<'a, 'b> {
    fn new(region: &'a Region, env: &'a Env<'a>, func: &'b mut Function, ctx: &'b mut FunctionBuilderContext) -> Self {
        let mut alias = |user_id, description: &'static str| {
            func.dfg.alias_regions.insert(AliasRegionData { user_id, description: description.into() })
        };
        let regions = Regions {
            state: alias(0, "state"),
            guest: alias(1, "guest"),
            link: alias(2, "link"),
            tlb: alias(3, "tlb"),
        };
        let mut b = FunctionBuilder::new(func, ctx);
        let (i64, v) = (types::I64, types::I8X16);
        let mut sig = |conv, params: &[Type], returns: &[Type]| b.import_signature(signature(conv, params, returns));
        let sysv = CallConv::SystemV;
        let sigs = Sigs {
            region: sig(CallConv::Tail, &[i64; 3], &[i64]),
            helper: sig(sysv, &[i64; 6], &[i64, i64]),
            preserve: sig(CallConv::PreserveAll, &[i64, i64], &[]),
            miss: sig(CallConv::PreserveAll, &[i64, i64, i64], &[]),
            state_only: sig(sysv, &[i64], &[]),
            vector: [sig(sysv, &[v], &[v]), sig(sysv, &[v, v], &[v]), sig(sysv, &[v, v, v], &[v])],
            crc: sig(sysv, &[i64, i64], &[i64]),
            saturate: [sig(sysv, &[i64, v], &[v]), sig(sysv, &[i64, v, v], &[v]), sig(sysv, &[i64, v, i64], &[v])],
        };
        let plan = Plan::new(region);
        let blocks = region.blocks.iter().map(|_| b.create_block()).collect();
        Lowerer {
            b,
            region,
            env,
            cur: SlotState::in_memory(plan.slots.len(), region.key.pc),
            ends: vec![None; region.blocks.len()],
            plan,
            out: Lowered::default(),
            sigs,
            regions,
            st: Value::from_u32(0),
            vals: vec![Repr::None; region.ops.len()],
            choices: Vec::new(),
            halves: memory::loads_of_halves(region),
            first_halves: aes::first_halves(region),
            blocks,
            at: 0,
            insn_end: 0,
            pc: region.key.pc,
            block: 0,
            exits: 0,
            limits: [None; 2],
            loud: Vec::new(),
            native_fp: region.key.mode & jib_ir::region::Key::FPCR_SET == 0,
        }
    }

    /// The function's entry: asks for a pending exit request, then goes to the block that the guest pc names.
    fn entries(&mut self) {
        let start = self.b.create_block();
        self.b.append_block_params_for_function_params(start);
        self.b.switch_to_block(start);
        self.b.set_srcloc(SourceLoc::default());
        self.st = self.b.block_params(start)[0];
        let pc = self.b.block_params(start)[1];
        self.poll(|_| pc);
        self.make_limits();
        let entries: Vec<_> = self.region.entries.iter().map(|e| (e.index(), self.b.create_block())).collect();
        if let [(_, only)] = entries[..] {
            self.b.ins().jump(only, &[]);
        } else {
            self.dispatch(pc, &entries);
        }
        for (target, stub) in entries {
            self.b.switch_to_block(stub);
            self.cur = SlotState::in_memory(self.plan.slots.len(), self.region.blocks[target].pc);
            self.jump_to(target);
        }
    }

    fn dispatch(&mut self, pc: Value, entries: &[(usize, ClifBlock)]) {
        let mut switch = Switch::new();
        for &(target, stub) in entries.iter() {
            let at = self.region.blocks[target].pc;
            if !switch.entries().contains_key(&(at as u128)) {
                switch.set_entry(at as u128, stub);
            }
        }
        // Nobody enters at another pc; if so, the run loop sorts it out.
        let lost = self.b.create_block();
        self.b.set_cold_block(lost);
        switch.emit(&mut self.b, pc, lost);
        self.b.switch_to_block(lost);
        self.store_state(pc, slot::PC.offset());
        self.leave(abi::EXIT_NEXT);
    }

    fn lower_block(&mut self, block: usize) {
        self.block = block;
        self.begin_block(block);
        self.count(block);
        let ops = self.region.blocks[block].ops.clone();
        let region = self.region;
        let mut mark = region.marks.partition_point(|m| m.op < ops.start);
        if region.marks.get(mark).is_none_or(|m| m.op != ops.start) {
            let pc = region.blocks[block].pc;
            self.begin_insn(InsnMark::new(ops.start, pc), next_mark(region, mark, ops.end));
        }
        for i in ops.clone() {
            while let Some(m) = region.marks.get(mark).filter(|m| m.op == i) {
                mark += 1;
                self.begin_insn(*m, next_mark(region, mark, ops.end));
            }
            self.at = i;
            self.lower_op(region.ops[i as usize]);
        }
    }

    /// Adds a block's instructions to the region's counter.
    fn count(&mut self, block: usize) {
        let insns @ 1.. = self.region.blocks[block].insns else { return };
        if !self.env.count {
            return;
        }
        let counter = self.address(Target::Executed);
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.link));
        let old = self.b.ins().load(types::I64, flags, counter, 0);
        let new = self.b.ins().iadd_imm_s(old, i64::from(insns));
        self.b.ins().store(flags, new, counter, 0);
    }

    /// Lowers one op: one arm per chapter.
    fn lower_op(&mut self, op: Op) {
        let value = match op {
            Op::Get { ty, slot } => self.get_slot(ty, slot),
            Op::Set { ty, slot, v } => return self.set_slot(ty, slot, v),
            Op::Imm { .. }
            | Op::Bin { .. }
            | Op::Un { .. }
            | Op::Ext { .. }
            | Op::Cmp { .. }
            | Op::TestBit { .. }
            | Op::BNot { .. }
            | Op::BAnd { .. }
            | Op::FromBool { .. }
            | Op::Crc32 { .. } => Repr::Int(self.int_op(op)),
            Op::Select { ty, c, a, b } => self.select_op(ty, c, a, b),
            Op::Flags { .. }
            | Op::FlagsAdc { .. }
            | Op::FlagsLogic { .. }
            | Op::FlagsPack { .. }
            | Op::FlagsUnpack { .. }
            | Op::Cond { .. } => self.flag_op(op),
            Op::Call { helper, a, b, c, d } => Repr::Int(self.call_helper(helper, [a, b, c, d])),
            Op::FBin { .. }
            | Op::FUn { .. }
            | Op::FSign { .. }
            | Op::FMulAdd { .. }
            | Op::FMulAddHS { .. }
            | Op::FRound { .. }
            | Op::FCmp { .. }
            | Op::FMask { .. }
            | Op::FCvt { .. }
            | Op::FToInt { .. }
            | Op::IntToF { .. }
            | Op::FJcvt { .. } => self.float_op(op),
            _ => match op.effect() {
                Effect::Load | Effect::Store => self.memory_op(op),
                Effect::End => return self.end_op(op),
                _ => self.vector_op(op),
            },
        };
        self.vals[self.at as usize] = value;
    }

    /// An integer or truth value.
    fn int(&self, v: Val) -> Value {
        match self.vals[v.index()] {
            Repr::Int(v) => v,
            _ => unreachable!("verified IR: op {} wants an integer", self.at),
        }
    }

    /// A vector as `i8x16`.
    fn vec(&mut self, v: Val) -> Value {
        match self.vals[v.index()] {
            Repr::Vec(v) => v,
            Repr::Scalar(s) => {
                let whole = self.whole(s);
                self.vals[v.index()] = Repr::Vec(whole);
                whole
            }
            Repr::Pair(lo, hi) => {
                let whole = self.joined(lo, hi);
                self.vals[v.index()] = Repr::Vec(whole);
                whole
            }
            _ => unreachable!("verified IR: op {} wants a vector", self.at),
        }
    }

    /// A vector as another vector type of 128 bits.
    fn vec_as(&mut self, ty: Type, v: Val) -> Value {
        let v = self.vec(v);
        self.cast(ty, v)
    }

    /// Reinterprets a 128-bit value.
    fn cast(&mut self, ty: Type, v: Value) -> Value {
        if self.b.func.dfg.value_type(v) == ty {
            return v;
        }
        let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
        self.b.ins().bitcast(ty, flags, v)
    }

    /// A scalar with zeroes above it, as `i8x16`.
    fn whole(&mut self, s: Value) -> Value {
        let one = self.type_of(s);
        let v = self.b.ins().scalar_to_vector(one.by(128 / one.bits()).unwrap_or(types::I64X2), s);
        self.cast(types::I8X16, v)
    }

    /// `hi:lo` as `i8x16`.
    fn joined(&mut self, lo: Value, hi: Value) -> Value {
        let v = self.b.ins().scalar_to_vector(types::I64X2, lo);
        let r = self.b.ins().insertlane(v, hi, 1);
        self.cast(types::I8X16, r)
    }

    /// An integer zero-extended to 64 bits.
    fn to64(&mut self, v: Value) -> Value {
        if self.type_of(v) == types::I64 {
            return v;
        }
        // Of a constant, Cranelift would load the wider one from memory.
        match self.const_of(v) {
            Some(c) => self.const64(c),
            None => match self.zero_extended(v) {
                Some(wide) => wide,
                None => self.b.ins().uextend(types::I64, v),
            },
        }
    }

    /// The 64-bit value of which `v` is the low half, if its upper half is known to be 0.
    fn zero_extended(&self, v: Value) -> Option<Value> {
        let dfg = &self.b.func.dfg;
        let by = |v| dfg.value_def(v).inst().map(|i| (&dfg.insts[i], dfg.inst_args(i)));
        let (InstructionData::Unary { opcode: Opcode::Ireduce, .. }, &[wide]) = by(v)? else { return None };
        let known = matches!(
            (by(wide)?.0.opcode(), self.type_of(v)),
            (Opcode::Uload32, types::I32) | (Opcode::Uload16, types::I32 | types::I16) | (Opcode::Uload8, _)
        );
        (known && self.type_of(wide) == types::I64).then_some(wide)
    }

    /// The constant that `v` is, zero-extended.
    fn const_of(&self, v: Value) -> Option<u64> {
        let def = self.b.func.dfg.value_def(v).inst()?;
        let InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } = self.b.func.dfg.insts[def] else { return None };
        Some(imm.bits() as u64 & u64::MAX >> (64 - self.type_of(v).bits()))
    }

    fn type_of(&self, v: Value) -> Type {
        self.b.func.dfg.value_type(v)
    }

    fn const64(&mut self, v: u64) -> Value {
        self.b.ins().iconst(types::I64, v as i64)
    }
}

/// Index of the op at which the instruction after mark number `mark - 1` begins.
fn next_mark(region: &Region, mark: usize, end: u32) -> u32 {
    region.marks.get(mark).map_or(end, |m| m.op.min(end))
}

/// The CLIF type of an integer type.
fn clif(ty: Ty) -> Type {
    match ty {
        Ty::Bool => types::I8,
        Ty::I32 | Ty::Flags => types::I32,
        Ty::I64 => types::I64,
        Ty::V128 => types::I8X16,
    }
}
