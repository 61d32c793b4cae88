//! The facts of an error of the library's.

use std::borrow::Cow;
use std::io;

use super::facts::{Facts, Protocol};
use super::{exit, hint, io as system, rpc};
use crate::port::failure as key;
use crate::{Code, Error};

/// Errors behind errors that are looked at.
const DEEPEST: usize = 8;

impl<'a> Facts<'a> {
    /// What an error of the library's, its context (see [`port::failure`](crate::port::failure)) and
    /// its sources say. Does not allocate unless the context has headers or base types.
    pub fn of(error: &'a Error) -> Self {
        let mut facts = Self {
            code: Some(error.code()),
            class: Some(error.class()),
            message: Cow::Borrowed(error.message()),
            source: std::error::Error::source(error),
            ..Self::default()
        };
        facts.read_context(error);
        facts.read_sources();
        facts
    }

    /// As [`Facts::of`], of any error.
    pub fn of_any(error: &'a (dyn std::error::Error + 'static)) -> Self {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Self::of(own);
        }
        // Its text is read as that of a source; there is no other way to it without a copy.
        let mut facts = Self { source: Some(error), ..Self::default() };
        facts.read_sources();
        facts
    }

    fn read_sources(&mut self) {
        let mut next = self.source;
        for _ in 0..DEEPEST {
            let Some(source) = next else { return };
            if let Some(own) = source.downcast_ref::<Error>() {
                self.cause.get_or_insert((own.code(), own.class()));
                self.read_context(own);
            } else if let Some(failed) = source.downcast_ref::<io::Error>() {
                self.io = self.io.or(Some(failed.kind()));
                // The table has Linux's numbers; elsewhere the kind is enough.
                let number = failed.raw_os_error().filter(|_| cfg!(target_os = "linux"));
                self.errno = self.errno.or(number);
                // What an I/O error wraps does not show among its sources.
                if let Some(own) = failed.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
                {
                    self.cause.get_or_insert((own.code(), own.class()));
                    self.read_context(own);
                }
            }
            next = source.source();
        }
    }

    /// Takes what is not known yet from an error's context.
    fn read_context(&mut self, error: &'a Error) {
        for (name, value) in error.context() {
            let text = || Some(Cow::Borrowed(value));
            match name {
                key::HTTP_STATUS => self.http_status = self.http_status.or(value.parse().ok()),
                key::EXIT_STATUS => self.exit_status = self.exit_status.or(value.parse().ok()),
                key::SIGNAL => self.signal = self.signal.or(exit::signal_number(value)),
                key::ERRNO => self.errno = self.errno.or(system::errno_number(value)),
                key::RPC => self.rpc = self.rpc.or(Protocol::parse(value)),
                key::RPC_CODE => {
                    let code = || value.parse().ok().or_else(|| rpc::grpc_number(value));
                    self.rpc_code = self.rpc_code.or_else(code);
                }
                key::RETRY_AFTER => self.retry_after = self.retry_after.take().or_else(text),
                key::STDERR => self.stderr = self.stderr.take().or_else(text),
                key::EXCEPTION => self.exception = self.exception.take().or_else(text),
                key::PROVIDER_TYPE => self.provider_type = self.provider_type.take().or_else(text),
                key::PROVIDER_CODE | key::AGENT_CODE => {
                    self.provider_code = self.provider_code.take().or_else(text);
                }
                key::SQLSTATE => self.sqlstate = self.sqlstate.take().or_else(text),
                key::BASES if self.bases.is_empty() => {
                    self.bases = value.split(',').map(|base| base.trim().into()).collect();
                }
                header if hint::is_header(header) => {
                    self.headers.entry(Cow::Borrowed(header)).or_insert(Cow::Borrowed(value));
                }
                _ => {}
            }
        }
    }
}

/// Whether a code only says that something failed, so that one has to look further for what.
pub(super) fn is_vague(code: Code) -> bool {
    code.is_host()
        || matches!(
            code,
            Code::IO
                | Code::STORE_FAILED
                | Code::AGENT_FAILED
                | Code::AGENT_EXITED
                | Code::AGENT_START
                | Code::INJECT_FAILED
                | Code::COMPONENT_START
                | Code::CHILD_START
        )
}
