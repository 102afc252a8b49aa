//! The capability list (RFC 2449 §5–6, RFC 2595 §4, RFC 3206 §6, RFC 5034 §3, RFC 6856 §2–3).

use alloc::vec::Vec;
use core::time::Duration;

use crate::response::ResponseLine;

/// How long mail may stay on the server (RFC 2449 §6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expire {
    /// It is never removed by the server.
    Never,
    /// It is kept this many whole days at least; 0: it may not be left at all (R2449-EXPIRE-2).
    Days(u32),
}

/// EXPIRE as it stands before login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExpireCapability {
    /// The smallest value that any user has (R2449-EXPIRE-3).
    pub smallest: Expire,
    /// Whether a user's own value may differ; announced as ` USER`.
    pub varies: bool,
}

/// LOGIN-DELAY as it stands before login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LoginDelayCapability {
    /// The largest value that any user has (R2449-DELAY-2). Announced in whole seconds.
    pub largest: Duration,
    /// Whether a user's own value may differ; announced as ` USER`.
    pub varies: bool,
}

/// What is true of a session right now; [`Capabilities::write`] says it to the client in an order
/// that never changes (PRJ-CAPA-8).
pub(crate) struct Capabilities<'s> {
    /// UTF8 and UTF8 USER are accepted, now or before this login.
    pub(crate) utf8: bool,
    /// The value, and whether to add ` USER`.
    pub(crate) expire: Option<(Expire, bool)>,
    /// The value, and whether to add ` USER`.
    pub(crate) login_delay: Option<(Duration, bool)>,
    /// USER and PASS are usable on this connection as it stands (R2449-USER-1).
    pub(crate) user: bool,
    /// STLS would be accepted now (R2595-CAPA-1).
    pub(crate) stls: bool,
    /// Usable mechanisms (R2449-SASL-1).
    pub(crate) mechanisms: Vec<&'s str>,
    /// Shown after login only (R2449-IMPL-2).
    pub(crate) implementation: Option<&'s str>,
}

/// What this server always does: each is listed because it works (R2449-TOP-1), because every text
/// that begins with `[` is a code (R2449-RESP-1), because every credential failure carries
/// `[AUTH]` (R3206-CAPA-1), because commands run strictly in order (R2449-PIPE-1).
const ALWAYS: [&str; 5] = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"];

impl Capabilities<'_> {
    /// Appends the capability lines, without status line and termination line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for tag in ALWAYS {
            write_tag(tag, out);
        }
        if self.utf8 {
            write_tag("UTF8 USER", out);
        }
        write_tag("LANG", out);
        if let Some((expire, varies)) = self.expire {
            let mut line = ResponseLine::data(out);
            line.tag(b"EXPIRE");
            match expire {
                Expire::Never => line.word(b"NEVER"),
                Expire::Days(days) => line.number(days.into()),
            };
            end_varying(line, varies);
        }
        if let Some((delay, varies)) = self.login_delay {
            let mut line = ResponseLine::data(out);
            line.tag(b"LOGIN-DELAY").number(delay.as_secs());
            end_varying(line, varies);
        }
        if self.user {
            write_tag("USER", out);
        }
        if self.stls {
            write_tag("STLS", out);
        }
        if !self.mechanisms.is_empty() {
            let mut line = ResponseLine::data(out);
            line.tag(b"SASL");
            for mechanism in &self.mechanisms {
                line.word(mechanism.as_bytes());
            }
            line.end();
        }
        if let Some(implementation) = self.implementation {
            ResponseLine::data(out)
                .tag(b"IMPLEMENTATION")
                .text(implementation)
                .end();
        }
    }
}

fn write_tag(tag: &str, out: &mut Vec<u8>) {
    ResponseLine::data(out).tag(tag.as_bytes()).end();
}

fn end_varying(mut line: ResponseLine<'_>, varies: bool) {
    if varies {
        line.word(b"USER");
    }
    line.end();
}
