//! Firmware calls by HVC or SMC: PSCI 1.1 (DEN0022), SMCCC 1.1 (DEN0028), TRNG 1.0 (DEN0098) and
//! paravirtualised time (DEN0057).
//!
//! Decoding only: what a call does to CPUs is behind [`Power`], and what becomes of the calling CPU
//! is the returned [`Outcome`].

/// PSCI return codes (DEN0022 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Success = 0,
    /// No such function.
    NotSupported = -1,
    /// A parameter makes no sense (an unknown CPU).
    InvalidParameters = -2,
    /// The state does not permit it.
    Denied = -3,
    /// The CPU is on already.
    AlreadyOn = -4,
    /// CPU_ON was called and has not finished.
    OnPending = -5,
    /// Something went wrong inside.
    InternalFailure = -6,
    /// The entry point is no address of memory.
    InvalidAddress = -9,
}

impl Status {
    fn bits(self) -> u64 {
        self as i64 as u64
    }
}

/// AFFINITY_INFO's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// At least one CPU there is on.
    On = 0,
    /// All are off.
    Off = 1,
    /// One is about to be on.
    OnPending = 2,
}

/// What firmware calls can ask of the machine.
pub trait Power {
    /// Starts the CPU with this MPIDR affinity at EL1, MMU off, `context` in x0.
    fn cpu_on(&self, target: u64, entry: u64, context: u64) -> Status;
    /// State of the CPUs of an affinity group; `None` if there is none. `level` is 0 to 3.
    fn affinity(&self, target: u64, level: u64) -> Option<Affinity>;
    /// 64 bits of entropy.
    fn entropy(&self) -> u64;
    /// Physical address of the calling CPU's stolen-time structure, if there is one.
    fn stolen_time(&self, cpu: usize) -> Option<u64>;
}

/// What becomes of the CPU that called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It continues with these values in x0 to x3.
    Return([u64; 4]),
    /// It waits for an interrupt, keeping its state, then continues with success in x0.
    Standby,
    /// It powers down until an interrupt, then restarts at `entry` with `context` in x0.
    Suspend {
        /// Where it restarts (physical).
        entry: u64,
        /// x0 then.
        context: u64,
    },
    /// It is off until another CPU calls CPU_ON.
    Off,
    /// The machine powers off.
    SystemOff,
    /// The machine restarts.
    SystemReset,
}

/// What a function is called, for logs.
pub fn name(function: u64) -> &'static str {
    match function as u32 & !SMC64 {
        PSCI_VERSION => "PSCI_VERSION",
        CPU_SUSPEND => "CPU_SUSPEND",
        CPU_OFF => "CPU_OFF",
        CPU_ON => "CPU_ON",
        AFFINITY_INFO => "AFFINITY_INFO",
        MIGRATE_INFO_TYPE => "MIGRATE_INFO_TYPE",
        SYSTEM_OFF => "SYSTEM_OFF",
        SYSTEM_RESET => "SYSTEM_RESET",
        PSCI_FEATURES => "PSCI_FEATURES",
        SYSTEM_RESET2 => "SYSTEM_RESET2",
        SMCCC_VERSION => "SMCCC_VERSION",
        SMCCC_ARCH_FEATURES => "SMCCC_ARCH_FEATURES",
        TRNG_VERSION => "TRNG_VERSION",
        TRNG_FEATURES => "TRNG_FEATURES",
        TRNG_GET_UUID => "TRNG_GET_UUID",
        TRNG_RND => "TRNG_RND",
        0x8500_0020 => "PV_TIME_FEATURES",
        0x8500_0021 => "PV_TIME_ST",
        _ => "unknown function",
    }
}

const PSCI_VERSION: u32 = 0x8400_0000;
const CPU_SUSPEND: u32 = 0x8400_0001;
const CPU_OFF: u32 = 0x8400_0002;
const CPU_ON: u32 = 0x8400_0003;
const AFFINITY_INFO: u32 = 0x8400_0004;
const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;
const PSCI_FEATURES: u32 = 0x8400_000a;
const SYSTEM_RESET2: u32 = 0x8400_0012;
const SMCCC_VERSION: u32 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
const TRNG_VERSION: u32 = 0x8400_0050;
const TRNG_FEATURES: u32 = 0x8400_0051;
const TRNG_GET_UUID: u32 = 0x8400_0052;
const TRNG_RND: u32 = 0x8400_0053;
const PV_TIME_FEATURES: u32 = 0xc500_0020;
const PV_TIME_ST: u32 = 0xc500_0021;
/// The bit that tells the 64-bit form of a function from the 32-bit one.
const SMC64: u32 = 1 << 30;

