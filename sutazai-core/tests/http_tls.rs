//! The HTTP client over TLS.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sutazai_core::agent::connect::http::{HttpCall, HttpClient, HttpRequest};
use sutazai_core::{Class, Code, Error, Result};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
const LONG: Duration = Duration::from_secs(20);
/// Where a child of this test finds the server.
const AT: &str = "SUTAZAI_TLS_AT";

/// A server that answers every request with how many came on the same connection.
fn serve() -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(format!("{FOLDER}/cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{FOLDER}/key.pem")).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || {
                let mut tls = StreamOwned::new(connection, stream);
                let (mut seen, mut count, mut byte) = (Vec::new(), 0, [0]);
                while let Ok(1..) = tls.read(&mut byte) {
                    seen.push(byte[0]);
                    if seen.ends_with(b"\r\n\r\n") {
                        count += 1;
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{count}");
                        let stalls = seen.starts_with(b"GET /stall");
                        seen.clear();
                        if stalls {
                            std::thread::sleep(LONG);
                        }
                        let _ = tls.write_all(answer.as_bytes()).and_then(|()| tls.flush());
                    }
                }
            });
        }
    });
    at
}

fn get(client: &HttpClient, url: &str) -> Result<u32> {
    let request = HttpRequest::get(url)?;
    client.send(&request, &HttpCall::within(LONG))?.success("test")?.json(100)
}

/// The same test in a process whose system trusts the fixture's authority.
fn in_child(test: &str, at: SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture"]).env(AT, at.to_string());
    let status = child.env("SSL_CERT_FILE", format!("{FOLDER}/ca.pem")).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_server_that_the_system_trusts() {
    let Ok(at) = std::env::var(AT) else {
        return in_child("a_server_that_the_system_trusts", serve());
    };
    let (port, client) = (at.parse::<SocketAddr>().unwrap().port(), HttpClient::new());
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/");
        assert_eq!((get(&client, &url).unwrap(), get(&client, &url).unwrap()), (1, 2));
    }
    // What is on the way under TLS is interrupted as well.
    let call = HttpCall::within(LONG);
    let canceller = call.clone();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        canceller.cancel();
        Instant::now()
    });
    let request = HttpRequest::get(&format!("https://localhost:{port}/stall")).unwrap();
    let error = client.send(&request, &call).err().unwrap();
    let after = other.join().unwrap().elapsed();
    assert_eq!(error.code(), Code::CANCELLED, "{error:#}");
    assert!(after < Duration::from_secs(5), "{after:?}");
    println!("trusted; a stalled call under TLS ended {after:?} after it was cancelled");
}

#[test]
fn a_server_for_another_name_or_of_an_unknown_authority_is_refused() {
    let test = "a_server_for_another_name_or_of_an_unknown_authority_is_refused";
    let refused = |error: &Error| {
        assert_eq!((error.code(), error.class()), (Code::IO, Class::Persistent), "{error:#}");
        assert_eq!(error.message(), "the connection could not be secured");
        println!("{error:#}");
    };
    if let Ok(at) = std::env::var(AT) {
        let port = at.parse::<SocketAddr>().unwrap().port();
        return refused(
            &get(&HttpClient::new(), &format!("https://127.0.0.2:{port}/")).unwrap_err(),
        );
    }
    let at = serve();
    refused(&get(&HttpClient::new(), &format!("https://{at}/")).unwrap_err());
    let any = TcpListener::bind(("127.0.0.2", 0));
    if let Ok(listener) = any {
        let forward = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(std::result::Result::ok) {
                let to = std::net::TcpStream::connect(at).unwrap();
                let (mut a, mut b) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut a, &mut b));
                let (mut a, mut b) = (to, from);
                std::thread::spawn(move || std::io::copy(&mut a, &mut b));
            }
        });
        in_child(test, forward);
    }
}

#[test]
fn a_server_that_never_shakes_hands_is_waited_for_until_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let time = Duration::from_millis(150);
    let begun = Instant::now();
    let request = HttpRequest::get(&format!("https://{at}/")).unwrap();
    let error = HttpClient::new().send(&request, &HttpCall::within(time)).err().unwrap();
    let took = begun.elapsed();
    assert_eq!(error.code(), Code::DEADLINE_EXCEEDED, "{error:#}");
    assert!(took >= time && took < time + Duration::from_secs(5), "{took:?}");
    drop(listener);
    // And one that speaks no TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(std::result::Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
    });
    let error = get(&HttpClient::new(), &format!("https://{at}/")).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::IO, "the connection could not be secured"),
        "{error:#}"
    );
    println!("{took:?}; {error:#}");
}
