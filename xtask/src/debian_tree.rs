//! Programs of another Debian release, run without installing them: packages with all they need, unpacked in our cache.
//!
//! Nothing outside the cache is touched, and no root is needed. A program runs through the loader and with the libraries
//! that it was built for: `bin/NAME` of a tree is a script that says so, and finds its tree where it lies itself, so that
//! a tree may be copied. A tree is kept as long as `target` is, and fetched anew with [`fetch`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::apt::{Apt, out_of_reach};
use crate::process::{self, Running};
use crate::steps::progress;
use crate::{cleanup, workspace};

/// How long a download may take, on a line that deserves pity.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How often to say how far it is.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// A release of Debian.
pub struct Suite {
    /// As Debian calls it.
    pub name: &'static str,
    /// Its parts: archive, suite and component.
    pub places: &'static [&'static str],
}

/// Debian 12.
pub const BOOKWORM: Suite = Suite {
    name: "bookworm",
    places: &[
        "debian bookworm main",
        "debian-security bookworm-security main",
    ],
};
/// Debian 13.
pub const TRIXIE: Suite = Suite {
    name: "trixie",
    places: &["debian trixie main"],
};
/// Debian unstable.
pub const SID: Suite = Suite {
    name: "sid",
    places: &["debian sid main"],
};

/// What a tree is made of.
pub struct Packages {
    /// Of the tree, in our cache and for people.
    pub name: &'static str,
    /// Where to look, in this order.
    pub suites: &'static [Suite],
    /// The packages; the version is that of the first.
    pub packages: &'static [&'static str],
    /// How the version must begin; any version if empty.
    pub series: &'static str,
    /// What is run of it.
    pub programs: &'static [Program],
}

/// A program of a tree. In its paths, `TRIPLET` is Debian's name for the machine (`x86_64-linux-gnu`).
pub struct Program {
    /// As it is called.
    pub name: &'static str,
    /// Where its package puts it.
    pub path: &'static str,
    /// A folder of libraries besides the usual ones.
    pub library: Option<&'static str>,
    /// A variable that names a folder of the tree.
    pub variable: Option<(&'static str, &'static str)>,
}

/// Unpacked packages.
#[derive(Clone, Debug)]
pub struct Tree {
    folder: PathBuf,
    /// Debian's version of the first package.
    pub version: String,
}

impl Tree {
    /// The tree that is there, or a new one.
    pub fn find_or_fetch(packages: &Packages) -> Result<Tree> {
        Tree::find(packages).map_or_else(|| fetch(packages), Ok)
    }

    /// The tree that is there, if it has all that is run of it by now.
    fn find(packages: &Packages) -> Option<Tree> {
        let folder = place(packages);
        let version = fs::read_to_string(folder.join("complete")).ok()?;
        let tree = Tree { folder, version };
        let mut programs = packages.programs.iter();
        programs
            .all(|program| tree.program(program.name).exists())
            .then_some(tree)
    }

    /// What to call for a program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The folder that is `/usr` to its programs.
    pub fn usr(&self) -> PathBuf {
        self.folder.join("root/usr")
    }

    /// The same tree elsewhere: as links to the same files where that is possible, copied otherwise.
    pub fn copy_to(&self, folder: &Path) -> Result<Tree> {
        let copy = |how: &str| {
            let mut cp = Command::new("cp");
            process::capture(cp.arg(how).arg(&self.folder).arg(folder))
        };
        if copy("-al").is_err() {
            // What was linked before it failed.
            fs::remove_dir_all(folder).ok();
            copy("-a")?;
        }
        Ok(Tree {
            folder: folder.into(),
            version: self.version.clone(),
        })
    }
}

fn place(packages: &Packages) -> PathBuf {
    workspace::cache().join(format!("debian-{}", packages.name))
}

