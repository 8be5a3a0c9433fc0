//! FP operations whose result nobody reads still count: they raise flags.
//!
//! To the code generator they are pure, so it would drop them. A result that something reads costs nothing here; one that
//! nothing reads is stored where nobody looks.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::EntitySet;
use cranelift_codegen::ir::{Function, Inst, InstBuilder, MemFlagsData, Value};
use jib_ir::state::slot;

/// Where results go that nobody reads: two scratch words that hold no operand.
const NOWHERE: i32 = slot::SCRATCH.offset() + 12 * 8;

/// Makes sure that the operations behind `loud` are executed wherever control passes them. `st` is the state pointer.
pub(super) fn keep(func: &mut Function, st: Value, loud: &[Value], flags: MemFlagsData) {
    if loud.is_empty() {
        return;
    }
    let read = read_values(func);
    for &v in loud {
        if read.contains(v) {
            continue;
        }
        let Some(inst) = func.dfg.value_def(v).inst() else { continue };
        let loc = func.srcloc(inst);
        let mut cursor = FuncCursor::new(func).after_inst(inst).with_srcloc(loc);
        cursor.ins().store(flags, v, st, NOWHERE);
    }
}

/// All values that an instruction with an effect reads, directly or through others.
fn read_values(func: &Function) -> EntitySet<Value> {
    let mut read = EntitySet::with_capacity(func.dfg.num_values());
    let mut todo: Vec<Inst> =
        func.layout.blocks().flat_map(|b| func.layout.block_insts(b)).filter(|&inst| has_effect(func, inst)).collect();
    while let Some(inst) = todo.pop() {
        for v in func.dfg.inst_values(inst) {
            let v = func.dfg.resolve_aliases(v);
            if read.insert(v) {
                todo.extend(func.dfg.value_def(v).inst());
            }
        }
    }
    read
}

/// Is `inst` emitted whether or not its result is read?
fn has_effect(func: &Function, inst: Inst) -> bool {
    let op = func.dfg.insts[inst].opcode();
    op.is_call() || op.is_terminator() || op.can_load() || op.can_store() || op.can_trap() || op.other_side_effects()
}
