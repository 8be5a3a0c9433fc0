//! GDB's `monitor` commands.

use gdbstub::outputln;
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd};

use super::target::Stub;

const HELP: &str = "\
monitor phys [on|off]    tell, or change, whether memory addresses are physical ones
monitor translate ADDR   the physical address of a virtual one, by the MMU of the current thread's CPU";

impl MonitorCmd for Stub {
    fn handle_monitor_cmd(&mut self, cmd: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), String> {
        let text = String::from_utf8_lossy(cmd).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["phys", rest @ ..] if self.is_system() => {
                match rest {
                    ["on"] => self.physical = true,
                    ["off"] => self.physical = false,
                    _ => {}
                }
                outputln!(out, "memory addresses are {}", if self.physical { "physical" } else { "virtual" });
            }
            ["translate", addr] if self.is_system() => {
                let number = u64::from_str_radix(addr.trim_start_matches("0x"), 16).ok();
                match number.and_then(|va| self.translate(va)) {
                    Some(pa) => outputln!(out, "{pa:#x}"),
                    None => outputln!(out, "{addr}: not mapped"),
                }
            }
            _ if self.is_system() => outputln!(out, "{HELP}"),
            _ => outputln!(out, "a process has no monitor commands"),
        }
        Ok(())
    }
}
