//! The agent `measure`: size, longest function, TODO count.
//!
//! Functions are found by how their first line looks and where their block ends: by matching braces
//! (comments and strings left out) for Rust, C, C++, Java, C#, Go, JavaScript, TypeScript, Kotlin,
//! Swift and PHP, by indentation for Python. That is a heuristic, not a parser: a macro with
//! unbalanced braces, a multi-line string that starts at the margin (Python), or a heading spread
//! over several lines (C) may mislead it. Other languages are counted without functions.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use regex::bytes::Regex;
use sutazai_core::agent::{FnAgent, from_async};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::ticket;
use sutazai_core::port::{AgentCard, Task};
use sutazai_core::{Code, Error};

use super::file;

/// What there is to say of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Measure {
    /// Lines.
    pub lines: usize,
    /// TODO, FIXME, HACK and XXX.
    pub todos: usize,
    /// Whether it is valid UTF-8.
    pub utf8: bool,
    /// The longest function, if one was found.
    pub longest: Option<Function>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Function {
    /// How it is called.
    pub name: String,
    /// Its first line, from 1.
    pub line: usize,
    /// How many lines it has.
    pub lines: usize,
}

/// An asynchronous agent: its future waits for the blocking pool, which reads and measures.
pub fn agent(runtime: Arc<dyn Runtime>, most_bytes: u64) -> FnAgent {
    let card = AgentCard::new("measure", ["measure"]).description("size, functions, TODOs");
    from_async(card, move |task: Task| {
        let (ticket, reply) = ticket::pair();
        let job = Box::new(move || {
            let measured = file::path_of(&task).and_then(|path| {
                let text = file::read(&path, most_bytes)?;
                if reply.cancelled() {
                    return Err(Error::new(Code::CANCELLED, "nobody waits any more"));
                }
                Payload::json(&measure(&path, &text))
            });
            // Nobody is there to hear it when the caller has gone.
            let _ = reply.answer(measured);
        });
        let refused = runtime.spawn_blocking(job).err();
        async move {
            match refused {
                Some(refused) => Err(refused.error),
                None => ticket.await,
            }
        }
    })
}

/// Measures a text.
pub fn measure(path: &Path, text: &[u8]) -> Measure {
    let lines = text.iter().filter(|b| **b == b'\n').count();
    let unfinished = usize::from(text.last().is_some_and(|last| *last != b'\n'));
    Measure {
        lines: lines + unfinished,
        todos: TODO.as_ref().map_or(0, |todo| todo.find_iter(text).count()),
        utf8: std::str::from_utf8(text).is_ok(),
        longest: Language::of(path).and_then(|language| language.longest(text)),
    }
}

static TODO: LazyLock<Option<Regex>> = LazyLock::new(|| form(r"\b(?:TODO|FIXME|HACK|XXX)\b"));
static RUST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    form(
        r#"(?m)^[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?(?:(?:default|const|async|unsafe|extern(?:[ \t]+"[^"\n]*")?)[ \t]+)*fn[ \t]+(\w+)"#,
    )
});
static GO: LazyLock<Option<Regex>> =
    LazyLock::new(|| form(r"(?m)^func[ \t]+(?:\([^)\n]*\)[ \t]*)?(\w+)"));
static SCRIPT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    form(
        r"(?m)^[ \t]*(?:export[ \t]+)?(?:default[ \t]+)?(?:public[ \t]+|private[ \t]+|protected[ \t]+|static[ \t]+)*(?:async[ \t]+)?function[ \t]*\*?[ \t]*(\w+)",
    )
});
static KEYWORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    form(r"(?m)^[ \t]*(?:[\w@]+[ \t]+)*(?:fun|func)[ \t]+(?:<[^>\n]*>[ \t]*)?([\w.]+)")
});
static C: LazyLock<Option<Regex>> =
    LazyLock::new(|| form(r"(?m)^[A-Za-z_][\w \t*&:<>,~]*?([\w~]+)[ \t]*\([^;{}]*\)[^;{}()=]*\{"));
static JAVA: LazyLock<Option<Regex>> = LazyLock::new(|| {
    form(
        r"(?m)^[ \t]+(?:(?:public|private|protected|internal|static|final|abstract|override|virtual|async|synchronized)[ \t]+)+[\w<>\[\], \t.?]*?(\w+)[ \t]*\([^;{}]*\)[^;{}()=]*\{",
    )
});
static PYTHON: LazyLock<Option<Regex>> =
    LazyLock::new(|| form(r"(?m)^([ \t]*)(?:async[ \t]+)?def[ \t]+(\w+)"));

