//! What is undefined under each profile is what qemu calls undefined on a processor of that kind: random words of every
//! row of the instruction table.

use std::collections::BTreeMap;

use jib_frontend_aarch64::cpu::Profile;
use jib_frontend_aarch64::isa;
use jib_testing::case::{Case, Stop};
use jib_testing::interp::Interpreter;
use jib_testing::random::Random;
use jib_testing::{disasm, generate, known, oracle};

/// Words that the processors of that kind have in qemu 7.2 and we have not, or the other way round.
fn set_aside(profile: Profile, word: u32) -> bool {
    let lacking = known::lacking(word).is_some_and(|why| !profile_lacks(profile, why));
    // The kernel lets EL0 execute or read these, or has them trapped, whatever the processor.
    let wrong = known::qemu_wrong(word, 0).is_some();
    known::excluded(word).is_some() || lacking || wrong
}

/// Is an instruction that qemu 7.2 lacks none of the profile's, either?
fn profile_lacks(profile: Profile, why: &str) -> bool {
    matches!(profile, Profile::V80 | Profile::V82) && !why.starts_with("DC") && !why.starts_with("DPB")
}

fn compare(profile: Profile, cpu: &str) {
    let mut random = Random::new(7);
    let mut cases: Vec<(&str, Case)> = Vec::new();
    for row in isa::rows() {
        for _ in 0..60 {
            let case = generate::case(&mut random, row).filter(|c| !set_aside(profile, c.words[c.words.len() - 1]));
            cases.extend(case.map(|c| (row.name, c)));
        }
    }
    let plain: Vec<Case> = cases.iter().map(|(_, c)| c.clone()).collect();
    let theirs = oracle::run(cpu, &plain);
    let mut ours = Interpreter::default();
    ours.profile = profile;
    let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut undefined = 0;
    for ((row, case), theirs) in cases.iter().zip(&theirs).filter(|(_, t)| t.stop != Stop::Crashed) {
        let stops = [ours.run(case).stop, theirs.stop].map(|stop| stop == Stop::Undefined);
        undefined += usize::from(stops[0]);
        if stops[0] != stops[1] {
            let word = case.words[case.words.len() - 1];
            let text = disasm::words(&[word]).join("");
            wrong
                .entry(row)
                .or_default()
                .push(format!("{word:#010x} {text}: {} here", if stops[0] { "undefined" } else { "defined" }));
        }
    }
    let list: Vec<String> =
        wrong.iter().flat_map(|(row, w)| w.iter().take(3).map(move |w| format!("{row}: {w}"))).collect();
    println!("{}: {} words, {undefined} undefined", profile.name(), cases.len());
    assert!(list.is_empty(), "{} against {cpu}:\n{}", profile.name(), list.join("\n"));
}

#[test]
fn armv8_0_is_cortex_a72() {
    compare(Profile::V80, "cortex-a72");
}

#[test]
fn armv8_2_is_neoverse_n1() {
    compare(Profile::V82, "neoverse-n1");
}

#[test]
fn max_has_pointer_authentication() {
    compare(Profile::Max, "max,sve=off,sme=off");
}
