//! A child that works off a mailbox, under a supervisor.

use super::super::mailbox::{Fate, Mailbox, MailboxPolicy, MailboxWorker, Message, Work};
use super::*;

fn worked(
    runtime: Arc<dyn Runtime>,
    mailbox: &Mailbox<u32>,
    spec: SupervisorSpec,
    work: impl Fn(&Message<u32>) -> Result<()> + Send + Sync + 'static,
) -> Supervisor {
    let (mailbox, work) = (mailbox.clone(), Arc::new(work));
    let inner = Arc::clone(&runtime);
    let children = move |life: &ChildLife| -> Result<Arc<dyn Child>> {
        let work: Work<u32> = work.clone();
        Ok(Arc::new(MailboxWorker::new(mailbox.clone(), Arc::clone(&inner), life, work)))
    };
    let observer: Observer = Arc::new(|_| ());
    Supervisor::new(runtime, "main", spec, Arc::new(children), observer, 0).unwrap()
}

#[test]
fn a_worker_goes_on_where_it_came_down() {
    let runtime = Manual::new();
    let seen: Log = Arc::default();
    let log = Arc::clone(&seen);
    let poisoned: Log = Arc::default();
    let hear = Arc::clone(&poisoned);
    let mailbox = Mailbox::with(
        MailboxPolicy::default(),
        Arc::new(move |fate: Fate<'_, u32>| hear.lock().push(format!("{fate:?}"))),
    );
    let work = move |message: &Message<u32>| {
        log.lock().push(format!("{} {}", message.body, message.kills));
        match *message.body {
            2 => std::panic::resume_unwind(Box::new("two")),
            3 if message.kills == 0 => Err(Error::new(Code::IO, "three")),
            _ => Ok(()),
        }
    };
    let main = worked(Arc::new(runtime.clone()), &mailbox, spec(&["w"]), work);
    mailbox.push(1).unwrap();
    main.start().unwrap();
    for n in 2..=4 {
        mailbox.push(n).unwrap();
    }
    runtime.run();
    assert_eq!(*seen.lock(), ["1 0", "2 0", "2 1", "3 0", "3 1", "4 0"]);
    assert_eq!(poisoned.lock().len(), 1);
    let poison = mailbox.poison();
    let errors: Vec<_> = poison[0].kills.iter().map(|k| format!("{:#}", k.error)).collect();
    assert_eq!(errors, ["the child panicked (panic=two)"; 2]);
    assert_eq!((&*poison[0].kills[0].child, poison[0].kills[1].generation.0), ("main>w", 3));
    let status = main.status().unwrap();
    assert_eq!((status.children[0].restarts, mailbox.status().done), (3, 3));
    main.stop(Moment::FAR).unwrap();
    // What comes while nobody is there waits.
    mailbox.push(5).unwrap();
    runtime.run();
    assert_eq!(mailbox.status().waiting, 1);
    main.start().unwrap();
    runtime.run();
    assert_eq!((mailbox.status().waiting, seen.lock().len()), (0, 7));
}

#[test]
fn a_worker_that_is_killed_unasked_is_not_to_blame() {
    let runtime = threads();
    let (begun, has_begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let mailbox = Mailbox::new(MailboxPolicy::default());
    let work = move |message: &Message<u32>| {
        begun.send(message.kills).unwrap();
        let _ = gone.lock().recv();
        Ok(())
    };
    let child = ChildSpec::worker("w").shutdown(Shutdown::BrutalKill);
    let main = worked(Arc::new(runtime.clone()), &mailbox, spec(&[]).child(child), work);
    main.start().unwrap();
    mailbox.push(1).unwrap();
    assert_eq!(has_begun.recv().unwrap(), 0);
    main.terminate_child("main>w").unwrap();
    assert_eq!((mailbox.status().returned, mailbox.status().waiting), (1, 1));
    drop(go);
    main.restart_child("main>w").unwrap();
    assert_eq!(has_begun.recv().unwrap(), 0);
    until(|| mailbox.status().done == 1);
    main.stop(Moment::FAR).unwrap();
    runtime.stop(SECOND);
}
