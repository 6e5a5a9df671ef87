//! What is to be said of a suite: what passes directly and not through Forebay, and why it may.

use std::collections::BTreeMap;

use super::explained::{self, Entry};
use super::outcome::{Outcome, Outcomes};

/// The comparison of two runs.
pub struct Verdict {
    suite: &'static str,
    version: String,
    direct: usize,
    through: usize,
    lost: Vec<Lost>,
    again: Vec<String>,
    /// Patterns of the list that no lost test needs.
    idle: Vec<&'static str>,
}

/// A test that passes directly and not through Forebay.
struct Lost {
    test: String,
    said: String,
    reason: Option<&'static str>,
}

/// How a reason begins that names a fault of ours.
const TO_MEND: &str = "to mend: ";

/// The tests that pass in the one and not in the other.
pub fn lost(direct: &Outcomes, through: &Outcomes) -> Vec<String> {
    let fails = |test: &&str| {
        !matches!(
            through.of(test),
            Some(Outcome::Passed | Outcome::PassedAgain)
        )
    };
    direct
        .passing()
        .filter(fails)
        .map(ToOwned::to_owned)
        .collect()
}

/// Compares two runs of a suite.
pub fn compare(
    suite: &'static str,
    version: String,
    direct: &Outcomes,
    through: &Outcomes,
) -> Verdict {
    with_list(suite, version, direct, through, &explained::entries(suite))
}

fn with_list(
    suite: &'static str,
    version: String,
    direct: &Outcomes,
    through: &Outcomes,
    list: &[Entry],
) -> Verdict {
    let names = lost(direct, through);
    let covered = |entry: &&Entry| names.iter().any(|test| entry.covers(test));
    let idle = list
        .iter()
        .filter(|entry| !covered(entry))
        .map(|entry| entry.pattern)
        .collect();
    let again = direct
        .passing()
        .filter(|test| through.of(test) == Some(&Outcome::PassedAgain));
    let again = again.map(ToOwned::to_owned).collect();
    let of = |test: String| Lost {
        said: match through.of(&test) {
            Some(Outcome::Failed(said)) => said.clone(),
            Some(_) => "skipped".into(),
            None => "not reached".into(),
        },
        reason: list
            .iter()
            .find(|entry| entry.covers(&test))
            .map(|entry| entry.reason),
        test,
    };
    let passed = direct.passed();
    Verdict {
        suite,
        version,
        direct: passed,
        through: passed - names.len(),
        lost: names.into_iter().map(of).collect(),
        again,
        idle,
    }
}

impl Verdict {
    /// Tests without an explanation.
    pub fn unexplained(&self) -> impl Iterator<Item = &str> {
        self.lost
            .iter()
            .filter(|lost| lost.reason.is_none())
            .map(|lost| &*lost.test)
    }

    /// A row of the table.
    pub fn row(&self) -> Vec<String> {
        let open = self.unexplained().count();
        let reasons = || self.lost.iter().filter_map(|lost| lost.reason);
        let to_mend = reasons()
            .filter(|reason| reason.starts_with(TO_MEND))
            .count();
        vec![
            self.suite.into(),
            self.version.clone(),
            self.direct.to_string(),
            self.through.to_string(),
            percent(self.through, self.direct),
            (reasons().count() - to_mend).to_string(),
            to_mend.to_string(),
            open.to_string(),
            self.again.len().to_string(),
        ]
    }

    /// Tells what differs: what is explained by its reasons, what is not test by test.
    pub fn print(&self) {
        println!(
            "\n{} {}: {} of {} that pass directly",
            self.suite, self.version, self.through, self.direct
        );
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for lost in &self.lost {
            match lost.reason {
                Some(reason) => reasons.entry(reason).or_default().push(&lost.test),
                None => println!("  NOT EXPLAINED {}\n      {}", lost.test, lost.said),
            }
        }
        for (reason, tests) in reasons {
            println!(
                "  known, {} tests: {reason}\n      {}",
                tests.len(),
                tests.join("\n      ")
            );
        }
        for test in &self.again {
            println!("  passed at the second try: {test}");
        }
        for pattern in &self.idle {
            println!("  an explanation that was not needed: {pattern}");
        }
    }
}

/// Rounded down, so that 100.0 means all.
fn percent(part: usize, all: usize) -> String {
    let tenths = (part * 1000).checked_div(all).unwrap_or(1000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(text: &str) -> Outcomes {
        super::super::outcome::of_libtest(text)
    }

    #[test]
    fn only_what_passes_directly_can_be_lost() {
        let direct = outcomes(
            "test a ... ok\ntest b ... FAILED\ntest c ... ok\ntest d ... ok\ntest e ... ok\n",
        );
        let through =
            outcomes("test a ... ok\ntest b ... FAILED\ntest c ... FAILED\ntest d ... ignored\n");
        assert_eq!(lost(&direct, &through), ["c", "d", "e"]);
        let verdict = with_list("s", String::new(), &direct, &through, &[]);
        assert_eq!((verdict.direct, verdict.through), (4, 1));
        let said: Vec<&str> = verdict.lost.iter().map(|lost| &*lost.said).collect();
        assert_eq!(said, ["failed", "skipped", "not reached"]);
    }

    #[test]
    fn what_is_to_be_mended_is_counted_apart() {
        let direct = outcomes("test a ... ok\ntest b ... ok\ntest c ... ok\n");
        let through = outcomes("test a ... FAILED\ntest b ... FAILED\ntest c ... FAILED\n");
        let entry = |pattern, reason| Entry {
            suite: "s",
            pattern,
            reason,
        };
        let list = [
            entry("a", "to mend: x"),
            entry("b", "y"),
            entry("d*", "not needed"),
        ];
        let verdict = with_list("s", "1".into(), &direct, &through, &list);
        assert_eq!(
            verdict.row(),
            ["s", "1", "3", "0", "0.0", "1", "1", "1", "0"]
        );
        assert_eq!(verdict.unexplained().collect::<Vec<_>>(), ["c"]);
        assert_eq!(verdict.idle, ["d*"]);
    }

    #[test]
    fn a_hundred_percent_is_all_of_them() {
        assert_eq!(percent(1, 1), "100.0");
        assert_eq!(percent(9_999, 10_000), "99.9");
    }
}
