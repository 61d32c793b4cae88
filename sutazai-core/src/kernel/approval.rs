//! Calls that wait for somebody to approve them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::call::Refusal;
use super::handle::Kernel;
use super::inflight::What;
use super::shared::Shared;
use crate::base::deadline;
use crate::base::id::CallId;
use crate::base::payload::Payload;
use crate::base::ticket::{self, Hook, Reply, Settled, Ticket};
use crate::base::time::{Moment, Timestamp};
use crate::port::{Outcome, Session, Task};
use crate::{Code, Error, Result};

/// Calls that wait at once.
const MOST: usize = 1_000;

/// What a policy asks for.
pub(super) struct Ask {
    /// Who may approve it; `None`: whoever is not the caller.
    by: Option<Vec<String>>,
    within: Duration,
}

impl Ask {
    pub(super) fn new(by: &[String], within: Duration) -> Self {
        Self { by: (!by.is_empty()).then(|| by.to_vec()), within }
    }

    /// Another policy asks as well.
    pub(super) fn and(&mut self, by: &[String], within: Duration) {
        self.within = self.within.min(within);
        if by.is_empty() {
            return;
        }
        match &mut self.by {
            Some(own) => own.retain(|one| by.contains(one)),
            None => self.by = Some(by.to_vec()),
        }
    }

    /// Whether this one may approve it.
    pub(super) fn takes(&self, by: &str, caller: &Session) -> bool {
        by != caller.principal()
            && self.by.as_ref().is_none_or(|own| own.iter().any(|one| one == by))
    }
}

/// A call that waits to be approved.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct ApprovalView {
    /// The call.
    pub call: CallId,
    /// Who calls.
    pub principal: String,
    /// For what.
    pub skill: String,
    /// With what.
    pub input: Payload,
    /// Who may approve it; empty: whoever is not the caller.
    pub by: Vec<String>,
    /// Since when it waits.
    pub asked: Timestamp,
    /// When it is refused.
    pub ends: Timestamp,
}

#[derive(Default)]
pub(super) struct Approvals(Mutex<BTreeMap<u64, Waiting>>);

struct Waiting {
    task: Task,
    token: Option<Zeroizing<String>>,
    session: Session,
    ask: Ask,
    asked: Timestamp,
    reply: Reply<Outcome>,
}

impl Approvals {
    fn take(&self, id: CallId) -> Option<Waiting> {
        self.0.lock().remove(&id.0)
    }
}

/// Takes a call out when it has its answer, whoever gave it.
struct Asked {
    id: CallId,
    shared: Weak<Shared>,
}

impl Hook<Outcome> for Asked {
    fn settled(&self, _: &Result<Outcome>, _: Settled) {
        if let Some(shared) = self.shared.upgrade() {
            shared.in_flight.leave(self.id);
            drop(shared.approvals.take(self.id));
        }
    }

    fn finished(&self) {}

    fn may_block(&self) -> bool {
        self.shared.upgrade().is_none_or(|shared| shared.runtime.may_block())
    }
}

impl Shared {
    /// Answers a call that was not let in: refused, or it waits to be approved.
    pub(super) fn turned_away(
        self: &Arc<Self>,
        task: Task,
        token: Option<&str>,
        id: CallId,
        now: Moment,
        mut refusal: Refusal,
    ) -> Ticket<Outcome> {
        if let (Some(ask), Some(session)) = (refusal.ask.take(), refusal.session.clone()) {
            match self.ask_for(task.clone(), token, id, now, *ask, session) {
                Ok(ticket) => return ticket,
                Err(error) => refusal.error = error,
            }
        }
        if refusal.wants_capacity(&task) {
            self.creation.pools.turned_away(task.skill());
        }
        let error = refusal.error.clone();
        self.refused(&task, id, now, refusal, Default::default());
        ticket::ready(Err(error))
    }

