//! The agent `history`: what git knows of a file. A process of its own: this very program, started
//! again with `--agent history`, speaking JSON lines.
//!
//! Git is asked once a repository, not once a file: `git log` over the last 10,000 commits, when the
//! first file of that repository comes. A file outside of any repository costs a look at the
//! folders above it, which is remembered.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};
use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
use sutazai_core::port::AgentCard;
use sutazai_core::{Code, Error, Result};

/// What git knows of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct History {
    /// Commits that changed it, among those that were looked at.
    pub commits: u32,
    /// People who made them.
    pub authors: u32,
    /// When the last of them was made, in seconds since 1970.
    pub last: i64,
}

/// Commits that are looked at, at most.
const COMMITS: &str = "10000";
/// Changed files that are remembered of one repository, at most.
const FILES: usize = 1_000_000;

/// The agent, as the fleet sees it.
///
/// # Errors
/// When this program does not know where it stands.
pub fn agent() -> Result<ProcessAgent> {
    let program = std::env::current_exe()
        .map_err(|e| Error::new(Code::IO, "cannot find this program").because(e))?;
    let card = AgentCard::new("history", ["history"]).description("asks git about the file");
    let spec = ProcessSpec::new(program.to_string_lossy()).args(["--agent", "history"]);
    Ok(ProcessAgent::new(card, spec))
}

/// Is the agent: until `stop`, or the end of stdin.
pub fn serve() -> ExitCode {
    match git(Path::new(".")).arg("--version").output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => return unable(String::from_utf8_lossy(&done.stderr).trim()),
        Err(error) => return unable(&format!("git cannot be run: {error}")),
    }
    let mut repositories = Repositories::default();
    let mut out = std::io::stdout().lock();
    let mut say = move |mut message: Value| {
        if let Some(map) = message.as_object_mut() {
            map.insert("v".to_owned(), json!(1));
        }
        writeln!(out, "{message}").and_then(|()| out.flush()).is_ok()
    };
    if !say(json!({"type": "ready"})) {
        return ExitCode::FAILURE;
    }
    for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let told = match message.get("type").and_then(Value::as_str) {
            Some("stop") => break,
            Some("task") => {
                let path = message.pointer("/input/path").and_then(Value::as_str);
                let history = path.and_then(|path| repositories.ask(Path::new(path)));
                say(json!({"type": "result", "id": message.get("id"), "output": history}))
            }
            // One task at a time: a cancelled one has its answer, or gets it in a moment.
            _ => true,
        };
        if !told {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// Says why on stderr, where the host finds it.
fn unable(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::FAILURE
}

fn git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    git.stdin(Stdio::null());
    git
}

#[derive(Default)]
struct Repositories {
    /// The repository that a folder is in.
    of: HashMap<PathBuf, Option<PathBuf>>,
    known: HashMap<PathBuf, HashMap<PathBuf, History>>,
}

impl Repositories {
    /// What git knows of the file; `None` when nothing.
    fn ask(&mut self, path: &Path) -> Option<History> {
        let root = self.root(path.parent()?)?;
        let inside = path.strip_prefix(&root).ok()?;
        let files = self.known.entry(root.clone()).or_insert_with(|| {
            load(&root).unwrap_or_else(|why| {
                let _ = writeln!(std::io::stderr(), "{}: {why}", root.display());
                HashMap::new()
            })
        });
        files.get(inside).cloned()
    }

    fn root(&mut self, directory: &Path) -> Option<PathBuf> {
        if let Some(root) = self.of.get(directory) {
            return root.clone();
        }
        let root = if directory.join(".git").exists() {
            Some(directory.to_owned())
        } else {
            directory.parent().and_then(|parent| self.root(parent))
        };
        self.of.insert(directory.to_owned(), root.clone());
        root
    }
}

fn load(root: &Path) -> std::io::Result<HashMap<PathBuf, History>> {
    let mut log = git(root)
        .args(["log", "-z", "--no-renames", "--no-merges", "--name-only", "-n", COMMITS])
        .arg("--format=format:%x01%ct%x02%ae")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let files = log.stdout.take().map(read_log).transpose();
    // When reading ended early, git is not to write into the void.
    let _ = log.kill();
    log.wait()?;
    Ok(files?.unwrap_or_default())
}

/// Entries are separated by NUL: `\x01<time>\x02<author>\n<first file>`, then further files; nothing
/// between two commits.
fn read_log(log: impl Read) -> std::io::Result<HashMap<PathBuf, History>> {
    let mut files: HashMap<PathBuf, (History, HashSet<u32>)> = HashMap::new();
    let mut people: HashMap<Vec<u8>, u32> = HashMap::new();
    let (mut time, mut author) = (0, 0);
    let mut log = BufReader::new(log);
    let mut entry = Vec::new();
    loop {
        entry.clear();
        if log.read_until(0, &mut entry)? == 0 || files.len() >= FILES {
            break;
        }
        let mut name = entry.strip_suffix(b"\0").unwrap_or(&entry);
        if let Some(header) = name.strip_prefix(b"\x01") {
            let end = header.iter().position(|b| *b == b'\n').unwrap_or(header.len());
            let (header, rest) = header.split_at(end);
            let mut parts = header.splitn(2, |b| *b == 2);
            let text = parts.next().map(String::from_utf8_lossy).unwrap_or_default();
            time = text.parse().unwrap_or(0);
            let next = u32::try_from(people.len()).unwrap_or(u32::MAX);
            let who = parts.next().unwrap_or_default().to_vec();
            author = *people.entry(who).or_insert(next);
            name = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        if name.is_empty() {
            continue;
        }
        let path = PathBuf::from(String::from_utf8_lossy(name).into_owned());
        let (history, authors) = files.entry(path).or_default();
        history.commits += 1;
        history.last = history.last.max(time);
        authors.insert(author);
    }
    let counted = files.into_iter().map(|(path, (mut history, authors))| {
        history.authors = u32::try_from(authors.len()).unwrap_or(u32::MAX);
        (path, history)
    });
    Ok(counted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read_as_git_writes_it() {
        // Recorded from git 2.47.
        let log = b"\x01300\x02a@x\nd/a b.txt\0\xc3\xa9\0\0\x01200\x02b@x\nd/a b.txt\0d/n\nl\0\0\x01100\x02a@x\nd/a b.txt\0";
        let files = read_log(&log[..]).unwrap();
        let expected = History { commits: 3, authors: 2, last: 300 };
        assert_eq!(files[Path::new("d/a b.txt")], expected);
        assert_eq!(files[Path::new("d/n\nl")], History { commits: 1, authors: 1, last: 200 });
        assert_eq!(files[Path::new("é")], History { commits: 1, authors: 1, last: 300 });
        assert_eq!(files.len(), 3);
    }

    #[test]
    fn a_file_outside_of_any_repository_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        std::fs::write(&file, "").unwrap();
        assert_eq!(Repositories::default().ask(&file), None);
    }
}
