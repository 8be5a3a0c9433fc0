//! Programs that people run, as their distributors built them: busybox (C), esbuild (Go), ruff (Rust with musl).
//!
//! What they write is compared with `qemu-aarch64`, byte for byte, on the interpreter and the compiler.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jib_testing::program::{self, ENGINES, Run};
use jib_testing::tools::{self, Scratch};
use jib_testing::{fetch, random::Random};

const LIMIT: Duration = Duration::from_secs(400);

fn jib(options: &[&str], program: &Path) -> Command {
    program::jib(program::under_test(env!("CARGO_BIN_EXE_jib")), options, program)
}

/// Applets with arguments; all read `text`, a file of numbers and words, in the current directory.
const APPLETS: &[&str] = &[
    "cat text",
    "wc text",
    "sort text",
    "sort -rn -k2 text",
    "uniq -c text",
    "head -n 7 text",
    "tail -c 100 text",
    "md5sum text",
    "sha1sum text",
    "sha256sum text",
    "sha512sum text",
    "sha3sum text",
    "cksum text",
    "sum text",
    "od -A x -t x1z text",
    "hexdump -C text",
    "tr-is-a-filter",
    "grep -n a[0-9]*b text",
    "grep -vc zz text",
    "sed -e s/\\([0-9]\\)x/<\\1>/g -e 5,9d text",
    "awk {s+=$2;n[$1%7]+=length($0)}END{for(i=0;i<7;i++)print(i,n[i],s)} text",
    "awk BEGIN{for(i=0;i<200;i++)printf(\"%.6f\\n\",sin(i)*exp(i/50))}",
    "cut -d\\x20 -f2 text",
    "rev text",
    "tac text",
    "nl text",
    "fold -w 17 text",
    "expand text",
    "base64 text",
    "uuencode text name",
    "gzip -c text",
    "bzip2 -c text",
    "xxd text",
    "strings text",
    "seq 1 7 300",
    "factor 1234567890 97 1000000007",
    "expr 12 * 34 + 5",
    "printf %05d|%x|%s\\n 42 255 word",
    "basename /a/b.c .c",
    "dirname /a/b/c",
    "cal 2 2024",
    "date -u -d @1700000000 +%F,%T",
    "test 5 -gt 3",
    "false",
    "true",
    "echo one two",
    "env -i A=1 B=2",
    "dd if=text bs=100 count=3",
    "cmp text text2",
    "diff text text2",
    "comm text text2",
    "paste text text2",
    "split -l 100 text part.",
    "tar -cf - text2",
    "bc -l",
    "dc -e 2k5v16*p",
    "stat -c %s text",
    "ls -1 text text2",
    "find . -name text*",
    "xargs echo",
    "tee copy",
    "unexpand text",
    "crc32 text",
    "shuf -i 1-1",
    "sh -c i=0;while\\x20[\\x20$i\\x20-lt\\x202000\\x20];do\\x20i=$((i+1));done;echo\\x20$i",
];

#[test]
fn busybox_applets() {
    let busybox = fetch::busybox();
    let dir = Scratch::new("applets");
    let mut random = Random::new(3);
    let line =
        |r: &mut Random| format!("{} {}\ta{}b word{}x\n", r.below(50), r.below(100_000), r.below(999), r.below(40));
    let text: String = (0..400).map(|_| line(&mut random)).collect();
    fs::write(dir.path().join("text"), &text).expect("cannot write");
    fs::write(dir.path().join("text2"), text.replace("word7", "other")).expect("cannot write");
    let (mut runs, mut known) = (0, 0);
    for applet in APPLETS {
        let words: Vec<String> = applet.split(' ').map(|w| w.replace("\\x20", " ")).collect();
        let prepare = |mut c: Command| -> Command {
            c.args(&words).current_dir(dir.path()).env_clear().env("TZ", "UTC");
            c
        };
        let wanted = program::run(&mut prepare(program::qemu(&busybox)), LIMIT);
        known += i32::from(wanted.code() != 127);
        for (engine, options) in ENGINES {
            let run = program::run(&mut prepare(jib(options, &busybox)), LIMIT);
            program::check(&format!("busybox {applet}, {engine}"), &run, &wanted.stdout, wanted.code());
            assert_eq!(run.errors(), wanted.errors(), "busybox {applet}, {engine}: standard error");
            runs += 1;
        }
    }
    assert!(known >= 40, "only {known} applets are there");
    println!("busybox: {} commands of {known} applets, {runs} runs agree with qemu-aarch64", APPLETS.len());
}

