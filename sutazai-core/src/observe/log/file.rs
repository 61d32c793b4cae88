//! [`JsonLines`]: records as lines of JSON in a file of bounded size, written by a thread of its
//! own.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::Mutex;

use super::{Level, LogRecord, LogSink};
use crate::base::runtime;
use crate::{Code, Error, Result};

/// How long [`LogSink::flush`] waits for the disk at most.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// Bounds of a [`JsonLines`].
#[derive(Clone, Debug)]
pub struct JsonLinesOptions {
    /// The file is put aside when it would grow beyond so many bytes; at least 4,096, default
    /// 32 MiB. With the one put aside, twice that is on the disk.
    pub bytes: u64,
    /// How many records may wait for the thread; 1 to 1,000,000, default 8,192. Beyond it they
    /// are dropped, counted, and the file says how many.
    pub queue: usize,
}

impl Default for JsonLinesOptions {
    fn default() -> Self {
        Self { bytes: 32 * 1024 * 1024, queue: 8192 }
    }
}

/// Appends each record as one line of JSON to a file. When the file is full it is renamed, with
/// `.1` before its extension, in place of the one that was put aside before.
///
/// Logging hands the record to the thread `sutazai-log`, which exists from [`JsonLines::open`] to
/// the drop; the drop writes out what is queued.
pub struct JsonLines {
    path: PathBuf,
    sender: Option<Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
    pid: u32,
}

#[derive(Default)]
struct Counters {
    dropped: AtomicU64,
    failed: AtomicU64,
}

enum Message {
    Record(Arc<LogRecord>),
    Flush(Sender<()>),
}

impl JsonLines {
    /// Opens the file at `path`, making its folder, and starts the thread.
    ///
    /// # Errors
    /// [`Code::IO`] when the file cannot be opened for appending, or the thread not be started.
    pub fn open(path: impl AsRef<Path>, options: JsonLinesOptions) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let failed = |what: &'static str, e: io::Error| {
            Error::new(Code::IO, what)
                .operation("log.open")
                .with("path", path.display())
                .because(e)
                .advice("make the folder writable, or log elsewhere")
        };
        let file = Appender::open(&path, options.bytes.max(4096))
            .map_err(|e| failed("the log file cannot be opened", e))?;
        let (sender, receiver) = crossbeam_channel::bounded(options.queue.clamp(1, 1_000_000));
        let counters = Arc::new(Counters::default());
        let writer = Writer { file, counters: Arc::clone(&counters), told: 0 };
        let thread = std::thread::Builder::new()
            .name("sutazai-log".to_owned())
            .spawn(move || runtime::forbidden(|| writer.run(&receiver)))
            .map_err(|e| failed("the log's thread could not be started", e))?;
        let pid = std::process::id();
        Ok(Self { path, sender: Some(sender), thread: Mutex::new(Some(thread)), counters, pid })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records dropped because too many were waiting.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }

    /// Records lost because the file could not be written.
    pub fn failed(&self) -> u64 {
        self.counters.failed.load(Ordering::Relaxed)
    }
}

impl LogSink for JsonLines {
    fn name(&self) -> &str {
        "jsonl"
    }

