//! Rounding floats to integral values without reporting inexactness.

use std::arch::x86_64::*;

use jib_ir::op::Rm;
use jib_ir::softfloat::Fmt;

use crate::abi::HostFeatures;

/// Address of the function that rounds the floats of a vector to integral values without
/// reporting inexactness, if the host has one. The FPU's flags tell only of signalling NaNs afterwards.
pub(crate) fn round(host: &HostFeatures, fmt: Fmt, rm: Rm) -> Option<usize> {
    macro_rules! thunk {
        ($mode:expr) => {{
            #[target_feature(enable = "sse4.1")]
            extern "sysv64" fn pd(a: __m128i) -> __m128i {
                _mm_castpd_si128(_mm_round_pd::<{ $mode | _MM_FROUND_NO_EXC }>(_mm_castsi128_pd(a)))
            }
            #[target_feature(enable = "sse4.1")]
            extern "sysv64" fn ps(a: __m128i) -> __m128i {
                _mm_castps_si128(_mm_round_ps::<{ $mode | _MM_FROUND_NO_EXC }>(_mm_castsi128_ps(a)))
            }
            if fmt == Fmt::D { pd as *const () as usize } else { ps as *const () as usize }
        }};
    }
    if !host.sse41 || fmt == Fmt::H {
        return None;
    }
    match rm {
        Rm::Fpcr | Rm::TieEven => Some(thunk!(_MM_FROUND_TO_NEAREST_INT)),
        Rm::PlusInf => Some(thunk!(_MM_FROUND_TO_POS_INF)),
        Rm::MinusInf => Some(thunk!(_MM_FROUND_TO_NEG_INF)),
        Rm::Zero => Some(thunk!(_MM_FROUND_TO_ZERO)),
        Rm::TieAway | Rm::Odd => None,
    }
}
