//! Every interleaving of the ticket's ends, explored by loom.

use super::*;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls as a task would: again only after a wake-up. Panics when the wake-up was lost.
fn poll_to_end(mut ticket: Ticket<u8>) -> Result<u8> {
    let count = std::sync::Arc::new(Count(AtomicUsize::new(0)));
    let waker = std::task::Waker::from(std::sync::Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    loop {
        let before = count.0.load(Ordering::SeqCst);
        if let Poll::Ready(answer) = Pin::new(&mut ticket).poll(&mut cx) {
            return answer;
        }
        while count.0.load(Ordering::SeqCst) == before {
            thread::yield_now();
        }
    }
}

/// Three threads have too many interleavings to run them all: those with up to three preemptions,
/// where nearly all defects of this kind show (Musuvathi and Qadeer, PLDI 2007).
fn bounded(f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(f);
}

#[test]
fn send_wakes_the_poller() {
    loom::model(|| {
        let (ticket, reply) = pair::<u8>();
        let worker = thread::spawn(move || reply.send(1).is_ok());
        assert_eq!(poll_to_end(ticket).unwrap(), 1);
        assert!(worker.join().unwrap());
    });
}

#[test]
fn a_replaced_waker_is_the_one_that_is_woken() {
    loom::model(|| {
        let (mut ticket, reply) = pair::<u8>();
        let worker = thread::spawn(move || reply.send(1).is_ok());
        let first = Pin::new(&mut ticket).poll(&mut Context::from_waker(std::task::Waker::noop()));
        match first {
            Poll::Ready(answer) => assert_eq!(answer.unwrap(), 1),
            Poll::Pending => assert_eq!(poll_to_end(ticket).unwrap(), 1),
        }
        assert!(worker.join().unwrap());
    });
}

#[test]
fn dropping_the_ticket_races_with_the_answer() {
    loom::model(|| {
        let (ticket, reply) = pair::<u8>();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        reply.on_cancel(move || count_up(&count, 1));
        let worker = thread::spawn(move || reply.send(1).is_ok());
        drop(ticket);
        let sent = worker.join().unwrap();
        assert_eq!(told.load(Ordering::SeqCst), usize::from(!sent));
    });
}

#[test]
fn settler_worker_and_callback_race() {
    bounded(|| {
        let (ticket, reply) = pair::<u8>();
        let settler = reply.settler();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let worker = thread::spawn(move || reply.send(1).is_ok());
        let kernel = thread::spawn(move || settler.is_some_and(|s| s.settle(Ok(2))));
        ticket.on_done(move |_| count_up(&count, 1));
        assert!(worker.join().unwrap() ^ kernel.join().unwrap());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn on_cancel_races_with_cancel() {
    loom::model(|| {
        let (ticket, reply) = pair::<u8>();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let canceller = thread::spawn(move || ticket.cancel());
        reply.on_cancel(move || count_up(&count, 1));
        canceller.join().unwrap();
        assert_eq!(told.load(Ordering::SeqCst), 1);
        drop(reply);
    });
}

/// What a hook does when its call is settled: it looks whether the call was put on the list.
struct Looks(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl Hook<u8> for Looks {
    fn settled(&self, _: &Result<u8>, _: Settled) {
        count_up(&self.1, self.0.load(Ordering::Relaxed));
    }
    fn finished(&self) {}
}

#[test]
fn who_lists_a_call_sees_that_it_is_settled_or_is_seen() {
    loom::model(|| {
        let (listed, found) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let hook = Looks(Arc::clone(&listed), Arc::clone(&found));
        let (ticket, reply) = pair_with::<u8>(Box::new(hook));
        let settler = ticket.settler().unwrap();
        let worker = thread::spawn(move || reply.send(1).is_ok());
        listed.store(1, Ordering::Relaxed);
        let settled = settler.is_settled_ordered();
        assert!(worker.join().unwrap());
        assert!(settled || found.load(Ordering::SeqCst) == 1);
    });
}

#[test]
fn an_answer_that_comes_too_late_is_given_back() {
    loom::model(|| {
        let (ticket, reply) = pair::<u8>();
        let worker = thread::spawn(move || reply.answer(Ok(1)).map_err(|late| late.0));
        let settler = ticket.settler().unwrap();
        let won = settler.settle(Ok(2));
        let worker = worker.join().unwrap();
        assert_eq!(poll_to_end(ticket).unwrap(), if won { 2 } else { 1 });
        match worker {
            Ok(()) => assert!(!won),
            Err(answer) => assert_eq!((answer.unwrap(), won), (1, true)),
        }
    });
}

#[test]
fn a_part_or_the_end_wakes_its_reader() {
    bounded(|| {
        let (mut ticket, reply) = pair::<u8>();
        let worker = thread::spawn(move || {
            let _ = reply.progress(Payload::NULL);
            reply.send(1).is_ok()
        });
        let count = std::sync::Arc::new(Count(AtomicUsize::new(0)));
        let waker = std::task::Waker::from(std::sync::Arc::clone(&count));
        let mut parts = 0;
        loop {
            let before = count.0.load(Ordering::SeqCst);
            match Pin::new(&mut ticket.next_part()).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(_)) => parts += 1,
                Poll::Ready(None) => break,
                Poll::Pending => {
                    while count.0.load(Ordering::SeqCst) == before {
                        thread::yield_now();
                    }
                }
            }
        }
        assert_eq!(parts, 1);
        assert!(worker.join().unwrap());
    });
}

fn count_up(count: &AtomicUsize, by: usize) {
    count.fetch_add(by, Ordering::SeqCst);
}
