//! Dovecot's `dovecot-uidlist`, versions 1 and 3, and the unique-ids that Dovecot makes of it.
//!
//! ```text
//! 3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
//! 25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394
//! 25017 W2481 P000061ae4c0907b0 O3 :1276533073.M242911P3632.kurkku
//! │     │     │                 │   └─ base name; what old versions wrote from `:` on is ignored
//! │     │     │                 └─ its place among the messages, before those without
//! │     │     └─ its unique-id; empty: the base name
//! │     └─ sizes
//! └─ UID, only ever growing
//! ```
//!
//! Version 1, which Courier's IMAP server wrote too: `1 <uidvalidity> <next uid>`, then
//! `<uid> <name>`.

mod rewriting;

use std::{collections::HashMap, io};

use memchr::memchr;

use super::{
    Damage, DamageKind, DovecotUidls, Duplicates, FindXuidl, Given, lines, number,
    uidl_format::Variables,
};
use crate::maildir::FileName;

/// What the file says.
#[derive(Debug)]
pub(crate) struct Uidlist<'f> {
    header: Header,
    /// By UID, each message once.
    records: Vec<Record<'f>>,
}

#[derive(Clone, Debug)]
struct Record<'f> {
    uid: u32,
    base: &'f [u8],
    /// `P`: the unique-id that was saved; empty stands for the base name.
    saved: Option<&'f [u8]>,
    /// `O`: messages that have one come first.
    order: Option<u32>,
    /// `G`; the base name if there is none.
    guid: Option<&'f [u8]>,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    version: Version,
    uid_validity: u32,
    next_uid: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    One,
    Three,
}

impl<'f> Uidlist<'f> {
    /// Reads the whole file.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub(super) fn parse(octets: &'f [u8]) -> Result<Self, Damage> {
        let mut header: Option<Header> = None;
        let mut records: Vec<Record<'f>> = Vec::new();
        for next in lines(octets) {
            let (line, content) = next?;
            let at_line = |what| Damage { line, what };
            let Some(header) = header else {
                header = Some(Header::parse(content).map_err(at_line)?);
                continue;
            };
            let record = Record::parse(&header, content).map_err(at_line)?;
            match records.last_mut() {
                // Written again, with other fields.
                Some(last) if (last.uid, last.base) == (record.uid, record.base) => *last = record,
                Some(last) if last.uid >= record.uid => {
                    let (uid, before) = (record.uid, last.uid);
                    return Err(at_line(DamageKind::UidOrder { uid, before }));
                }
                _ => records.push(record),
            }
        }
        let what = DamageKind::Empty;
        let header = header.ok_or(Damage { line: 1, what })?;
        let records = latest(records);
        Ok(Self { header, records })
    }

    /// The base names that have a record.
    pub(super) fn bases(&self) -> impl Iterator<Item = &[u8]> {
        self.records.iter().map(|record| record.base)
    }

    /// What Dovecot lists of the messages that are there, in its order.
    ///
    /// # Errors
    /// Those of `xuidl`.
    pub(super) fn listing(
        &self,
        uidls: &DovecotUidls,
        is_present: impl Fn(&[u8]) -> bool,
        xuidl: FindXuidl<'_>,
    ) -> io::Result<Vec<Given>> {
        let mut listing = Vec::new();
        let mut given = HashMap::new();
        for record in &self.records {
            if !is_present(record.base) {
                continue;
            }
            let mut unique_id = self.unique_id(record, uidls, xuidl)?;
            // It renames by UID, also where it numbers otherwise.
            if uidls.duplicates == Duplicates::Rename {
                rename(&mut unique_id, &mut given);
            }
            let place = (record.order.unwrap_or(u32::MAX), record.uid);
            let base = record.base.to_vec();
            listing.push((place, Given { base, unique_id }));
        }
        listing.sort_by_key(|&(place, _)| place);
        Ok(listing.into_iter().map(|(_, given)| given).collect())
    }

    fn unique_id(
        &self,
        record: &Record<'_>,
        uidls: &DovecotUidls,
        xuidl: FindXuidl<'_>,
    ) -> io::Result<Vec<u8>> {
        match record.saved {
            Some(b"") => return Ok(record.base.to_vec()),
            Some(saved) => return Ok(saved.to_vec()),
            None => {}
        }
        if uidls.reuse_xuidl
            && let Some(value) = xuidl(record.base)?
        {
            return Ok(value);
        }
        Ok(uidls.format.expand(&Variables {
            uid: record.uid,
            uid_validity: self.header.uid_validity,
            file_name: record.base,
            guid: record.guid.unwrap_or(record.base),
        }))
    }
}