/// TRNG 1.0, in the form of PSCI_VERSION.
const VERSION_1_0: u64 = 0x1_0000;
const VERSION_1_1: u64 = 0x1_0001;
const NOT_SUPPORTED: u64 = Status::NotSupported as i64 as u64;
/// TRNG_INVALID_PARAMETERS
const TRNG_INVALID: u64 = -2i64 as u64;
/// Names our entropy source to guests.
const TRNG_UUID: [u64; 4] = [0x6a69_6274, 0x726e_6701, 0x9000_0001, 0x0000_0001];

/// Answers a firmware call of CPU `cpu` with `regs` in x0 to x3 (x0 is the function).
pub fn call(power: &dyn Power, cpu: usize, regs: [u64; 4]) -> Outcome {
    let function = regs[0] as u32;
    let wide = function & SMC64 != 0;
    let arg = regs.map(|reg| if wide { reg } else { reg & 0xffff_ffff });
    match function {
        CPU_SUSPEND | 0xc400_0001 => suspend(arg),
        CPU_OFF => Outcome::Off,
        CPU_ON | 0xc400_0003 => one(power.cpu_on(arg[1], arg[2], arg[3]).bits()),
        AFFINITY_INFO | 0xc400_0004 => one(affinity_info(power, arg[1], arg[2])),
        SYSTEM_OFF => Outcome::SystemOff,
        SYSTEM_RESET | SYSTEM_RESET2 | 0xc400_0012 => Outcome::SystemReset,
        TRNG_RND | 0xc400_0053 => random(power, arg[1], if wide { 192 } else { 96 }),
        TRNG_GET_UUID => Outcome::Return(TRNG_UUID),
        PV_TIME_ST => one(power.stolen_time(cpu).unwrap_or(NOT_SUPPORTED)),
        _ => one(query(power, cpu, function, arg[1])),
    }
}

/// The calls that only tell something.
fn query(power: &dyn Power, cpu: usize, function: u32, arg: u64) -> u64 {
    let supported = |yes: bool| if yes { 0 } else { NOT_SUPPORTED };
    match function {
        PSCI_VERSION | SMCCC_VERSION => VERSION_1_1,
        // No trusted OS, so nothing to migrate.
        MIGRATE_INFO_TYPE => 2,
        PSCI_FEATURES => supported(is_psci(arg as u32)),
        // No firmware workarounds to offer: these CPUs need none.
        SMCCC_ARCH_FEATURES => match arg as u32 {
            SMCCC_VERSION | SMCCC_ARCH_FEATURES => 0,
            PV_TIME_FEATURES => supported(power.stolen_time(cpu).is_some()),
            _ => NOT_SUPPORTED,
        },
        TRNG_VERSION => VERSION_1_0,
        TRNG_FEATURES => supported(matches!(arg as u32 & !SMC64, TRNG_VERSION..=TRNG_RND)),
        PV_TIME_FEATURES => {
            let known = matches!(arg as u32, PV_TIME_FEATURES | PV_TIME_ST);
            supported(known && power.stolen_time(cpu).is_some())
        }
        _ => NOT_SUPPORTED,
    }
}

/// What PSCI_FEATURES knows of.
fn is_psci(function: u32) -> bool {
    match function {
        PSCI_VERSION | CPU_OFF | MIGRATE_INFO_TYPE | SYSTEM_OFF | SYSTEM_RESET | PSCI_FEATURES | SMCCC_VERSION => true,
        _ => matches!(function & !SMC64, CPU_SUSPEND | CPU_ON | AFFINITY_INFO | SYSTEM_RESET2),
    }
}

fn one(value: u64) -> Outcome {
    Outcome::Return([value, 0, 0, 0])
}

/// CPU_SUSPEND: bit 16 of the power state tells power-down from standby (original format).
fn suspend(arg: [u64; 4]) -> Outcome {
    match arg[1] & (1 << 16) {
        0 => Outcome::Standby,
        _ => Outcome::Suspend { entry: arg[2], context: arg[3] },
    }
}

fn affinity_info(power: &dyn Power, target: u64, level: u64) -> u64 {
    match level {
        0..=3 => power.affinity(target, level).map_or(Status::InvalidParameters.bits(), |state| state as u64),
        _ => Status::InvalidParameters.bits(),
    }
}

