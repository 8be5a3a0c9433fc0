//! Pretended user and group ids, for a root folder in which only one id exists.
//!
//! There the kernel refuses every change of owner and of user, and a package system cannot work. As
//! `fakeroot` and `proot` do, such changes succeed: a thread has the ids that it asked for, its
//! files belong to whoever it is, and files given away stay where they are. Permissions are the
//! kernel's, which knows one user only.

use std::sync::Arc;

use super::{Answer, Args, copy_out};
use crate::host::{Errno, try_call};
use crate::mem;
use crate::thread::Thread;

/// Real, effective, saved and file system id.
pub(crate) type Four = [u32; 4];

/// What a thread pretends to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// User ids.
    pub uid: Four,
    /// Group ids.
    pub gid: Four,
}

const REAL: usize = 0;
const EFFECTIVE: usize = 1;
const SAVED: usize = 2;
const FILE_SYSTEM: usize = 3;
/// "Leave it as it is."
const KEEP: u32 = u32::MAX;

impl Ids {
    /// From eight numbers, user ids first.
    pub(crate) fn from_array(all: [u32; 8]) -> Ids {
        Ids { uid: std::array::from_fn(|i| all[i]), gid: std::array::from_fn(|i| all[i + 4]) }
    }

    /// As an argument for the jib of the next program, which begins with saved ids as the kernel would.
    pub(crate) fn argument(&self) -> String {
        let after_exec = |f: Four| [f[REAL], f[EFFECTIVE], f[EFFECTIVE], f[EFFECTIVE]];
        let all = [after_exec(self.uid), after_exec(self.gid)].concat();
        all.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    }

    /// The owner that a thread sees where the kernel sees the one id that exists.
    pub(crate) fn seen(&self, uid: u32, gid: u32) -> (u32, u32) {
        (if uid == 0 { self.uid[EFFECTIVE] } else { uid }, if gid == 0 { self.gid[EFFECTIVE] } else { gid })
    }
}

/// Which of the two sets a call is about.
#[derive(Clone, Copy)]
enum Kind {
    User,
    Group,
}

fn four(ids: &mut Ids, kind: Kind) -> &mut Four {
    match kind {
        Kind::User => &mut ids.uid,
        Kind::Group => &mut ids.gid,
    }
}

/// Asks for an id, or passes the call on.
fn get(t: &mut Thread, kind: Kind, which: usize, nr: i64) -> Answer {
    Ok(match &mut t.ids {
        Some(ids) => four(ids, kind)[which] as i64,
        None => t.pass(nr, [0; 6]),
    })
}

pub(crate) fn getuid(t: &mut Thread, _: &Args) -> Answer {
    get(t, Kind::User, REAL, libc::SYS_getuid)
}

pub(crate) fn geteuid(t: &mut Thread, _: &Args) -> Answer {
    get(t, Kind::User, EFFECTIVE, libc::SYS_geteuid)
}

pub(crate) fn getgid(t: &mut Thread, _: &Args) -> Answer {
    get(t, Kind::Group, REAL, libc::SYS_getgid)
}

pub(crate) fn getegid(t: &mut Thread, _: &Args) -> Answer {
    get(t, Kind::Group, EFFECTIVE, libc::SYS_getegid)
}

fn get_three(t: &mut Thread, kind: Kind, nr: i64, a: &Args) -> Answer {
    let Some(ids) = &mut t.ids else { return Ok(t.pass(nr, *a)) };
    let ids = *four(ids, kind);
    for (addr, id) in a.iter().zip(&ids[..3]) {
        copy_out(*addr, &id.to_le_bytes())?;
    }
    Ok(0)
}

pub(crate) fn getresuid(t: &mut Thread, a: &Args) -> Answer {
    get_three(t, Kind::User, libc::SYS_getresuid, a)
}

pub(crate) fn getresgid(t: &mut Thread, a: &Args) -> Answer {
    get_three(t, Kind::Group, libc::SYS_getresgid, a)
}

/// Changes ids by `change`, which gets the old ones and whether everything is allowed.
fn set(t: &mut Thread, kind: Kind, nr: i64, a: &Args, change: impl Fn(Four, bool) -> Result<Four, Errno>) -> Answer {
    let Some(ids) = &mut t.ids else { return Ok(t.pass(nr, *a)) };
    let mighty = ids.uid[EFFECTIVE] == 0;
    let own = four(ids, kind);
    *own = change(*own, mighty)?;
    Ok(0)
}

/// `setuid`: everything for root, the effective id for others; -1 is nobody's id.
fn set_one(old: Four, mighty: bool, id: u32) -> Result<Four, Errno> {
    match mighty {
        _ if id == KEEP => Err(Errno(libc::EINVAL)),
        true => Ok([id; 4]),
        false if id == old[REAL] || id == old[SAVED] => Ok([old[REAL], id, old[SAVED], id]),
        false => Err(Errno(libc::EPERM)),
    }
}

