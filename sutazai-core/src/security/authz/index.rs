//! Finds the policies whose scope holds.
//!
//! The scopes of a set are triples of atoms (see [`scope`](super::scope)), and stand in order in two arrays: by principal,
//! action, resource, and by resource, action, principal. A request brings the atoms that its principal, action
//! and resource have; the array whose first column is the more selective *for this request* is walked: from each
//! atom of the first column to its part of the array, there to those of the second, and of the third. What comes
//! out is exact: no policy whose scope does not hold, and every one whose does.

use super::scope::{ACTION, DIMENSIONS, PRINCIPAL, RESOURCE, Triple, count};

/// The atoms of a request's principal, action and resource.
pub(super) type Held<'a> = [&'a [u32]; DIMENSIONS];

/// An index over the scopes of a set.
pub(super) struct Index {
    by_principal: Ordered,
    by_resource: Ordered,
}

impl Index {
    /// Of these scopes; `atoms` is how many atoms each dimension has.
    pub(super) fn new(scopes: &[Triple], atoms: [u32; DIMENSIONS]) -> Self {
        Self {
            by_principal: Ordered::new(scopes, atoms, [PRINCIPAL, ACTION, RESOURCE]),
            by_resource: Ordered::new(scopes, atoms, [RESOURCE, ACTION, PRINCIPAL]),
        }
    }

    /// Calls `found` with the number of each policy whose scope holds, once each, in no order.
    #[inline]
    pub(super) fn candidates(&self, held: Held<'_>, found: &mut impl FnMut(u32)) {
        let [principal, _, resource] = held;
        if self.by_resource.reach(resource) < self.by_principal.reach(principal) {
            self.by_resource.walk(held, found);
        } else {
            self.by_principal.walk(held, found);
        }
    }

    /// Whether any policy's scope holds for this principal and action, whatever the resource.
    pub(super) fn any_for_principal(&self, principal: &[u32], action: &[u32]) -> bool {
        self.by_principal.any(principal, action)
    }

    /// Whether any policy's scope holds for this action and resource, whoever the principal.
    pub(super) fn any_for_resource(&self, resource: &[u32], action: &[u32]) -> bool {
        self.by_resource.any(resource, action)
    }
}

/// Scopes in one order of their columns.
struct Ordered {
    columns: [usize; DIMENSIONS],
    /// By atom of the first column: where its part of `second` begins; one more at the end.
    first: Box<[u32]>,
    /// By atom of the first column: how many policies have it.
    reach: Box<[u32]>,
    second: Box<[Branch]>,
    third: Box<[Leaf]>,
}

/// Policies with the same first two atoms.
struct Branch {
    atom: u32,
    start: u32,
    end: u32,
}

struct Leaf {
    atom: u32,
    policy: u32,
}

impl Ordered {
    fn new(scopes: &[Triple], atoms: [u32; DIMENSIONS], columns: [usize; DIMENSIONS]) -> Self {
        let column = |scope: &Triple, at: usize| {
            columns.get(at).and_then(|dimension| scope.get(*dimension)).copied().unwrap_or_default()
        };
        let mut rows: Vec<(u32, u32, u32, u32)> = scopes
            .iter()
            .zip(0..)
            .map(|(scope, policy)| (column(scope, 0), column(scope, 1), column(scope, 2), policy))
            .collect();
        rows.sort_unstable();
        let width = atoms.get(columns[0]).copied().unwrap_or_default() as usize;
        let (mut first, mut reach) = (vec![0; width + 1], vec![0; width]);
        let (mut second, mut third) = (Vec::<Branch>::new(), Vec::with_capacity(rows.len()));
        let mut last = None;
        for (a, b, c, policy) in rows {
            if last != Some((a, b)) {
                last = Some((a, b));
                let at = count(third.len());
                second.push(Branch { atom: b, start: at, end: at });
                if let Some(branches) = first.get_mut(a as usize + 1) {
                    *branches += 1;
                }
            }
            third.push(Leaf { atom: c, policy });
            if let Some(branch) = second.last_mut() {
                branch.end += 1;
            }
            if let Some(reach) = reach.get_mut(a as usize) {
                *reach += 1;
            }
        }
        let mut sum = 0;
        for branches in &mut first {
            sum += *branches;
            *branches = sum;
        }
        Self {
            columns,
            first: first.into(),
            reach: reach.into(),
            second: second.into(),
            third: third.into(),
        }
    }

    /// How many policies ask for one of these atoms in the first column.
    #[inline]
    fn reach(&self, atoms: &[u32]) -> u32 {
        atoms.iter().filter_map(|atom| self.reach.get(*atom as usize)).sum()
    }

    #[inline]
    fn walk(&self, held: Held<'_>, found: &mut impl FnMut(u32)) {
        let [one, two, three] = self.columns.map(|dimension| held.get(dimension).copied());
        let two = two.unwrap_or_default();
        let three = three.unwrap_or_default();
        for atom in one.unwrap_or_default() {
            meet(self.branches(*atom), |branch| branch.atom, two, &mut |branch| {
                let leaves = self.third.get(branch.start as usize..branch.end as usize);
                let leaves = leaves.unwrap_or_default();
                meet(leaves, |leaf| leaf.atom, three, &mut |leaf| found(leaf.policy));
            });
        }
    }

    fn any(&self, one: &[u32], two: &[u32]) -> bool {
        one.iter().any(|atom| {
            let mut found = false;
            meet(self.branches(*atom), |branch| branch.atom, two, &mut |_| found = true);
            found
        })
    }

    #[inline]
    fn branches(&self, atom: u32) -> &[Branch] {
        let at = atom as usize;
        match (self.first.get(at), self.first.get(at + 1)) {
            (Some(start), Some(end)) => {
                self.second.get(*start as usize..*end as usize).unwrap_or_default()
            }
            _ => &[],
        }
    }
}

/// Calls `found` with each item whose key is among `keys`. Both are in order; keys stand once, items' may
/// repeat.
#[inline]
fn meet<'i, T>(
    items: &'i [T],
    key: impl Fn(&T) -> u32,
    keys: &[u32],
    found: &mut impl FnMut(&'i T),
) {
    // A binary search costs what some eight steps of a walk do.
    if items.len() > 16 + keys.len().saturating_mul(8) {
        for wanted in keys {
            let start = items.partition_point(|item| key(item) < *wanted);
            let rest = items.get(start..).unwrap_or_default();
            rest.iter().take_while(|item| key(item) == *wanted).for_each(&mut *found);
        }
        return;
    }
    let mut keys = keys.iter().copied();
    let mut wanted = keys.next();
    for item in items {
        let has = key(item);
        while wanted.is_some_and(|wanted| wanted < has) {
            wanted = keys.next();
        }
        match wanted {
            Some(wanted) if wanted == has => found(item),
            Some(_) => {}
            None => return,
        }
    }
}
