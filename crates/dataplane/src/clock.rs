//! The clock that real drivers read: monotonic, counted from one origin for all workers of the process.

use forebay_core::Instant;

/// Reads the time since its origin. Copies share the origin, so that instants of different workers compare.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock whose origin is a second ago, so that no instant it reads is [`Instant::ZERO`].
    pub fn new() -> Clock {
        let now = std::time::Instant::now();
        Clock {
            origin: now
                .checked_sub(std::time::Duration::from_secs(1))
                .unwrap_or(now),
        }
    }

    /// Now.
    pub fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
