//! Who of a guest's threads runs and who waits: all stop together and go on as the debugger says.
//!
//! A thread that waits leaves its registers here, where the server reads and changes them. One that is away (in a
//! system call, asleep) counts as stopped: its registers can be read, and it waits when it comes back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jib_ir::runtime::Access;
use jib_ir::state::State;

use crate::ThreadId;
use crate::points::{Break, Points};

/// Longest wait for the server to pass the news of the guest's end on.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What a thread does when the guest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It stays stopped.
    Stay,
    /// It runs.
    Continue,
    /// It executes one instruction.
    Step,
    /// It executes at least one instruction, and goes on while the next is within these addresses.
    StepWithin(u64, u64),
}

/// Why a thread stopped the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It did the step that it was asked for.
    Stepped,
    /// It reached a breakpoint.
    Break(Break),
    /// It is about to make a watched access to this address.
    Watch {
        /// The watched address.
        addr: u64,
        /// Do reads stop, too, and do writes?
        watched: (bool, bool),
        /// What the access is.
        access: Access,
    },
    /// It is about to get this signal (a Linux number).
    Signal(i32),
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exited(u8),
    /// By this signal (a Linux number).
    Signaled(i32),
}

/// What the server must hear of.
#[derive(Debug)]
pub enum Event {
    /// Bytes from the debugger.
    Bytes(Vec<u8>),
    /// The debugger is gone.
    Gone,
    /// A thread stopped.
    Stopped(ThreadId, Stop),
    /// The guest ended.
    Ended(Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Executing guest code.
    Running,
    /// Waiting for the debugger.
    Waiting,
    /// Not executing guest code, for reasons of its own.
    Away,
}

struct Slot {
    /// The registers, unless it is running.
    state: Box<State>,
    place: Place,
    action: Action,
    /// To be delivered when it goes on.
    signal: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Stopped,
    Running,
    /// No debugger is there.
    Detached,
}

struct Inner {
    phase: Phase,
    threads: BTreeMap<ThreadId, Slot>,
    points: Arc<Points>,
    events: Option<Sender<Event>>,
    /// Threads without an action of their own stay stopped.
    locked: bool,
    /// The guest is about to end: no thread comes any more.
    ending: bool,
    /// The server has told of the guest's end.
    told: bool,
}

/// All threads of a guest.
pub struct Session {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Grows whenever threads must look at the rest.
    epoch: AtomicU64,
    /// Makes threads look that would not by themselves.
    call: Box<dyn Fn() + Send + Sync>,
}

/// What a thread learns when it may go on.
pub(crate) struct Resumed {
    pub(crate) epoch: u64,
    pub(crate) action: Action,
    pub(crate) points: Arc<Points>,
    pub(crate) signal: Option<i32>,
    pub(crate) detached: bool,
    /// It had to wait.
    pub(crate) waited: bool,
}

impl Session {
    /// A session whose threads wait for a debugger (`true`), or run until one comes.
    pub fn new(wait: bool) -> Arc<Session> {
        Session::with_caller(wait, Box::new(|| {}))
    }

