//! What a message is known by when its unique-id does not say: digests of its header and its body.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// So much of a header is looked at for the lines that servers do not touch.
const HEADER_OCTETS_KEPT_MAX: usize = 64 * 1024;
/// Lines of a header that a server leaves as they are when it moves mail, or adds lines of its own.
const STEADY_FIELDS: [&str; 5] = ["date", "from", "message-id", "subject", "to"];

/// A SHA-256 digest.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);

/// Who a message is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Fingerprint {
    /// How many octets it has, with CRLF line ends.
    pub octets: u64,
    /// Its header, without the empty line behind it: what TOP with 0 lines sends too.
    pub header: Digest,
    /// What stands behind the empty line.
    pub body: Digest,
    /// The fields of its header that stay the same when a server adds others; `None`: it has
    /// neither a Message-ID nor a date, by which one message is told from the next.
    pub steady: Option<Digest>,
}

/// Makes a [`Fingerprint`] of a message that comes in pieces.
#[derive(Clone)]
pub struct Fingerprinter {
    octets: u64,
    header: Sha256,
    body: Sha256,
    kept: Vec<u8>,
    place: Place,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// At the beginning of a line of the header.
    LineStart,
    /// Behind a CR that begins a line: it may be the empty one.
    LineStartCr,
    /// Within a line of the header.
    Line,
    Body,
}

impl Digest {
    /// A digest that was stored as [`Digest::octets`].
    #[must_use]
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Its octets.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of these octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        Self(Sha256::digest(octets).into())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl Fingerprint {
    /// Whether both are the same message, octet for octet.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.octets, self.header, self.body) == (other.octets, other.header, other.body)
    }

    /// Whether both are the same message, of which a server may have changed lines of the header.
    #[must_use]
    pub fn is_moved(&self, other: &Self) -> bool {
        self.is_same(other)
            || (self.steady.is_some() && self.steady == other.steady && self.body == other.body)
    }
}

impl Default for Fingerprinter {
    fn default() -> Self {
        Self {
            octets: 0,
            header: Sha256::new(),
            body: Sha256::new(),
            kept: Vec::new(),
            place: Place::LineStart,
        }
    }
}

impl Fingerprinter {
    /// Takes the next octets of the message.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        let behind = self.pass_header(octets);
        self.body.update(octets.get(behind..).unwrap_or_default());
    }

    /// How many octets have come.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// The message has come to its end.
    #[must_use]
    pub fn finish(mut self) -> Fingerprint {
        if self.place == Place::LineStartCr {
            self.take_header(b"\r");
        }
        let steady = steady(&self.kept);
        Fingerprint {
            octets: self.octets,
            header: Digest(self.header.finalize().into()),
            body: Digest(self.body.finalize().into()),
            steady,
        }
    }

    /// Takes what belongs to the header; where the body begins in `octets`.
    fn pass_header(&mut self, octets: &[u8]) -> usize {
        if self.place == Place::Body {
            return 0;
        }
        // A CR that may begin the empty line waits for what follows, and belongs to no line yet.
        for (at, &octet) in octets.iter().enumerate() {
            match (self.place, octet) {
                (Place::LineStart | Place::LineStartCr, b'\n') => {
                    let empty_line = usize::from(self.place == Place::LineStartCr);
                    let end = at.saturating_sub(empty_line);
                    let header = octets.get(..end).unwrap_or_default();
                    self.take_header(header);
                    self.place = Place::Body;
                    return at + 1;
                }
                (Place::LineStart, b'\r') => self.place = Place::LineStartCr,
                (Place::LineStartCr, _) if at == 0 => {
                    self.take_header(b"\r");
                    self.place = Place::Line;
                }
                (_, b'\n') => self.place = Place::LineStart,
                _ => self.place = Place::Line,
            }
        }
        let waits = usize::from(self.place == Place::LineStartCr && !octets.is_empty());
        let end = octets.len() - waits;
        self.take_header(octets.get(..end).unwrap_or_default());
        octets.len()
    }

    fn take_header(&mut self, octets: &[u8]) {
        self.header.update(octets);
        let room = HEADER_OCTETS_KEPT_MAX.saturating_sub(self.kept.len());
        self.kept
            .extend_from_slice(octets.get(..room.min(octets.len())).unwrap_or(octets));
    }
}

/// The digest of the fields that stay, in the order of the header.
fn steady(header: &[u8]) -> Option<Digest> {
    let mut hash = Sha256::new();
    let mut distinct = false;
    let mut kept = false;
    for line in header.split_inclusive(|&octet| octet == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line
                .split(|&octet| octet == b':')
                .next()
                .unwrap_or_default();
            let name = name.trim_ascii().to_ascii_lowercase();
            kept = STEADY_FIELDS.iter().any(|field| field.as_bytes() == name);
            distinct |= name == b"message-id" || name == b"date";
        }
        if kept {
            hash.update(line.trim_ascii_end());
            hash.update(b"\n");
        }
    }
    distinct.then(|| Digest(hash.finalize().into()))
}

#[cfg(test)]
mod tests;
