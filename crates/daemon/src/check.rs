//! `forebay check`: what a configuration file says, or everything that is wrong with it. Starts nothing, connects to nothing.

use crate::plan::environment;
use anyhow::Result;
use forebay_control::config;
use forebay_core::snapshot::Proxy;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Prints a summary of the file at `path` to standard output, warnings to standard error.
///
/// # Errors
/// Everything that is wrong with it, one line each.
pub fn check(path: &Path) -> Result<()> {
    let loaded = config::load(path, 1, &environment)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let mut summary = format!("{}: ok\n", path.display());
    for proxy in &loaded.snapshot.proxies {
        describe(&mut summary, proxy);
    }
    // Nobody reads any more: not our problem.
    let _ = std::io::stdout().write_all(summary.as_bytes());
    Ok(())
}

fn describe(summary: &mut String, proxy: &Proxy) {
    let engine = proxy.engine.as_str();
    let users: Vec<&str> = proxy
        .credentials
        .iter()
        .map(|credential| credential.username.as_str())
        .collect();
    line(
        summary,
        format_args!(
            "proxy {} ({engine}), users: {}",
            proxy.name,
            users.join(", ")
        ),
    );
    for endpoint in &proxy.endpoints {
        let (name, role) = (&endpoint.name, endpoint.role.as_str());
        line(
            summary,
            format_args!("  endpoint {name}: {}, {role}", endpoint.listen),
        );
    }
    for target in &proxy.target_group.targets {
        line(
            summary,
            format_args!("  target {}:{}", target.host, target.port),
        );
    }
}

fn line(summary: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(summary, "{text}").expect("writing to a string does not fail");
}
