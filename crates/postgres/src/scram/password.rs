//! SASLprep (RFC 4013) of passwords exactly as PostgreSQL applies it before deriving keys.
//!
//! PostgreSQL differs from the RFC in three ways, and a login fails where we would not follow: what cannot be prepared
//! (not UTF-8, a prohibited or unassigned character, mixed directions, nothing left) is used as raw bytes; the checks
//! run on the text *before* its normalization; and the repertoire is Unicode 3.2's, so that emoji stay raw.
use stringprep::tables;
use zeroize::Zeroizing;

/// The bytes PostgreSQL would hash for this password, in a buffer that is overwritten when dropped.
///
/// Never fails: what SASLprep refuses is returned as it is.
pub fn password_bytes(password: impl AsRef<[u8]>) -> Zeroizing<Vec<u8>> {
    let raw = password.as_ref();
    match prepare(raw) {
        Some(prepared) => prepared,
        None => Zeroizing::new(raw.to_vec()),
    }
}

/// The prepared password, or `None` where the raw bytes stand: refused, or plain ASCII, which PostgreSQL leaves alone.
fn prepare(raw: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if raw.is_ascii() {
        return None;
    }
    let mapped = Zeroizing::new(map(str::from_utf8(raw).ok()?));
    if mapped.is_empty() || mapped.chars().any(is_refused) || mixes_directions(&mapped) {
        return None;
    }
    normalize(&mapped)
}

/// RFC 4013 section 2.1. U+200B is in both tables; PostgreSQL takes it for a space.
fn map(text: &str) -> String {
    let spaced = text.chars().map(|c| {
        if tables::non_ascii_space_character(c) {
            ' '
        } else {
            c
        }
    });
    // Mapping never lengthens, so the buffer never moves and leaves no copy behind.
    let mut mapped = String::with_capacity(text.len());
    mapped.extend(spaced.filter(|&c| !tables::commonly_mapped_to_nothing(c)));
    mapped
}

/// RFC 4013 sections 2.3 and 2.5.
fn is_refused(c: char) -> bool {
    tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
        || tables::unassigned_code_point(c)
}

/// RFC 3454 section 6: text with right-to-left characters begins and ends with them and holds no left-to-right ones.
fn mixes_directions(text: &str) -> bool {
    let right_to_left = tables::bidi_r_or_al;
    text.contains(right_to_left)
        && (text.contains(left_to_right)
            || !text.starts_with(right_to_left)
            || !text.ends_with(right_to_left))
}

/// RFC 3454 table D.2, which is Unicode 3.2's; the library's follows newer versions.
fn left_to_right(c: char) -> bool {
    match c {
        // Since then neutral: two Khmer vowels, two Mongolian letters, the mathematical nablas and partial differentials.
        '\u{17B4}' | '\u{17B5}' | '\u{1885}' | '\u{1886}' => true,
        '\u{1D6C1}' | '\u{1D6DB}' | '\u{1D6FB}' | '\u{1D715}' | '\u{1D735}' => true,
        '\u{1D74F}' | '\u{1D76F}' | '\u{1D789}' | '\u{1D7A9}' | '\u{1D7C3}' => true,
        // Only since then left-to-right: some combining marks, the turned F, Braille.
        '\u{CBF}' | '\u{CC6}' | '\u{1734}' | '\u{302E}' | '\u{302F}' => false,
        '\u{2132}' | '\u{2800}'..='\u{28FF}' => false,
        _ => tables::bidi_l(c),
    }
}

/// NFKC of text that passed the checks above.
///
/// The library offers it only inside whole profiles. SASLprep's own repeats the checks on its result and so refuses
/// what PostgreSQL accepts (U+2135 ALEF SYMBOL next to Latin becomes a Hebrew letter next to Latin). X.520's has no rule
/// of direction, and all it would map or prohibit is mapped or refused already; only a combining mark at the start it
/// does not accept, hence the space, with which nothing composes.
fn normalize(mapped: &str) -> Option<Zeroizing<Vec<u8>>> {
    let spaced = Zeroizing::new([" ", mapped].concat());
    let normalized = stringprep::x520prep(&spaced, false).ok()?.into_owned();
    let normalized = Zeroizing::new(normalized.into_bytes());
    Some(Zeroizing::new(normalized.strip_prefix(b" ")?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_prepared_as_postgresql_does() {
        let table: [(&str, &str); 25] = [
            ("", ""),
            ("pencil", "pencil"),
            ("with space and \u{7f}", "with space and \u{7f}"),
            // RFC 4013 section 3.
            ("I\u{AD}X", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u{AA}", "a"),
            ("\u{2168}", "IX"),
            // Refused by the RFC, raw for PostgreSQL.
            ("\u{7}", "\u{7}"),
            ("\u{627}1", "\u{627}1"),
            ("\u{AD}", "\u{AD}"),
            ("e\u{301}\u{7}", "e\u{301}\u{7}"),
            ("e\u{301}\u{E000}", "e\u{301}\u{E000}"),
            ("e\u{301}\u{1F600}", "e\u{301}\u{1F600}"),
            // Prohibited before normalization, which would have removed it.
            ("e\u{301}\u{340}", "e\u{301}\u{340}"),
            // Unassigned in Unicode 3.2, though it normalizes to "0.".
            ("e\u{301}\u{1F100}", "e\u{301}\u{1F100}"),
            // Directions are looked at before normalization.
            ("\u{2135}a", "\u{5D0}a"),
            ("\u{627}\u{628}", "\u{627}\u{628}"),
            ("\u{301}\u{2135}a", "\u{301}\u{5D0}a"),
            ("\u{FB21}\u{28FF}\u{5D0}", "\u{5D0}\u{28FF}\u{5D0}"),
            ("\u{FB21}x", "\u{FB21}x"),
            ("\u{5D0}\u{1D6C1}\u{5D0}", "\u{5D0}\u{1D6C1}\u{5D0}"),
            ("a\u{A0}b\u{200B}c", "a b c"),
            ("caf\u{65}\u{301}", "caf\u{e9}"),
            ("\u{212B}\u{FF21}", "\u{C5}A"),
        ];
        for (password, expected) in table {
            assert_eq!(
                password_bytes(password).as_slice(),
                expected.as_bytes(),
                "{password:?}"
            );
        }
    }

    #[test]
    fn passwords_that_are_not_utf8_stay_as_they_are() {
        assert_eq!(password_bytes(b"caf\xe9").as_slice(), b"caf\xe9");
    }
}
