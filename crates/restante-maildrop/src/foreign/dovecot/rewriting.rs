//! `dovecot-uidlist` with unique-ids of ours in it, as Dovecot itself would write it anew: each
//! message once, in version 3.
//!
//! A unique-id stands in the field `P`, which counts for Dovecot whatever `pop3_uidl_format` says.
//! A message that has a UID keeps it, because IMAP knows it by that.

use std::collections::HashMap;

use memchr::memchr;

use super::{Record, Uidlist, Version, fields};
use crate::{
    foreign::{Entry, Misfit, UidlFormat, lines},
    maildir::FileName,
};

/// A record's line, taken apart but not understood.
struct Raw<'f> {
    uid: &'f [u8],
    fields: Vec<&'f [u8]>,
    name: &'f [u8],
}

impl Uidlist<'_> {
    /// How Dovecot is made to list the message under this unique-id.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(in super::super) fn entry(
        &self,
        format: &UidlFormat,
        name: FileName<'_>,
        unique_id: &[u8],
    ) -> Result<Entry, Misfit> {
        // Dovecot passes such files over.
        if name.base().iter().any(|octet| b"\r\n".contains(octet)) {
            return Err(Misfit::Unsayable);
        }
        if format.may_give(unique_id, self.header.uid_validity, self.next_uid()) {
            return Err(Misfit::ToCome);
        }
        Ok(Entry {
            base: name.base().to_vec(),
            name: name.as_bytes().to_vec(),
            unique_id: unique_id.to_vec(),
        })
    }

    /// The file with these entries; `None` if there are not enough UIDs.
    pub(in super::super) fn rewritten(&self, octets: &[u8], entries: &[Entry]) -> Option<Vec<u8>> {
        let uids: HashMap<&[u8], u32> = self
            .records
            .iter()
            .map(|record| (record.base, record.uid))
            .collect();
        let (listed, new): (Vec<&Entry>, Vec<&Entry>) = entries
            .iter()
            .partition(|entry| uids.contains_key(&*entry.base));
        let saved: HashMap<&[u8], &[u8]> = listed
            .into_iter()
            .map(|entry| (&*entry.base, &*entry.unique_id))
            .collect();
        let first = self.next_uid();
        let next_uid = u32::try_from(new.len())
            .ok()
            .and_then(|count| first.checked_add(count))
            .filter(|&next_uid| next_uid < u32::MAX)?;
        let mut list = self.header_line(octets, next_uid);
        for (record, raw) in self.raw_records(octets) {
            if uids.get(record.base) == Some(&record.uid) {
                raw.write(saved.get(record.base).copied(), &mut list);
            }
        }
        for (uid, entry) in (first..).zip(new) {
            let uid = uid.to_string();
            let raw = Raw {
                uid: uid.as_bytes(),
                fields: Vec::new(),
                name: &entry.base,
            };
            raw.write(Some(&entry.unique_id), &mut list);
        }
        Some(list)
    }

    /// The UID of the next new message; the header may lag behind.
    fn next_uid(&self) -> u32 {
        let last = self.records.last().map_or(0, |record| record.uid);
        self.header.next_uid.max(last.saturating_add(1))
    }

    fn header_line(&self, octets: &[u8], next_uid: u32) -> Vec<u8> {
        let old = octets.split(|&octet| octet == b'\n').next();
        let old = old.and_then(|line| line.get(2..)).unwrap_or_default();
        let mut line = b"3".to_vec();
        if self.header.version == Version::One {
            line.extend_from_slice(format!(" V{}", self.header.uid_validity).as_bytes());
            line.extend_from_slice(format!(" N{next_uid}").as_bytes());
        } else {
            for (key, value) in fields(old) {
                line.extend_from_slice(&[b' ', key]);
                match key {
                    b'N' => line.extend_from_slice(next_uid.to_string().as_bytes()),
                    _ => line.extend_from_slice(value),
                }
            }
        }
        line.push(b'\n');
        line
    }

    /// The lines of messages, the last one of those that were written again.
    fn raw_records<'f>(&self, octets: &'f [u8]) -> Vec<(Record<'f>, Raw<'f>)> {
        let mut records: Vec<(Record<'f>, Raw<'f>)> = Vec::new();
        // The file was parsed: all of it makes sense.
        for (_, line) in lines(octets).skip(1).flatten() {
            let raw = Raw::parse(self.header.version, line);
            let Some((record, raw)) = Record::parse(&self.header, line).ok().zip(raw) else {
                continue;
            };
            match records.last_mut() {
                Some(last) if last.0.uid == record.uid => *last = (record, raw),
                _ => records.push((record, raw)),
            }
        }
        records
    }
}

impl<'f> Raw<'f> {
    fn parse(version: Version, line: &'f [u8]) -> Option<Self> {
        let (uid, rest) = line.split_at(memchr(b' ', line)?);
        let mut rest = rest.trim_ascii_start();
        let mut fields = Vec::new();
        if version == Version::Three {
            while !rest.starts_with(b":") {
                let (field, after) = rest.split_at(memchr(b' ', rest)?);
                fields.push(field);
                rest = after.trim_ascii_start();
            }
            rest = rest.get(1..)?;
        }
        let name = rest;
        Some(Self { uid, fields, name })
    }

    /// Writes the line, with this unique-id if there is one.
    fn write(&self, saved: Option<&[u8]>, list: &mut Vec<u8>) {
        list.extend_from_slice(self.uid);
        let replaced = |field: &[u8]| saved.is_some() && field.starts_with(b"P");
        for field in self.fields.iter().filter(|field| !replaced(field)) {
            list.push(b' ');
            list.extend_from_slice(field);
        }
        if let Some(saved) = saved {
            list.extend_from_slice(b" P");
            list.extend_from_slice(saved);
        }
        list.extend_from_slice(b" :");
        list.extend_from_slice(FileName::new(self.name).map_or(self.name, FileName::base));
        list.push(b'\n');
    }
}

#[cfg(test)]
mod tests;
