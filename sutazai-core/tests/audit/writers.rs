//! Many writers at once.

use std::collections::BTreeMap;

use sutazai_core::base::ticket::Ticket;
use sutazai_core::port::{AuditClass, AuditEvent, AuditValue};
use sutazai_core::security::audit::verify;

use super::{at, key, number, open};

#[test]
fn of_64_writers_every_record_is_there_once_and_each_ones_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.start().unwrap();
    let (writers, each) = (64_u64, 60_u64);
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let log = log.clone();
            scope.spawn(move || {
                let name = format!("w{writer}");
                let mut tickets: Vec<Ticket<u64>> = Vec::new();
                let mut last = None;
                for n in 0..each {
                    let details = [("n", AuditValue::Int(n as i64))];
                    let class = if n % 3 == 0 { AuditClass::Key } else { AuditClass::Action };
                    let event =
                        AuditEvent::new(class, "writer.write", &name, at(n)).details(&details);
                    if n % 5 == 0 {
                        tickets.push(log.submit(&event));
                    } else {
                        let index = log.record(&event).unwrap();
                        assert!(last < Some(index));
                        last = Some(index);
                    }
                }
                for mut ticket in tickets {
                    ticket.wait().unwrap();
                }
            });
        }
    });
    assert_eq!(log.status().waiting, 0);
    let kept = log.integrate(at(0)).unwrap();
    assert_eq!(kept.size(), writers * each);
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for index in 0..kept.size() {
        let record = log.get(index).unwrap().unwrap();
        let expected = next.entry(record.principal.clone()).or_default();
        assert_eq!(number(&record), *expected, "of {}", record.principal);
        *expected += 1;
    }
    assert!(next.len() == 64 && next.values().all(|&n| n == each));
    let status = log.status();
    assert_eq!((status.taken, status.refused), (writers * each, 0));
    log.close(at(0)).unwrap();
    drop(log);
    assert!(verify(dir.path(), &key(), Some(&kept)).unwrap().is_intact());
}

#[test]
fn tickets_are_answered_with_and_without_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let event = AuditEvent::new(AuditClass::Key, "key.make", "ann", at(0));
    assert_eq!(log.submit(&event).wait().unwrap(), 0);
    log.start().unwrap();
    let mut tickets: Vec<_> = (0..1024).map(|_| log.submit(&event)).collect();
    for (n, ticket) in tickets.iter_mut().enumerate() {
        assert_eq!(ticket.wait().unwrap(), n as u64 + 1);
    }
    assert!(log.status().syncs < 1024);
    drop(log.submit(&event));
    log.close(at(0)).unwrap();
    assert_eq!(log.status().records, 1026);
}
