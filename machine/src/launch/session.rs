//! One run of a machine with its user: consoles, what the guest tells, time limit, restarts.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use jib_backend::cache_dir::CacheDir;
use jib_backend::{PageStore, Stats};
use jib_debug::address::Listener;
use jib_debug::log::{Log, Sink};
use vm_memory::{Bytes, GuestAddress};

use super::io::{Streams, Typed};
use super::watch::{News, Watch};
use crate::board::{Board, Config, FIRMWARE_ENTRY};
use crate::cpu::Stop;
use crate::fdt::Boot;
use crate::host::Output;
use crate::host::escape::{Action, Escape, HELP};
use crate::host::input::InputQueue;
use crate::host::pump::pump_input;
use crate::loader;
use crate::machine::{Engine, Machine, Misses};

/// How long the power key is held: guests sample it.
const KEY_PRESS: Duration = Duration::from_millis(100);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest powered off.
    PowerOff,
    /// The command, or a program by semihosting, ended with this status.
    Status(u8),
    /// The guest's kernel panicked.
    Panic,
    /// The user left.
    Left,
    /// The time was up.
    TimedOut,
    /// A signal asked us to end.
    Signal(i32),
}

impl End {
    /// The exit code that says so.
    pub fn code(self) -> u8 {
        match self {
            End::PowerOff | End::Left => 0,
            End::Status(status) => status,
            End::Panic => 101,
            End::TimedOut => 124,
            // As shells have it.
            End::Signal(signal) => (128 + signal) as u8,
        }
    }
}

/// What was learnt while the machine ran.
#[derive(Default)]
pub(super) struct Events {
    state: Mutex<State>,
    changed: Condvar,
    stop: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct State {
    /// Where input goes, once it may.
    ready: Option<Console>,
    end: Option<End>,
    panicked: bool,
}

#[derive(Clone, Copy)]
enum Console {
    Serial,
    Virtio,
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run; the first reason counts.
    pub(super) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
        if let Some(stop) = self.stop.get() {
            stop();
        }
    }

    fn hear(&self, news: News) {
        match news {
            News::Ready(virtio) => {
                self.lock().ready = Some(if virtio { Console::Virtio } else { Console::Serial });
                self.changed.notify_all();
            }
            News::Status(status) => self.end(End::Status(status)),
            News::Panic => self.lock().panicked = true,
        }
    }

    /// Waits until the guest takes input; `None` if the run ends before.
    fn wait_ready(&self) -> Option<Console> {
        let waiting = |state: &mut State| state.ready.is_none() && state.end.is_none();
        let state = self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.ready.filter(|_| state.end.is_none())
    }

    /// Ends the run when `limit` is over; returns when the run ended.
    fn watch_time(&self, limit: Duration) {
        let running = |state: &mut State| state.end.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), limit, running);
        let timed_out = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        if timed_out {
            self.end(End::TimedOut);
        }
    }
}

/// What to put into memory.
#[derive(Default)]
pub(super) struct Payload {
    /// Name of the kernel in messages.
    pub(super) name: String,
    /// The kernel; firmware is started if there is none.
    pub(super) kernel: Option<Vec<u8>>,
    pub(super) initrd: Option<Vec<u8>>,
    pub(super) dtb: Option<Vec<u8>>,
    pub(super) arguments: String,
}

/// How the run is to be.
pub(super) struct Plan {
    pub(super) payload: Payload,
    /// What marks the guest's lines for the host; `None` if the guest is not ours.
    pub(super) token: Option<String>,
    /// True if the guest runs a command.
    pub(super) command: bool,
    pub(super) timeout: Option<Duration>,
    /// The process does nothing else.
    pub(super) process_ends: bool,
    pub(super) verbose: bool,
    pub(super) engine: Engine,
    /// Where translations are kept.
    pub(super) cache: Option<Arc<CacheDir>>,
    pub(super) gdb: Option<Arc<Listener>>,
    pub(super) log: Option<Log>,
    pub(super) trace: Option<Arc<Sink>>,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Why it ended.
    pub end: End,
    /// What the translator did.
    pub stats: Stats,
    /// What the CPUs' TLBs missed.
    pub misses: Misses,
    /// The kernel's part of memory at the end, if its CPUs were sampled: it holds the kernel's symbols.
    pub kernel: Vec<u8>,
    /// Restarts.
    pub restarts: u32,
}

/// Makes an error a line.
fn line(e: impl fmt::Display) -> String {
    e.to_string()
}