    fn ask_for(
        self: &Arc<Self>,
        task: Task,
        token: Option<&str>,
        id: CallId,
        now: Moment,
        ask: Ask,
        session: Session,
    ) -> Result<Ticket<Outcome>> {
        let hook = Asked { id, shared: Arc::downgrade(self) };
        let (ticket, reply) = ticket::pair_with(Box::new(hook));
        let deadline = (now + ask.within).min(deadline::current());
        let event = serde_json::json!({
            "call": id,
            "principal": session.principal(),
            "skill": task.skill(),
            "by": ask.by.clone().unwrap_or_default(),
            "within_ms": u64::try_from(ask.within.as_millis()).unwrap_or(u64::MAX),
        });
        {
            let mut waiting = self.approvals.0.lock();
            if waiting.len() >= MOST {
                drop(waiting);
                return Err(Error::new(
                    Code::OVERLOADED,
                    "as many calls wait to be approved as may",
                )
                .operation("kernel.call")
                .with("most", MOST));
            }
            let token = token.map(|token| Zeroizing::new(token.to_owned()));
            let asked = self.clock.wall(now);
            waiting.insert(id.0, Waiting { task, token, session, ask, asked, reply });
        }
        if let Some(settler) = ticket.settler() {
            self.enter_call(id, deadline, settler, now, What::Asked);
        }
        self.publish("security.approval.wanted", event);
        Ok(ticket)
    }

    /// Lets a call go on that waited: everything is looked at again, as it is now.
    fn approved(self: &Arc<Self>, id: CallId, by: &str, waiting: Waiting) {
        let Waiting { task, token, reply, .. } = waiting;
        let now = self.runtime.now();
        // It is not late any more, and can still be cancelled by its number.
        self.in_flight.leave(id);
        if let Some(settler) = reply.settler() {
            self.enter_call(id, Moment::FAR, settler, now, What::Call);
        }
        let (_, inner) = self.call_now(task.approved_by(by.into()), token.as_deref().map(|t| &**t));
        if let (Some(settler), Some(parts)) = (inner.settler(), reply.settler()) {
            reply.on_cancel(move || {
                settler.cancel();
            });
            inner.on_part(move |part| parts.progress(part));
        }
        // Nobody waits any more, where it is too late.
        inner.on_done(move |answer| drop(reply.answer(answer)));
    }

    /// It is on the record before it counts; where it cannot be, the call is not made.
    #[cfg_attr(
        not(feature = "security"),
        allow(unused_variables, clippy::unused_self, reason = "nothing keeps a record")
    )]
    fn tell_of_approval(
        &self,
        action: &'static str,
        by: &str,
        call: CallId,
        waiting: &Waiting,
        why: &str,
    ) -> Result<()> {
        #[cfg(feature = "security")]
        {
            use crate::port::{AuditClass, AuditEvent, AuditValue};
            let id = i64::try_from(call.0).unwrap_or(i64::MAX);
            let details = [
                ("call", AuditValue::Int(id)),
                ("for", AuditValue::Text(waiting.session.principal())),
                ("why", AuditValue::Text(why)),
            ];
            let now = self.runtime.timestamp();
            let event = AuditEvent::new(AuditClass::Override, action, by, now)
                .object(waiting.task.skill())
                .details(&details);
            self.put_on_record(&event)?;
        }
        Ok(())
    }

    /// Whether somebody may do nothing at all.
    fn is_disabled(&self, _by: &str) -> bool {
        #[cfg(feature = "security")]
        return self.secured.get().is_some_and(|open| open.principals().is_disabled(_by));
        #[cfg(not(feature = "security"))]
        false
    }

    /// Puts on the record that somebody wanted to approve, or to reject, who may not.
    #[cfg_attr(
        not(feature = "security"),
        allow(clippy::unnecessary_wraps, reason = "nothing is recorded")
    )]
    fn tell_of_refused(
        &self,
        operation: &'static str,
        by: &str,
        call: CallId,
        principal: &str,
        skill: &str,
    ) -> Result<()> {
        #[cfg(feature = "security")]
        {
            use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};
            let id = i64::try_from(call.0).unwrap_or(i64::MAX);
            let details = [("call", AuditValue::Int(id)), ("for", AuditValue::Text(principal))];
            let action = operation.strip_prefix("security.").unwrap_or(operation);
            let now = self.runtime.timestamp();
            let event = AuditEvent::new(AuditClass::Override, action, by, now)
                .object(skill)
                .outcome(AuditOutcome::Denied)
                .details(&details);
            self.put_on_record(&event)?;
        }
        #[cfg(not(feature = "security"))]
        let _ = (operation, by, call, principal, skill);
        Ok(())
    }

    fn take_asked(&self, call: CallId, by: &str, operation: &'static str) -> Result<Waiting> {
        let mut waiting = self.approvals.0.lock();
        let unknown = || {
            Error::new(Code::NOT_FOUND, "no such call waits to be approved")
                .operation(operation)
                .with("call", call)
        };
        let one = waiting.get(&call.0).ok_or_else(unknown)?;
        if !one.ask.takes(by, &one.session) || self.is_disabled(by) {
            let (principal, skill) =
                (one.session.principal().to_owned(), Arc::clone(one.task.shared_skill()));
            drop(waiting);
            self.tell_of_refused(operation, by, call, &principal, &skill)?;
            return Err(Error::new(Code::DENIED, "this one may not approve the call")
                .operation(operation)
                .with("call", call)
                .with("by", by)
                .advice("whoever calls does not approve it; who may, the list of approvals says"));
        }
        waiting.remove(&call.0).ok_or_else(unknown)
    }
}

