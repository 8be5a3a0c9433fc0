//! Out-of-line semantics: one table, called by every executor.

use jib_ir::runtime::{Exit, Helper, Runtime};
use jib_ir::state::State;

macro_rules! helpers {
    ($($(#[$doc:meta])* $id:ident = $f:path;)*) => {
        #[derive(Clone, Copy)]
        #[repr(u16)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "named after instructions")]
        pub(crate) enum Id { $($(#[$doc])* $id),* }
        /// Every helper, by [`Id`].
        pub(crate) static HELPERS: &[Helper] = &[$(Helper { name: stringify!($id), run: $f }),*];
    };
}

helpers! {
    /// The counter CNTVCT_EL0.
    COUNTER = counter;
    /// The counter's frequency CNTFRQ_EL0.
    COUNTER_HZ = counter_hz;
    /// RNDR: 64 random bits; Z tells that there were none.
    RANDOM = random;
}

fn counter(_: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    Ok(rt.counter())
}

fn counter_hz(_: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    Ok(rt.counter_hz())
}

/// Gives the number and sets the flags: NZCV 0000 for success, 0100 for failure.
fn random(state: &mut State, rt: &mut dyn Runtime, _: [u64; 4]) -> Result<u64, Exit> {
    let v = rt.random();
    state.set_nzcv(if v.is_some() { 0 } else { 0x4000_0000 });
    Ok(v.unwrap_or(0))
}
