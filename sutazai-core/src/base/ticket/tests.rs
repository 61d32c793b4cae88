use super::*;
use crate::base::runtime::{Runtime, Threads};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn every_end_of_the_ticket_gets_the_answer() {
    let (mut ticket, reply) = pair();
    reply.send(1).unwrap();
    assert_eq!(ticket.try_take().unwrap().unwrap(), 1);
    assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::TAKEN);

    let (mut ticket, reply) = pair();
    let worker = thread::spawn(move || reply.send(2));
    assert_eq!(ticket.wait().unwrap(), 2);
    worker.join().unwrap().unwrap();

    let (ticket, reply) = pair();
    let worker = thread::spawn(move || reply.send(3));
    assert_eq!(smol::block_on(ticket).unwrap(), 3);
    worker.join().unwrap().unwrap();

    let seen = Arc::new(Mutex::new(None));
    let (ticket, reply) = pair();
    let slot = Arc::clone(&seen);
    ticket.on_done(move |answer| *slot.lock() = Some(answer.unwrap()));
    reply.send(4).unwrap();
    assert_eq!(*seen.lock(), Some(4));

    let slot = Arc::clone(&seen);
    ready(Ok(5)).on_done(move |answer| *slot.lock() = Some(answer.unwrap()));
    assert_eq!(*seen.lock(), Some(5));
}

#[test]
fn a_dropped_reply_answers_abandoned() {
    let (mut ticket, reply) = pair::<()>();
    drop(reply);
    assert_eq!(ticket.wait().unwrap_err().code(), Code::ABANDONED);
}

#[test]
fn cancel_settles_at_once_and_the_worker_learns_it() {
    let (mut ticket, reply) = pair::<u8>();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    reply.on_cancel(move || count_up(&count, 1));
    assert!(!reply.cancelled());
    ticket.cancel();
    ticket.cancel();
    assert!(reply.cancelled());
    assert_eq!(told.load(Ordering::SeqCst), 1);
    let count = Arc::clone(&told);
    reply.on_cancel(move || count_up(&count, 10));
    assert_eq!(told.load(Ordering::SeqCst), 11);
    assert!(reply.progress(Payload::NULL).is_err());
    assert!(matches!(reply.send(1), Err(TooLate(Ok(1)))));
    assert_eq!(ticket.wait().unwrap_err().code(), Code::CANCELLED);
}

#[test]
fn dropping_cancels_and_detaching_does_not() {
    let (ticket, reply) = pair::<u8>();
    drop(ticket);
    assert!(reply.cancelled());
    let (ticket, reply) = pair::<u8>();
    ticket.detach();
    assert!(!reply.cancelled());
    reply.send(1).unwrap();
}

#[test]
fn cancellation_callbacks_do_not_outlive_an_answer() {
    let held = Arc::new(());
    let (mut ticket, reply) = pair::<u8>();
    let settler = reply.settler().unwrap();
    let inside = (Arc::clone(&held), settler.clone());
    reply.on_cancel(move || drop(inside));
    reply.send(1).unwrap();
    assert_eq!(Arc::strong_count(&held), 1, "the callback was dropped with the answer");
    assert!(!settler.settle(Ok(2)));
    assert_eq!(ticket.wait().unwrap(), 1);
}

#[test]
fn a_settler_answers_in_the_workers_stead() {
    let (mut ticket, reply) = pair::<u8>();
    let settler = reply.settler().unwrap();
    assert!(settler.settle(Err(cancelled())));
    assert!(!settler.settle(Ok(1)));
    assert!(settler.is_settled() && reply.cancelled());
    assert!(ticket.wait().is_err());
}

#[test]
fn timeouts_leave_the_ticket_good() {
    let (mut ticket, reply) = pair();
    assert!(ticket.wait_timeout(Duration::from_millis(1)).is_none());
    reply.send(7).unwrap();
    assert_eq!(ticket.wait_timeout(Duration::from_secs(60)).unwrap().unwrap(), 7);
}

