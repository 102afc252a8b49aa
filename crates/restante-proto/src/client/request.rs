//! Commands on their way out: their lines, and what their answers look like.

use alloc::vec::Vec;

use secrecy::{ExposeSecret as _, SecretSlice, zeroize::Zeroize as _};

use super::{Capabilities, RequestError};
use crate::{
    Command, Keyword, MessageNumber, Octets,
    response::{DECIMAL_OCTETS_MAX, decimal},
};

/// R2449-LEN-2.
const COMMAND_OCTETS_MAX: usize = 255;

/// What an answer without a body is thought to take.
const STATUS_LINE_OCTETS: u64 = 64;

/// What a message of unknown size, or the header of one, is thought to take.
const UNKNOWN_MESSAGE_OCTETS: u64 = 64 * 1024;

/// What a line of a message is thought to take.
const MESSAGE_LINE_OCTETS: u64 = 80;

/// A command that was checked and waits to be sent.
pub(super) struct Request {
    pub(super) keyword: Keyword,
    pub(super) number: Option<MessageNumber>,
    pub(super) body: Body,
    /// About how many octets the answer will have.
    pub(super) expected: u64,
    /// With CRLF. Any line may hold a password.
    line: SecretSlice<u8>,
}

/// What follows a `+OK`. Decided by the command alone (PRJ-ML-10).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    /// Nothing: the response is one line.
    None,
    /// The lines of the capability list.
    Capabilities,
    /// A line for each message, with its size.
    ScanListings,
    /// A line for each message, with its unique-id.
    UniqueIdListings,
    /// Other lines.
    Lines,
    /// A message or its top.
    Message,
}

impl Request {
    /// Checks `command` and makes its line. `announced`: the size of the message it retrieves.
    pub(super) fn new(
        command: &Command,
        announced: Option<Octets>,
        capabilities: &Capabilities,
    ) -> Result<Self, RequestError> {
        let keyword = command.keyword();
        let utf8 = capabilities.utf8.is_some_and(|utf8| utf8.user);
        let mut line = Line::new(keyword);
        let mut number = None;
        let mut body = Body::None;
        let mut expected = STATUS_LINE_OCTETS;
        match command {
            Command::Apop { name, digest } => {
                line.name(name, utf8)?;
                line.word(digest.expose_secret());
            }
            Command::Auth(auth) => {
                line.word(auth.mechanism.as_bytes());
                if let Some(response) = &auth.initial_response {
                    line.word(response.expose_secret());
                }
            }
            Command::AuthList | Command::Lang(None) => body = Body::Lines,
            Command::Capa => body = Body::Capabilities,
            Command::List(None) => body = Body::ScanListings,
            Command::Uidl(None) => body = Body::UniqueIdListings,
            Command::Lang(Some(range)) => line.word(range.as_str().as_bytes()),
            Command::User(name) => line.name(name, utf8)?,
            Command::Pass(password) => line.password(password.expose_secret(), utf8)?,
            Command::Dele(of) | Command::List(Some(of)) | Command::Uidl(Some(of)) => {
                number = Some(*of);
            }
            Command::Retr(of) => {
                (number, body) = (Some(*of), Body::Message);
                let Octets(octets) = announced.unwrap_or(Octets(UNKNOWN_MESSAGE_OCTETS));
                expected = expected.saturating_add(octets);
            }
            Command::Top { number: of, lines } => {
                (number, body) = (Some(*of), Body::Message);
                expected = lines
                    .saturating_mul(MESSAGE_LINE_OCTETS)
                    .saturating_add(UNKNOWN_MESSAGE_OCTETS / 8);
            }
            Command::Noop
            | Command::Quit
            | Command::Rset
            | Command::Stat
            | Command::Stls
            | Command::Utf8 => {}
        }
        if let Some(number) = number {
            line.number(number.get().into());
        }
        if let Command::Top { lines, .. } = command {
            line.number(*lines);
        }
        Ok(Self {
            keyword,
            number,
            body,
            expected,
            line: line.end()?,
        })
    }

    pub(super) fn line_octets(&self) -> usize {
        self.line.expose_secret().len()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.line.expose_secret());
    }
}

/// How long `AUTH mechanism initial-response` is, CRLF included; whether that is a command line.
pub(super) const fn initial_response_fits(mechanism: &str, base64_octets: usize) -> bool {
    "AUTH  \r\n".len() + mechanism.len() + base64_octets <= COMMAND_OCTETS_MAX
}

/// A line in the making: keyword and words with exactly one SP between them (R1939-FRAME-3).
struct Line {
    keyword: Keyword,
    octets: Vec<u8>,
    /// How long it is, CRLF not included, also where it is too long to be built.
    len: usize,
}

impl Line {
    fn new(keyword: Keyword) -> Self {
        // One allocation, so that growing leaves no copy of a password behind.
        let mut octets = Vec::with_capacity(COMMAND_OCTETS_MAX);
        octets.extend_from_slice(keyword.as_str().as_bytes());
        let len = octets.len();
        Self {
            keyword,
            octets,
            len,
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.len = self.len.saturating_add(1).saturating_add(word.len());
        // A line that is too long is refused in the end, and need not be built.
        if self.len < COMMAND_OCTETS_MAX {
            self.octets.push(b' ');
            self.octets.extend_from_slice(word);
        }
    }

    fn number(&mut self, number: u64) {
        let mut digits = [0; DECIMAL_OCTETS_MAX];
        self.word(decimal(number, &mut digits));
    }

    fn name(&mut self, name: &str, utf8: bool) -> Result<(), RequestError> {
        if name.is_empty() || name.contains(|c: char| c.is_control() || c == ' ') {
            return Err(RequestError::Field(self.keyword));
        }
        self.text(name.as_bytes(), utf8)
    }

    fn password(&mut self, password: &[u8], utf8: bool) -> Result<(), RequestError> {
        // PRJ-PASS-6.
        let illegal = |octet: &u8| matches!(octet, b'\r' | b'\n' | 0);
        if password.is_empty() || password.iter().any(illegal) {
            return Err(RequestError::Field(self.keyword));
        }
        self.text(password, utf8)
    }

    fn text(&mut self, text: &[u8], utf8: bool) -> Result<(), RequestError> {
        // R6856-USER-2.
        let allowed = text.is_ascii() || (utf8 && core::str::from_utf8(text).is_ok());
        if !allowed {
            return Err(RequestError::NonAscii(self.keyword));
        }
        self.word(text);
        Ok(())
    }

    fn end(mut self) -> Result<SecretSlice<u8>, RequestError> {
        let octets = self.len.saturating_add(2);
        if octets > COMMAND_OCTETS_MAX {
            self.octets.zeroize();
            return Err(RequestError::LineTooLong {
                keyword: self.keyword,
                octets,
            });
        }
        self.octets.extend_from_slice(b"\r\n");
        // A boxed slice has no room to spare: shrinking would leave a copy behind.
        let line = SecretSlice::from(self.octets.as_slice().to_vec());
        self.octets.zeroize();
        Ok(line)
    }
}

#[cfg(test)]
mod tests;
