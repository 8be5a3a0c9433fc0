//! What jib tells of a run: counters, profiles, files for `perf`, and `jib bench`.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jib_testing::guest;
use jib_testing::program::{self, ENGINES, Run};
use jib_testing::tools::{self, Scratch};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(300);

fn exe() -> Command {
    Command::new(program::under_test(env!("CARGO_BIN_EXE_jib")))
}

fn compiled(source: &str, flags: &str) -> PathBuf {
    guest::compile(&tools::root().join("tests/guest").join(source), flags)
}

/// `jib run OPTIONS PROGRAM ARGUMENT`, which must end well.
fn run(options: &[&str], program: &Path, argument: &str) -> Run {
    let run = program::run(exe().arg("run").args(options).arg(program).arg(argument), LIMIT);
    assert_eq!(run.code(), 0, "{options:?}: {}", run.errors());
    run
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("no file");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}:\n{text}", path.display()))
}

fn number(v: &Value, path: &str) -> f64 {
    v.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {path} in {v:#}"))
}

/// Stacks and their weights.
fn folded(path: &Path) -> Vec<(Vec<String>, u64)> {
    let text = std::fs::read_to_string(path).expect("no profile");
    let line = |l: &str| {
        let (stack, n) = l.rsplit_once(' ').expect("a stack and a number");
        (stack.split(';').map(str::to_string).collect(), n.parse().expect("a number"))
    };
    text.lines().map(line).collect()
}

/// The part of all weight that `which` has.
fn part(stacks: &[(Vec<String>, u64)], which: impl Fn(&[String]) -> bool) -> f64 {
    let sum = |of: &dyn Fn(&[String]) -> bool| stacks.iter().filter(|s| of(&s.0)).map(|s| s.1).sum::<u64>() as f64;
    sum(&which) / sum(&|_| true)
}

#[test]
fn counters_as_json() {
    let dir = Scratch::new("stats");
    let file = dir.path().join("s.json");
    let name = file.to_str().expect("a name");
    let program = compiled("c/recursion.c", "-O2 -static");
    run(&["--stats-json", name, "--stats-every", "2", "--sync"], &program, "32");
    let s = json(&file);
    let parts: f64 = ["translate_s", "execute_s", "runtime_s"].map(|p| number(&s, &format!("/split/{p}"))).iter().sum();
    let cpu = number(&s, "/cpu_s");
    assert!((parts - cpu).abs() < 0.02 * cpu + 1e-6, "{parts} of {cpu}");
    for path in
        ["/quick/regions", "/quick/host_bytes", "/optimized/guest_insns", "/dispatch/links", "/exits/not linked"]
    {
        assert!(number(&s, path) > 0.0, "{path} in {s:#}");
    }
    assert!(s["tlb"].is_null());
    // fib(32) alone takes some 30 million instructions, most of them when it has long been optimised.
    let executed = ["/interpreter/executed", "/quick/executed", "/optimized/executed"].map(|p| number(&s, p));
    assert!(executed[2] > 3e7 && executed[2] > executed[1] && executed[1] > executed[0], "{executed:?}");
    let timeline = s["timeline"].as_array().expect("a timeline");
    assert!(timeline.len() >= 2);
    let at: Vec<f64> = timeline.iter().map(|m| number(m, "/at_s")).collect();
    assert!(at.windows(2).all(|w| w[0] <= w[1]), "{at:?}");
    assert_eq!(number(&timeline[timeline.len() - 1], "/executed/2"), executed[2]);
}

#[test]
fn all_tiers_count_the_same_instructions() {
    let dir = Scratch::new("counts");
    let file = dir.path().join("s.json");
    let name = file.to_str().expect("a name");
    let program = compiled("c/machine.c", "-O2 -static");
    let mut sums = Vec::new();
    for (engine, options) in ENGINES {
        run(&[options, &["--stats-json", name, "--stats-every", "1000"][..]].concat(), &program, "3");
        let s = json(&file);
        let of = |tier: &str| number(&s, &format!("/{tier}/executed"));
        sums.push((engine, of("interpreter") + of("quick") + of("optimized")));
    }
    // A block that is left early counts as a whole.
    let (_, first) = sums[0];
    assert!(first > 1e5 && sums.iter().all(|(_, n)| (n / first - 1.0).abs() < 0.1), "{sums:?}");
}

#[test]
fn a_hot_function_is_hot_in_a_profile_on_every_engine() {
    let dir = Scratch::new("profile");
    let file = dir.path().join("p.folded");
    let name = file.to_str().expect("a name");
    let program = compiled("system/hot.c", "-O1 -static -g0");
    for (engine, options) in ENGINES {
        // About a third of a second for each.
        let work = if *engine == "interp" { "1" } else { "60" };
        run(&[options, &["--profile", name][..]].concat(), &program, work);
        let stacks = folded(&file);
        let hot = part(&stacks, |s| s.iter().any(|f| f == "hot"));
        let cool = part(&stacks, |s| s.iter().any(|f| f == "cool"));
        assert!(hot > 0.4 && hot > 2.0 * cool, "{engine}: hot {hot}, cool {cool}: {stacks:?}");
        // hot is a leaf without a frame record, called by middle, by main.
        let called = |s: &[String]| s.windows(3).any(|w| w == ["main", "middle", "hot"]);
        assert!(part(&stacks, called) > 0.9 * hot, "{engine}: {stacks:?}");
    }
}

#[test]
fn names_of_shared_libraries() {
    let dir = Scratch::new("libraries");
    let file = dir.path().join("p.folded");
    let program = compiled("c/sort.c", "-O2");
    run(&["--profile", file.to_str().expect("a name")], &program, "200000");
    let stacks = folded(&file);
    assert!(part(&stacks, |s| s.iter().any(|f| f == "qsort" || f == "qsort_r")) > 0.0, "{stacks:?}");
    assert!(part(&stacks, |s| s.iter().any(|f| f == "main")) > 0.5, "{stacks:?}");
}

#[test]
fn a_flame_graph() {
    let dir = Scratch::new("flame");
    let file = dir.path().join("p.svg");
    let program = compiled("system/hot.c", "-O1 -static -g0");
    run(&["--profile", file.to_str().expect("a name")], &program, "40");
    let text = std::fs::read_to_string(&file).expect("no picture");
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let svg = roxmltree::Document::parse_with_options(&text, options).expect("well-formed XML");
    assert_eq!(svg.root_element().tag_name().name(), "svg");
    let titles: Vec<&str> = svg
        .descendants()
        .filter(|n| n.has_tag_name(("http://www.w3.org/2000/svg", "title")))
        .filter_map(|n| n.text())
        .collect();
    assert!(titles.iter().any(|t| t.starts_with("hot (") && t.contains(" ms, ")), "{titles:?}");
}

#[test]
fn a_profile_follows_execution_and_leaves_children_alone() {
    let dir = Scratch::new("exec");
    let file = dir.path().join("p.folded");
    let program = compiled("system/hot.c", "-O1 -static -g0");
    // A child first, whose profile would be there if it wrote one; then in place of the first program.
    let run = program::run(exe().args(["run", "--profile"]).arg(&file).arg(&program).arg("exec").arg(&program), LIMIT);
    assert_eq!(run.code(), 0, "{}", run.errors());
    let stacks = folded(&file);
    assert!(part(&stacks, |s| s.iter().any(|f| f == "hot")) > 0.4, "{stacks:?}");
}

#[test]
fn a_sampled_program_notices_nothing() {
    let dir = Scratch::new("unseen");
    let file = dir.path().join("p.folded");
    let wanted = |name: &str| {
        std::fs::read(tools::root().join(format!("tests/guest/{name}.expected"))).expect("no expected output")
    };
    for (name, code) in
        [("system/sampled", 128 + 64), ("threads/signals", 0), ("threads/mutex", 0), ("system/clocks", 0)]
    {
        let program = compiled(&format!("{name}.c"), "-O2 -static");
        for profile in [&[][..], &["--profile", file.to_str().expect("a name")]] {
            let run = program::run(
                &mut program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), profile, &program),
                LIMIT,
            );
            program::check(&format!("{name} {profile:?}"), &run, &wanted(name), code);
        }
    }
}

