//! Forebay: testkit.
