//! A bulkhead whose bound follows what its target takes: the calls under way, and what an adaptive limit makes of them.

use crate::Result;
use crate::base::limit::{AdaptiveLimit, Call, CallOutcome, LimitPolicy, LimitView};
use crate::base::time::Moment;

/// A call that was let in; 0 is none.
pub(in crate::recovery) type Let = u64;

/// The limit, and the calls under way in slots that are used again.
#[derive(Debug)]
pub(super) struct Adaptive {
    limit: AdaptiveLimit,
    slots: Vec<Option<Call>>,
    free: Vec<u32>,
    /// Told apart from the ones before, whose calls are none of its own.
    epoch: u32,
    /// Its time begins with the first call.
    began: bool,
}

impl Adaptive {
    pub(super) fn new(policy: LimitPolicy, epoch: u32) -> Result<Self> {
        let limit = AdaptiveLimit::new(policy, Moment::ZERO)?;
        Ok(Self { limit, slots: Vec::new(), free: Vec::new(), epoch, began: false })
    }

    fn begin_time(&mut self, now: Moment) {
        if !std::mem::replace(&mut self.began, true)
            && let Ok(limit) = AdaptiveLimit::new(self.limit.view().policy, now)
        {
            self.limit = limit;
        }
    }

    pub(super) fn set_policy(&mut self, policy: LimitPolicy) -> Result<()> {
        self.limit.set_policy(policy)
    }

    /// Calls that may run now.
    pub(super) fn limit(&self) -> u32 {
        self.limit.limit()
    }

    pub(super) fn view(&self) -> LimitView {
        self.limit.view()
    }

    /// A call was let in.
    pub(super) fn begin(&mut self, now: Moment) -> Let {
        self.begin_time(now);
        let call = Some(self.limit.begin(now));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                self.slots.push(None);
                slot
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = call;
        }
        u64::from(self.epoch) << 32 | u64::from(slot)
    }

    /// It has ended like this.
    pub(super) fn end(&mut self, call: Let, outcome: CallOutcome, now: Moment) {
        let slot = (call & u64::from(u32::MAX)) as u32;
        if call >> 32 != u64::from(self.epoch) {
            return;
        }
        if let Some(call) = self.slots.get_mut(slot as usize).and_then(Option::take) {
            self.free.push(slot);
            self.limit.end(call, outcome, now);
        }
    }

    /// A call was kept out, or has to wait.
    pub(super) fn keep_out(&mut self, now: Moment) {
        self.begin_time(now);
        self.limit.keep_out(now);
    }
}

/// The policy of the limit within a bulkhead that never lets in more than `most`, which may have been lowered since the limit began.
pub(super) fn within(policy: &LimitPolicy, most: u32) -> LimitPolicy {
    let (max, begins) = (policy.max.min(most), policy.begins_with());
    let min = policy.min.min(max);
    LimitPolicy { max, min, initial: Some(begins.clamp(min, max)), ..policy.clone() }
}
