//! Which crate may know which: the table of docs/ARCHITECTURE.md, held against `cargo metadata`.
//!
//! `dataplane` and `control` never see each other: snapshots go down and events come up through `core`. Engines and `pool`
//! know no runtime, socket, clock or random source. Dev-dependencies may reach further, but not between those two.

use serde_json::Value;

/// A crate of ours and all of ours that it may use. What is not listed here is a fault: a new crate gets its row.
const ALLOWED: [(&str, &[&str]); 11] = [
    (
        "forebay",
        &[
            "forebay-dataplane",
            "forebay-api",
            "forebay-control",
            // `forebay explain` shows what the engine's reader of SQL makes of a text.
            "forebay-postgres",
            "forebay-mysql",
            "forebay-core",
        ],
    ),
    ("forebay-api", &["forebay-control", "forebay-core"]),
    ("forebay-control", &["forebay-core"]),
    (
        "forebay-dataplane",
        &[
            "forebay-postgres",
            "forebay-mysql",
            "forebay-pool",
            "forebay-core",
        ],
    ),
    ("forebay-postgres", &["forebay-core"]),
    ("forebay-mysql", &["forebay-core"]),
    ("forebay-pool", &["forebay-core"]),
    ("forebay-core", &[]),
    (
        "forebay-testkit",
        &[
            "forebay-dataplane",
            "forebay-api",
            "forebay-control",
            "forebay-postgres",
            "forebay-mysql",
            "forebay-pool",
            "forebay-core",
        ],
    ),
    ("forebay-conformance", &[]),
    ("xtask", &[]),
];

/// Crates that decide and never do.
pub const DECIDERS: [&str; 4] = [
    "forebay-core",
    "forebay-pool",
    "forebay-postgres",
    "forebay-mysql",
];

/// What would give a decider a runtime, a socket, a clock or chance.
const DOERS: [&str; 12] = [
    "async-std",
    "chrono",
    "fastrand",
    "getrandom",
    "io-uring",
    "libc",
    "mio",
    "polling",
    "rand",
    "rustix",
    "socket2",
    "tokio",
];

/// Every edge that the tables do not allow.
pub fn faults(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            faults.push(format!(
                "edges: the crate {name} has no row in the table of allowed edges"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let of = dependency["name"].as_str().unwrap_or_default();
            let dev = dependency["kind"] == "dev";
            faults.extend(fault(name, of, dev, allowed));
        }
    }
    faults
}

fn fault(name: &str, of: &str, dev: bool, allowed: &[&str]) -> Option<String> {
    let strangers = ["forebay-dataplane", "forebay-control"];
    let meet = name != of && strangers.contains(&name) && strangers.contains(&of);
    let ours = of == "forebay" || of.starts_with("forebay-") || of == "xtask";
    if meet || (ours && !dev && !allowed.contains(&of)) {
        return Some(format!("edges: {name} may not know {of}"));
    }
    let doer = !dev && DECIDERS.contains(&name) && DOERS.contains(&of);
    doer.then(|| format!("edges: {name} decides and may not use {of}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_outside_the_table_is_a_fault() {
        let metadata = serde_json::json!({"packages": [
            {"name": "forebay-pool", "dependencies": [{"name": "forebay-core", "kind": null}, {"name": "tokio", "kind": null}]},
            {"name": "forebay-control", "dependencies": [{"name": "forebay-dataplane", "kind": "dev"}]},
            {"name": "forebay-new", "dependencies": []},
        ]});
        let faults = faults(&metadata);
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].contains("forebay-pool decides and may not use tokio"));
        assert!(faults[1].contains("forebay-control may not know forebay-dataplane"));
        assert!(faults[2].contains("forebay-new has no row"));
    }
}
