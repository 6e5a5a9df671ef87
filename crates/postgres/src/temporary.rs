//! `temp_buffers`: a server process takes no other value once it has had a temporary table (`check_temp_buffers`), so a session that has
//! set it, or is about to, must not meet a process on which anybody had one.
//!
//! What is known is what texts tell, and what questions find: a table that trusted code makes and drops within its transaction is not seen.

use crate::backend::Backend;
use crate::session::Session;
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
    keeps && !speaks_of_it(&input[..input.len().min(REQUEST_BYTES_MAX)])
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
    fn the_setting_is_found_in_whatever_case() {
        assert!(speaks_of_it(b"SET TEMP_Buffers = '16MB'"));
        assert!(!speaks_of_it(
            b"set work_mem = '16MB'; create temp table temp_buf"
        ));
    }
}
