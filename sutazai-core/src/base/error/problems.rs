//! Several errors in one: what is checked as a whole reports all its mistakes at once.

use super::Error;

impl Error {
    /// One error out of many: the first, which stands for all of them. `None` when there is none.
    ///
    /// ```
    /// use sutazai_core::{Code, Error};
    /// let found = ["no name", "no skill"].map(|what| Error::new(Code::INVALID, what));
    /// let error = Error::join(found.to_vec()).unwrap();
    /// assert_eq!(error.problems(), found);
    /// assert_eq!(error.to_string(), "2 problems\nno name\nno skill");
    /// ```
    pub fn join(errors: Vec<Self>) -> Option<Self> {
        let first = errors.first()?.clone();
        Some(if errors.len() == 1 {
            first
        } else {
            first.change(|s| s.problems = Some(errors.into()))
        })
    }

    /// All the mistakes that this error stands for, in the order in which they stand: itself, unless
    /// it was made of several by [`join`](Self::join).
    pub fn problems(&self) -> &[Self] {
        let joined = self.shared().and_then(|s| s.problems.as_deref());
        joined.unwrap_or(std::slice::from_ref(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn joins_many_into_one() {
        let errors: Vec<_> =
            ["one", "two", "three"].map(|m| Error::new(Code::INVALID, m)).into_iter().collect();
        assert!(Error::join(Vec::new()).is_none());
        let single = Error::join(errors[..1].to_vec()).unwrap();
        assert_eq!(single.problems(), [Error::new(Code::INVALID, "one")]);
        let all = Error::join(errors.clone()).unwrap();
        assert_eq!(all.problems(), errors);
        assert_eq!((all.code(), all.message()), (Code::INVALID, "one"));
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(json["problems"][2]["message"], "three");
        assert_eq!(json["problems"][2]["problems"], serde_json::Value::Null);
    }

    #[test]
    fn the_first_keeps_its_cause() {
        let first = Error::new(Code::IO, "one").because(std::io::Error::other("disk on fire"));
        let all = Error::join(vec![first, Error::new(Code::IO, "two")]).unwrap();
        assert_eq!(all.causes().collect::<Vec<_>>(), ["disk on fire"]);
    }
}
