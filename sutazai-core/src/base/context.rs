//! All that a piece of work is carried with, for whoever goes on with it elsewhere: its deadline, its priority,
//! what it is a part of, and whose it is.
//!
//! A callback goes on with the work of whoever registered it, and not with that of the call whose answer
//! it gets, on whose thread it runs.

use std::sync::Arc;

use super::lineage::{self, Lineage};
use super::time::Moment;
use super::{deadline, priority};

/// What work is carried with.
#[derive(Clone)]
pub(crate) struct Context {
    deadline: Moment,
    priority: u8,
    lineage: Option<Lineage>,
    caller: Option<Arc<str>>,
}

impl Context {
    /// That of the present work.
    #[inline]
    pub(crate) fn current() -> Self {
        Self {
            deadline: deadline::current(),
            priority: priority::current(),
            lineage: lineage::current(),
            caller: lineage::named_caller(),
        }
    }

    /// Runs `f` with it, in the place of what the thread is at.
    #[inline]
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        let Self { deadline, priority, lineage, caller } = self;
        deadline::instead(deadline, || {
            priority::within(priority, || {
                lineage::within(lineage, || lineage::instead_of_caller(caller, f))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{CallId, SpanId, TraceId};
    use crate::base::lineage::Place;
    use crate::base::ticket;

    fn lineage(call: u64) -> Lineage {
        let place = Place { call: CallId(call), trace: TraceId(1), span: SpanId(1) };
        Lineage::new(None, place, "a".into(), "s".into(), 1_u32.into())
    }

    #[test]
    fn a_callback_goes_on_with_the_work_of_whoever_registered_it() {
        let (mine, theirs) = (Moment::from_nanos(100), Moment::from_nanos(50));
        let (seen, sees) = std::sync::mpsc::channel();
        let look = move || {
            let call = lineage::current().map(|lineage| lineage.place().call.0);
            let caller = lineage::caller().map(|caller| caller.to_string());
            seen.send((deadline::current(), priority::current(), call, caller)).unwrap();
        };
        for registered in [true, false] {
            let (ticket, reply) = ticket::pair::<u8>();
            let look = look.clone();
            if registered {
                deadline::within(mine, || {
                    priority::within(7, || {
                        lineage::within(Some(lineage(1)), || {
                            lineage::on_behalf_of(Some(&"ada".into()), || {
                                ticket.on_done(move |_| look());
                            });
                        });
                    });
                });
            } else {
                ticket.on_done(move |_| look());
            }
            deadline::within(theirs, || {
                priority::within(9, || {
                    lineage::within(Some(lineage(2)), || drop(reply.send(1)));
                });
            });
            let expected = match registered {
                true => (mine, 7, Some(1), Some("ada".to_owned())),
                false => (Moment::FAR, priority::NORMAL, None, None),
            };
            assert_eq!(sees.recv().unwrap(), expected);
        }
    }
}
