//! What a CPU asks of the others: TLB maintenance that reaches every CPU, and no more writes past a page of code.
//!
//! A request is numbered and kept in a short log; every other CPU is made to leave its code, and carries out what it
//! has not yet before it goes on. Who needs to know that all have done so waits for the number.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::signals::Signals;

/// Requests that are told apart; who is further behind drops everything.
const LOG: usize = 128;
/// A CPU that runs no code has done whatever it is asked.
const PARKED: u64 = u64::MAX;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// TLBI of everything.
    All,
    /// TLBI by ASID.
    Asid(u16),
    /// TLBI by address: the first one, the number of pages, and the ASID if not all are meant.
    Pages(u64, u64, Option<u16>),
    /// The page at this host address holds code now: writes to it must be seen.
    Code(u64),
}

/// What is shared by all CPUs.
pub struct Shootdown {
    /// Number of requests so far.
    issued: AtomicU64,
    /// Per CPU, how many of them it has carried out.
    done: Vec<AtomicU64>,
    log: Mutex<VecDeque<Request>>,
    signals: Vec<Arc<Signals>>,
}

impl Shootdown {
    /// For the CPUs behind `signals`, all off.
    pub fn new(signals: Vec<Arc<Signals>>) -> Shootdown {
        let done = signals.iter().map(|_| AtomicU64::new(PARKED)).collect();
        Shootdown { issued: AtomicU64::new(0), done, log: Mutex::default(), signals }
    }

    /// Is there more than one CPU?
    pub fn several(&self) -> bool {
        self.done.len() > 1
    }

    /// Number of the latest request.
    #[inline]
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::SeqCst)
    }

    /// Asks every CPU that runs, but `from`; the request's number.
    pub fn issue(&self, request: Request, from: Option<usize>) -> u64 {
        let number = {
            let mut log = self.log();
            if log.len() == LOG {
                log.pop_front();
            }
            log.push_back(request);
            self.issued.fetch_add(1, Ordering::SeqCst) + 1
        };
        let running = |&(cpu, _): &(usize, _)| self.done[cpu].load(Ordering::SeqCst) != PARKED;
        self.others(from).filter(running).for_each(|(_, signals)| signals.kick());
        number
    }

    /// Every CPU but `me`.
    pub fn others(&self, me: Option<usize>) -> impl Iterator<Item = (usize, &Signals)> {
        self.signals.iter().map(|s| &**s).enumerate().filter(move |&(cpu, _)| Some(cpu) != me)
    }

    /// The requests after number `done`, and the number of the last; `None` if there are too many.
    pub fn after(&self, done: u64) -> (u64, Option<Vec<Request>>) {
        let log = self.log();
        let issued = self.issued();
        let missed = (issued - done) as usize;
        (issued, (missed <= log.len()).then(|| log.iter().skip(log.len() - missed).copied().collect()))
    }

    /// CPU `cpu` has carried out everything up to number `done`; from now on it counts as running.
    #[inline]
    pub fn report(&self, cpu: usize, done: u64) {
        self.done[cpu].store(done, Ordering::SeqCst);
    }

    /// CPU `cpu` runs no code until it reports again.
    pub fn park(&self, cpu: usize) {
        self.done[cpu].store(PARKED, Ordering::SeqCst);
    }

    /// Have all CPUs carried out request `number`?
    pub fn complete(&self, number: u64) -> bool {
        self.done.iter().all(|d| d.load(Ordering::SeqCst) >= number)
    }

    fn log(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_hears_what_it_missed_and_no_more() {
        let s = Shootdown::new(vec![Arc::default(), Arc::default()]);
        assert!(s.complete(7), "nobody runs");
        s.report(1, 0);
        let first = s.issue(Request::Asid(3), Some(0));
        let second = s.issue(Request::Pages(0x1000, 1, Some(3)), Some(0));
        assert!(!s.complete(first));
        assert_eq!(s.after(0), (2, Some(vec![Request::Asid(3), Request::Pages(0x1000, 1, Some(3))])));
        assert_eq!(s.after(1), (2, Some(vec![Request::Pages(0x1000, 1, Some(3))])));
        s.report(1, second);
        assert!(s.complete(second));
        for _ in 0..LOG {
            s.issue(Request::Pages(0, 1, None), None);
        }
        assert_eq!(s.after(0).1, None);
        s.park(1);
        assert!(s.complete(second + LOG as u64));
    }
}
