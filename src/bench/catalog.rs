//! jib's own programs to measure: their classes, sources, sizes, and how each machine's version is compiled.

use serde::{Deserialize, Serialize};

/// What a program mostly does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Class {
    /// Arithmetic and branches on general registers.
    #[serde(rename = "integer")]
    Integer,
    /// Calls, returns, indirect branches.
    #[serde(rename = "calls")]
    Calls,
    /// Loads and stores.
    #[serde(rename = "memory")]
    Memory,
    /// Scalar floating point.
    #[serde(rename = "FP")]
    Float,
    /// NEON and cryptographic instructions.
    #[serde(rename = "NEON/crypto")]
    Vector,
    /// System calls, threads, signals, memory maps, faults, code that is written at run time.
    #[serde(rename = "system")]
    System,
    /// Next to nothing: the time is that of starting.
    #[serde(rename = "start-up")]
    Startup,
    /// Real programs, which are fetched: measured only if asked for.
    #[serde(rename = "real")]
    Real,
    /// What the user named.
    #[serde(rename = "command")]
    Command,
}

impl Class {
    /// All, in the order of tables.
    pub(crate) const ALL: [Class; 9] = [
        Class::Integer,
        Class::Calls,
        Class::Memory,
        Class::Float,
        Class::Vector,
        Class::System,
        Class::Startup,
        Class::Real,
        Class::Command,
    ];

    /// As tables say it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Class::Integer => "integer",
            Class::Calls => "calls",
            Class::Memory => "memory",
            Class::Float => "FP",
            Class::Vector => "NEON/crypto",
            Class::System => "system",
            Class::Startup => "start-up",
            Class::Real => "real",
            Class::Command => "command",
        }
    }
}

/// A program to measure.
pub(crate) struct Program {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// What it mostly does.
    pub(crate) class: Class,
    /// Its source, in C.
    pub(crate) source: &'static str,
    /// Flags of the cross compiler.
    pub(crate) guest_flags: &'static str,
    /// Flags of the native compiler; `None` if there is no native counterpart.
    pub(crate) native_flags: Option<&'static str>,
    /// Its arguments: what it does, how often.
    pub(crate) size: &'static str,
}

/// Two separate roundings everywhere, so that all machines must print the same.
const GUEST: &str = "-O2 -static -ffp-contract=off";
const NATIVE: Option<&str> = Some("-O2 -ffp-contract=off");

const fn plain(name: &'static str, class: Class, source: &'static str, size: &'static str) -> Program {
    Program { name, class, source, guest_flags: GUEST, native_flags: NATIVE, size }
}

/// The text of a file of the source tree: an installed `jib` has none.
macro_rules! source {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path))
    };
}

/// All programs.
pub(crate) const PROGRAMS: &[Program] = &[
    plain("integer", Class::Integer, source!("tests/guest/c/integer.c"), "6000"),
    plain("sort", Class::Integer, source!("tests/guest/c/sort.c"), "600000"),
    plain("sha256", Class::Integer, source!("tests/guest/c/sha256.c"), "16384"),
    plain("machine", Class::Integer, source!("tests/guest/c/machine.c"), "4000"),
    plain("recursion", Class::Calls, source!("tests/guest/c/recursion.c"), "37"),
    plain("indirect", Class::Calls, source!("tests/guest/c/indirect.c"), "2500000"),
    plain("memory", Class::Memory, source!("tests/guest/c/memory.c"), "400"),
    plain("chase", Class::Memory, source!("benches/guest/chase.c"), "40000"),
    plain("nbody", Class::Float, source!("tests/guest/c/nbody.c"), "1500000"),
    Program {
        guest_flags: "-O2 -static",
        native_flags: None,
        ..plain("nbody-fma", Class::Float, source!("tests/guest/c/nbody.c"), "1500000")
    },
    plain("mandelbrot", Class::Float, source!("tests/guest/c/mandelbrot.c"), "1000"),
    plain("math", Class::Float, source!("benches/guest/math.c"), "600"),
    plain("vector", Class::Vector, source!("tests/guest/c/vector.c"), "20000"),
    Program {
        guest_flags: "-O3 -static",
        native_flags: Some("-O3"),
        ..plain("pixels", Class::Vector, source!("benches/guest/pixels.c"), "10000")
    },
    Program {
        guest_flags: "-O2 -static -march=armv8-a+crypto+crc",
        native_flags: Some("-O2 -maes -mpclmul -msse4.2"),
        ..plain("crypto", Class::Vector, source!("benches/guest/crypto.c"), "3000")
    },
    Program {
        guest_flags: "-O2 -static -march=armv8-a+crypto",
        native_flags: None,
        ..plain("sha", Class::Vector, source!("benches/guest/sha.c"), "1500")
    },
    plain("getpid", Class::System, source!("benches/guest/system/calls.c"), "getpid 2000"),
    plain("files", Class::System, source!("benches/guest/system/calls.c"), "files 1000"),
    plain("clock", Class::System, source!("benches/guest/system/calls.c"), "clock 10000"),
    plain("pipe-proc", Class::System, source!("benches/guest/system/pipes.c"), "processes 20000"),
    plain("pipe-thread", Class::System, source!("benches/guest/system/pipes.c"), "threads 20000"),
    Program {
        guest_flags: "-O2 -static -march=armv8.1-a",
        ..plain("atomic-lse", Class::System, source!("benches/guest/system/atomics.c"), "20000")
    },
    Program {
        guest_flags: "-O2 -static -march=armv8-a -mno-outline-atomics",
        ..plain("atomic-llsc", Class::System, source!("benches/guest/system/atomics.c"), "20000")
    },
    plain("mutex", Class::System, source!("benches/guest/system/threads.c"), "mutex 2000000"),
    plain("threads", Class::System, source!("benches/guest/system/threads.c"), "spawn 4000"),
    plain("signals", Class::System, source!("benches/guest/system/signals.c"), "50"),
    plain("maps", Class::System, source!("benches/guest/system/maps.c"), "200"),
    plain("fork", Class::System, source!("benches/guest/system/forks.c"), "fork 800"),
    plain("fork-exec", Class::System, source!("benches/guest/system/forks.c"), "exec 200"),
    plain("jit-beside", Class::System, source!("benches/guest/system/jit.c"), "beside 300"),
    plain("jit-apart", Class::System, source!("benches/guest/system/jit.c"), "apart 30000"),
    plain("faults", Class::System, source!("benches/guest/system/faults.c"), "600"),
    plain("hello", Class::Startup, source!("tests/guest/c/hello.c"), "world"),
];
