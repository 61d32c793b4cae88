//! A queue of who waits, and whose turn it is: the more urgent first, and of those that are as urgent each caller in its
//! turn.
//!
//! Callers share by start-time fair queueing (P. Goyal, H. Vin, H. Cheng, "Start-time fair queueing", SIGCOMM
//! 1996), each call counting one. The first call of each caller has a tag: that of the caller's call before it
//! and one more, but not less than that of the call that went last. The lowest tag goes first, so whoever
//! brings a thousand calls at once waits behind the one of somebody else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Whose calls they are, where somebody said so.
pub(crate) type Caller = Option<Arc<str>>;

/// An ordered queue of `T`s with a bound.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    pub(crate) most: usize,
    came: u64,
    len: usize,
    /// Where some wait, the most urgent first.
    flows: BTreeMap<Reverse<u8>, Flow<T>>,
}

/// Where somebody waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    priority: u8,
    caller: Caller,
    came: u64,
}

/// What comes of a wish to wait.
pub(crate) enum Joined<T> {
    /// It waits; somebody else may have had to go for it.
    Waits(Option<T>),
    /// There is no room for it.
    Full,
}

/// Calls that are as urgent.
#[derive(Debug)]
struct Flow<T> {
    /// The tag of the call that went last.
    now: u64,
    callers: HashMap<Caller, Turns<T>>,
    /// The first call of each caller: its tag, when it came, whose it is.
    heads: BTreeSet<(u64, u64, Caller)>,
    /// The tag that each caller's next call would have, of callers that wait.
    ends: BTreeSet<(u64, Caller)>,
}

/// One caller's calls, in order of coming.
#[derive(Debug)]
struct Turns<T> {
    /// The tag of the first one, or of the next one to come.
    head: u64,
    calls: BTreeMap<u64, T>,
}

/// Callers that are remembered beside twice those that wait, at most.
const REMEMBERED: usize = 16;

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { most: 0, came: 0, len: 0, flows: BTreeMap::new() }
    }
}

impl<T> Queue<T> {
    /// One whose owner looks whether there is room: everybody who joins waits.
    pub(crate) fn without_bound() -> Self {
        Self { most: usize::MAX, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether one of this priority and caller would have somebody else go, in a queue that is full; `None`
    /// where there is no room even so.
    pub(crate) fn displaces(&self, priority: u8, caller: &Caller) -> Option<bool> {
        if self.len < self.most {
            return Some(false);
        }
        let (Reverse(lowest), flow) = self.flows.last_key_value()?;
        let last = flow.ends.last()?.0 - 1;
        (priority > *lowest || (priority == *lowest && flow.end(caller) < last)).then_some(true)
    }

    /// Begins to wait, as what is made of where that is. Where the queue is full the one that would go last
    /// leaves it, unless that is this one.
    pub(crate) fn join(
        &mut self,
        priority: u8,
        caller: Caller,
        made: impl FnOnce(Key) -> T,
    ) -> Joined<T> {
        let gone = match self.displaces(priority, &caller) {
            None => return Joined::Full,
            Some(false) => None,
            Some(true) => self.last().and_then(|last| self.leave(&last)),
        };
        let came = self.came;
        self.came += 1;
        self.len += 1;
        let it = made(Key { priority, caller: caller.clone(), came });
        let flow = self.flows.entry(Reverse(priority)).or_insert_with(Flow::new);
        flow.change(&caller, |turns, now| {
            if turns.calls.is_empty() {
                turns.head = turns.head.max(now);
            }
            turns.calls.insert(came, it);
        });
        Joined::Waits(gone)
    }

    /// Whoever's turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let (Reverse(priority), flow) = self.flows.first_key_value()?;
        let (tag, came, caller) = flow.heads.first()?.clone();
        let (priority, key) = (*priority, Key { priority: *priority, caller, came });
        let flow = self.flows.get_mut(&Reverse(priority))?;
        flow.now = flow.now.max(tag);
        let it = flow.change(&key.caller, |turns, _| {
            turns.head = tag + 1;
            turns.calls.remove(&came)
        });
        self.left(priority);
        it
    }

    /// Stops waiting: the caller's other calls stand no worse for it.
    pub(crate) fn leave(&mut self, key: &Key) -> Option<T> {
        let flow = self.flows.get_mut(&Reverse(key.priority))?;
        if !flow.callers.get(&key.caller)?.calls.contains_key(&key.came) {
            return None;
        }
        let it = flow.change(&key.caller, |turns, _| turns.calls.remove(&key.came));
        self.left(key.priority);
        it
    }

    /// Where the one stands that would go last.
    fn last(&self) -> Option<Key> {
        let (Reverse(priority), flow) = self.flows.last_key_value()?;
        let caller = flow.ends.last()?.1.clone();
        let came = *flow.callers.get(&caller)?.calls.last_key_value()?.0;
        Some(Key { priority: *priority, caller, came })
    }

    fn left(&mut self, priority: u8) {
        self.len -= 1;
        // Whoever comes to an empty queue begins anew.
        if self.flows.get(&Reverse(priority)).is_some_and(|flow| flow.heads.is_empty()) {
            self.flows.remove(&Reverse(priority));
        }
    }
}

impl<T> Flow<T> {
    fn new() -> Self {
        Self { now: 0, callers: HashMap::new(), heads: BTreeSet::new(), ends: BTreeSet::new() }
    }

