//! What each byte may begin (`sql_lex.cc`, `lex_init_state_maps`), and what may follow in a name.

use super::lexer::Kind;

/// What a token that begins with this byte may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    Space,
    /// Letters, `_`, and bytes beyond ASCII.
    Letter,
    Digit,
    Dollar,
    Quote,
    DoubleQuote,
    Backtick,
    At,
    Dot,
    Hash,
    Minus,
    Slash,
    Star,
    Colon,
    Operator,
    Punctuation(Kind),
    Junk,
}

pub(super) const BYTES: [Byte; 256] = {
    let mut table = [Byte::Junk; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = match index as u8 {
            b' ' | 0x09..=0x0d => Byte::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => Byte::Letter,
            b'0'..=b'9' => Byte::Digit,
            b'$' => Byte::Dollar,
            b'\'' => Byte::Quote,
            b'"' => Byte::DoubleQuote,
            b'`' => Byte::Backtick,
            b'@' => Byte::At,
            b'.' => Byte::Dot,
            b'#' => Byte::Hash,
            b'-' => Byte::Minus,
            b'/' => Byte::Slash,
            b'*' => Byte::Star,
            b':' => Byte::Colon,
            b'(' => Byte::Punctuation(Kind::Open),
            b')' => Byte::Punctuation(Kind::Close),
            b',' => Byte::Punctuation(Kind::Comma),
            b';' => Byte::Punctuation(Kind::Semicolon),
            b'?' => Byte::Punctuation(Kind::Parameter),
            b'{' | b'}' => Byte::Punctuation(Kind::Other),
            b'~' | b'!' | b'^' | b'&' | b'|' | b'+' | b'%' | b'<' | b'>' | b'=' => Byte::Operator,
            _ => Byte::Junk,
        };
        index += 1;
    }
    table
};

/// Which bytes may follow the first of an unquoted name (`ident_map`).
pub(super) const IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = matches!(BYTES[index], Byte::Letter | Byte::Digit | Byte::Dollar);
        index += 1;
    }
    table
};

/// The operators of more than one byte, longest first.
pub(super) const LONG_OPERATORS: [&[u8]; 11] = [
    b"<=>", b"->>", b"->", b"<=", b">=", b"<>", b"!=", b"<<", b">>", b"||", b"&&",
];
