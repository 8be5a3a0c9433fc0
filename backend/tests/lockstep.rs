//! Random programs on every executor at once: interpreter, quick tier, optimising tier, and all of them together with
//! low thresholds and with the usual ones. They are compared at each system call and fault and at the end: registers,
//! flags, FPCR, FPSR, memory.
//!
//! `JIB_LOCKSTEP_MINUTES` says for how long (otherwise some seconds), `JIB_LOCKSTEP_SEED` from which seed on. A program
//! that differs is printed, made as small as it can be.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::visible;
use jib_backend::{EngineKind, Kicker, Options, Translator, Vcpu};
use jib_frontend_aarch64::A64;
use jib_ir::guest::Fetch;
use jib_ir::runtime::{Access, Exit, Fault};
use jib_ir::state::{State, slot};
use jib_testing::case::{PAGE, fill};
use jib_testing::lockstep::{self, END, Program};
use jib_testing::memory::Bytes;
use jib_testing::random::Random;
use jib_testing::{disasm, generate};

/// One page of data, seen at each page from here on: no offset of a load or store leads out.
const DATA: u64 = 0x14_0000_0000;
const DATA_LEN: u64 = 0x40_0000;
/// Where X19 points to.
const BASE: u64 = DATA + DATA_LEN / 2;
/// Where X25 points to: nothing is there.
const NOTHING: u64 = 0x18_0000_0000;
const STACK: u64 = 0x15_0000_0000;
const CODE: u64 = 0x16_0000_0000;
const CODE_LEN: u64 = 0x2_0000;
/// How often a program runs, from other registers each time: what is translated stays.
const RUNS: u64 = 3;
/// More comparisons than this are not made in one run.
const MOST_EVENTS: usize = 3000;
/// Where [`visible`] has the word of that name.
const EXIT_REQUEST: usize = (slot::FLAGS.0 + 1 + slot::EXIT_REQUEST.0 - slot::FPCR.0) as usize;
/// Without [`MINUTES`].
const USUAL: Duration = Duration::from_secs(6);
const MINUTES: &str = "JIB_LOCKSTEP_MINUTES";
const SEED: &str = "JIB_LOCKSTEP_SEED";
/// No program takes nearly as long.
const HANGS: Duration = Duration::from_secs(120);

/// The guest's memory: the host's, at the same addresses.
struct Memory;

/// Whoever runs programs holds it.
static MEMORY: LazyLock<Mutex<Memory>> = LazyLock::new(|| Mutex::new(Memory::map()));

impl Memory {
    fn map() -> Memory {
        // SAFETY: a plain system call.
        let fd = unsafe { libc::memfd_create(c"data".as_ptr(), 0) };
        // SAFETY: a plain system call on our descriptor.
        assert!(fd >= 0 && unsafe { libc::ftruncate(fd, PAGE as i64) } == 0, "memory for programs");
        for addr in (DATA..DATA + DATA_LEN).step_by(PAGE as usize) {
            place(addr, PAGE, libc::MAP_SHARED, fd);
        }
        place(STACK, PAGE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1);
        place(CODE, CODE_LEN, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1);
        Memory
    }
}

fn place(addr: u64, len: u64, flags: i32, fd: i32) {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, flags | libc::MAP_FIXED_NOREPLACE);
    // SAFETY: nothing else is mapped there, and the kernel makes sure of it.
    let at = unsafe { libc::mmap(addr as *mut _, len as usize, prot, flags, fd, 0) };
    assert_eq!(at as u64, addr, "addresses of programs must be free");
}

fn bytes(addr: u64, len: u64) -> &'static mut [u8] {
    // SAFETY: mapped for good by `Memory::map`; programs run one at a time on one thread.
    unsafe { std::slice::from_raw_parts_mut(addr as *mut u8, len as usize) }
}

