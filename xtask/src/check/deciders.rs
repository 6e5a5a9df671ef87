//! What the crates that decide never touch, even from the standard library: sockets, clocks, threads, files.
//!
//! Instants come in as arguments, so `Instant` as a type is fine and `Instant::now` is not. Unit tests are not looked at.

use anyhow::Result;

use super::lines_before_tests;
use crate::workspace;

const FOLDERS: [&str; 4] = [
    "crates/core/src",
    "crates/pool/src",
    "crates/postgres/src",
    "crates/mysql/src",
];

const NEVER: [&str; 8] = [
    "Instant::now",
    "SystemTime::now",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::fs",
    "std::process",
    "async fn",
];

/// Every line of a decider that touches the world.
pub fn faults() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for folder in FOLDERS {
        for file in workspace::files(folder)? {
            let is_test = file.to_string_lossy().contains("test");
            if is_test || file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            // A file may be listed and already deleted.
            let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else {
                continue;
            };
            let found =
                lines_before_tests(&text).filter_map(|(at, line)| Some((at, touches(line)?)));
            faults.extend(
                found.map(|(at, what)| format!("deciders: {}:{at} uses {what}", file.display())),
            );
        }
    }
    Ok(faults)
}

fn touches(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    NEVER.into_iter().find(|word| code.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_seen_and_a_comment_about_one_is_not() {
        assert_eq!(touches("let now = Instant::now();"), Some("Instant::now"));
        assert_eq!(touches("/// never calls `Instant::now`"), None);
        assert_eq!(touches("pub fn on_bytes(&mut self, now: Instant) {"), None);
    }
}
