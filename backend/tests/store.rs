//! Translations kept for other runs: used where nothing they depend on has changed, and only there.

mod common;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::*;
use jib_backend::cache_dir::CacheDir;
use jib_backend::{Image, Images, Options, Stats, Store, Translator};
use jib_ir::guest::Fetch;
use jib_ir::op::*;
use jib_ir::region::{BlockId, Region};
use jib_ir::runtime::{Exit, Fault};
use jib_ir::state::{Slot, State};
use jib_ir::ty::*;

/// Everything is one image.
struct Everything;
impl Images for Everything {
    fn at(&self, _: u64) -> Option<Image> {
        Some(Image { identity: 7, start: 0x1000 })
    }
}

/// Words as set, else 0.
#[derive(Clone, Default)]
struct Words(Arc<Mutex<HashMap<u64, u32>>>);
impl Fetch for Words {
    fn word(&self, pc: u64) -> Result<u32, Fault> {
        Ok(self.0.lock().expect("not poisoned").get(&pc).copied().unwrap_or(0))
    }
}

/// `x1 += add; x2 = a helper's sum; d0 *= d0` by the evaluator; on to 0x2000.
fn work(add: i64) -> Region {
    let mut b = begin(0x1000);
    let v = b.get(Ty::I64, Slot(1));
    let v = b.add_imm(v, add);
    b.set(Slot(1), v);
    let (one, two) = (b.imm64(1), b.imm64(2));
    let sum = b.push(Op::Call { helper: 1, a: v, b: one, c: two, d: jib_ir::region::Val::NONE });
    b.set(Slot(2), sum);
    b.end_block(exit(0x2000));
    finish(b, 0x1000, &[0])
}

/// `x0 -= 1`; stops at 0, else goes back.
fn again() -> Region {
    let mut b = begin(0x2000);
    let v = b.get(Ty::I64, Slot(0));
    let v = b.add_imm(v, -1);
    b.set(Slot(0), v);
    let c = b.is_zero(v);
    b.end_block(Op::Branch { c, then: BlockId(1), els: BlockId(2) });
    b.begin_block(0x2008);
    b.end_block(stop(0x200c));
    b.begin_block(0x2010);
    b.end_block(exit(0x1000));
    finish(b, 0x2000, &[0])
}

/// Lifts of the program's two regions: for their first run, and then to be kept until they are translated.
const ALL: u64 = 4;

/// Was all code found? Once inside, it is linked.
fn found(stats: &Stats) -> bool {
    assert_eq!(stats.recalled > 0, stats.blocks_lifted == 0, "{stats:?}");
    stats.recalled > 0
}

/// A folder of its own, gone at the end.
struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("jib-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder");
        Folder(path)
    }
    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).expect("readable").map(|e| e.expect("an entry").path()).collect()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Setting {
    threshold: u32,
    guest: &'static [u8],
    words: Words,
    add: i64,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting { threshold: 3000, guest: b"guest", words: Words::default(), add: 5 }
    }
}

/// Runs the program in a process of its own, as far as the translator can tell.
fn run_with(folder: &Path, setting: &Setting, keep: bool) -> Stats {
    let p = Program::default();
    p.put(work(setting.add));
    p.put(again());
    let store = Store::new(Arc::new(CacheDir::open(folder).expect("a folder")), Box::new(Everything), setting.guest);
    let options = Options {
        quick: 8,
        threshold: setting.threshold,
        store: Some(Arc::new(store)),
        cache_bytes: 1 << 20,
        ..eager()
    };
    let t = Translator::new(p.clone(), Box::new(setting.words.clone()), options).expect("a translator");
    let mut s = State::default();
    s.set_x(0, 100);
    let (e, s) = run(&t, &s, 0x1000);
    let x1 = 100 * setting.add as u64;
    assert_eq!((e, s.x(1), s.x(2), s.x(5)), (Exit::Svc(1), x1, x1 + 3, 100), "{:?}", t.stats());
    if keep {
        t.keep();
    }
    t.stats()
}

#[test]
fn what_one_run_translates_the_next_one_finds() {
    for threshold in [3000, 5] {
        let folder = Folder::new("next");
        let setting = Setting { threshold, ..Setting::default() };
        let first = run_with(&folder.0, &setting, true);
        assert_eq!((first.recalled, first.blocks_lifted), (0, ALL), "{first:?}");
        assert_eq!(first.regions > 0, threshold == 5);
        assert_eq!(folder.files().len(), 1);
        let second = run_with(&folder.0, &setting, true);
        assert_eq!((second.blocks_lifted, second.block_runs), (0, 0), "{second:?}");
        assert!(second.recalled > 0);
        assert_eq!((second.quick_blocks, second.regions), (0, 0), "{second:?}");
    }
}

