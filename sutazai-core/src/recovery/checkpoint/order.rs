//! In which order things are restored.

use crate::{Code, Error, Result};

/// The order in which things come after all that they need; those that are free to choose come in the
/// order they are given in. `needs` are places in that list.
///
/// # Errors
/// The places that wait for one another in a circle, or behind one.
pub(super) fn sorted(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut order = Vec::with_capacity(needs.len());
    let mut placed = vec![false; needs.len()];
    loop {
        let is_placed = |place: &usize| placed.get(*place).copied().unwrap_or(false);
        let next = needs
            .iter()
            .enumerate()
            .find(|(place, needs)| !is_placed(place) && needs.iter().all(is_placed));
        match next {
            Some((place, _)) => {
                order.push(place);
                if let Some(mark) = placed.get_mut(place) {
                    *mark = true;
                }
            }
            None if order.len() == needs.len() => return Ok(order),
            None => return Err((0..needs.len()).filter(|place| !is_placed(place)).collect()),
        }
    }
}

/// The order of these names with what each needs.
///
/// # Errors
/// [`Code::INVALID`] for a need that is not there, and for a circle.
pub(super) fn of_names(things: &[(String, Vec<String>)]) -> Result<Vec<usize>> {
    let wrong =
        |what: &'static str| Error::new(Code::INVALID, what).operation("recovery.checkpoint");
    let mut needs = Vec::with_capacity(things.len());
    for (name, wanted) in things {
        let places = wanted.iter().map(|want| {
            things.iter().position(|(other, _)| other == want).ok_or_else(|| {
                wrong("what is checkpointed needs something that is not")
                    .with("name", name)
                    .with("needs", want)
            })
        });
        needs.push(places.collect::<Result<Vec<_>>>()?);
    }
    sorted(&needs).map_err(|circle| {
        let names = circle.iter().filter_map(|place| things.get(*place));
        let names: Vec<_> = names.map(|(name, _)| name.as_str()).collect();
        wrong("what is checkpointed needs itself in a circle").with("names", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn needs_come_first_and_the_rest_stays_in_place(
            given in proptest::collection::vec(proptest::collection::vec(0_usize..8, 0..3), 1..8),
        ) {
            let all = given.len();
            let needs: Vec<Vec<usize>> =
                given.iter().map(|n| n.iter().map(|at| at % all).collect()).collect();
            match sorted(&needs) {
                Ok(order) => {
                    let at = |place| order.iter().position(|p| *p == place).unwrap();
                    prop_assert_eq!(order.len(), all);
                    for (place, needs) in needs.iter().enumerate() {
                        for need in needs {
                            prop_assert!(at(*need) < at(place));
                        }
                    }
                    // Each one is the first of those that could come.
                    for (index, place) in order.iter().enumerate() {
                        let before = &order[..index];
                        let could = |p: &usize| {
                            !before.contains(p) && needs[*p].iter().all(|n| before.contains(n))
                        };
                        prop_assert_eq!((0..all).find(|p| could(p)), Some(*place));
                    }
                }
                // Every one that is left waits for another one that is left.
                Err(left) => prop_assert!(
                    !left.is_empty()
                        && left.iter().all(|p| needs[*p].iter().any(|n| left.contains(n)))
                ),
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let thing = |name: &str, needs: &[&str]| {
            (name.to_owned(), needs.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
        };
        let error = of_names(&[thing("a", &["b"])]).unwrap_err();
        assert!(error.to_string().contains("needs=b"), "{error}");
        let error = of_names(&[thing("a", &["b"]), thing("b", &["a"]), thing("c", &[])]);
        assert!(error.unwrap_err().to_string().contains("names=a, b"));
    }
}