/// Fetches the packages, of whatever version the archive has now, also if there is a tree already.
pub fn fetch(packages: &Packages) -> Result<Tree> {
    let folder = place(packages);
    // Not `with_extension`: a name may end in a version.
    let part = workspace::cache().join(format!("part-{}-{}", packages.name, std::process::id()));
    let remove = part.clone();
    let _part = cleanup::guard(move || drop(fs::remove_dir_all(remove)));
    let name = packages.name;
    let (apt, version) = find_suite(packages, &part)?;
    if let Some(there) = Tree::find(packages).filter(|tree| tree.version == version) {
        progress(&format!("{name}: {version} is still the newest"));
        return Ok(there);
    }
    download(packages, &apt)?;
    unpack(&apt, &part.join("root"))?;
    write_scripts(packages, &part)?;
    fs::remove_dir_all(part.join("apt"))?;
    fs::write(part.join("complete"), &version)?;
    // Another run may have been faster: what it fetched is as good, unless we were to replace it.
    if Tree::find(packages).is_none_or(|tree| tree.version != version) {
        fs::remove_dir_all(&folder).ok();
        fs::rename(&part, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Tree::find(packages).with_context(|| format!("{} has vanished", folder.display()))
}

/// The first suite that has the wanted series, with its version.
fn find_suite(packages: &Packages, part: &Path) -> Result<(Apt, String)> {
    let mut others = Vec::new();
    for suite in packages.suites {
        progress(&format!(
            "{}: reading the package lists of Debian {} (about 10 MB)",
            packages.name, suite.name
        ));
        fs::remove_dir_all(part).ok();
        let apt = Apt::new(part, "deb", suite.places)?;
        apt.update()?;
        let mut show = apt.command("apt-cache");
        show.args(["show", "--no-all-versions", packages.packages[0]]);
        let shown = process::finish(&mut show)?.stdout;
        match version_of(&shown) {
            Some(version) if is_of_series(version, packages.series) => {
                return Ok((apt, version.into()));
            }
            Some(version) => others.push(format!("{} has {version}", suite.name)),
            None => others.push(format!("{} has none", suite.name)),
        }
    }
    bail!(
        "Debian's archive has no {} {}: {}",
        packages.packages[0],
        packages.series,
        others.join(", ")
    )
}

fn version_of(shown: &str) -> Option<&str> {
    shown
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))
}

/// Whether Debian's version (`1:11.8.9+ds-4`) is one of `11.8`.
fn is_of_series(version: &str, series: &str) -> bool {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    let rest = upstream.strip_prefix(series);
    series.is_empty() || rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn download(packages: &Packages, apt: &Apt) -> Result<()> {
    let mut ask = apt.command("apt-get");
    ask.args(["-qq", "--print-uris", "install"])
        .args(packages.packages);
    let (count, bytes) = sizes(&process::capture(&mut ask)?);
    let name = packages.name;
    let all = megabytes(bytes);
    progress(&format!("{name}: downloading {count} packages, {all} MB"));
    let log = apt.archives().join("said");
    let mut get = apt.command("apt-get");
    get.args(["-q", "-y", "--download-only", "install"])
        .args(packages.packages)
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?);
    let running = Running::start(&mut get, libc::SIGTERM)?;
    let mut told = Instant::now();
    let ended = process::poll(DOWNLOAD_PATIENCE, || {
        if told.elapsed() >= TELL_INTERVAL {
            told = Instant::now();
            let there = megabytes(bytes_below(&apt.archives()));
            progress(&format!("{name}: {there} of {all} MB"));
        }
        Ok(running.ended())
    })?;
    if !ended.is_some_and(|status| status.success()) {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("{}", out_of_reach(apt.mirror(), &said));
    }
    Ok(())
}

