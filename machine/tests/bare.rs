//! Bare-metal programs on every engine: code that changes, mappings that change, address spaces, faults. The programs
//! say themselves what they found; what they must find is the architecture's, not ours.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use jib_backend::cache_dir::CacheDir;
use jib_backend::{EngineKind, PageStore, Stats};
use jib_machine::board::{Board, Config};
use jib_machine::cpu::Stop;
use jib_machine::devices::gic::Version;
use jib_machine::host::Output;
use jib_machine::loader;
use jib_machine::machine::{Engine, Machine, Outcome};
use jib_testing::tools::Scratch;
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

/// The program `name`.
fn compiled(name: &str) -> Vec<u8> {
    // The programs' common part is a header, which the compiler finds beside them.
    let source = tools::root().join("machine/tests/bare").join(name).with_extension("c");
    let header = std::fs::read(source.with_file_name("bare.h")).expect("the common part");
    let flags = format!("{FLAGS} -DHEADER={}", header.iter().fold(7u32, |h, b| h.wrapping_mul(31) ^ u32::from(*b)));
    std::fs::read(guest::compile(&source, &flags)).expect("a compiled program")
}

/// Runs `name` on two CPUs under `engine` until it powers off; what it printed.
fn run(name: &str, gic: Version, engine: Engine, device: Option<fn(&Board, &str)>) -> String {
    let config = Config { gic, ..Config::new(Box::new(Line::default())) };
    let (text, stop) = run_to_stop(name, config, engine, device);
    assert_eq!(stop, Stop::PowerOff, "{text}");
    text
}

/// The same on a board like `config`; and how it ended.
fn run_to_stop(name: &str, config: Config, engine: Engine, device: Option<fn(&Board, &str)>) -> (String, Stop) {
    let (text, outcome) = run_and_keep(name, config, engine, device);
    (text, outcome.stop)
}

/// The same; and what it took. Translations are kept if `engine` has where.
fn run_and_keep(name: &str, config: Config, engine: Engine, device: Option<fn(&Board, &str)>) -> (String, Outcome) {
    let file = compiled(name);
    let line = Line::default();
    let config = Config { cpus: 2, ram: 256 << 20, console: Box::new(line.clone()), ..config };
    let machine = Machine::new(config, engine, false).expect("a machine");
    if let Some(device) = device {
        let board = Arc::downgrade(machine.board());
        let act = move |text: &str| _ = board.upgrade().inspect(|b| device(b, text));
        assert!(line.device.set(Box::new(act)).is_ok());
    }
    let kernel = loader::load_kernel(machine.board().space.ram(), name, &file).expect("loaded");
    let outcome = machine.run(kernel.entry, 0);
    machine.keep();
    let text = line.text.lock().unwrap().clone();
    (text, outcome)
}

