//! What stands beside a server in tests and measurements: MySQL Router, HAProxy, sysbench.
//!
//! Router is fetched from Debian unstable and installed nowhere. The other two are the machine's, or installed as `install`
//! says, which also says what is missing where that cannot be.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::release::Version;
use crate::debian_tree::{self, Packages, Program, SID, Tree};
use crate::{install, process};

const ROUTER: Packages = Packages {
    name: "mysql-router",
    suites: &[SID],
    packages: &["mysql-router"],
    series: "",
    programs: &[Program {
        name: "mysqlrouter",
        path: "usr/bin/mysqlrouter",
        library: Some("usr/lib/mysql-router"),
        variable: None,
    }],
};

/// MySQL Router.
pub struct Router {
    /// What starts it.
    pub program: PathBuf,
    /// What its configuration must name as `plugin_folder`.
    pub plugins: PathBuf,
    /// As it says it.
    pub version: String,
}

/// MySQL Router, found or fetched; `anew` fetches it in any case.
pub fn router(anew: bool) -> Result<Router> {
    let tree = if anew {
        debian_tree::fetch(&ROUTER)
    } else {
        Tree::find_or_fetch(&ROUTER)
    };
    let tree = tree.context("MySQL Router could not be fetched")?;
    let program = tree.program("mysqlrouter");
    let said = process::capture(Command::new(&program).arg("--version"))?;
    Ok(Router {
        plugins: tree.usr().join("lib/mysqlrouter/plugin"),
        version: Version::read(&said).map_or(tree.version, |version| version.number),
        program,
    })
}

/// HAProxy, found or installed.
pub fn haproxy() -> Result<PathBuf> {
    install::program("haproxy", "haproxy")
}

/// sysbench with its scripts (`oltp_point_select` and others, by name), found or installed.
pub fn sysbench() -> Result<PathBuf> {
    install::program("sysbench", "sysbench")
}
