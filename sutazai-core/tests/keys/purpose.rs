//! A key does what it is for, where it is for, and nothing else.

use sutazai_core::Code;
use sutazai_core::security::keys::primitive::ed25519;
use sutazai_core::security::keys::{Algorithm, Keys, Purpose, Secret};

use crate::{NOW, keys, manual};

fn codes(keys: &Keys, name: &str) -> [Option<Code>; 5] {
    [
        keys.encryptor(name).err(),
        keys.signing(name).err(),
        keys.mac(name).err(),
        keys.deriving(name).err(),
        keys.wrapping(name).err(),
    ]
    .map(|error| error.map(|e| e.code()))
}

#[test]
fn a_keyset_is_had_for_its_purpose_only() {
    let keys = keys();
    for (at, purpose) in Purpose::ALL.into_iter().enumerate() {
        keys.create(purpose.name(), manual(purpose), "t", NOW).unwrap();
        for (other, code) in codes(&keys, purpose.name()).into_iter().enumerate() {
            assert_eq!(code, (other != at).then_some(Code::KEY_PURPOSE), "{purpose} {other}");
        }
    }
    assert_eq!(codes(&keys, "none"), [Some(Code::KEY_UNKNOWN); 5]);
}

#[test]
fn an_algorithm_serves_its_purposes_only() {
    let keys = keys();
    let all = [
        Algorithm::Aes256Gcm,
        Algorithm::ChaCha20Poly1305,
        Algorithm::Ed25519,
        Algorithm::HmacSha256,
        Algorithm::HmacSha512,
        Algorithm::HkdfSha256,
        Algorithm::HkdfSha512,
        Algorithm::HpkeX25519,
    ];
    for purpose in Purpose::ALL {
        for algorithm in all {
            let name = format!("{purpose}-{algorithm}");
            let made = keys.create(&name, manual(purpose).algorithm(algorithm), "t", NOW);
            let right = algorithm.serves(purpose);
            assert_eq!(
                made.err().map(|e| e.code()),
                (!right).then_some(Code::KEY_PURPOSE),
                "{name}"
            );
        }
    }
}

/// What one keyset made, another one refuses: of another name, of another purpose, with another context.
#[test]
fn nothing_is_accepted_in_another_place() {
    let keys = keys();
    for algorithm in [Algorithm::Aes256Gcm, Algorithm::ChaCha20Poly1305] {
        let name = |what: &str| format!("{what}-{algorithm}");
        let spec = |purpose| manual(purpose).algorithm(algorithm);
        keys.create(&name("a"), spec(Purpose::Encrypt), "t", NOW).unwrap();
        keys.create(&name("w"), spec(Purpose::Wrap), "t", NOW).unwrap();
        let a = keys.encryptor(&name("a")).unwrap();
        let w = keys.wrapping(&name("w")).unwrap();
        let sealed = a.encrypt(b"here", b"text").unwrap();
        let wrapped = w.wrap(b"here", &Secret::from("text")).unwrap();
        assert_eq!(a.decrypt(b"there", &sealed).unwrap_err().code(), Code::NOT_AUTHENTIC);
        assert_eq!(a.decrypt(b"", &sealed).unwrap_err().code(), Code::NOT_AUTHENTIC);
        assert_eq!(w.unwrap(b"here", &sealed).unwrap_err().code(), Code::KEY_UNKNOWN);
        assert_eq!(a.decrypt(b"here", &wrapped).unwrap_err().code(), Code::KEY_UNKNOWN);
        assert_eq!(w.unwrap(b"here", &wrapped).unwrap(), Secret::from("text"));
    }
    let other = keys.encryptor("a-chacha20-poly1305").unwrap();
    let sealed = keys.encryptor("a-aes-256-gcm").unwrap().encrypt(b"", b"").unwrap();
    assert_eq!(other.decrypt(b"", &sealed).unwrap_err().code(), Code::KEY_FORMAT);
}

