//! What the process asks of the operating system for itself: file descriptors, and no core files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Raises the soft limit of open files to the hard one: each client and each backend needs one.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let shown =
        |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!(
            "open files: limit {} (was {})",
            shown(limit.maximum),
            shown(limit.current)
        ),
        Err(error) => warn!("open files: limit stays {}: {error}", shown(limit.current)),
    }
}

/// Keeps passwords and clients' data out of core files, and other processes of this user out of our memory.
#[cfg(target_os = "linux")]
pub fn forbid_core() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn!("core files stay possible, and would hold passwords: {error}");
    }
}

/// Keeps passwords and clients' data out of core files.
#[cfg(not(target_os = "linux"))]
pub fn forbid_core() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        warn!("core files stay possible, and would hold passwords: {error}");
    }
}
