//! Sessions with threads that count, and no protocol.

use super::*;
use crate::thread::{Debugged, Go};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

fn id(n: usize) -> ThreadId {
    NonZeroUsize::new(n).expect("not zero")
}

/// A guest thread that counts pc up by fours until it is free to run.
fn guest(session: &Arc<Session>, n: usize, pc: u64) -> JoinHandle<u64> {
    let session = session.clone();
    thread::spawn(move || {
        let mut s = State::default();
        s.set_pc(pc);
        let mut d = Debugged::join(&session, id(n), &s, false);
        while let Go::Run(_) = d.before(&mut s) {
            s.set_pc(s.pc() + 4);
            d.moved();
            thread::yield_now();
        }
        s.pc()
    })
}

fn attached() -> (Arc<Session>, Receiver<Event>) {
    let (sender, events) = mpsc::channel();
    let session = Session::new(true);
    session.attach(sender);
    (session, events)
}

fn stopped(events: &Receiver<Event>) -> (ThreadId, Stop) {
    match events.recv() {
        Ok(Event::Stopped(id, stop)) => (id, stop),
        other => panic!("{other:?}"),
    }
}

fn pc(session: &Session, n: usize) -> u64 {
    session.state(id(n)).expect("a thread").pc()
}

#[test]
fn steps_breakpoints_and_changed_registers() {
    let (session, events) = attached();
    let thread = guest(&session, 1, 0x1000);
    session.wait_for_thread();
    session.stop();
    assert_eq!(pc(&session, 1), 0x1000);
    session.resume(&BTreeMap::from([(id(1), (Action::Step, None))]), false);
    assert_eq!(stopped(&events), (id(1), Stop::Stepped));
    session.stop();
    assert_eq!(pc(&session, 1), 0x1004);
    session.resume(&BTreeMap::from([(id(1), (Action::StepWithin(0x1000, 0x1020), None))]), false);
    assert_eq!(stopped(&events), (id(1), Stop::Stepped));
    session.stop();
    assert_eq!(pc(&session, 1), 0x1020);
    session.change_points(|p| p.add_break(0x2000, Break::Hardware));
    assert!(session.change(id(1), |s| s.set_pc(0x1ff0)));
    session.resume(&BTreeMap::new(), false);
    assert_eq!(stopped(&events), (id(1), Stop::Break(Break::Hardware)));
    session.stop();
    assert_eq!(pc(&session, 1), 0x2000);
    // A step leaves the breakpoint that it starts at alone.
    session.resume(&BTreeMap::from([(id(1), (Action::Step, None))]), false);
    assert_eq!(stopped(&events), (id(1), Stop::Stepped));
    session.stop();
    session.detach();
    assert_eq!(thread.join().expect("the guest"), 0x2004);
    assert!(session.threads().is_empty());
}

#[test]
fn all_stop_together_and_a_locked_thread_stays() {
    let (session, events) = attached();
    let threads = [guest(&session, 1, 0x1000), guest(&session, 2, 0x10_0000)];
    while session.threads().len() < 2 {
        thread::yield_now();
    }
    session.stop();
    session.resume(&BTreeMap::new(), false);
    thread::sleep(Duration::from_millis(5));
    session.stop();
    let before = pc(&session, 1);
    session.resume(&BTreeMap::from([(id(2), (Action::Step, None))]), true);
    assert_eq!(stopped(&events), (id(2), Stop::Stepped));
    session.stop();
    assert_eq!(pc(&session, 1), before);
    session.detach();
    for thread in threads {
        thread.join().expect("the guest");
    }
}

#[test]
fn away_threads_count_as_stopped_and_wait_when_they_come_back() {
    let (session, _events) = attached();
    let mut s = State::default();
    s.set_pc(0x1234);
    let mut d = Debugged::join(&session, id(1), &s, true);
    session.stop();
    assert!(session.is_away(id(1)) && pc(&session, 1) == 0x1234);
    assert!(!session.change(id(1), |s| s.set_pc(0)), "it would not notice");
    let thread = thread::spawn(move || {
        d.back(&mut s);
        s.pc()
    });
    while session.is_away(id(1)) {
        thread::yield_now();
    }
    assert!(session.change(id(1), |s| s.set_pc(0x4321)));
    session.resume(&BTreeMap::new(), false);
    assert_eq!(thread.join().expect("the guest"), 0x4321);
}

#[test]
fn signals_go_through_the_debugger() {
    let (session, events) = attached();
    let guest = session.clone();
    let thread = thread::spawn(move || {
        let mut s = State::default();
        let mut d = Debugged::join(&guest, id(1), &s, false);
        [10, 12, 15].map(|n| d.signal(&mut s, n))
    });
    session.wait_for_thread();
    session.stop();
    session.resume(&BTreeMap::new(), false);
    assert_eq!(stopped(&events), (id(1), Stop::Signal(10)));
    session.stop();
    session.resume(&BTreeMap::from([(id(1), (Action::Continue, Some(34)))]), false);
    assert_eq!(stopped(&events), (id(1), Stop::Signal(12)));
    session.stop();
    session.resume(&BTreeMap::new(), false);
    assert_eq!(stopped(&events), (id(1), Stop::Signal(15)));
    session.stop();
    // Without a debugger the signal does what it always does.
    session.detach();
    assert_eq!(thread.join().expect("the guest"), [Some(34), None, Some(15)]);
}

#[test]
fn the_end_is_told_while_running_and_not_without_a_debugger() {
    let (session, events) = attached();
    session.resume(&BTreeMap::new(), false);
    let guest = session.clone();
    let thread = thread::spawn(move || guest.ended(Ended::Exited(3)));
    assert!(matches!(events.recv(), Ok(Event::Ended(Ended::Exited(3)))));
    session.told();
    thread.join().expect("the guest");
    session.detach();
    session.ended(Ended::Exited(0));
    assert!(events.try_recv().is_err());
}

#[test]
fn a_debugger_that_comes_too_late_does_not_wait_for_threads() {
    let (session, _events) = attached();
    let (sender, done) = mpsc::channel();
    let server = session.clone();
    thread::spawn(move || {
        let any = server.wait_for_thread();
        server.detach();
        sender.send(any)
    });
    let guest = thread::spawn(move || session.ended(Ended::Exited(0)));
    assert_eq!(done.recv_timeout(Duration::from_secs(10)), Ok(false));
    guest.join().expect("the guest ends");
}