/// `setreuid`
fn set_two(old: Four, mighty: bool, real: u32, effective: u32) -> Result<Four, Errno> {
    let real_fits = [KEEP, old[REAL], old[EFFECTIVE]].contains(&real);
    let effective_fits = [KEEP, old[REAL], old[EFFECTIVE], old[SAVED]].contains(&effective);
    if !(mighty || real_fits && effective_fits) {
        return Err(Errno(libc::EPERM));
    }
    let kept = |new: u32, old: u32| if new == KEEP { old } else { new };
    let new = [kept(real, old[REAL]), kept(effective, old[EFFECTIVE])];
    let saves = real != KEEP || effective != KEEP && effective != old[REAL];
    Ok([new[0], new[1], if saves { new[1] } else { old[SAVED] }, new[1]])
}

/// `setresuid`
fn set_three(old: Four, mighty: bool, new: [u32; 3]) -> Result<Four, Errno> {
    if !mighty && !new.iter().all(|id| *id == KEEP || old[..3].contains(id)) {
        return Err(Errno(libc::EPERM));
    }
    let [r, e, s] = std::array::from_fn(|i| if new[i] == KEEP { old[i] } else { new[i] });
    Ok([r, e, s, e])
}

/// `setfsuid`, which asks by -1 for an id that nobody has.
fn set_last(old: Four, mighty: bool, id: u32) -> Four {
    let [r, e, s, _] = old;
    if id != KEEP && (mighty || old.contains(&id)) { [r, e, s, id] } else { old }
}

pub(crate) fn setuid(t: &mut Thread, a: &Args) -> Answer {
    set(t, Kind::User, libc::SYS_setuid, a, |old, mighty| set_one(old, mighty, a[0] as u32))
}

pub(crate) fn setgid(t: &mut Thread, a: &Args) -> Answer {
    set(t, Kind::Group, libc::SYS_setgid, a, |old, mighty| set_one(old, mighty, a[0] as u32))
}

pub(crate) fn setreuid(t: &mut Thread, a: &Args) -> Answer {
    set(t, Kind::User, libc::SYS_setreuid, a, |old, mighty| set_two(old, mighty, a[0] as u32, a[1] as u32))
}

pub(crate) fn setregid(t: &mut Thread, a: &Args) -> Answer {
    set(t, Kind::Group, libc::SYS_setregid, a, |old, mighty| set_two(old, mighty, a[0] as u32, a[1] as u32))
}

pub(crate) fn setresuid(t: &mut Thread, a: &Args) -> Answer {
    let new = [a[0] as u32, a[1] as u32, a[2] as u32];
    set(t, Kind::User, libc::SYS_setresuid, a, |old, mighty| set_three(old, mighty, new))
}

pub(crate) fn setresgid(t: &mut Thread, a: &Args) -> Answer {
    let new = [a[0] as u32, a[1] as u32, a[2] as u32];
    set(t, Kind::Group, libc::SYS_setresgid, a, |old, mighty| set_three(old, mighty, new))
}

/// `setfsuid` answers with the old id and never fails.
fn set_file_system(t: &mut Thread, kind: Kind, nr: i64, a: &Args) -> Answer {
    let Some(ids) = &mut t.ids else { return Ok(t.pass(nr, *a)) };
    let mighty = ids.uid[EFFECTIVE] == 0;
    let own = four(ids, kind);
    let old = *own;
    *own = set_last(old, mighty, a[0] as u32);
    Ok(old[FILE_SYSTEM] as i64)
}

pub(crate) fn setfsuid(t: &mut Thread, a: &Args) -> Answer {
    set_file_system(t, Kind::User, libc::SYS_setfsuid, a)
}

pub(crate) fn setfsgid(t: &mut Thread, a: &Args) -> Answer {
    set_file_system(t, Kind::Group, libc::SYS_setfsgid, a)
}

/// Supplementary groups that a thread pretends to have; `None`: those of the kernel.
pub(crate) type Groups = Option<Arc<[u32]>>;

/// `NGROUPS_MAX`
const MOST_GROUPS: u32 = 65536;

pub(crate) fn setgroups(t: &mut Thread, a: &Args) -> Answer {
    match t.ids {
        Some(ids) if ids.uid[EFFECTIVE] == 0 => {
            let n = a[0] as u32;
            if n > MOST_GROUPS {
                return Err(Errno(libc::EINVAL));
            }
            let mut bytes = vec![0; 4 * n as usize];
            mem::read(a[1], &mut bytes).map_err(|_| Errno(libc::EFAULT))?;
            let mut groups: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|id| u32::from_le_bytes(*id)).collect();
            if groups.contains(&KEEP) {
                return Err(Errno(libc::EINVAL));
            }
            // As the kernel keeps them.
            groups.sort_unstable();
            t.groups = Some(groups.into());
            Ok(0)
        }
        _ => Ok(t.pass(libc::SYS_setgroups, *a)),
    }
}

