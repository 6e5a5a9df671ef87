//! The reviewed list: why a test may pass directly and fail through Forebay.
//!
//! `SUITE | TEST | reason` a line, where each `*` in the test's name stands for anything. An entry that no failing test needs is told,
//! so that the list does not outlive its reasons.

const LIST: &str = include_str!("explained.txt");

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The suite, by its name.
    pub suite: &'static str,
    /// The test, or what its name is like.
    pub pattern: &'static str,
    /// Why it may differ.
    pub reason: &'static str,
}

/// The entries of a suite.
pub fn entries(suite: &str) -> Vec<Entry> {
    read(LIST)
        .into_iter()
        .filter(|entry| entry.suite == suite)
        .collect()
}

fn read(list: &'static str) -> Vec<Entry> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &'static str| {
        let mut parts = line.splitn(3, " | ").map(str::trim);
        Some(Entry {
            suite: parts.next()?,
            pattern: parts.next()?,
            reason: parts.next()?,
        })
    };
    lines.filter_map(entry).collect()
}

impl Entry {
    /// Whether this test is meant.
    pub fn covers(&self, test: &str) -> bool {
        let mut parts = self.pattern.split('*');
        let start = parts.next().unwrap_or_default();
        let Some(mut rest) = test.strip_prefix(start) else {
            return false;
        };
        let Some(end) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_star_stands_for_anything() {
        let entry = |pattern| Entry {
            suite: "s",
            pattern,
            reason: "r",
        };
        assert!(entry("a::b[*]").covers("a::b[x-y]"));
        assert!(entry("*::b").covers("a.py::b"));
        assert!(!entry("a::b").covers("a::b[x]"));
        assert!(!entry("aba*aba").covers("aba"));
        assert!(entry("pool/*::b*").covers("pool/x.py::b[1]"));
        assert!(!entry("pool/*::b*").covers("pool/x.py::c[1]"));
    }

    #[test]
    fn every_line_of_the_list_is_an_entry_of_a_suite_that_exists() {
        let lines = LIST
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        assert_eq!(lines.count(), read(LIST).len());
        for entry in read(LIST) {
            assert!(
                super::super::SUITES
                    .iter()
                    .any(|suite| suite.name == entry.suite),
                "{entry:?}"
            );
            assert!(
                !entry.pattern.is_empty() && entry.reason.len() > 10,
                "{entry:?}"
            );
        }
    }
}
