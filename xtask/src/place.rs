//! A private place for one server or proxy: a folder that goes with its value, a user that may run it, a free port.
//!
//! Database servers refuse to run as root, so a root user's server runs as `postgres` or `nobody`, which then owns the folder.
//! Passwords are made at random: what listens on loopback is reachable by every user of the machine.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::cleanup::{self, Guard};
use crate::{install, process};

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// A user that may run a server when we may not.
#[derive(Clone, Copy)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// `None` when we are not root and servers may run as we are.
    pub fn unprivileged() -> Result<Option<User>> {
        if !install::is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
        let found = ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::named(&users, name));
        found.map(Some).context("a database server refuses to run as root, and there is no user `postgres` or `nobody` to run it as")
    }

    fn named(users: &str, name: &str) -> Option<User> {
        let fields: Vec<&str> = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|user| user[0] == name)?;
        Some(User {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    }

    /// Makes a command run as this user, without our groups.
    pub fn runs(self, command: &mut Command) -> &mut Command {
        command.uid(self.uid).gid(self.gid)
    }

    /// Gives a folder and all in it to this user.
    pub fn owns(self, folder: &Path) -> Result<()> {
        let owner = format!("{}:{}", self.uid, self.gid);
        process::capture(Command::new("chown").args(["-R", &owner]).arg(folder)).map(drop)
    }
}

/// A folder that is removed at the end.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    _remove: Guard,
}

/// Makes a folder for one server or proxy under the machine's temporary folder.
pub fn private_folder() -> Result<Folder> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = loop {
        let name = format!(
            "forebay-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        match fs::create_dir(&path) {
            Ok(()) => break path,
            // Left by a killed process that had our id: the next number is free sooner or later.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", path.display()));
            }
        }
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
    let remove = path.clone();
    let guard = cleanup::guard(move || drop(fs::remove_dir_all(remove)));
    Ok(Folder {
        path,
        _remove: guard,
    })
}

/// Writes a file that only its owner reads.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(())
}

/// A password that nobody can guess.
pub fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let user = User::named(users, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(User::named(users, "nobody").is_none());
    }

    #[test]
    fn a_private_folder_is_ours_alone_and_goes_with_its_value() {
        let folder = private_folder().unwrap();
        let path = folder.path.clone();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(folder);
        assert!(!path.exists());
    }
}
