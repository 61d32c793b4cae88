//! What the errors of the operating system say: error numbers, kinds of I/O errors, and what
//! `getaddrinfo` answers. Numbers are Linux's (asm-generic/errno.h); elsewhere the kind decides.

use std::io::ErrorKind as Kind;

use super::evidence::{CERTAIN, EXACT, Evidence, LOOSE};
use crate::Class::{self, Critical, Persistent, Transient};

struct Row(i32, &'static str, Class, &'static str);

/// Sorted by number. What is not in it says nothing.
const ERRNO: &[Row] = &[
    Row(-11, "EAI_SYSTEM", Transient, "the name service failed"),
    Row(-10, "EAI_MEMORY", Critical, "out of memory"),
    Row(-8, "EAI_SERVICE", Persistent, "there is no such service"),
    Row(-6, "EAI_FAMILY", Persistent, "the address family is not supported"),
    Row(-5, "EAI_NODATA", Persistent, "the host has no address"),
    Row(-4, "EAI_FAIL", Persistent, "name resolution fails for good"),
    Row(-3, "EAI_AGAIN", Transient, "a temporary failure in name resolution"),
    Row(-2, "EAI_NONAME", Persistent, "there is no such host"),
    Row(1, "EPERM", Persistent, "not permitted"),
    Row(2, "ENOENT", Persistent, "there is no such file"),
    Row(3, "ESRCH", Persistent, "there is no such process"),
    Row(4, "EINTR", Transient, "interrupted by a signal"),
    Row(5, "EIO", Critical, "the device does not read or write"),
    Row(6, "ENXIO", Persistent, "there is no such device"),
    Row(7, "E2BIG", Persistent, "the argument list is too long"),
    Row(8, "ENOEXEC", Persistent, "not an executable"),
    Row(9, "EBADF", Persistent, "the descriptor is not open"),
    Row(10, "ECHILD", Persistent, "there is no child process"),
    Row(11, "EAGAIN", Transient, "temporarily unavailable"),
    Row(12, "ENOMEM", Critical, "out of memory"),
    Row(13, "EACCES", Persistent, "permission denied"),
    Row(14, "EFAULT", Critical, "a bad address"),
    Row(16, "EBUSY", Transient, "busy"),
    Row(17, "EEXIST", Persistent, "it exists already"),
    Row(18, "EXDEV", Persistent, "on another file system"),
    Row(19, "ENODEV", Persistent, "there is no such device"),
    Row(20, "ENOTDIR", Persistent, "not a directory"),
    Row(21, "EISDIR", Persistent, "a directory"),
    Row(22, "EINVAL", Persistent, "an invalid argument"),
    Row(23, "ENFILE", Critical, "the system has no file handles left"),
    Row(24, "EMFILE", Transient, "the process has too many files open"),
    Row(26, "ETXTBSY", Transient, "the program's file is being written"),
    Row(27, "EFBIG", Persistent, "the file is too large"),
    Row(28, "ENOSPC", Critical, "no space is left on the device"),
    Row(29, "ESPIPE", Persistent, "not seekable"),
    Row(30, "EROFS", Persistent, "the file system is read-only"),
    Row(31, "EMLINK", Persistent, "too many links"),
    Row(32, "EPIPE", Transient, "the other end closed the connection"),
    Row(35, "EDEADLK", Transient, "a deadlock was avoided"),
    Row(36, "ENAMETOOLONG", Persistent, "the name is too long"),
    Row(37, "ENOLCK", Transient, "no locks are available"),
    Row(38, "ENOSYS", Persistent, "not implemented by this system"),
    Row(39, "ENOTEMPTY", Persistent, "the directory is not empty"),
    Row(40, "ELOOP", Persistent, "too many symbolic links"),
    Row(62, "ETIME", Transient, "a timer expired"),
    Row(67, "ENOLINK", Transient, "the link has been severed"),
    Row(70, "ECOMM", Transient, "a communication error on send"),
    Row(71, "EPROTO", Transient, "a protocol error"),
    Row(74, "EBADMSG", Critical, "a block is damaged"),
    Row(75, "EOVERFLOW", Persistent, "the value is too large"),
    Row(84, "EILSEQ", Persistent, "an invalid character"),
    Row(85, "ERESTART", Transient, "interrupted, to be restarted"),
    Row(87, "EUSERS", Transient, "too many users"),
    Row(88, "ENOTSOCK", Persistent, "not a socket"),
    Row(90, "EMSGSIZE", Persistent, "the message is too long"),
    Row(92, "ENOPROTOOPT", Persistent, "no such protocol option"),
    Row(93, "EPROTONOSUPPORT", Persistent, "the protocol is not supported"),
    Row(95, "EOPNOTSUPP", Persistent, "the operation is not supported"),
    Row(97, "EAFNOSUPPORT", Persistent, "the address family is not supported"),
    Row(98, "EADDRINUSE", Persistent, "the address is in use"),
    Row(99, "EADDRNOTAVAIL", Persistent, "the address is not available here"),
    Row(100, "ENETDOWN", Transient, "the network is down"),
    Row(101, "ENETUNREACH", Transient, "the network is unreachable"),
    Row(102, "ENETRESET", Transient, "the network dropped the connection"),
    Row(103, "ECONNABORTED", Transient, "the connection was aborted"),
    Row(104, "ECONNRESET", Transient, "the other end reset the connection"),
    Row(105, "ENOBUFS", Transient, "no buffer space is available"),
    Row(106, "EISCONN", Persistent, "connected already"),
    Row(107, "ENOTCONN", Transient, "not connected"),
    Row(108, "ESHUTDOWN", Transient, "the connection was shut down"),
    Row(110, "ETIMEDOUT", Transient, "timed out"),
    Row(111, "ECONNREFUSED", Transient, "the connection was refused"),
    Row(112, "EHOSTDOWN", Transient, "the host is down"),
    Row(113, "EHOSTUNREACH", Transient, "there is no route to the host"),
    Row(114, "EALREADY", Transient, "it is under way already"),
    Row(115, "EINPROGRESS", Transient, "it is under way"),
    Row(116, "ESTALE", Transient, "the file handle is stale"),
    Row(117, "EUCLEAN", Critical, "the file system is damaged"),
    Row(121, "EREMOTEIO", Critical, "the remote device does not read or write"),
    Row(122, "EDQUOT", Critical, "the disk quota is used up"),
    Row(123, "ENOMEDIUM", Persistent, "there is no medium"),
    Row(125, "ECANCELED", Persistent, "cancelled"),
    Row(126, "ENOKEY", Persistent, "the key is not available"),
    Row(127, "EKEYEXPIRED", Persistent, "the key has expired"),
    Row(129, "EKEYREJECTED", Persistent, "the key was rejected"),
    Row(130, "EOWNERDEAD", Critical, "the owner of the lock died"),
    Row(131, "ENOTRECOVERABLE", Critical, "the state cannot be recovered"),
    Row(133, "EHWPOISON", Critical, "the memory page is damaged"),
];

