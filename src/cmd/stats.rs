//! The translator's counters, told on standard error.

use std::time::Duration;

use jib_backend::Stats;

use crate::report;

/// Says a line for each counter.
pub(crate) fn tell(stats: &Stats, wall: Duration) {
    let insns = stats.guest_insns.max(1) as f64;
    let line = |name: &str, value: String| report::tell(format_args!("{name:<24} {value}"));
    line("time", format!("{:.3} s", wall.as_secs_f64()));
    line("blocks lifted", stats.blocks_lifted.to_string());
    line("  interpreted", format!("{} times", stats.block_runs));
    line("translations looked up", format!("{} ({} in the thread's own table)", stats.hits + stats.misses, stats.hits));
    let quick = stats.quick_insns.max(1) as f64;
    line("blocks translated", stats.quick_blocks.to_string());
    line("  guest instructions", stats.quick_insns.to_string());
    line("  host bytes", format!("{} ({:.1} per instruction)", stats.quick_bytes, stats.quick_bytes as f64 / quick));
    let us = stats.quick_ns as f64 / 1e3;
    line("  time translating", format!("{:.1} ms ({:.2} us per instruction)", us / 1e3, us / quick));
    line("regions compiled", stats.regions.to_string());
    line("  guest instructions", stats.guest_insns.to_string());
    line("  host bytes", format!("{} ({:.1} per instruction)", stats.host_bytes, stats.host_bytes as f64 / insns));
    let us = stats.compile_ns as f64 / 1e3;
    line("  time compiling", format!("{:.1} ms ({:.2} us per instruction)", us / 1e3, us / insns));
    line("  discarded", stats.discarded.to_string());
    line("translations recalled", stats.recalled.to_string());
    line("links made", stats.links.to_string());
    line("invalidated", stats.invalidated.to_string());
    line("evicted", stats.evicted.to_string());
    line("host faults", stats.faults.to_string());
    line("compiled code left", format!("{} times", stats.exits.iter().sum::<u64>()));
    for (cause, n) in jib_backend::EXITS.iter().zip(stats.exits) {
        line(&format!("  {cause}"), n.to_string());
    }
}
