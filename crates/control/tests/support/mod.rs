//! A directory of its own for each test, with files, certificates and the configuration in it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use forebay_control::config::{self, Loaded};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that vanishes with the value.
pub struct Directory(PathBuf);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Directory {
    /// An empty directory.
    pub fn new() -> Directory {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forebay-control-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("the target directory is writable");
        Directory(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner may read.
    pub fn file(&self, name: &str, contents: &str) -> PathBuf {
        self.file_with_mode(name, contents, 0o600)
    }

    /// Writes a file.
    pub fn file_with_mode(&self, name: &str, contents: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, contents).expect("the directory is writable");
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, permissions).expect("the file is ours");
        path
    }

    /// Writes a self-signed certificate and its key as `NAME.pem` and `NAME.key`.
    pub fn certificate(&self, name: &str) {
        let made = rcgen::generate_simple_self_signed([format!("{name}.example.org")])
            .expect("the name is a host name");
        self.file(&format!("{name}.pem"), &made.cert.pem());
        self.file(&format!("{name}.key"), &made.signing_key.serialize_pem());
    }

    /// Loads `text` as the configuration; the environment has the variable `APP_PASSWORD`. Errors and warnings come as lines, with `DIR` for the
    /// directory's path.
    pub fn load(&self, text: &str) -> Result<Loaded, Vec<String>> {
        let path = self.file("forebay.toml", text);
        config::load(&path, 1, &environment)
            .map_err(|errors| errors.0.iter().map(|error| self.line(error)).collect())
    }

    /// An error or a warning as a line, with `DIR` for the directory's path.
    pub fn line(&self, shown: &impl ToString) -> String {
        let here = self
            .0
            .to_str()
            .expect("the target directory's path is UTF-8");
        shown.to_string().replace(&format!("{here}/"), "DIR/")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The environment of the tests.
pub fn environment(name: &str) -> Option<String> {
    (name == "APP_PASSWORD").then(|| "hunter2".to_owned())
}

/// A configuration that is right; tests replace parts of it.
pub const GOOD: &str = r#"
[[secrets]]
name = "app"
username = "app"
password_env = "APP_PASSWORD"

[[proxies]]
name = "orders"
engine_family = "POSTGRESQL"
auth = [ { secret = "app" } ]
[[proxies.endpoints]]
listen = "127.0.0.1:6432"
[proxies.target_group]
[[proxies.target_group.targets]]
host = "db.example.org"
"#;

/// `GOOD` with one piece replaced.
pub fn with(old: &str, new: &str) -> String {
    assert_eq!(GOOD.matches(old).count(), 1, "{old:?} must be there once");
    GOOD.replace(old, new)
}
