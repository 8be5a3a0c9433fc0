//! Lets `qemu-aarch64` do the cases: builds `tests/guest/oracle.c` and speaks its binary protocol.

use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Stdio};

use crate::case::{CODE, Case, Outcome, PAGE, Registers, Stop, fill};
use crate::case::{MAX_WORDS, WINDOW, WINDOW_LEN};
use crate::{guest, tools};

const SIGILL: u32 = 4;
const SIGTRAP: u32 = 5;
const SIGBUS: u32 = 7;
const SIGSEGV: u32 = 11;

const MAGIC: u32 = u32::from_le_bytes(*b"jib!");

/// The processor that the oracle shows. SVE and SME off: their signal frames would hide V0-V31.
/// Pointer authentication off: hints are then hints, as for us.
pub const CPU_MAX: &str = "max,sve=off,sme=off,pauth=off";

/// Runs all cases and gives their outcomes in order.
///
/// Some unallocated words make qemu abort. Their outcome is [`Stop::Crashed`], and a new process goes on.
///
/// # Panics
/// If the oracle cannot be built or started.
pub fn run(cpu: &str, cases: &[Case]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(cases.len());
    while outcomes.len() < cases.len() {
        outcomes.extend(process(cpu, &cases[outcomes.len()..], false));
        if outcomes.len() < cases.len() {
            // It died, with results unwritten: find the case that killed it one by one.
            outcomes.extend(process(cpu, &cases[outcomes.len()..], true));
            if let Some(case) = cases.get(outcomes.len()) {
                let memory = fill(case.mem_seed);
                outcomes.push(Outcome { stop: Stop::Crashed, pc: CODE, regs: case.regs.clone(), memory });
            }
        }
    }
    outcomes
}

/// Runs cases in one process as far as it lives.
fn process(cpu: &str, cases: &[Case], one_by_one: bool) -> Vec<Outcome> {
    let mut child = tools::command("qemu-aarch64")
        .args(["-cpu", cpu])
        .arg(program())
        .args(one_by_one.then_some("one-by-one"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("cannot start qemu-aarch64");
    let stdin = child.stdin.take().expect("stdin was piped");
    let stdout = child.stdout.take().expect("stdout was piped");
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| send(stdin, cases));
        receive(stdout, cases)
    });
    child.wait().expect("cannot wait for qemu-aarch64");
    outcomes
}

/// The oracle's executable, compiled if need be.
fn program() -> PathBuf {
    let source = tools::root().join("tests/guest/oracle.c");
    // The base is where no likely operand points to.
    let flags = "-O2 -static -fno-stack-protector -mno-outline-atomics -Wl,-Ttext-segment=0x2345670000 -Wall -Werror";
    guest::compile(&source, flags)
}

fn send(pipe: ChildStdin, cases: &[Case]) {
    let mut w = BufWriter::with_capacity(1 << 20, pipe);
    for case in cases {
        // A dead oracle is noticed by the receiver.
        if w.write_all(&encode(case)).is_err() {
            return;
        }
    }
    let _ = w.flush();
}

fn encode(case: &Case) -> Vec<u8> {
    assert!(case.words.len() <= MAX_WORDS, "too many words in a case");
    let r = &case.regs;
    let mut out = Vec::with_capacity(832);
    for v in r.v {
        out.extend_from_slice(&v.to_le_bytes());
    }
    for x in r.x.iter().chain([&case.mem_seed, &r.tpidr]) {
        out.extend_from_slice(&x.to_le_bytes());
    }
    let mut words = [0u32; MAX_WORDS];
    words[..case.words.len()].copy_from_slice(&case.words);
    for w in [r.nzcv, r.fpcr, r.fpsr, case.words.len() as u32].iter().chain(&words) {
        out.extend_from_slice(&w.to_le_bytes());
    }
    out
}

fn receive(pipe: ChildStdout, cases: &[Case]) -> Vec<Outcome> {
    let mut r = BufReader::with_capacity(1 << 20, pipe);
    let mut outcomes = Vec::with_capacity(cases.len());
    for case in cases {
        match decode(&mut r, case) {
            Ok(outcome) => outcomes.push(outcome),
            Err(_) => break,
        }
    }
    outcomes
}

fn decode(r: &mut impl Read, case: &Case) -> std::io::Result<Outcome> {
    let mut v = [0u128; 32];
    for v in &mut v {
        let mut b = [0; 16];
        r.read_exact(&mut b)?;
        *v = u128::from_le_bytes(b);
    }
    let mut x = [0u64; 32];
    for x in &mut x {
        *x = u64(r)?;
    }
    let (pc, fault, tpidr) = (u64(r)?, u64(r)?, u64(r)?);
    let (sig, code, pstate) = (u32(r)?, u32(r)?, u32(r)?);
    let (fpcr, fpsr, lo, len, magic) = (u32(r)?, u32(r)?, u32(r)? as usize, u32(r)? as usize, u32(r)?);
    let mut memory = fill(case.mem_seed);
    match memory.get_mut(lo..lo.saturating_add(len)) {
        Some(changed) if magic == MAGIC => r.read_exact(changed)?,
        _ => return Err(ErrorKind::InvalidData.into()),
    }
    let stop = stop(case, sig, code, pc, fault);
    let regs = Registers { x, v, nzcv: pstate & 0xf000_0000, fpcr, fpsr, tpidr };
    Ok(Outcome { stop, pc, regs, memory })
}

/// The signal in our terms. Whatever the processor met outside the case's words means: they were done.
fn stop(case: &Case, sig: u32, code: u32, pc: u64, fault: u64) -> Stop {
    let words = CODE..CODE + 4 * case.words.len() as u64;
    if !words.contains(&pc) || (sig == SIGSEGV && fault == pc) {
        return Stop::Done;
    }
    match (sig, code) {
        (SIGILL, _) => Stop::Undefined,
        (SIGTRAP, _) => Stop::Breakpoint,
        (SIGBUS, 1) => Stop::Alignment,
        (SIGSEGV, _) => Stop::Fault(fault_page(fault)),
        _ => Stop::Other(sig),
    }
}

/// The page of a fault; one for all addresses that no user page can have, of which Linux tells little.
pub fn fault_page(addr: u64) -> u64 {
    let near = WINDOW.wrapping_sub(WINDOW_LEN)..WINDOW + 2 * WINDOW_LEN;
    if near.contains(&addr) { addr & !(PAGE - 1) } else { 0 }
}

fn u64(r: &mut impl Read) -> std::io::Result<u64> {
    let mut b = [0; 8];
    r.read_exact(&mut b)?;
    Ok(u64::from_le_bytes(b))
}

fn u32(r: &mut impl Read) -> std::io::Result<u32> {
    let mut b = [0; 4];
    r.read_exact(&mut b)?;
    Ok(u32::from_le_bytes(b))
}
