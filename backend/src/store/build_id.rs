//! The linker's fingerprint of the running program: kept code calls its functions.
#![allow(unsafe_code, reason = "walks the program headers as the C library gives them")]

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

/// Type of the note (gABI; GNU extension `NT_GNU_BUILD_ID`).
const BUILD_ID: u32 = 3;

/// The build id of the program itself; `None` if it was linked without.
pub(super) fn get() -> Option<&'static [u8]> {
    static ID: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    ID.get_or_init(|| {
        let mut id: Option<Vec<u8>> = None;
        // SAFETY: `first` is called with the pointer to `id`, which outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut id).cast()) };
        id
    })
    .as_deref()
}

/// Looks at the first object, which is the program.
unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, id: *mut c_void) -> c_int {
    // SAFETY: the C library passes a valid description of a loaded object; `get` passed the place.
    let (info, id) = unsafe { (&*info, &mut *id.cast::<Option<Vec<u8>>>()) };
    // SAFETY: as above, there are that many headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
    *id = headers.iter().filter(|h| h.p_type == libc::PT_NOTE).find_map(|h| {
        // SAFETY: notes lie in a segment that is loaded for as long as the program runs.
        let notes =
            unsafe { std::slice::from_raw_parts((info.dlpi_addr + h.p_vaddr) as *const u8, h.p_memsz as usize) };
        find(notes)
    });
    1
}

/// The build id among `notes`.
fn find(mut notes: &[u8]) -> Option<Vec<u8>> {
    loop {
        let word = |n: usize| Some(u32::from_le_bytes(notes.get(4 * n..4 * n + 4)?.try_into().ok()?));
        let (name_len, len, kind) = (word(0)? as usize, word(1)? as usize, word(2)?);
        let name = notes.get(12..12 + name_len)?;
        let start = 12 + name_len.next_multiple_of(4);
        let contents = notes.get(start..start + len)?;
        if kind == BUILD_ID && name == b"GNU\0" {
            return Some(contents.to_vec());
        }
        notes = notes.get(start + len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_one() {
        assert!(get().is_some_and(|id| id.len() >= 8));
    }

    #[test]
    fn other_notes_are_passed_over_and_broken_ones_end_the_search() {
        let note = |kind: u32, name: &[u8; 4], body: &[u8]| {
            let mut n: Vec<u8> = [4, body.len() as u32, kind].iter().flat_map(|w| w.to_le_bytes()).collect();
            n.extend_from_slice(name);
            n.extend_from_slice(body);
            n.resize(n.len().next_multiple_of(4), 0);
            n
        };
        let both = [note(1, b"GNU\0", &[9; 5]), note(BUILD_ID, b"GNU\0", &[1, 2, 3])].concat();
        assert_eq!(find(&both), Some(vec![1, 2, 3]));
        assert_eq!(find(&both[..both.len() - 4]), None);
        assert_eq!(find(&note(BUILD_ID, b"XYZ\0", &[1])), None);
    }
}
