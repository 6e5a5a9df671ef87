//! The columns that a client was told a statement's rows have, and whether they still are those.
//!
//! A server refuses to go on with a statement whose columns a table's change has made others (0A000), but only where it has the statement
//! from before. Where it has to be prepared again, nothing tells the client, who reads the rows as it was told. So such a statement is
//! described before it is used, unless the same was done a moment ago and no table was seen to change: what is told then is what the
//! server would have told that has it. (`src/backend/utils/cache/plancache.c`, `RevalidateCachedQuery`.)

use crate::wire::read::Fields;
use forebay_core::Instant;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For so long, columns are taken to be what they were.
const FRESH: Duration = Duration::from_secs(5);

/// Nothing was told.
const UNTOLD: u64 = 0;

/// What is known of one statement's columns. Of one worker, whatever the types say.
#[derive(Debug, Default)]
pub struct Columns {
    /// A fingerprint of them.
    told: AtomicU64,
    /// When they were seen last, in nanoseconds.
    seen_at: AtomicU64,
    /// In which version of the schema.
    version: AtomicU64,
}

impl Columns {
    /// The server describes the statement. Whether that is what was told first, which stays: others still read rows as they were told then.
    pub fn see(&self, columns: u64, now: Instant, version: u64) -> bool {
        let order = Ordering::Relaxed;
        let told = self.told.compare_exchange(UNTOLD, columns, order, order);
        let same = told.is_ok() || told == Err(columns);
        if same {
            self.seen_at.store(now.as_nanos(), order);
            self.version.store(version, order);
        }
        same
    }

    /// Of the same session's statement, which was known by another name: its client was told that one's columns.
    pub fn take_over(&self, before: &Columns) {
        let order = Ordering::Relaxed;
        let told = before.told.load(order);
        let taken = self.told.compare_exchange(UNTOLD, told, order, order);
        if told != UNTOLD && taken.is_ok() {
            self.seen_at.store(0, order);
            self.version.store(before.version.load(order), order);
        }
    }

    /// The same, where it is certain to be the same statement, whose meaning is only not known for now.
    pub fn go_on_from(&self, before: &Columns) {
        let order = Ordering::Relaxed;
        self.told.store(before.told.load(order), order);
        self.seen_at.store(before.seen_at.load(order), order);
        self.version.store(before.version.load(order), order);
    }

    /// Whether they may have become others since they were told.
    pub fn are_in_doubt(&self, now: Instant, version: u64) -> bool {
        let seen_at = Instant::from_nanos(self.seen_at.load(Ordering::Relaxed));
        self.told.load(Ordering::Relaxed) != UNTOLD
            && (self.version.load(Ordering::Relaxed) != version || now > seen_at + FRESH)
    }
}

/// The fingerprint of a RowDescription: names, types and modifiers, as the server compares them. What cannot be read is like nothing else.
pub fn of_rows(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    if hash(Fields(body), &mut hasher).is_none() {
        body.hash(&mut hasher);
    }
    hasher.finish().max(UNTOLD + 1)
}

/// That of NoData.
pub fn of_no_rows() -> u64 {
    of_rows(&[0, 0])
}

fn hash(mut fields: Fields<'_>, hasher: &mut DefaultHasher) -> Option<()> {
    let count = fields.u16().ok()?;
    count.hash(hasher);
    for _ in 0..count {
        fields.string().ok()?.hash(hasher);
        // Table and column.
        fields.u32().ok()?;
        fields.u16().ok()?;
        fields.u32().ok()?.hash(hasher);
        // Length, which is the type's.
        fields.u16().ok()?;
        fields.u32().ok()?.hash(hasher);
        // Format, which a Bind chooses.
        fields.u16().ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, table: u32, type_oid: u32, format: u16) -> Vec<u8> {
        let mut body = vec![0, 1];
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(&table.to_be_bytes());
        body.extend_from_slice(&[0, 1]);
        body.extend_from_slice(&type_oid.to_be_bytes());
        body.extend_from_slice(&[0, 4, 0xff, 0xff, 0xff, 0xff]);
        body.extend_from_slice(&format.to_be_bytes());
        body
    }

    #[test]
    fn names_and_types_make_columns_what_they_are() {
        let one = of_rows(&rows("a", 1, 23, 0));
        assert_eq!(one, of_rows(&rows("a", 2, 23, 1)));
        assert_ne!(one, of_rows(&rows("b", 1, 23, 0)));
        assert_ne!(one, of_rows(&rows("a", 1, 25, 0)));
        assert_ne!(one, of_no_rows());
        assert_ne!(of_rows(b"?"), of_rows(b"!"));
    }

    #[test]
    fn what_was_told_under_another_name_is_looked_at_again() {
        let (before, columns) = (Columns::default(), Columns::default());
        let now = Instant::ZERO + FRESH + FRESH;
        columns.take_over(&before);
        assert!(!columns.are_in_doubt(now, 1), "nothing was told");
        before.see(5, now, 1);
        columns.take_over(&before);
        assert!(columns.are_in_doubt(now, 1) && columns.see(5, now, 1));
    }

    #[test]
    fn the_same_statement_under_another_name_goes_on_with_what_was_told() {
        let (before, columns) = (Columns::default(), Columns::default());
        before.see(5, Instant::ZERO, 1);
        columns.go_on_from(&before);
        assert!(!columns.are_in_doubt(Instant::ZERO, 1));
        assert!(columns.are_in_doubt(Instant::ZERO, 2) && !columns.see(6, Instant::ZERO, 2));
    }

    #[test]
    fn columns_are_in_doubt_after_a_while_and_when_a_table_was_changed() {
        let columns = Columns::default();
        let now = Instant::from_nanos(7);
        assert!(!columns.are_in_doubt(now, 1), "nothing was told");
        assert!(columns.see(5, now, 1));
        assert!(!columns.are_in_doubt(now + FRESH, 1));
        assert!(columns.are_in_doubt(now, 2));
        let later = now + FRESH + Duration::from_nanos(1);
        assert!(columns.are_in_doubt(later, 1));
        assert!(columns.see(5, later, 2) && !columns.are_in_doubt(later, 2));
        assert!(!columns.see(6, later, 3) && columns.are_in_doubt(later, 3));
    }
}
