//! The bans in force as a text, so that they outlive the process.
//!
//! ```text
//! {"version":1,"written":1764108603,
//!  "bans":[{"address":"192.0.2.1","seconds":540,"times":1},{"name":"tim","seconds":300}],
//!  "known":[{"name":"tim","address":"198.51.100.7"}]}
//! ```
//!
//! `seconds` are those that were left when it was written, `times` how often an address was banned
//! lately. `known` are addresses from which a banned name, or from a banned address any, was opened
//! before: without them a restart would make a ban hit those whom it spares.
//!
//! What is read may be anything: it is taken whole or not at all, and a ban that comes of it is
//! never longer than one that is made here.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    Authenticator,
    bans::{BANS_MAX, Ban, Culprit},
    throttle::network_of,
};

const VERSION: u32 = 1;

/// How long a text may be: half of what all bans there may be would take, of names of usual length.
/// Of more, those that end soonest are left out.
pub const BAN_RECORD_OCTETS_MAX: usize = 1024 * 1024;

/// Who is known in spite of bans, at most.
const KNOWN_MAX: usize = 10_000;

/// A longer name is nobody's.
const NAME_OCTETS_MAX: usize = 512;

/// Why a text is not what was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BanRecordError {
    /// It is longer than what is ever written.
    #[error("it is too long")]
    TooLong,
    /// It is cut off, or something else.
    #[error("it is no record of bans")]
    Malformed(#[source] serde_json::Error),
    /// Another version has written it.
    #[error("it is of version {0}")]
    Version(u32),
    /// More than there may be.
    #[error("there are more entries than there may be")]
    TooMany,
    /// An entry is for nobody, or for two.
    #[error("an entry is for nobody, or for two")]
    Culprit,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    /// In seconds since 1970.
    written: u64,
    bans: Vec<Entry>,
    known: Vec<Known>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    seconds: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    times: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    address: IpAddr,
}

fn is_zero(times: &u32) -> bool {
    *times == 0
}

impl Authenticator {
    /// The bans in force, to be read by [`restore_bans`](Self::restore_bans) after a restart;
    /// `None` if there are none. It changes only if [`ban_changes`](Self::ban_changes) does, and as
    /// time goes by.
    #[must_use]
    pub fn ban_record(&self, now: SystemTime) -> Option<Vec<u8>> {
        let mut bans = self.bans();
        bans.retain(|ban| !ban.left.is_zero());
        while !bans.is_empty() {
            let record = self.record(&bans, now);
            let text = serde_json::to_vec(&record).unwrap_or_default();
            if text.len() <= BAN_RECORD_OCTETS_MAX {
                return Some(text);
            }
            // Those that end soonest are the last.
            bans.truncate(bans.len() / 2);
        }
        None
    }

    fn record(&self, bans: &[Ban], now: SystemTime) -> Record {
        let entry = |ban: &Ban| {
            let (address, name) = match &ban.culprit {
                Culprit::Address(address) => (Some(*address), None),
                Culprit::Name(name) if name.len() > NAME_OCTETS_MAX => return None,
                Culprit::Name(name) => (None, Some(name.clone())),
            };
            Some(Entry {
                address,
                name,
                seconds: ban.left.as_secs() + u64::from(ban.left.subsec_nanos() > 0),
                times: address.map_or(0, |address| self.bans.times(address)),
            })
        };
        let concerned = |name: &str, address| {
            self.bans.is_name_banned(name) || self.bans.is_address_banned(address)
        };
        let known = self.throttle.familiar(concerned).take(KNOWN_MAX);
        Record {
            version: VERSION,
            written: unix_seconds(now),
            bans: bans.iter().filter_map(entry).collect(),
            known: known
                .map(|(name, address)| Known { name, address })
                .collect(),
        }
    }

    /// Changes whenever somebody is banned or released.
    #[must_use]
    pub fn ban_changes(&self) -> u64 {
        self.bans.changes()
    }

    /// Bans again who was banned when `record` was written, for what is left of it; how many there
    /// are. Whoever is never banned by these settings is not.
    ///
    /// # Errors
    /// [`BanRecordError`]; then nobody is banned.
    pub fn restore_bans(&self, record: &[u8], now: SystemTime) -> Result<usize, BanRecordError> {
        let record = read(record)?;
        // A clock that was set back says nothing of how long ago that was.
        let passed = unix_seconds(now).saturating_sub(record.written);
        let settings = &self.settings.bans;
        let mut restored = 0;
        for (culprit, entry) in &record.bans {
            let left = Duration::from_secs(entry.seconds.saturating_sub(passed));
            restored += usize::from(self.bans.restore(settings, culprit, left, entry.times));
        }
        for known in record.known {
            self.throttle.know(known.name, known.address);
        }
        Ok(restored)
    }
}

/// What was checked of a record.
struct Checked {
    written: u64,
    bans: Vec<(Culprit, Entry)>,
    known: Vec<Known>,
}

fn read(record: &[u8]) -> Result<Checked, BanRecordError> {
    if record.len() > BAN_RECORD_OCTETS_MAX {
        return Err(BanRecordError::TooLong);
    }
    let record: Record = serde_json::from_slice(record).map_err(BanRecordError::Malformed)?;
    if record.version != VERSION {
        return Err(BanRecordError::Version(record.version));
    }
    if record.bans.len() > BANS_MAX || record.known.len() > KNOWN_MAX {
        return Err(BanRecordError::TooMany);
    }
    let culprit = |entry: Entry| match (entry.address, &entry.name) {
        (Some(address), None) => Ok((Culprit::Address(network_of(address)), entry)),
        (None, Some(name)) if !name.is_empty() && name.len() <= NAME_OCTETS_MAX => {
            Ok((Culprit::Name(name.clone()), entry))
        }
        _ => Err(BanRecordError::Culprit),
    };
    Ok(Checked {
        written: record.written,
        bans: record
            .bans
            .into_iter()
            .map(culprit)
            .collect::<Result<_, _>>()?,
        known: record.known,
    })
}

fn unix_seconds(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
