//! Words that compiled code and the runtime exchange.

use super::*;

#[test]
fn all_forms_of_flags_are_resolved_alike() {
    use FlagsKind::{Add32, Add64, Logic32, Logic64, Packed, Sub32, Sub64};
    let numbers = [0, 1, 7, 0x7fff_ffff, 0x8000_0000, u64::from(u32::MAX), 1 << 63, u64::MAX];
    for kind in [Packed, Add32, Add64, Sub32, Sub64, Logic32, Logic64] {
        for (a, b) in numbers.iter().flat_map(|a| [0, 1, 7, 0xf_ffff, u64::MAX].map(|b| (*a, b))) {
            let narrow = matches!(kind, Add32 | Sub32 | Logic32);
            let (kind, junk) = (kind as u64, 0x5555_5555_5555_5555);
            let above = kind | u64::from(FIRST_ABOVE) | (a & 0xffff_ffff) << 32;
            let inside = u64::from(SECOND_INSIDE) | (b & 0xf_ffff) << 10;
            let mut forms = vec![[kind, a, b]];
            if kind != 0 && b < jib_ir::state::INSIDE {
                forms.push([kind | inside, a, junk]);
                forms.extend(narrow.then_some([above | inside, junk, junk]));
            }
            forms.extend(narrow.then_some([above, b, junk]));
            for words in forms {
                let mut state = State::default();
                let at = slot::FLAGS.0 as usize;
                state.0[at..at + 3].copy_from_slice(&words);
                let by_stub: u64;
                // SAFETY: the stub reads three words and changes these registers only.
                unsafe {
                    std::arch::asm!(
                        "call {stub}",
                        stub = sym jib_flags,
                        inout("rax") words.as_ptr() as u64 => by_stub,
                        out("rcx") _,
                        out("rdx") _,
                    );
                }
                let want = resolve_flags([kind, a, b]);
                assert_eq!((resolve_flags(words), state.nzcv(), by_stub as u32), (want, want, want), "{words:x?}");
            }
        }
    }
}
