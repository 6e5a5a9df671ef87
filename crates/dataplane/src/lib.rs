//! Forebay: dataplane.
