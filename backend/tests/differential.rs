//! Every row of the instruction table as compiled code against `qemu-aarch64 -cpu max`.
//!
//! The same comparison as the frontend's own, with each case compiled before it runs: loads, stores
//! and faults are the host's. `JIB_ROWS`, `JIB_CASES`, `JIB_SEED` and `JIB_SHOW` as there.

mod common;

use std::sync::{Arc, Mutex, PoisonError};

use jib_backend::{EngineKind, Options, Translator, Vcpu};
use jib_frontend_aarch64::A64;
use jib_ir::guest::Fetch;
use jib_ir::runtime::{Access, Exit, Fault};
use jib_ir::state::slot;
use jib_testing::case::{CODE, Case, FILLER, Outcome, PAGE, Stop, WINDOW, WINDOW_LEN, fill};
use jib_testing::differential;
use jib_testing::interp::{outcome, state_of, stop_of};
use jib_testing::memory::Bytes;

/// The words that the translator reads.
type Words = Arc<Mutex<Vec<u32>>>;

struct Code(Words);

impl Fetch for Code {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = pc.wrapping_sub(CODE) / 4;
        let inside = pc.wrapping_sub(CODE) < PAGE && pc.is_multiple_of(4);
        let word = if inside { Some(words.get(index as usize).copied().unwrap_or(FILLER)) } else { None };
        word.ok_or(Fault { addr: pc, access: Access::Fetch, cause: 0 })
    }
}

/// The window of memory, mapped where the cases expect it: one page, seen at each of its pages but
/// for that of the code.
struct Window {
    ticks: u64,
}

fn map_shared(addr: u64, fd: i32) {
    let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: nothing else is mapped at the cases' addresses, and the kernel makes sure of it.
    let at = unsafe { libc::mmap(addr as *mut _, PAGE as usize, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
    assert_eq!(at as u64, addr, "the window of memory must be free");
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mappings are ours, and no code that uses them runs any more.
        unsafe { libc::munmap(WINDOW as *mut _, WINDOW_LEN as usize) };
    }
}

impl Window {
    fn map() -> Window {
        // SAFETY: plain system calls on descriptors of our own.
        let page = |name: &std::ffi::CStr| unsafe {
            let fd = libc::memfd_create(name.as_ptr(), 0);
            assert!(fd >= 0 && libc::ftruncate(fd, PAGE as i64) == 0, "memory for the cases");
            fd
        };
        let (data, code) = (page(c"data"), page(c"code"));
        for addr in (WINDOW..WINDOW + WINDOW_LEN).step_by(PAGE as usize) {
            map_shared(addr, if addr == CODE { code } else { data });
        }
        Window { ticks: 0 }
    }

    fn bytes(&self, addr: u64) -> &'static mut [u8] {
        // SAFETY: mapped for good by `map`; cases run one at a time on one thread.
        unsafe { std::slice::from_raw_parts_mut(addr as *mut u8, PAGE as usize) }
    }

    fn prepare(&self, case: &Case) {
        self.bytes(WINDOW).copy_from_slice(&fill(case.mem_seed));
        let words = case.words.iter().copied().chain(std::iter::repeat(FILLER));
        for (place, word) in self.bytes(CODE).chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// The host address of a guest byte; the top byte is ignored.
    fn at(&self, addr: u64, access: Access) -> Result<*mut u8, Fault> {
        let plain = ((addr << 8) as i64 >> 8) as u64;
        let inside = (WINDOW..WINDOW + WINDOW_LEN).contains(&plain);
        if inside { Ok(plain as *mut u8) } else { Err(Fault { addr, access, cause: 0 }) }
    }
}

impl Bytes for Window {
    fn byte(&mut self, addr: u64, access: Access) -> Result<u8, Fault> {
        // SAFETY: inside the window.
        Ok(unsafe { self.at(addr, access)?.read_volatile() })
    }
    fn set_byte(&mut self, addr: u64, v: u8) -> Result<(), Fault> {
        // SAFETY: inside the window.
        unsafe { self.at(addr, Access::Write)?.write_volatile(v) };
        Ok(())
    }
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}
jib_testing::runtime_of_bytes!(Window);

struct Jit {
    words: Words,
    vcpu: Vcpu<A64>,
    window: Window,
}

impl Jit {
    fn new(quick: u32, threshold: u32) -> Jit {
        let words = Words::default();
        let options = Options { engine: EngineKind::Jit, quick, threshold, background: false, ..Options::default() };
        let translator = Translator::new(A64, Box::new(Code(words.clone())), options).expect("a translator");
        Jit { words, vcpu: Vcpu::new(&translator), window: Window::map() }
    }

    fn run(&mut self, case: &Case) -> Outcome {
        *self.words.lock().unwrap_or_else(PoisonError::into_inner) = case.words.clone();
        self.vcpu.translator().invalidate(CODE..CODE + PAGE);
        self.window.prepare(case);
        *self.vcpu.state = state_of(case);
        self.vcpu.state.set(slot::EXIT_REQUEST, 0);
        let stop = loop {
            match self.vcpu.run(&mut self.window) {
                Exit::Wait(_) | Exit::Interrupt => {}
                Exit::Hvc(_) | Exit::Smc(_) => {
                    let pc = self.vcpu.state.pc().wrapping_sub(4);
                    self.vcpu.state.set_pc(pc);
                    break Stop::Undefined;
                }
                // The case was left: the words after it are BRK, and nothing is elsewhere.
                Exit::Fault(f) if f.access == Access::Fetch => break Stop::Done,
                Exit::Brk(_) if self.past(case) => break Stop::Done,
                other => break stop_of(other),
            }
        };
        outcome(&self.vcpu.state, stop, self.window.bytes(WINDOW).to_vec())
    }

    /// Is the program counter no longer at one of the case's words?
    fn past(&self, case: &Case) -> bool {
        !(CODE..CODE + 4 * case.words.len() as u64).contains(&self.vcpu.state.pc())
    }
}

/// What is left is what each x86-64 since 2008 has.
const ABOVE_SSE42: &str = "avx,avx2,fma,f16c,bmi1,bmi2,lzcnt,aes,sha,pclmul";

#[test]
fn every_row_agrees_with_qemu_on_a_host_of_2008() {
    if std::env::var_os("JIB_HOST_WITHOUT").is_some() {
        return;
    }
    // The host's features are read once, and the window has fixed addresses: another process.
    let mut same = std::process::Command::new(std::env::current_exe().expect("this program"));
    same.args(["--exact", "every_row_agrees_with_qemu", "--nocapture"]).env("JIB_HOST_WITHOUT", ABOVE_SSE42);
    if std::env::var_os("JIB_CASES").is_none() {
        same.env("JIB_CASES", "50");
    }
    assert!(same.status().expect("it can be started").success(), "differences on a host with SSE4.2 only");
}

#[test]
fn every_row_agrees_with_qemu() {
    common::catch_faults();
    // One after the other: both want the same addresses.
    let ways = [("quick code", 0, u32::MAX), ("compiled code", u32::MAX, 0)];
    for (name, quick, threshold) in ways {
        let mut jit = Jit::new(quick, threshold);
        let mut cases = 0;
        differential::check(&differential::Options::from_env(200), name, &mut |case| {
            cases += 1;
            jit.run(case)
        });
        let stats = jit.vcpu.translator().stats();
        let compiled = if quick == 0 { stats.quick_blocks } else { stats.regions };
        assert!(compiled >= cases, "{cases} cases ran, but only {compiled} pieces of {name} were made");
    }
}
