//! `jib doctor`: what of this system matters to jib, in plain words.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::binfmt;
use super::cache::{self, State};
use crate::cli::{CacheArgs, DoctorArgs};
use crate::report;

/// How a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// As it should be.
    Good,
    /// Something is slower or missing that not everybody needs.
    Note,
    /// Programs will fail.
    Bad,
}

struct Finding(Weight, String);

fn good(text: impl Into<String>) -> Finding {
    Finding(Weight::Good, text.into())
}

fn note(text: impl Into<String>) -> Finding {
    Finding(Weight::Note, text.into())
}

fn bad(text: impl Into<String>) -> Finding {
    Finding(Weight::Bad, text.into())
}

/// Looks at everything; fails if something is bad.
pub(crate) fn main(args: &DoctorArgs) -> ExitCode {
    if args.try_namespaces {
        let code = jib_linux_user::root::try_namespaces();
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let checks: [fn() -> Finding; 13] = [
        kernel,
        overcommit,
        map_count,
        lowest_address,
        anonymous_code,
        open_files,
        namespaces,
        subordinate_ids,
        entries,
        processor,
        libraries,
        translations,
        cores,
    ];
    let mut worst = Weight::Good;
    for Finding(weight, text) in checks.iter().map(|check| check()) {
        let mark = match weight {
            Weight::Good => "ok  ",
            Weight::Note => "note",
            Weight::Bad => "BAD ",
        };
        report::print(format_args!("{mark} {text}"));
        if weight == Weight::Bad {
            worst = weight;
        }
    }
    if worst == Weight::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|t| t.trim().to_string())
}

fn number(path: &str) -> Option<u64> {
    text(path)?.parse().ok()
}

fn kernel() -> Finding {
    let release = text("/proc/sys/kernel/osrelease").unwrap_or_default();
    kernel_finding(&release)
}

fn kernel_finding(release: &str) -> Finding {
    let mut parts = release.split(['.', '-']).map(|p| p.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    match version {
        (0, _) => bad("no /proc: mount it (mount -t proc proc /proc)"),
        v if v < (5, 9) => {
            bad(format!("Linux {release} is older than 5.9: system calls of today's programs are missing"))
        }
        _ => good(format!("Linux {release}")),
    }
}

fn overcommit() -> Finding {
    match number("/proc/sys/vm/overcommit_memory") {
        Some(2) => {
            bad("vm.overcommit_memory is 2: language runtimes reserve far more memory than they use and will fail; \
             sysctl vm.overcommit_memory=0")
        }
        Some(n) => good(format!("vm.overcommit_memory is {n}: large reservations cost nothing")),
        None => note("vm.overcommit_memory cannot be read"),
    }
}

fn map_count() -> Finding {
    match number("/proc/sys/vm/max_map_count") {
        Some(n) if n < 65530 => {
            bad(format!("vm.max_map_count is {n}: programs run out of mappings; sysctl vm.max_map_count=65530"))
        }
        Some(n) => good(format!("vm.max_map_count is {n}")),
        None => note("vm.max_map_count cannot be read"),
    }
}

fn lowest_address() -> Finding {
    match number("/proc/sys/vm/mmap_min_addr") {
        Some(n) if n > 0x1_0000 => bad(format!(
            "vm.mmap_min_addr is {n}: programs linked to low addresses cannot be loaded; sysctl vm.mmap_min_addr=65536"
        )),
        Some(n) => good(format!("vm.mmap_min_addr is {n}: programs at fixed addresses can be loaded")),
        None => note("vm.mmap_min_addr cannot be read"),
    }
}

fn anonymous_code() -> Finding {
    if number("/proc/sys/vm/memfd_noexec").is_some_and(|n| n >= 2) {
        return bad("vm.memfd_noexec is 2: translated code may not be run; sysctl vm.memfd_noexec=1");
    }
    if text("/sys/fs/selinux/enforce").as_deref() == Some("1") {
        return note("SELinux is enforcing: jib needs the permission execmem");
    }
    good("translated code may be run")
}

fn open_files() -> Finding {
    let limits = text("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap_or_default();
    match line.split_whitespace().nth(3).and_then(|n| n.parse::<u64>().ok()) {
        Some(n) if n < 256 => bad(format!("only {n} files may be open at once; ulimit -n 1024")),
        Some(n) => good(format!("{n} files may be open at once")),
        None => good("any number of files may be open at once"),
    }
}

fn namespaces() -> Finding {
    let tried = std::env::current_exe().and_then(|exe| Command::new(exe).args(["doctor", "--try-namespaces"]).status());
    if tried.is_ok_and(|s| s.success()) {
        return good("user namespaces: `jib shell` and `--root` work without rights");
    }
    let root = text("/proc/self/status").is_some_and(|s| s.contains("\nUid:\t0\t0\t0\t0"));
    if root {
        return note("no user namespaces, but you are root: `jib shell` will do with mounts or chroot");
    }
    let fix = if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        "sysctl kernel.unprivileged_userns_clone=1"
    } else if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give jib an AppArmor profile with `userns,`"
    } else if number("/proc/sys/user/max_user_namespaces") == Some(0) {
        "sysctl user.max_user_namespaces=10000"
    } else {
        "in a container, allow unshare(2) (for Docker: --security-opt seccomp=unconfined)"
    };
    note(format!("user namespaces are not allowed, so `jib shell` is not; {fix}; `jib run -L ROOT` needs none"))
}

