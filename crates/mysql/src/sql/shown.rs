//! The readable side of `fingerprint`: tokens put together again with the white space that people use. Where only the hash
//! is wanted, nothing of this is compiled in.

use super::lexer::Kind;
use super::words;

/// What `fingerprint` passes on of a token.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// In lower case.
    Word(&'a [u8]),
    Written(&'a [u8]),
    /// `?`.
    Constant,
}

/// Takes tokens in their order, and takes back those of list elements that count once.
pub(super) trait Sink {
    /// Whether it shows anything at all.
    const SHOWS: bool;

    /// Appends a token.
    fn show(&mut self, kind: Kind, shown: Shown<'_>);

    /// The present end.
    fn mark(&self) -> usize;

    /// Takes back what came after `mark` gave this.
    fn go_back(&mut self, mark: usize);

    /// Whether more could not be shown.
    fn is_full(&self) -> bool;

    /// Notes that there is more than is shown.
    fn cut(&mut self);
}

/// Shows nothing.
pub(super) struct Nothing;

impl Sink for Nothing {
    const SHOWS: bool = false;

    #[inline(always)]
    fn show(&mut self, _: Kind, _: Shown<'_>) {}

    #[inline(always)]
    fn mark(&self) -> usize {
        0
    }

    #[inline(always)]
    fn go_back(&mut self, _: usize) {}

    #[inline(always)]
    fn is_full(&self) -> bool {
        false
    }

    #[inline(always)]
    fn cut(&mut self) {}
}

/// What stands for the rest of a text that is cut.
const REST: &str = "…";

/// A text of limited length.
pub(super) struct Text {
    text: String,
    bytes_max: usize,
    is_cut: bool,
    previous: Kind,
    /// Whether the token before is a word after which a bracket stands apart.
    after_keyword: bool,
}

impl Text {
    pub(super) fn new(bytes_max: usize) -> Self {
        Text {
            text: String::new(),
            bytes_max,
            is_cut: false,
            previous: Kind::Semicolon,
            after_keyword: false,
        }
    }

    /// The text, cut to its length.
    pub(super) fn finish(mut self) -> String {
        if self.is_full() || self.is_cut {
            let room = self.bytes_max.saturating_sub(REST.len());
            self.text.truncate(self.text.floor_char_boundary(room));
            if self.bytes_max >= REST.len() {
                self.text.push_str(REST);
            }
        }
        self.text
    }

    /// Whether white space belongs between the last token and one of this kind.
    fn stands_apart(&self, kind: Kind) -> bool {
        let begins = matches!(self.previous, Kind::Open | Kind::Dot | Kind::System);
        let ends = matches!(
            kind,
            Kind::Close | Kind::Comma | Kind::Semicolon | Kind::Dot
        );
        let calls = kind == Kind::Open
            && matches!(self.previous, Kind::Word | Kind::Quoted)
            && !self.after_keyword;
        !(begins || ends || calls)
    }

    fn push_word(&mut self, bytes: &[u8]) {
        for character in String::from_utf8_lossy(bytes).chars() {
            self.text.push(character.to_ascii_lowercase());
        }
    }

    fn push_written(&mut self, bytes: &[u8]) {
        for character in String::from_utf8_lossy(bytes).chars() {
            // Names in quotes may hold whatever they like, lines of a log may not.
            self.text.push(if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            });
        }
    }
}

impl Sink for Text {
    const SHOWS: bool = true;

    fn show(&mut self, kind: Kind, shown: Shown<'_>) {
        if !self.text.is_empty() && self.stands_apart(kind) {
            self.text.push(' ');
        }
        self.after_keyword = false;
        match shown {
            Shown::Word(bytes) => {
                // After a dot any keyword is a name.
                self.after_keyword =
                    self.previous != Kind::Dot && words::facts(bytes).is_reserved();
                self.push_word(bytes);
            }
            Shown::Written(bytes) => self.push_written(bytes),
            Shown::Constant => self.text.push('?'),
        }
        self.previous = kind;
    }

    fn mark(&self) -> usize {
        self.text.len()
    }

    fn go_back(&mut self, mark: usize) {
        self.text.truncate(mark);
    }

    fn is_full(&self) -> bool {
        self.text.len() > self.bytes_max
    }

    fn cut(&mut self) {
        self.is_cut = true;
    }
}
