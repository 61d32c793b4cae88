//! Keysets that travel.

use sutazai_core::Code;
use sutazai_core::security::keys::{
    Algorithm, Cost, Export, ExportTo, ImportWith, Purpose, Schedule, Secret, Spec,
};

use crate::{NOW, keys, manual};

const CHEAP: Cost = Cost { memory_kib: 32, passes: 1, lanes: 1 };

#[test]
fn an_export_brings_all_keys_and_their_lives() {
    let (here, there) = (keys(), keys());
    here.create("e", Spec::new(Purpose::Encrypt).schedule(Schedule::default()), "t", NOW).unwrap();
    let e = here.encryptor("e").unwrap();
    let old = e.encrypt(b"", b"old").unwrap();
    here.rotate("e", "t", NOW).unwrap();
    let new = e.encrypt(b"", b"new").unwrap();
    there.create("h", manual(Purpose::Wrap).algorithm(Algorithm::HpkeX25519), "t", NOW).unwrap();
    let recipient = there.wrapping("h").unwrap();
    let (_, public) = recipient.public_key().unwrap();
    let phrase = Secret::from("passphrase");
    let ways = [
        (ExportTo::Passphrase(&phrase, CHEAP), ImportWith::Passphrase(&phrase)),
        (ExportTo::Recipient(&public), ImportWith::Recipient(&recipient)),
    ];
    for (to, with) in ways {
        let (export, event) = here.export("e", &to, "t", NOW).unwrap();
        assert_eq!(event.change.action(), "keys.export");
        // Through text, as it travels; the recipient has rotated meanwhile.
        let text = serde_json::to_string(&export).unwrap();
        let export = serde_json::from_str(&text).unwrap();
        there.rotate("h", "t", NOW).unwrap();
        let event = there.import(&export, &with, "t", NOW).unwrap();
        assert_eq!((event.change.action(), event.keyset.as_str()), ("keys.import", "e"));
        assert_eq!(there.info("e").unwrap(), here.info("e").unwrap());
        let e = there.encryptor("e").unwrap();
        assert_eq!(e.decrypt(b"", &old).unwrap(), b"old");
        assert_eq!(e.decrypt(b"", &new).unwrap(), b"new");
        let again = there.import(&export, &with, "t", NOW).unwrap_err();
        assert_eq!(again.code(), Code::ALREADY_EXISTS);
        there.remove("e", "t", NOW).unwrap();
    }
}

#[test]
fn an_import_is_refused_to_others() {
    let (here, there) = (keys(), keys());
    here.create("e", manual(Purpose::Encrypt), "t", NOW).unwrap();
    for name in ["h", "other"] {
        there
            .create(name, manual(Purpose::Wrap).algorithm(Algorithm::HpkeX25519), "t", NOW)
            .unwrap();
    }
    there.create("w", manual(Purpose::Wrap), "t", NOW).unwrap();
    let [h, other, w] = ["h", "other", "w"].map(|name| there.wrapping(name).unwrap());
    let (phrase, wrong) = (Secret::from("passphrase"), Secret::from("Passphrase"));
    let (by_phrase, _) = here.export("e", &ExportTo::Passphrase(&phrase, CHEAP), "t", NOW).unwrap();
    let (_, public) = h.public_key().unwrap();
    let to = ExportTo::Recipient(&public);
    let (to_key, _) = here.export("e", &to, "t", NOW).unwrap();
    let refused = |export: &Export, with: ImportWith<'_>| {
        there.import(export, &with, "t", NOW).unwrap_err().code()
    };
    assert_eq!(refused(&by_phrase, ImportWith::Passphrase(&wrong)), Code::NOT_AUTHENTIC);
    assert_eq!(refused(&by_phrase, ImportWith::Recipient(&h)), Code::INVALID);
    assert_eq!(refused(&to_key, ImportWith::Passphrase(&phrase)), Code::INVALID);
    assert_eq!(refused(&to_key, ImportWith::Recipient(&other)), Code::NOT_AUTHENTIC);
    assert_eq!(refused(&to_key, ImportWith::Recipient(&w)), Code::INVALID);
    assert_eq!(w.public_key().unwrap_err().code(), Code::KEY_PURPOSE);
    // A cost that would take all memory, or all time, is refused before it is paid.
    for cost in [
        "{\"memory_kib\":4294967295,\"passes\":1,\"lanes\":1}",
        "{\"memory_kib\":8,\"passes\":4294967295,\"lanes\":1}",
    ] {
        let mut text = serde_json::to_value(&by_phrase).unwrap();
        text["wrapped"]["cost"] = serde_json::from_str(cost).unwrap();
        let greedy = serde_json::from_value(text).unwrap();
        assert_eq!(refused(&greedy, ImportWith::Passphrase(&phrase)), Code::INVALID);
    }
    let empty = Secret::from("");
    let nothing = here.export("e", &ExportTo::Passphrase(&empty, CHEAP), "t", NOW).unwrap_err();
    assert_eq!(nothing.code(), Code::INVALID);
    // A point of low order: everybody could open it.
    let low = here.export("e", &ExportTo::Recipient(&[0; 32]), "t", NOW).unwrap_err();
    assert_eq!(low.code(), Code::INVALID);
    assert_eq!(there.list().len(), 3);
}