/// Runs the machine of `config` (whose consoles are filled in here) to its end.
pub(super) fn run(mut config: Config, plan: Plan, streams: Streams, events: &Arc<Events>) -> Result<Report, String> {
    let Streams { input, output, errors, terminals } = streams;
    // A mark that no guest can know where the guest is not ours.
    let token = plan.token.clone().unwrap_or_else(|| "\n".to_string());
    let hear = events.clone();
    let watched = |output: Box<dyn Output>| Box::new(Watch::new(output, &token, move |news| hear.hear(news)));
    match plan.command {
        true => {
            config.console = watched(errors);
            config.virtio_console = Some((output, terminals.size));
        }
        false => config.console = watched(output),
    }
    let boots = config.firmware.as_deref().or(plan.payload.kernel.as_deref());
    let kept = plan.cache.zip(boots).map(|(folder, boots)| Arc::new(PageStore::new(folder, boots, b"board")));
    let engine = Engine { pages: kept.clone(), ..plan.engine.clone() };
    let mut machine = Machine::new(config, engine, plan.verbose).map_err(line)?;
    machine.observe(plan.log, plan.trace, plan.gdb.as_ref()).map_err(line)?;
    let board = machine.board().clone();
    if plan.token.is_none() {
        events.hear(News::Ready(false));
    }
    let mut start = load(&board, &plan.payload, kept.as_deref())?;
    // Set once: the run begins here.
    let _ = events.stop.set(Box::new(machine.stopper()));
    let escape = terminals.input.then(Escape::default);
    let input: Box<dyn std::io::Read + Send> =
        if plan.command && !terminals.input { Box::new(Typed::new(input)) } else { input };
    let gate = Arc::new(InputQueue::default());
    spawn("input", {
        let (gate, board, events) = (gate.clone(), board.clone(), events.clone());
        move || read(input, escape, &gate, &board, &events)
    })?;
    spawn("console", {
        let (gate, board, events) = (gate.clone(), board.clone(), events.clone());
        move || feed(&gate, &board, &events)
    })?;
    if let Some(limit) = plan.timeout {
        let events = events.clone();
        spawn("timeout", move || events.watch_time(limit))?;
    }
    let mut report = Report {
        end: End::PowerOff,
        stats: Stats::default(),
        misses: Misses::default(),
        kernel: Vec::new(),
        restarts: 0,
    };
    while events.lock().end.is_none() {
        let outcome = machine.run(start.entry, start.dtb);
        report.stats = outcome.stats;
        report.misses += outcome.misses;
        let panicked = events.lock().panicked;
        match outcome.stop {
            Stop::Reset if panicked => events.end(End::Panic),
            // A command that restarts the machine would be run again and again.
            Stop::Reset if !plan.command => {
                report.restarts += 1;
                machine.reset();
                start = load(&board, &plan.payload, kept.as_deref())?;
            }
            Stop::Reset | Stop::PowerOff => events.end(End::PowerOff),
            Stop::Exit(status) => events.end(End::Status(status)),
            Stop::Quit => events.end(End::Left),
        }
    }
    gate.close();
    board.console_input.close();
    board.virtio_input.close();
    report.end = events.lock().end.unwrap_or(End::PowerOff);
    if plan.engine.sampler.is_some() {
        report.kernel = memory(&board, &start.kernel);
    }
    machine.ended(report.end.code());
    // Whoever sends a signal does not want to wait.
    if !matches!(report.end, End::Signal(_)) {
        machine.keep();
    }
    if plan.process_ends {
        // Nor is it worth taking everything apart before the kernel does.
        std::mem::forget(machine);
    }
    Ok(report)
}

/// A copy of physical memory; empty if it cannot be read.
fn memory(board: &Board, range: &Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let read = board.space.ram().dma().read_slice(&mut bytes, GuestAddress(range.start));
    read.map_or(Vec::new(), |()| bytes)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), String> {
    thread::Builder::new().name(name.to_string()).spawn(body).map(drop).map_err(|e| format!("{name}: {e}"))
}

/// Where a machine starts.
struct Start {
    entry: u64,
    /// What x0 holds.
    dtb: u64,
    /// Where the kernel lies, if we loaded one.
    kernel: Range<u64>,
}

/// Puts everything into memory.
fn load(board: &Board, payload: &Payload, kept: Option<&PageStore>) -> Result<Start, String> {
    let ram = board.space.ram();
    let (entry, kernel, layout) = match &payload.kernel {
        Some(kernel) => {
            let kernel = loader::load_kernel(ram, &payload.name, kernel).map_err(line)?;
            let layout = loader::place(ram, &kernel, payload.initrd.as_deref()).map_err(line)?;
            (kernel.entry, kernel.memory, layout)
        }
        None => (FIRMWARE_ENTRY, 0..0, loader::place_for_firmware(ram).map_err(line)?),
    };
    let mut seed = vec![0; 64];
    crate::board::entropy(&mut seed);
    // Translations hold addresses: where they are kept, a user's kernel is where it was the last time.
    if let Some(place) = kept.and_then(|kept| kept.number("kaslr-seed")) {
        seed[..8].copy_from_slice(&place.to_be_bytes());
    }
    let boot = Boot { arguments: payload.arguments.clone(), initrd: layout.initrd.clone(), seed };
    let own;
    let dtb = match &payload.dtb {
        Some(dtb) => dtb,
        None => {
            own = board.device_tree(&boot).map_err(line)?;
            &own
        }
    };
    loader::write_dtb(ram, &layout, dtb).map_err(line)?;
    Ok(Start { entry, dtb: layout.dtb, kernel })
}

/// Reads the user's input to its end; obeys the escape key.
fn read(
    input: Box<dyn std::io::Read + Send>,
    escape: Option<Escape>,
    gate: &InputQueue,
    board: &Board,
    events: &Events,
) {
    let action = |action| {
        match action {
            Action::Exit => {
                events.end(End::Left);
                return false;
            }
            Action::Help => eprint!("{HELP}"),
            Action::Break => board.send_break(),
            Action::Power => {
                board.power_key(true);
                thread::sleep(KEY_PRESS);
                board.power_key(false);
            }
            Action::Input(_) => {}
        }
        true
    };
    pump_input(input, escape, gate, || {}, action);
}

/// Passes input on to the guest once it is ready for it.
fn feed(gate: &InputQueue, board: &Board, events: &Events) {
    let queue = match events.wait_ready() {
        Some(Console::Serial) => &board.console_input,
        Some(Console::Virtio) => &board.virtio_input,
        None => return,
    };
    loop {
        let bytes = gate.wait_pop(1024);
        let mut rest = bytes.as_slice();
        if rest.is_empty() {
            return;
        }
        while !rest.is_empty() {
            match queue.push(rest) {
                0 => return,
                pushed => rest = &rest[pushed..],
            }
            board.console_input_arrived();
        }
    }
}
