//! Bare-metal programs on every engine: code that changes, mappings that change, address spaces, faults. The programs
//! say themselves what they found; what they must find is the architecture's, not ours.

use std::sync::{Arc, Mutex, OnceLock};

use jib_backend::EngineKind;
use jib_machine::board::{Board, Config};
use jib_machine::cpu::Stop;
use jib_machine::host::Output;
use jib_machine::loader;
use jib_machine::machine::{Engine, Machine};
use jib_testing::{guest, tools};
use vm_memory::{Bytes, GuestAddress};

const FLAGS: &str = "-O2 -ffreestanding -nostdlib -static -mgeneral-regs-only -fno-pic -no-pie -mno-outline-atomics -march=armv8.4-a \
    -fno-stack-protector -Wl,-Ttext-segment=0x40100000 -Wl,-z,max-page-size=4096";

/// Nothing compiled; what is hot compiled meanwhile, as usual; everything compiled, soon or at once.
fn engines() -> [(&'static str, Engine); 4] {
    let soon = Engine { threshold: 2, background: false, ..Engine::default() };
    [
        ("interpreter", Engine { engine: EngineKind::Interp, ..Engine::default() }),
        ("default", Engine::default()),
        ("compiled soon", soon.clone()),
        ("compiled at once", Engine { threshold: 0, ..soon }),
    ]
}

/// What a device does when a line comes.
type Act = Box<dyn Fn(&str) + Send + Sync>;

/// The serial line: keeps what comes, and lets `device` act on each whole line.
#[derive(Clone, Default)]
struct Line {
    text: Arc<Mutex<String>>,
    device: Arc<OnceLock<Act>>,
}

impl Output for Line {
    fn write(&mut self, bytes: &[u8]) {
        let mut text = self.text.lock().unwrap();
        for &byte in bytes {
            text.push(byte as char);
            if byte == b'\n'
                && let Some(device) = self.device.get()
            {
                device(text.lines().last().unwrap_or(""));
            }
        }
    }
}

/// Runs `name` on two CPUs under `engine` until it powers off; what it printed.
fn run(name: &str, engine: Engine, device: Option<fn(&Board, &str)>) -> String {
    // The programs' common part is a header, which the compiler finds beside them.
    let source = tools::root().join("machine/tests/bare").join(name).with_extension("c");
    let header = std::fs::read(source.with_file_name("bare.h")).expect("the common part");
    let flags = format!("{FLAGS} -DHEADER={}", header.iter().fold(7u32, |h, b| h.wrapping_mul(31) ^ u32::from(*b)));
    let file = std::fs::read(guest::compile(&source, &flags)).expect("a compiled program");
    let line = Line::default();
    let config = Config { cpus: 2, ram: 256 << 20, ..Config::new(Box::new(line.clone())) };
    let machine = Machine::new(config, engine, false).expect("a machine");
    if let Some(device) = device {
        let board = Arc::downgrade(machine.board());
        let act = move |text: &str| _ = board.upgrade().inspect(|b| device(b, text));
        assert!(line.device.set(Box::new(act)).is_ok());
    }
    let kernel = loader::load_kernel(machine.board().space.ram(), name, &file).expect("loaded");
    let outcome = machine.run(kernel.entry, 0);
    let text = line.text.lock().unwrap().clone();
    assert_eq!(outcome.stop, Stop::PowerOff, "{text}");
    text
}

fn check(name: &str, expected: &str) {
    for (engine, options) in engines() {
        assert_eq!(run(name, options, None), expected, "{name}, {engine}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn code_that_changes() {
    let expected =
        "another mapping 0\nno maintenance 0\ndata beside code 5208\na page mapped anew 0\na block mapped anew 0\n";
    check("code", expected);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn address_spaces() {
    // 20 * 20 * (1 + 2 + ... + 60) = 0xb2b60
    check("spaces", "el0 0\nel1 b2b60\ncounts 0\nanother page 0\n");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn nobody_reaches_the_old_page_after_a_broadcast_invalidation() {
    check("tlbi", "poisoned 0\nwrong 0\nlooked 1\n");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn faults_are_exact() {
    check("faults", "bad 0\nfaults 0\nover the edge 0\npieces 1\nillegal e\nillegal 22\n");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn invalidation_by_range() {
    check("ranges", "TLBI 2\nundefined 4\nbad 0\npoisoned 0\nlooked 1\n");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn performance_monitors() {
    // in a loop: 1 + 1 + 3000; at EL0: 40 + 2. The trap: EC 0x18, MRS X5, S3_3_C9_C13_0.
    let counts = "in a loop bba\na fault 1\nand its handler 1\nat EL0 2a\ncycles pass 1\noverflows 80000001\nleft 0\n";
    let traps = "trap 6230e4bb\nno trap 56000000\nwrong 0\n";
    check("pmu", &format!("monitors 1\ncounters 6\nevents 40020101\n{counts}{traps}"));
}

/// When the program names an address, makes the function there return 2.
fn write_code(board: &Board, line: &str) {
    let Some(address) = line.strip_prefix("Device ") else { return };
    let address = u64::from_str_radix(address, 16).expect("an address");
    board.space.ram().dma().write_obj(0xd280_0040u32, GuestAddress(address)).expect("RAM");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn a_device_writes_over_code() {
    for (engine, options) in engines() {
        let text = run("dma", options, Some(write_code));
        assert!(text.ends_with("sum bb8\n"), "{engine}: {text}");
    }
}