/// A script that starts children all the time: jib runs them, too. GNU's tools on the host say what is right.
#[test]
fn busybox_shell_script() {
    let busybox = fetch::busybox();
    let dir = Scratch::new("script");
    let script = "\
set -e
seq 1 300 | sort -r | sed 's/7/seven/g' | head -n 50 | tr a-z A-Z > a
cat a | grep -c SEVEN
for f in one two three; do echo $f > $f.txt; done
ls *.txt | wc -l | tr -d ' '
awk 'BEGIN { for (i = 0; i < 10; i++) print i * i }' | paste -s -d , -
x=$(echo hello | rev); echo ${x%o}.$x
(exit 3) || echo status $?
sha256sum a | cut -c 1-16
find . -name '*.txt' | sort | xargs cat
trap 'echo trapped' USR1; kill -USR1 $$
echo 'a b c' | while read p q r; do echo $r $q $p; done
sleep 0.1 & wait; echo waited
printf '%s\\n' z y x | sort | tee b | tail -n 1
test -s b && rm b && test ! -e b && echo removed
";
    fs::write(dir.path().join("s"), script).expect("cannot write");
    let wanted = program::run(Command::new("sh").arg("s").current_dir(dir.path()), LIMIT);
    assert_eq!(wanted.code(), 0, "the host's shell: {}", wanted.errors());
    // Applets by name: links to the one file.
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).expect("cannot make a directory");
    let names =
        "seq sort sed head tr cat grep ls wc awk paste rev sha256sum cut find xargs sleep printf tee tail test rm kill";
    for name in names.split(' ') {
        std::os::unix::fs::symlink(&busybox, bin.join(name)).expect("cannot link");
    }
    for (engine, options) in ENGINES {
        let mut command = jib(options, &busybox);
        command.args(["sh", "s"]).current_dir(dir.path()).env("PATH", &bin);
        program::check(&format!("busybox sh, {engine}"), &program::run(&mut command, LIMIT), &wanted.stdout, 0);
    }
}

/// Modules that import each other, with types, JSX, classes and generators to be lowered.
fn modules(dir: &Path) {
    for i in 0..40 {
        let next = (i + 1) % 40;
        let text = format!(
            "import {{ f{next}, type T{next} }} from './m{next}'\n\
             export interface T{i} {{ a: number, b?: string }}\n\
             export enum E{i} {{ A = {i}, B, C }}\n\
             export class C{i}<X> {{ #p = {i}; static s = E{i}.B; constructor(public q: X) {{}} get p() {{ return this.#p ** 2 }} }}\n\
             export async function* f{i}(n: number): AsyncGenerator<T{i}> {{\n\
               for (const x of [...Array(n).keys()]) yield {{ a: x ?? {i}, b: `v${{x}}` }}\n\
               if (n > 3) yield* f{next}(n - 1) as any\n}}\n\
             export const view{i} = (p: T{i}) => <div className=\"c{i}\">{{p?.b ?? 'none'}}<b>{{p.a}}</b></div>\n\
             export const unused{i} = /* @__PURE__ */ new C{i}({i})\n"
        );
        fs::write(dir.join(format!("m{i}.tsx")), text).expect("cannot write");
    }
    fs::write(
        dir.join("main.ts"),
        "import * as m from './m0'\nfor await (const x of m.f0(5)) console.log(x, m.view0(x))\n",
    )
    .expect("cannot write");
}

