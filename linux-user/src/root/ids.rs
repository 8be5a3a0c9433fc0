//! User and group ids of a new user namespace: root inside is the user outside, and if the system
//! has set subordinate ids aside for the user, all others are those.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use super::RootError;
use crate::host::try_call;

/// What is needed once the namespace is there.
pub(super) struct Ids {
    uid: u64,
    gid: u64,
    as_user: bool,
    /// Waits outside for a line, then maps the subordinate ids.
    helper: Option<Child>,
}

/// Maps them from outside, as the set-uid programs of `uidmap` are allowed to: $1 process, $2 and $3
/// user and group, $4 to $7 the first subordinate user and group id and their numbers.
const SCRIPT: &str = "read -r _ && newuidmap $1 0 $2 1 1 $4 $6 && newgidmap $1 0 $3 1 1 $5 $7";

impl Ids {
    /// To be called before the namespace is made.
    pub(super) fn prepare(as_user: bool) -> Ids {
        let id = |nr| try_call(nr, &[]).unwrap_or(0);
        let (uid, gid) = (id(libc::SYS_geteuid), id(libc::SYS_getegid));
        let helper = if as_user { None } else { helper(uid, gid) };
        Ids { uid, gid, as_user, helper }
    }

    /// There is no namespace: nothing to do.
    pub(super) fn forget(mut self) {
        self.stop();
    }

    fn stop(&mut self) -> bool {
        let Some(mut child) = self.helper.take() else { return false };
        // Its input ends: it gives up.
        drop(child.stdin.take());
        child.wait().is_ok_and(|s| s.success())
    }

    /// Maps the ids of the namespace that this process is in now; tells whether there are several.
    pub(super) fn map(mut self) -> Result<bool, RootError> {
        if let Some(child) = &mut self.helper {
            let told = child.stdin.as_mut().is_some_and(|pipe| pipe.write_all(b"\n").is_ok());
            if told && self.stop() {
                return Ok(true);
            }
        }
        let (uid, gid) = if self.as_user { (self.uid, self.gid) } else { (0, 0) };
        // Without this, the kernel lets nobody map a group.
        put("setgroups", "deny")?;
        put("uid_map", &format!("{uid} {} 1", self.uid))?;
        put("gid_map", &format!("{gid} {} 1", self.gid))?;
        Ok(false)
    }
}

fn put(file: &str, text: &str) -> Result<(), RootError> {
    let path = format!("/proc/self/{file}");
    fs::write(&path, text).map_err(|e| RootError::Step(path, e.raw_os_error().unwrap_or(libc::EIO)))
}

/// Starts the helper if the system has subordinate ids for the user.
fn helper(uid: u64, gid: u64) -> Option<Child> {
    let name = user_name(uid);
    let range = |file: &str| range(&fs::read_to_string(file).ok()?, uid, name.as_deref());
    let (users, groups) = (range("/etc/subuid")?, range("/etc/subgid")?);
    let numbers =
        [std::process::id().into(), uid, gid, users.0, groups.0, users.1, groups.1].map(|n: u64| n.to_string());
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).args(numbers);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok()
}

/// The name of a user in `/etc/passwd`.
fn user_name(uid: u64) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let id = uid.to_string();
    let line = passwd.lines().find(|l| l.split(':').nth(2) == Some(&id))?;
    line.split(':').next().map(str::to_string)
}

/// First id and number of the first range that belongs to the user: `user:first:number`.
fn range(text: &str, uid: u64, name: Option<&str>) -> Option<(u64, u64)> {
    let id = uid.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (first, number) = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        (owner == id || Some(owner) == name).then_some((first, number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_found_by_name_and_number() {
        let text = "# comment\nalice:100000:65536\n1001:200000:1000\nbad:x:y\n";
        assert_eq!(range(text, 1000, Some("alice")), Some((100_000, 65536)));
        assert_eq!(range(text, 1001, None), Some((200_000, 1000)));
        assert_eq!(range(text, 1002, Some("bob")), None);
    }
}