impl Row {
    fn evidence(&self) -> Evidence {
        let weight = if self.2 == Critical { CERTAIN } else { EXACT };
        Evidence::new(weight, self.2, "io.errno", self.3).seen(self.1)
    }
}

/// What an error number says.
pub(super) fn errno(number: i32) -> Option<Evidence> {
    let found = ERRNO.binary_search_by_key(&number, |row| row.0).ok()?;
    ERRNO.get(found).map(Row::evidence)
}

/// What an error number says, given its name; names stand in messages and in what Node.js calls an
/// error's code.
pub(super) fn errno_named(name: &str) -> Option<Evidence> {
    named(name).map(Row::evidence)
}

/// The number of this name, or the number itself as text.
pub(super) fn errno_number(name: &str) -> Option<i32> {
    name.parse().ok().or_else(|| named(name).map(|row| row.0))
}

fn named(name: &str) -> Option<&'static Row> {
    // They stand in capitals, and most names are none of them.
    if !name.starts_with(['E', 'W']) {
        return None;
    }
    // Other names of the same numbers, and those that Windows and c-ares use.
    let name = match name {
        "EWOULDBLOCK" | "WSAEWOULDBLOCK" => "EAGAIN",
        "ENOTSUP" => "EOPNOTSUPP",
        "EDEADLOCK" => "EDEADLK",
        "EFSCORRUPTED" => "EUCLEAN",
        "EFSBADCRC" => "EBADMSG",
        "ENOTFOUND" => "EAI_NONAME",
        other => other.strip_prefix("WSA").unwrap_or(other),
    };
    ERRNO.iter().find(|row| row.1 == name)
}

