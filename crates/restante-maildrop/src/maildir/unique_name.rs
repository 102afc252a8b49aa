//! Names for files that we put into a Maildir.
//!
//! `<seconds>.M<microseconds>P<process>R<22 random digits>.<host>`: the form everybody's names
//! have, and 128 random bits, which alone make it unique. The base name is a legal unique-id.

use std::io;

use restante_proto::UniqueId;

use crate::Clock;

/// 64 digits of 6 bits each, none of which means anything in a Maildir's names.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const RANDOM_DIGITS: u32 = 22;

/// A base name, without sizes, that no file has or had, for a message that arrives now.
///
/// # Errors
/// If the system has no randomness: then no name is unique.
pub(crate) fn for_arrival(clock: &Clock, host: &str) -> io::Result<Vec<u8>> {
    let now = clock.now();
    made_of(now.as_secs(), now.subsec_micros().into(), host)
}

/// A base name, without sizes, that no file has or had, with the place in message order that
/// these times give.
///
/// # Errors
/// If the system has no randomness: then no name is unique.
pub(crate) fn made_of(seconds: u64, microseconds: u64, host: &str) -> io::Result<Vec<u8>> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let random = u128::from_ne_bytes(random);
    let process = std::process::id();
    let mut name = format!("{seconds}.M{microseconds}P{process}R").into_bytes();
    name.extend((0..RANDOM_DIGITS).map(|digit| DIGITS[(random >> (6 * digit)) as usize % 64]));
    name.push(b'.');
    let room = UniqueId::OCTETS_MAX.saturating_sub(name.len()).max(1);
    // The host is for people who look; a long one need not make the unique-id a hash.
    name.extend(host.bytes().take(room));
    Ok(name)
}

/// This machine's name as it stands in file names: `/` and `:` written in octal, as everybody
/// does, and nothing that a unique-id cannot have.
pub(crate) fn host() -> String {
    let uname = rustix::system::uname();
    let mut host = String::new();
    for &octet in uname.nodename().to_bytes() {
        match octet {
            b'/' | b':' | b',' => host.push_str(&format!("\\{octet:03o}")),
            0x21..=0x7E => host.push(char::from(octet)),
            _ => host.push('_'),
        }
    }
    if host.is_empty() {
        host.push_str("localhost");
    }
    host
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;

    #[test]
    fn names_are_legal_unique_ids_and_differ() {
        let clock = Clock::by_hand(Duration::new(1_769_860_805, 7_000));
        let mut seen = HashSet::new();
        for host in [
            "mx1",
            "a.very.long.host.name.of.more.than.twenty.octets.example",
        ] {
            for _ in 0..1000 {
                let name = for_arrival(&clock, host).unwrap();
                assert!(UniqueId::new(&name).is_ok());
                assert!(name.starts_with(b"1769860805.M7P"));
                assert!(seen.insert(name));
            }
        }
    }

    #[test]
    fn the_host_has_nothing_that_means_something_in_a_name() {
        let host = host();
        assert!(!host.is_empty() && !host.contains(['/', ':', ',']));
    }
}
