//! Every byte of what is made is altered, cut off and added: refused each time, and nothing panics.

use sutazai_core::security::keys::{Algorithm, Cost, ExportTo, ImportWith, Purpose, Secret};
use sutazai_core::{Code, Error, Result};

use crate::{NOW, keys, manual};

const EXPECTED: [Code; 3] = [Code::NOT_AUTHENTIC, Code::KEY_FORMAT, Code::KEY_UNKNOWN];

fn try_all(what: &str, made: &[u8], mut open: impl FnMut(&[u8]) -> Result<()>) {
    open(made).unwrap();
    let mut refused = |bytes: &[u8], how: &str, at: usize| {
        let error: Error = open(bytes).expect_err(&format!("{what}, {how} at {at}"));
        assert!(EXPECTED.contains(&error.code()), "{what}, {how} at {at}: {error}");
    };
    for at in 0..made.len() {
        for flip in [1u8 << (at % 8), 0xff] {
            let mut bytes = made.to_vec();
            bytes[at] ^= flip;
            refused(&bytes, "flipped", at);
        }
        refused(&made[..at], "cut off", at);
        let mut bytes = made.to_vec();
        bytes.remove(at);
        refused(&bytes, "without the byte", at);
    }
    refused(&[made, &[0]].concat(), "longer", made.len());
    refused(&[made, made].concat(), "twice", made.len());
}

#[test]
fn ciphertexts() {
    let keys = keys();
    for algorithm in [Algorithm::Aes256Gcm, Algorithm::ChaCha20Poly1305] {
        keys.create(algorithm.name(), manual(Purpose::Encrypt).algorithm(algorithm), "t", NOW)
            .unwrap();
        let keyset = keys.encryptor(algorithm.name()).unwrap();
        for len in [0, 1, 100] {
            let sealed = keyset.encrypt(b"context", &vec![b'x'; len]).unwrap();
            assert_eq!(sealed.len(), len + 9 + 56 + 16);
            try_all(algorithm.name(), &sealed, |bytes| keyset.decrypt(b"context", bytes).map(drop));
        }
    }
}

#[test]
fn ciphertexts_of_several_chunks() {
    const CHUNK: usize = 16 * 1024;
    let keys = keys();
    keys.create("e", manual(Purpose::Encrypt), "t", NOW).unwrap();
    let keyset = keys.encryptor("e").unwrap();
    for len in [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7] {
        let plain: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let sealed = keyset.encrypt(b"", &plain).unwrap();
        assert_eq!(keyset.decrypt(b"", &sealed).unwrap(), plain);
        for at in (0..sealed.len()).step_by(911) {
            let mut bytes = sealed.clone();
            bytes[at] ^= 0x10;
            keyset.decrypt(b"", &bytes).unwrap_err();
            keyset.decrypt(b"", &sealed[..at]).unwrap_err();
        }
    }
}

#[test]
fn signatures_and_tags() {
    let keys = keys();
    keys.create("s", manual(Purpose::Sign), "t", NOW).unwrap();
    keys.create("m", manual(Purpose::Mac), "t", NOW).unwrap();
    let (s, m) = (keys.signing("s").unwrap(), keys.mac("m").unwrap());
    let signature = s.sign(b"c", b"message").unwrap();
    try_all("signature", &signature, |bytes| s.verify(b"c", b"message", bytes));
    let tag = m.tag(b"c", b"message").unwrap();
    try_all("tag", &tag, |bytes| m.verify(b"c", b"message", bytes));
}

#[test]
fn wrapped_keys() {
    let keys = keys();
    keys.create("w", manual(Purpose::Wrap), "t", NOW).unwrap();
    keys.create("h", manual(Purpose::Wrap).algorithm(Algorithm::HpkeX25519), "t", NOW).unwrap();
    let secret = Secret::random(32).unwrap();
    let w = keys.wrapping("w").unwrap();
    let wrapped = w.wrap(b"c", &secret).unwrap();
    try_all("wrapped", &wrapped, |bytes| {
        w.unwrap(b"c", bytes).map(|opened| assert_eq!(opened, secret))
    });
    // X25519 takes points that differ in the highest bit as the same (RFC 7748, §5), but HPKE hashes
    // them as they came.
    let h = keys.wrapping("h").unwrap();
    let wrapped = h.wrap(b"c", &secret).unwrap();
    try_all("HPKE", &wrapped, |bytes| {
        h.unwrap(b"c", bytes).map(|opened| assert_eq!(opened, secret))
    });
}

#[test]
fn exports() {
    let (here, there) = (keys(), keys());
    here.create("e", manual(Purpose::Encrypt), "t", NOW).unwrap();
    there.create("h", manual(Purpose::Wrap).algorithm(Algorithm::HpkeX25519), "t", NOW).unwrap();
    let recipient = there.wrapping("h").unwrap();
    let (_, public) = recipient.public_key().unwrap();
    let phrase = Secret::from("passphrase");
    let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let to = [ExportTo::Passphrase(&phrase, cost), ExportTo::Recipient(&public)];
    let with = [ImportWith::Passphrase(&phrase), ImportWith::Recipient(&recipient)];
    for (to, with) in to.iter().zip(&with) {
        let (export, _) = here.export("e", to, "t", NOW).unwrap();
        try_all("export", export.sealed.expose(), |bytes| {
            let mut export = export.clone();
            export.sealed = Secret::new(bytes.to_vec());
            there.import(&export, with, "t", NOW)?;
            there.remove("e", "t", NOW).map(drop)
        });
        // The text of it, byte by byte.
        let text = serde_json::to_string(&export).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(export) = serde_json::from_slice(&bytes) else { continue };
            there.import(&export, with, "t", NOW).unwrap_err();
        }
        assert_eq!(there.list().len(), 1);
    }
}