/// What the kind of an I/O error says; nothing for kinds that only mean "other".
pub(super) fn kind(kind: Kind) -> Option<Evidence> {
    let (weight, class, reason) = match kind {
        Kind::NotFound => (EXACT, Persistent, "there is no such file"),
        Kind::PermissionDenied => (EXACT, Persistent, "permission denied"),
        Kind::ConnectionRefused => (EXACT, Transient, "the connection was refused"),
        Kind::ConnectionReset => (EXACT, Transient, "the other end reset the connection"),
        Kind::ConnectionAborted => (EXACT, Transient, "the connection was aborted"),
        Kind::HostUnreachable => (EXACT, Transient, "there is no route to the host"),
        Kind::NetworkUnreachable => (EXACT, Transient, "the network is unreachable"),
        Kind::NetworkDown => (EXACT, Transient, "the network is down"),
        Kind::NotConnected => (EXACT, Transient, "not connected"),
        Kind::BrokenPipe => (EXACT, Transient, "the other end closed the connection"),
        Kind::WouldBlock => (EXACT, Transient, "temporarily unavailable"),
        Kind::TimedOut => (EXACT, Transient, "timed out"),
        Kind::Interrupted => (EXACT, Transient, "interrupted by a signal"),
        Kind::ResourceBusy | Kind::ExecutableFileBusy => (EXACT, Transient, "busy"),
        Kind::Deadlock => (EXACT, Transient, "a deadlock was avoided"),
        Kind::StaleNetworkFileHandle => (EXACT, Transient, "the file handle is stale"),
        // Libraries use these two for much; what they say with them counts more.
        Kind::UnexpectedEof => (40, Transient, "the data ended too early"),
        Kind::InvalidData => (LOOSE - 5, Persistent, "the data is not valid"),
        Kind::AddrInUse => (EXACT, Persistent, "the address is in use"),
        Kind::AddrNotAvailable => (EXACT, Persistent, "the address is not available here"),
        Kind::AlreadyExists => (EXACT, Persistent, "it exists already"),
        Kind::NotADirectory => (EXACT, Persistent, "not a directory"),
        Kind::IsADirectory => (EXACT, Persistent, "a directory"),
        Kind::DirectoryNotEmpty => (EXACT, Persistent, "the directory is not empty"),
        Kind::ReadOnlyFilesystem => (EXACT, Persistent, "the file system is read-only"),
        Kind::InvalidInput => (LOOSE, Persistent, "an invalid argument"),
        Kind::NotSeekable => (EXACT, Persistent, "not seekable"),
        Kind::FileTooLarge => (EXACT, Persistent, "the file is too large"),
        Kind::CrossesDevices => (EXACT, Persistent, "on another file system"),
        Kind::TooManyLinks => (EXACT, Persistent, "too many links"),
        Kind::InvalidFilename => (EXACT, Persistent, "not a valid file name"),
        Kind::ArgumentListTooLong => (EXACT, Persistent, "the argument list is too long"),
        Kind::Unsupported => (EXACT, Persistent, "not supported"),
        Kind::StorageFull => (CERTAIN, Critical, "no space is left on the device"),
        Kind::QuotaExceeded => (CERTAIN, Critical, "the disk quota is used up"),
        Kind::OutOfMemory => (CERTAIN, Critical, "out of memory"),
        _ => return None,
    };
    Some(Evidence::new(weight, class, "io.kind", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_names_lead_back() {
        assert!(ERRNO.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for row in ERRNO {
            assert_eq!(errno_number(row.1), Some(row.0));
            assert_eq!(errno_number(&row.0.to_string()), Some(row.0));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn numbers_are_the_systems() {
        for (number, kind) in [
            (2, Kind::NotFound),
            (28, Kind::StorageFull),
            (98, Kind::AddrInUse),
            (104, Kind::ConnectionReset),
            (110, Kind::TimedOut),
            (111, Kind::ConnectionRefused),
            (122, Kind::QuotaExceeded),
        ] {
            assert_eq!(std::io::Error::from_raw_os_error(number).kind(), kind);
            let (by_number, by_kind) = (errno(number).unwrap(), super::kind(kind).unwrap());
            assert_eq!(by_number.class, by_kind.class, "{kind:?}");
        }
    }
}
