//! Signal calls that are not passed through: dispositions, masks, alternate stacks, returning.

use super::{Answer, Args, copy_in, copy_out, word_in};
use crate::host::Errno;
use crate::run::Ended;
use crate::signal::action::Action;
use crate::signal::{AltStack, NSIG, UNBLOCKABLE, bit};
use crate::thread::Thread;

/// Bytes of a signal set.
const SET_SIZE: u64 = 8;

pub(crate) fn rt_sigaction(t: &mut Thread, a: &Args) -> Answer {
    let signal = a[0] as i32;
    let valid = (1..=NSIG as i32).contains(&signal) && a[3] == SET_SIZE;
    if !valid || a[1] != 0 && bit(signal) & UNBLOCKABLE != 0 {
        return Err(Errno(libc::EINVAL));
    }
    let old = if a[1] == 0 {
        t.actions.get(signal)
    } else {
        let mut action = Action::from_bytes(&copy_in(a[1])?);
        action.mask &= !UNBLOCKABLE;
        t.actions.set(signal, action)
    };
    if a[2] != 0 {
        copy_out(a[2], &old.to_bytes())?;
    }
    Ok(0)
}

pub(crate) fn rt_sigprocmask(t: &mut Thread, a: &Args) -> Answer {
    if a[3] != SET_SIZE {
        return Err(Errno(libc::EINVAL));
    }
    let old = t.context.mask();
    if a[1] != 0 {
        let set = word_in(a[1])?;
        let new = match a[0] as i32 {
            libc::SIG_BLOCK => old | set,
            libc::SIG_UNBLOCK => old & !set,
            libc::SIG_SETMASK => set,
            _ => return Err(Errno(libc::EINVAL)),
        };
        t.context.set_mask(new);
    }
    if a[2] != 0 {
        copy_out(a[2], &old.to_le_bytes())?;
    }
    Ok(0)
}

pub(crate) fn rt_sigpending(t: &mut Thread, a: &Args) -> Answer {
    if a[1] > SET_SIZE {
        return Err(Errno(libc::EINVAL));
    }
    copy_out(a[0], &t.context.queued().to_le_bytes()[..a[1] as usize])?;
    Ok(0)
}

pub(crate) fn sigaltstack(t: &mut Thread, a: &Args) -> Answer {
    let sp = t.vcpu.state.x(31);
    let old = t.alt.to_bytes(sp);
    if a[0] != 0 {
        let new = AltStack::from_bytes(&copy_in(a[0])?);
        if t.alt.holds(sp) {
            return Err(Errno(libc::EPERM));
        }
        t.alt = new.map_err(Errno)?;
    }
    if a[1] != 0 {
        copy_out(a[1], &old)?;
    }
    Ok(0)
}

pub(crate) fn rt_sigreturn(t: &mut Thread, _: &Args) -> Option<Ended> {
    t.signal_return()
}

/// Only the kernel itself sets up what this would continue.
pub(crate) fn restart_syscall(_: &mut Thread, _: &Args) -> Answer {
    Err(Errno(libc::EINTR))
}
