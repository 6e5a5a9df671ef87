//! Which sockets became ready: the kernel's epoll on Linux, the crate `polling` elsewhere (kqueue).
//!
//! Both report edges, so a socket is registered once and never again. On Linux we call the kernel ourselves, because `polling`
//! does not ask for the mark that a peer has closed its side (without it each message would cost a second receive that finds
//! nothing) and spends four more system calls per wait on its timer and its notifier.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// Readiness of one socket.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The key it was added with.
    pub key: u64,
    /// There may be something to receive or accept.
    pub readable: bool,
    /// There may be room to send.
    pub writable: bool,
    /// The peer may have closed its side: a short receive is then no proof that nothing is left.
    pub may_have_ended: bool,
}

/// The key under which the waker reports. No socket has it.
pub const WAKER: u64 = u64::MAX;

/// Most sockets reported by one wait; the others are reported by the next one.
const READY_MAX: usize = 1024;

/// Waits for readiness.
pub enum Readiness {
    /// The kernel's epoll.
    #[cfg(target_os = "linux")]
    Kernel(kernel::Kernel),
    /// Whatever `polling` uses on this system.
    Portable(portable::Portable),
}

impl Readiness {
    /// The best this system has.
    pub fn new() -> io::Result<Readiness> {
        #[cfg(target_os = "linux")]
        return Ok(Readiness::Kernel(kernel::Kernel::new()?));
        #[cfg(not(target_os = "linux"))]
        Readiness::portable()
    }

    /// What works on all systems.
    pub fn portable() -> io::Result<Readiness> {
        Ok(Readiness::Portable(portable::Portable::new()?))
    }

