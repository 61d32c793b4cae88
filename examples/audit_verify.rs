//! Verifies an audit log, or evidence about one record of it, with nothing but the log's public key:
//!
//! ```text
//! cargo run --example audit_verify -- .sutazai/audit --key 'example.org/audit+1a2b3c4d+AZ…' --checkpoint kept.note
//! cargo run --example audit_verify -- evidence.json --key 'example.org/audit+1a2b3c4d+AZ…'
//! ```
//!
//! It ends with 0 when all is well, 1 when something is wrong, 2 when it could not tell.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sutazai_core::security::audit::{Checkpoint, Evidence, VerifierKey, verify};
use sutazai_core::{Code, Error, Result};

/// Verifies an audit log, or evidence about one record of it.
#[derive(Parser)]
struct Arguments {
    /// The folder `audit` below a data directory, or a file with evidence.
    path: PathBuf,
    /// The log's public key, or a file that holds it.
    #[arg(long)]
    key: String,
    /// A file with a checkpoint that was kept: what is under it must still be there.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn read(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        Error::new(Code::IO, "the file cannot be read").with("path", path.display()).because(e)
    })
}

fn run(arguments: &Arguments) -> Result<bool> {
    let key: VerifierKey = match arguments.key.parse() {
        Ok(key) => key,
        Err(error) if !std::path::Path::new(&arguments.key).is_file() => return Err(error),
        Err(_) => read(arguments.key.as_ref())?.parse()?,
    };
    let kept = arguments.checkpoint.as_deref().map(|path| Checkpoint::read(&read(path)?, &key));
    let kept = kept.transpose()?;
    if arguments.path.is_file() {
        let evidence = Evidence::read(read(&arguments.path)?.as_bytes())?;
        return Ok(match evidence.verify(&key) {
            Ok((_, checkpoint)) => {
                println!("record {} of {}: {}", evidence.index, key.name(), evidence.record);
                println!("proven under the checkpoint of {} records", checkpoint.size());
                true
            }
            Err(error) => {
                println!("{error:#}");
                false
            }
        });
    }
    let report = verify(&arguments.path, &key, kept.as_ref())?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|e| Error::new(Code::INTERNAL, "the report has no JSON form").because(e))?;
        println!("{text}");
        return Ok(report.is_intact());
    }
    for note in &report.notes {
        println!("note: {note}");
    }
    for finding in &report.findings {
        println!("WRONG: {finding}");
    }
    if report.more > 0 {
        println!("WRONG: and {} more", report.more);
    }
    println!("{} records under the log's checkpoint, {} behind it", report.records, report.journal);
    match &report.root {
        Some(root) => println!("root {root}"),
        None => println!("no root: not all records are there"),
    }
    match (&kept, report.continues) {
        (None, _) => println!("compared with no checkpoint that somebody kept: name one"),
        (Some(_), Some(size)) => println!("continues the checkpoint of {size} records"),
        (Some(kept), None) => {
            println!("does NOT continue the checkpoint of {} records", kept.size())
        }
    }
    println!("{}", if report.is_intact() { "intact" } else { "NOT intact" });
    Ok(report.is_intact())
}
