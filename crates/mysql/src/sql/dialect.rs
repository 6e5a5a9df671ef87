//! The facts by which one and the same text means different things: which family of servers, which version, which modes, and
//! how bytes make characters. All of them are known to whoever holds a session; none is guessed from the text.

use super::{Assignment, Effect, SetValue, Statement, Target};

/// A family of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// MySQL and what is built of it.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// How the bytes of a client's texts make characters (`character_set_client`), as far as it decides where a token ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Charset {
    /// utf8mb4, utf8mb3: bytes beyond ASCII are parts of names.
    #[default]
    Utf8,
    /// No byte of a character is an ASCII byte, but for ASCII: latin1, ascii, binary, ujis, euckr … Bytes beyond ASCII may be
    /// letters, white space (latin1's 0xa0) or neither.
    AsciiSafe,
    /// big5, gbk, sjis, cp932, gb18030, and whatever is not known: the second byte of a character may be a backslash, a
    /// backtick, a letter or a digit.
    Unsafe,
}

impl Charset {
    /// The class of the character set of this name; `Unsafe` where the name is not known.
    pub fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "utf8" | "utf8mb3" | "utf8mb4" => Charset::Utf8,
            "armscii8" | "ascii" | "binary" | "cp1250" | "cp1251" | "cp1256" | "cp1257"
            | "cp850" | "cp852" | "cp866" | "dec8" | "eucjpms" | "euckr" | "gb2312" | "geostd8"
            | "greek" | "hebrew" | "hp8" | "keybcs2" | "koi8r" | "koi8u" | "latin1" | "latin2"
            | "latin5" | "latin7" | "macce" | "macroman" | "swe7" | "tis620" | "ujis" => {
                Charset::AsciiSafe
            }
            _ => Charset::Unsafe,
        }
    }
}

/// The parts of `sql_mode` that decide how a text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Modes {
    /// `"…"` is a name, not a text.
    pub ansi_quotes: bool,
    /// A backslash in a text is a backslash.
    pub no_backslash_escapes: bool,
    /// `||` joins texts. Calls and writes are the same either way.
    pub pipes_as_concat: bool,
    /// White space may stand between the name of a built-in function and its bracket.
    pub ignore_space: bool,
    /// MariaDB's grammar of another vendor: blocks need no CREATE.
    pub oracle: bool,
}

impl Modes {
    /// What a value of `sql_mode` makes of them.
    pub fn of_sql_mode(value: &str) -> Self {
        let mut modes = Modes::default();
        if let Ok(bits) = value.trim().parse::<u64>() {
            return Modes::of_bits(bits);
        }
        for name in value.split(',') {
            let name = name.trim().to_ascii_uppercase();
            let ansi = matches!(
                name.as_str(),
                "ANSI" | "DB2" | "MAXDB" | "MSSQL" | "ORACLE" | "POSTGRESQL"
            );
            modes.ansi_quotes |= ansi || name == "ANSI_QUOTES";
            modes.pipes_as_concat |= ansi || name == "PIPES_AS_CONCAT";
            modes.ignore_space |= ansi || name == "IGNORE_SPACE";
            modes.no_backslash_escapes |= name == "NO_BACKSLASH_ESCAPES";
            modes.oracle |= name == "ORACLE";
        }
        modes
    }

    /// The same where it is given as a number (sql/sql_class.h of both: `MODE_PIPES_AS_CONCAT` and so on).
    fn of_bits(bits: u64) -> Self {
        let has = |bit: u32| bits & 1 << bit != 0;
        Modes {
            pipes_as_concat: has(1),
            ansi_quotes: has(2),
            ignore_space: has(3),
            oracle: has(9),
            no_backslash_escapes: has(20),
        }
    }
}

/// Everything by which a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// The family of the server.
    pub family: Family,
    /// Its version as it writes it itself: 10.11.19 is 101119, 9.7.4 is 90704.
    pub version: u32,
    /// The session's modes when the server reads the text.
    pub modes: Modes,
    /// The session's `character_set_client` then.
    pub charset: Charset,
}

impl Dialect {
    /// A server of this kind with no mode that changes how a text is read, and a client of UTF-8.
    pub fn new(family: Family, version: u32) -> Self {
        Dialect {
            family,
            version,
            modes: Modes::default(),
            charset: Charset::Utf8,
        }
    }

    /// Whether the server is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.family == Family::MariaDb
    }

    /// How the server reads what follows this statement in the same text, should it succeed; `None` if the text does not tell.
    pub(super) fn after(self, statement: &Statement) -> Option<Self> {
        match &statement.effect {
            Effect::Set(assignments) => assignments.iter().try_fold(self, Dialect::with),
            // Routines put back the modes and the client's character set that they were called under, as all families were seen to
            // do; blocks and SQL made of texts do not.
            Effect::Opaque | Effect::Execute(_) => None,
            _ => Some(self),
        }
    }

    fn with(mut self, assignment: &Assignment) -> Option<Self> {
        match &assignment.target {
            Target::Session(name) if name == "sql_mode" => match &assignment.value {
                SetValue::Sql(value) => self.modes = Modes::of_sql_mode(plain(value)?),
                _ => return None,
            },
            Target::Session(name) if name == "character_set_client" => {
                self.charset = charset_of(&assignment.value)?;
            }
            Target::Names { .. } | Target::CharacterSet => {
                self.charset = charset_of(&assignment.value)?;
            }
            _ => {}
        }
        Some(self)
    }
}

fn charset_of(value: &SetValue) -> Option<Charset> {
    match value {
        SetValue::Sql(name) => Some(Charset::of_name(plain(name)?)),
        _ => None,
    }
}

/// The characters of a word or of a text in quotes; numbers have no names.
fn plain(value: &str) -> Option<&str> {
    let inner = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .unwrap_or(value);
    let is_number = inner.starts_with(|first: char| !first.is_ascii_alphabetic());
    (!is_number || inner.is_empty()).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_from_lists_and_from_names_of_several() {
        let modes = Modes::of_sql_mode("STRICT_ALL_TABLES, no_backslash_escapes");
        assert!(modes.no_backslash_escapes && !modes.ansi_quotes && !modes.ignore_space);
        let modes = Modes::of_sql_mode("ANSI");
        assert!(modes.ansi_quotes && modes.pipes_as_concat && modes.ignore_space && !modes.oracle);
        assert!(Modes::of_sql_mode("Oracle").oracle);
        assert_eq!(Modes::of_sql_mode(""), Modes::default());
        let modes = Modes::of_sql_mode("1048580");
        assert!(modes.ansi_quotes && modes.no_backslash_escapes && !modes.pipes_as_concat);
    }

    #[test]
    fn character_sets_that_nobody_knows_are_unsafe() {
        assert_eq!(Charset::of_name("UTF8MB4"), Charset::Utf8);
        assert_eq!(Charset::of_name("latin1"), Charset::AsciiSafe);
        for name in ["gbk", "sjis", "cp932", "big5", "gb18030", "ucs2", "new"] {
            assert_eq!(Charset::of_name(name), Charset::Unsafe, "{name}");
        }
    }
}
