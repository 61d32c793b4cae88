//! What the end of a process says: sysexits.h, the conventions of shells and container runtimes,
//! and signals.

use super::evidence::{CERTAIN, EXACT, Evidence, LOOSE, VAGUE};
use crate::Class::{self, Critical, Persistent, Transient};

/// What an exit status says; nothing for 0.
pub(super) fn status(status: i32) -> Option<Evidence> {
    let rule = "exit.status";
    let (weight, class, reason) = match status {
        0 => return None,
        64 => (EXACT, Persistent, "exit status 64 (EX_USAGE): called in a wrong way"),
        65 => (EXACT, Persistent, "exit status 65 (EX_DATAERR): the input is not valid"),
        66 => (EXACT, Persistent, "exit status 66 (EX_NOINPUT): there is no such input"),
        67 => (EXACT, Persistent, "exit status 67 (EX_NOUSER): there is no such user"),
        68 => (EXACT, Persistent, "exit status 68 (EX_NOHOST): there is no such host"),
        69 => (EXACT, Transient, "exit status 69 (EX_UNAVAILABLE): a service is unavailable"),
        70 => (LOOSE, Persistent, "exit status 70 (EX_SOFTWARE): a defect of the program"),
        71 => (LOOSE, Transient, "exit status 71 (EX_OSERR): the system refused something"),
        72 => (EXACT, Persistent, "exit status 72 (EX_OSFILE): a system file is missing"),
        73 => (EXACT, Persistent, "exit status 73 (EX_CANTCREAT): a file cannot be made"),
        74 => (LOOSE, Transient, "exit status 74 (EX_IOERR): an I/O error"),
        75 => (EXACT, Transient, "exit status 75 (EX_TEMPFAIL): a temporary failure"),
        76 => (EXACT, Persistent, "exit status 76 (EX_PROTOCOL): the protocol was broken"),
        77 => (EXACT, Persistent, "exit status 77 (EX_NOPERM): not permitted"),
        78 => (EXACT, Persistent, "exit status 78 (EX_CONFIG): the configuration is not valid"),
        101 => (50, Critical, "exit status 101: so a Rust program ends that panics"),
        // coreutils' timeout; GNU parallel, docker run and env use 125 to 127 alike.
        124 => (EXACT, Transient, "exit status 124: it was ended by a timeout"),
        125 => (40, Persistent, "exit status 125: the program could not be run"),
        126 => (EXACT, Persistent, "exit status 126: the program is not executable"),
        127 => (EXACT, Persistent, "exit status 127: there is no such program"),
        // A shell adds 128 to the signal. Nearly always 137 is the kernel's or a container
        // runtime's answer to a process that took too much memory.
        137 => (EXACT, Critical, "exit status 137 (SIGKILL): killed, most likely out of memory"),
        129..=159 => return signal(status - 128),
        // What Windows reports, as a signed or an unsigned number.
        -1_073_741_819 => (CERTAIN, Critical, "exit status 0xC0000005: an access violation"),
        -1_073_741_571 => (CERTAIN, Critical, "exit status 0xC00000FD: the stack overflowed"),
        -1_073_740_791 => (CERTAIN, Critical, "exit status 0xC0000409: the stack was overrun"),
        -1_073_740_940 => (CERTAIN, Critical, "exit status 0xC0000374: the heap is damaged"),
        -1_073_741_801 => (CERTAIN, Critical, "exit status 0xC0000017: out of memory"),
        -1_073_741_515 => (EXACT, Persistent, "exit status 0xC0000135: a DLL is missing"),
        -1_073_741_510 => (EXACT, Persistent, "exit status 0xC000013A: interrupted"),
        // Python's subprocess and Node.js report a signal as its negative.
        -31..=-1 if status != -1 => return signal(-status),
        _ => (VAGUE, Persistent, "an exit status that only says that it failed"),
    };
    Some(Evidence::new(weight, class, rule, reason))
}

struct Row(i32, &'static str, Class, u8, &'static str);

/// Numbers of Linux on x86 and ARM.
const SIGNALS: &[Row] = &[
    Row(1, "SIGHUP", Transient, LOOSE, "its terminal went away"),
    Row(2, "SIGINT", Persistent, LOOSE, "interrupted by its user"),
    Row(3, "SIGQUIT", Persistent, LOOSE, "ended by its user"),
    Row(4, "SIGILL", Critical, CERTAIN, "an illegal instruction"),
    Row(5, "SIGTRAP", Critical, EXACT, "a trap that nobody handled"),
    Row(6, "SIGABRT", Critical, EXACT, "it aborted itself"),
    Row(7, "SIGBUS", Critical, CERTAIN, "a bad memory access"),
    Row(8, "SIGFPE", Critical, CERTAIN, "an arithmetic fault"),
    // Seen directly, it was sent by somebody who wanted the process gone; that memory was the reason
    // shows in the text.
    Row(9, "SIGKILL", Transient, 40, "killed from outside"),
    Row(11, "SIGSEGV", Critical, CERTAIN, "a segmentation fault"),
    Row(13, "SIGPIPE", Transient, LOOSE, "its reader went away"),
    Row(14, "SIGALRM", Transient, LOOSE, "its own timer ended it"),
    Row(15, "SIGTERM", Transient, LOOSE, "it was asked to stop"),
    Row(24, "SIGXCPU", Persistent, LOOSE, "it used up its processor time"),
    Row(25, "SIGXFSZ", Persistent, LOOSE, "a file grew beyond its limit"),
    Row(31, "SIGSYS", Critical, EXACT, "a system call that is not allowed"),
];

/// What a signal says that ended a process.
pub(super) fn signal(number: i32) -> Option<Evidence> {
    let row = SIGNALS.iter().find(|row| row.0 == number)?;
    Some(Evidence::new(row.3, row.2, "exit.signal", row.4).seen(row.1))
}

/// The number of a signal that is given by number, name (with or without `SIG`), or both:
/// `11 (SIGSEGV)`.
pub(super) fn signal_number(text: &str) -> Option<i32> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if digits > 0 {
        return text.get(..digits)?.parse().ok();
    }
    let upper = text.to_ascii_uppercase();
    let named = |row: &&Row| row.1 == upper || row.1.strip_prefix("SIG") == Some(&*upper);
    SIGNALS.iter().find(named).map(|row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_in_every_form() {
        for text in ["11", "11 (SIGSEGV)", "SIGSEGV", "sigsegv", "SEGV", " 11 (core dumped)"] {
            assert_eq!(signal_number(text), Some(11), "{text}");
        }
        assert_eq!(signal_number("nothing"), None);
        assert_eq!(signal_number("99999999999999"), None);
    }

    #[test]
    fn statuses_beyond_128_are_signals() {
        let class = |number| status(number).map(|found| found.class);
        assert_eq!(class(139), Some(Critical));
        assert_eq!(class(-11), Some(Critical));
        assert_eq!(class(143), Some(Transient));
        assert_eq!(class(0), None);
    }
}
