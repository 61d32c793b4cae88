//! Writing a diagnosis bundle: whole or not at all, and only so many of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

const PREFIX: &str = "diagnosis-";
const SUFFIX: &str = ".json";

/// Writes a bundle into `dir`, which is made if it is not there (for its owner only), and removes the
/// oldest so that `keep` remain. The file has its name once all of it is on the disk. Gives its path.
///
/// # Errors
/// [`Code::IO`], with the path.
pub fn write_bundle(dir: &Path, bundle: &Value, at: Timestamp, keep: u32) -> Result<PathBuf> {
    let failed = |error: io::Error| {
        Error::new(Code::IO, "the diagnosis bundle cannot be written")
            .operation("recovery.failsafe")
            .with("path", dir.display())
            .because(error)
    };
    // Sorted by name they are sorted by time; nanoseconds tell two of a second apart.
    let name = format!("{PREFIX}{:020}{SUFFIX}", at.as_nanos().max(0));
    let path = dir.join(&name);
    make(dir).and_then(|()| write(dir, &name, bundle)).map_err(failed)?;
    // The bundle stands; what cannot be tidied up does not unmake it.
    let _ = prune(dir, keep);
    Ok(path)
}

fn make(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn write(dir: &Path, name: &str, bundle: &Value) -> io::Result<()> {
    let part = dir.join(format!(".{name}.part"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&part).and_then(|mut file| {
        let mut text = serde_json::to_vec_pretty(bundle)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&part, dir.join(name))) {
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    // The name is on the disk when its directory is.
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(())
}

fn prune(dir: &Path, keep: u32) -> io::Result<()> {
    let mut bundles: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(PREFIX) && name.ends_with(SUFFIX)
        })
        .collect();
    bundles.sort_unstable();
    let surplus = bundles.len().saturating_sub(keep as usize);
    bundles.iter().take(surplus).try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn bundles_are_whole_and_only_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("diagnosis");
        let mut paths = Vec::new();
        for n in 0..5 {
            let at = Timestamp::EPOCH + Duration::from_secs(n);
            paths.push(write_bundle(&dir, &json!({"n": n}), at, 2).unwrap());
        }
        let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
        left.sort();
        assert_eq!(left, paths[3..]);
        let text = fs::read_to_string(&paths[4]).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"n": 4}));
    }

    #[test]
    fn a_file_in_the_way_is_told_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write_bundle(file.path(), &json!({}), Timestamp::EPOCH, 1).unwrap_err();
        assert_eq!(error.code(), Code::IO);
        assert!(error.to_string().contains(&file.path().display().to_string()));
    }
}
