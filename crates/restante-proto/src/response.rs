//! Responses: the status indicator, the response code, the text (RFC 1939 §3, RFC 2449 §8,
//! RFC 3206).

use alloc::vec::Vec;

use crate::{
    language::{Language, Text},
    limits::RESPONSE_OCTETS_MAX,
};

/// Whether a command succeeded: the first word of every response (R1939-STATUS-1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StatusIndicator {
    /// `+OK`.
    Ok,
    /// `-ERR`.
    Err,
}

impl StatusIndicator {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "+OK",
            Self::Err => "-ERR",
        }
    }
}

/// Why a command failed, for programs: `[…]` at the start of the text (RFC 2449 §8).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ResponseCode {
    /// The credentials were not accepted (RFC 3206 §5).
    Auth,
    /// The credentials were right, but another session has the maildrop (RFC 2449 §8.1.2).
    InUse,
    /// The login delay has not passed (RFC 2449 §8.1.1).
    LoginDelay,
    /// Our failure, and it needs a person (RFC 3206 §4).
    SysPerm,
    /// Our failure, and likely to pass (RFC 3206 §4).
    SysTemp,
    /// The message cannot be sent to a client that has not said UTF8 (RFC 6856 §5).
    Utf8,
}

impl ResponseCode {
    /// As it stands on the wire, brackets included (R2449-CODE-1).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "[AUTH]",
            Self::InUse => "[IN-USE]",
            Self::LoginDelay => "[LOGIN-DELAY]",
            Self::SysPerm => "[SYS/PERM]",
            Self::SysTemp => "[SYS/TEMP]",
            Self::Utf8 => "[UTF8]",
        }
    }
}

/// The first line of a response that holds nothing but words from the table of texts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Response {
    indicator: StatusIndicator,
    code: Option<ResponseCode>,
    text: Text,
}

impl Response {
    /// `+OK text`.
    pub(crate) const fn ok(text: Text) -> Self {
        Self {
            indicator: StatusIndicator::Ok,
            code: None,
            text,
        }
    }

    /// `-ERR text`.
    pub(crate) const fn err(text: Text) -> Self {
        Self {
            indicator: StatusIndicator::Err,
            code: None,
            text,
        }
    }

    /// `-ERR [code] text`.
    pub(crate) const fn coded(code: ResponseCode, text: Text) -> Self {
        Self {
            indicator: StatusIndicator::Err,
            code: Some(code),
            text,
        }
    }

    /// Appends the line, CRLF included.
    pub(crate) fn write(self, language: Language, out: &mut Vec<u8>) {
        let mut line = ResponseLine::begin(self.indicator, out);
        if let Some(code) = self.code {
            line.code(code);
        }
        line.text(self.text.in_language(language));
        line.end();
    }
}

/// One line of a response in the making, never longer than 512 octets with CRLF (R2449-LEN-3),
/// never holding a CR or a LF before its end (PRJ-ERR-9).
pub(crate) struct ResponseLine<'o> {
    out: &'o mut Vec<u8>,
    first: usize,
}

impl<'o> ResponseLine<'o> {
    /// `+OK` or `-ERR`; something must follow (R1957-STATUS-3).
    pub(crate) fn begin(indicator: StatusIndicator, out: &'o mut Vec<u8>) -> Self {
        let mut line = Self::data(out);
        line.push(indicator.as_str().as_bytes());
        line
    }

    /// A line inside a multi-line response.
    pub(crate) const fn data(out: &'o mut Vec<u8>) -> Self {
        let first = out.len();
        Self { out, first }
    }

    /// SP and a response code; must come first after the indicator (R2449-CODE-1).
    pub(crate) fn code(&mut self, code: ResponseCode) -> &mut Self {
        self.push(b" ");
        self.push(code.as_str().as_bytes());
        self
    }

    /// SP and words. Control characters become `?`; a leading `[` becomes `(`, so that nothing
    /// but a response code begins with one (R2449-RESP-1, PRJ-CODE-4).
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.push(b" ");
        for (at, character) in text.char_indices() {
            let character = match character {
                '[' if at == 0 => '(',
                it if it.is_control() => '?',
                it => it,
            };
            let mut octets = [0; 4];
            // Cut on a character's boundary, and nothing after the first that does not fit.
            if !self.push(character.encode_utf8(&mut octets).as_bytes()) {
                break;
            }
        }
        self
    }

    /// SP and a number (PRJ-NUM-7).
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.push(b" ");
        let mut digits = [0; DECIMAL_OCTETS_MAX];
        self.push(decimal(number, &mut digits));
        self
    }

    /// SP and a word without SP or control octets, whole or not at all.
    pub(crate) fn word(&mut self, word: &[u8]) -> &mut Self {
        if self.room() > word.len() {
            self.push(b" ");
            self.push(word);
        }
        self
    }

    /// A word at the start of a data line.
    pub(crate) fn tag(&mut self, word: &[u8]) -> &mut Self {
        // R1939-ML-2: also where no tag of ours begins with a dot.
        if word.starts_with(b".") {
            self.push(b".");
        }
        self.push(word);
        self
    }

    /// CRLF.
    pub(crate) fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }

    const fn room(&self) -> usize {
        (RESPONSE_OCTETS_MAX - 2).saturating_sub(self.out.len() - self.first)
    }

    /// Appends all of `octets`, or nothing and `false`.
    fn push(&mut self, octets: &[u8]) -> bool {
        let fits = octets.len() <= self.room();
        if fits {
            self.out.extend_from_slice(octets);
        }
        fits
    }
}

/// The digits of 2⁶⁴−1.
pub(crate) const DECIMAL_OCTETS_MAX: usize = 20;

/// `number` in decimal digits, without leading zeros, in the end of `digits` (PRJ-NUM-7).
pub(crate) fn decimal(number: u64, digits: &mut [u8; DECIMAL_OCTETS_MAX]) -> &[u8] {
    let mut rest = number;
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        // The remainder of a division by ten is one digit.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        first = at;
        if rest == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
