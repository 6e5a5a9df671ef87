//! Settings that a server process reads only when it starts, so that no SET on a pooled backend could bring them about: a client that
//! asks for one in its startup message has a backend of its own, started with it.
//!
//! They are those that `pg_settings` shows with context `backend` or `superuser-backend` (PostgreSQL 14 to 18), which SET refuses, and
//! the libraries that are loaded at the start of a session, which SET takes without any effect (documentation, "Shared Library
//! Preloading"). Whether the user may set them, and to what, is the database's to say.

/// In order, lower-case.
const NAMES: [&str; 8] = [
    "ignore_system_indexes",
    "jit_debugging_support",
    "jit_profiling_support",
    "local_preload_libraries",
    "log_connections",
    "log_disconnections",
    "post_auth_delay",
    "session_preload_libraries",
];

/// Whether this setting, by its lower-case name, is one of them.
pub(super) fn contains(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_for_their_search() {
        assert!(NAMES.is_sorted());
        assert!(NAMES.iter().all(|name| contains(name)));
        assert!(!contains("log_statement"));
    }
}
