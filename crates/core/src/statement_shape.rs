//! A statement as people may see it: without its constants, which may be secrets, and with a number that is equal for all statements of
//! its shape. Which numbers and texts these are, an engine decides.

use std::fmt;

/// What logs and reports tell of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementShape {
    /// Equal for statements that differ in constants only, on every machine and in every version.
    pub fingerprint: u64,
    /// Its text without constants and comments, cut at [`StatementShape::TEXT_BYTES_MAX`].
    pub text: Box<str>,
}

impl StatementShape {
    /// Longest text that is told.
    pub const TEXT_BYTES_MAX: usize = 200;
}

impl fmt::Display for StatementShape {
    /// The fingerprint alone, in 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_has_sixteen_digits() {
        let shape = StatementShape {
            fingerprint: 0xbeef,
            text: "select ?".into(),
        };
        assert_eq!(shape.to_string(), "000000000000beef");
    }
}
