//! Streams: what comes out is what went in, and no part of it can be lost, added, repeated or moved.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use sutazai_core::security::keys::{Encryptor, Purpose};
use sutazai_core::{Code, Error};

use crate::{NOW, keys, manual};

const CHUNK: usize = 16 * 1024;
const SEALED: usize = CHUNK + 16;
const FRONT: usize = 9 + 56;

fn keyset() -> Encryptor {
    let keys = keys();
    keys.create("e", manual(Purpose::Encrypt), "t", NOW).unwrap();
    keys.encryptor("e").unwrap()
}

fn go(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn seal(keyset: &Encryptor, plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    keyset.encrypt_stream(b"file", plain, &mut sealed, &mut go).unwrap();
    sealed
}

fn open(keyset: &Encryptor, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    keyset.decrypt_stream(b"file", sealed, &mut plain, &mut go).map(|_| plain)
}

#[test]
fn what_goes_in_comes_out_and_a_stream_is_a_message() {
    let keyset = keyset();
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 17] {
        let plain = text(len);
        let sealed = seal(&keyset, &plain);
        assert_eq!(sealed.len(), FRONT + len + (len / CHUNK + 1) * 16);
        assert_eq!(open(&keyset, &sealed).unwrap(), plain);
        assert_eq!(keyset.decrypt(b"file", &sealed).unwrap(), plain);
        assert_eq!(open(&keyset, &keyset.encrypt(b"file", &plain).unwrap()).unwrap(), plain);
        assert_eq!(keyset.decrypt(b"another", &sealed).unwrap_err().code(), Code::NOT_AUTHENTIC);
    }
}

#[test]
fn chunks_cannot_be_cut_off_moved_repeated_or_added() {
    let keyset = keyset();
    for tail in [0, 100] {
        let sealed = seal(&keyset, &text(4 * CHUNK + tail));
        let (front, body) = sealed.split_at(FRONT);
        let chunks: Vec<&[u8]> = body.chunks(SEALED).collect();
        assert_eq!(chunks.len(), 5);
        let other = seal(&keyset, &text(4 * CHUNK + tail));
        let foreign = &other[FRONT..FRONT + SEALED];
        let mut orders: Vec<Vec<&[u8]>> = Vec::new();
        for cut in 0..5 {
            orders.push(chunks[..cut].to_vec());
        }
        for at in 0..5 {
            let mut without = chunks.clone();
            without.remove(at);
            orders.push(without);
            let mut twice = chunks.clone();
            twice.insert(at, chunks[at]);
            orders.push(twice);
            let mut swapped = chunks.clone();
            swapped.swap(at, (at + 1) % 5);
            orders.push(swapped);
            let mut spliced = chunks.clone();
            spliced.insert(at, foreign);
            orders.push(spliced);
            let mut replaced = chunks.clone();
            replaced[at] = foreign;
            orders.push(replaced);
        }
        let mut appended = chunks.clone();
        appended.push(chunks[4]);
        orders.push(appended);
        for order in orders {
            let forged = [front, &order.concat()].concat();
            assert_eq!(open(&keyset, &forged).unwrap_err().code(), Code::NOT_AUTHENTIC);
        }
    }
}

#[test]
fn cut_off_or_altered_anywhere_it_is_refused_and_what_was_given_is_a_true_beginning() {
    let keyset = keyset();
    let plain = text(2 * CHUNK + 40);
    let sealed = seal(&keyset, &plain);
    let near = |at: usize| {
        [0, 9, FRONT, FRONT + SEALED, FRONT + 2 * SEALED, sealed.len()]
            .iter()
            .any(|edge| at.abs_diff(*edge) < 20)
    };
    for at in (0..sealed.len()).filter(|at| near(*at) || at % 499 == 0) {
        let mut altered = sealed.clone();
        altered[at] ^= 0x20;
        for bytes in [&sealed[..at], &altered] {
            let mut out = Vec::new();
            let error = keyset.decrypt_stream(b"file", bytes, &mut out, &mut go).unwrap_err();
            let expected = [Code::NOT_AUTHENTIC, Code::KEY_FORMAT, Code::KEY_UNKNOWN];
            assert!(expected.contains(&error.code()), "at {at}: {error}");
            assert!(plain.starts_with(&out) && out.len() % CHUNK == 0, "at {at}");
        }
    }
}