#[test]
fn what_has_run_once_is_kept_as_well() {
    let folder = Folder::new("once");
    let p = Program::default();
    p.put(again());
    let options = || {
        let store = Store::new(Arc::new(CacheDir::open(&folder.0).expect("a folder")), Box::new(Everything), b"");
        Options { quick: 8, threshold: 3000, store: Some(Arc::new(store)), ..eager() }
    };
    let t = Translator::new(p.clone(), Box::new(Words::default()), options()).expect("a translator");
    let mut s = State::default();
    s.set_x(0, 1);
    assert_eq!(run(&t, &s, 0x2000).0, Exit::Svc(1));
    let first = t.stats();
    assert_eq!(first.quick_blocks, 0);
    t.keep();
    assert_eq!(folder.files().len(), 1);
    let t = Translator::new(p, Box::new(Words::default()), options()).expect("a translator");
    assert_eq!(run(&t, &s, 0x2000).0, Exit::Svc(1));
    assert!(found(&t.stats()));
}

#[test]
fn changed_code_is_translated_anew() {
    let folder = Folder::new("changed");
    let old = Setting::default();
    run_with(&folder.0, &old, true);
    let new = Setting { add: 9, ..Setting::default() };
    new.words.0.lock().expect("not poisoned").insert(0x1004, 0xd503_201f);
    let first = run_with(&folder.0, &new, true);
    assert_eq!((first.recalled, first.blocks_lifted), (0, ALL), "{first:?}");
    // Each image has one file, which now holds the new code.
    assert_eq!(run_with(&folder.0, &old, false).recalled, 0);
    assert!(found(&run_with(&folder.0, &new, false)));
}

#[test]
fn another_guest_or_other_options_find_nothing() {
    let folder = Folder::new("other");
    run_with(&folder.0, &Setting::default(), true);
    let other = Setting { guest: b"more features", ..Setting::default() };
    assert_eq!(run_with(&folder.0, &other, false).recalled, 0);
    // These translate before the first run, or never: what is kept would be in their way.
    for threshold in [0, u32::MAX] {
        let forced = Setting { threshold, ..Setting::default() };
        assert_eq!(run_with(&folder.0, &forced, true).recalled, 0);
    }
    assert_eq!(folder.files().len(), 1);
}

#[test]
fn a_file_that_others_may_write_is_not_read() {
    let folder = Folder::new("mode");
    run_with(&folder.0, &Setting::default(), true);
    let file = &folder.files()[0];
    assert_eq!(fs::metadata(file).expect("there").permissions().mode() & 0o777, 0o600);
    fs::set_permissions(file, fs::Permissions::from_mode(0o620)).expect("ours");
    assert_eq!(run_with(&folder.0, &Setting::default(), false).recalled, 0);
    // Nor is one that the name only leads to.
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("ours");
    assert!(found(&run_with(&folder.0, &Setting::default(), false)));
    let elsewhere = folder.0.join("elsewhere");
    fs::rename(file, &elsewhere).expect("ours");
    std::os::unix::fs::symlink(&elsewhere, file).expect("ours");
    assert_eq!(run_with(&folder.0, &Setting::default(), false).recalled, 0);
}

#[test]
fn a_flipped_bit_anywhere_costs_only_time() {
    let folder = Folder::new("flipped");
    run_with(&folder.0, &Setting::default(), true);
    let file = folder.files()[0].clone();
    let good = fs::read(&file).expect("readable");
    // Sections are padded with zeroes to whole pages; all else counts.
    let page = good.len() / 4096;
    let used = |at: usize| good[at..(at | 4095).min(good.len() - 1)].iter().any(|b| *b != 0);
    for at in (0..good.len()).filter(|at| used(*at)) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).expect("writable");
        let is_record = at / 4096 == page;
        assert_eq!(found(&run_with(&folder.0, &Setting::default(), false)), is_record, "byte {at}");
    }
    for len in [0, 1, 47, 48, 4096, good.len() / 2] {
        fs::write(&file, &good[..len]).expect("writable");
        assert!(!found(&run_with(&folder.0, &Setting::default(), false)));
    }
    // A damaged file is replaced.
    run_with(&folder.0, &Setting::default(), true);
    assert!(found(&run_with(&folder.0, &Setting::default(), false)));
}

#[test]
fn many_may_write_at_once() {
    let folder = Folder::new("many");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    run_with(&folder.0, &Setting::default(), true);
                }
            });
        }
    });
    assert_eq!(folder.files().len(), 1, "{:?}", folder.files());
    assert!(found(&run_with(&folder.0, &Setting::default(), false)));
}