    /// Reports edges of a socket from now on, the present state included.
    pub fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Readiness::Kernel(kernel) => kernel.add(fd, key),
            Readiness::Portable(portable) => portable.add(fd, key),
        }
    }

    /// Reports nothing more of a socket that stays open.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        match self {
            #[cfg(target_os = "linux")]
            Readiness::Kernel(kernel) => kernel.remove(fd),
            Readiness::Portable(portable) => portable.remove(fd),
        }
    }

    /// A socket is about to be closed. Whether that took a system call.
    pub fn before_close(&self, fd: BorrowedFd<'_>) -> bool {
        match self {
            // The kernel forgets a socket that is closed.
            #[cfg(target_os = "linux")]
            Readiness::Kernel(_) => false,
            Readiness::Portable(portable) => {
                portable.remove(fd);
                true
            }
        }
    }

    /// Waits until something is ready or woken, at most for `timeout`, and puts it into `ready`.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let result = match self {
            #[cfg(target_os = "linux")]
            Readiness::Kernel(kernel) => kernel.wait(timeout, ready),
            Readiness::Portable(portable) => portable.wait(timeout, ready),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// What makes a wait of this return from another thread.
    pub fn waker(&self) -> Arc<dyn super::Wake> {
        match self {
            #[cfg(target_os = "linux")]
            Readiness::Kernel(kernel) => kernel.waker(),
            Readiness::Portable(portable) => portable.waker(),
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::super::Wake;
    use super::{READY_MAX, Ready, WAKER};
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::ptr;
    use std::sync::Arc;
    use std::time::Duration;

    /// Edges both ways; `EPOLLRDHUP` marks that the peer has closed its side.
    const INTEREST: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
    const ENDED: i32 = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;

    pub struct Kernel {
        epoll: OwnedFd,
        waker: Arc<EventFd>,
        reported: Vec<libc::epoll_event>,
    }

    struct EventFd(OwnedFd);

    impl Wake for EventFd {
        fn wake(&self) {
            let one = 1u64;
            // Each write is an edge, so nobody ever needs to read the counter; 2^64 wakes do not happen.
            // SAFETY: writes 8 bytes from a live u64 to a descriptor we own.
            unsafe { libc::write(self.0.as_raw_fd(), ptr::from_ref(&one).cast(), 8) };
        }
    }

    /// Owns what a system call returned.
    fn owned(fd: i32) -> io::Result<OwnedFd> {
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    impl Kernel {
        pub fn new() -> io::Result<Kernel> {
            // SAFETY: plain system calls; the results are checked before they are owned.
            let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
            // SAFETY: as above.
            let event = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
            let kernel = Kernel {
                epoll,
                waker: Arc::new(EventFd(event)),
                reported: Vec::with_capacity(READY_MAX),
            };
            kernel.control(
                libc::EPOLL_CTL_ADD,
                kernel.waker.0.as_fd(),
                libc::EPOLLIN | libc::EPOLLET,
                WAKER,
            )?;
            Ok(kernel)
        }

        fn control(
            &self,
            operation: i32,
            fd: BorrowedFd<'_>,
            interest: i32,
            key: u64,
        ) -> io::Result<()> {
            let mut event = libc::epoll_event {
                events: interest as u32,
                u64: key,
            };
            // SAFETY: both descriptors are open and the event lives during the call.
            let result = unsafe {
                libc::epoll_ctl(
                    self.epoll.as_raw_fd(),
                    operation,
                    fd.as_raw_fd(),
                    &raw mut event,
                )
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        }

        pub fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
            self.control(libc::EPOLL_CTL_ADD, fd, INTEREST, key)
        }

        pub fn remove(&self, fd: BorrowedFd<'_>) {
            // It fails only if the socket was never added.
            let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
        }

        pub fn wait(
            &mut self,
            timeout: Option<Duration>,
            ready: &mut Vec<Ready>,
        ) -> io::Result<()> {
            self.reported.clear();
            // SAFETY: the vector has room for READY_MAX entries, of which the kernel says how many it wrote.
            let count = unsafe {
                libc::epoll_wait(
                    self.epoll.as_raw_fd(),
                    self.reported.as_mut_ptr(),
                    READY_MAX as i32,
                    timeout.map_or(-1, milliseconds),
                )
            };
            let Ok(count) = usize::try_from(count) else {
                return Err(io::Error::last_os_error());
            };
            // SAFETY: the kernel has written this many.
            unsafe { self.reported.set_len(count) };
            ready.extend(self.reported.iter().map(|event| {
                let events = event.events as i32;
                let may_have_ended = events & ENDED != 0;
                Ready {
                    key: event.u64,
                    readable: events & libc::EPOLLIN != 0 || may_have_ended,
                    writable: events & libc::EPOLLOUT != 0 || may_have_ended,
                    may_have_ended,
                }
            }));
            Ok(())
        }

        pub fn waker(&self) -> Arc<dyn Wake> {
            Arc::clone(&self.waker) as Arc<dyn Wake>
        }
    }

    /// Rounded up, so that a wait for an instant does not end before it.
    fn milliseconds(timeout: Duration) -> i32 {
        i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_wait_is_never_shorter_than_asked_for() {
            assert_eq!(milliseconds(Duration::ZERO), 0);
            assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
            assert_eq!(milliseconds(Duration::from_millis(7)), 7);
            assert_eq!(milliseconds(Duration::MAX), i32::MAX);
        }
    }
}

mod portable {
    use super::super::Wake;
    use super::{READY_MAX, Ready, WAKER};
    use polling::{Event, Events, PollMode, Poller};
    use std::io;
    use std::num::NonZeroUsize;
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    pub struct Portable {
        waker: Arc<Notify>,
        reported: Events,
    }

    struct Notify {
        poller: Poller,
        /// Asked to wake and not yet told; `polling` reports nothing about its notifications.
        asked: AtomicBool,
    }

    impl Wake for Notify {
        fn wake(&self) {
            self.asked.store(true, Ordering::Release);
            // It fails only if the system's queue is gone, and its driver with it.
            let _ = self.poller.notify();
        }
    }

    impl Portable {
        pub fn new() -> io::Result<Portable> {
            Ok(Portable {
                waker: Arc::new(Notify {
                    poller: Poller::new()?,
                    asked: AtomicBool::new(false),
                }),
                reported: Events::with_capacity(
                    NonZeroUsize::new(READY_MAX).expect("a constant above zero"),
                ),
            })
        }

        pub fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
            let key = usize::try_from(key).map_err(|_| io::ErrorKind::Unsupported)?;
            // SAFETY: `remove` is called before the descriptor is closed (`before_close`).
            unsafe {
                self.waker
                    .poller
                    .add_with_mode(fd.as_raw_fd(), Event::all(key), PollMode::Edge)
            }
        }

        pub fn remove(&self, fd: BorrowedFd<'_>) {
            // It fails only if the socket was never added.
            let _ = self.waker.poller.delete(fd);
        }

        pub fn wait(
            &mut self,
            timeout: Option<Duration>,
            ready: &mut Vec<Ready>,
        ) -> io::Result<()> {
            self.reported.clear();
            self.waker.poller.wait(&mut self.reported, timeout)?;
            ready.extend(self.reported.iter().map(|event| Ready {
                key: event.key as u64,
                readable: event.readable,
                writable: event.writable,
                // Not told here, so each readable edge is received until nothing comes.
                may_have_ended: event.readable,
            }));
            if self.waker.asked.swap(false, Ordering::Acquire) {
                ready.push(Ready {
                    key: WAKER,
                    readable: true,
                    writable: false,
                    may_have_ended: false,
                });
            }
            Ok(())
        }

        pub fn waker(&self) -> Arc<dyn Wake> {
            Arc::clone(&self.waker) as Arc<dyn Wake>
        }
    }
}
