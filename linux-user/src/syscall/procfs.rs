//! The files of `/proc` that must speak of the guest program, not of the translator.

use std::fmt::Write;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use jib_frontend_aarch64::cpu::Profile;

use super::tasks;
use crate::host;
use crate::journal;
use crate::thread::Thread;
use crate::vma::{Kind, Vma, VmaList};

/// A file of `/proc` that is not passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcFile {
    /// `/proc/self/exe`
    Exe,
    /// `/proc/PID/exe` of another process, which may be a guest, too.
    ExeOf(i32),
    /// `/proc/PID/maps`; without a number, of ourselves
    Maps(Option<i32>),
    /// `/proc/PID/smaps`
    Smaps(Option<i32>),
    /// `/proc/self/cmdline`
    Cmdline,
    /// `/proc/self/environ`
    Environ,
    /// `/proc/self/auxv`
    Auxv,
    /// `/proc/cpuinfo`
    CpuInfo,
    /// `/proc/PID/status` and its like, which count threads.
    Counts(Counts),
    /// Something in `/proc/PID/task/TID`.
    Task(Id, Id),
}

/// A process or thread in a path of `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// `self` or `thread-self`
    Own,
    /// A number.
    Of(i32),
}

/// A file that counts the threads of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    process: Id,
    task: Option<Id>,
    /// `status`, not `stat`.
    status: bool,
}

impl Id {
    fn from_bytes(name: &[u8]) -> Option<Id> {
        match name {
            b"self" | b"thread-self" => Some(Id::Own),
            _ => Some(Id::Of(std::str::from_utf8(name).ok()?.parse().ok()?)),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Own => f.write_str("self"),
            Id::Of(id) => write!(f, "{id}"),
        }
    }
}

impl Counts {
    /// The text of the file as the guest is to see it; `None` if that is what the kernel says.
    fn text(self, t: &Thread) -> Option<String> {
        let process = self.process.to_string();
        let hidden = tasks::count_hidden(t, &process);
        if hidden == 0 {
            return None;
        }
        let task = self.task.map(|id| format!("task/{id}/")).unwrap_or_default();
        let name = if self.status { "status" } else { "stat" };
        let text = std::fs::read_to_string(format!("/proc/{process}/{task}{name}")).ok()?;
        Some(if self.status { tasks::without_in_status(&text, hidden) } else { tasks::without_in_stat(&text, hidden) })
    }

    /// Does the kernel say something else than the guest is to see?
    pub(crate) fn differs(self, t: &Thread) -> bool {
        tasks::count_hidden(t, &self.process.to_string()) != 0
    }
}

/// Is thread `task` of `process` none of the guest's?
pub(crate) fn is_hidden(t: &Thread, process: Id, task: Id) -> bool {
    tasks::is_hidden(t, &process.to_string(), &task.to_string())
}

/// Is `path` such a file?
pub(crate) fn recognise(path: &[u8]) -> Option<ProcFile> {
    let rest = path.strip_prefix(b"/proc/")?;
    if rest == b"cpuinfo" {
        return Some(ProcFile::CpuInfo);
    }
    if let Some(file) = about_threads(rest) {
        return Some(file);
    }
    let mut parts = rest.split(|&c| c == b'/');
    let who = parts.next()?;
    let own = |p: &[u8], id: i32| p == id.to_string().as_bytes();
    if who != b"self" && who != b"thread-self" && !own(who, host::getpid()) && !own(who, host::gettid()) {
        let pid = std::str::from_utf8(who).ok()?.parse().ok()?;
        return match [parts.next(), parts.next(), parts.next(), parts.next()] {
            [Some(b"exe"), None, ..] => Some(ProcFile::ExeOf(pid)),
            [Some(b"maps"), None, ..] | [Some(b"task"), Some(_), Some(b"maps"), None] => {
                Some(ProcFile::Maps(Some(pid)))
            }
            [Some(b"smaps"), None, ..] | [Some(b"task"), Some(_), Some(b"smaps"), None] => {
                Some(ProcFile::Smaps(Some(pid)))
            }
            _ => None,
        };
    }
    let mut name = parts.next()?;
    if name == b"task" {
        parts.next()?;
        name = parts.next()?;
    }
    if parts.next().is_some() {
        return None;
    }
    match name {
        b"exe" => Some(ProcFile::Exe),
        b"maps" => Some(ProcFile::Maps(None)),
        b"smaps" => Some(ProcFile::Smaps(None)),
        b"cmdline" => Some(ProcFile::Cmdline),
        b"environ" => Some(ProcFile::Environ),
        b"auxv" => Some(ProcFile::Auxv),
        _ => None,
    }
}

