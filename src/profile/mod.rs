//! `--profile`: where a guest spends its time, as folded stacks or as a flame graph.

pub(crate) mod kallsyms;
pub(crate) mod perf;
pub(crate) mod symbols;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use inferno::flamegraph;
use jib_backend::sample::{Activity, Sample, Sampler};
use jib_debug::log::Sink;

use symbols::Mapped;

/// A sample for each of these of a thread's processor time; the kernel's tick is coarser where it is, and tells how
/// many it stands for.
const STEP: Duration = Duration::from_millis(1);
/// The bits of PSTATE that tell the exception level.
const EL: u32 = 0b1100;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Lines of frames, outermost first, with a number: what flame graph tools read.
    Folded,
    /// A picture.
    Svg,
}

/// A profile being taken.
pub(crate) struct Profile {
    sampler: &'static Sampler,
    form: Form,
    out: Arc<Sink>,
}

impl Profile {
    /// Opens the file, whose name says what it gets, and begins to sample.
    pub(crate) fn start(path: &Path) -> Result<Profile, String> {
        let form = match path.extension().and_then(|e| e.to_str()) {
            Some("svg") => Form::Svg,
            Some("folded") => Form::Folded,
            _ => {
                let what = "a profile is NAME.svg (a flame graph) or NAME.folded (folded stacks)";
                return Err(format!("{}: {what}", path.display()));
            }
        };
        let out = Sink::file(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let sampler = Sampler::start(STEP).map_err(|e| format!("cannot sample: {e}"))?;
        Ok(Profile { sampler, form, out })
    }

    /// What translators are to be told.
    pub(crate) fn sampler(&self) -> &'static Sampler {
        self.sampler
    }

    /// Writes the profile of this process's guest program `name`.
    pub(crate) fn write_program(&self, name: &str) -> Result<(), String> {
        let mut mapped = Mapped::default();
        mapped.refresh();
        self.write(name, "[jib: system call]", &mut |_, address| {
            mapped.name(address).unwrap_or_else(|| "[anonymous]".to_string())
        })
    }

    /// Writes the profile of a system, the memory of whose kernel this is.
    pub(crate) fn write_system(&self, kernel: &[u8]) -> Result<(), String> {
        let symbols = kallsyms::parse(kernel).unwrap_or_default();
        let unknown = if symbols.is_empty() { "[kernel without kallsyms]" } else { "[module]" };
        self.write("guest", "[jib: exception or device]", &mut |mode, address| match mode & EL {
            0 => "[user]".to_string(),
            _ => symbols.find(address).unwrap_or(unknown).to_string(),
        })
    }

    /// Writes samples under `root`; `outside` names what is neither code nor translation, `name` an address in a mode.
    fn write(&self, root: &str, outside: &str, name: &mut dyn FnMut(u32, u64) -> String) -> Result<(), String> {
        let (samples, lost) = self.sampler.samples();
        if samples.is_empty() {
            return Err("no samples: the guest took too little processor time for a profile".to_string());
        }
        if lost > 0 {
            crate::report::tell(format_args!(
                "the profile lacks {lost} samples at its end: there was no room for them"
            ));
        }
        let lines = folded(&samples, root, outside, name);
        let text = match self.form {
            Form::Folded => lines.iter().fold(String::new(), |mut text, line| {
                let _ = writeln!(text, "{line}");
                text
            }),
            Form::Svg => picture(root, &lines)?,
        };
        self.out.write(&text).map_err(|e| format!("cannot write the profile: {e}"))
    }
}

/// The stacks with the milliseconds they stand for, sorted.
fn folded(samples: &[Sample], root: &str, outside: &str, name: &mut dyn FnMut(u32, u64) -> String) -> Vec<String> {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    for s in samples {
        let mut frames = frames(s, name);
        match s.activity {
            Activity::Compiled | Activity::Interpreted => {}
            Activity::Translating => frames.insert(0, "[jib: translating]".to_string()),
            Activity::Outside => frames.insert(0, outside.to_string()),
        }
        // Nameless functions that call each other are one.
        frames.dedup_by(|a, b| a == b && a.starts_with('['));
        frames.push(root.to_string());
        let line: Vec<String> = frames.iter().rev().map(|f| f.replace(';', ":")).collect();
        *stacks.entry(line.join(";")).or_default() += u64::from(s.weight);
    }
    stacks.into_iter().map(|(stack, n)| format!("{stack} {n}")).collect()
}

/// The names of a sample's frames, innermost first.
fn frames(s: &Sample, name: &mut dyn FnMut(u32, u64) -> String) -> Vec<String> {
    let Some((&pc, rest)) = s.stack.split_first() else { return Vec::new() };
    let mut out = vec![name(s.mode, pc)];
    if s.mode & EL == 0 && out[0] == "[user]" {
        // Of a system's user programs nothing more is known.
        return out;
    }
    let Some((&link, records)) = rest.split_first() else { return out };
    // A return address is behind its call, which may be the last instruction of its function.
    let caller = |name: &mut dyn FnMut(u32, u64) -> String, back: u64| name(s.mode, back.wrapping_sub(4));
    // x30 has the way back of a function that makes no frame record. In others, it is the record's, or comes from a
    // call that was made: then it leads to the function itself.
    if link != 0 && records.first() != Some(&link) {
        let back = caller(name, link);
        if back != out[0] && !back.starts_with('[') {
            out.push(back);
        }
    }
    out.extend(records.iter().map(|back| caller(name, *back)));
    out
}

/// The flame graph of folded stacks.
fn picture(root: &str, lines: &[String]) -> Result<String, String> {
    let mut options = flamegraph::Options::default();
    options.title = format!("{root}: processor time by function");
    options.count_name = "ms".to_string();
    options.min_width = 0.05;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .map_err(|e| format!("cannot draw the flame graph: {e}"))?;
    String::from_utf8(svg).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(activity: Activity, stack: &[u64]) -> Sample {
        Sample { weight: 2, activity, thread: 1, mode: 0, stack: stack.to_vec() }
    }

    fn name(_: u32, address: u64) -> String {
        ["main", "leaf", "middle", "[lib]"][(address >> 12) as usize % 4].to_string()
    }

    #[test]
    fn the_link_register_counts_where_no_frame_says_more() {
        let of = |stack: &[u64]| frames(&sample(Activity::Compiled, stack), &mut name);
        // In a leaf without a record: main called middle, middle called leaf.
        assert_eq!(of(&[0x1010, 0x2010, 0x0010]), ["leaf", "middle", "main"]);
        // In middle after its prologue, and after it has called leaf.
        assert_eq!(of(&[0x2010, 0x0010, 0x0010]), ["middle", "main"]);
        assert_eq!(of(&[0x2010, 0x2008, 0x0010]), ["middle", "main"]);
        // Rubbish in x30.
        assert_eq!(of(&[0x2010, 0x3000, 0x0010]), ["middle", "main"]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn stacks_are_folded_and_drawn() {
        let samples = [
            sample(Activity::Compiled, &[0x1010, 0x0010]),
            sample(Activity::Compiled, &[0x1014, 0x0010]),
            sample(Activity::Translating, &[0x0010, 0]),
        ];
        let lines = folded(&samples, "a;b", "[out]", &mut name);
        assert_eq!(lines, ["a:b;main;[jib: translating] 2", "a:b;main;leaf 4"]);
        let svg = picture("p", &lines).expect("a picture");
        assert!(svg.contains("leaf (4 ms, 66.67%)"), "{svg}");
    }
}
