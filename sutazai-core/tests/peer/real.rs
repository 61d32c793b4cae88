//! Servers that nobody here wrote, as `tests/servers` installs them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server's process, ended when dropped.
pub struct Server {
    child: Child,
    pub at: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of an installed server; `None` where it is not installed, which is said.
pub fn installed(path: &str) -> Option<PathBuf> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/servers");
    let root = std::env::var_os("SUTAZAI_SERVERS_DIR").map_or_else(|| own.into(), PathBuf::from);
    let file = root.join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(
        std::env::var("SUTAZAI_SERVERS").as_deref() != Ok("1"),
        "{} is not there: run tests/servers",
        file.display()
    );
    eprintln!("skipped: {} is not there; tests/servers installs it", file.display());
    None
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a server and waits until it takes connections.
pub fn start(mut command: Command, port: u16) -> Server {
    let log = std::env::var_os("SUTAZAI_SERVERS_LOG").is_some();
    let output = || if log { Stdio::inherit() } else { Stdio::null() };
    let child = command.stdin(Stdio::null()).stdout(output()).stderr(output()).spawn().unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let mut server = Server { child, at };
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(at).is_err() {
        let ended = server.child.try_wait().unwrap();
        assert!(ended.is_none(), "the server ended: {ended:?}");
        assert!(Instant::now() < until, "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}
