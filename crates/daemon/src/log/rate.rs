//! How many lines of one kind there may be in a second: a storm of refusals must not become a storm of log lines.

use std::time::{Duration, Instant};

/// Lines of one kind per second.
const LINES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// Counts the lines of one kind; pure, instants come from outside.
#[derive(Debug, Default)]
pub struct Rate {
    window: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Rate {
    /// Whether one more line may be written now; otherwise it is counted as suppressed.
    pub fn allows(&mut self, now: Instant) -> bool {
        if self.is_over(now) {
            self.window = Some(now);
            self.lines = 0;
        }
        if self.lines < LINES_MAX {
            self.lines += 1;
            return true;
        }
        self.suppressed += 1;
        false
    }

    /// How many lines were suppressed, once their second is over; then starts again at none.
    pub fn take_suppressed(&mut self, now: Instant) -> Option<u64> {
        if self.suppressed == 0 || !self.is_over(now) {
            return None;
        }
        Some(std::mem::take(&mut self.suppressed))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.window
            .is_none_or(|start| now.duration_since(start) >= WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_twenty_lines_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let allowed = (0..50).filter(|_| rate.allows(start)).count();
        assert_eq!(allowed, 20);
        assert_eq!(rate.take_suppressed(start), None);
        assert_eq!(rate.take_suppressed(start + WINDOW), Some(30));
        assert_eq!(rate.take_suppressed(start + WINDOW), None);
    }

    #[test]
    fn the_next_second_starts_afresh() {
        let start = Instant::now();
        let mut rate = Rate::default();
        for _ in 0..21 {
            rate.allows(start);
        }
        assert!(!rate.allows(start + WINDOW / 2));
        assert!(rate.allows(start + WINDOW));
    }
}
