//! [`Files`] in a folder.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{Files, Segment, SegmentFile};
use crate::base::os::append;

/// A folder.
pub struct Disk {
    root: PathBuf,
    /// Files and folders that have changed since the last sync.
    dirty: Mutex<BTreeSet<PathBuf>>,
}

impl Disk {
    /// The folder at `root`, which is made (readable by its owner only) when it is not there.
    ///
    /// # Errors
    /// The system's.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let disk = Self { root: root.into(), dirty: Mutex::default() };
        make(&disk.root)?;
        Ok(disk)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The path, and that it and the folders above it are to be synced.
    fn touched(&self, path: &str) -> io::Result<PathBuf> {
        let whole = self.at(path);
        let mut dirty = self.dirty.lock();
        let mut missing = Vec::new();
        for folder in whole.ancestors().skip(1).take_while(|f| f.starts_with(&self.root)) {
            dirty.insert(folder.to_owned());
            if folder.is_dir() {
                break;
            }
            missing.push(folder.to_owned());
        }
        for folder in missing.iter().rev() {
            make(folder)?;
        }
        dirty.insert(whole.clone());
        Ok(whole)
    }
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn sync(path: &Path) -> io::Result<()> {
    match File::open(path) {
        // Folders have no data alone; a file's name is the folder's.
        Ok(file) => file.sync_data(),
        // Removed since; its folder knows.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Files for Disk {
    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = absent(File::open(self.at(path)))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(most as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too long"));
        }
        Ok(Some(bytes))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        std::fs::write(self.touched(path)?, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let result = dirty.iter().try_for_each(|path| sync(path));
        if result.is_err() {
            self.dirty.lock().extend(dirty);
        }
        result
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let whole = self.touched(path)?;
        let fresh = whole.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &whole)?;
        whole.parent().map_or(Ok(()), sync)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let whole = self.touched(path)?;
        absent(std::fs::remove_file(&whole))?;
        // A folder of partial tiles goes with the last of them.
        if let Some(folder) = whole.parent()
            && folder.extension().is_some_and(|e| e == "p")
        {
            let _ = std::fs::remove_dir(folder);
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let Some(entries) = absent(std::fs::read_dir(self.at(folder)))? else {
            return Ok(Vec::new());
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create_segment(&self, path: &str, bytes: usize) -> io::Result<Segment> {
        let whole = self.touched(path)?;
        let fresh = whole.with_extension("new");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let mut file = options.open(&fresh)?;
        zeros(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &whole)?;
        whole.parent().map_or(Ok(()), sync)?;
        let (appender, reader) = append::over(&file, bytes, 0)?;
        Ok(Segment { appender, file: SegmentFile { reader, file: Some(file) } })
    }

    fn open_segment(&self, path: &str, written: usize) -> io::Result<Segment> {
        use std::io::Seek as _;
        let mut file = OpenOptions::new().read(true).write(true).open(self.at(path))?;
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        file.seek(io::SeekFrom::Start(written as u64))?;
        zeros(&mut file, bytes.saturating_sub(written))?;
        file.sync_all()?;
        let (appender, reader) = append::over(&file, bytes, written)?;
        Ok(Segment { appender, file: SegmentFile { reader, file: Some(file) } })
    }

    fn sync_segment(&self, segment: &SegmentFile) -> io::Result<()> {
        segment.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

/// Written, not left as a hole: overwriting a block that has been written needs no metadata, so that
/// fdatasync has one write to wait for instead of a commit of the file system's journal.
fn zeros(file: &mut File, mut bytes: usize) -> io::Result<()> {
    static BLOCK: [u8; 1 << 16] = [0; 1 << 16];
    while bytes > 0 {
        let now = bytes.min(BLOCK.len());
        file.write_all(BLOCK.get(..now).unwrap_or_default())?;
        bytes -= now;
    }
    Ok(())
}