/// How many files, and bytes, a list of `'URL' name size hash` speaks of.
fn sizes(uris: &str) -> (usize, u64) {
    let sizes: Vec<u64> = uris
        .lines()
        .filter_map(|line| line.split(' ').nth(2)?.parse().ok())
        .collect();
    (sizes.len(), sizes.iter().sum())
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// What lies in the folder and in the folders in it, one level deep.
fn bytes_below(folder: &Path) -> u64 {
    let files = |folder: &Path| -> Vec<fs::DirEntry> {
        let list = fs::read_dir(folder).into_iter().flatten();
        list.filter_map(Result::ok).collect()
    };
    let here = files(folder).into_iter();
    here.chain(files(&folder.join("partial")))
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}

fn unpack(apt: &Apt, root: &Path) -> Result<()> {
    fs::create_dir_all(root)?;
    let mut packages: Vec<PathBuf> = fs::read_dir(apt.archives())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    packages.sort();
    progress(&format!("unpacking {} packages", packages.len()));
    for package in packages {
        let mut unpack = Command::new("dpkg-deb");
        process::capture(unpack.arg("-x").arg(&package).arg(root))?;
        // Soon, since both together are what the disk must have room for.
        fs::remove_file(package)?;
    }
    for needless in ["doc", "man", "locale", "info", "lintian", "gdb"] {
        fs::remove_dir_all(root.join("usr/share").join(needless)).ok();
    }
    Ok(())
}

fn write_scripts(packages: &Packages, part: &Path) -> Result<()> {
    let loader = loader(&part.join("root"))?;
    let bin = part.join("bin");
    fs::create_dir_all(&bin)?;
    for program in packages.programs {
        if !part.join("root").join(program.path).exists() {
            bail!(
                "Debian's packages of {} bring no {}",
                packages.name,
                program.path
            );
        }
        let file = bin.join(program.name);
        fs::write(&file, script(program, &loader))?;
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}

/// The loader, below the tree's root: in `usr/lib` or, in older releases, in `lib`.
fn loader(root: &Path) -> Result<String> {
    for top in ["usr/lib", "lib"] {
        let folders = fs::read_dir(root.join(top)).into_iter().flatten();
        for folder in folders.filter_map(Result::ok) {
            let files = fs::read_dir(folder.path()).into_iter().flatten();
            let mut names =
                files.filter_map(|file| Some(file.ok()?.file_name().to_str()?.to_owned()));
            if let Some(name) = names.find(|name| name.starts_with("ld-linux")) {
                return Ok(format!(
                    "{top}/{}/{name}",
                    folder.file_name().to_string_lossy()
                ));
            }
        }
    }
    bail!("the packages bring no loader of programs")
}

fn script(program: &Program, loader: &str) -> String {
    let triplet = loader.rsplit('/').nth(1).unwrap_or_default();
    let placed = |path: &str| format!("$root/{}", path.replace("TRIPLET", triplet));
    let usual = ["usr/lib/TRIPLET", "lib/TRIPLET"];
    let libraries: Vec<String> = usual
        .into_iter()
        .chain(program.library)
        .map(placed)
        .collect();
    let variable = program.variable.map_or(String::new(), |(name, path)| {
        format!("export {name}=\"{}\"\n", placed(path))
    });
    format!(
        "#!/bin/sh\n\
         # {}, with the loader and the libraries that it was built for.\n\
         root=${{0%/*}}/../root\n{variable}\
         exec \"$root/{loader}\" --library-path \"{}\" \"$root/{}\" \"$@\"\n",
        program.name,
        libraries.join(":"),
        program.path
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_told_from_its_neighbours() {
        assert!(is_of_series("1:11.8.9+ds-4", "11.8"));
        assert!(is_of_series("9.7.4-2", ""));
        assert!(!is_of_series("1:11.81.0-1", "11.8"));
        assert!(!is_of_series("1:10.11.18-0+deb12u1", "11.8"));
    }

    #[test]
    fn a_list_of_downloads_says_how_much_it_is() {
        let uris = "'http://d/a.deb' a.deb 39320 MD5Sum:26\n'http://d/b.deb' b.deb 1000 SHA256:12\n\nnoise\n";
        assert_eq!(sizes(uris), (2, 40_320));
        assert_eq!(megabytes(40_320), 1);
    }

    #[test]
    fn the_newest_version_is_the_one_that_is_shown() {
        assert_eq!(
            version_of("Package: x\nVersion: 9.7.4-2\n"),
            Some("9.7.4-2")
        );
        assert_eq!(version_of(""), None);
    }

    #[test]
    fn a_script_names_loader_libraries_and_folders_beside_itself() {
        let program = Program {
            name: "mariadb",
            path: "usr/bin/mariadb",
            library: Some("usr/lib/x"),
            variable: Some(("PLUGINS", "usr/lib/TRIPLET/plugin")),
        };
        let text = script(&program, "usr/lib/m-linux-gnu/ld-linux-m.so.2");
        let exec = "exec \"$root/usr/lib/m-linux-gnu/ld-linux-m.so.2\" --library-path \
                    \"$root/usr/lib/m-linux-gnu:$root/lib/m-linux-gnu:$root/usr/lib/x\" \"$root/usr/bin/mariadb\" \"$@\"\n";
        assert!(text.ends_with(exec), "{text}");
        assert!(text.contains("export PLUGINS=\"$root/usr/lib/m-linux-gnu/plugin\"\n"));
    }
}
