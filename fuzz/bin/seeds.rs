//! Writes the seeds of a target into a folder: `fuzz_seeds TARGET FOLDER`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder] = arguments.as_slice() else {
        eprintln!("usage: fuzz_seeds TARGET FOLDER");
        return ExitCode::from(2);
    };
    let target = sutazai_fuzz::TARGETS.iter().find(|(known, ..)| known == name);
    let Some((_, _, seeds)) = target else {
        eprintln!("there is no target {name}: token, policy, audit");
        return ExitCode::from(2);
    };
    for (at, seed) in seeds().iter().enumerate() {
        let path = std::path::Path::new(folder).join(format!("seed-{at:02}"));
        if let Err(error) = std::fs::write(&path, seed) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