fn subordinate_ids() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &str| std::env::split_paths(&path).any(|d| d.join(program).is_file());
    if !there("newuidmap") || !there("newgidmap") {
        return note("no newuidmap: inside `jib shell` owners other than root are pretended; install `uidmap`");
    }
    if text("/etc/subuid").unwrap_or_default().is_empty() {
        return note("no subordinate ids in /etc/subuid: owners other than root are pretended; usermod --add-subuids");
    }
    good("subordinate ids: owners inside `jib shell` are real")
}

fn cores() -> Finding {
    let pattern = text("/proc/sys/kernel/core_pattern").unwrap_or_default();
    match pattern.strip_prefix('|').and_then(|program| program.split_whitespace().next()) {
        Some(program) => note(format!(
            "the kernel hands cores to {program}, and of programs run by jib it would be jib's own; `jib run --core FILE` writes \
             the program's"
        )),
        None => good(format!("cores of programs are called {pattern}, if `ulimit -c` allows them")),
    }
}

fn entries() -> Finding {
    let all = binfmt::entries();
    match all.iter().find(|e| e.enabled) {
        None => {
            note("no binfmt entry: programs started by x86-64 ones need `jib PROG`; `jib binfmt install` (as root)")
        }
        Some(e) if all.iter().any(|e| e.is_ours() && e.enabled) => {
            good(format!("binfmt: AArch64 programs are started by {}", e.interpreter.display()))
        }
        Some(e) => note(format!("binfmt: AArch64 programs are started by {}, not by jib", e.interpreter.display())),
    }
}

fn processor() -> Finding {
    let info = text("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find_map(|l| l.strip_prefix("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    let wanted = ["sse4_1", "sse4_2", "popcnt", "aes", "pclmulqdq", "avx", "avx2", "fma", "bmi1", "bmi2", "abm"];
    let missing: Vec<&str> = wanted.into_iter().filter(|f| !has(f)).collect();
    if missing.is_empty() {
        good("the processor has all that translated code can use")
    } else {
        note(format!("the processor lacks {}: code that would use it is slower", missing.join(", ")))
    }
}

fn libraries() -> Finding {
    if Path::new("/lib/ld-linux-aarch64.so.1").exists() {
        good("dynamic programs: libraries of the architecture arm64 are installed")
    } else if Path::new("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1").exists() {
        good("dynamic programs: the cross libraries in /usr/aarch64-linux-gnu are used")
    } else {
        note("no arm64 libraries: dynamic programs need libc6-arm64-cross, or -L ROOT, or `jib shell ROOT`")
    }
}

fn translations() -> Finding {
    match cache::state(&CacheArgs::default()) {
        State::Off => note("translations are not kept: JIB_CACHE is off"),
        State::Nowhere => note("translations are not kept: set JIB_CACHE to a folder, or HOME"),
        State::Absent(path) => good(format!("translations will be kept in {}", path.display())),
        State::Refused(path, why) => note(format!("translations are not kept in {}: {why}", path.display())),
        State::There(path, amount) => {
            good(format!("translations are kept in {}: {}", path.display(), cache::words(amount)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_weighed() {
        for (release, weight) in [
            ("6.1.0-9-amd64", Weight::Good),
            ("5.9.0", Weight::Good),
            ("5.4.0-generic", Weight::Bad),
            ("", Weight::Bad),
        ] {
            assert_eq!(kernel_finding(release).0, weight, "{release}");
        }
    }
}
