//! The server: waits for a debugger and serves it to the end of its connection.

mod files;
mod memory_mode;
mod monitor;
mod target;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine as Machine;
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};
use gdbstub::target::ext::breakpoints::WatchKind;
use jib_ir::runtime::Access;

use crate::address::{Listener, Stream};
use crate::points::Break;
use crate::session::{Ended, Event, Session, Stop};
use crate::{Debuggee, ThreadId, signals};
use memory_mode::Filter;
use target::Stub;

/// How long a debugger is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// One connection.
    Once,
    /// One after the other.
    Again,
}

/// Serves debuggers of `session`'s guest on a thread of its own.
pub fn start(
    listener: Arc<Listener>,
    session: Arc<Session>,
    debuggee: Arc<dyn Debuggee>,
    times: Times,
) -> io::Result<()> {
    let body = move || {
        loop {
            let connection = listener.accept();
            match connection.and_then(|stream| serve(stream, &session, &debuggee)) {
                Ok(()) => {}
                Err(e) => eprintln!("jib: debugger: {e}; the guest goes on without"),
            }
            debuggee.held(false);
            session.detach();
            session.told();
            if times == Times::Once {
                return;
            }
        }
    };
    thread::Builder::new().name("jib-gdb".to_string()).spawn(body).map(drop)
}

/// The way to the debugger. Replies go out in one piece.
struct Wire {
    stream: Stream,
    pending: Vec<u8>,
}

impl Connection for Wire {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.pending.push(byte);
        Ok(())
    }
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.stream.write_all(&pending)
    }
}

/// Passes on what the debugger sends.
fn read_all(mut stream: Stream, events: &Sender<Event>) {
    let mut buffer = [0; 4096];
    loop {
        let event = match stream.read(&mut buffer) {
            Ok(0) => Event::Gone,
            Ok(n) => Event::Bytes(buffer[..n].to_vec()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => Event::Gone,
        };
        let last = matches!(event, Event::Gone);
        if events.send(event).is_err() || last {
            return;
        }
    }
}

fn serve(stream: Stream, session: &Arc<Session>, debuggee: &Arc<dyn Debuggee>) -> io::Result<()> {
    let (sender, events) = mpsc::channel();
    let (reader, ours) = (stream.try_clone()?, sender.clone());
    thread::Builder::new().name("jib-gdb-input".to_string()).spawn(move || read_all(reader, &ours))?;
    session.attach(sender);
    if !session.wait_for_thread() {
        return Ok(());
    }
    session.stop();
    debuggee.held(true);
    let closer = stream.try_clone()?;
    let mut stub = Stub::new(session.clone(), debuggee.clone());
    let result = talk(Wire { stream, pending: Vec::new() }, &events, &mut stub);
    closer.shutdown();
    match result? {
        Some(DisconnectReason::Kill) => {
            session.told();
            debuggee.kill();
        }
        Some(
            DisconnectReason::Disconnect | DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_),
        ) => {}
        None => eprintln!("jib: the debugger is gone; the guest goes on"),
    }
    Ok(())
}

/// Runs the protocol to its end; `None` if the debugger went without a word.
fn talk(wire: Wire, events: &Receiver<Event>, stub: &mut Stub) -> io::Result<Option<DisconnectReason>> {
    let failed = |e: gdbstub::stub::GdbStubError<String, io::Error>| io::Error::other(e.to_string());
    let gdb =
        GdbStub::builder(wire).packet_buffer_size(16 << 10).build().map_err(|e| io::Error::other(e.to_string()))?;
    let mut gdb = gdb.run_state_machine(stub).map_err(failed)?;
    let mut filter = Filter::default();
    let mut input: std::collections::VecDeque<u8> = Default::default();
    loop {
        gdb = match gdb {
            Machine::Disconnected(inner) => return Ok(Some(inner.get_reason())),
            Machine::CtrlCInterrupt(inner) => {
                stub.stop();
                // A thread may have stopped at the same moment: that is the reason then.
                let reason = match events.try_recv() {
                    Ok(Event::Stopped(id, stop)) => reason(id, stop),
                    Ok(Event::Ended(how)) => end(how),
                    Ok(Event::Bytes(bytes)) => {
                        input.extend(filter.pass(&bytes, stub));
                        stub.interrupted()
                    }
                    Ok(Event::Gone) => return Ok(None),
                    Err(_) => stub.interrupted(),
                };
                inner.interrupt_handled(stub, Some(reason)).map_err(failed)?
            }
            Machine::Idle(mut inner) => match input.pop_front() {
                Some(byte) => inner.incoming_data(stub, byte).map_err(failed)?,
                None => match events.recv() {
                    Ok(Event::Bytes(bytes)) => {
                        input.extend(filter.pass(&bytes, stub));
                        filter.answer(inner.borrow_conn())?;
                        if stub.killed {
                            return Ok(Some(DisconnectReason::Kill));
                        }
                        inner.into()
                    }
                    // While stopped, only the debugger has something to say.
                    Ok(Event::Stopped(..)) => inner.into(),
                    // Somebody else ended it; there is no reply to say so in.
                    Ok(Event::Ended(_)) => return Ok(Some(DisconnectReason::Disconnect)),
                    Ok(Event::Gone) | Err(_) => return Ok(None),
                },
            },
            Machine::Running(inner) => match input.pop_front() {
                Some(byte) => inner.incoming_data(stub, byte).map_err(failed)?,
                None => match events.recv() {
                    Ok(Event::Bytes(bytes)) => {
                        input.extend(filter.pass(&bytes, stub));
                        inner.into()
                    }
                    Ok(Event::Stopped(id, stop)) => {
                        stub.stop();
                        inner.report_stop(stub, reason(id, stop)).map_err(failed)?
                    }
                    Ok(Event::Ended(how)) => inner.report_stop(stub, end(how)).map_err(failed)?,
                    Ok(Event::Gone) | Err(_) => return Ok(None),
                },
            },
        };
    }
}

fn reason(tid: ThreadId, stop: Stop) -> MultiThreadStopReason<u64> {
    match stop {
        Stop::Stepped => MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGTRAP },
        Stop::Break(Break::Software) => MultiThreadStopReason::SwBreak(tid),
        Stop::Break(Break::Hardware) => MultiThreadStopReason::HwBreak(tid),
        Stop::Watch { addr, watched, access } => {
            let kind = match (watched, access) {
                ((true, true), _) => WatchKind::ReadWrite,
                (_, Access::Read) => WatchKind::Read,
                _ => WatchKind::Write,
            };
            MultiThreadStopReason::Watch { tid, kind, addr }
        }
        Stop::Signal(n) => MultiThreadStopReason::SignalWithThread { tid, signal: Signal(signals::to_gdb(n)) },
    }
}

fn end(how: Ended) -> MultiThreadStopReason<u64> {
    match how {
        Ended::Exited(code) => MultiThreadStopReason::Exited(code),
        Ended::Signaled(n) => MultiThreadStopReason::Terminated(Signal(signals::to_gdb(n))),
    }
}
