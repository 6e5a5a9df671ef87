//! Drivers and their tests from the registries, each at a pinned version, with the registries' own clients.
//!
//! What is fetched lands in our cache (`target/forebay-servers`) and is fetched again when what is wanted has changed. Nothing of it is committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::steps::progress;
use crate::{debian_source, install, process, workspace};

/// A folder that `make` has filled; kept as long as `wanted` stays the same.
fn once(name: &str, wanted: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = workspace::cache().join(format!("suites-{name}"));
    let mark = folder.join("complete");
    if fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    make(&folder)?;
    fs::write(mark, wanted)?;
    Ok(folder)
}

/// A Python of its own with these requirements, one a line; gives the interpreter.
pub fn python(name: &str, requirements: &str) -> Result<PathBuf> {
    let folder = once(&format!("{name}-venv"), requirements, |folder| {
        progress(&format!(
            "installing from PyPI: {}",
            requirements
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        ));
        let system = install::program("python3", "python3")?;
        process::capture(Command::new(system).args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        process::capture(pip.args(requirements.split_whitespace())).map(drop)
    })?;
    Ok(folder.join("bin/python"))
}

/// A source distribution of PyPI, unpacked.
pub fn sdist(python: &Path, name: &str, version: &str) -> Result<PathBuf> {
    once(&format!("{name}-sdist"), version, |folder| {
        progress(&format!(
            "fetching the source distribution of {name} {version} from PyPI"
        ));
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-binary=:all:",
        ]);
        process::capture(
            pip.arg("--dest")
                .arg(folder)
                .arg(format!("{name}=={version}")),
        )?;
        let archive = install::file_ending(folder, ".tar.gz")?;
        unpack(&archive, folder)
    })
}

/// The upstream sources that Debian has of a package; gives its folder and the upstream version.
pub fn debian(package: &str, wanted: &str) -> Result<(PathBuf, String)> {
    let folder = once(&format!("{package}-debian"), wanted, |folder| {
        progress(&format!("fetching Debian's sources of {package}"));
        let source = debian_source::fetch(package, wanted, folder)?;
        unpack(&source.archive, folder)?;
        fs::write(folder.join("debian-version"), &source.version)?;
        Ok(())
    })?;
    let version = fs::read_to_string(folder.join("debian-version"))?;
    Ok((folder, upstream(&version).to_owned()))
}

/// Debian's version without what Debian adds.
fn upstream(version: &str) -> &str {
    let without = version
        .rsplit_once('-')
        .map_or(version, |(upstream, _)| upstream);
    without.split(['+', '~']).next().unwrap_or(without)
}

/// Unpacks an archive without the folder that is all it holds.
fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("xf")
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .arg("--strip-components=1");
    process::capture(&mut tar)?;
    Ok(fs::remove_file(archive)?)
}

/// Packages of npm, `NAME@VERSION` each, in one folder.
pub fn npm(name: &str, packages: &[String]) -> Result<PathBuf> {
    let wanted = packages.join(" ");
    once(&format!("{name}-npm"), &wanted, |folder| {
        progress(&format!("installing from npm: {wanted}"));
        fs::write(folder.join("package.json"), "{ \"private\": true }\n")?;
        let mut npm = Command::new(install::program("npm", "npm")?);
        npm.current_dir(folder).args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--legacy-peer-deps",
        ]);
        process::capture(npm.args(packages)).map(drop)
    })
}

/// A package of crates.io as it was published, tests included, in a folder of its own that may be written to.
pub fn krate(name: &str, version: &str) -> Result<PathBuf> {
    once(&format!("{name}-crate"), version, |folder| {
        progress(&format!("fetching {name} {version} from crates.io"));
        let asking = folder.join("asking");
        fs::create_dir_all(asking.join("src"))?;
        fs::write(asking.join("src/lib.rs"), "")?;
        // Not a part of the workspace above our cache.
        let manifest = format!(
            "[package]\nname = \"asking\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{name} = \"={version}\"\n"
        );
        fs::write(asking.join("Cargo.toml"), manifest)?;
        let mut cargo = workspace::cargo();
        cargo
            .current_dir(&asking)
            .args(["metadata", "--format-version=1", "--quiet"]);
        let metadata: Value = serde_json::from_str(&process::capture(&mut cargo)?)?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let mut found = packages.filter(|package| package["name"] == name);
        let manifest = found
            .next()
            .and_then(|package| package["manifest_path"].as_str())
            .context("cargo did not fetch it")?;
        let published = Path::new(manifest)
            .parent()
            .context("a manifest has a folder")?;
        copy(&published.join("."), folder)
    })
}

/// Copies a folder, or with `FOLDER/.` what is in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    process::capture(Command::new("cp").arg("-r").arg(from).arg(to)).map(drop)
}

/// Copies a folder of tests afresh, under the name it has to have.
pub fn copy_afresh(from: &Path, to: &Path) -> Result<()> {
    ensure!(from.is_dir(), "{} is not there", from.display());
    fs::remove_dir_all(to).ok();
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    copy(from, to)
}

/// The value of the first `key = "…"` or `"key": "…"` of a file.
pub fn stated(file: &Path, key: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    value_of(&text, key).with_context(|| format!("no {key} in {}", file.display()))
}

fn value_of(text: &str, key: &str) -> Option<String> {
    let value = |line: &str| {
        let (name, value) = line.split_once(['=', ':'])?;
        let value = value.trim().trim_end_matches(',').trim_matches('"');
        (name.trim().trim_matches('"') == key).then(|| value.to_owned())
    };
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_part_of_a_version_is_told_from_debians() {
        assert_eq!(upstream("8.16.3+~cs35.24.27-5"), "8.16.3");
        assert_eq!(upstream("3.3.5-1"), "3.3.5");
    }

    #[test]
    fn a_version_is_read_from_toml_and_from_json() {
        assert_eq!(
            value_of("[project]\nversion = \"3.3.4\"\n", "version"),
            Some("3.3.4".into())
        );
        assert_eq!(
            value_of("{\n  \"version\": \"8.16.3\",\n", "version"),
            Some("8.16.3".into())
        );
        assert_eq!(value_of("versions = 1", "version"), None);
    }
}
