//! Percent-decoding as RFC 3986 (2.1) has it: `%XX` is a byte, `+` is a plus sign.

/// The text that `encoded` stands for; `None` if an escape is incomplete or the bytes are not UTF-8.
pub(super) fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => 16 * digit(rest.next()?)? + digit(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escapes_are_bytes_and_a_plus_is_a_plus() {
        let table = [
            ("", Some("")),
            ("p%40s%3as", Some("p@s:s")),
            ("a+b", Some("a+b")),
            ("%C3%A4", Some("ä")),
            ("%c3", None),
            ("%4", None),
            ("%", None),
            ("%zz", None),
            ("%+1", None),
        ];
        for (encoded, text) in table {
            assert_eq!(decode(encoded).as_deref(), text, "{encoded}");
        }
    }
}
