//! One document in the store, of any length: in parts, which count once their head names them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::authn::written;
use super::policies::Texts;
use crate::base::payload::Payload;
use crate::base::time::Timestamp;
use crate::store::{Durability, LIST_MAX, Store};
use crate::{Code, Error, Result};

const NAMESPACE: &str = "security.policies";
const HEAD: &str = "head";
/// The longest part, in bytes before it is written as JSON, which at most doubles it.
const PART: usize = 256 * 1024;
/// The longest document.
const MOST: usize = 64 * 1024 * 1024;

/// All that decides, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    #[serde(flatten)]
    pub(super) texts: Texts,
    pub(super) entities: Vec<Value>,
    /// The host has put the entities together itself: they are not here, and these policies were not meant to decide
    /// without them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) without_entities: bool,
    pub(super) generation: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `None`: nothing is kept, or it was not wanted.
    pub(super) document: Option<Document>,
    /// Whether policies decide. Where that cannot be read any more, they do.
    pub(super) authorise: bool,
}

/// Where it is kept.
pub(super) struct KeptPolicies {
    store: Store,
    /// Of the document that was written last, whether or not that went well.
    version: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u64,
    parts: usize,
    bytes: usize,
    authorise: bool,
}

impl KeptPolicies {
    pub(super) fn new(store: Store) -> Self {
        Self { store, version: AtomicU64::new(0) }
    }

    /// What is kept, if anything is and it is `wanted`. Parts that no head names go. Where it is not wanted, what
    /// cannot be read is no error.
    pub(super) fn read(&self, wanted: bool) -> Result<Found> {
        let head = match self.head() {
            Err(_) if !wanted => return Ok(Found { document: None, authorise: true }),
            head => head?,
        };
        let Some(head) = head else { return Ok(Found::default()) };
        self.version.store(head.version, Ordering::Relaxed);
        let authorise = head.authorise;
        if !wanted {
            return Ok(Found { document: None, authorise });
        }
        let mut text = String::new();
        for part in 0..head.parts {
            let entry = self.store.get(NAMESPACE, &key(head.version, part))?;
            let entry = entry.ok_or_else(|| corrupt().with("part", part))?;
            text += &entry.value.to::<String>().map_err(|e| corrupt().because(e))?;
        }
        if text.len() != head.bytes {
            return Err(corrupt().with("bytes", text.len()).with("expected", head.bytes));
        }
        let document = serde_json::from_str(&text).map_err(|e| corrupt().because(e.to_string()))?;
        self.sweep(head.version);
        Ok(Found { document: Some(document), authorise })
    }

    /// Keeps whether policies decide, and the document as it is; it is on the disk when this returns.
    pub(super) fn write_authorise(&self, authorise: bool, now: Timestamp) -> Result<()> {
        match self.head()? {
            Some(head) => self.write_head(&Head { authorise, ..head }, now),
            None => self.write(&Document::default(), authorise, now),
        }
    }

    fn write_head(&self, head: &Head, now: Timestamp) -> Result<()> {
        let head = Payload::json(head)?;
        written(self.store.put(NAMESPACE, HEAD, &head, now, Durability::Fsync)).map(drop)
    }

    /// Keeps another, and whether policies decide; it is on the disk when this returns.
    pub(super) fn write(&self, document: &Document, authorise: bool, now: Timestamp) -> Result<()> {
        let text = serde_json::to_string(document)
            .map_err(|e| Error::new(Code::INTERNAL, "policies have no JSON form").because(e))?;
        if text.len() > MOST {
            return Err(Error::new(Code::INVALID, "policies and entities are too much to be kept")
                .operation("security.change_policies")
                .with("bytes", text.len())
                .with("most", MOST));
        }
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        let parts = parts(&text);
        for (part, text) in parts.iter().enumerate() {
            let value = Payload::from(*text);
            let ticket =
                self.store.put(NAMESPACE, &key(version, part), &value, now, Durability::Process);
            written(ticket)?;
        }
        self.write_head(&Head { version, parts: parts.len(), bytes: text.len(), authorise }, now)?;
        self.sweep(version);
        Ok(())
    }

    fn head(&self) -> Result<Option<Head>> {
        let Some(entry) = self.store.get(NAMESPACE, HEAD)? else { return Ok(None) };
        entry.value.to().map(Some).map_err(|e| corrupt().because(e))
    }

    /// Removes the parts of other versions. What remains of them is in nobody's way.
    fn sweep(&self, version: u64) {
        let ours = prefix(version);
        let mut after: Option<String> = None;
        while let Ok(page) = self.store.list(NAMESPACE, "part.", after.as_deref(), LIST_MAX) {
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for entry in page.iter().filter(|entry| !entry.key.starts_with(&ours)) {
                self.store.delete(NAMESPACE, &entry.key, Durability::Process).detach();
            }
        }
    }
}

fn prefix(version: u64) -> String {
    format!("part.{version:020}.")
}

fn key(version: u64, part: usize) -> String {
    format!("{}{part:05}", prefix(version))
}

/// The text in pieces that the store takes.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::with_capacity(text.len() / PART + 1);
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.floor_char_boundary(PART);
        let (part, after) = rest.split_at(at);
        parts.push(part);
        rest = after;
    }
    parts
}

fn corrupt() -> Error {
    Error::new(Code::STORE_CORRUPT, "the policies in the store are not what was put there")
        .operation("security.open")
        .with("namespace", NAMESPACE)
        .advice("open it without them (SecurityOptions::restore_policies), and set them anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_document_comes_back_whole_and_an_older_one_goes() {
        let store = Store::memory(&[]).unwrap();
        let kept = KeptPolicies::new(store.clone());
        assert!(kept.read(true).unwrap().document.is_none());
        let cedar = "// é\"\n".repeat(200_000);
        let texts = Texts { cedar, ..Texts::default() };
        let document = Document { texts, generation: 7, ..Document::default() };
        kept.write(&document, false, Timestamp::EPOCH).unwrap();
        kept.write(&document, true, Timestamp::EPOCH).unwrap();
        let again = KeptPolicies::new(store.clone());
        let found = again.read(true).unwrap();
        let read = found.document.unwrap();
        assert!(found.authorise);
        assert_eq!((read.texts.cedar, read.generation), (document.texts.cedar.clone(), 7));
        let keys = store.list(NAMESPACE, "", None, LIST_MAX).unwrap();
        assert!(keys.iter().all(|e| e.key == HEAD || e.key.starts_with(&prefix(2))), "{keys:?}");
        assert!(again.read(false).unwrap().document.is_none());
        again.write(&document, true, Timestamp::EPOCH).unwrap();
        assert_eq!(again.head().unwrap().unwrap().version, 3, "versions go on");
        again.write_authorise(false, Timestamp::EPOCH).unwrap();
        let found = again.read(true).unwrap();
        assert!(!found.authorise && found.document.is_some());
        again.write_authorise(true, Timestamp::EPOCH).unwrap();
        written(store.delete(NAMESPACE, &key(3, 1), Durability::Process)).unwrap();
        let error = again.read(true).unwrap_err();
        assert_eq!(error.code(), Code::STORE_CORRUPT);
        assert!(error.remedy().is_some());
        // Whether they decided, the head says; and where it says nothing, they do.
        assert!(again.read(false).unwrap().authorise);
        let rubbish = Payload::from("rubbish");
        written(store.put(NAMESPACE, HEAD, &rubbish, Timestamp::EPOCH, Durability::Process))
            .unwrap();
        assert_eq!(again.read(true).unwrap_err().code(), Code::STORE_CORRUPT);
        assert!(again.read(false).unwrap().authorise);
    }
}