impl Kernel {
    /// The calls that wait to be approved, the oldest first.
    pub fn approvals(&self) -> Vec<ApprovalView> {
        let waiting = self.shared.approvals.0.lock();
        let view = |(id, one): (&u64, &Waiting)| ApprovalView {
            call: CallId(*id),
            principal: one.session.principal().to_owned(),
            skill: one.task.skill().to_owned(),
            input: one.task.input().clone(),
            by: one.ask.by.clone().unwrap_or_default(),
            asked: one.asked,
            ends: one.asked + one.ask.within,
        };
        waiting.iter().map(view).collect()
    }

    /// Approves a call that waits for it, in the name of `by`, whom the host has made sure of. The call goes on
    /// as if it were made now: its token, the policy and its other obligations are looked at again.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] where no such call waits, [`Code::DENIED`] for who may not approve it.
    pub fn approve(&self, call: CallId, by: &str) -> Result<()> {
        let waiting = self.shared.take_asked(call, by, "security.approve")?;
        let event = serde_json::json!({
            "call": call, "by": by, "principal": waiting.session.principal(),
            "skill": waiting.task.skill(),
        });
        if let Err(error) = self.shared.tell_of_approval("approval.given", by, call, &waiting, "") {
            drop(waiting.reply.fail(error.clone()));
            return Err(error);
        }
        self.shared.publish("security.approval.given", event);
        self.shared.approved(call, by, waiting);
        Ok(())
    }

    /// Refuses a call that waits to be approved, in the name of `by`: it is answered
    /// [`Code::NOT_APPROVED`].
    ///
    /// # Errors
    /// As [`approve`](Self::approve).
    pub fn reject(&self, call: CallId, by: &str, why: &str) -> Result<()> {
        let waiting = self.shared.take_asked(call, by, "security.reject")?;
        let event = serde_json::json!({
            "call": call, "by": by, "principal": waiting.session.principal(),
            "skill": waiting.task.skill(), "why": why,
        });
        if let Err(error) =
            self.shared.tell_of_approval("approval.refused", by, call, &waiting, why)
        {
            drop(waiting.reply.fail(error.clone()));
            return Err(error);
        }
        self.shared.publish("security.approval.refused", event);
        let error = Error::new(Code::NOT_APPROVED, "somebody refused to approve the call")
            .operation("kernel.call")
            .with("by", by)
            .with("why", why);
        let Waiting { task, session, reply, .. } = waiting;
        let now = self.shared.runtime.now();
        let refusal =
            Refusal { error: error.clone(), session: Some(session), entry: None, ask: None };
        self.shared.refused(&task, call, now, refusal, Default::default());
        // It may have been cancelled at this moment.
        drop(reply.fail(error));
        Ok(())
    }
}
