//! Runs boots in tests: input that waits for what the guest says, output as text.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use jib_machine::host::{Capture, Output};
use jib_machine::launch::io::{Streams, Terminals};
use jib_machine::launch::options::Options;
use jib_machine::launch::{self, Report};

/// Generous: hosts may be busy.
const LIMIT: Duration = Duration::from_secs(600);

/// What a boot left.
pub(crate) struct Done {
    /// How it went.
    pub(crate) report: Report,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error: the kernel's messages, if a command was run.
    pub(crate) errors: String,
}

/// Runs a boot whose user waits for the first text of each pair, and then types the second.
pub(crate) fn boot(options: Options, typed: &[(&str, &str)]) -> Done {
    let (screen, errors) = (Screen::default(), Capture::default());
    let typist = Typist {
        screen: screen.clone(),
        steps: typed.iter().map(|(wait, text)| (wait.to_string(), text.to_string())).collect(),
        read_to: 0,
        ready: VecDeque::new(),
    };
    let streams = Streams {
        input: Box::new(typist),
        output: Box::new(screen.clone()),
        errors: Box::new(errors.clone()),
        terminals: Terminals::default(),
    };
    let options = Options { timeout: options.timeout.or(Some(LIMIT)), ..options };
    let report = launch::run(&options, streams, &mut |line| eprintln!("{line}")).expect("the machine runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let output = text(&screen.lock());
    Done { report, output, errors: text(&errors.take()) }
}

/// What the guest wrote; others can wait for it.
#[derive(Clone, Default)]
struct Screen(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Screen {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `text` behind the first `from` bytes; gives where it ends, `None` if it does not come.
    fn wait_for(&self, text: &str, from: usize) -> Option<usize> {
        let find = |bytes: &[u8]| {
            let mut windows = bytes[from..].windows(text.len().max(1));
            windows.position(|window| window == text.as_bytes()).map(|at| from + at + text.len())
        };
        if text.is_empty() {
            return Some(from);
        }
        let missing = |bytes: &mut Vec<u8>| find(bytes).is_none();
        let waited = self.0.1.wait_timeout_while(self.lock(), LIMIT, missing);
        find(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Output for Screen {
    fn write(&mut self, bytes: &[u8]) {
        self.lock().extend_from_slice(bytes);
        self.0.1.notify_all();
    }
}

/// The user.
struct Typist {
    screen: Screen,
    steps: VecDeque<(String, String)>,
    /// How much of the screen was read.
    read_to: usize,
    ready: VecDeque<u8>,
}

impl Read for Typist {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty()
            && let Some((wait, text)) = self.steps.pop_front()
            && let Some(end) = self.screen.wait_for(&wait, self.read_to)
        {
            self.read_to = end;
            self.ready.extend(text.into_bytes());
        }
        self.ready.read(into)
    }
}
