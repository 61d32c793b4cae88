//! A server of HTTP whose handler writes what it likes, for tests of how clients take it.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub mod real;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is left of the connection to write to.
pub struct Line {
    pub stream: TcpStream,
    stopped: Arc<AtomicBool>,
}

impl Line {
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
        let _ = self.stream.flush();
    }

    pub fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(format!("{head}\r\n{body}"));
    }

    pub fn json(&mut self, status: u16, body: &serde_json::Value) {
        self.answer(status, &[("content-type", "application/json")], &body.to_string());
    }

    /// Begins a stream of events, without a length.
    pub fn begin_events(&mut self) {
        self.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    }

    pub fn chunk(&mut self, text: &str) {
        self.raw(format!("{:x}\r\n{text}\r\n", text.len()));
    }

    pub fn event(&mut self, data: &serde_json::Value) {
        self.chunk(&format!("data: {data}\n\n"));
    }

    pub fn end_events(&mut self) {
        self.raw("0\r\n\r\n");
    }

    /// Says nothing until the client has gone; whether it went within the time.
    pub fn stall(&mut self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(5)));
        let mut byte = [0];
        while Instant::now() < until && !self.stopped.load(Ordering::SeqCst) {
            match self.stream.read(&mut byte) {
                Ok(0) => return true,
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(_) => return true,
                Ok(_) => {}
            }
        }
        false
    }
}

/// The server; it stops when it is dropped.
pub struct Peer {
    pub at: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    stopped: Arc<AtomicBool>,
}

impl Peer {
    /// Serves each request with the handler, which says whether the connection is kept.
    pub fn start(handler: impl Fn(&Asked, &mut Line) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Self {
            at: listener.local_addr().unwrap(),
            connections: Arc::default(),
            asked: Arc::default(),
            stopped: Arc::default(),
        };
        let handler = Arc::new(handler);
        let (connections, asked, stopped) =
            (peer.connections.clone(), peer.asked.clone(), peer.stopped.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let (handler, asked, stopped) = (handler.clone(), asked.clone(), stopped.clone());
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut line = Line { stream, stopped };
                    while let Some(request) = read(&mut reader) {
                        asked.lock().unwrap().push(request.clone());
                        if !handler(&request, &mut line) {
                            let _ = line.stream.shutdown(std::net::Shutdown::Both);
                            return;
                        }
                        let _ = line.stream.set_read_timeout(None);
                    }
                });
            }
        });
        peer
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.at);
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None => break,
        }
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Asserts that something takes no more than 50 ms beyond what it may: of five tries one has to, since a
/// busy machine only ever adds. Gives what it took beyond.
pub fn promptly(what: &str, mut beyond: impl FnMut() -> Duration) -> Duration {
    let mut took = Vec::new();
    for _ in 0..5 {
        let one = beyond();
        if one < Duration::from_millis(50) {
            return one;
        }
        took.push(one);
    }
    panic!("{what} took too long each time: {took:?}");
}

/// An address on which nothing listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
