//! One word per thing: names that say nothing, and markers of unfinished work, do not occur.
//!
//! Only names of modules and types are looked at; prose may use any word. AWS's own names keep AWS's words.

use anyhow::Result;

use crate::workspace;

/// Words that a module or type never has in its name: they say that something is there, not what it is.
const EMPTY: [&str; 7] = [
    "util", "utils", "common", "manager", "handler", "helper", "misc",
];
const AWS: [&str; 1] = ["SecretsManager"];

/// Markers that belong in an issue, written so that this file does not hold them itself.
const UNFINISHED: [&str; 3] = [
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X:"),
];

/// Every name and marker that should not be there.
pub fn faults() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in workspace::files(".")? {
        let name = file.display().to_string();
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        if let Some(word) = EMPTY
            .iter()
            .find(|word| file.file_stem().is_some_and(|stem| stem == **word))
        {
            faults.push(format!(
                "words: {name} is named `{word}`: name it for what it answers"
            ));
        }
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else {
            continue;
        };
        for (at, line) in text.lines().enumerate() {
            faults.extend(fault(line).map(|what| format!("words: {name}:{}: {what}", at + 1)));
        }
    }
    Ok(faults)
}

fn fault(line: &str) -> Option<String> {
    if let Some(marker) = UNFINISHED.iter().find(|marker| line.contains(**marker)) {
        return Some(format!("`{marker}` belongs in an issue"));
    }
    let declared = declared_name(line)?;
    let rest = AWS
        .iter()
        .fold(declared.to_string(), |name, aws| name.replace(aws, ""));
    let word = parts(&rest)
        .into_iter()
        .find(|part| EMPTY.contains(&part.as_str()))?;
    Some(format!("`{declared}` has the empty word `{word}`"))
}

/// The name that a line declares as a type or module.
fn declared_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = code
        .strip_prefix("pub(crate) ")
        .or_else(|| code.strip_prefix("pub "))
        .unwrap_or(code);
    let rest = ["struct ", "enum ", "trait ", "mod ", "type "]
        .iter()
        .find_map(|word| code.strip_prefix(word))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// `ConnectionManager` and `connection_manager` are both `connection`, `manager`.
fn parts(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        if c != '_' {
            parts
                .last_mut()
                .expect("there is always one part")
                .extend(c.to_lowercase());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_with_an_empty_word_is_a_fault_and_aws_names_are_not() {
        assert!(
            fault("pub struct ConnectionManager {")
                .unwrap()
                .contains("manager")
        );
        assert!(fault("mod query_utils;").unwrap().contains("utils"));
        assert_eq!(fault("pub struct SecretsManagerSource {"), None);
        assert_eq!(fault("// a signal handler"), None);
        assert_eq!(fault("pub struct Commonality;"), None);
    }
}
