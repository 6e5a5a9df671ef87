//! Defaults and ranges of a proxy's timers, for the file and for the command line alike.

use std::ops::RangeInclusive;
use std::time::Duration;

/// `IdleClientTimeout` of RDS: 1 to 28800 seconds.
pub(crate) const IDLE_CLIENT_TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(28_800);
/// RDS's default.
pub(crate) const IDLE_CLIENT_TIMEOUT: Duration = Duration::from_secs(1800);
/// `ConnectionBorrowTimeout`: RDS has 0 to 300 seconds, Terraform lets 3600 pass; we do too.
pub(crate) const BORROW_TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(3600);
/// RDS does not tell its own.
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Ours.
pub(crate) const LOGIN_TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);