#[test]
fn files_for_perf() {
    let program = compiled("system/hot.c", "-O1 -static -g0");
    let started = |kind: &str| {
        let mut child = exe().args(["run", "--sync", "--perf", kind]).arg(&program).arg("40").spawn().expect("jib");
        let pid = child.id();
        assert!(child.wait().expect("an end").success());
        pid
    };
    let map = PathBuf::from(format!("/tmp/perf-{}.map", started("map")));
    let text = std::fs::read_to_string(&map).expect("no map");
    std::fs::remove_file(&map).expect("no map");
    assert!(text.lines().any(|l| l.ends_with(" hot [quick]")) && text.lines().any(|l| l.ends_with(" hot")), "{text}");
    let dump = PathBuf::from(format!("/tmp/jit-{}.dump", started("jitdump")));
    let bytes = std::fs::read(&dump).expect("no dump");
    std::fs::remove_file(&dump).expect("no dump");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    // Record by record, as perf reads them: each begins with its kind and size; names are 56 bytes in.
    let (mut at, mut names) = (word(8), Vec::new());
    while at < bytes.len() {
        assert_eq!(word(at), 0, "a code load");
        let name = bytes[at + 56..].split(|b| *b == 0).next().expect("a name");
        names.push(String::from_utf8_lossy(name).into_owned());
        assert_eq!(word(at + 4), 56 + name.len() + 1 + word(at + 40), "the size of a record");
        at += word(at + 4);
    }
    assert!(at == bytes.len() && names.iter().any(|n| n == "hot"), "{names:?}");
}