    /// The tag that the next call of a caller would have.
    fn end(&self, caller: &Caller) -> u64 {
        match self.callers.get(caller) {
            Some(turns) if turns.calls.is_empty() => turns.head.max(self.now),
            Some(turns) => turns.end(),
            None => self.now,
        }
    }

    /// Changes a caller's calls; where it stands follows.
    fn change<R>(&mut self, caller: &Caller, f: impl FnOnce(&mut Turns<T>, u64) -> R) -> R {
        let new = || Turns { head: self.now, calls: BTreeMap::new() };
        let turns = self.callers.entry(caller.clone()).or_insert_with(new);
        if let Some((came, _)) = turns.calls.first_key_value() {
            self.heads.remove(&(turns.head, *came, caller.clone()));
            self.ends.remove(&(turns.end(), caller.clone()));
        }
        let result = f(turns, self.now);
        if let Some((came, _)) = turns.calls.first_key_value() {
            self.heads.insert((turns.head, *came, caller.clone()));
            self.ends.insert((turns.end(), caller.clone()));
        }
        if self.callers.len() > 2 * self.heads.len() + REMEMBERED {
            // Those whose turn it may be by now are as if they had never called.
            let now = self.now;
            self.callers.retain(|_, turns| !turns.calls.is_empty() || turns.head > now);
        }
        result
    }
}

impl<T> Turns<T> {
    fn end(&self) -> u64 {
        self.head + u64::try_from(self.calls.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn caller(name: &str) -> Option<Arc<str>> {
        Some(name.into())
    }

    fn queue(most: usize) -> Queue<(Option<Arc<str>>, u64)> {
        Queue { most, ..Queue::default() }
    }

    fn join(
        queue: &mut Queue<(Option<Arc<str>>, u64)>,
        priority: u8,
        who: &Option<Arc<str>>,
        n: u64,
    ) -> Option<Key> {
        let mut at = None;
        queue.join(priority, who.clone(), |key| {
            at = Some(key);
            (who.clone(), n)
        });
        at
    }

    #[test]
    fn whoever_floods_waits_behind_the_others() {
        let mut queue = queue(1_000);
        let (many, few) = (caller("many"), caller("few"));
        for n in 0..900 {
            join(&mut queue, 128, &many, n);
        }
        for n in 0..3 {
            join(&mut queue, 128, &few, n);
        }
        let order: Vec<_> =
            std::iter::from_fn(|| queue.pop()).map(|(who, _)| who).take(8).collect();
        let few_at: Vec<_> = (0..8).filter(|i| order[*i] == few).collect();
        assert_eq!(few_at, [1, 3, 5], "each in its turn");
    }

    #[test]
    fn a_full_queue_keeps_room_for_others() {
        let mut queue = queue(10);
        let (many, few) = (caller("many"), caller("few"));
        for n in 0..10 {
            assert!(join(&mut queue, 128, &many, n).is_some());
        }
        assert!(join(&mut queue, 128, &many, 10).is_none(), "its own last one goes first");
        for n in 0..5 {
            assert!(join(&mut queue, 128, &few, n).is_some(), "{n}");
        }
        assert!(join(&mut queue, 128, &few, 5).is_none(), "half is its share");
        assert!(join(&mut queue, 129, &few, 6).is_some(), "but the urgent come first");
    }

    #[test]
    fn who_stops_waiting_is_not_put_back_for_it() {
        let mut queue = queue(10_000);
        let (quits, other) = (caller("quits"), caller("other"));
        join(&mut queue, 128, &other, 0);
        for n in 0..1_000 {
            let key = join(&mut queue, 128, &quits, n).unwrap();
            queue.leave(&key);
        }
        join(&mut queue, 128, &other, 1);
        join(&mut queue, 128, &quits, 7);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(other.clone(), 0), (quits, 7), (other, 1)]);
        assert!(queue.flows.is_empty());
    }

