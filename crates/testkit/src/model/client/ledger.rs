//! Which of the client's rows must be in the log at the end, which may be, and which must not.

use std::collections::BTreeSet;

/// The client's own account of what it wrote.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    acknowledged: BTreeSet<i64>,
    doubtful: BTreeSet<i64>,
}

impl Ledger {
    /// Their commit has been confirmed: they must never be lost.
    pub(crate) fn acknowledge(&mut self, rows: Vec<i64>) {
        self.acknowledged.extend(rows);
    }

    /// Their commit was under way when the answer was lost.
    pub(crate) fn doubt(&mut self, rows: impl IntoIterator<Item = i64>) {
        self.doubtful.extend(rows);
    }

    /// Numbers whose commit was confirmed.
    pub fn acknowledged(&self) -> &BTreeSet<i64> {
        &self.acknowledged
    }

    /// Numbers that may or may not be in the log.
    pub fn doubtful(&self) -> &BTreeSet<i64> {
        &self.doubtful
    }

    /// How many of each: certain, doubtful.
    pub(crate) fn counts(&self) -> (i64, i64) {
        (self.acknowledged.len() as i64, self.doubtful.len() as i64)
    }

    /// Compares the account with what the server has (`Server::committed`).
    ///
    /// # Errors
    /// A sentence that names a number which was lost, came twice, or should never have been committed.
    pub fn check(&self, committed: &[i64]) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for number in committed {
            if !seen.insert(*number) {
                return Err(format!("row {number} was committed twice"));
            }
            if !self.acknowledged.contains(number) && !self.doubtful.contains(number) {
                return Err(format!(
                    "row {number} was committed, though its transaction was not"
                ));
            }
        }
        match self.acknowledged.difference(&seen).next() {
            Some(number) => Err(format!("row {number} was acknowledged and is lost")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_knows_must_may_and_must_not() {
        let mut ledger = Ledger::default();
        ledger.acknowledge(vec![1, 2]);
        ledger.doubt([3]);
        assert_eq!(ledger.check(&[1, 2]), Ok(()));
        assert_eq!(ledger.check(&[1, 2, 3]), Ok(()));
        assert!(ledger.check(&[1]).is_err_and(|e| e.contains("lost")));
        assert!(
            ledger
                .check(&[1, 2, 4])
                .is_err_and(|e| e.contains("though"))
        );
        assert!(ledger.check(&[1, 2, 2]).is_err_and(|e| e.contains("twice")));
    }
}
