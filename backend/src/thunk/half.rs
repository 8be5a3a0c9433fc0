//! Half precision by the host's conversions, which report what Arm's do but for tininess (see `lower::float_check`).

use std::arch::x86_64::*;

use crate::abi::HostFeatures;

/// Address of the function that widens the four low halves to singles, if the host has one.
pub(crate) fn widen(host: &HostFeatures) -> Option<usize> {
    #[target_feature(enable = "f16c")]
    extern "sysv64" fn f(a: __m128i) -> __m128i {
        _mm_castps_si128(_mm_cvtph_ps(a))
    }
    host.f16c.then_some(f as *const () as usize)
}

/// Address of the function that rounds four singles to halves, to nearest, with zeroes above, if the host has one.
pub(crate) fn narrow(host: &HostFeatures) -> Option<usize> {
    #[target_feature(enable = "f16c")]
    extern "sysv64" fn f(a: __m128i) -> __m128i {
        _mm_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT }>(_mm_castsi128_ps(a))
    }
    host.f16c.then_some(f as *const () as usize)
}