/// The same for files that tell of threads; `path` begins after `/proc/`. What is known by its name alone has
/// precedence over [`ProcFile::Task`].
fn about_threads(path: &[u8]) -> Option<ProcFile> {
    let parts: Vec<&[u8]> = path.split(|&c| c == b'/').filter(|p| !p.is_empty()).collect();
    let counts = |process, task, name: &[u8]| {
        let status = name == b"status";
        (status || name == b"stat").then_some(ProcFile::Counts(Counts { process, task, status }))
    };
    let process = Id::from_bytes(parts.first()?)?;
    match parts[1..] {
        [name] => counts(process, None, name),
        [b"task", task, ref rest @ ..] => {
            let task = Id::from_bytes(task)?;
            match rest {
                [b"exe" | b"maps" | b"smaps" | b"cmdline" | b"environ" | b"auxv"] => None,
                [name] => counts(process, Some(task), name).or(Some(ProcFile::Task(process, task))),
                _ => Some(ProcFile::Task(process, task)),
            }
        }
        _ => None,
    }
}

/// An absolute path for a relative one that leads to such a file, if the directory `dir` is in `/proc`.
pub(crate) fn absolute(dir: i32, path: &[u8]) -> Option<Vec<u8>> {
    const NAMES: [&[u8]; 9] =
        [b"exe", b"maps", b"smaps", b"cmdline", b"environ", b"auxv", b"cpuinfo", b"status", b"stat"];
    let last = path.rsplit(|&c| c == b'/').next()?;
    // A number may be a thread.
    if !NAMES.contains(&last) && !last.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let link = if dir == libc::AT_FDCWD { "/proc/self/cwd".to_string() } else { format!("/proc/self/fd/{dir}") };
    let base = std::fs::read_link(link).ok()?;
    let base = base.as_os_str().as_bytes();
    let inside = base == b"/proc" || base.starts_with(b"/proc/");
    inside.then(|| [base, b"/", path].concat())
}

