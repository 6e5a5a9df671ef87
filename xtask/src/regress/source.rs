//! PostgreSQL's regression suite: fetched as Debian's source package of the same version, unpacked and built in our cache.
//!
//! Nothing of it is committed. `apt-get source` works without root with folders of its own; it knows the mirrors of the machine
//! by their own lists, to which the suites stable, stable-security and sid are added as sources. What is built is one shared
//! library of C functions that the suite's files call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::postgres::Binaries;
use crate::steps::progress;
use crate::{install, process, workspace};

/// Where Debian keeps packages, unless `FOREBAY_DEBIAN_MIRROR` names another place.
const MIRROR: &str = "http://deb.debian.org";

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
    let config = apt_config(folder)?;
    let apt = |program: &str| {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &config).current_dir(folder);
        command
    };
    process::capture(apt("apt-get").args(["-q", "update"]))?;
    let package = format!("postgresql-{}", binaries.major);
    let shown = process::capture(apt("apt-cache").args(["showsrc", &package]))?;
    let versions: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("Version: "))
        .collect();
    // The same minor version first; security updates can be gone from the mirror, and a neighbour differs in a few files only.
    let same = versions
        .iter()
        .filter(|version| version.starts_with(number));
    let others = versions
        .iter()
        .filter(|version| !version.starts_with(number));
    let mut why = format!("{package} is in no list");
    for version in same.chain(others) {
        let wanted = format!("{package}={version}");
        let arguments = ["-q", "source", "--download-only", &wanted];
        match process::capture(apt("apt-get").args(arguments)) {
            Ok(_) => return unpack(folder),
            Err(error) => why = error.to_string(),
        }
    }
    bail!("no source package: {why}")
}

/// An apt that has nothing to do with the machine's own.
fn apt_config(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("apt");
    for place in ["lists/partial", "cache/archives/partial", "etc/apt.conf.d"] {
        fs::create_dir_all(root.join(place))?;
    }
    fs::write(root.join("status"), "")?;
    let mirror = std::env::var("FOREBAY_DEBIAN_MIRROR").unwrap_or_else(|_| MIRROR.into());
    let keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
    let places = [
        "debian stable main",
        "debian bookworm main",
        "debian sid main",
        "debian-security bookworm-security main",
    ];
    let lines = places.map(|place| format!("deb-src {keys} {mirror}/{place}\n"));
    fs::write(root.join("etc/sources.list"), lines.concat())?;
    let shown = root.display();
    let config = root.join("apt.conf");
    let text = format!(
        "Dir::Etc \"{shown}/etc\"; Dir::Etc::Parts \"{shown}/etc/apt.conf.d\"; Dir::State::Lists \"{shown}/lists\";\n\
         Dir::State::Status \"{shown}/status\"; Dir::Cache \"{shown}/cache\"; Acquire::Languages \"none\";\n\
         Acquire::Check-Valid-Until \"false\"; Acquire::Retries \"3\"; APT::Sandbox::User \"{}\";\n",
        if install::is_root() { "root" } else { "" }
    );
    fs::write(&config, text)?;
    Ok(config)
}

fn unpack(folder: &Path) -> Result<()> {
    let archive = entries(folder)?
        .find(|path| path.to_string_lossy().ends_with(".orig.tar.bz2"))
        .context("the source package has no .orig.tar.bz2")?;
    let mut tar = Command::new("tar");
    tar.arg("xjf").arg(&archive).arg("-C").arg(folder);
    tar.args([
        "--strip-components=4",
        "--wildcards",
        "*/src/test/regress/*",
    ]);
    process::capture(&mut tar)?;
    fs::remove_dir_all(folder.join("apt"))?;
    for left in entries(folder)? {
        let name = left.to_string_lossy();
        if [".bz2", ".xz", ".dsc", ".asc"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            fs::remove_file(&left)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    let list = fs::read_dir(folder)?;
    Ok(list.filter_map(Result::ok).map(|entry| entry.path()))
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
