//! What the process asks of the operating system for itself: file descriptors, no core files, where its output goes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use tracing::{info, warn};

/// Whether standard output and standard error go to one place: one terminal, pipe, socket or file.
pub fn outputs_are_one() -> bool {
    let place = |output: &dyn AsFd| -> io::Result<(u64, u64)> {
        let data = File::from(output.as_fd().try_clone_to_owned()?).metadata()?;
        Ok((data.dev(), data.ino()))
    };
    match (place(&io::stdout()), place(&io::stderr())) {
        (Ok(output), Ok(log)) => output == log,
        _ => false,
    }
}

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
