use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::base::time::Timestamp;
use crate::security::keys::Keys;
use crate::store::Store;

const CHEAP: Cost = Cost { memory_kib: 32, passes: 1, lanes: 1 };

fn opens(store: &Store, master: &Master) -> std::result::Result<(), Code> {
    Keys::open(store.clone(), master, None, Timestamp::EPOCH).map(drop).map_err(|e| e.code())
}

#[test]
fn a_file_that_others_may_read_or_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    Master::create_file(&path).unwrap();
    assert_eq!(Master::create_file(&path).unwrap_err().code(), Code::ALREADY_EXISTS);
    for mode in [0o600, 0o400, 0o700] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        Master::file(&path).unwrap();
    }
    for bit in [0o040, 0o020, 0o010, 0o004, 0o002, 0o001] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600 | bit)).unwrap();
        let error = Master::file(&path).unwrap_err();
        assert_eq!(error.code(), Code::MASTER_KEY_EXPOSED, "{bit:o}");
        assert!(error.to_string().contains("master"), "{error}");
    }
    assert_eq!(Master::file(folder.path()).unwrap_err().code(), Code::MASTER_KEY);
    assert_eq!(Master::file(folder.path().join("none")).unwrap_err().code(), Code::MASTER_KEY);
}

#[test]
fn a_file_of_another_user_is_refused() {
    if rustix::process::geteuid().as_raw() != 0 {
        println!("skipped: only root can give a file away");
        return;
    }
    // What root owns is trusted, so somebody else has to look: a thread cannot change its user alone
    // without harm to the others; what is checked here is a file of nobody's, read by root.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    Master::create_file(&path).unwrap();
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    assert_eq!(Master::file(&path).unwrap_err().code(), Code::MASTER_KEY_EXPOSED);
}

#[test]
fn a_key_is_read_in_three_forms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    let store = Store::memory(&[]).unwrap();
    opens(&store, &Master::key(Secret::new((0..32).collect())).unwrap()).unwrap();
    let hex: String = (0..32).map(|b: u8| format!("{b:02X}")).collect();
    let base64 = Secret::new((0..32).collect()).to_base64().to_string();
    for bytes in [(0..32).collect::<Vec<u8>>(), hex.into_bytes(), (base64 + "\n").into_bytes()] {
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        opens(&store, &Master::file(&path).unwrap()).unwrap();
    }
    for bad in ["", "short", &"g".repeat(64), &"A".repeat(40)] {
        std::fs::write(&path, bad).unwrap();
        assert_eq!(Master::file(&path).unwrap_err().code(), Code::MASTER_KEY, "{bad}");
    }
    assert_eq!(Master::env("SUTAZAI_NO_SUCH_VARIABLE").unwrap_err().code(), Code::MASTER_KEY);
    // PATH is there everywhere, and no key anywhere.
    let error = Master::env("PATH").unwrap_err();
    assert_eq!(error.code(), Code::MASTER_KEY);
    assert!(!format!("{error:?} {error:#}").contains("bin"), "{error:#}");
}

#[test]
fn a_passphrase_opens_what_it_closed_at_the_cost_that_is_stored() {
    let store = Store::memory(&[]).unwrap();
    opens(&store, &Master::passphrase_at("correct horse", CHEAP)).unwrap();
    let dearer = Cost { passes: 2, ..CHEAP };
    opens(&store, &Master::passphrase_at("correct horse", dearer)).unwrap();
    assert_eq!(opens(&store, &Master::passphrase_at("wrong horse", CHEAP)), Err(Code::MASTER_KEY));
    let key = Master::key(Secret::new(vec![0; 32])).unwrap();
    assert_eq!(opens(&store, &key), Err(Code::MASTER_KEY));
    let text = format!("{:?}", Master::passphrase_at("correct horse", CHEAP));
    assert!(!text.contains("horse"));
}

/// A KMS that turns the bytes around, and may be away.
struct Kms(&'static str, bool);

impl KeyWrapper for Kms {
    fn name(&self) -> &str {
        self.0
    }
    fn wrap(&self, key: &Secret, context: &[u8]) -> Result<Vec<u8>> {
        let turned = key.expose().iter().rev().copied();
        Ok(turned.chain(context.iter().copied()).collect())
    }
    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Secret> {
        if self.1 {
            return Err(Error::new(Code::DEADLINE_EXCEEDED, "the KMS is away"));
        }
        let key = wrapped.strip_suffix(context).unwrap();
        Ok(Secret::new(key.iter().rev().copied().collect()))
    }
}

#[test]
fn a_wrapper_is_asked_by_its_name() {
    let store = Store::memory(&[]).unwrap();
    opens(&store, &Master::wrapper(Arc::new(Kms("kms", false)))).unwrap();
    opens(&store, &Master::wrapper(Arc::new(Kms("kms", false)))).unwrap();
    let away = opens(&store, &Master::wrapper(Arc::new(Kms("kms", true))));
    assert_eq!(away, Err(Code::DEADLINE_EXCEEDED));
    let other = opens(&store, &Master::wrapper(Arc::new(Kms("another", false))));
    assert_eq!(other, Err(Code::MASTER_KEY));
}

#[cfg(target_os = "linux")]
#[test]
fn the_keyring_gives_the_same_key_again_or_says_that_it_cannot() {
    // Always the same, because they stay until the machine restarts.
    let name = "sutazai-test";
    let store = Store::memory(&[]).unwrap();
    match Master::keyring(name) {
        Ok(master) => {
            opens(&store, &master).unwrap();
            opens(&store, &Master::keyring(name).unwrap()).unwrap();
            let other = Master::keyring(&format!("{name}-other")).unwrap();
            assert_eq!(opens(&store, &other), Err(Code::MASTER_KEY));
        }
        Err(e) => {
            println!("skipped: {e:#}");
            assert_eq!(e.code(), Code::MASTER_KEY);
        }
    }
}