/// The host address of a guest byte. (The top byte is ignored.)
fn at(addr: u64, access: Access) -> Result<*mut u8, Fault> {
    let plain = ((addr << 8) as i64 >> 8) as u64;
    let inside = |from: u64, len: u64| plain.wrapping_sub(from) < len;
    let there = inside(DATA, DATA_LEN) || inside(STACK, PAGE) || inside(CODE, CODE_LEN);
    if there { Ok(plain as *mut u8) } else { Err(Fault { addr, access, cause: 0 }) }
}

impl Bytes for Memory {
    fn byte(&mut self, addr: u64, access: Access) -> Result<u8, Fault> {
        // SAFETY: mapped.
        Ok(unsafe { at(addr, access)?.read_volatile() })
    }
    fn set_byte(&mut self, addr: u64, v: u8) -> Result<(), Fault> {
        // SAFETY: mapped.
        unsafe { at(addr, Access::Write)?.write_volatile(v) };
        Ok(())
    }
}
jib_testing::runtime_of_bytes!(Memory);

struct Code;

impl Fetch for Code {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let none = Fault { addr: pc, access: Access::Fetch, cause: 0 };
        if pc.wrapping_sub(CODE) >= CODE_LEN || !pc.is_multiple_of(4) {
            return Err(none);
        }
        // SAFETY: mapped and aligned.
        Ok(unsafe { (pc as *const u32).read_volatile() })
    }
}

/// What a program showed at one point: where executors must agree.
#[derive(Clone, PartialEq, Eq)]
struct Event {
    exit: Exit,
    state: Vec<u64>,
    memory: u64,
}

/// An executor, and what it is called.
struct Executor {
    name: &'static str,
    vcpu: Vcpu<A64>,
    /// Is it interrupted now and then?
    kicked: bool,
}

/// Their names, options, and whether they are interrupted now and then.
fn ways() -> [(&'static str, Options, bool); 5] {
    let jit = |quick, threshold, background| Options {
        engine: EngineKind::Jit,
        quick,
        threshold,
        background,
        cache_bytes: 16 << 20,
        ..Options::default()
    };
    let usual = Options::default();
    [
        ("interpreter", Options { engine: EngineKind::Interp, ..usual.clone() }, false),
        ("quick tier", jit(0, u32::MAX, false), false),
        ("optimising tier", jit(u32::MAX, 0, false), false),
        ("all tiers, thresholds of 1", jit(1, 1, false), true),
        ("all tiers", jit(usual.quick, usual.threshold, true), true),
    ]
}

fn executors() -> Vec<Executor> {
    let make = |(name, options, kicked)| {
        let translator = Translator::new(A64, Box::new(Code), options).expect("a translator");
        Executor { name, vcpu: Vcpu::new(&translator), kicked }
    };
    ways().into_iter().map(make).collect()
}

/// Interrupts whoever has left a kicker, and ends the process when nothing has happened for long.
#[derive(Default)]
struct Watch {
    kicker: Mutex<Option<Kicker>>,
    programs: AtomicU64,
    over: AtomicBool,
}

impl Watch {
    fn run(&self) {
        let (mut seen, mut since) = (0, Instant::now());
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros(300));
            if let Some(kicker) = &*self.kicker.lock().unwrap_or_else(PoisonError::into_inner) {
                kicker.kick();
            }
            let now = self.programs.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() > HANGS {
                println!("a program does not end: {SEED}={now}");
                std::process::abort();
            }
        }
    }
}

/// The registers that run `run` of a program starts with.
fn start(seed: u64, run: u64) -> State {
    let registers = generate::registers(&mut Random::new(seed ^ run << 56));
    let mut s = State::default();
    (0..16).for_each(|i| s.set_x(i, registers.x[i]));
    (0..32).for_each(|i| s.set_v(i, registers.v[i]));
    s.set_nzcv(registers.nzcv);
    s.set(slot::FPSR, u64::from(registers.fpsr));
    if run != 0 {
        s.set(slot::FPCR, u64::from(registers.fpcr));
    }
    s.set_x(19, BASE);
    s.set_x(25, NOTHING);
    s.set_x(28, BASE);
    s.set_x(31, STACK + PAGE);
    s.set_pc(CODE);
    s
}

