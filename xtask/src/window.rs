//! The steady middle of a run of load: two readings of what is counted, and the requests that ended between them.
//!
//! The first and the last second do not count: there a generator connects its clients and ends. It says once a second how far it is;
//! a probe (processor times) and the clock are read then.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::samples;

/// What a window of load showed.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Requests per second.
    pub rate: f64,
    /// Milliseconds.
    pub median: f64,
    /// Milliseconds; 99 of 100 are not slower.
    pub p99: f64,
    /// For each reading of the probe: how much it grew in the window, per request.
    pub per_request: Vec<f64>,
}

/// What a probe said at a moment.
struct Reading {
    at_seconds: f64,
    values: Vec<u64>,
}

/// The two ends of the window.
pub struct Window {
    from: Reading,
    to: Reading,
}

/// What a generator said until it ended.
pub struct Watched {
    /// The readings behind its first second and before its last; fewer of a run that failed early.
    readings: Vec<Reading>,
    /// Its lines that say nothing of its progress.
    pub said: Vec<String>,
}

/// Reads what a generator says to its end. `second` tells how far a line says it is; `probe` is read at each of them.
pub fn watch(
    output: impl Read,
    seconds: u32,
    second: impl Fn(&str) -> Option<u32>,
    probe: impl Fn() -> Result<Vec<u64>>,
) -> Result<Watched> {
    let (mut readings, mut said) = (Vec::new(), Vec::new());
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        match second(&line) {
            Some(second) if readings.is_empty() || second < seconds => readings.push(read(&probe)?),
            Some(_) => {}
            None => said.push(line),
        }
    }
    Ok(Watched { readings, said })
}

fn read(probe: impl Fn() -> Result<Vec<u64>>) -> Result<Reading> {
    let values = probe()?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Ok(Reading {
        at_seconds: now.as_secs_f64(),
        values,
    })
}

impl Watched {
    /// The window, of a run that was long enough for one.
    pub fn window(mut self) -> Result<Window> {
        let to = self.readings.pop();
        let to = to.context("the load generator reported no progress")?;
        if self.readings.is_empty() {
            bail!("the run was too short for a window: give it 3 seconds or more");
        }
        let from = self.readings.swap_remove(0);
        Ok(Window { from, to })
    }
}

impl Window {
    /// Seconds since 1970.
    pub fn range(&self) -> Range<f64> {
        self.from.at_seconds..self.to.at_seconds
    }

    /// What it showed, by the latencies (milliseconds) of the requests that ended in it.
    pub fn figures(&self, mut latencies: Vec<f64>) -> Result<Figures> {
        let seconds = self.to.at_seconds - self.from.at_seconds;
        let (Some(median), Some(p99)) = (
            samples::percentile(&mut latencies, 50.0),
            samples::percentile(&mut latencies, 99.0),
        ) else {
            bail!("no request ended in the window of {seconds:.1} s");
        };
        #[expect(clippy::cast_precision_loss)]
        let count = latencies.len() as f64;
        #[expect(clippy::cast_precision_loss)]
        let grown = |(before, after): (&u64, &u64)| after.saturating_sub(*before) as f64 / count;
        let values = self.from.values.iter().zip(&self.to.values);
        Ok(Figures {
            rate: count / seconds,
            median,
            p99,
            per_request: values.map(grown).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn progress(line: &str) -> Option<u32> {
        line.strip_prefix("at ")?.parse().ok()
    }

    #[test]
    fn the_window_begins_behind_the_first_second_and_ends_before_the_last() {
        let count = Cell::new(0);
        let probe = || {
            count.set(count.get() + 100);
            Ok(vec![count.get()])
        };
        let text = "hello\nat 1\nat 2\nat 3\nat 4\nbye\n";
        let watched = watch(text.as_bytes(), 4, progress, probe).unwrap();
        assert_eq!(watched.said, ["hello", "bye"]);
        let figures = watched.window().unwrap().figures(vec![1.0; 50]).unwrap();
        // Read at 1, 2 and 3: from 100 to 300, for 50 requests.
        assert_eq!(figures.per_request, [4.0]);
    }

    #[test]
    fn a_run_that_is_too_short_has_no_window() {
        let watched = watch("at 1\n".as_bytes(), 4, progress, || Ok(vec![])).unwrap();
        assert!(watched.window().is_err());
    }
}
