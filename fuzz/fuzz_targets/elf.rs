//! Any bytes are a program file or are refused with a reason; an accepted one describes a sound image.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself and not its crate, which brings the code generator.
#[allow(dead_code, reason = "the loader needs more of it than this")]
#[path = "../../linux-user/src/elf.rs"]
mod reader;

fuzz_target!(|file: &[u8]| {
    let head = &file[..file.len().min(reader::MAX_HEAD)];
    match reader::parse(head, file.len() as u64) {
        Ok(image) => check(&image, file.len() as u64),
        Err(e) => assert!(!e.to_string().is_empty()),
    }
});

fn check(image: &reader::Image, len: u64) {
    let span = image.span();
    assert!(span.start < span.end && span.end <= reader::TASK_SIZE);
    assert!(span.contains(&image.entry));
    assert!(image.align.is_power_of_two() && image.align >= reader::PAGE);
    let mut end = 0;
    for s in &image.segments {
        assert!(s.addr >= end && s.file <= s.memory && (s.file == 0 || s.offset + s.file <= len));
        end = s.addr + s.memory;
    }
}