/// The bytes that a program can have changed, as one number.
fn digest() -> u64 {
    let words = |bytes: &'static mut [u8]| bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
    let all = words(bytes(DATA, PAGE)).chain(words(bytes(STACK, PAGE)));
    all.fold(0xcbf2_9ce4_8422_2325, |h: u64, w| (h ^ w).wrapping_mul(0x0100_0000_01b3).rotate_left(29))
}

impl Executor {
    /// What a program of these words shows.
    fn run(&mut self, words: &[u32], seed: u64, watch: &Watch) -> Vec<Event> {
        self.vcpu.translator().invalidate(CODE..CODE + CODE_LEN);
        if self.kicked {
            *watch.kicker.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.vcpu.kicker());
        }
        let mut events = Vec::new();
        for run in 0..RUNS {
            if run == 0 {
                let code = bytes(CODE, CODE_LEN);
                // BRK behind.
                let all = words.iter().copied().chain(std::iter::repeat(0xd420_0000));
                code.chunks_exact_mut(4).zip(all).for_each(|(place, word)| place.copy_from_slice(&word.to_le_bytes()));
            }
            bytes(DATA, PAGE).copy_from_slice(&fill(seed ^ run));
            bytes(STACK, PAGE).fill(0);
            self.once(start(seed, run), &mut events);
        }
        *watch.kicker.lock().unwrap_or_else(PoisonError::into_inner) = None;
        events
    }

    fn once(&mut self, state: State, events: &mut Vec<Event>) {
        // A kick may be lost here; the next one comes soon.
        *self.vcpu.state = state;
        let most = events.len() + MOST_EVENTS;
        loop {
            let exit = self.vcpu.run(&mut Memory);
            match exit {
                Exit::Interrupt => {
                    self.vcpu.take_request();
                    continue;
                }
                Exit::Wait(_) | Exit::Next => continue,
                _ => {}
            }
            let mut state = visible(&self.vcpu.state);
            // A request may have come in the meantime.
            state[EXIT_REQUEST] = 0;
            events.push(Event { exit, state, memory: digest() });
            match exit {
                Exit::Svc(END) => return,
                // It has gone astray, on all executors alike: the end of this run.
                Exit::Fault(Fault { access: Access::Fetch, .. }) => return,
                _ if events.len() >= most => return,
                Exit::Svc(_) => {}
                // The others tell the instruction that cannot be executed: the program goes on behind it.
                _ => {
                    let pc = self.vcpu.state.pc();
                    self.vcpu.state.set_pc(pc + 4);
                }
            }
        }
    }
}

/// What was compared.
#[derive(Default)]
struct Tally {
    events: usize,
    faults: usize,
}

/// Where some executor differs from the first: its name, the number of the event, and both events.
fn difference(
    executors: &mut [Executor],
    words: &[u32],
    seed: u64,
    watch: &Watch,
    tally: &mut Tally,
) -> Option<String> {
    let (first, others) = executors.split_first_mut()?;
    let wanted = first.run(words, seed, watch);
    tally.events += wanted.len();
    tally.faults += wanted.iter().filter(|e| matches!(e.exit, Exit::Fault(_))).count();
    others.iter_mut().find_map(|other| {
        let got = other.run(words, seed, watch);
        let n = (0..wanted.len().max(got.len())).find(|n| wanted.get(*n) != got.get(*n))?;
        Some(describe(other.name, n, got.get(n), wanted.get(n)))
    })
}

fn describe(name: &str, n: usize, got: Option<&Event>, want: Option<&Event>) -> String {
    let (Some(got), Some(want)) = (got, want) else {
        let there = |e: Option<&Event>| e.map_or("has ended".to_string(), |e| format!("{:x?}", e.exit));
        return format!("{name}, event {n}: {}; interpreter: {}", there(got), there(want));
    };
    let mut text = format!("{name}, event {n}: {:x?}; interpreter: {:x?}\n", got.exit, want.exit);
    for (i, (g, w)) in got.state.iter().zip(&want.state).enumerate().filter(|(_, (g, w))| g != w) {
        let place = match i {
            0..=31 => format!("x{i}"),
            32..=95 => format!("v{} {}", (i - 32) / 2, if i % 2 == 0 { "low" } else { "high" }),
            96 => "pc".to_string(),
            97 => "nzcv".to_string(),
            98 => "fpcr".to_string(),
            99 => "fpsr".to_string(),
            i => format!("word {i}"),
        };
        text += &format!("  {place:<8} {g:016x}; interpreter: {w:016x}\n");
    }
    if got.memory != want.memory {
        text += "  memory differs\n";
    }
    text
}