fn form(form: &str) -> Option<Regex> {
    regex::bytes::RegexBuilder::new(form).unicode(false).build().ok()
}

/// How functions look and end.
enum Language {
    Braces { heading: &'static LazyLock<Option<Regex>>, quotes: &'static [u8], rust: bool },
    Indentation,
}

impl Language {
    fn of(path: &Path) -> Option<Self> {
        let braces =
            |heading, quotes: &'static [u8], rust| Some(Self::Braces { heading, quotes, rust });
        match path.extension()?.to_str()? {
            "rs" => braces(&RUST, b"\"", true),
            "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "hh" | "m" => braces(&C, b"\"'", false),
            "java" | "cs" => braces(&JAVA, b"\"'", false),
            "go" => braces(&GO, b"\"'`", false),
            "js" | "mjs" | "cjs" | "jsx" | "ts" | "tsx" | "php" => braces(&SCRIPT, b"\"'`", false),
            "kt" | "kts" | "swift" => braces(&KEYWORD, b"\"", false),
            "py" | "pyi" => Some(Self::Indentation),
            _ => None,
        }
    }

    fn longest(&self, text: &[u8]) -> Option<Function> {
        match self {
            Self::Braces { heading, quotes, rust } => {
                longest_by_braces(&without_text(text, quotes, *rust), heading.as_ref()?)
            }
            Self::Indentation => longest_by_indentation(text, PYTHON.as_ref()?),
        }
    }
}

/// The code with comments and strings turned into spaces; line breaks stay where they are.
fn without_text(code: &[u8], quotes: &[u8], rust: bool) -> Vec<u8> {
    let mut out = code.to_vec();
    let mut at = 0;
    while let Some(&byte) = code.get(at) {
        let rest = code.get(at..).unwrap_or_default();
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            find(rest.get(2..).unwrap_or_default(), b"*/").map_or(rest.len(), |end| end + 4)
        } else if rust && byte == b'r' && !preceded_by_word(code, at) && raw_string(rest) > 0 {
            raw_string(rest)
        } else if rust && byte == b'\'' {
            rust_character(rest)
        } else if quotes.contains(&byte) {
            quoted(rest, byte)
        } else {
            0
        };
        if let Some(part) = out.get_mut(at..at + length) {
            part.iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        }
        at += length.max(1);
    }
    out
}

fn preceded_by_word(code: &[u8], at: usize) -> bool {
    // `br"…"` is a raw string too.
    let before = at.checked_sub(1).and_then(|i| code.get(i)).copied().unwrap_or(b' ');
    (before.is_ascii_alphanumeric() || before == b'_') && before != b'b'
}

/// The length of `r#"…"#`; 0 when it is none.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest.iter().skip(1).take_while(|b| **b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let body = rest.get(2 + hashes..).unwrap_or_default();
    find(body, &end).map_or(rest.len(), |at| 2 + hashes + at + end.len())
}

/// The length of a character; of a lifetime only its quote.
fn rust_character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return quoted(rest, b'\'');
    }
    // A character has up to four bytes.
    (2..=5).find(|i| rest.get(*i) == Some(&b'\'')).map_or(1, |end| end + 1)
}

/// The length of a quoted text. It ends with its line, unless a backtick opened it or it is Rust's:
/// whoever forgets a quote must not lose the rest of the file, so at most 4 KiB.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut escaped = false;
    for (index, byte) in rest.iter().enumerate().skip(1).take(4096) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b if *b == quote => return index + 1,
            b'\n' if quote == b'\'' => return 1,
            _ => {}
        }
    }
    1
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Bytes that are looked at for ends of blocks, at most: where braces do not match, every heading
/// would be looked at to the end of the file.
const BUDGET: usize = 64 << 20;