#[test]
fn a_reader_that_failed_goes_on_failing() {
    let keyset = keyset();
    let mut sealed = seal(&keyset, &text(3 * CHUNK));
    sealed[FRONT + SEALED + 5] ^= 1;
    let mut opener = keyset.opener(b"file", &sealed[..]).unwrap();
    let mut out = vec![0; CHUNK];
    opener.read_exact(&mut out).unwrap();
    for _ in 0..3 {
        let error = opener.read(&mut out).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(error.downcast::<Error>().unwrap().code(), Code::NOT_AUTHENTIC);
    }
}

/// Reads and writes a few bytes at a time, interrupted now and then.
struct Shaky<T>(T, usize);

impl<T> Shaky<T> {
    fn turn(&mut self) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(7) {
            Err(io::ErrorKind::Interrupted.into())
        } else {
            Ok(1 + self.1 * 37 % 3000)
        }
    }
}

impl<R: Read> Read for Shaky<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = self.turn()?.min(out.len());
        self.0.read(&mut out[..most])
    }
}

impl<W: Write> Write for Shaky<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.turn()?.min(bytes.len());
        self.0.write(&bytes[..most])
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn pieces_and_interruptions_change_nothing() {
    let keyset = keyset();
    let plain = text(10 * CHUNK + 3);
    let (mut sealed, mut out) = (Vec::new(), Vec::new());
    keyset.encrypt_stream(b"f", Shaky(&plain[..], 0), Shaky(&mut sealed, 3), &mut go).unwrap();
    assert_eq!(keyset.decrypt(b"f", &sealed).unwrap(), plain);
    keyset.decrypt_stream(b"f", Shaky(&sealed[..], 1), Shaky(&mut out, 2), &mut go).unwrap();
    assert_eq!(out, plain);
}

/// A disk that is full after so many bytes.
#[derive(Debug)]
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let most = bytes.len().min(self.0);
        self.0 -= most;
        Ok(most)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_and_a_writer_that_failed_goes_on_failing() {
    let keyset = keyset();
    let plain = text(3 * CHUNK);
    for room in [0, 5, FRONT, FRONT + 100, FRONT + SEALED, FRONT + 3 * SEALED] {
        keyset.encrypt_stream(b"", &plain[..], Full(room), &mut go).unwrap_err();
    }
    let mut sealer = keyset.sealer(b"", Full(FRONT + 10)).unwrap();
    sealer.write_all(&plain[..CHUNK]).unwrap_err();
    sealer.write_all(&plain[..CHUNK]).unwrap_err();
    sealer.finish().unwrap_err();
}

#[test]
fn it_tells_how_far_it_is_and_stops_when_told_to() {
    let keyset = keyset();
    let plain = text(8 * CHUNK);
    let mut told = Vec::new();
    let mut sealed = Vec::new();
    let stopped = keyset.encrypt_stream(b"f", &plain[..], &mut sealed, &mut |passed| {
        told.push(passed);
        if passed >= 4 * CHUNK as u64 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped.unwrap_err().code(), Code::CANCELLED);
    assert_eq!(told, [1, 2, 3, 4].map(|chunks| chunks * CHUNK as u64));
    assert_eq!(open_as(&keyset, b"f", &sealed).unwrap_err().code(), Code::NOT_AUTHENTIC);
}

fn open_as(keyset: &Encryptor, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    keyset.decrypt_stream(context, sealed, &mut plain, &mut go).map(|_| plain)
}

/// Far more than the pipe between the two sides and their chunks hold.
#[test]
fn a_large_file_passes_from_hand_to_hand() {
    const LEN: u64 = 64 * 1024 * 1024;
    let keyset = keyset();
    let (reader, writer) = io::pipe().unwrap();
    let opening = keyset.clone();
    let (opened, sealed) = std::thread::scope(|scope| {
        let opener = scope
            .spawn(move || opening.decrypt_stream(b"big", reader, io::sink(), &mut go).unwrap());
        let plain = io::repeat(0).take(LEN);
        let sealed = keyset.encrypt_stream(b"big", plain, writer, &mut go).unwrap();
        (opener.join().unwrap(), sealed)
    });
    assert_eq!((opened, sealed), (LEN, LEN));
}