#[test]
fn esbuild_bundles() {
    let esbuild = fetch::esbuild();
    let dir = Scratch::new("esbuild");
    modules(dir.path());
    let ways: [&[&str]; 3] = [
        &["main.ts", "--bundle", "--format=esm", "--sourcemap=inline"],
        &[
            "main.ts",
            "--bundle",
            "--minify",
            "--target=es2017",
            "--format=esm",
            "--supported:top-level-await=true",
            "--supported:for-await=true",
            "--supported:async-generator=true",
        ],
        &["m3.tsx", "--jsx=automatic", "--target=es2020"],
    ];
    for way in ways {
        let mut qemu = program::qemu(&esbuild);
        let wanted = program::run(qemu.args(way).current_dir(dir.path()), LIMIT);
        assert!(wanted.code() == 0 && wanted.stdout.len() > 500, "{way:?}: {}", wanted.errors());
        for (engine, options) in [ENGINES[0], ENGINES[2]] {
            let run = program::run(jib(options, &esbuild).args(way).current_dir(dir.path()), LIMIT);
            program::check(&format!("esbuild {way:?}, {engine}"), &run, &wanted.stdout, 0);
            println!("esbuild {engine}: {} bytes in {:.2?} (qemu {:.2?})", run.stdout.len(), run.time, wanted.time);
        }
    }
}

/// Python sources with something for every family of rules.
fn python(dir: &Path) {
    for i in 0..60 {
        let text = format!(
            "import os, sys\nimport json as j{i}\nfrom typing import List, Optional\n\n\
             def f{i}(a, b = [], *args, **kw) :\n    '''doc'''\n    l = {i}\n    if a == None : return b\n    x = lambda y: y+1\n\
             \x20   try:\n        return {{k: v for k, v in kw.items() if not k in args}}\n    except:\n        pass\n\n\
             class c{i}(object):\n    def m(self, v: Optional[List[int]] = None) -> 'str':\n        assert (v, 'always')\n\
             \x20       return \"%s %d\" % (v, {i}) + f'{{v!r:>{{self.w}}}}'\n\nprint( f{i}( 1,2 ) )  \n"
        );
        fs::write(dir.join(format!("m{i}.py")), text).expect("cannot write");
    }
}

#[test]
fn ruff_checks_and_formats() {
    let ruff = fetch::ruff();
    let dir = Scratch::new("ruff");
    python(dir.path());
    // Threads may find things in any order: the concise form is sorted by ruff itself.
    let ways: [&[&str]; 3] = [
        &["check", "--isolated", "--no-cache", "--select=ALL", "--output-format=concise", "."],
        &["format", "--isolated", "--no-cache", "--diff", "m7.py"],
        &["check", "--isolated", "--no-cache", "--select=E,F,UP,B", "--output-format=json", "m1.py"],
    ];
    for way in ways {
        let prepare = |c: &mut Command| -> Run {
            program::run(c.args(way).current_dir(dir.path()).env("NO_COLOR", "1").env("RAYON_NUM_THREADS", "2"), LIMIT)
        };
        let wanted = prepare(&mut program::qemu(&ruff));
        assert!(wanted.stdout.len() > 200, "{way:?}: {}", wanted.errors());
        for (engine, options) in [ENGINES[0], ENGINES[2]] {
            let run = prepare(&mut jib(options, &ruff));
            program::check(&format!("ruff {way:?}, {engine}"), &run, &wanted.stdout, wanted.code());
            println!("ruff {engine}: {} bytes in {:.2?} (qemu {:.2?})", run.stdout.len(), run.time, wanted.time);
        }
    }
}

/// The fetched programs are what their names say.
#[test]
fn fetched_programs_are_for_aarch64() {
    for path in [fetch::busybox(), fetch::esbuild(), fetch::ruff()] {
        let head = fs::read(&path).expect("cannot read");
        assert_eq!((&head[..4], head[18]), (&b"\x7fELF"[..], 183), "{}", path.display());
    }
    assert!(tools::cache().exists());
}