pub(crate) fn getgroups(t: &mut Thread, a: &Args) -> Answer {
    let Some(groups) = &t.groups else { return Ok(t.pass(libc::SYS_getgroups, *a)) };
    let room = a[0] as i32;
    if room < 0 || room > 0 && (room as usize) < groups.len() {
        return Err(Errno(libc::EINVAL));
    }
    if room > 0 {
        copy_out(a[1], &groups.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    Ok(groups.len() as i64)
}

/// Them as an argument for the jib of the next program, after the ids: their number, and each.
pub(crate) fn groups_argument(groups: &Groups) -> String {
    let Some(groups) = groups else { return String::new() };
    let all = [groups.len() as u32].into_iter().chain(groups.iter().copied());
    all.map(|id| format!(",{id}")).collect()
}

/// What became of a change of owner: one to an id that does not exist succeeds.
fn given(t: &Thread, result: i64) -> i64 {
    let refused = [Errno(libc::EINVAL).raw(), Errno(libc::EPERM).raw()].contains(&result);
    if refused && t.ids.is_some_and(|ids| ids.uid[EFFECTIVE] == 0) { 0 } else { result }
}

pub(crate) fn fchownat(t: &mut Thread, a: &Args) -> Answer {
    let result = super::path::pass(t, libc::SYS_fchownat, *a, 1)?;
    Ok(given(t, result))
}

pub(crate) fn fchown(t: &mut Thread, a: &Args) -> Answer {
    let result = t.pass(libc::SYS_fchown, *a);
    Ok(given(t, result))
}

/// Offset of `stx_uid` and `stx_gid` in `struct statx`.
const STATX_UID: u64 = 20;

pub(crate) fn statx(t: &mut Thread, a: &Args) -> Answer {
    super::file::not_ours_itself(t, a[0], a[2])?;
    let result = super::path::pass(t, libc::SYS_statx, *a, 1)?;
    if let (0, Some(ids)) = (result, t.ids) {
        let both: [u8; 8] = super::copy_in(a[4] + STATX_UID)?;
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| both[at + i]));
        let (uid, gid) = ids.seen(word(0), word(4));
        copy_out(a[4] + STATX_UID, &[uid.to_le_bytes(), gid.to_le_bytes()].concat())?;
    }
    Ok(result)
}

/// The ids that the auxiliary vector of a new program speaks of: real and effective user, then group.
pub(crate) fn of_program(ids: Option<Ids>) -> [u64; 4] {
    let real = |nr| try_call(nr, &[]).unwrap_or(0);
    match ids {
        Some(ids) => [ids.uid[REAL], ids.uid[EFFECTIVE], ids.gid[REAL], ids.gid[EFFECTIVE]].map(u64::from),
        None => [libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid].map(real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_may_become_anybody_and_others_only_who_they_were() {
        let refused = Err(Errno(libc::EPERM));
        assert_eq!(set_one([0; 4], true, 7), Ok([7; 4]));
        assert_eq!(set_one([7; 4], false, 0), refused);
        assert_eq!(set_three([0; 4], true, [KEEP, 7, KEEP]), Ok([0, 7, 0, 7]));
        // ... and back, since the real id is root's.
        assert_eq!(set_three([0, 7, 0, 7], false, [KEEP, 0, KEEP]), Ok([0; 4]));
        assert_eq!(set_two([0; 4], true, 5, 6), Ok([5, 6, 6, 6]));
        assert_eq!(set_two([5, 6, 6, 6], false, 6, 5), Ok([6, 5, 5, 5]));
        assert_eq!(set_two([5; 4], false, KEEP, 6), refused);
        assert_eq!(set_last([5, 6, 7, 6], false, 7), [5, 6, 7, 7]);
        assert_eq!(set_last([5, 6, 7, 6], false, 0), [5, 6, 7, 6]);
    }

    #[test]
    fn nobody_has_the_id_that_means_none() {
        assert_eq!(set_one([0; 4], true, KEEP), Err(Errno(libc::EINVAL)));
        assert_eq!(set_last([0; 4], true, KEEP), [0; 4]);
    }

    #[test]
    fn the_next_program_learns_them() {
        assert_eq!(groups_argument(&None), "");
        assert_eq!(groups_argument(&Some(Arc::new([]))), ",0");
        assert_eq!(groups_argument(&Some(Arc::new([4, 20]))), ",2,4,20");
        let ids = Ids { uid: [1, 2, 3, 4], gid: [5; 4] };
        assert_eq!(ids.argument(), "1,2,2,2,5,5,5,5");
        assert_eq!(ids.seen(0, 9), (2, 9));
    }
}
