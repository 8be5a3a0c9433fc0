//! Signal numbers: Linux's and those of GDB's protocol (GDB manual, appendix E; `gdb/signals.def`).

/// GDB's "unknown signal".
const UNKNOWN: u8 = 143;
/// GDB's numbers of Linux's signals 1 to 31 (16, SIGSTKFLT, has none).
const CLASSIC: [u8; 31] = [
    1, 2, 3, 4, 5, 6, 10, 8, 9, 30, 11, 31, 13, 14, 15, UNKNOWN, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26, 27, 28, 23,
    32, 12,
];

/// GDB's number of a Linux signal.
pub fn to_gdb(signal: i32) -> u8 {
    match signal {
        1..=31 => CLASSIC[signal as usize - 1],
        32 => 77,
        33..=63 => (signal + 12) as u8,
        64 => 78,
        _ => UNKNOWN,
    }
}

/// The Linux signal of a number of GDB's.
pub fn from_gdb(signal: u8) -> Option<i32> {
    match signal {
        77 => Some(32),
        45..=75 => Some(i32::from(signal) - 12),
        78 => Some(64),
        UNKNOWN => None,
        _ => CLASSIC.iter().position(|&n| n == signal).map(|i| i as i32 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_everybody_knows_and_round_trips() {
        for (linux, gdb) in [(2, 2), (5, 5), (7, 10), (10, 30), (11, 11), (12, 31), (17, 20), (34, 46), (64, 78)] {
            assert_eq!((to_gdb(linux), from_gdb(gdb)), (gdb, Some(linux)));
        }
        for signal in (1..=64).filter(|&s| s != 16) {
            assert_eq!(from_gdb(to_gdb(signal)), Some(signal));
        }
        assert_eq!((from_gdb(0), from_gdb(7), from_gdb(200)), (None, None, None));
    }
}
