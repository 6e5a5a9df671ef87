//! A report, not a rule: files long enough to ask whether they are two ideas.

use anyhow::Result;

use crate::workspace;

/// Lines at which to ask.
const LONG_LINES: usize = 600;

/// Prints the long files and the sum.
pub fn report() -> Result<()> {
    let mut long = Vec::new();
    let (mut files, mut lines) = (0, 0);
    for file in workspace::files(".")? {
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else {
            continue;
        };
        let count = text.lines().count();
        files += 1;
        lines += count;
        if count >= LONG_LINES {
            long.push((count, file));
        }
    }
    long.sort();
    eprintln!("  {files} Rust files, {lines} lines");
    for (count, file) in long.iter().rev() {
        eprintln!("  {count} lines: {} (is it two ideas?)", file.display());
    }
    Ok(())
}
