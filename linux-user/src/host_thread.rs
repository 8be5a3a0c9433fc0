//! Host threads for guest threads, made by the C library directly: `std::thread` would ask it for each one's stack and
//! give it a signal stack, and has no way to tell the id of a thread before that runs.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use crate::host::Errno;

/// What a new thread does.
type Body = Box<dyn FnOnce() + Send>;

/// A thread that has been made. It lives on by itself when this is dropped.
pub(crate) struct HostThread(libc::pthread_t);

impl HostThread {
    /// Makes a thread with `stack` bytes of stack that runs `body`. It inherits the caller's signal mask.
    pub(crate) fn spawn(stack: usize, body: Body) -> Result<HostThread, Errno> {
        let arg = Box::into_raw(Box::new(body));
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: the attributes are initialised before they are used and destroyed once; `arg` is what `main` expects.
        let error = unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
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
        Ok(HostThread(unsafe { thread.assume_init() }))
    }

    /// Its kernel thread id; `None` if it has already ended.
    pub(crate) fn id(&self) -> Option<i32> {
        let mut clock = 0;
        // SAFETY: the thread has been neither detached nor joined, so the C library still knows it.
        let error = unsafe { libc::pthread_getcpuclockid(self.0, &mut clock) };
        // The kernel's name of a thread's processor clock is its id, inverted, above three bits of kind.
        (error == 0).then_some(!(clock >> 3))
    }
}

impl Drop for HostThread {
    fn drop(&mut self) {
        // SAFETY: the thread has been neither detached nor joined.
        unsafe { libc::pthread_detach(self.0) };
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

    #[test]
    fn a_thread_has_the_id_that_is_told() {
        let (send, received) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let body = move || {
            wait.recv().expect("go");
            send.send(crate::host::gettid()).expect("told");
        };
        let thread = HostThread::spawn(1 << 20, Box::new(body)).expect("a thread");
        let id = thread.id().expect("it waits");
        go.send(()).expect("it waits");
        assert_eq!(received.recv().expect("told"), id);
        assert_ne!(id, crate::host::gettid());
        let ended = || {
            (0..1000).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                thread.id().is_none()
            })
        };
        assert!(ended(), "an ended thread has no id");
    }

    #[test]
    fn what_cannot_be_made_is_an_error() {
        let alive = std::sync::Arc::new(());
        let held = alive.clone();
        assert!(HostThread::spawn(1 << 60, Box::new(move || drop(held))).is_err());
        assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    }
}
