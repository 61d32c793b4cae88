//! The experimental algorithms: both halves count.

use sutazai_core::Code;
use sutazai_core::security::keys::primitive::{ed25519, ml_dsa};
use sutazai_core::security::keys::{Algorithm, ExportTo, ImportWith, Purpose, Secret};

use crate::{NOW, keys, manual};

#[test]
fn a_signature_of_two_algorithms_needs_both() {
    let keys = keys();
    keys.create("s", manual(Purpose::Sign).algorithm(Algorithm::Ed25519MlDsa65), "t", NOW).unwrap();
    keys.create("one", manual(Purpose::Sign), "t", NOW).unwrap();
    let s = keys.signing("s").unwrap();
    let signature = s.sign(b"c", b"m").unwrap();
    assert_eq!(signature.len(), 9 + 64 + ml_dsa::SIGNATURE);
    keys.rotate("s", "t", NOW).unwrap();
    s.verify(b"c", b"m", &signature).unwrap();
    assert_eq!(s.verify(b"c", b"n", &signature).unwrap_err().code(), Code::NOT_AUTHENTIC);
    // A byte of the front, of each half, and of the end; and halves of different signatures.
    for at in [0, 1, 9, 40, 72, 73, 500, signature.len() - 1] {
        let mut altered = signature.clone();
        altered[at] ^= 1;
        s.verify(b"c", b"m", &altered).unwrap_err();
        s.verify(b"c", b"m", &signature[..at]).unwrap_err();
    }
    let other = s.sign(b"c", b"n").unwrap();
    let mixed = [&other[..73], &s.sign(b"c", b"m").unwrap()[73..]].concat();
    assert_eq!(s.verify(b"c", b"m", &mixed).unwrap_err().code(), Code::NOT_AUTHENTIC);

    let signer = s.signer().unwrap();
    ed25519::verify(&signer.public().unwrap(), b"note", &signer.sign(b"note").unwrap()).unwrap();
    let second = s.second_public_key(signer.id()).unwrap();
    let co_signature = signer.co_sign(b"note").unwrap();
    ml_dsa::verify(&second, b"", b"note", &co_signature).unwrap();
    assert!(ml_dsa::verify(&second, b"sutazai.keys.v1", b"note", &co_signature).is_err());
    let one = keys.signing("one").unwrap().signer().unwrap();
    assert_eq!(one.co_sign(b"note").unwrap_err().code(), Code::KEY_PURPOSE);
}

#[test]
fn a_recipient_of_two_algorithms_receives() {
    let (here, there) = (keys(), keys());
    here.create("e", manual(Purpose::Encrypt), "t", NOW).unwrap();
    there.create("x", manual(Purpose::Wrap).algorithm(Algorithm::HpkeXWing), "t", NOW).unwrap();
    there.create("h", manual(Purpose::Wrap).algorithm(Algorithm::HpkeX25519), "t", NOW).unwrap();
    let (x, h) = (there.wrapping("x").unwrap(), there.wrapping("h").unwrap());
    let secret = Secret::random(32).unwrap();
    let wrapped = x.wrap(b"c", &secret).unwrap();
    assert_eq!(wrapped.len(), 9 + 1120 + 32 + 16);
    assert_eq!(x.unwrap(b"c", &wrapped).unwrap(), secret);
    assert_eq!(x.unwrap(b"d", &wrapped).unwrap_err().code(), Code::NOT_AUTHENTIC);
    for at in (0..wrapped.len()).step_by(7) {
        let mut altered = wrapped.clone();
        altered[at] ^= 1;
        x.unwrap(b"c", &altered).unwrap_err();
        x.unwrap(b"c", &wrapped[..at]).unwrap_err();
    }
    let (_, public) = x.public_key().unwrap();
    let (export, _) = here.export("e", &ExportTo::Recipient(&public), "t", NOW).unwrap();
    let wrong = there.import(&export, &ImportWith::Recipient(&h), "t", NOW).unwrap_err();
    assert_eq!(wrong.code(), Code::INVALID);
    there.import(&export, &ImportWith::Recipient(&x), "t", NOW).unwrap();
    assert_eq!(there.info("e").unwrap(), here.info("e").unwrap());
}
