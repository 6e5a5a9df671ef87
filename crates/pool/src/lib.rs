//! Forebay: pool.
