//! What a walk over a statement tells of the tokens that decide, for whoever wants to know why. The walk of every query is
//! compiled without.

use forebay_core::PinReason;

use super::lexer::Token;

/// Why a statement is not harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its kind alone: `CREATE`, `DO` …
    Statement,
    /// A function is called that is not known to leave the session alone.
    Calls,
    /// An operator by its schema's name: a function of somebody's.
    Operator,
    /// Data are written, or a table is made: triggers, rules and defaults may run any code.
    Writes,
    /// Brackets are nested deeper than is followed.
    Nested,
    /// Leaves something on its backend that no other has.
    Pins(PinReason),
    /// The server will refuse the text, or may read it otherwise.
    Unreadable,
}

/// Takes notice of what decides.
pub(super) trait Watch {
    /// The tokens from `first` through `last` decide, and why.
    fn notice(&mut self, what: What, first: Token, last: Token);
}

/// Nobody wants to know.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    #[inline(always)]
    fn notice(&mut self, _: What, _: Token, _: Token) {}
}

/// All of it, in the order of the text.
impl Watch for Vec<(What, Token, Token)> {
    fn notice(&mut self, what: What, first: Token, last: Token) {
        self.push((what, first, last));
    }
}
