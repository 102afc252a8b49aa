//! Names of message files in a Maildir.
//!
//! ```text
//! <seconds>.<unique>.<host>[,S=<octets>][,W=<octets>][:2,<flags>[,<extra>]]
//! └──────────── base name: the message's identity ──┘
//! └──── stem ─────────────┘
//! ```

use std::cmp::Ordering;

use memchr::memchr;

/// What stands between the base name and the flags.
const INFO: u8 = b':';

/// The name of a message file: any octets but `/` and NUL, not empty, not beginning with a dot.
///
/// Names sort in message order: by the leading number, then by the microseconds after `M` (names
/// without them first), then by the base name's octets. Two names of one base name are one
/// message's and compare equal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileName<'n>(&'n [u8]);

impl<'n> FileName<'n> {
    /// The longest name that Linux file systems take.
    pub(crate) const OCTETS_MAX: usize = 255;

    /// A message file's name, or `None` if a message's file cannot be called so: MDIR-STORE-2
    /// leaves out what begins with a dot.
    pub(crate) fn new(name: &'n [u8]) -> Option<Self> {
        let legal = (1..=Self::OCTETS_MAX).contains(&name.len())
            && !name.starts_with(b".")
            && memchr::memchr2(b'/', 0, name).is_none();
        legal.then_some(Self(name))
    }

    /// The whole name.
    pub(crate) fn as_bytes(self) -> &'n [u8] {
        self.0
    }

    /// What comes before the first `:`. It includes `,S=` and `,W=`, never changes after delivery
    /// and is the message's identity, to be compared octet by octet (MDIR-STORE-2).
    pub(crate) fn base(self) -> &'n [u8] {
        match memchr(INFO, self.0) {
            Some(at) => &self.0[..at],
            None => self.0,
        }
    }

    /// The part from the first `:` on, flags and all; empty if there is none. To be kept as it is
    /// when a file is moved.
    pub(crate) fn info(self) -> &'n [u8] {
        &self.0[self.base().len()..]
    }

    /// The flags after `:2,`: up to a further `,`.
    pub(crate) fn flags(self) -> &'n [u8] {
        let flags = self.info().strip_prefix(b":2,").unwrap_or_default();
        &flags[..memchr(b',', flags).unwrap_or(flags.len())]
    }

    /// `,S=`: the size of the file as stored, if the name says so.
    pub(crate) fn stored_octets(self) -> Option<u64> {
        self.field(b"S=")
    }

    /// `,W=`: the size with every line end counted as CRLF, if the name says so.
    pub(crate) fn wire_octets(self) -> Option<u64> {
        self.field(b"W=")
    }

    /// The parts of the base name without its `,S=` and `,W=` fields, to be joined: what
    /// unique-ids are made of.
    pub(crate) fn stem(self) -> impl Iterator<Item = &'n [u8]> {
        let base = self.base();
        let mut rest = 0;
        let mut first = true;
        std::iter::from_fn(move || {
            while rest <= base.len() {
                let start = rest;
                let end = memchr(b',', &base[start..]).map_or(base.len(), |at| start + at);
                rest = end + 1;
                let part = &base[start..end];
                if first {
                    first = false;
                    return Some(part);
                }
                if size_in(part, b"S=").is_none() && size_in(part, b"W=").is_none() {
                    return Some(&base[start - 1..end]);
                }
            }
            None
        })
    }

    /// Where the name stands in message order.
    pub(crate) fn order(self) -> OrderKey<'n> {
        let base = self.base();
        let digits = digits_of(base);
        OrderKey {
            seconds: saturating_number(&base[..digits]),
            microseconds: microseconds_in(&base[digits..]),
            base,
        }
    }

    /// The first field that is valid: digits only, up to the next `,` or the end.
    fn field(self, key: &[u8; 2]) -> Option<u64> {
        let base = self.base();
        // The first part is the unique name, no field, whatever it looks like.
        let fields = base.split(|&octet| octet == b',').skip(1);
        fields.filter_map(|field| size_in(field, key)).next()
    }
}

/// A name's place in message order.
///
/// The rule "by microseconds when both have them, otherwise by octets" alone is no order (three
/// names can run in a circle); that those without come first makes it one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct OrderKey<'n> {
    pub(crate) seconds: u64,
    pub(crate) microseconds: Option<u64>,
    pub(crate) base: &'n [u8],
}

impl Ord for FileName<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for FileName<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FileName<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.base() == other.base()
    }
}

impl Eq for FileName<'_> {}

/// The number of a field `<key><digits>`; `None` beyond 64 bits too.
fn size_in(field: &[u8], key: &[u8; 2]) -> Option<u64> {
    let digits = field.strip_prefix(key)?;
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn digits_of(octets: &[u8]) -> usize {
    let end = octets.iter().position(|octet| !octet.is_ascii_digit());
    end.unwrap_or(octets.len())
}

fn saturating_number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, &digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// The number after the first `M` that has digits, in `.<unique>` before the host.
fn microseconds_in(rest: &[u8]) -> Option<u64> {
    let unique = rest.strip_prefix(b".")?;
    let unique = &unique[..memchr(b'.', unique).unwrap_or(unique.len())];
    let mut search = unique;
    loop {
        let after = &search[memchr(b'M', search)? + 1..];
        let digits = digits_of(after);
        if digits > 0 {
            return Some(saturating_number(&after[..digits]));
        }
        search = after;
    }
}

/// Reads octets as a message file's name, and panics if a promise is broken: it stays inside its
/// directory; base name and the rest make it up; flags change neither identity nor order.
#[cfg(feature = "testing")]
pub fn fuzz_maildir_name(octets: &[u8]) {
    let Some(name) = FileName::new(octets) else {
        return;
    };
    assert!(!octets.contains(&b'/') && !octets.contains(&0) && !octets.starts_with(b"."));
    assert_eq!([name.base(), name.info()].concat(), octets);
    assert!(name.info().len() >= name.flags().len());
    let stem: Vec<u8> = name.stem().collect::<Vec<_>>().concat();
    assert!(stem.len() <= name.base().len());
    let other = [name.base(), b":2,S"].concat();
    if let Some(other) = FileName::new(&other) {
        assert_eq!(name.cmp(&other), Ordering::Equal);
        assert_eq!(name.stored_octets(), other.stored_octets());
        assert_eq!(name.wire_octets(), other.wire_octets());
    }
    if let Some(before) = FileName::new(&octets[..octets.len() / 2]) {
        assert_eq!(before.cmp(&name), name.cmp(&before).reverse());
        assert_eq!(before == name, before.cmp(&name) == Ordering::Equal);
    }
}

#[cfg(test)]
mod tests;
