//! Tables of statements and what they do, as `classify` sees them; properties over texts of any kind.

mod catalogue;
mod explained;
mod fingerprints;
mod lexical;
mod prepared;
mod properties;
mod queries;
mod settings;

use forebay_core::PinReason;

use super::{Class, Effect, classify};

/// The effects of `sql`, pure ones too; for `Class::Pure`, whose number is not told, a single one.
fn effects(sql: &str) -> Vec<Effect> {
    listed(classify(sql.as_bytes(), true))
}

/// As `effects`, with standard_conforming_strings off.
fn effects_with_escapes(sql: &str) -> Vec<Effect> {
    listed(classify(sql.as_bytes(), false))
}

fn listed(class: Class) -> Vec<Effect> {
    match class {
        Class::Pure => vec![Effect::Pure],
        Class::Statements(effects) => effects,
    }
}

fn assert_effects(table: &[(&str, &[Effect])]) {
    for (sql, expected) in table {
        assert_eq!(effects(sql), *expected, "{sql}");
    }
}

fn assert_each(expected: &Effect, statements: &[&str]) {
    for sql in statements {
        assert_eq!(effects(sql), std::slice::from_ref(expected), "{sql}");
    }
}

fn assert_pure(statements: &[&str]) {
    assert_each(&Effect::Pure, statements);
}

fn assert_opaque(statements: &[&str]) {
    assert_each(&Effect::Opaque, statements);
}

fn assert_pins(reason: PinReason, statements: &[&str]) {
    assert_each(&Effect::Pin(reason), statements);
}
