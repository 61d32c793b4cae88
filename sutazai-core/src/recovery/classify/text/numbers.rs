//! Numbers that stand in texts: "HTTP 503", "os error 111", "exit code 137", "signal 9",
//! "MCP error -32001". Structured facts that nobody handed over.

use super::words::Words;

/// What was found, the first of each.
#[derive(Default, Debug, PartialEq)]
pub(in super::super) struct Numbers {
    pub(in super::super) http_status: Option<u16>,
    pub(in super::super) errno: Option<i32>,
    pub(in super::super) exit_status: Option<i32>,
    pub(in super::super) signal: Option<i32>,
    pub(in super::super) rpc_code: Option<i64>,
    pub(in super::super) sqlstate: Option<[u8; 5]>,
    /// Whether a reply of SMTP is negative for good (5yz) or for now (4yz).
    pub(in super::super) smtp_for_good: Option<bool>,
}

impl Numbers {
    /// Adds what the words have.
    pub(in super::super) fn read(&mut self, words: &Words) {
        let (mut before, mut last): (&[u8], &[u8]) = (b"", b"");
        let mut iter = words.iter().peekable();
        let mut first = true;
        while let Some(word) = iter.next() {
            if word.first().is_some_and(|first| first.is_ascii_digit() || *first == b'-') {
                let number = || std::str::from_utf8(word).ok()?.parse::<i32>().ok();
                let next = iter.peek().copied().unwrap_or_default();
                self.number(number(), word, (before, last), next, first);
                first = false;
                // A protocol's version says nothing: "HTTP/1.1 503".
                if matches!(word, b"1.1" | b"1.0" | b"2.0" | b"2" | b"3") {
                    continue;
                }
            } else if last == b"sqlstate" && self.sqlstate.is_none() {
                self.sqlstate(word);
            }
            (before, last) = (last, word);
            first = false;
        }
    }

    fn number(
        &mut self,
        number: Option<i32>,
        word: &[u8],
        (before, last): (&[u8], &[u8]),
        next: &[u8],
        first: bool,
    ) {
        if last == b"sqlstate" || (before == b"sql" && last == b"state") {
            self.sqlstate(word);
            return;
        }
        let Some(number) = number else { return };
        // "451 4.3.0 …": the enhanced status (RFC 3463) tells a reply of SMTP from HTTP's statuses.
        let enhanced = next.strip_prefix(b"b").unwrap_or(next);
        if let [kind @ (b'4' | b'5'), b'.', _, b'.', ..] = enhanced
            && number / 100 == i32::from(kind - b'0')
        {
            self.smtp_for_good = self.smtp_for_good.or(Some(*kind == b'5'));
            return;
        }
        match (before, last) {
            (b"exit" | b"exited" | b"non", b"code" | b"status" | b"exit" | b"with")
            | (b"with", b"code" | b"status")
                if number <= 255 =>
            {
                self.exit_status = self.exit_status.or(Some(number));
            }
            (_, b"exitcode") if number <= 255 => {
                self.exit_status = self.exit_status.or(Some(number));
            }
            (_, b"signal" | b"signals") if number < 65 => {
                self.signal = self.signal.or(Some(number));
            }
            (_, b"errno") | (b"os", b"error") if number < 200 => {
                self.errno = self.errno.or(Some(number));
            }
            (_, b"error" | b"code") if (-32_800..=-32_000).contains(&number) => {
                self.rpc_code = self.rpc_code.or(Some(number.into()));
            }
            _ if (400..600).contains(&number) && status(last, next, first) => {
                self.http_status = self.http_status.or(u16::try_from(number).ok());
            }
            _ => {}
        }
    }

    fn sqlstate(&mut self, word: &[u8]) {
        self.sqlstate = self.sqlstate.or(word.try_into().ok());
    }
}

/// Whether what stands around a number makes it an HTTP status.
fn status(last: &[u8], next: &[u8], first: bool) -> bool {
    let named = matches!(last, b"http" | b"https" | b"status" | b"code" | b"error" | b"statuscode");
    let phrased = matches!(
        next,
        b"client"
            | b"server"
            | b"bad"
            | b"unauthorized"
            | b"payment"
            | b"forbidden"
            | b"not"
            | b"method"
            | b"conflict"
            | b"gone"
            | b"unprocessable"
            | b"too"
            | b"internal"
            | b"service"
            | b"gateway"
    );
    named || phrased || first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_text(text: &str) -> Numbers {
        let mut numbers = Numbers::default();
        numbers.read(&Words::of(text));
        numbers
    }

    #[test]
    fn statuses_are_found_where_they_are_meant() {
        for text in [
            "Error code: 429 - {'error'}",
            "503 Server Error: Service Unavailable for url",
            "HTTP/1.1 502",
            "status=500",
            "{\"statusCode\": 418}",
            "(404, \"NOT_FOUND\")",
            "returned 404 Not Found",
        ] {
            assert!(in_text(text).http_status.is_some(), "{text}");
        }
        for text in ["port 443", "waited 500 ms", "line 404 of a file", "Limit 429, Used 3"] {
            assert_eq!(in_text(text).http_status, None, "{text}");
        }
    }

    #[test]
    fn the_others_are_found_too() {
        assert_eq!(in_text("Connection refused (os error 111)").errno, Some(111));
        assert_eq!(in_text("[Errno 28] No space").errno, Some(28));
        assert_eq!(in_text("returned non-zero exit status 75.").exit_status, Some(75));
        assert_eq!(in_text("exited with code 137").exit_status, Some(137));
        assert_eq!(in_text("process exit code: 2").exit_status, Some(2));
        assert_eq!(in_text("killed by signal 9").signal, Some(9));
        assert_eq!(in_text("MCP error -32001: Request timed out").rpc_code, Some(-32001));
        assert_eq!(in_text("451 4.3.0 try later").smtp_for_good, Some(false));
        assert_eq!(in_text("(535, b'5.7.8 no')").smtp_for_good, Some(true));
        assert_eq!(in_text("451 4.3.0 try later").http_status, None);
        assert_eq!(in_text("ERROR: SQLSTATE[40P01]").sqlstate, Some(*b"40p01"));
    }
}
