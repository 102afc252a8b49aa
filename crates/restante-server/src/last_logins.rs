//! When somebody logged in to each account last, from where and how: for whoever asks whether an
//! account is still used, and by whom.
//!
//! A login is noted in memory. As a text ([`LastLogins::record`]) it outlives the process: one JSON
//! object a line.
//!
//! ```text
//! {"account":"me@example.com","when":1764108603,"address":"192.0.2.1","mechanism":"PLAIN","credential":"phone"}
//! ```

use std::{
    fmt,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};

/// Accounts that are remembered, some 300 octets each; of more, some are forgotten.
const ACCOUNTS_MAX: u64 = 100_000;

/// How long a text may be: what all accounts that are remembered take, with names of usual length.
pub const LAST_LOGINS_OCTETS_MAX: usize = 16 * 1024 * 1024;

/// A longer word is none of ours.
const WORD_OCTETS_MAX: usize = 512;

/// A login.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LastLogin {
    /// In seconds since 1970.
    pub when: u64,
    /// From where.
    pub address: IpAddr,
    /// How: a SASL mechanism, `APOP` or `USER`.
    pub mechanism: String,
    /// What opened the account: `default`, or a device's name; `token` or `certificate`.
    pub credential: String,
}

/// The last login of each account.
pub struct LastLogins {
    accounts: Cache<String, LastLogin>,
    changes: AtomicU64,
}

/// A line of the text.
#[derive(Deserialize, Serialize)]
struct Line {
    account: String,
    #[serde(flatten)]
    login: LastLogin,
}

impl Default for LastLogins {
    fn default() -> Self {
        Self {
            accounts: Cache::new(ACCOUNTS_MAX),
            changes: AtomicU64::new(0),
        }
    }
}

impl LastLogins {
    /// Somebody has logged in.
    pub(crate) fn note(&self, account: &str, login: LastLogin) {
        self.accounts.insert(account.to_owned(), login);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The last login of an account, by its canonical name, if one is remembered.
    #[must_use]
    pub fn of(&self, account: &str) -> Option<LastLogin> {
        self.accounts.get(account)
    }

    /// Grows with each login.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// All of them as a text, as many as there is room for.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut record = Vec::new();
        for (account, login) in &self.accounts {
            let account = account.as_ref().clone();
            let Ok(mut line) = serde_json::to_vec(&Line { account, login }) else {
                continue;
            };
            line.push(b'\n');
            if record.len() + line.len() > LAST_LOGINS_OCTETS_MAX {
                break;
            }
            record.append(&mut line);
        }
        record
    }

    /// Remembers what a text says, unless something later is known; how many lines say nothing.
    pub fn restore(&self, record: &[u8]) -> usize {
        let (lines, damaged) = read(record);
        for Line { account, login } in lines {
            let known = self.of(&account).map(|known| known.when);
            if known.is_none_or(|known| known < login.when) {
                self.accounts.insert(account, login);
            }
        }
        damaged
    }
}

/// The last login of `account` that a text tells of.
#[must_use]
pub fn last_login_in(record: &[u8], account: &str) -> Option<LastLogin> {
    let (lines, _) = read(record);
    let own = lines.into_iter().filter(|line| line.account == account);
    own.map(|line| line.login).max_by_key(|login| login.when)
}

/// The lines that can be read, and how many cannot.
fn read(record: &[u8]) -> (Vec<Line>, usize) {
    let lines = record.split(|&octet| octet == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let (mut good, mut damaged) = (Vec::new(), 0);
    for line in lines {
        match serde_json::from_slice::<Line>(line) {
            Ok(line) if is_sound(&line) => good.push(line),
            _ => damaged += 1,
        }
    }
    (good, damaged)
}

/// Whether we may have written it.
fn is_sound(line: &Line) -> bool {
    let words = [&line.account, &line.login.mechanism, &line.login.credential];
    words.iter().all(|word| word.len() <= WORD_OCTETS_MAX)
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

impl fmt::Debug for LastLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastLogins").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(when: u64) -> LastLogin {
        LastLogin {
            when,
            address: [192, 0, 2, 1].into(),
            mechanism: "PLAIN".to_owned(),
            credential: "default".to_owned(),
        }
    }

    #[test]
    fn the_last_login_is_the_same_after_a_restart() {
        let before = LastLogins::default();
        before.note("me@example.com", login(7));
        before.note("me@example.com", login(8));
        before.note("a \"name\"\n{", login(9));
        let record = before.record();
        assert_eq!(record.iter().filter(|&&octet| octet == b'\n').count(), 2);
        let after = LastLogins::default();
        assert_eq!(after.restore(&record), 0);
        for account in ["me@example.com", "a \"name\"\n{"] {
            assert_eq!(after.of(account), before.of(account), "{account}");
            assert_eq!(last_login_in(&record, account), before.of(account));
        }
        assert_eq!(after.of("you"), None);
    }

    #[test]
    fn a_text_of_before_does_not_hide_what_came_later() {
        let logins = LastLogins::default();
        logins.note("me", login(7));
        let old = logins.record();
        logins.note("me", login(8));
        logins.restore(&old);
        assert_eq!(logins.of("me"), Some(login(8)));
    }

    #[test]
    fn a_damaged_text_says_what_its_sound_lines_say() {
        let logins = LastLogins::default();
        logins.note("me", login(7));
        let whole = logins.record();
        for octets in 0..whole.len() - 1 {
            let restored = LastLogins::default();
            let damaged = restored.restore(&whole[..octets]);
            assert_eq!(damaged, usize::from(octets > 0), "{octets}");
            assert_eq!(restored.of("me"), None, "{octets}");
        }
        let long = format!("{{\"account\":\"{}\",", "x".repeat(600));
        let text = String::from_utf8(whole).unwrap();
        let long = text.replacen("{\"account\":\"me\",", &long, 1);
        let garbled = ["\u{0}nothing\n", &long, &text, "null\n"].concat();
        let restored = LastLogins::default();
        assert_eq!(restored.restore(garbled.as_bytes()), 3);
        assert_eq!(restored.of("me"), Some(login(7)));
    }

    #[test]
    fn each_login_is_a_change_and_reading_is_none() {
        let logins = LastLogins::default();
        let before = logins.changes();
        logins.note("me", login(7));
        assert_ne!(logins.changes(), before);
        let after = logins.changes();
        logins.restore(&logins.record());
        assert_eq!(logins.changes(), after);
    }
}
