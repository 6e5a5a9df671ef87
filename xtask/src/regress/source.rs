//! PostgreSQL's regression suite: fetched as Debian's source package of the same version, unpacked and built in our cache.
//!
//! Nothing of it is committed. What is built is one shared library of C functions that the suite's files call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::postgres::Binaries;
use crate::steps::progress;
use crate::{debian_source, install, process, workspace};

/// The suite of these programs' version: a folder with `sql`, `expected`, `data`, `parallel_schedule` and `regress.so`.
pub fn find_or_fetch(binaries: &Binaries) -> Result<PathBuf> {
    let number = binaries.version.split(' ').next().unwrap_or_default();
    let folder = workspace::cache().join(format!("regress-{number}"));
    if folder.join("complete").exists() {
        return Ok(folder);
    }
    let part = folder.with_extension(format!("part-{}", std::process::id()));
    fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let made = fetch(binaries, number, &part)
        .and_then(|()| build(binaries, &part))
        .and_then(|()| Ok(fs::write(part.join("complete"), "")?));
    if let Err(error) = made {
        fs::remove_dir_all(&part).ok();
        return Err(error.context(format!("the regression suite of PostgreSQL {number}")));
    }
    fs::remove_dir_all(&folder).ok();
    fs::rename(&part, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn fetch(binaries: &Binaries, number: &str, folder: &Path) -> Result<()> {
    progress(&format!("fetching Debian's sources of PostgreSQL {number}"));
    // The same minor version first; security updates can be gone from the mirror, and a neighbour differs in a few files only.
    let package = format!("postgresql-{}", binaries.major);
    let source = debian_source::fetch(&package, number, folder)?;
    unpack(&source.archive, folder)
}

fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(archive).arg("-C").arg(folder);
    tar.args([
        "--strip-components=4",
        "--wildcards",
        "*/src/test/regress/*",
    ]);
    process::capture(&mut tar)?;
    fs::remove_file(archive)?;
    Ok(())
}

fn build(binaries: &Binaries, folder: &Path) -> Result<()> {
    let headers = headers(binaries)?;
    let compiler = install::program("cc", "gcc")?;
    let mut cc = Command::new(compiler);
    cc.args(["-shared", "-fPIC", "-O1", "-w", "-I"])
        .arg(&headers)
        .arg(folder.join("regress.c"))
        .arg("-o")
        .arg(folder.join("regress.so"));
    process::capture(&mut cc).map(drop)
}

/// The server's header files: beside the programs, or Debian's.
fn headers(binaries: &Binaries) -> Result<PathBuf> {
    let beside = binaries.bin.join("../include/server");
    if beside.join("postgres.h").exists() {
        return Ok(beside);
    }
    let debian = PathBuf::from(format!("/usr/include/postgresql/{}/server", binaries.major));
    let package = format!("postgresql-server-dev-{}", binaries.major);
    if !debian.join("postgres.h").exists() {
        install::debian(&[&package])?;
    }
    if !debian.join("postgres.h").exists() {
        bail!(
            "the server's header files are missing; install them (Debian: `apt-get install {package}`)"
        );
    }
    Ok(debian)
}
