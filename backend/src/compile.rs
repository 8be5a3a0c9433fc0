//! Region to host code, by Cranelift.

use std::sync::atomic::{AtomicU64, Ordering};

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use jib_ir::op::Op;
use jib_ir::passes::{self, Room};
use jib_ir::region::Region;
use jib_ir::runtime::Helper;

use crate::abi::HostFeatures;
use crate::code_memory::FaultTable;
use crate::lower::{self, Env};
use crate::options::{Error, Memory, Options};
use crate::reloc::Reloc;

/// Compiled code and what it leans on, all of which must live as long as the code.
#[derive(Default)]
pub(crate) struct Code {
    /// Position-independent but for absolute addresses outside.
    pub(crate) bytes: Vec<u8>,
    /// Those addresses.
    pub(crate) relocs: Vec<Reloc>,
    /// Cells that lead to a fixed guest address, and that address.
    pub(crate) targets: Vec<(u32, u64)>,
    /// Guest addresses at which it may be entered, and the offset of its code there.
    pub(crate) entries: Vec<(u64, u32)>,
    /// Where faults go back to.
    pub(crate) faults: Box<FaultTable>,
    /// One link cell per direct exit.
    pub(crate) cells: Box<[AtomicU64]>,
    /// How many times as long a run takes as other code of the quick tier; 0 means 1.
    pub(crate) slowness: u32,
    /// Guest instructions executed, see [`Options::count`].
    pub(crate) executed: Option<Box<AtomicU64>>,
    /// Ops that the code passes to the evaluator.
    #[expect(clippy::vec_box, reason = "the code reads them at fixed addresses")]
    pub(crate) ops: Vec<Box<Op>>,
}

impl Code {
    /// Guest instructions executed so far.
    pub(crate) fn executed(&self) -> u64 {
        self.executed.as_ref().map_or(0, |n| n.load(Ordering::Relaxed))
    }
}

/// The code generator with its reusable memory.
pub(crate) struct Compiler {
    isa: OwnedTargetIsa,
    ctx: Context,
    builder: FunctionBuilderContext,
    room: Room,
    host: HostFeatures,
    count: bool,
    helpers: &'static [Helper],
    table: bool,
}

impl Compiler {
    /// A code generator for this host.
    pub(crate) fn new(options: &Options, helpers: &'static [Helper]) -> Result<Compiler, Error> {
        let host = HostFeatures::detect();
        Ok(Compiler {
            isa: isa(options, &host)?,
            ctx: Context::new(),
            builder: FunctionBuilderContext::new(),
            room: Room::default(),
            host,
            count: options.count,
            helpers,
            table: options.memory == Memory::Table,
        })
    }

    /// Runs the passes on `region`.
    pub(crate) fn optimize(&mut self, region: &mut Region) {
        passes::run_in(region, &mut self.room);
    }

    /// Compiles `region`; its cells first hold `stub`.
    pub(crate) fn compile(&mut self, region: &Region, stub: u64) -> Result<Code, Error> {
        let cells: Box<[AtomicU64]> = (0..lower::count_cells(region)).map(|_| AtomicU64::new(stub)).collect();
        let lowered = self.lower(region);
        let compiled =
            self.ctx.compile(&*self.isa, &mut ControlPlane::default()).map_err(|e| codegen(region, &e.inner))?;
        let relocs = compiled.buffer.relocs().iter().map(|r| lowered.reloc(r));
        let relocs: Option<Vec<_>> = relocs.collect();
        let relocs =
            relocs.ok_or_else(|| Error::Codegen(format!("region {:#x}: unknown relocation", region.key.pc)))?;
        let mut faults = FaultTable { pc: region.key.pc, ..FaultTable::default() };
        for l in compiled.buffer.get_srclocs_sorted().iter().filter(|l| !l.loc.is_default()) {
            let (pc, flags) = lowered.checkpoints[l.loc.bits() as usize - 1];
            faults.points.push((l.start, pc));
            faults.recipes.push(flags);
        }
        let mut code = Code {
            bytes: compiled.code_buffer().to_vec(),
            relocs,
            targets: lowered.targets,
            entries: region.entries.iter().map(|e| (region.blocks[e.index()].pc, 0)).collect(),
            faults: Box::new(faults),
            cells,
            slowness: 1,
            executed: self.count.then(Box::default),
            ops: lowered.ops,
        };
        code.relocate();
        Ok(code)
    }

    /// The CLIF of `region`, for reading.
    pub(crate) fn clif(&mut self, region: &Region) -> String {
        self.lower(region);
        self.ctx.func.display().to_string()
    }

    fn lower(&mut self, region: &Region) -> lower::Lowered {
        self.ctx.clear();
        let env = Env { host: &self.host, count: self.count, helpers: self.helpers, table: self.table };
        let frontend = self.isa.frontend_config();
        lower::lower(region, &env, &mut self.ctx.func, &mut self.builder, frontend)
    }
}

fn codegen(region: &Region, e: &cranelift_codegen::CodegenError) -> Error {
    Error::Codegen(format!("region {:#x}: {e}", region.key.pc))
}

/// Cranelift's x86-64, told what the host can do.
fn isa(options: &Options, host: &HostFeatures) -> Result<OwnedTargetIsa, Error> {
    let fail = |e: &dyn std::fmt::Display| Error::Codegen(e.to_string());
    let mut flags = settings::builder();
    let mut set = |name, value: &str| flags.set(name, value).map_err(|e| fail(&e));
    set("opt_level", if options.optimize { "speed" } else { "none" })?;
    set("enable_verifier", if options.verify { "true" } else { "false" })?;
    // Tail calls need it.
    set("preserve_frame_pointers", "true")?;
    set("unwind_info", "false")?;
    set("enable_probestack", "false")?;
    set("enable_llvm_abi_extensions", "true")?;
    let mut builder = cranelift_codegen::isa::lookup(target_lexicon::Triple::host()).map_err(|e| fail(&e))?;
    for (name, has) in [
        ("has_ssse3", host.ssse3),
        ("has_sse41", host.sse41),
        ("has_sse42", host.sse42),
        ("has_avx", host.avx),
        ("has_avx2", host.avx2),
        ("has_fma", host.fma),
        ("has_bmi1", host.bmi1),
        ("has_bmi2", host.bmi2),
        ("has_lzcnt", host.lzcnt),
        ("has_popcnt", host.popcnt),
    ] {
        builder.set(name, if has { "true" } else { "false" }).map_err(|e| fail(&e))?;
    }
    builder.finish(settings::Flags::new(flags)).map_err(|e| fail(&e))
}