#[test]
fn wrong_wishes_are_refused_in_words() {
    let program = compiled("c/hello.c", "-O2 -static");
    let refused = |args: &[&str], code: i32, says: &str| {
        let run = program::run(exe().args(args).arg(&program), LIMIT);
        let text = run.errors();
        assert!(
            run.code() == code && text.lines().count() == 1 && text.contains(says),
            "{args:?}: {}: {text}",
            run.code()
        );
    };
    refused(&["run", "--profile", "/tmp/x.txt"], 126, "NAME.svg");
    refused(&["run", "--profile", "/nonexistent/x.svg"], 126, "/nonexistent/x.svg");
    refused(&["run", "--stats-json", "/nonexistent/x"], 126, "/nonexistent/x");
    refused(&["run", "--stats-every", "5"], 2, "--stats-json");
    refused(&["run", "--perf", "what"], 2, "jitdump");
    refused(&["bench", "--runs", "0", "--"], 2, "--runs");
    refused(&["bench", "--native", "'x", "--"], 126, "quotes");
    refused(&["bench", "hello", "--"], 126, "either");
}

#[test]
fn a_system_is_sampled_and_counted_too() {
    let dir = Scratch::new("boot");
    let (profile, counters) = (dir.path().join("p.folded"), dir.path().join("s.json"));
    let mut command = exe();
    command.args(["boot", "--profile"]).arg(&profile).arg("--stats-json").arg(&counters);
    let run = program::run(command.args(["--", "sha256sum", "/bin/busybox"]), LIMIT);
    assert_eq!(run.code(), 0, "{}", run.errors());
    let stacks = folded(&profile);
    // Names from the kernel's own tables; callers from its frame records.
    let calls = |s: &[String]| s.windows(2).any(|w| w == ["invoke_syscall", "__arm64_sys_execve"]);
    assert!(part(&stacks, calls) > 0.0, "{stacks:?}");
    assert!(part(&stacks, |s| s.iter().any(|f| f == "start_kernel")) > 0.01, "{stacks:?}");
    assert!(part(&stacks, |s| s.iter().any(|f| f == "[user]")) > 0.0, "{stacks:?}");
    let s = json(&counters);
    // More than the pages of the kernel, fewer than a miss for each thousand instructions of a boot.
    for path in ["/tlb/misses", "/tlb/fast_misses"] {
        assert!((5_000.0..2_000_000.0).contains(&number(&s, path)), "{path}: {s:#}");
    }
    assert!(number(&s, "/quick/guest_insns") > 100_000.0, "{s:#}");
}