fn longest_by_braces(code: &[u8], heading: &Regex) -> Option<Function> {
    let mut longest: Option<Function> = None;
    let (mut line, mut until) = (1, 0);
    let mut budget = BUDGET;
    for captures in heading.captures_iter(code) {
        let (Some(all), Some(name)) = (captures.get(0), captures.get(1)) else { continue };
        if matches!(name.as_bytes(), b"if" | b"for" | b"while" | b"switch" | b"catch" | b"return") {
            continue;
        }
        line += breaks(code.get(until..all.start()).unwrap_or_default());
        until = all.start();
        let body = code.get(name.end()..).unwrap_or_default();
        let end = end_of_block(body.get(..budget).unwrap_or(body));
        budget = budget.saturating_sub(end.unwrap_or(body.len()));
        let Some(end) = end else { continue };
        let lines = 1 + breaks(code.get(all.start()..name.end() + end).unwrap_or_default());
        if longest.as_ref().is_none_or(|l| lines > l.lines) {
            let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
            longest = Some(Function { name, line, lines });
        }
    }
    longest
}

/// Where the first block ends; `None` when a `;` comes before it, or it does not end.
fn end_of_block(code: &[u8]) -> Option<usize> {
    let (mut depth, mut round) = (0_usize, 0_usize);
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round = round.saturating_sub(1),
            // `[u8; 4]` in a signature is no end.
            b';' if depth == 0 && round == 0 => return None,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return (depth == 1).then_some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn longest_by_indentation(text: &[u8], heading: &Regex) -> Option<Function> {
    let mut longest: Option<Function> = None;
    let (mut line, mut until) = (1, 0);
    for captures in heading.captures_iter(text) {
        let (Some(all), Some(indent), Some(name)) =
            (captures.get(0), captures.get(1), captures.get(2))
        else {
            continue;
        };
        line += breaks(text.get(until..all.start()).unwrap_or_default());
        until = all.start();
        let body = text.get(all.start()..).unwrap_or_default();
        let (mut lines, mut blank) = (1, 0);
        for next in body.split(|b| *b == b'\n').skip(1) {
            let content = next.trim_ascii();
            let depth = next.len() - next.trim_ascii_start().len();
            if content.is_empty() || content.starts_with(b"#") {
                blank += 1;
                continue;
            }
            // A signature over several lines ends with a bracket at the margin.
            if depth <= indent.len() && !content.starts_with(b")") {
                break;
            }
            lines += blank + 1;
            blank = 0;
        }
        if longest.as_ref().is_none_or(|l| lines > l.lines) {
            let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
            longest = Some(Function { name, line, lines });
        }
    }
    longest
}

fn breaks(text: &[u8]) -> usize {
    text.iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(name: &str, text: &str) -> (String, usize, usize) {
        let function = measure(Path::new(name), text.as_bytes()).longest.expect("a function");
        (function.name, function.line, function.lines)
    }

    #[test]
    fn rust_is_not_misled_by_braces_in_text() {
        let text = "fn short() {}\n\npub(crate) async unsafe fn long<'a>(x: &'a str, y: [u8; 2]) {\n    \
            let s = \"}\"; // }\n    let c = '}'; let q = '\\''; /* } \n } */\n    let r = r#\"\n}\"}\"#;\n}\n\
            trait T { fn declared(&self); }\n";
        assert_eq!(longest("a.rs", text), ("long".into(), 3, 7));
    }

    #[test]
    fn other_languages_have_functions_too() {
        assert_eq!(
            longest(
                "a.c",
                "int x;\nstatic int *find(const char *s,\n    int n)\n{\n  if (n) {\n  }\n}\n"
            ),
            ("find".into(), 2, 6)
        );
        assert_eq!(longest("a.go", "func (s *S) Run() {\n\tx := `}`\n}\n"), ("Run".into(), 1, 3));
        assert_eq!(
            longest("a.ts", "export async function go() {\n  a('}');\n}\n"),
            ("go".into(), 1, 3)
        );
        assert_eq!(longest("a.kt", "private fun hi() {\n}\n"), ("hi".into(), 1, 2));
        assert_eq!(
            longest("A.java", "class A {\n  public static void main(String[] a) {\n  }\n}\n"),
            ("main".into(), 2, 2)
        );
        assert_eq!(
            longest(
                "a.py",
                "class A:\n    def f(\n        self,\n    ):\n        x = 1\n\n        # c\n        y = 2\n\n\ndef g(): pass\n"
            ),
            ("f".into(), 2, 7)
        );
    }

    #[test]
    fn counts_are_those_of_the_text() {
        let m = measure(Path::new("notes.txt"), b"TODO: a\nTODOS no\nFIXME\xff b");
        assert_eq!((m.lines, m.todos, m.utf8, m.longest), (3, 2, false, None));
        assert_eq!(measure(Path::new("empty"), b"").lines, 0);
    }
}