    #[test]
    fn callers_that_have_gone_are_forgotten() {
        let mut queue = queue(100);
        let stays = caller("stays");
        (0..50).for_each(|n| drop(join(&mut queue, 128, &stays, n)));
        for n in 0..10_000 {
            join(&mut queue, 128, &caller(&n.to_string()), n);
            join(&mut queue, 128, &stays, n);
            queue.pop();
            queue.pop();
            assert!(queue.flows[&Reverse(128)].callers.len() <= 2 * queue.len() + REMEMBERED + 2);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(u8, u8),
        Pop,
        Leave(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..3_u8, 0..4_u8).prop_map(|(p, c)| Step::Join(p, c)),
            2 => Just(Step::Pop),
            1 => (0..64_usize).prop_map(Step::Leave),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever happens: nobody is lost or served twice, the more urgent go first, a caller's own calls
        /// keep their order, and nothing is left of who has gone.
        #[test]
        fn nobody_is_lost(steps in steps(), most in 1..40_usize) {
            let mut queue = queue(most);
            let mut waits: Vec<(Key, u8, Option<Arc<str>>, u64)> = Vec::new();
            let (mut n, mut came) = (0, 0);
            for step in steps {
                match step {
                    Step::Join(priority, who) => {
                        let who = caller(&who.to_string());
                        n += 1;
                        let mut at = None;
                        let joined = queue.join(priority, who.clone(), |key| {
                            at = Some(key);
                            (who.clone(), n)
                        });
                        match (joined, at) {
                            (Joined::Waits(gone), Some(key)) => {
                                came += 1;
                                if let Some((_, gone)) = gone {
                                    waits.retain(|(_, _, _, n)| *n != gone);
                                }
                                waits.push((key, priority, who, n));
                            }
                            (Joined::Full, None) => {}
                            _ => prop_assert!(false, "neither waits nor is refused"),
                        }
                    }
                    Step::Pop => {
                        let served = queue.pop();
                        prop_assert_eq!(served.is_some(), !waits.is_empty());
                        let Some((who, served)) = served else { continue };
                        let at = waits.iter().position(|(.., n)| *n == served).unwrap();
                        let (_, priority, ..) = waits.remove(at);
                        for (_, other, whose, n) in &waits {
                            prop_assert!(*other <= priority);
                            prop_assert!(*other < priority || *whose != who || *n > served);
                        }
                    }
                    Step::Leave(at) => {
                        if waits.is_empty() { continue }
                        let (key, _, _, n) = waits.remove(at % waits.len());
                        prop_assert_eq!(queue.leave(&key).map(|(_, n)| n), Some(n));
                        prop_assert!(queue.leave(&key).is_none());
                    }
                }
                prop_assert_eq!(queue.len(), waits.len());
                prop_assert!(queue.len() <= most);
                let held: usize = queue.flows.values().map(|flow| flow.callers.len()).sum();
                let most = 2 * waits.len() + 3 * (REMEMBERED + 2);
                prop_assert!(held <= most, "{} for {}", held, waits.len());
            }
            prop_assert!(came >= waits.len());
        }

        /// Of callers that always have calls waiting each gets its share, but for one.
        #[test]
        fn shares_are_fair(callers in 2..6_u8, extra in 0..50_u64) {
            let mut queue = queue(10_000);
            let names: Vec<_> = (0..callers).map(|c| caller(&c.to_string())).collect();
            for (c, who) in names.iter().enumerate() {
                // Some bring far more than others.
                for n in 0..20 + extra * c as u64 {
                    join(&mut queue, 128, who, n);
                }
            }
            let mut served = HashMap::new();
            for _ in 0..usize::from(callers) * 20 {
                let (who, _) = queue.pop().unwrap();
                *served.entry(who).or_insert(0_u32) += 1;
                let counts: Vec<_> =
                    names.iter().map(|who| served.get(who).copied().unwrap_or(0)).collect();
                prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
            }
        }
    }
}