    /// The same where threads that nobody debugs run without a look at [`Debugged`](crate::thread::Debugged): `call`
    /// makes them look. It must not use the session.
    pub fn with_caller(wait: bool, call: Box<dyn Fn() + Send + Sync>) -> Arc<Session> {
        let inner = Inner {
            phase: if wait { Phase::Stopped } else { Phase::Detached },
            threads: BTreeMap::new(),
            points: Arc::default(),
            events: None,
            locked: false,
            ending: false,
            told: false,
        };
        Arc::new(Session { inner: Mutex::new(inner), changed: Condvar::new(), epoch: AtomicU64::new(1), call })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all threads look.
    fn bump(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
        (self.call)();
    }

    // The threads' side.

    /// Tells whether anything changed since a thread looked.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A new thread; it looks before it runs.
    pub(crate) fn join(&self, id: ThreadId, state: &State, away: bool) {
        let mut inner = self.lock();
        let action = if inner.locked { Action::Stay } else { Action::Continue };
        let place = if away { Place::Away } else { Place::Running };
        inner.threads.insert(id, Slot { state: Box::new(state.clone()), place, action, signal: None });
    }

    /// The thread is no more.
    pub(crate) fn leave(&self, id: ThreadId) {
        self.lock().threads.remove(&id);
        self.changed.notify_all();
    }

    /// The thread does not run guest code from now until its next [`Session::look`].
    pub(crate) fn away(&self, id: ThreadId, state: &State) {
        self.put(&mut self.lock(), id, state, Place::Away);
    }

    fn put(&self, inner: &mut Inner, id: ThreadId, state: &State, place: Place) {
        if let Some(slot) = inner.threads.get_mut(&id) {
            slot.state.as_mut().clone_from(state);
            slot.place = place;
        }
        self.changed.notify_all();
    }

    /// Waits while the thread must not run, with its registers given away meanwhile.
    pub(crate) fn look(&self, id: ThreadId, state: &mut State) -> Resumed {
        self.look_locked(self.lock(), id, state)
    }

    fn look_locked(&self, mut inner: MutexGuard<'_, Inner>, id: ThreadId, state: &mut State) -> Resumed {
        let mut waited = false;
        loop {
            let stay = |s: &Slot| inner.phase == Phase::Running && s.action == Action::Stay;
            if inner.phase != Phase::Stopped && !inner.threads.get(&id).is_some_and(stay) {
                break;
            }
            if !waited {
                self.put(&mut inner, id, state, Place::Waiting);
                waited = true;
            }
            inner = self.wait(inner);
        }
        let (points, detached) = (inner.points.clone(), inner.phase == Phase::Detached);
        let epoch = self.epoch();
        let Some(slot) = inner.threads.get_mut(&id) else {
            return Resumed { epoch, action: Action::Continue, points, signal: None, detached, waited };
        };
        if waited {
            state.clone_from(&slot.state);
        }
        slot.place = Place::Running;
        Resumed { epoch, action: slot.action, points, signal: slot.signal.take(), detached, waited }
    }

    /// Stops all threads because of `stop`, unless they are stopped already or nobody debugs; then waits like
    /// [`Session::look`]. Gives whether the debugger was told.
    pub(crate) fn report(&self, id: ThreadId, state: &mut State, stop: Stop) -> (bool, Resumed) {
        let mut inner = self.lock();
        let told = inner.phase == Phase::Running;
        if told {
            inner.phase = Phase::Stopped;
            if let Some(events) = &inner.events {
                // Without a receiver the session is about to be detached.
                let _ = events.send(Event::Stopped(id, stop));
            }
            self.put(&mut inner, id, state, Place::Waiting);
            self.bump();
        }
        (told, self.look_locked(inner, id, state))
    }

    /// The guest ends: returns when the debugger has heard of it, or is not there to hear.
    pub fn ended(&self, how: Ended) {
        let mut inner = self.lock();
        inner.ending = true;
        self.changed.notify_all();
        while inner.phase == Phase::Stopped && !inner.told {
            inner = self.wait(inner);
        }
        let sent =
            inner.phase == Phase::Running && inner.events.as_ref().is_some_and(|e| e.send(Event::Ended(how)).is_ok());
        if sent {
            let waiting = |inner: &mut Inner| !inner.told && inner.phase == Phase::Running;
            drop(self.changed.wait_timeout_while(inner, LAST_WORDS, waiting));
        }
    }

    // The server's side.

    /// A debugger has come: all threads stop.
    pub fn attach(&self, events: Sender<Event>) {
        let mut inner = self.lock();
        inner.events = Some(events);
        inner.phase = Phase::Stopped;
        inner.told = false;
        drop(inner);
        self.bump();
    }

    /// The debugger has gone: all threads run.
    pub fn detach(&self) {
        let mut inner = self.lock();
        inner.phase = Phase::Detached;
        inner.events = None;
        inner.points = Arc::default();
        inner.locked = false;
        for slot in inner.threads.values_mut() {
            slot.action = Action::Continue;
            slot.signal = None;
        }
        drop(inner);
        self.bump();
    }

    /// Waits for the first thread; false if the guest ends without another one.
    pub fn wait_for_thread(&self) -> bool {
        let none = |inner: &mut Inner| inner.threads.is_empty() && !inner.ending;
        let inner = self.changed.wait_while(self.lock(), none).unwrap_or_else(PoisonError::into_inner);
        !inner.threads.is_empty()
    }

    /// Lets all threads go on at once, so that they notice what happened to the guest.
    pub fn release(&self) {
        let mut inner = self.lock();
        if inner.phase == Phase::Stopped {
            inner.phase = Phase::Running;
        }
        inner.locked = false;
        inner.points = Arc::default();
        inner.threads.values_mut().for_each(|slot| slot.action = Action::Continue);
        drop(inner);
        self.bump();
    }

    /// Stops all threads; returns when none runs.
    pub fn stop(&self) {
        let mut inner = self.lock();
        if inner.phase == Phase::Running {
            inner.phase = Phase::Stopped;
            self.bump();
        }
        while inner.threads.values().any(|s| s.place == Place::Running) {
            inner = self.wait(inner);
        }
    }

    /// Lets threads go on: those of `actions` as it says, the others run, or stay if `locked`.
    pub fn resume(&self, actions: &BTreeMap<ThreadId, (Action, Option<i32>)>, locked: bool) {
        let mut inner = self.lock();
        let default = if locked { Action::Stay } else { Action::Continue };
        for (id, slot) in &mut inner.threads {
            let (action, signal) = actions.get(id).copied().unwrap_or((default, None));
            slot.action = action;
            slot.signal = signal.or(slot.signal);
        }
        inner.locked = locked;
        inner.phase = Phase::Running;
        drop(inner);
        self.bump();
    }

    /// The debugger has been told of the guest's end.
    pub fn told(&self) {
        self.lock().told = true;
        self.changed.notify_all();
    }

    /// All threads, in order.
    pub fn threads(&self) -> Vec<ThreadId> {
        self.lock().threads.keys().copied().collect()
    }

    /// A stopped thread's registers.
    pub fn state(&self, id: ThreadId) -> Option<Box<State>> {
        self.lock().threads.get(&id).map(|slot| slot.state.clone())
    }

    /// Is the thread doing something that is not guest code?
    pub fn is_away(&self, id: ThreadId) -> bool {
        self.lock().threads.get(&id).is_some_and(|slot| slot.place == Place::Away)
    }

    /// Changes a stopped thread's registers; false if it is away and would not notice.
    pub fn change(&self, id: ThreadId, f: impl FnOnce(&mut State)) -> bool {
        let mut inner = self.lock();
        match inner.threads.get_mut(&id) {
            Some(slot) if slot.place == Place::Waiting => {
                f(&mut slot.state);
                true
            }
            _ => false,
        }
    }

    /// Changes breakpoints and watchpoints.
    pub fn change_points<T>(&self, f: impl FnOnce(&mut Points) -> T) -> T {
        let mut inner = self.lock();
        let result = f(Arc::make_mut(&mut inner.points));
        drop(inner);
        self.bump();
        result
    }
}

#[cfg(test)]
mod tests;
