//! Forebay: api.
