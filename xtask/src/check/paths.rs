//! Whether the files and folders that docs/ARCHITECTURE.md speaks of exist.

use crate::workspace;
use anyhow::{Context, Result};

const DOCUMENT: &str = "docs/ARCHITECTURE.md";

/// Every path in back quotes that begins with one of our folders and is not there.
pub fn faults() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(workspace::root().join(DOCUMENT)).context(DOCUMENT)?;
    let missing = paths(&text).filter(|path| !workspace::root().join(path).exists());
    Ok(missing
        .map(|path| format!("paths: {DOCUMENT} speaks of {path}, which does not exist"))
        .collect())
}

fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|path| {
        ["crates/", "docs/", "fuzz/", "scenarios/"]
            .iter()
            .any(|folder| path.starts_with(folder))
            && !path.contains(['*', ' ', '{'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_quoted_and_ours_is_a_path() {
        let text = "see `crates/core` and `Query`, not crates/none, `docs/x.md`";
        assert_eq!(
            paths(text).collect::<Vec<_>>(),
            ["crates/core", "docs/x.md"]
        );
    }

    #[test]
    fn everything_the_architecture_speaks_of_exists() {
        assert_eq!(faults().unwrap(), Vec::<String>::new());
    }
}
