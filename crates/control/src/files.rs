//! Reads the small files that a configuration names: itself, secrets, certificates.
//!
//! Bounded, because a wrong path may lead to a device or a disk image; the contents are wiped when they are dropped, because they may be
//! secret. Errors name the path and what the operating system said.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// Longest file we read; certificate bundles of a whole system have about 200 kB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a file holds, and who may read it.
pub(crate) struct SmallFile {
    /// The contents.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Whether every user of this machine may read it.
    pub(crate) world_readable: bool,
}

/// Reads a file; the error is a clause such as `cannot read /run/secrets/app: No such file or directory (os error 2)`.
pub(crate) fn read(path: &Path) -> Result<SmallFile, String> {
    match read_bounded(path) {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(format!(
            "{} is longer than {FILE_BYTES_MAX} bytes",
            path.display()
        )),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Option<SmallFile>> {
    let file = File::open(path)?;
    let world_readable = is_world_readable(&file.metadata()?);
    // Room for the largest file at once: a vector that grows leaves unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 64));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Ok(None);
    }
    Ok(Some(SmallFile {
        bytes,
        world_readable,
    }))
}

#[cfg(unix)]
fn is_world_readable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_metadata: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::path::Path;

    #[test]
    fn a_file_without_end_is_refused_at_the_bound() {
        let error = read(Path::new("/dev/zero")).err();
        assert_eq!(
            error.as_deref(),
            Some("/dev/zero is longer than 1048576 bytes")
        );
    }

    #[test]
    fn a_directory_is_an_error_that_names_it() {
        let error = read(Path::new("/")).err().expect("not a file");
        assert!(error.starts_with("cannot read /: "), "{error}");
    }
}