    fn write(&self, record: &Arc<LogRecord>) {
        let Some(sender) = &self.sender else { return };
        match sender.try_send(Message::Record(Arc::clone(record))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn flush(&self) {
        // A forked child has no such thread.
        let (Some(sender), true) = (&self.sender, self.pid == std::process::id()) else { return };
        let (done, wait) = crossbeam_channel::bounded(1);
        if sender.send_timeout(Message::Flush(done), FLUSH_PATIENCE).is_ok() {
            // A disk that does not answer must not stop the program.
            let _ = wait.recv_timeout(FLUSH_PATIENCE);
        }
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        self.sender = None;
        let Some(thread) = self.thread.get_mut().take() else { return };
        let own = thread.thread().id() == std::thread::current().id();
        if own || self.pid != std::process::id() {
            // Its own thread cannot be joined, and a forked child has none.
            std::mem::forget(thread);
        } else {
            // It catches nothing that could panic but formatting, and has told what it lost.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What the thread works with.
struct Writer {
    file: Appender,
    counters: Arc<Counters>,
    /// How many of the dropped records the file tells of.
    told: u64,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Record(record) => {
                    self.tell_dropped(&record);
                    self.append(&record);
                }
                Message::Flush(done) => {
                    self.flush();
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
            }
            if messages.is_empty() {
                self.flush();
            }
        }
        self.flush();
    }

    fn append(&mut self, record: &LogRecord) {
        let written = serde_json::to_vec(record).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.file.append(&line)
        });
        if written.is_err() {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records how many were dropped before `next`, in the file that misses them.
    fn tell_dropped(&mut self, next: &LogRecord) {
        let dropped = self.counters.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            self.append(&LogRecord {
                time: next.time,
                level: Level::Warn,
                target: "sutazai.log".into(),
                message: "records were dropped: too many were waiting to be written".into(),
                fields: vec![("dropped".into(), (dropped - self.told).into())],
                trace: None,
                span: None,
            });
            self.told = dropped;
        }
    }

    fn flush(&mut self) {
        if self.file.flush().is_err() {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A file of bounded size.
struct Appender {
    path: PathBuf,
    most: u64,
    length: u64,
    /// `None` after a failure, until the next line.
    file: Option<BufWriter<File>>,
}

impl Appender {
    fn open(path: &Path, most: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut this = Self { path: path.to_owned(), most, length: 0, file: None };
        this.reopen()?;
        Ok(this)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = line.len() as u64;
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.length > 0 && self.length + bytes > self.most {
            self.rotate()?;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotConnected.into()) };
        let written = file.write_all(line);
        match written {
            Ok(()) => self.length += bytes,
            Err(_) => self.file = None,
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.as_mut().map_or(Ok(()), io::Write::flush);
        if flushed.is_err() {
            self.file = None;
        }
        flushed
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file = None;
        std::fs::rename(&self.path, aside(&self.path))?;
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        self.length = file.metadata()?.len();
        self.file = Some(BufWriter::with_capacity(64 * 1024, file));
        Ok(())
    }
}

/// Where a full file goes: `kernel.jsonl` to `kernel.1.jsonl`.
fn aside(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) => {
            let mut numbered = std::ffi::OsString::from("1.");
            numbered.push(extension);
            path.with_extension(numbered)
        }
        None => path.with_extension("1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;

    fn record(n: usize) -> Arc<LogRecord> {
        Arc::new(LogRecord {
            time: Timestamp::EPOCH,
            level: Level::Info,
            target: "test".into(),
            message: format!("number {n}").into(),
            fields: Vec::new(),
            trace: None,
            span: None,
        })
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_drop_writes_out_what_is_queued_and_opening_appends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/kernel.jsonl");
        for round in 0..2 {
            let sink = JsonLines::open(&path, JsonLinesOptions::default()).unwrap();
            (0..500).for_each(|n| sink.write(&record(round * 500 + n)));
            drop(sink);
        }
        let lines = lines(&path);
        assert_eq!(lines.len(), 1000);
        let expected = serde_json::json!({"time": "1970-01-01T00:00:00Z", "level": "info",
            "target": "test", "message": "number 999"});
        assert_eq!(lines[999], expected);
    }

    #[test]
    fn flushing_waits_for_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel.jsonl");
        let sink = JsonLines::open(&path, JsonLinesOptions::default()).unwrap();
        sink.write(&record(1));
        sink.flush();
        assert_eq!(lines(&path).len(), 1);
    }

    #[test]
    fn a_full_file_is_put_aside_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel.jsonl");
        let sink = JsonLines::open(&path, JsonLinesOptions { bytes: 4096, queue: 1000 }).unwrap();
        (0..500).for_each(|n| sink.write(&record(n)));
        drop(sink);
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["kernel.1.jsonl", "kernel.jsonl"]);
        for name in names {
            assert!(std::fs::metadata(dir.path().join(name)).unwrap().len() <= 4096);
        }
        let (older, newer) = (lines(&dir.path().join("kernel.1.jsonl")), lines(&path));
        let kept: Vec<_> = older.iter().chain(&newer).map(|l| l["message"].clone()).collect();
        let newest: Vec<_> = (500 - kept.len()..500).map(|n| format!("number {n}")).collect();
        assert_eq!(kept, newest);
    }

    #[test]
    fn what_does_not_fit_is_dropped_counted_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel.jsonl");
        let sink = JsonLines::open(&path, JsonLinesOptions { bytes: 1 << 20, queue: 2 }).unwrap();
        // The thread waits at its answer until the test takes it.
        let (done, wait) = crossbeam_channel::bounded(0);
        let sender = sink.sender.clone().unwrap();
        sender.send(Message::Flush(done)).unwrap();
        while !sender.is_empty() {
            std::thread::yield_now();
        }
        (0..7).for_each(|n| sink.write(&record(n)));
        assert_eq!(sink.dropped(), 5);
        wait.recv().unwrap();
        drop(sender);
        drop(sink);
        let lines = lines(&path);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["fields"]["dropped"], 5);
        assert_eq!(lines[0]["level"], "warn");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = JsonLines::open(dir.path(), JsonLinesOptions::default()).unwrap_err();
        assert_eq!(error.code(), Code::IO);
        assert!(error.to_string().contains(&dir.path().display().to_string()));
    }

    #[test]
    fn a_folder_that_goes_away_is_counted_and_survived() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/kernel.jsonl");
        let sink = JsonLines::open(&path, JsonLinesOptions { bytes: 4096, queue: 1000 }).unwrap();
        std::fs::remove_dir_all(dir.path().join("logs")).unwrap();
        // Enough to want a new file, for which there is no folder.
        (0..100).for_each(|n| sink.write(&record(n)));
        sink.flush();
        assert!(sink.failed() > 0);
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        sink.write(&record(100));
        drop(sink);
        assert_eq!(lines(&path).last().unwrap()["message"], "number 100");
    }
}