fn bench(args: &[&str]) -> Command {
    let mut command = exe();
    command.arg("bench").args(args);
    command
}

#[test]
fn all_engines_are_compared() {
    let dir = Scratch::new("bench");
    let (file, page) = (dir.path().join("b.json"), dir.path().join("b.html"));
    let run = program::run(bench(&["--runs", "1", "hello", "--json"]).arg(&file).arg("--html").arg(&page), LIMIT);
    assert_eq!(run.code(), 0, "{}", run.errors());
    assert!(run.errors().is_empty(), "no terminal, no progress: {}", run.errors());
    assert!(run.text().contains("jib/native") && !run.text().contains('\x1b'), "{}", run.text());
    let report = json(&file);
    for engine in ["native", "qemu", "interpreter", "quick", "optimized", "jib", "warm"] {
        assert!(number(&report, &format!("/rows/0/costs/{engine}/cpu_s")) > 0.0, "{engine}");
        assert!(number(&report, &format!("/rows/0/costs/{engine}/rss_kib")) > 500.0, "{engine}");
    }
    assert!(number(&report, "/rows/0/inside/split/translate_s") > 0.0);
    assert_eq!(report["rows"][0]["class"], "start-up");
    let text = std::fs::read_to_string(&page).expect("no page");
    let pictures: Vec<&str> = text.split("<svg").skip(1).filter_map(|s| s.split("</svg>").next()).collect();
    assert!(pictures.len() >= 3, "{}", pictures.len());
    for picture in pictures {
        let picture = format!("<svg{picture}</svg>");
        let svg = roxmltree::Document::parse(&picture).unwrap_or_else(|e| panic!("{e}: {picture}"));
        assert!(svg.descendants().filter(|n| n.is_element()).count() > 3, "an empty picture: {picture}");
    }
}

#[test]
fn a_command_and_its_counterpart() {
    let program = compiled("c/hello.c", "-O2 -static");
    let with = |native: &str| {
        let mut command = bench(&["--runs", "2", "--engines", "native,qemu,jib", "--native", native, "--"]);
        program::run(command.arg(&program).arg("you"), LIMIT)
    };
    let good = with("printf 'hello, you\\n'");
    assert_eq!(good.code(), 0, "{}{}", good.text(), good.errors());
    assert!(good.text().contains("qemu/jib") && good.text().contains("wall time, most memory"), "{}", good.text());
    // A difference is no detail.
    let bad = with("/bin/echo");
    assert_eq!(bad.code(), 1, "{}", bad.text());
    assert!(
        bad.errors().contains("ERROR") && bad.text().contains("differs from native: line 1 of its output"),
        "{}",
        bad.text()
    );
    let status = with("sh -c 'echo hello, you; exit 3'");
    assert!(status.code() == 1 && status.text().contains("exit status: 0, not exit status: 3"), "{}", status.text());
}

#[test]
fn without_a_cross_compiler_it_says_which_package() {
    let run = program::run(bench(&["hello"]).env("PATH", "/nonexistent"), LIMIT);
    let text = run.errors();
    assert!(
        run.code() == 126 && text.lines().count() == 1 && text.contains("install -y gcc-aarch64-linux-gnu"),
        "{text}"
    );
}

#[test]
fn an_interrupted_comparison_shows_what_it_has() {
    let mut command = bench(&["--runs", "60000", "--engines", "native", "hello"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("jib");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    // Ctrl-C is awaited when the heading is there.
    while !line.starts_with("program") {
        line.clear();
        assert!(out.read_line(&mut line).expect("a line") > 0, "no heading");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("a table");
    let status = child.wait().expect("an end");
    assert_eq!((status.code(), status.signal()), (Some(130), None), "{rest}");
    assert!(rest.contains("interrupted"), "{rest}");
}
