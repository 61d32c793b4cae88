//! Several errors in one: what is checked as a whole reports all its mistakes at once.

use std::fmt;

use super::Error;

/// Every mistake that a check found, in the order in which they stand. It is the source of the
/// error that [`Problems::join`] makes; [`Error::problems`] finds it again.
#[derive(Clone, Debug)]
pub struct Problems(Box<[Error]>);

impl Problems {
    /// One error out of many: the first, with all of them behind [`Error::problems`]. `None` when
    /// there is none.
    pub fn join(errors: Vec<Error>) -> Option<Error> {
        let first = errors.first()?.clone();
        Some(if errors.len() == 1 { first } else { first.because(Self(errors.into())) })
    }
}

impl Error {
    /// All the mistakes that this error stands for: itself, unless it was made of several by
    /// [`Problems::join`].
    pub fn problems(&self) -> &[Error] {
        let joined = self.shared().and_then(|s| s.source.as_deref()?.downcast_ref::<Problems>());
        joined.map_or(std::slice::from_ref(self), |problems| &problems.0)
    }
}

impl fmt::Display for Problems {
    /// All but the first, which the error that carries this says itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "and {} more", self.0.len().saturating_sub(1))?;
        let mut separator = ": ";
        for error in self.0.iter().skip(1) {
            write!(f, "{separator}{error}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn joins_many_into_one() {
        let errors: Vec<_> =
            ["one", "two", "three"].map(|m| Error::new(Code::INVALID, m)).into_iter().collect();
        assert!(Problems::join(Vec::new()).is_none());
        let single = Problems::join(errors[..1].to_vec()).unwrap();
        assert_eq!(single.problems(), [Error::new(Code::INVALID, "one")]);
        let all = Problems::join(errors.clone()).unwrap();
        assert_eq!(all.problems(), errors);
        assert_eq!(format!("{all:#}"), "one: and 2 more: two; three");
    }
}
