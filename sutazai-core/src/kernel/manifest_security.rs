//! `[security]` of a manifest.

use std::path::Path;

use super::builder::Builder;
use crate::config::Section;
use crate::security::SecuritySpec;
use crate::{Error, Result};

/// What the section says; everything that is wrong with it.
fn read(section: &Section) -> Result<SecuritySpec, Vec<Error>> {
    let spec: SecuritySpec = section.read()?;
    match spec.check() {
        Ok(()) => Ok(spec),
        Err(error) => {
            Err(error.problems().iter().map(|one| section.mistake(&[], &placed(one))).collect())
        }
    }
}

/// With the place within its text in words: the mistake has the place of the text in the manifest.
fn placed(error: &Error) -> Error {
    match error.location() {
        None => error.clone(),
        Some(at) => {
            error.clone().with("line_of_the_text", at.line).with("column_of_the_text", at.column)
        }
    }
}

/// What is wrong with the section.
pub(super) fn check(section: &Section) -> Vec<Error> {
    read(section).err().unwrap_or_default()
}

/// Takes what the section says over. Paths that are relative begin at the manifest's directory; what is wrong with a
/// file, or the environment, is no mistake of the manifest.
pub(super) fn take(mut builder: Builder, section: &Section) -> Builder {
    let base = Path::new(section.file()).parent().unwrap_or(Path::new(""));
    let options = read(section)
        .and_then(|spec| spec.options(base).map_err(|error| error.problems().to_vec()));
    match options {
        Ok(options) => builder.security(options),
        Err(mistakes) => {
            builder.mistakes.extend(mistakes);
            builder
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Manifest;
    use crate::kernel::{Kernel, grammar};
    use crate::port::AuditClass;
    use crate::store::Durability;

    const TEXT: &str = r#"data_dir = ":memory:"
[security]
name = "fleet"
authorise = true
trust_inside = false
policies = [{ cedar = 'permit (principal == User::"ann", action, resource);' }]
passwords = { shortest = 12 }
totp = { issuer = "Fleet", period_s = 60 }
logins = { second = ["badge"], lasts = "2m", step_up_risk = 0.4 }
risk = { signals = { new_device = { weight = 0.5, half_life = "2h" } } }
audit = { durability = { decision = "fsync" }, checkpoint_every = "5s" }
[security.tokens]
access = "5m"
refresh = { idle = "1h" }
"#;

    #[test]
    fn a_section_becomes_options() {
        let manifest = grammar().parse("sutazai.toml", TEXT).unwrap();
        let builder = Kernel::builder().manifest(&manifest);
        let options = builder.security.unwrap();
        assert_eq!(options.name, "fleet");
        assert!(options.authorise && !options.trust_inside);
        assert_eq!(options.policies.len(), 1);
        assert_eq!((options.passwords.shortest, options.totp.period_s), (12, 60));
        assert_eq!((&*options.logins.second[0], options.logins.lasts_ms), ("badge", 120_000));
        let signal = options.risk.signals.values().next().unwrap();
        assert_eq!((signal.weight, signal.half_life_ms), (0.5, 7_200_000));
        assert_eq!(options.audit.durability, [(AuditClass::Decision, Durability::Fsync)]);
        assert_eq!(options.audit.checkpoint_every.as_secs(), 5);
        let tokens = options.tokens.unwrap();
        assert_eq!((&*tokens.issuer, &*tokens.audience), ("fleet", "fleet"));
        assert_eq!((tokens.access.as_secs(), tokens.refresh.idle.as_secs()), (300, 3_600));
        assert_eq!(tokens.refresh.absolute.as_secs(), 30 * 86_400, "as without a word");
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands() {
        let wrong = |from: &str, to: &str| {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT);
            let error = grammar().parse("sutazai.toml", &text).unwrap_err();
            (error.location().unwrap().line, format!("{error:#}"))
        };
        assert_eq!(wrong("name = \"fleet\"", "name = \"the fleet\"").0, 3);
        assert_eq!(wrong("authorise = true", "authorize = true").0, 4);
        let (line, text) = wrong("principal == User", "principal = User");
        assert!(line == 6 && text.contains("policies[0]"), "{line}: {text}");
        assert_eq!(wrong("period_s = 60", "period_s = 6").0, 8);
        assert_eq!(wrong("0.4", "1.4").0, 9);
        assert_eq!(wrong("lasts = \"2m\"", "lasts = 120").0, 9);
        assert_eq!(wrong("weight = 0.5", "weight = 5.5").0, 10);
        assert_eq!(wrong("\"fsync\"", "\"fsink\"").0, 11);
        let (line, text) = wrong("\"5m\"", "\"5s\"");
        assert!(line == 13 && text.contains("10 s to 24 h"), "{line}: {text}");
        assert_eq!(wrong("idle = \"1h\"", "idle = \"1s\"").0, 14);
    }

    #[test]
    fn files_stand_beside_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sutazai.toml");
        let text = "data_dir = ':memory:'\n[security]\npolicies = [{ file = 'p.cedar' }]\n";
        std::fs::write(&file, text).unwrap();
        let build = || {
            let manifest = grammar().read(&file).unwrap();
            Kernel::builder().manifest(&manifest).build()
        };
        let error = build().unwrap_err();
        assert!(format!("{error:#}").contains("policies[0]"), "{error:#}");
        std::fs::write(dir.path().join("p.cedar"), "permit (principal, action, resource)").unwrap();
        let error = build().unwrap_err();
        let at = error.location().unwrap();
        assert!(at.file.ends_with("p.cedar") && at.line == 1, "{at:?}");
        std::fs::write(dir.path().join("p.cedar"), "permit (principal, action, resource);")
            .unwrap();
        build().unwrap();
    }

    #[test]
    fn without_a_section_nothing_is_set() {
        let manifest = Manifest::parse("sutazai.toml", "data_dir = ':memory:'\n").unwrap();
        assert!(Kernel::builder().manifest(&manifest).security.is_none());
    }
}
