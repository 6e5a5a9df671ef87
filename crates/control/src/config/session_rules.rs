//! What sessions may share with each other: `session_pinning_filters`, `custom_settings` and `tainting_functions` of a target group.

use super::reader::Table;
use forebay_core::PinReason;
use forebay_core::snapshot::{CustomSettings, SessionRules};

/// The keys that are read here.
pub(super) const KEYS: [&str; 3] = [
    "session_pinning_filters",
    "custom_settings",
    "tainting_functions",
];

/// RDS's filter, and those of ours: which reasons they keep from pinning. Each of these reasons is about something that the reset
/// ahead of another session takes away whole.
const FILTERS: [(&str, &[PinReason]); 3] = [
    (
        "EXCLUDE_VARIABLE_SETS",
        &[
            PinReason::SetConfig,
            PinReason::UntrackedSetting,
            PinReason::UserVariable,
            PinReason::OneShotSetting,
            PinReason::UnexplainedReport,
        ],
    ),
    ("EXCLUDE_PROCEDURE_CALLS", &[PinReason::ProcedureCall]),
    ("EXCLUDE_TEMPORARY_OBJECTS", &[PinReason::TemporaryObject]),
];

/// Most functions that may be named.
const FUNCTIONS_MAX: usize = 256;
/// Longest name of one (`NAMEDATALEN` less one).
const FUNCTION_BYTES_MAX: usize = 63;

pub(super) fn read(table: &Table<'_>) -> SessionRules {
    let customs = [
        ("strict", CustomSettings::Strict),
        ("shared", CustomSettings::Shared),
    ];
    SessionRules {
        unpinned: unpinned(table),
        custom_settings: table.choice("custom_settings", &customs, CustomSettings::default()),
        tainting_functions: tainting_functions(table),
    }
}

fn unpinned(table: &Table<'_>) -> Vec<PinReason> {
    let mut unpinned = Vec::new();
    for (text, field) in table.texts("session_pinning_filters") {
        match FILTERS.iter().find(|(name, _)| *name == text) {
            Some((_, reasons)) => unpinned.extend_from_slice(reasons),
            None => {
                let names = FILTERS.map(|(name, _)| name).join(", ");
                table.wrong(&field, format!("no such filter: allowed are {names}"));
            }
        }
    }
    unpinned.sort_unstable();
    unpinned.dedup();
    unpinned
}

fn tainting_functions(table: &Table<'_>) -> Vec<Box<str>> {
    let mut functions = Vec::new();
    for (text, field) in table.texts("tainting_functions") {
        if functions.len() == FUNCTIONS_MAX {
            table.wrong(&field, format!("must be at most {FUNCTIONS_MAX} functions"));
            break;
        }
        if is_function(text) {
            functions.push(text.to_ascii_lowercase().into());
        } else {
            let fix = format!(
                "must be the name of a function without schema, arguments and quotes, of at most {FUNCTION_BYTES_MAX} bytes"
            );
            table.wrong(&field, fix);
        }
    }
    functions.sort_unstable();
    functions.dedup();
    functions
}

/// Whether it can stand before a bracket in SQL, without quotes.
fn is_function(text: &str) -> bool {
    let begins = |c: char| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii();
    let goes_on = |c: char| begins(c) || c == '$' || c.is_ascii_digit();
    text.len() <= FUNCTION_BYTES_MAX && text.starts_with(begins) && text.chars().all(goes_on)
}
