//! Differences that were looked at and stay for now, each with its reason: `known.txt` beside this file.
//!
//! An entry is a line `in | directly | forebay | reason`: a text that the step contains, one that the database's reply contains,
//! one that Forebay's contains. Empty texts fit anything. Lines that begin with `#` are remarks.

use super::bench::Difference;

/// One known difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    step: String,
    direct: String,
    through: String,
    /// Why it stays.
    pub reason: String,
}

/// The committed list.
///
/// # Panics
/// When a line is not of the form above: the list is part of the program.
pub fn list() -> Vec<Known> {
    read(include_str!("known.txt"))
}

/// A list in the form above.
///
/// # Panics
/// As [`list`].
pub fn read(text: &str) -> Vec<Known> {
    let lines = text.lines().map(str::trim);
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries.map(entry).collect()
}

fn entry(line: &str) -> Known {
    let mut parts = line.splitn(4, '|').map(|part| part.trim().to_owned());
    let mut next = || {
        let part = parts.next();
        part.unwrap_or_else(|| panic!("known.txt: not four parts: {line}"))
    };
    Known {
        step: next(),
        direct: next(),
        through: next(),
        reason: next(),
    }
}

/// The entry that a difference is explained by.
pub fn explains<'a>(list: &'a [Known], found: &Difference) -> Option<&'a Known> {
    list.iter().find(|known| {
        found.played.contains(&known.step)
            && found.direct.contains(&known.direct)
            && found.through.contains(&known.through)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_explains_what_contains_its_texts() {
        let list = read("# a remark\n\nSHOW x | | error | it is so\n");
        let found = |played: &str, through: &str| Difference {
            step: 0,
            played: played.into(),
            direct: "row".into(),
            through: through.into(),
        };
        let explained = explains(&list, &found("c0: Query \"SHOW x\"", "an error"));
        assert_eq!(explained.map(|known| &*known.reason), Some("it is so"));
        assert_eq!(
            explains(&list, &found("c0: Query \"SHOW x\"", "a row")),
            None
        );
        assert_eq!(
            explains(&list, &found("c0: Query \"SHOW y\"", "an error")),
            None
        );
    }

    #[test]
    fn the_committed_list_can_be_read_and_gives_reasons() {
        assert!(list().iter().all(|known| known.reason.len() > 10));
    }
}
