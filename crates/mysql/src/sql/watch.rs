//! What a walk over a statement tells of the tokens that decide, for whoever wants to know why. The walk of every query is
//! compiled without.

use super::fact::Fact;
use super::lexer::Token;

/// Takes notice of what decides.
pub(super) trait Watch {
    /// The tokens from `first` through `last` decide, and why.
    fn notice(&mut self, fact: Fact, first: Token, last: Token);
}

/// Nobody wants to know.
#[derive(Default)]
pub(super) struct Unwatched;

impl Watch for Unwatched {
    #[inline(always)]
    fn notice(&mut self, _: Fact, _: Token, _: Token) {}
}

/// All of it, in the order of the text.
impl Watch for Vec<(Fact, Token, Token)> {
    fn notice(&mut self, fact: Fact, first: Token, last: Token) {
        self.push((fact, first, last));
    }
}
