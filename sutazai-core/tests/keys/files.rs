//! Files, encrypted and decrypted into others.

use std::fs;
use std::ops::ControlFlow;

use sutazai_core::Code;
use sutazai_core::security::keys::Purpose;

use crate::{NOW, keys, manual};

#[test]
fn a_file_comes_back_or_nothing_does() {
    let keys = keys();
    keys.create("notes", manual(Purpose::Encrypt), "me", NOW).unwrap();
    let notes = keys.encryptor("notes").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let go_on = &mut |_| ControlFlow::Continue(());
    let text = b"buy milk\n".repeat(10_000);
    fs::write(at("plain"), &text).unwrap();

    let passed = notes.encrypt_file(b"c", &at("plain"), &at("sealed"), false, go_on).unwrap();
    assert_eq!(passed, text.len() as u64);
    keys.rotate("notes", "me", NOW).unwrap();
    notes.decrypt_file(b"c", &at("sealed"), &at("back"), false, go_on).unwrap();
    assert_eq!(fs::read(at("back")).unwrap(), text);
    // What one makes of a file is what the other makes of bytes.
    assert_eq!(notes.decrypt(b"c", &fs::read(at("sealed")).unwrap()).unwrap(), text);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(at("back")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    let files = || fs::read_dir(dir.path()).unwrap().count();
    let before = files();
    let mut sealed = fs::read(at("sealed")).unwrap();
    sealed.truncate(sealed.len() - 20_000);
    fs::write(at("cut"), &sealed).unwrap();
    let cut = notes.decrypt_file(b"c", &at("cut"), &at("none"), false, go_on).unwrap_err();
    assert_eq!(cut.code(), Code::NOT_AUTHENTIC);
    let other = notes.decrypt_file(b"d", &at("sealed"), &at("none"), false, go_on).unwrap_err();
    assert_eq!(other.code(), Code::NOT_AUTHENTIC);
    let stop = &mut |_| ControlFlow::Break(());
    let stopped = notes.encrypt_file(b"c", &at("plain"), &at("none"), false, stop).unwrap_err();
    assert_eq!(stopped.code(), Code::CANCELLED);
    let there = notes.encrypt_file(b"c", &at("plain"), &at("back"), false, go_on).unwrap_err();
    assert_eq!(there.code(), Code::ALREADY_EXISTS);
    let missing = notes.encrypt_file(b"c", &at("gone"), &at("none"), false, go_on).unwrap_err();
    assert_eq!(missing.code(), Code::NOT_FOUND);
    assert_eq!(files(), before + 1, "the cut one, and no part of another");
}