impl Header {
    fn parse(line: &[u8]) -> Result<Self, DamageKind> {
        let (&version, rest) = line.split_first().ok_or(DamageKind::Header)?;
        let rest = rest.strip_prefix(b" ").ok_or(DamageKind::Header)?;
        let (version, uid_validity, next_uid) = match version {
            b'1' => {
                let numbers = rest.split(|&octet| octet == b' ').map(number::<u32>);
                let [validity, next] = *numbers.collect::<Vec<_>>() else {
                    return Err(DamageKind::Header);
                };
                (Version::One, validity, next)
            }
            b'3' => {
                let (mut validity, mut next) = (None, None);
                for field in fields(rest) {
                    match field {
                        (b'V', value) => validity = number::<u32>(value),
                        (b'N', value) => next = number::<u32>(value),
                        (b'A'..=b'Z', _) => {}
                        _ => return Err(DamageKind::Header),
                    }
                }
                (Version::Three, validity, next)
            }
            b'0'..=b'9' => return Err(DamageKind::Version(u64::from(version - b'0'))),
            _ => return Err(DamageKind::Header),
        };
        // Dovecot takes 0 for a broken file.
        let positive = |number: Option<u32>| number.filter(|&number| number > 0);
        Ok(Self {
            version,
            uid_validity: positive(uid_validity).ok_or(DamageKind::Header)?,
            next_uid: positive(next_uid).ok_or(DamageKind::Header)?,
        })
    }
}

impl<'f> Record<'f> {
    fn parse(header: &Header, line: &'f [u8]) -> Result<Self, DamageKind> {
        let space = memchr(b' ', line).ok_or(DamageKind::Record)?;
        let (digits, mut rest) = line.split_at(space);
        let uid: u64 = number(digits).ok_or(DamageKind::Record)?;
        let uid = u32::try_from(uid).map_err(|_| DamageKind::Uid)?;
        let beyond = header.version == Version::One && uid >= header.next_uid;
        if uid == 0 || uid == u32::MAX || beyond {
            return Err(DamageKind::Uid);
        }
        let mut record = Self {
            uid,
            base: &[],
            saved: None,
            order: None,
            guid: None,
        };
        rest = rest.trim_ascii_start();
        if header.version == Version::Three {
            while !rest.starts_with(b":") {
                let end = memchr(b' ', rest).ok_or(DamageKind::Record)?;
                let (field, after) = rest.split_at(end);
                record.take_field(field)?;
                rest = after.trim_ascii_start();
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        let name = FileName::new(rest).ok_or(DamageKind::Name)?;
        // A colon in front leaves nothing.
        record.base = FileName::new(name.base()).ok_or(DamageKind::Name)?.base();
        Ok(record)
    }

    fn take_field(&mut self, field: &'f [u8]) -> Result<(), DamageKind> {
        match field.split_first() {
            Some((b'P', value)) => self.saved = Some(value),
            Some((b'G', value)) if !value.is_empty() => self.guid = Some(value),
            Some((b'O', value)) => {
                let order = number(value).ok_or(DamageKind::Field('O'))?;
                self.order = Some(order);
            }
            Some((b'A'..=b'Z', _)) => {}
            _ => return Err(DamageKind::Record),
        }
        Ok(())
    }
}

/// A name that came back has a new UID, which counts.
fn latest(mut records: Vec<Record<'_>>) -> Vec<Record<'_>> {
    let by_base: HashMap<&[u8], u32> = records
        .iter()
        .map(|record| (record.base, record.uid))
        .collect();
    records.retain(|record| by_base.get(record.base) == Some(&record.uid));
    records
}

/// The key and value of each field of the header.
fn fields(line: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let fields = line.split(|&octet| octet == b' ');
    fields.filter_map(|field| field.split_first().map(|(&key, value)| (key, value)))
}

/// Makes it another one than all before; `given` counts how often each was wanted.
fn rename(unique_id: &mut Vec<u8>, given: &mut HashMap<Vec<u8>, u32>) {
    while let Some(count) = given.get_mut(unique_id) {
        *count += 1;
        let count = *count;
        unique_id.extend_from_slice(format!("-{count}").as_bytes());
    }
    given.insert(unique_id.clone(), 1);
}

#[cfg(test)]
mod tests;
