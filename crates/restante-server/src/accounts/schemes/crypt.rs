//! crypt(3) strings that are still worth something: SHA-crypt, bcrypt and yescrypt.

use secrecy::{ExposeSecret as _, SecretString};
use sha_crypt::{PasswordVerifier as _, ShaCrypt as ShaHasher};
use yescrypt::{Mode, Params, Yescrypt as YescryptHasher};

use super::SchemeError;

/// crypt(3) would go to 999,999,999, which is half an hour. 5,000,000 is some seconds; Linux
/// distributions use up to 656,000.
const ROUNDS_MAX: u32 = 5_000_000;
const ROUNDS_MIN: u32 = 1000;

/// Each step doubles the work; 16 is some seconds, 31 would be days. People use 5 to 14.
const COST_MAX: u32 = 16;
const COST_MIN: u32 = 4;

/// `$5$` or `$6$`, `[rounds=n$]`, salt, hash.
#[derive(Clone)]
pub(super) struct ShaCrypt {
    text: SecretString,
}

impl ShaCrypt {
    pub(super) fn parse(scheme: &'static str, data: &[u8]) -> Result<Self, SchemeError> {
        let malformed = || SchemeError::Malformed { scheme };
        let text = str::from_utf8(data).map_err(|_| malformed())?;
        let mut fields = text.split('$').skip(1);
        let mut field = || fields.next().ok_or_else(malformed);
        let hash_octets = match field()? {
            "5" => 43,
            "6" => 86,
            _ => return Err(malformed()),
        };
        let mut salt = field()?;
        if let Some(rounds) = salt.strip_prefix("rounds=") {
            let rounds: u32 = rounds.parse().map_err(|_| malformed())?;
            if !(ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) {
                let what = "1000 to 5000000 rounds are accepted";
                return Err(SchemeError::TooCostly { scheme, what });
            }
            salt = field()?;
        }
        let hash = field()?;
        let legal = |text: &str| text.bytes().all(is_crypt_octet);
        let whole = fields.next().is_none();
        if !whole || salt.is_empty() || !legal(salt) || !legal(hash) || hash.len() != hash_octets {
            return Err(malformed());
        }
        Ok(Self {
            text: SecretString::from(text),
        })
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        ShaHasher::default()
            .verify_password(password, self.text.expose_secret())
            .is_ok()
    }
}

/// `$2a$`, `$2b$` or `$2y$`, cost, 22 characters of salt, 31 of hash.
#[derive(Clone)]
pub(super) struct Bcrypt {
    text: SecretString,
}

impl Bcrypt {
    pub(super) fn parse(scheme: &'static str, data: &[u8]) -> Result<Self, SchemeError> {
        let malformed = || SchemeError::Malformed { scheme };
        let text = str::from_utf8(data).map_err(|_| malformed())?;
        // `$2x$` marks hashes of a broken program: different passwords collide.
        let rest = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix));
        let (cost, hash) = rest
            .and_then(|rest| rest.split_once('$'))
            .ok_or_else(malformed)?;
        if hash.len() != 53 || !hash.bytes().all(is_crypt_octet) {
            return Err(malformed());
        }
        let digits = cost.len() == 2 && cost.bytes().all(|octet| octet.is_ascii_digit());
        let cost: u32 = cost.parse().ok().filter(|_| digits).ok_or_else(malformed)?;
        if !(COST_MIN..=COST_MAX).contains(&cost) {
            return Err(SchemeError::TooCostly {
                scheme,
                what: "cost 4 to 16 is accepted",
            });
        }
        // The decoder has the last word, now rather than at a login.
        text.parse::<bcrypt::HashParts>().map_err(|_| malformed())?;
        Ok(Self {
            text: SecretString::from(text),
        })
    }

    /// Only 72 octets of the password count, as everywhere with bcrypt.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, self.text.expose_secret()).unwrap_or(false)
    }
}

/// 1 GiB, crypt(3)'s largest; what distributions use takes 16 MiB.
const YESCRYPT_OCTETS_MAX: u128 = 1 << 30;

/// `$y$`, parameters, salt, 43 characters of hash: what Debian and Fedora write.
#[derive(Clone)]
pub(super) struct Yescrypt {
    text: SecretString,
}

impl Yescrypt {
    pub(super) fn parse(scheme: &'static str, data: &[u8]) -> Result<Self, SchemeError> {
        let malformed = || SchemeError::Malformed { scheme };
        let text = str::from_utf8(data).map_err(|_| malformed())?;
        let mut fields = text.strip_prefix("$y$").ok_or_else(malformed)?.split('$');
        let mut field = || fields.next().ok_or_else(malformed);
        let (params, salt, hash) = (field()?, field()?, field()?);
        let legal = |text: &str| text.bytes().all(is_crypt_octet);
        // 512 bits of salt are the most that yescrypt takes.
        let fits = (1..=86).contains(&salt.len()) && hash.len() == 43;
        if fields.next().is_some() || !fits || !legal(salt) || !legal(hash) {
            return Err(malformed());
        }
        let params: Params = params.parse().map_err(|_| malformed())?;
        let memory = 128 * u128::from(params.n()) * u128::from(params.r());
        // More passes over the same memory, or another mode, is nothing that anybody uses.
        let usual = Params::new(Mode::default(), params.n(), params.r(), 1);
        if memory > YESCRYPT_OCTETS_MAX || usual != Ok(params) {
            let what = "1 GiB of memory, one pass and one thread are accepted";
            return Err(SchemeError::TooCostly { scheme, what });
        }
        Ok(Self {
            text: SecretString::from(text),
        })
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        YescryptHasher::default()
            .verify_password(password, self.text.expose_secret())
            .is_ok()
    }
}

fn is_crypt_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/')
}
