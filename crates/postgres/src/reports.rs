//! The settings that a server reports by ParameterStatus, as one side knows them. Interned, because ten thousand clients mostly know
//! the same.

use forebay_core::sessions::SessionFacts;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

/// Names and values, sorted by name.
pub type Reports = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Most different settings that are remembered of one server; PostgreSQL 18 reports 15.
pub const REPORTS_MAX: usize = 64;

const APPLICATION_CHARS_MAX: usize = SessionFacts::APPLICATION_CHARS_MAX;

/// A setting's reported value.
pub fn value<'a>(reports: &'a Reports, name: &[u8]) -> Option<&'a [u8]> {
    let at = reports
        .binary_search_by(|(known, _)| (**known).cmp(name))
        .ok()?;
    Some(&reports[at].1)
}

/// Whether a server with these reports takes what it is sent for UTF-8.
pub fn reads_utf8(reports: &Reports) -> bool {
    value(reports, b"client_encoding").is_some_and(|value| value == b"UTF8")
}

/// What a session calls itself, for people.
pub fn application(reports: &Reports) -> Option<Box<str>> {
    let name = value(reports, b"application_name")?;
    let name = String::from_utf8_lossy(name);
    let name: String = name.chars().take(APPLICATION_CHARS_MAX).collect();
    (!name.is_empty()).then(|| name.into())
}

/// One worker's table of reports in use.
#[derive(Debug, Default)]
pub struct ReportInterner {
    hasher: RandomState,
    table: HashMap<u64, Vec<Weak<Reports>>>,
    sweep_at: usize,
}

impl ReportInterner {
    /// The one value with these contents.
    pub fn intern(&mut self, mut reports: Reports) -> Arc<Reports> {
        reports.sort();
        let hash = self.hasher.hash_one(&reports);
        let entry = self.table.entry(hash).or_default();
        if let Some(known) = entry
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| **known == reports)
        {
            return known;
        }
        let reports = Arc::new(reports);
        entry.retain(|known| known.strong_count() > 0);
        entry.push(Arc::downgrade(&reports));
        if self.table.len() > self.sweep_at {
            self.table
                .retain(|_, entry| entry.iter().any(|known| known.strong_count() > 0));
            self.sweep_at = (self.table.len() * 2).max(64);
        }
        reports
    }

    /// `reports` with one value changed.
    pub fn with(&mut self, reports: &Arc<Reports>, name: &[u8], value: &[u8]) -> Arc<Reports> {
        match reports.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) if *reports[at].1 == *value => Arc::clone(reports),
            Ok(at) => {
                let mut changed = Reports::clone(reports);
                changed[at].1 = value.into();
                self.intern(changed)
            }
            Err(_) if reports.len() >= REPORTS_MAX => Arc::clone(reports),
            Err(_) => {
                let mut changed = Reports::clone(reports);
                changed.push((name.into(), value.into()));
                self.intern(changed)
            }
        }
    }

    /// `from` with one value changed to what `to` says.
    pub fn only(&mut self, from: &Arc<Reports>, to: &Arc<Reports>, name: &[u8]) -> Arc<Reports> {
        match to.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => {
                let changed = self.with(from, name, &to[at].1);
                // Mostly they are the same now, and then one value is enough for both.
                if *changed == **to {
                    Arc::clone(to)
                } else {
                    changed
                }
            }
            Err(_) => Arc::clone(from),
        }
    }
}

/// What `to` says that `from` does not.
pub fn differing<'a>(
    from: &'a Reports,
    to: &'a Reports,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    to.iter()
        .filter(move |(name, value)| {
            from.binary_search_by(|(known, _)| known.cmp(name))
                .map_or(true, |at| from[at].1 != *value)
        })
        .map(|(name, value)| (&**name, &**value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(pairs: &[(&str, &str)]) -> Reports {
        pairs
            .iter()
            .map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()))
            .collect()
    }

    #[test]
    fn equal_reports_are_one_value_whatever_their_order() {
        let mut interner = ReportInterner::default();
        let one = interner.intern(reports(&[("b", "2"), ("a", "1")]));
        let two = interner.intern(reports(&[("a", "1"), ("b", "1")]));
        assert!(Arc::ptr_eq(&one, &interner.with(&two, b"b", b"2")));
        assert!(Arc::ptr_eq(&one, &interner.with(&one, b"b", b"2")));
    }

    #[test]
    fn only_changed_values_differ() {
        let (from, to) = (
            reports(&[("a", "1"), ("b", "2")]),
            reports(&[("a", "1"), ("b", "3"), ("c", "4")]),
        );
        let changed: Vec<_> = differing(&from, &to).collect();
        assert_eq!(changed, [(&b"b"[..], &b"3"[..]), (b"c", b"4")]);
    }
}