/// The program of another process, if that is one of ours: what is mapped where its code begins.
pub(crate) fn program_of(t: &Thread, pid: i32) -> Option<PathBuf> {
    if !is_jib(t, pid) {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything; field 26 is where the code begins.
    let code: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(26 - 3)?.parse().ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let holds = |line: &&str| {
        let range = line.split(' ').next().and_then(|r| r.split_once('-'));
        let hex = |s: &str| u64::from_str_radix(s, 16).unwrap_or(0);
        range.is_some_and(|(start, end)| (hex(start)..hex(end)).contains(&code))
    };
    let path = maps.lines().find(holds)?.splitn(6, ' ').nth(5)?.trim_start();
    path.starts_with('/').then(|| path.into())
}

/// Is `pid` a process of ours, running a guest?
fn is_jib(t: &Thread, pid: i32) -> bool {
    let same = |a: Metadata, b: Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let own = t.process.own.exe.and_then(|fd| std::fs::metadata(format!("/proc/self/fd/{fd}")).ok());
    own.zip(std::fs::metadata(format!("/proc/{pid}/exe")).ok()).is_some_and(|(own, theirs)| same(own, theirs))
}

/// What the guest of another process of ours has mapped.
fn mapped_by(t: &Thread, pid: i32) -> Option<VmaList> {
    is_jib(t, pid).then(|| journal::read(pid)).flatten()
}

/// Does the kernel's file about mappings say something else than the guest is to see?
pub(crate) fn knows_mappings(t: &Thread, file: ProcFile) -> bool {
    match file {
        ProcFile::Maps(Some(pid)) | ProcFile::Smaps(Some(pid)) => mapped_by(t, pid).is_some(),
        _ => true,
    }
}

/// The text of a made-up file.
pub(crate) fn contents(t: &Thread, file: ProcFile) -> Vec<u8> {
    let facts = &t.process.facts;
    match file {
        ProcFile::Maps(pid) => mappings(t, pid, "maps").into_bytes(),
        ProcFile::Smaps(pid) => mappings(t, pid, "smaps").into_bytes(),
        ProcFile::Cmdline => facts.cmdline.clone(),
        ProcFile::Environ => facts.environ.clone(),
        ProcFile::Auxv => facts.auxv.clone(),
        ProcFile::CpuInfo => cpu_info(Profile::of(&t.vcpu.state)).into_bytes(),
        ProcFile::Counts(counts) => counts.text(t).unwrap_or_default().into_bytes(),
        ProcFile::Exe | ProcFile::ExeOf(_) | ProcFile::Task(..) => Vec::new(),
    }
}

/// The host's file `name` of process `pid` or of ourselves, cut to the guest's mappings.
fn mappings(t: &Thread, pid: Option<i32>, name: &str) -> String {
    let who = pid.map_or("self".to_string(), |pid| pid.to_string());
    let host = std::fs::read_to_string(format!("/proc/{who}/{name}")).unwrap_or_default();
    match pid {
        None => cut(&host, &t.process.space.lock().vmas),
        Some(pid) => mapped_by(t, pid).map_or_else(String::new, |vmas| cut(&host, &vmas)),
    }
}

/// The host's list, cut to the guest's mappings, with the guest's protections. Lines that tell more of a mapping follow
/// each part of it as they are.
fn cut(host: &str, vmas: &VmaList) -> String {
    let mut out = String::new();
    let mut lines = host.lines().peekable();
    while let Some(line) = lines.next() {
        let mut more = String::new();
        while let Some(next) = lines.next_if(|next| head(next).is_none()) {
            more += next;
            more.push('\n');
        }
        let Some((start, end, rest)) = head(line) else { continue };
        for (r, vma) in vmas.overlapping(start..end) {
            maps_line(&mut out, r.start, r.end, vma, rest, r.start - start);
            out += &more;
        }
    }
    out
}

/// Start and end of the mapping that `line` begins to tell of, and the rest of the line.
fn head(line: &str) -> Option<(u64, u64, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let hex = |s: &str| u64::from_str_radix(s, 16).ok();
    Some((hex(start)?, hex(end)?, rest))
}

/// One line; `rest` is the host's: protection, offset, device, inode, name.
fn maps_line(out: &mut String, start: u64, end: u64, vma: Vma, rest: &str, skipped: u64) {
    let mut fields = rest.split_ascii_whitespace();
    let mut next = || fields.next().unwrap_or("0");
    let (host_prot, offset, device, inode) = (next(), next(), next(), next());
    let shared = host_prot.ends_with('s');
    let offset = u64::from_str_radix(offset, 16).unwrap_or(0);
    let offset = if inode == "0" { offset } else { offset + skipped };
    let flag = |bit, c| if vma.prot & bit != 0 { c } else { '-' };
    let (r, w, x) = (flag(libc::PROT_READ, 'r'), flag(libc::PROT_WRITE, 'w'), flag(libc::PROT_EXEC, 'x'));
    let s = if shared { 's' } else { 'p' };
    let name = match vma.kind {
        Kind::Plain | Kind::Image(_) => rest.splitn(5, ' ').nth(4).unwrap_or("").trim_start(),
        Kind::Heap => "[heap]",
        // Below it is a guard, of which the kernel would not tell.
        Kind::Stack if vma.prot == 0 => "",
        Kind::Stack => "[stack]",
        Kind::Vdso => "[vdso]",
        Kind::Vvar => "[vvar]",
    };
    let head = format!("{start:08x}-{end:08x} {r}{w}{x}{s} {offset:08x} {device} {inode} ");
    // Names begin in column 74, as the kernel aligns them.
    let line = if name.is_empty() { head } else { format!("{head:<73}{name}") };
    out.push_str(&line);
    out.push('\n');
}

fn cpu_info(profile: Profile) -> String {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut out = String::new();
    for n in 0..cpus {
        let text = format!(
            "processor\t: {n}\nBogoMIPS\t: 2000.00\nFeatures\t: {}\nCPU implementer\t: 0x00\nCPU architecture: 8\n\
             CPU variant\t: 0x0\nCPU part\t: 0x000\nCPU revision\t: 0\n\n",
            profile.names().join(" ")
        );
        // Writing to a string cannot fail.
        _ = out.write_str(&text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_are_recognised_and_no_others() {
        let pid = host::getpid();
        assert_eq!(recognise(b"/proc/self/exe"), Some(ProcFile::Exe));
        assert_eq!(recognise(format!("/proc/{pid}/maps").as_bytes()), Some(ProcFile::Maps(None)));
        assert_eq!(recognise(b"/proc/1/task/2/smaps"), Some(ProcFile::Smaps(Some(1))));
        assert_eq!(recognise(b"/proc/1/maps"), Some(ProcFile::Maps(Some(1))));
        assert_eq!(recognise(format!("/proc/self/task/{pid}/auxv").as_bytes()), Some(ProcFile::Auxv));
        assert_eq!(recognise(b"/proc/cpuinfo"), Some(ProcFile::CpuInfo));
        assert_eq!(recognise(b"/proc/1/exe"), Some(ProcFile::ExeOf(1)));
        let counts = |process, task, status| Some(ProcFile::Counts(Counts { process, task, status }));
        assert_eq!(recognise(b"/proc/self/status"), counts(Id::Own, None, true));
        assert_eq!(recognise(b"/proc/7/task/8/stat"), counts(Id::Of(7), Some(Id::Of(8)), false));
        assert_eq!(recognise(b"/proc/self/task/1"), Some(ProcFile::Task(Id::Own, Id::Of(1))));
        assert_eq!(recognise(b"/proc/self/task/1/comm"), Some(ProcFile::Task(Id::Own, Id::Of(1))));
        for other in [
            "/proc/1/numa_maps",
            "/proc/sys/exe",
            "/proc/self/exe/x",
            "/proc/self",
            "/tmp/exe",
            "/proc/self/statm",
            "/proc/self/task",
        ] {
            assert_eq!(recognise(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn lists_are_cut_to_what_is_the_guests() {
        let host = "1000-5000 r--p 00002000 08:01 7                          /bin/a\nRss: 4 kB\n\
                    7000-9000 rw-p 00000000 00:00 0 \nRss: 8 kB\n";
        let mut vmas = VmaList::default();
        vmas.insert(0x2000..0x5000, 5, Kind::Plain);
        let line = format!("{:<73}/bin/a", "00002000-00005000 r-xp 00003000 08:01 7 ");
        assert_eq!(cut(host, &vmas), format!("{line}\nRss: 4 kB\n"));
    }

    #[test]
    fn the_processor_is_described_as_its_profile_says() {
        assert!(cpu_info(Profile::Max).contains("Features\t: fp asimd aes "));
        assert!(cpu_info(Profile::V80).contains("Features\t: fp asimd aes pmull sha1 sha2 crc32 cpuid\n"));
    }
}
