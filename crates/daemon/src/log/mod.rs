//! Log lines on standard error, for people or as JSON.
//!
//! | module | answers |
//! | --- | --- |
//! | `events` | what a worker's event is in words |
//! | `outages` | how often a failure that lasts is told |
//! | `reasons` | pins and endings in words |
//! | `rate` | how many lines of a kind there may be in a second |
//! | `drain` | the thread that turns events into lines |

mod drain;
mod events;
mod outages;
mod rate;
mod reasons;

pub use drain::EventLog;

use forebay_control::config::LogFormat;
use std::io::{IsTerminal, stderr};
use tracing::level_filters::LevelFilter;

/// Sets where log lines of the whole process go.
pub fn init(format: LogFormat, level: LevelFilter) {
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_max_level(level)
        .with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(colour).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).init(),
    }
}
