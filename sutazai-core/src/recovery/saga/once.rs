//! [`once`]: effects that live in the store itself, exactly once.

use rusqlite::{OptionalExtension as _, params};

use crate::Result;
use crate::base::payload::Payload;
use crate::port::SagaContext;
use crate::store::{Durability, Tx};

/// Carries out a change of the store that belongs to a step, exactly once however often the step is
/// called: the change and the fact that it was made are one transaction, so that neither can be there
/// without the other. What `change` gives is kept, and given again by later calls. Blocks until it is
/// synced to the disk.
///
/// `what` tells apart several changes of one step in one direction.
///
/// ```
/// use sutazai_core::base::payload::Payload;
/// use sutazai_core::port::SagaContext;
/// use sutazai_core::recovery::{effect_of, once, step_fn};
///
/// let withdraw = step_fn(
///     |ctx: &SagaContext<'_>| {
///         let amount: i64 = ctx.input.to()?;
///         once(ctx, "withdraw", move |tx| {
///             tx.execute("UPDATE bank_account SET balance = balance - ? WHERE id = 1", [amount])?;
///             Ok(amount.into())
///         })
///     },
///     |ctx: &SagaContext<'_>, _: Option<&Payload>| {
///         // Whether it took effect is known here, also after a crash: it is in the store.
///         let Some(amount) = effect_of(ctx, "withdraw")? else { return Ok(()) };
///         let amount: i64 = amount.to()?;
///         once(ctx, "return", move |tx| {
///             tx.execute("UPDATE bank_account SET balance = balance + ? WHERE id = 1", [amount])?;
///             Ok(Payload::NULL)
///         })
///         .map(drop)
///     },
/// );
/// # let _ = withdraw;
/// ```
///
/// # Errors
/// `change`'s own, and then nothing is changed; what [`Store::write`](crate::store::Store::write) says;
/// [`Code::WOULD_DEADLOCK`](crate::Code::WOULD_DEADLOCK) under virtual time, where nothing may block.
pub fn once<F>(ctx: &SagaContext<'_>, what: &str, change: F) -> Result<Payload>
where
    F: FnOnce(&Tx<'_>) -> Result<Payload> + Send + 'static,
{
    let (saga, key) = (ctx.saga.to_owned(), format!("{}/{what}", ctx.key));
    ctx.store
        .write("recovery", Durability::Fsync, move |tx| {
            if let Some(text) = made(tx, &saga, &key)? {
                return Payload::json_text(text);
            }
            let gave = change(tx)?;
            tx.prepare_cached(
                "INSERT INTO recovery_saga_effect (saga, key, gave) VALUES (?, ?, ?)",
            )?
            .execute(params![saga, key, &*gave.to_text()])?;
            Ok(gave)
        })
        .wait()
}

/// What the change `what` of this step's action gave, if [`once`] has made it: for a compensation that is
/// not told what its action gave.
///
/// # Errors
/// What [`Store::read`](crate::store::Store::read) says.
pub fn effect_of(ctx: &SagaContext<'_>, what: &str) -> Result<Option<Payload>> {
    let key = format!("{}/{what}", super::run::key(ctx.saga, ctx.step, super::run::Way::Act));
    let text = ctx.store.read(|conn| made(conn, ctx.saga, &key))?;
    text.map(Payload::json_text).transpose()
}

fn made(conn: &rusqlite::Connection, saga: &str, key: &str) -> Result<Option<String>> {
    Ok(conn
        .prepare_cached("SELECT gave FROM recovery_saga_effect WHERE saga = ? AND key = ?")?
        .query_row([saga, key], |row| row.get(0))
        .optional()?)
}
