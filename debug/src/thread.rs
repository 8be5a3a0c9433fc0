//! A guest thread's side of a session: what to do before each block, and what a run may do.

use std::sync::Arc;

use jib_ir::state::State;

use crate::ThreadId;
use crate::engine::BLOCK;
use crate::points::{Hit, Points};
use crate::session::{Action, Resumed, Session, Stop};

/// A thread as its debugger sees it.
pub struct Debugged {
    session: Arc<Session>,
    id: ThreadId,
    seen: u64,
    action: Action,
    points: Arc<Points>,
    detached: bool,
    /// It had to wait since [`Debugged::take_waited`] was asked.
    waited: bool,
    /// An instruction was executed since it went on.
    moved: bool,
    /// A signal that the debugger wants delivered.
    signal: Option<i32>,
}

/// What may be done before a thread looks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Anything, by the fastest means: nobody debugs.
    Free,
    /// This number of instructions at most, with data accesses checked against [`Debugged::points`].
    Run(u32),
}

impl Debugged {
    /// The thread `id` joins `session`. With `away`, it runs no code until it looks for the first time.
    pub fn join(session: &Arc<Session>, id: ThreadId, state: &State, away: bool) -> Debugged {
        session.join(id, state, away);
        Debugged {
            session: session.clone(),
            id,
            seen: 0,
            action: Action::Continue,
            points: Arc::default(),
            detached: false,
            waited: false,
            moved: false,
            signal: None,
        }
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Is there something new to look at? Cheap enough for each block.
    #[inline]
    pub fn is_called(&self) -> bool {
        self.session.epoch() != self.seen
    }

    /// Is a debugger there, as far as this thread has looked?
    #[inline]
    pub fn is_active(&self) -> bool {
        !self.detached
    }

    /// Is it to do a single step?
    pub fn is_stepping(&self) -> bool {
        !matches!(self.action, Action::Continue | Action::Stay)
    }

    /// Waits while the debugger wants it. The registers may be others afterwards, if the result is true.
    pub fn look(&mut self, state: &mut State) -> bool {
        let resumed = self.session.look(self.id, state);
        self.adopt(resumed)
    }

    fn adopt(&mut self, r: Resumed) -> bool {
        self.seen = r.epoch;
        self.action = r.action;
        self.points = r.points;
        self.detached = r.detached;
        self.signal = r.signal.or(self.signal);
        self.moved &= !r.waited;
        self.waited |= r.waited;
        r.waited
    }

    /// Has it waited since this was last asked? Then its registers may be others.
    pub fn take_waited(&mut self) -> bool {
        std::mem::take(&mut self.waited)
    }

    /// Before a block: stops for whatever is due, then tells what may run.
    pub fn before(&mut self, state: &mut State) -> Go {
        loop {
            if self.is_called() {
                self.look(state);
            }
            if self.detached {
                return Go::Free;
            }
            match self.due(state.pc()) {
                Some(stop) => {
                    let (_, resumed) = self.session.report(self.id, state, stop);
                    self.adopt(resumed);
                    // GDB steps over its own breakpoints by taking them away, so a thread that goes on at one stops.
                }
                None => {
                    let single = self.is_stepping() || !self.points.watches().is_empty();
                    return Go::Run(if single { 1 } else { self.points.free_run(state.pc(), BLOCK) });
                }
            }
        }
    }

    /// Why the thread must stop at `pc`.
    fn due(&self, pc: u64) -> Option<Stop> {
        if let Some(kind) = self.points.at(pc)
            && (self.moved || !self.is_stepping())
        {
            return Some(Stop::Break(kind));
        }
        match self.action {
            Action::Step if self.moved => Some(Stop::Stepped),
            Action::StepWithin(start, end) if self.moved && !(start..end).contains(&pc) => Some(Stop::Stepped),
            _ => None,
        }
    }

    /// Instructions were executed, or a handler was entered.
    #[inline]
    pub fn moved(&mut self) {
        self.moved = true;
    }

    /// What the debugger has set.
    pub fn points(&self) -> &Arc<Points> {
        &self.points
    }

    /// A watched access is about to be made: stops.
    pub fn watched(&mut self, state: &mut State, hit: &Hit) {
        let watched = self.points.watches().get(hit.index).map_or((false, true), |w| (w.read, w.write));
        let stop = Stop::Watch { addr: hit.addr, watched, access: hit.access };
        let (_, resumed) = self.session.report(self.id, state, stop);
        self.adopt(resumed);
    }

    /// A signal is about to be delivered: stops, and gives the signal that the debugger wants delivered instead.
    pub fn signal(&mut self, state: &mut State, signal: i32) -> Option<i32> {
        loop {
            if self.is_called() {
                self.look(state);
            }
            if self.detached {
                return Some(signal);
            }
            let (told, resumed) = self.session.report(self.id, state, Stop::Signal(signal));
            self.adopt(resumed);
            if told && !self.detached {
                return self.signal.take();
            }
        }
    }

    /// A signal that the debugger wants delivered although none came.
    pub fn injected(&mut self) -> Option<i32> {
        self.signal.take()
    }

    /// The thread is about to do something that takes its time and is no guest code. Waits first if it must.
    pub fn away(&mut self, state: &mut State) {
        if self.is_called() {
            self.look(state);
        }
        self.session.away(self.id, state);
    }

    /// Back from [`Debugged::away`]: waits if the debugger wants it.
    pub fn back(&mut self, state: &mut State) {
        self.look(state);
    }
}

impl Drop for Debugged {
    fn drop(&mut self) {
        self.session.leave(self.id);
    }
}
