//! What is measured: programs by class, their sizes, and how each machine's version is compiled.

/// What a program mostly does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Arithmetic and branches on general registers.
    Integer,
    /// Calls, returns, indirect branches.
    Calls,
    /// Loads and stores.
    Memory,
    /// Scalar floating point.
    Float,
    /// NEON and cryptographic instructions.
    Vector,
}

impl Class {
    /// All, in the order of the table.
    pub(crate) const ALL: [Class; 5] = [Class::Integer, Class::Calls, Class::Memory, Class::Float, Class::Vector];

    /// As the table says it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Class::Integer => "integer",
            Class::Calls => "calls",
            Class::Memory => "memory",
            Class::Float => "FP",
            Class::Vector => "NEON/crypto",
        }
    }
}

/// A program to measure.
pub(crate) struct Program {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What it mostly does.
    pub(crate) class: Class,
    /// Its source, from the root of the checkout.
    pub(crate) source: &'static str,
    /// Flags of the cross compiler.
    pub(crate) guest_flags: &'static str,
    /// Flags of the native compiler; `None` if there is no native counterpart.
    pub(crate) native_flags: Option<&'static str>,
    /// Its argument.
    pub(crate) size: &'static str,
}

/// Two separate roundings everywhere, so that all machines must print the same.
const GUEST: &str = "-O2 -static -ffp-contract=off";
const NATIVE: Option<&str> = Some("-O2 -ffp-contract=off");

const fn plain(name: &'static str, class: Class, source: &'static str, size: &'static str) -> Program {
    Program { name, class, source, guest_flags: GUEST, native_flags: NATIVE, size }
}

/// All programs.
pub(crate) const PROGRAMS: &[Program] = &[
    plain("integer", Class::Integer, "tests/guest/c/integer.c", "6000"),
    plain("sort", Class::Integer, "tests/guest/c/sort.c", "600000"),
    plain("sha256", Class::Integer, "tests/guest/c/sha256.c", "16384"),
    plain("machine", Class::Integer, "tests/guest/c/machine.c", "4000"),
    plain("recursion", Class::Calls, "tests/guest/c/recursion.c", "37"),
    plain("indirect", Class::Calls, "tests/guest/c/indirect.c", "2500000"),
    plain("memory", Class::Memory, "tests/guest/c/memory.c", "400"),
    plain("chase", Class::Memory, "benches/guest/chase.c", "40000"),
    plain("nbody", Class::Float, "tests/guest/c/nbody.c", "1500000"),
    Program {
        guest_flags: "-O2 -static",
        native_flags: None,
        ..plain("nbody-fma", Class::Float, "tests/guest/c/nbody.c", "1500000")
    },
    plain("mandelbrot", Class::Float, "tests/guest/c/mandelbrot.c", "1000"),
    plain("math", Class::Float, "benches/guest/math.c", "600"),
    plain("vector", Class::Vector, "tests/guest/c/vector.c", "20000"),
    Program {
        guest_flags: "-O3 -static",
        native_flags: Some("-O3"),
        ..plain("pixels", Class::Vector, "benches/guest/pixels.c", "10000")
    },
    Program {
        guest_flags: "-O2 -static -march=armv8-a+crypto+crc",
        native_flags: Some("-O2 -maes -mpclmul -msse4.2"),
        ..plain("crypto", Class::Vector, "benches/guest/crypto.c", "3000")
    },
    Program {
        guest_flags: "-O2 -static -march=armv8-a+crypto",
        native_flags: None,
        ..plain("sha", Class::Vector, "benches/guest/sha.c", "1500")
    },
];

/// What the start-up row runs.
pub(crate) const HELLO: Program = plain("hello", Class::Integer, "tests/guest/c/hello.c", "world");
