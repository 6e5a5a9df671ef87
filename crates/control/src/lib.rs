//! Forebay: control.
