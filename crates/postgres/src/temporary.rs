//! What a server process keeps of temporary tables that are gone: `temp_buffers` takes no other value (`check_temp_buffers`), and their
//! schema is there. So a session that has set the one, or is about to, or whose tables go into the other, must not meet a process on
//! which anybody had one: a transaction that makes the schema cannot be prepared, one that finds it can (`AccessTempTableNamespace`).
//!
//! What is known is what texts tell, and what questions find: a table that trusted code makes and drops within its transaction is not seen.

use crate::backend::Backend;
use crate::session::Session;
use forebay_core::settings::{Map, Value};
use memchr::memchr2_iter;

/// The setting.
const NAME: &str = "temp_buffers";

/// Bytes of a first request that are looked into.
const REQUEST_BYTES_MAX: usize = 1024;

/// Whether a session that has asked for what `input` begins with may have this backend.
pub fn suit(session: &Session, backend: &Backend, input: &[u8]) -> bool {
    if !backend.had_temporary {
        return true;
    }
    let wanted = session.tracker.committed().map().get(NAME);
    // What it has already, it takes again.
    let keeps = wanted.is_none() || backend.label.map().get(NAME) == wanted;
    keeps
        && !speaks_of_it(&input[..input.len().min(REQUEST_BYTES_MAX)])
        && !makes_temporary(session.tracker.committed().map())
}

/// Whether `search_path` has the schema of temporary tables first.
fn makes_temporary(settings: &Map) -> bool {
    let (Value::Sql(path) | Value::Literal(path)) = match settings.get("search_path") {
        Some(path) => path,
        None => return false,
    };
    let first = path.split(',').next().unwrap_or_default();
    let name = first.trim_matches(['\'', '"', ' ']);
    name.eq_ignore_ascii_case("pg_temp")
}

fn speaks_of_it(input: &[u8]) -> bool {
    let is_name = |at: usize| {
        let found = input.get(at..at + NAME.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(NAME.as_bytes()))
    };
    memchr2_iter(b't', b'T', input).any(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_begins_with_temporary_tables_makes_such() {
        let makes = |value: Value| makes_temporary(&Map::from([("search_path".into(), value)]));
        for path in ["pg_temp", "'pg_temp'", " PG_TEMP , public"] {
            assert!(makes(Value::Sql(path.into())), "{path}");
        }
        assert!(makes(Value::Literal("\"pg_temp\", a".into())));
        for path in ["public, pg_temp", "pg_temp_3", "''"] {
            assert!(!makes(Value::Sql(path.into())), "{path}");
        }
        assert!(!makes_temporary(&Map::new()));
    }

    #[test]
    fn the_setting_is_found_in_whatever_case() {
        assert!(speaks_of_it(b"SET TEMP_Buffers = '16MB'"));
        assert!(!speaks_of_it(
            b"set work_mem = '16MB'; create temp table temp_buf"
        ));
    }
}
