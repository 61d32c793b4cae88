//! The ticket beside tokio's oneshot channel.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sutazai_core::base::ticket;
use tokio::sync::oneshot;

const ROUND: u64 = 200_000;

fn main() {
    // Made, answered, awaited: all on one thread, so that the figure is the mechanism's and not the
    // scheduler's.
    bar::compare(
        "base.ticket",
        "ns",
        1.0,
        &mut || {
            bar::timed(ROUND, || {
                for n in 0..ROUND {
                    let (ticket, reply) = ticket::pair();
                    reply.send(black_box(n)).unwrap();
                    assert_eq!(ready(ticket).unwrap(), n);
                }
            })
        },
        &mut [("tokio-oneshot", &mut || {
            bar::timed(ROUND, || {
                for n in 0..ROUND {
                    let (sender, receiver) = oneshot::channel();
                    sender.send(black_box(n)).unwrap();
                    assert_eq!(ready(receiver).unwrap(), n);
                }
            })
        })],
    );
    // The same, but awaited before it is answered: a waker is left and woken.
    bar::compare(
        "base.ticket_woken",
        "ns",
        1.0,
        &mut || {
            bar::timed(ROUND, || {
                for n in 0..ROUND {
                    let (mut ticket, reply) = ticket::pair();
                    assert!(pending(&mut ticket));
                    reply.send(black_box(n)).unwrap();
                    assert_eq!(ready(ticket).unwrap(), n);
                }
            })
        },
        &mut [("tokio-oneshot", &mut || {
            bar::timed(ROUND, || {
                for n in 0..ROUND {
                    let (sender, mut receiver) = oneshot::channel();
                    assert!(pending(&mut receiver));
                    sender.send(black_box(n)).unwrap();
                    assert_eq!(ready(receiver).unwrap(), n);
                }
            })
        })],
    );
}

fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it was answered"),
    }
}

fn pending<F: Future + Unpin>(future: &mut F) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
