//! How a message is written as a line: a name and its fields, words and texts. Each family has names and fields of its own, in the files
//! `messages` of its tests.
//!
//! Texts are quoted, with `\"`, `\\`, `\n` and `\xNN`; `"ab"*1000` repeats.

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A number, a letter, `NULL`, or a `$name` that stands for a text.
    Word(String),
    /// Bytes.
    Text(Vec<u8>),
}

/// A message by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub fields: Vec<Field>,
}

/// Who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Client,
    Backend,
}

impl Line {
    /// Reads a line.
    pub fn parse(text: &str) -> Line {
        let mut tokens = tokens(text).into_iter();
        let Some(Field::Word(name)) = tokens.next() else {
            panic!("a message begins with its name: {text}")
        };
        let fields = tokens.collect();
        Line { name, fields }
    }
}

pub fn text(field: Option<&Field>) -> &[u8] {
    match field {
        Some(Field::Text(text)) => text,
        other => panic!("here stands a text, not {other:?}"),
    }
}

pub fn word(field: Option<&Field>) -> &str {
    match field {
        Some(Field::Word(word)) => word,
        other => panic!("here stands a word, not {other:?}"),
    }
}

pub fn number(field: Option<&Field>) -> u32 {
    word(field).parse().expect("a number")
}

/// Words and quoted texts of a line.
fn tokens(line: &str) -> Vec<Field> {
    let mut rest = line.trim();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (mut text, after) = unquote(quoted);
            rest = after;
            if let Some(count) = rest.strip_prefix('*') {
                let end = count.find(' ').unwrap_or(count.len());
                text = text.repeat(count[..end].parse().expect("how often to repeat"));
                rest = &count[end..];
            }
            tokens.push(Field::Text(text));
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            tokens.push(Field::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    tokens
}

/// The text before the closing quote, and what follows that.
fn unquote(quoted: &str) -> (Vec<u8>, &str) {
    let mut text = Vec::new();
    let mut rest = quoted.char_indices();
    while let Some((at, char)) = rest.next() {
        match char {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => match rest.next().map(|(_, char)| char) {
                Some('n') => text.push(b'\n'),
                Some('x') => {
                    text.push(u8::from_str_radix(&quoted[at + 2..at + 4], 16).expect("two digits"));
                    rest.nth(1);
                }
                Some(other) => text.extend_from_slice(other.to_string().as_bytes()),
                None => break,
            },
            other => text.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    panic!("a text has no closing quote: {quoted}")
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        for field in &self.fields {
            match field {
                Field::Word(word) => write!(f, " {word}")?,
                Field::Text(text) if text.len() > 300 => write!(f, " ({} bytes)", text.len())?,
                Field::Text(text) => write!(f, " \"{}\"", text.escape_ascii())?,
            }
        }
        Ok(())
    }
}
