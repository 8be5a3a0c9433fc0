//! Host threads for guest threads, made by the C library directly: `std::thread` would ask it for each one's stack and
//! give it a signal stack, and has no way to tell the id of a thread before that runs. The C library takes a stack's
//! memory away at each thread's end; a few stacks are kept as they are.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use crate::host::Errno;

/// What a new thread does.
type Body = Box<dyn FnOnce() + Send>;

/// Bytes of a thread's stack: room for compiling the largest region.
pub(crate) const STACK: usize = 8 << 20;
/// Bytes below it that nothing is mapped at.
const GUARD: usize = 4096;
/// Most stacks that outlive their threads. More threads than that have stacks of the C library's.
const MOST: usize = 8;

/// Stacks that wait for another thread, their memory in place: what a new thread touches need not be made anew.
#[derive(Debug, Default)]
pub(crate) struct Stacks {
    all: Vec<Stack>,
}

#[derive(Debug)]
struct Stack {
    /// Lowest address.
    at: usize,
    user: User,
}

/// Who has a stack.
#[derive(Clone, Copy, Debug)]
enum User {
    Nobody,
    /// A thread that is being made.
    Someone,
    /// This thread, which may have ended.
    Thread(libc::pthread_t),
}

/// A stack that was taken for a new thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    index: usize,
    at: usize,
}

impl Stacks {
    /// Takes a stack, if one is free or there are few.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let free = self.all.iter_mut().position(Stack::is_free);
        let index = match free {
            Some(index) => index,
            None if self.all.len() < MOST => {
                self.all.push(Stack { at: map()?, user: User::Nobody });
                self.all.len() - 1
            }
            None => return None,
        };
        let stack = self.all.get_mut(index)?;
        stack.user = User::Someone;
        Some(Taken { index, at: stack.at })
    }

    /// Says which thread got it, if it could be made.
    pub(crate) fn given(&mut self, taken: Taken, thread: Option<&HostThread>) {
        if let Some(stack) = self.all.get_mut(taken.index) {
            stack.user = thread.map_or(User::Nobody, |t| User::Thread(t.thread));
        }
    }
}

impl Stack {
    fn is_free(&mut self) -> bool {
        if let User::Thread(thread) = self.user {
            // SAFETY: the thread was made joinable, and is joined here alone; if that succeeds, never again.
            let joined = unsafe { libc::pthread_tryjoin_np(thread, ptr::null_mut()) } == 0;
            if joined {
                self.user = User::Nobody;
            }
        }
        matches!(self.user, User::Nobody)
    }
}

/// Maps a stack with its guard.
fn map() -> Option<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping, of which the upper part is made accessible.
    unsafe {
        let at = libc::mmap(ptr::null_mut(), GUARD + STACK, libc::PROT_NONE, flags, -1, 0);
        if at == libc::MAP_FAILED {
            return None;
        }
        let stack = at.byte_add(GUARD);
        match libc::mprotect(stack, STACK, libc::PROT_READ | libc::PROT_WRITE) {
            0 => Some(stack as usize),
            _ => {
                libc::munmap(at, GUARD + STACK);
                None
            }
        }
    }
}

/// A thread that has been made. It lives on by itself when this is dropped.
pub(crate) struct HostThread {
    thread: libc::pthread_t,
    /// Somebody waits for its end, for its stack's sake.
    joined: bool,
}

impl HostThread {
    /// Makes a thread that runs `body` on `stack`, or on one of the C library's. It inherits the caller's signal mask.
    pub(crate) fn spawn(stack: Option<Taken>, body: Body) -> Result<HostThread, Errno> {
        let arg = Box::into_raw(Box::new(body));
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: the attributes are initialised before they are used and destroyed once; `arg` is what `main` expects;
        // a stack that was taken is nobody else's until its thread has been joined.
        let error = unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            match stack {
                Some(stack) => libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack.at as *mut c_void, STACK),
                None => libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK),
            };
            let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), main, arg.cast());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            error
        };
        if error != 0 {
            // SAFETY: no thread was made, so the box is still ours.
            drop(unsafe { Box::from_raw(arg) });
            return Err(Errno(error));
        }
        // SAFETY: the call has set it.
        Ok(HostThread { thread: unsafe { thread.assume_init() }, joined: stack.is_some() })
    }

    /// Its kernel thread id; `None` if it has already ended.
    pub(crate) fn id(&self) -> Option<i32> {
        let mut clock = 0;
        // SAFETY: the thread has been neither detached nor joined, so the C library still knows it.
        let error = unsafe { libc::pthread_getcpuclockid(self.thread, &mut clock) };
        // The kernel's name of a thread's processor clock is its id, inverted, above three bits of kind.
        (error == 0).then_some(!(clock >> 3))
    }
}

impl Drop for HostThread {
    fn drop(&mut self) {
        if !self.joined {
            // SAFETY: the thread has been neither detached nor joined.
            unsafe { libc::pthread_detach(self.thread) };
        }
    }
}

extern "C" fn main(arg: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` passes a box and gives it away.
    let body = unsafe { Box::from_raw(arg.cast::<Body>()) };
    body();
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Is it so within a second?
    fn soon(mut is: impl FnMut() -> bool) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            is()
        })
    }

    #[test]
    fn a_thread_has_the_id_that_is_told() {
        let (send, received) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let body = move || {
            wait.recv().expect("go");
            send.send(crate::host::gettid()).expect("told");
        };
        let thread = HostThread::spawn(None, Box::new(body)).expect("a thread");
        let id = thread.id().expect("it waits");
        go.send(()).expect("it waits");
        assert_eq!(received.recv().expect("told"), id);
        assert_ne!(id, crate::host::gettid());
        assert!(soon(|| thread.id().is_none()), "an ended thread has no id");
    }

    #[test]
    fn stacks_serve_one_thread_after_the_other() {
        let mut stacks = Stacks::default();
        let (go, wait) = mpsc::channel::<()>();
        let first = stacks.take().expect("a stack");
        let body = move || {
            let here = 0u8;
            assert!((first.at..first.at + STACK).contains(&(&raw const here as usize)), "it runs there");
            wait.recv().expect("go");
        };
        let thread = HostThread::spawn(Some(first), Box::new(body)).expect("a thread");
        stacks.given(first, Some(&thread));
        drop(thread);
        let second = stacks.take().expect("another one");
        assert_ne!(first.at, second.at, "the first is in use");
        stacks.given(second, None);
        assert_eq!(stacks.take().map(|s| s.at), Some(second.at), "its thread could not be made");
        go.send(()).expect("it waits");
        assert!(soon(|| stacks.take().is_some_and(|s| s.at == first.at)), "its thread has ended");
        let more = std::iter::from_fn(|| stacks.take()).take(2 * MOST).count();
        assert!(more < MOST, "there are few");
    }
}