#[test]
fn signatures_and_tags_are_bound_and_follow_rotations() {
    let keys = keys();
    keys.create("s", manual(Purpose::Sign), "t", NOW).unwrap();
    keys.create("m", manual(Purpose::Mac), "t", NOW).unwrap();
    keys.create("m512", manual(Purpose::Mac).algorithm(Algorithm::HmacSha512), "t", NOW).unwrap();
    let (s, m, m512) =
        (keys.signing("s").unwrap(), keys.mac("m").unwrap(), keys.mac("m512").unwrap());
    let signature = s.sign(b"ab", b"c").unwrap();
    let tag = m.tag(b"ab", b"c").unwrap();
    let tag512 = m512.tag(b"ab", b"c").unwrap();
    assert_eq!((signature.len(), tag.len(), tag512.len()), (73, 41, 73));
    let first = s.signer().unwrap();
    for round in 0..2 {
        s.verify(b"ab", b"c", &signature).unwrap();
        m.verify(b"ab", b"c", &tag).unwrap();
        m512.verify(b"ab", b"c", &tag512).unwrap();
        // Where the context ends is part of it.
        for (context, message) in
            [(&b"a"[..], &b"bc"[..]), (b"abc", b""), (b"ab", b"d"), (b"", b"abc")]
        {
            assert_eq!(
                s.verify(context, message, &signature).unwrap_err().code(),
                Code::NOT_AUTHENTIC
            );
            assert_eq!(m.verify(context, message, &tag).unwrap_err().code(), Code::NOT_AUTHENTIC);
            assert_eq!(
                m512.verify(context, message, &tag512).unwrap_err().code(),
                Code::NOT_AUTHENTIC
            );
        }
        if round == 0 {
            for name in ["s", "m", "m512"] {
                keys.rotate(name, "t", NOW).unwrap();
            }
        }
    }
    // In a protocol's own form.
    let second = s.signer().unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(s.public_key(first.id()).unwrap(), first.public().unwrap());
    let raw = first.sign(b"message").unwrap();
    ed25519::verify(&s.public_key(first.id()).unwrap(), b"message", &raw).unwrap();
    assert!(ed25519::verify(&s.public_key(second.id()).unwrap(), b"message", &raw).is_err());
    let states: Vec<_> = s.public_keys().iter().map(|key| (key.id, key.state.name())).collect();
    assert_eq!(states, [(first.id(), "decrypt-only"), (second.id(), "active")]);
    // A destroyed key verifies nothing, and its public key is not given out.
    keys.destroy("s", first.id(), "t", NOW).unwrap();
    assert_eq!(s.verify(b"ab", b"c", &signature).unwrap_err().code(), Code::KEY_STATE);
    assert_eq!(s.public_key(first.id()).unwrap_err().code(), Code::KEY_STATE);
    assert_eq!(s.public_keys().len(), 1);
    // And a removed keyset does nothing, whoever still holds it.
    keys.remove("s", "t", NOW).unwrap();
    assert_eq!(s.sign(b"", b"").unwrap_err().code(), Code::KEY_UNKNOWN);
    assert_eq!(keys.signing("s").unwrap_err().code(), Code::KEY_UNKNOWN);
}

#[test]
fn derived_secrets_come_again_and_differ_by_use_length_and_key() {
    let keys = keys();
    keys.create("d", manual(Purpose::Derive), "t", NOW).unwrap();
    let d = keys.deriving("d").unwrap();
    let (id, secret) = d.derive(b"use", 32).unwrap();
    assert_eq!(d.derive_of(id, b"use", 32).unwrap(), secret);
    let longer = d.derive_of(id, b"use", 64).unwrap();
    assert_ne!(&longer.expose()[..32], secret.expose());
    assert_ne!(d.derive_of(id, b"other", 32).unwrap(), secret);
    keys.rotate("d", "t", NOW).unwrap();
    assert_ne!(d.derive(b"use", 32).unwrap().1, secret);
    assert_eq!(d.derive_of(id, b"use", 32).unwrap(), secret);
    keys.destroy("d", id, "t", NOW).unwrap();
    assert_eq!(d.derive_of(id, b"use", 32).unwrap_err().code(), Code::KEY_STATE);
    for len in [0, 1025] {
        assert_eq!(d.derive(b"use", len).unwrap_err().code(), Code::INVALID);
    }
}

#[test]
fn rewrapping_moves_to_the_active_key() {
    let keys = keys();
    keys.create("e", manual(Purpose::Encrypt), "t", NOW).unwrap();
    keys.create("h", manual(Purpose::Wrap).algorithm(Algorithm::HpkeX25519), "t", NOW).unwrap();
    let (e, h) = (keys.encryptor("e").unwrap(), keys.wrapping("h").unwrap());
    let secret = Secret::from("secret");
    let (sealed, wrapped) = (e.encrypt(b"c", b"plain").unwrap(), h.wrap(b"c", &secret).unwrap());
    assert_eq!((e.rewrap(b"c", &sealed).unwrap(), h.rewrap(b"c", &wrapped).unwrap()), (None, None));
    let old = e.key_of(&sealed).unwrap();
    keys.rotate("e", "t", NOW).unwrap();
    keys.rotate("h", "t", NOW).unwrap();
    let again = e.rewrap(b"c", &sealed).unwrap().unwrap();
    keys.destroy("e", old, "t", NOW).unwrap();
    assert_eq!(e.decrypt(b"c", &sealed).unwrap_err().code(), Code::KEY_STATE);
    assert_eq!(e.decrypt(b"c", &again).unwrap(), b"plain");
    let again = h.rewrap(b"c", &wrapped).unwrap().unwrap();
    assert_eq!(h.unwrap(b"c", &again).unwrap(), secret);
    assert_eq!(h.unwrap(b"d", &again).unwrap_err().code(), Code::NOT_AUTHENTIC);
}

#[test]
fn names_are_checked() {
    let keys = keys();
    for name in ["", "a b", "ü", "a\0", &"x".repeat(65)] {
        let error = keys.create(name, manual(Purpose::Mac), "t", NOW).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{name:?}");
    }
    keys.create(&"x".repeat(64), manual(Purpose::Mac), "t", NOW).unwrap();
}