#[test]
fn parts_are_read_in_order_and_bounded() {
    let (mut ticket, reply) = pair::<u8>();
    for n in 0..(extra::PARTS as u64 + 5) {
        reply.progress(Payload::from(serde_json::json!(n))).unwrap();
    }
    assert_eq!(ticket.missed_parts(), 5);
    assert_eq!(ticket.try_part().unwrap().to::<u64>().unwrap(), 5);
    reply.send(1).unwrap();
    let mut count = 1;
    while let Some(_part) = smol::block_on(ticket.next_part()) {
        count += 1;
    }
    assert_eq!(count, extra::PARTS);
    assert_eq!(ticket.wait().unwrap(), 1);
}

#[test]
fn part_callbacks_get_the_waiting_ones_first() {
    let (ticket, reply) = pair::<u8>();
    let seen = Arc::new(Mutex::new(Vec::new()));
    reply.progress("a".into()).unwrap();
    let sink = Arc::clone(&seen);
    ticket.on_part(move |part| sink.lock().push(part.to::<String>().unwrap()));
    reply.progress("b".into()).unwrap();
    assert_eq!(*seen.lock(), ["a", "b"]);
}

#[test]
fn a_panicking_callback_stays_with_itself() {
    let (ticket, reply) = pair::<u8>();
    ticket.on_done(|_| panic!("foreign code"));
    assert!(reply.send(1).is_ok());
}

struct Books(Arc<Mutex<Vec<String>>>);

impl Hook<u8> for Books {
    fn settled(&self, answer: &Result<u8>, by: Settled) {
        self.0.lock().push(format!("settled {} {by:?}", answer.is_ok()));
    }
    fn finished(&self) {
        self.0.lock().push("finished".into());
    }
}

#[test]
fn the_hook_sees_settled_and_finished_once_each() {
    let book = Arc::new(Mutex::new(Vec::new()));
    let (_ticket, reply) = pair_with(Box::new(Books(Arc::clone(&book))));
    reply.send(1).unwrap();
    assert_eq!(*book.lock(), ["settled true ByWorker", "finished"]);

    book.lock().clear();
    let (ticket, reply) = pair_with(Box::new(Books(Arc::clone(&book))));
    drop(ticket);
    assert_eq!(*book.lock(), ["settled false ByCaller"]);
    drop(reply);
    assert_eq!(*book.lock(), ["settled false ByCaller", "finished"]);
}

#[test]
fn values_are_dropped_exactly_once() {
    let value = Arc::new(());
    for end in 0..5 {
        let (mut ticket, reply) = pair();
        let settler = reply.settler();
        match end {
            0 => drop(ticket),
            1 => ticket.on_done(drop),
            2 => ticket.detach(),
            3 => {
                assert!(reply.send(Arc::clone(&value)).is_ok());
                assert!(ticket.try_take().is_some());
                continue;
            }
            _ => {
                assert!(reply.send(Arc::clone(&value)).is_ok());
                drop(ticket);
                continue;
            }
        }
        let _ = reply.send(Arc::clone(&value));
        drop(settler);
    }
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn racing_ends_agree_on_one_answer() {
    for round in 0..2_000_u32 {
        let (ticket, reply) = pair::<u32>();
        let settler = reply.settler().unwrap();
        let answers = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answers);
        let worker = thread::spawn(move || reply.send(round).is_ok());
        let kernel = thread::spawn(move || settler.settle(Err(cancelled())));
        ticket.on_done(move |_| count_up(&count, 1));
        assert!(worker.join().unwrap() ^ kernel.join().unwrap());
        assert_eq!(answers.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn waiting_on_a_pool_worker_lends_its_slot_out() {
    let runtime =
        Threads::new(crate::base::runtime::ThreadsConfig { blocking: 1, ..Default::default() });
    runtime.start().unwrap();
    let (mut outer, outer_reply) = pair();
    let inner_runtime = runtime.clone();
    runtime
        .spawn_blocking(Box::new(move || {
            let (mut inner, reply) = pair();
            inner_runtime.spawn_blocking(Box::new(move || drop(reply.send(1)))).unwrap();
            let _ = outer_reply.answer(inner.wait());
        }))
        .unwrap();
    assert_eq!(outer.wait().unwrap(), 1);
    runtime.stop(Duration::from_secs(1));
}

fn count_up(count: &AtomicUsize, by: usize) {
    count.fetch_add(by, Ordering::SeqCst);
}
