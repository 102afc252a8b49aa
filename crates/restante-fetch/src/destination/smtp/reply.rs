//! Replies of a server (RFC 5321 §4.2), read as they come.

use std::fmt;

use memchr::memchr;

/// The longest line; RFC 5321 §4.5.3.1.5 says 512 octets, and servers say more.
const LINE_OCTETS_MAX: usize = 4096;

/// The most lines of a reply.
const LINES_MAX: usize = 256;

/// How much of what a server says is shown.
const SHOWN_OCTETS_MAX: usize = 400;

/// A reply, whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reply {
    /// 200 to 599.
    pub(crate) code: u16,
    /// What follows the code in each line; a stranger's octets.
    pub(crate) lines: Vec<Vec<u8>>,
}

/// What is no reply. Nothing further that comes means anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ReplyError {
    /// A line is too long, or there are too many.
    #[error("the server's reply has no end")]
    TooLong,
    /// No code, or another in a further line.
    #[error("the server's reply is malformed")]
    Malformed,
}

impl Reply {
    /// 2yz: done.
    pub(crate) fn is_done(&self) -> bool {
        self.code / 100 == 2
    }

    /// 5yz: not to be tried again like this.
    pub(crate) fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The subject and detail of an enhanced status code (RFC 3463), if the last line has one.
    pub(crate) fn enhanced(&self) -> Option<(u16, u16)> {
        let last = self.lines.last()?;
        let word = last.split(|octet| octet.is_ascii_whitespace()).next()?;
        let mut numbers = std::str::from_utf8(word).ok()?.split('.');
        let class: u16 = numbers.next()?.parse().ok()?;
        let (subject, detail) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        (class == self.code / 100 && numbers.next().is_none()).then_some((subject, detail))
    }
}

/// Printable, and not too long.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.lines.join(b" ".as_slice());
        let shown = text
            .get(..text.len().min(SHOWN_OCTETS_MAX))
            .unwrap_or_default();
        let shown = String::from_utf8_lossy(shown);
        write!(f, "{} {}", self.code, shown.trim().escape_debug())
    }
}

/// Reads replies from octets that come in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct ReplyReader {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<Vec<u8>>,
}

impl ReplyReader {
    /// Takes octets from the front of `input`, as many as the reply needs; `None`: it needs more
    /// than there are.
    ///
    /// # Errors
    /// [`ReplyError`]; close the connection.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, ReplyError> {
        while let Some(end) = memchr(b'\n', input) {
            let (line, rest) = input.split_at(end + 1);
            *input = rest;
            self.hold(line)?;
            let line = std::mem::take(&mut self.line);
            if let Some(reply) = self.take_line(&line)? {
                return Ok(Some(reply));
            }
        }
        let rest = std::mem::take(input);
        self.hold(rest)?;
        Ok(None)
    }

    fn hold(&mut self, octets: &[u8]) -> Result<(), ReplyError> {
        if self.line.len() + octets.len() > LINE_OCTETS_MAX {
            return Err(ReplyError::TooLong);
        }
        self.line.extend_from_slice(octets);
        Ok(())
    }

    /// ```text
    /// Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
    /// ```
    ///
    /// A bare LF ends a line too.
    fn take_line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Malformed)?;
        let code = digits.iter().try_fold(0, |code, digit| match digit {
            b'0'..=b'9' => Ok(code * 10 + u16::from(digit - b'0')),
            _ => Err(ReplyError::Malformed),
        })?;
        if !(200..600).contains(&code) || self.code.is_some_and(|first| first != code) {
            return Err(ReplyError::Malformed);
        }
        let (more, text) = match rest.split_first() {
            None => (false, rest),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return Err(ReplyError::Malformed),
        };
        if self.lines.len() == LINES_MAX {
            return Err(ReplyError::TooLong);
        }
        self.lines.push(text.to_vec());
        if more {
            self.code = Some(code);
            return Ok(None);
        }
        self.code = None;
        let lines = std::mem::take(&mut self.lines);
        Ok(Some(Reply { code, lines }))
    }
}

/// What a server can do, from its answer to EHLO or LHLO (RFC 5321 §4.1.1.1).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Extensions {
    /// SIZE (RFC 1870), and the largest message, if it says one.
    pub(crate) size: Option<Option<u64>>,
    /// 8BITMIME (RFC 6152).
    pub(crate) eight_bit: bool,
    /// PIPELINING (RFC 2920).
    pub(crate) pipelining: bool,
    /// STARTTLS (RFC 3207).
    pub(crate) starttls: bool,
    /// AUTH PLAIN (RFC 4954).
    pub(crate) auth_plain: bool,
}

impl Extensions {
    pub(crate) fn of(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line
                .split(|octet| octet.is_ascii_whitespace())
                .filter(|word| !word.is_empty());
            match words.next() {
                Some(b"SIZE") => {
                    let most = words.next().and_then(|word| std::str::from_utf8(word).ok());
                    let most = most.and_then(|word| word.parse().ok());
                    // 0: the server knows no bound.
                    extensions.size = Some(most.filter(|&most: &u64| most > 0));
                }
                Some(b"8BITMIME") => extensions.eight_bit = true,
                Some(b"PIPELINING") => extensions.pipelining = true,
                Some(b"STARTTLS") => extensions.starttls = true,
                Some(b"AUTH") => extensions.auth_plain |= words.any(|word| word == b"PLAIN"),
                _ => {}
            }
        }
        extensions
    }
}

/// Reads what a stranger may answer, and panics if a promise is broken: pieces of any size give the
/// same replies, bounded, and what is shown of them cannot drive a terminal.
#[cfg(feature = "testing")]
pub fn fuzz_mail_server_replies(octets: &[u8]) {
    let read = |cuts: usize| {
        let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
        for mut piece in octets.chunks(cuts.max(1)) {
            while let Some(reply) = reader.read(&mut piece)? {
                replies.push(reply);
            }
        }
        Ok::<_, ReplyError>(replies)
    };
    let cuts = octets.first().map_or(1, |&octet| usize::from(octet));
    let whole = read(octets.len());
    assert_eq!(read(cuts), whole);
    for reply in whole.iter().flatten() {
        assert!(reply.lines.len() <= LINES_MAX);
        let shown = reply.to_string();
        assert!(!shown.contains(char::is_control));
        assert!(shown.len() <= 8 * SHOWN_OCTETS_MAX);
        let _ = (Extensions::of(reply), reply.enhanced());
    }
}

#[cfg(test)]
mod tests;
