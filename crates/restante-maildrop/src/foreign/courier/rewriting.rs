//! `courierpop3dsizelist` with unique-ids of ours in it.
//!
//! Courier prints a unique-id as two numbers of its list, or, where the first of them is 0, as the
//! file's base name, sizes and all. So it can say of a message:
//!
//! | unique-id here | line | file |
//! |---|---|---|
//! | `UID7-1795640410` | `7:1795640410` | stays |
//! | the base name | `0:0` | stays |
//! | the base name without sizes | `0:0` | loses the sizes in its name |
//!
//! and nothing else. What is special to Courier in a name (`+` and quotes) it prints otherwise.

use std::{collections::HashSet, io};

use memchr::memchr;

use super::{Record, SizeList, escaped};
use crate::{
    foreign::{Entry, Misfit, Weigh, lines, number},
    maildir::FileName,
};

/// What Courier puts behind a name without flags when it moves the file to `cur/`.
const NO_FLAGS: &[u8] = b":2,";

impl SizeList<'_> {
    /// How Courier is made to list the message under this unique-id.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(in super::super) fn entry(
        &self,
        name: FileName<'_>,
        unique_id: &[u8],
    ) -> Result<Entry, Misfit> {
        let base = name.base();
        let stem = name.stem().collect::<Vec<_>>().concat();
        let said = match numbers(unique_id) {
            Some((uid, validity)) => {
                if Some(validity) == self.header.validity && uid >= self.header.next_uid {
                    return Err(Misfit::ToCome);
                }
                base
            }
            None if escaped(base) == unique_id => base,
            None if escaped(&stem) == unique_id => &stem,
            None => return Err(Misfit::Unsayable),
        };
        let info = match name.info() {
            b"" => NO_FLAGS,
            info => info,
        };
        let new_name = [said, info].concat();
        if new_name.contains(&b'\n') || FileName::new(&new_name).is_none() {
            return Err(Misfit::Unsayable);
        }
        Ok(Entry {
            base: base.to_vec(),
            name: new_name,
            unique_id: unique_id.to_vec(),
        })
    }

    /// The file with these entries.
    ///
    /// # Errors
    /// Those of `weigh`.
    pub(in super::super) fn rewritten(
        &self,
        octets: &[u8],
        entries: &[Entry],
        weigh: Weigh<'_>,
    ) -> io::Result<Vec<u8>> {
        let replaced: HashSet<&[u8]> = entries.iter().map(|entry| &*entry.base).collect();
        let mut list = Vec::with_capacity(octets.len());
        // The file was parsed: all of it makes sense.
        for (line, content) in lines(octets).flatten() {
            let record = Record::parse(line, content);
            if line == 1 || record.is_some_and(|record| !replaced.contains(record.base)) {
                list.extend_from_slice(content);
                list.push(b'\n');
            }
        }
        for entry in entries {
            let (uid, validity) = numbers(&entry.unique_id).unwrap_or_default();
            let weight = weigh(entry)?;
            list.extend_from_slice(&entry.name);
            let (octets, flag) = (weight.octets, u8::from(weight.eight_bit_header));
            list.extend_from_slice(format!(" {octets} {uid}:{validity}:{flag}\n").as_bytes());
        }
        Ok(list)
    }
}

/// The numbers that Courier prints as this unique-id: `UID<uid>-<uidvalidity>` or `UID<uid>`.
fn numbers(unique_id: &[u8]) -> Option<(u64, u64)> {
    let digits = unique_id.strip_prefix(b"UID")?;
    let (uid, validity) = match memchr(b'-', digits) {
        Some(at) => (digits.get(..at)?, number(digits.get(at + 1..)?)?),
        None => (digits, 0),
    };
    let uid = number(uid)?;
    // Anything else that looks like it is a file's name.
    let printed = super::printed(uid, validity);
    (uid > 0 && printed.as_bytes() == unique_id).then_some((uid, validity))
}

#[cfg(test)]
mod tests;
