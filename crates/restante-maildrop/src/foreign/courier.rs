//! `courierpop3dsizelist` of Courier's POP3 server, versions 2 and 3.
//!
//! ```text
//! /3 <next uid> <uidvalidity>
//! 1276528487.M364837P9451.kurkku,S=1355:2,S 1394 1:1275660208:0
//! └─ name in cur/, spaces and all            │    │ │          └─ 8-bit header; version 3 only
//!                                            │    └─┴─ UID and uidvalidity of the unique-id
//!                                            └─ size
//! ```
//!
//! A line is read from its end, as Courier does. Courier itself skips lines that it does not
//! understand, and its users download those messages again; here they are told.

mod rewriting;

use std::collections::HashMap;

use memchr::{memchr, memrchr};

use super::{Damage, DamageKind, Given, lines, number};
use crate::maildir::FileName;

const VERSIONS: [u64; 2] = [2, 3];

/// What the file says.
#[derive(Debug)]
pub(crate) struct SizeList<'f> {
    header: Header,
    /// Each message once.
    records: Vec<Record<'f>>,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    /// What the next new message gets.
    next_uid: u64,
    /// `None`: Courier takes the time at which it reads the file.
    validity: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Record<'f> {
    line: usize,
    base: &'f [u8],
    uid: u64,
    validity: u64,
}

impl<'f> SizeList<'f> {
    /// Reads the whole file.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub(super) fn parse(octets: &'f [u8]) -> Result<Self, Damage> {
        let mut header = None;
        let mut records = Vec::new();
        let mut by_base: HashMap<&[u8], Record<'f>> = HashMap::new();
        for next in lines(octets) {
            let (line, content) = next?;
            let at_line = |what| Damage { line, what };
            if line == 1 {
                header = Some(Header::parse(content).map_err(at_line)?);
                continue;
            }
            let record = Record::parse(line, content).ok_or(at_line(DamageKind::Record))?;
            FileName::new(record.base).ok_or(at_line(DamageKind::Name))?;
            match by_base.insert(record.base, record) {
                None => records.push(record),
                Some(earlier) if earlier.given() == record.given() => {}
                Some(earlier) => return Err(at_line(DamageKind::Again(earlier.line))),
            }
        }
        let what = DamageKind::Empty;
        let header = header.ok_or(Damage { line: 1, what })?;
        Ok(Self { header, records })
    }

    /// The base names that have a record.
    pub(super) fn bases(&self) -> impl Iterator<Item = &[u8]> {
        self.records.iter().map(|record| record.base)
    }

    /// What Courier lists of the messages that are there, in its order.
    pub(super) fn listing(&self, is_present: impl Fn(&[u8]) -> bool) -> Vec<Given> {
        let present = self.records.iter().filter(|one| is_present(one.base));
        let mut present: Vec<&Record<'_>> = present.collect();
        present.sort_by_cached_key(|record| order(record.base));
        let given = present.into_iter().map(|record| Given {
            base: record.base.to_vec(),
            unique_id: record.unique_id(),
        });
        given.collect()
    }
}

impl Header {
    /// `/<version> <next uid> [<uidvalidity>]`.
    fn parse(line: &[u8]) -> Result<Self, DamageKind> {
        let fields = line.strip_prefix(b"/").ok_or(DamageKind::Header)?;
        let numbers = fields.split(|&octet| octet == b' ').map(number::<u64>);
        let numbers: Option<Vec<u64>> = numbers.collect();
        let (next_uid, validity) = match numbers.as_deref() {
            Some(&[version, ..]) if !VERSIONS.contains(&version) => {
                return Err(DamageKind::Version(version));
            }
            Some(&[_, next_uid]) => (next_uid, None),
            Some(&[_, next_uid, validity]) => (next_uid, Some(validity)),
            _ => return Err(DamageKind::Header),
        };
        Ok(Self { next_uid, validity })
    }
}

impl<'f> Record<'f> {
    fn parse(line_number: usize, line: &'f [u8]) -> Option<Self> {
        let (rest, last) = split_last(line, b' ')?;
        let (name, size) = split_last(rest, b' ')?;
        number::<u64>(size)?;
        let mut parts = last.split(|&octet| octet == b':');
        let uid = number(parts.next()?)?;
        let validity = number(parts.next()?)?;
        if let Some(flag) = parts.next() {
            number::<u64>(flag)?;
        }
        let record = Self {
            line: line_number,
            base: &name[..memchr(b':', name).unwrap_or(name.len())],
            uid,
            validity,
        };
        parts.next().is_none().then_some(record)
    }

    fn given(&self) -> (u64, u64) {
        (self.uid, self.validity)
    }

    fn unique_id(&self) -> Vec<u8> {
        match self.given() {
            (0, _) => escaped(self.base),
            (uid, validity) => printed(uid, validity).into_bytes(),
        }
    }
}

/// The unique-id that two numbers make; the first is not 0.
fn printed(uid: u64, validity: u64) -> String {
    match validity {
        0 => format!("UID{uid}"),
        validity => format!("UID{uid}-{validity}"),
    }
}

fn split_last(octets: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memrchr(separator, octets)?;
    Some((octets.get(..at)?, octets.get(at + 1..)?))
}

/// The unique-ids of Courier's first days: the base name, what is special in it as `+XX`.
fn escaped(base: &[u8]) -> Vec<u8> {
    let mut id = Vec::with_capacity(base.len());
    for &octet in base {
        match octet {
            b'\'' | b'"' | b'+' | ..=0x20 | 0x7F.. => {
                id.extend_from_slice(format!("+{octet:02X}").as_bytes());
            }
            _ => id.push(octet),
        }
    }
    id
}

/// By the leading number, then octet by octet, which are signed, up to the colon, which counts.
fn order(base: &[u8]) -> (u64, Vec<i8>) {
    let digits = base.iter().take_while(|octet| octet.is_ascii_digit());
    let seconds = digits.fold(0_u64, |number, &digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    let octets = base.iter().chain(b":").map(|&octet| octet.cast_signed());
    (seconds, octets.collect())
}

#[cfg(test)]
mod tests;
