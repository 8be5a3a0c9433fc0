//! What a guest does, written down by category.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::out_of_the_way;

macro_rules! categories {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal),* $(,)?) => {
        /// What can be logged.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Category { $($(#[doc = $doc])* $name),* }

        impl Category {
            /// All of them.
            pub const ALL: &[Category] = &[$(Category::$name),*];
            /// The word for it.
            pub const fn name(self) -> &'static str {
                match self { $(Category::$name => $text),* }
            }
        }
    };
}

categories! {
    /// Each block that is run.
    Exec = "exec",
    /// Exceptions taken, with their syndrome, and returns from them.
    Exception = "exception",
    /// Interrupts taken.
    Irq = "irq",
    /// Accesses to devices.
    Mmio = "mmio",
    /// Translation faults, TLB maintenance, and writes of the registers that control translation.
    Mmu = "mmu",
    /// Firmware calls.
    Psci = "psci",
}

/// A set of categories, written with commas; `all` is all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(u32);

impl Categories {
    /// Is it in the set?
    pub const fn has(self, category: Category) -> bool {
        self.0 >> category as u32 & 1 != 0
    }
    /// Is nothing in it?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Categories {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut set = 0;
        for word in text.split(',') {
            let found = Category::ALL.iter().filter(|c| word == "all" || c.name() == word);
            let bits = found.fold(0, |bits, &c| bits | 1 << c as u32);
            if bits == 0 {
                let names: Vec<&str> = Category::ALL.iter().map(|c| c.name()).collect();
                return Err(format!("knows {} and all", names.join(", ")));
            }
            set |= bits;
        }
        Ok(Categories(set))
    }
}

/// Where lines go; each goes out at once and whole.
pub struct Sink(Mutex<Box<dyn Write + Send>>);

impl Sink {
    /// Standard error.
    pub fn stderr() -> Arc<Sink> {
        Sink::to(Box::new(io::stderr()))
    }

    /// A new file.
    pub fn file(path: &Path) -> io::Result<Arc<Sink>> {
        Ok(Sink::to(Box::new(out_of_the_way(File::create(path)?))))
    }

    /// Anything.
    pub fn to(out: Box<dyn Write + Send>) -> Arc<Sink> {
        Arc::new(Sink(Mutex::new(out)))
    }

    /// Writes one line.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        // Nobody can be told of a log that cannot be written.
        let _ = self.write(&format!("{text}\n"));
    }

    /// Writes several lines.
    pub fn write(&self, lines: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines.as_bytes())
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// The log of a whole system.
#[derive(Clone, Debug)]
pub struct Log {
    categories: Categories,
    sink: Arc<Sink>,
}

impl Log {
    /// Logs `categories` to `sink`.
    pub fn new(categories: Categories, sink: Arc<Sink>) -> Log {
        Log { categories, sink }
    }

    /// Is the category wanted?
    #[inline]
    pub fn has(&self, category: Category) -> bool {
        self.categories.has(category)
    }

    /// Writes a line of CPU `cpu`, if the category is wanted.
    pub fn write(&self, category: Category, cpu: usize, text: fmt::Arguments<'_>) {
        if self.has(category) {
            self.sink.line(format_args!("jib: cpu{cpu} {}: {text}", category.name()));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bytes that tests look at.
    #[derive(Clone, Default)]
    pub(crate) struct Shared(pub(crate) Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn sets_of_categories() {
        let set: Categories = "irq,mmio".parse().unwrap();
        assert!(set.has(Category::Irq) && set.has(Category::Mmio) && !set.has(Category::Exec));
        let all: Categories = "all".parse().unwrap();
        assert!(Category::ALL.iter().all(|&c| all.has(c)));
        for wrong in ["", "irq,", "IRQ", "cpu"] {
            assert!(wrong.parse::<Categories>().is_err(), "{wrong:?}");
        }
        assert!(Categories::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn only_what_is_wanted_is_written() {
        let out = Shared::default();
        let log = Log::new("psci".parse().unwrap(), Sink::to(Box::new(out.clone())));
        log.write(Category::Irq, 0, format_args!("no"));
        log.write(Category::Psci, 1, format_args!("yes {}", 7));
        assert_eq!(*out.0.lock().unwrap(), b"jib: cpu1 psci: yes 7\n");
    }
}
