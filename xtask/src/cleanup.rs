//! What must be undone when a command ends, however it ends.
//!
//! A [`Guard`] holds one undo step (stop a process, remove a directory). It runs when the guard is dropped: at the
//! end of a scope, at an early `?`, at a panic. At SIGINT, SIGTERM and SIGHUP a thread of its own runs all steps
//! that are still held, newest first, and ends the process; the rest of the program is stopped meanwhile by
//! [`wait_if_interrupted`], so that it does not report the deaths of children that we ourselves stop.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Undo = Box<dyn FnOnce() + Send>;

static HELD: Mutex<Vec<(u64, Undo)>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(0);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Where the signal handler writes; the read end belongs to the thread that cleans up.
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);

/// Runs its undo step once: when dropped, or at an ending signal if that comes first.
#[must_use = "the undo step runs when the guard is dropped"]
pub struct Guard(u64);

/// Holds `undo` until the guard is dropped or the command is interrupted.
pub fn guard(undo: impl FnOnce() + Send + 'static) -> Guard {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    held().push((id, Box::new(undo)));
    Guard(id)
}

impl Drop for Guard {
    fn drop(&mut self) {
        let step = {
            let mut held = held();
            held.iter()
                .position(|(id, _)| *id == self.0)
                .map(|at| held.remove(at))
        };
        if let Some((_, undo)) = step {
            undo();
        }
    }
}

/// Whether an ending signal arrived.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Never returns once an ending signal arrived: the cleaning thread ends the process.
pub fn wait_if_interrupted() {
    while interrupted() {
        std::thread::park();
    }
}

/// Waits for Ctrl-C (or another ending signal); the cleaning thread ends the process.
pub fn wait_for_interrupt() -> ! {
    loop {
        std::thread::park();
    }
}

/// From now on, SIGINT, SIGTERM and SIGHUP run the held steps and end the process with 128 + the signal.
pub fn on_signals() {
    let mut ends = [0; 2];
    // SAFETY: `pipe2` fills the two descriptors of the array it is given.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert!(
        made == 0,
        "a pipe for signals: {}",
        std::io::Error::last_os_error()
    );
    SIGNAL_PIPE.store(ends[1], Ordering::SeqCst);
    std::thread::spawn(move || clean_at_signal(ends[0]));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler: extern "C" fn(libc::c_int) = note_signal;
        // SAFETY: `note_signal` only stores to an atomic and calls `write`, both allowed in a signal handler.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

extern "C" fn note_signal(signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::SeqCst);
    let byte = u8::try_from(signal).unwrap_or(0);
    let pipe = SIGNAL_PIPE.load(Ordering::SeqCst);
    // SAFETY: one readable byte, and a descriptor that stays open for the life of the process. A full pipe
    // only means that earlier signals are still unread.
    unsafe { libc::write(pipe, (&raw const byte).cast(), 1) };
}

fn clean_at_signal(pipe: libc::c_int) {
    let mut signal = 0_u8;
    // SAFETY: one writable byte; the call is repeated while it is interrupted.
    while unsafe { libc::read(pipe, (&raw mut signal).cast(), 1) } != 1 {}
    eprintln!("\ninterrupted: stopping what was started …");
    loop {
        // The lock is not held while a step runs: a step may itself drop a guard.
        let Some((_, undo)) = held().pop() else { break };
        undo();
    }
    std::process::exit(128 + i32::from(signal));
}

fn held() -> MutexGuard<'static, Vec<(u64, Undo)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_dropped_guard_runs_its_step_once() {
        let runs = Arc::new(AtomicU64::new(0));
        let seen = runs.clone();
        drop(guard(move || {
            seen.fetch_add(1, Ordering::SeqCst);
        }));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panic_runs_the_steps_that_are_held() {
        let runs = Arc::new(AtomicU64::new(0));
        let seen = runs.clone();
        let ended = std::panic::catch_unwind(move || {
            let _held = guard(move || {
                seen.fetch_add(1, Ordering::SeqCst);
            });
            panic!("on purpose");
        });
        assert!(ended.is_err());
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}
