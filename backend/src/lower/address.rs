//! Absolute addresses, as symbols: the code generator says where in the code it has put each.

use cranelift_codegen::binemit;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{ExternalName, GlobalValueData, InstBuilder, UserExternalName, Value, types};
use cranelift_codegen::{FinalizedMachReloc, FinalizedRelocTarget};

use super::{Lowered, Lowerer};
use crate::reloc::{Reloc, Target};

impl Lowerer<'_, '_> {
    /// The address of `to`.
    pub(super) fn address(&mut self, to: Target) -> Value {
        // All cells are one symbol.
        let (symbol, offset) = match to {
            Target::Cells(offset) => (Target::Cells(0), offset),
            to => (to, 0),
        };
        let known = self.out.symbols.iter().position(|s| *s == symbol);
        let index = known.unwrap_or(self.out.symbols.len()) as u32;
        if known.is_none() {
            self.out.symbols.push(symbol);
        }
        // Names are numbered as they come, so that a name's reference is its index.
        let name = self.b.func.declare_imported_user_function(UserExternalName { namespace: 0, index });
        let offset = i64::from(offset).into();
        let data = GlobalValueData::Symbol { name: ExternalName::user(name), offset, colocated: false, tls: false };
        let symbol = self.b.create_global_value(data);
        self.b.ins().symbol_value(types::I64, symbol)
    }
}

impl Lowered {
    /// What the code generator's `reloc` asks for, if it is one of ours.
    pub(crate) fn reloc(&self, reloc: &FinalizedMachReloc) -> Option<Reloc> {
        let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = reloc.target else { return None };
        let to = match *self.symbols.get(name.index())? {
            Target::Cells(_) => Target::Cells(u32::try_from(reloc.addend).ok()?),
            to => to,
        };
        (reloc.kind == binemit::Reloc::Abs8).then_some(Reloc { at: reloc.offset, to })
    }
}