/// The program of `seed`, smaller, if it differs on executors that have seen no other; and how.
fn smallest(program: &Program, seed: u64, watch: &Watch) -> Option<(Program, String)> {
    let differs = |p: &Program| {
        watch.programs.fetch_add(1, Ordering::Relaxed);
        let words = p.words();
        // What depends on time may take a few attempts.
        (0..3).find_map(|_| difference(&mut executors(), &words, seed, watch, &mut Tally::default()))
    };
    differs(program)?;
    let small = lockstep::shrink(program, &mut |p| differs(p).is_some());
    let text = differs(&small).unwrap_or_default();
    Some((small, text))
}

fn listing(program: &Program) -> String {
    let words = program.words();
    let lines = disasm::words(&words);
    words
        .iter()
        .zip(lines)
        .enumerate()
        .map(|(i, (w, line))| format!("  {:x}: {w:08x}  {line}\n", CODE + 4 * i as u64))
        .collect()
}

fn number(name: &str) -> Option<f64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{name}={v} is no number")))
}

#[test]
fn programs_run_alike_on_every_executor() {
    common::catch_faults();
    let _memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let time = number(MINUTES).map_or(USUAL, |m| Duration::from_secs_f64(60.0 * m));
    let first = std::env::var(SEED).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{SEED}={v} is no number")));
    let watch = Watch::default();
    let (mut agreed, mut tally, begun) = (0u64, Tally::default(), Instant::now());
    let mut failure = None;
    std::thread::scope(|scope| {
        scope.spawn(|| watch.run());
        let mut all = executors();
        let mut seed = first.unwrap_or(1);
        while failure.is_none() && (begun.elapsed() < time || agreed == 0) {
            watch.programs.store(seed, Ordering::Relaxed);
            let program = lockstep::program(&mut Random::new(seed));
            let words = program.words();
            assert!(4 * words.len() < CODE_LEN as usize, "seed {seed}: a program is too long");
            if let Some(text) = difference(&mut all, &words, seed, &watch, &mut tally) {
                let (small, text) = smallest(&program, seed, &watch)
                    .unwrap_or((program, format!("only after other programs (begin at an earlier seed):\n{text}")));
                failure = Some(format!("{SEED}={seed}: {text}{}", listing(&small)));
                break;
            }
            agreed += 1;
            seed += 1;
        }
        watch.over.store(true, Ordering::Relaxed);
    });
    println!(
        "{agreed} programs agreed on {} executors at {} points, {} of them faults, in {:?}",
        ways().len(),
        tally.events,
        tally.faults,
        begun.elapsed()
    );
    if let Some(failure) = failure {
        panic!("executors differ: {failure}");
    }
    assert!(tally.faults > 0 && tally.events > 5 * agreed as usize, "programs must show something");
}

#[test]
fn a_fault_behind_a_way_out_is_met_with_what_its_own_block_found() {
    common::catch_faults();
    let _memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    // Flags without a recipe, registers written for one way, a faulting load on the other.
    let words = [
        0xd280_0034,
        0x5f8e_118e,
        0x6ea2_1c40,
        0x4ef8_e843,
        0xba00_0409,
        0x5400_0085,
        0x910f_c33c,
        0x927d_2150,
        0x4850_0b87,
        0xf100_0694,
        0x54ff_fee1,
        0xd41f_ffe1,
    ];
    let (watch, mut tally) = (Watch::default(), Tally::default());
    let found = difference(&mut executors(), &words, 2071, &watch, &mut tally);
    assert_eq!((found, tally.faults > 0), (None, true));
}
