//! Progress on the terminal, and a list of steps that all run and are summed up at the end.

use std::time::Instant;

use anyhow::Result;

use crate::cleanup;
use crate::table::Table;

/// Says what happens now; on standard error, so that results can be piped.
pub fn progress(text: &str) {
    eprintln!("  · {text}");
}

/// A heading above what follows.
pub fn heading(text: &str) {
    eprintln!("\n== {text}");
}

/// How a step ended.
pub enum Outcome {
    /// It did what it checks.
    Passed,
    /// It could not run; why.
    Skipped(String),
    /// It ran and something is wrong; what.
    Failed(String),
}

/// Steps and their outcomes.
pub struct Steps {
    started: Instant,
    ended: Vec<(String, f64, Outcome)>,
}

impl Steps {
    /// No step yet.
    pub fn new() -> Steps {
        Steps {
            started: Instant::now(),
            ended: Vec::new(),
        }
    }

    /// Runs a step under its heading; a failure does not keep the following steps from running.
    pub fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) {
        heading(name);
        let start = Instant::now();
        let outcome = step().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        cleanup::wait_if_interrupted();
        let seconds = start.elapsed().as_secs_f64();
        match &outcome {
            Outcome::Passed => eprintln!("  {name}: passed in {seconds:.1} s"),
            Outcome::Skipped(why) => eprintln!("  {name}: skipped, {why}"),
            Outcome::Failed(what) => eprintln!("  {name}: FAILED after {seconds:.1} s\n{what}"),
        }
        self.ended.push((name.into(), seconds, outcome));
    }

    /// Prints the summary and the line that continuous integration reads; an error if a step failed.
    pub fn close(self) -> Result<()> {
        let mut table = Table::new(2, &["step", "outcome", "seconds"]);
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, seconds, outcome) in &self.ended {
            let word = match outcome {
                Outcome::Passed => (passed += 1, "passed".to_string()).1,
                Outcome::Skipped(why) => (skipped += 1, format!("skipped: {why}")).1,
                Outcome::Failed(what) => {
                    (
                        failed += 1,
                        format!("FAILED: {}", what.lines().next().unwrap_or("")),
                    )
                        .1
                }
            };
            table.row(vec![name.clone(), word, format!("{seconds:.1}")]);
        }
        println!(
            "\n{}\nin {:.0} s",
            table.plain(),
            self.started.elapsed().as_secs_f64()
        );
        let skips = if skipped > 0 {
            format!(", {skipped} skipped")
        } else {
            String::new()
        };
        println!("{passed} passed, {failed} failed{skips}");
        anyhow::ensure!(failed == 0, "{failed} of {} steps failed", self.ended.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_does_not_stop_the_others_and_fails_the_sum() {
        let mut steps = Steps::new();
        steps.run("breaks", || anyhow::bail!("on purpose"));
        let mut ran = false;
        steps.run("runs", || {
            ran = true;
            Ok(Outcome::Passed)
        });
        assert!(ran);
        assert!(steps.close().unwrap_err().to_string().contains("1 of 2"));
    }
}
