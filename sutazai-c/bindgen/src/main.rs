//! Writes the sources of one language that go with `libsutazai`. `sutazai-c/bindings` builds the
//! library and calls this.

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use uniffi::{GenerateOptions, TargetLanguage, generate};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [language, library, out] = arguments.as_slice() else {
        return usage();
    };
    let target = match language.as_str() {
        "swift" => TargetLanguage::Swift,
        "kotlin" => TargetLanguage::Kotlin,
        "ruby" => TargetLanguage::Ruby,
        _ => return usage(),
    };
    let options = GenerateOptions {
        languages: vec![target],
        source: library.into(),
        out_dir: out.into(),
        config_override: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/uniffi.toml").into()),
        crate_filter: Some("sutazai".to_owned()),
        ..GenerateOptions::default()
    };
    let written = generate(options).map_err(|error| format!("{error:#}")).and_then(|()| {
        if language == "ruby" { finish_ruby(out).map_err(|e| e.to_string()) } else { Ok(()) }
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sutazai-bindgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Adds what the generated source lacks: before Ruby 3.2, `IO#wait_readable` is in a library that it
/// does not ask for; and nobody else stops a kernel before Ruby ends.
fn finish_ruby(folder: &str) -> io::Result<()> {
    let path = Path::new(folder).join("sutazai_kernel.rb");
    let source = fs::read_to_string(&path)?;
    fs::write(&path, format!("require 'io/wait'\n{source}{}", include_str!("end.rb")))
}

fn usage() -> ExitCode {
    eprintln!("usage: sutazai-bindgen swift|kotlin|ruby LIBRARY FOLDER");
    ExitCode::from(2)
}