/// TRNG_RND: `bits` of entropy, right-aligned, x3 holding the lowest.
fn random(power: &dyn Power, bits: u64, most: u64) -> Outcome {
    if bits == 0 || bits > most {
        return one(TRNG_INVALID);
    }
    let word = most / 3;
    let register = |index: u64| {
        let wanted = bits.saturating_sub(index * word).min(word);
        match wanted {
            0 => 0,
            64 => power.entropy(),
            n => power.entropy() & ((1 << n) - 1),
        }
    };
    Outcome::Return([0, register(2), register(1), register(0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    struct Two;
    impl Power for Two {
        fn cpu_on(&self, target: u64, entry: u64, context: u64) -> Status {
            match (target, entry, context) {
                (1, 0x4000_0000, 0x77) => Status::Success,
                (0, ..) => Status::AlreadyOn,
                _ => Status::InvalidParameters,
            }
        }
        fn affinity(&self, target: u64, _level: u64) -> Option<Affinity> {
            (target < 2).then_some(if target == 0 { Affinity::On } else { Affinity::Off })
        }
        fn entropy(&self) -> u64 {
            u64::MAX
        }
        fn stolen_time(&self, cpu: usize) -> Option<u64> {
            (cpu == 1).then_some(0x1000)
        }
    }

    fn x0(regs: [u64; 4]) -> u64 {
        match call(&Two, 1, regs) {
            Outcome::Return(r) => r[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_linux_asks_for() {
        assert_eq!(x0([0x8400_0000, 0, 0, 0]), 0x1_0001);
        assert_eq!(x0([0x8400_0006, 0, 0, 0]), 2);
        for f in [0x8000_0000, 0xc400_0001, 0xc400_0012, 0x8400_0003, 0xc400_0003] {
            assert_eq!(x0([0x8400_000a, f, 0, 0]), 0, "{f:x}");
        }
        assert_eq!(x0([0x8400_000a, 0xc400_000e, 0, 0]), NOT_SUPPORTED, "SYSTEM_SUSPEND");
        assert_eq!(x0([0x8000_0000, 0, 0, 0]), 0x1_0001);
        assert_eq!(x0([0x8000_0001, 0x8000_8000, 0, 0]), NOT_SUPPORTED);
        assert_eq!(x0([0x8600_ff01, 0, 0, 0]), NOT_SUPPORTED);
        assert_eq!(x0([0x8400_0050, 0, 0, 0]), 0x1_0000);
        assert_eq!(x0([0xc500_0020, 0xc500_0021, 0, 0]), 0);
        assert_eq!(x0([0xc500_0021, 0, 0, 0]), 0x1000);
        assert_eq!(call(&Two, 0, [0xc500_0021, 0, 0, 0]), one(NOT_SUPPORTED));
    }

    #[test]
    fn power_states() {
        assert_eq!(x0([0xc400_0003, 1, 0x4000_0000, 0x77]), 0);
        assert_eq!(x0([0x8400_0003, 0xf_0000_0001, 0xf_4000_0000, 0x77]), 0, "32-bit arguments are truncated");
        assert_eq!(x0([0xc400_0003, 0, 0, 0]), -4i64 as u64);
        assert_eq!(x0([0xc400_0003, 9, 0, 0]), -2i64 as u64);
        assert_eq!(x0([0xc400_0004, 1, 0, 0]), 1);
        assert_eq!(x0([0xc400_0004, 2, 0, 0]), -2i64 as u64);
        assert_eq!(x0([0xc400_0004, 0, 4, 0]), -2i64 as u64);
        assert_eq!(call(&Two, 0, [0x8400_0002, 0, 0, 0]), Outcome::Off);
        assert_eq!(call(&Two, 0, [0x8400_0008, 0, 0, 0]), Outcome::SystemOff);
        assert_eq!(call(&Two, 0, [0x8400_0009, 0, 0, 0]), Outcome::SystemReset);
        assert_eq!(call(&Two, 0, [0xc400_0001, 0, 0, 0]), Outcome::Standby);
        let down = Outcome::Suspend { entry: 0x4000_0000, context: 5 };
        assert_eq!(call(&Two, 0, [0xc400_0001, 1 << 16, 0x4000_0000, 5]), down);
    }

    #[test]
    fn entropy_comes_in_the_asked_amount() {
        assert_eq!(call(&Two, 0, [0xc400_0053, 192, 0, 0]), Outcome::Return([0, u64::MAX, u64::MAX, u64::MAX]));
        assert_eq!(call(&Two, 0, [0xc400_0053, 65, 0, 0]), Outcome::Return([0, 0, 1, u64::MAX]));
        assert_eq!(call(&Two, 0, [0x8400_0053, 33, 0, 0]), Outcome::Return([0, 0, 1, 0xffff_ffff]));
        assert_eq!(x0([0x8400_0053, 97, 0, 0]), TRNG_INVALID);
        assert_eq!(x0([0xc400_0053, 0, 0, 0]), TRNG_INVALID);
    }

    #[test]
    fn any_call_is_answered() {
        let mut rng = Rng::new(1);
        for _ in 0..100_000 {
            let function = match rng.below(3) {
                0 => 0x8000_0000 | rng.below(0x60) | (rng.below(2) << 30) | (rng.below(8) << 24),
                _ => rng.next(),
            };
            call(&Two, rng.below(3) as usize, [function, rng.value(), rng.value(), rng.value()]);
        }
    }
}