fn check(name: &str, expected: &str) {
    for (engine, options) in engines() {
        assert_eq!(run(name, Version::V3, options, None), expected, "{name}, {engine}");
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

/// Every identification register, as the Arm ARM reads them. A change here is a change of what guests find.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn identification() {
    let wanted = |gic| {
        format!(
            "midr_el1 f6a10\nmpidr_el1 80000000\nrevidr_el1 0\nctr_el0 8444c004\ndczid_el0 4\nclidr_el1 0\n\
            id_aa64pfr0_el1 110100000{gic}110011\nid_aa64pfr1_el1 20\nid_aa64dfr0_el1 10305106\nid_aa64dfr1_el1 0\n\
            id_aa64isar0_el1 1221100110212120\nid_aa64isar1_el1 10001100211002\nid_aa64isar2_el1 10000000110000\n\
            id_aa64mmfr0_el1 1000000000100025\nid_aa64mmfr1_el1 201002\nid_aa64mmfr2_el1 1000000100000011\n\
            others 0\nGIC 0\nundefined 542f\nPSCI 10001\nat EL0 8000000000\nat EL0 8000000000\n"
        )
    };
    for (gic, registers) in [(Version::V2, 0), (Version::V3, 1)] {
        for (engine, options) in engines() {
            assert_eq!(run("ids", gic, options, None), wanted(registers), "{engine}");
        }
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn interrupts_by_priority() {
    let priorities =
        "to itself 5\npending 6\nmasked\nunmasked 6\nnested 1 2 100 3\nrunning a0\nidle ff\nby priority 2 0\n";
    let states = "active 1\nsplit 7 8\ndeactivated 7\ninactive 0\ndisabled\nenabled 9\nshared 28\nother 4\n";
    for (gic, version) in [(Version::V2, 2), (Version::V3, 3)] {
        for (engine, options) in engines() {
            let expected = format!("version {version}\n{priorities}{states}");
            assert_eq!(run("gic", gic, options, None), expected, "{engine}");
        }
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn semihosting_where_it_is_wanted() {
    let wanted = "hello\nhandle 1\nanother 0\nworld\nleft 0\nterminal 1\n!\ntime 0\n";
    for (semihosting, text, stop) in [(true, wanted, Stop::Exit(42)), (false, "undefined 0\n", Stop::PowerOff)] {
        for (engine, options) in engines() {
            let config = Config { semihosting, ..Config::new(Box::new(Line::default())) };
            let found = run_to_stop("semihosting", config, options, None);
            assert_eq!(found, (text.to_string(), stop), "{engine}");
        }
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn the_timer() {
    // Which registers EL0 can read (15, its SVC) and which trap (18): frequency, both counters, both timers, by what
    // CNTKCTL_EL1 says.
    let el0 = "18 18 18 18 18\n15 15 18 18 18\n15 18 15 18 18\n18 18 18 18 15\n18 18 18 15 18\n";
    let timers = "fired 28\nearly 0\nwrong 0\nmasked 7\nleft 1\nstill 28\nback 0\n";
    check("timer", &format!("frequency 3b9aca0\n{timers}{el0}"));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn every_granule() {
    let granule = |name, first| {
        format!(
            "{name}\nunmapped {first}\npages 0\nblock 77\nlevel 2 1006\nlevel 3 1047\nread only 104f\naddress size 1003\n\
            access flag 100b\nreserved 1007\nby table 104f\nAT 0\nAT W 1f\nAT EL0 1f\nAT unmapped f\nPAN 100f0000\nAT PAN 1\n\
            no PAN 0\ndevice 1021\nexecute 210f\nflag set 9\ndirty 8\nnot writable 104f\n"
        )
    };
    // The tables of the largest one begin at level 1.
    check("mmu", &[granule("4K", 1004), granule("16K", 1004), granule("64K", 1005)].concat());
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
        let text = run("dma", Version::V3, options, Some(write_code));
        assert!(text.ends_with("sum bb8\n"), "{engine}: {text}");
    }
}

/// Runs `name` with what is kept in `folder`, and keeps more there.
fn run_kept(name: &str, folder: &Path, engine: Engine) -> (String, Stats) {
    let folder = Arc::new(CacheDir::make(folder).expect("a folder"));
    let pages = Some(Arc::new(PageStore::new(folder, name.as_bytes(), b"")));
    let config = Config::new(Box::new(Line::default()));
    let (text, outcome) = run_and_keep(name, config, Engine { pages, ..engine }, None);
    assert_eq!(outcome.stop, Stop::PowerOff, "{text}");
    (text, outcome.stats)
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn kept_translations_are_of_the_code_that_is_there() {
    let soon = Engine { threshold: 50, background: false, ..Engine::default() };
    for (kind, engine) in [("default", Engine::default()), ("compiled soon", soon)] {
        // Code that changes, in pages that are mapped anew, in several address spaces.
        for name in ["code", "spaces", "ranges", "tlbi", "faults"] {
            let dir = Scratch::new("kept");
            let folder = dir.path().join("kept");
            let (wanted, first) = run_kept(name, &folder, engine.clone());
            assert_eq!(first.recalled, 0, "{name}, {kind}");
            for round in 0..3 {
                let (text, stats) = run_kept(name, &folder, engine.clone());
                assert_eq!(text, wanted, "{name}, {kind}, {round}");
                // The first one writes itself thousands of functions, one over the other; not all of them are kept.
                let fewer = name == "code" || stats.blocks_lifted < first.blocks_lifted;
                // What ran once is not kept.
                assert!(stats.recalled > 10 && fewer, "{name}, {stats:?}");
            }
        }
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn a_flipped_bit_in_what_is_kept_costs_only_time() {
    let dir = Scratch::new("kept-flipped");
    let folder = dir.path().join("kept");
    let (wanted, _) = run_kept("faults", &folder, Engine::default());
    let files = || std::fs::read_dir(&folder).expect("readable").map(|e| e.expect("an entry").path());
    let file = files().find(|p| p.extension().is_some_and(|e| e == "jibcache")).expect("a file");
    let good = std::fs::read(&file).expect("readable");
    let step = good.len() / 40;
    let places = (0..200).step_by(13).chain((4096..good.len()).step_by(step.max(1)));
    // Nothing counts between sections.
    for at in places.filter(|at| good[*at] != 0) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&file, &bad).expect("writable");
        let (text, stats) = run_kept("faults", &folder, Engine::default());
        assert_eq!((text, stats.recalled), (wanted.clone(), 0), "byte {at}");
    }
    let (text, stats) = run_kept("faults", &folder, Engine::default());
    assert!(text == wanted && stats.recalled > 0, "it was made anew");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o622)).expect("ours");
    assert_eq!(run_kept("faults", &folder, Engine::default()).1.recalled, 0, "others may write to it");
}

/// Who restarts again and again needs no more memory for it.
#[test]
#[cfg_attr(debug_assertions, ignore = "slow without --release")]
fn a_reset_gives_back_what_translations_took() {
    let line = Line::default();
    let config =
        Config { ram: 256 << 20, cpus: 2, console: Box::new(line.clone()), ..Config::new(Box::new(line.clone())) };
    let machine = Machine::new(config, Engine::default(), false).expect("a machine");
    let file = compiled("code");
    let mut texts = Vec::new();
    for _ in 0..4 {
        let kernel = loader::load_kernel(machine.board().space.ram(), "code", &file).expect("loaded");
        assert_eq!(machine.run(kernel.entry, 0).stop, Stop::PowerOff);
        assert!(machine.known() > 20);
        machine.reset();
        assert_eq!(machine.known(), 0);
        texts.push(std::mem::take(&mut *line.text.lock().unwrap()));
    }
    assert!(texts[0].contains("no maintenance 0") && texts.iter().all(|t| *t == texts[0]), "{texts:?}");
}

#[test]
fn where_a_kernel_goes_depends_on_kernel_and_folder() {
    let dir = Scratch::new("kept-number");
    let number = |folder: &str, boots: &[u8]| {
        let folder = CacheDir::make(&dir.path().join(folder)).expect("a folder");
        PageStore::new(Arc::new(folder), boots, b"").number("kaslr-seed").expect("a salt")
    };
    let first = number("a", b"one");
    assert_eq!(number("a", b"one"), first);
    assert_ne!(number("a", b"two"), first);
    assert_ne!(number("b", b"one"), first);
}
