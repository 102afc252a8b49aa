//! Dovecot's password fields: `{SCHEME}data`, `{SCHEME.ENCODING}data`, or data alone.
//!
//! A field comes from a file that an administrator, or a script of theirs, has written: it is
//! untrusted in form. [`Verifier::parse`] checks everything once, cost included, so that
//! [`Verifier::verify`] has a bounded price whatever is stored.

mod argon;
mod crypt;
mod digest;

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use restante_sasl::scram::{Keys, KeysError, ScramHash};
use secrecy::{ExposeSecret as _, SecretSlice};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub(crate) use self::argon::{dummy_verifier, hash_password};
use self::{
    argon::Argon,
    crypt::{Bcrypt, ShaCrypt, Yescrypt},
    digest::{Hash, Pbkdf2, Salted},
};

/// How long a stored field may be. The longest honest one, an encoded SCRAM or Argon2 string, has
/// some 300 octets.
pub const FIELD_OCTETS_MAX: usize = 4096;

/// Dovecot's decoders take base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a password is verified with.
#[derive(Clone)]
pub struct Verifier(Kind);

#[derive(Clone)]
enum Kind {
    /// The password itself.
    Clear(SecretSlice<u8>),
    /// `$5$` and `$6$`.
    ShaCrypt(ShaCrypt),
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt(Bcrypt),
    /// `$y$`.
    Yescrypt(Yescrypt),
    /// `$argon2i$` and `$argon2id$`.
    Argon(Argon),
    /// PBKDF2 with SHA-1, as Dovecot writes it.
    Pbkdf2(Pbkdf2),
    /// A hash of password and salt; the salt may be empty.
    Salted(Salted),
    /// SCRAM's keys, which verify plain passwords too.
    Scram(Box<Keys>),
}

/// Why a stored password field cannot be used. The administrator is at fault, not the user: this
/// is `[SYS/PERM]`, never "wrong password".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemeError {
    /// A scheme that can be broken in hours.
    #[error("password scheme {scheme} is too weak to be used")]
    Weak {
        /// Its name.
        scheme: &'static str,
    },
    /// A scheme that is not known here.
    #[error("unknown password scheme {scheme}")]
    Unknown {
        /// As written: at most 32 letters, digits, `-`, `.`, `_`; otherwise empty.
        scheme: String,
    },
    /// A scheme that is known, but that this version cannot verify.
    #[error("password scheme {scheme} is not supported")]
    Unsupported {
        /// Its name.
        scheme: &'static str,
    },
    /// The data are not what the scheme wants.
    #[error("malformed {scheme} password field")]
    Malformed {
        /// The scheme's name.
        scheme: &'static str,
    },
    /// Verifying would cost more time or memory than one login is worth.
    #[error("{scheme} password field demands too much work: {what}")]
    TooCostly {
        /// The scheme's name.
        scheme: &'static str,
        /// Which bound is exceeded.
        what: &'static str,
    },
    /// The field exceeds [`FIELD_OCTETS_MAX`].
    #[error("password field of {octets} octets")]
    TooLong {
        /// How long it is.
        octets: usize,
    },
}

impl SchemeError {
    /// What the administrator can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Weak { .. } | Self::Unsupported { .. } | Self::Unknown { .. } => {
                "let the user choose a new password and store it with `doveadm pw -s ARGON2ID` or \
                 `-s SCRAM-SHA-256`"
            }
            Self::Malformed { .. } => {
                "check the field; a password stored as it is needs `{PLAIN}` before it"
            }
            Self::TooCostly { .. } => "hash the password anew with the scheme's usual parameters",
            Self::TooLong { .. } => "check the line: a separator may be missing",
        }
    }
}

/// Why a password could not be verified: the machine's fault, and it may pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not enough memory to verify the password")]
pub struct OutOfMemory;

impl Verifier {
    /// Reads a stored password field. `None` if it is empty: nothing matches it.
    ///
    /// # Errors
    /// [`SchemeError`]: a permanent failure of ours, not a wrong password.
    pub fn parse(field: &[u8]) -> Result<Option<Self>, SchemeError> {
        if field.len() > FIELD_OCTETS_MAX {
            return Err(SchemeError::TooLong {
                octets: field.len(),
            });
        }
        if field.is_empty() {
            return Ok(None);
        }
        let Some((scheme, data)) = split_scheme(field)? else {
            return crypt(unbraced(field)?).map(Some);
        };
        let (scheme, encoding) = match scheme.split_once('.') {
            Some((scheme, encoding)) => (scheme, Some(encoding)),
            None => (scheme, None),
        };
        let encoding = match encoding {
            None => None,
            Some(text) => Some(Encoding::from_name(text).ok_or_else(|| unknown(text))?),
        };
        by_scheme(scheme, encoding, data).map(Some)
    }

    /// Whether `password` is the right one. The time depends on the verifier, and on nothing else
    /// that a stranger could want to know.
    ///
    /// Blocks for as long as the scheme wants, which is long on purpose if
    /// [`is_slow`](Self::is_slow).
    ///
    /// # Errors
    /// [`OutOfMemory`]: try again later.
    pub fn verify(&self, password: &[u8]) -> Result<bool, OutOfMemory> {
        let right = match &self.0 {
            Kind::Clear(stored) => stored.expose_secret().ct_eq(password).into(),
            Kind::ShaCrypt(stored) => stored.verify(password),
            Kind::Bcrypt(stored) => stored.verify(password),
            Kind::Yescrypt(stored) => stored.verify(password),
            Kind::Argon(stored) => stored.verify(password)?,
            Kind::Pbkdf2(stored) => stored.verify(password),
            Kind::Salted(stored) => stored.verify(password),
            Kind::Scram(keys) => keys.verify_password(password),
        };
        // No program can have stored a password with a NUL as typed: C ends strings there, bcrypt
        // and HMAC pad with it. Whoever sends one is trying something.
        Ok(right && !password.is_empty() && !password.contains(&0))
    }

    /// Whether verifying is slow on purpose, and belongs on a thread of its own.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        !matches!(self.0, Kind::Clear(_) | Kind::Salted(_))
    }

    /// The password itself, if it is stored so: for APOP, and to derive SCRAM keys from.
    #[must_use]
    pub fn clear(&self) -> Option<&SecretSlice<u8>> {
        match &self.0 {
            Kind::Clear(password) => Some(password),
            _ => None,
        }
    }

    /// SCRAM's keys, if that is what is stored.
    #[must_use]
    pub fn scram_keys(&self) -> Option<&Keys> {
        match &self.0 {
            Kind::Scram(keys) => Some(keys),
            _ => None,
        }
    }
}

impl fmt::Debug for Verifier {
    /// Names the scheme, never what is stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match &self.0 {
            Kind::Clear(_) => "Clear",
            Kind::ShaCrypt(_) => "ShaCrypt",
            Kind::Bcrypt(_) => "Bcrypt",
            Kind::Yescrypt(_) => "Yescrypt",
            Kind::Argon(_) => "Argon",
            Kind::Pbkdf2(_) => "Pbkdf2",
            Kind::Salted(_) => "Salted",
            Kind::Scram(_) => "Scram",
        };
        write!(f, "Verifier({scheme}, [REDACTED])")
    }
}

/// How data are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    Base64,
    Hex,
}

impl Encoding {
    fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "b64" | "base64" => Some(Self::Base64),
            "hex" => Some(Self::Hex),
            _ => None,
        }
    }

    fn decode(self, data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Base64 => BASE64.decode(data).ok().map(Zeroizing::new),
            Self::Hex => decode_hex(data).map(Zeroizing::new),
        }
    }
}

/// `{SCHEME}` and what follows, or `None` if there is no brace at the start.
fn split_scheme(field: &[u8]) -> Result<Option<(&str, &[u8])>, SchemeError> {
    let Some(rest) = field.strip_prefix(b"{") else {
        return Ok(None);
    };
    let end = rest
        .iter()
        .position(|&octet| octet == b'}')
        .ok_or_else(|| unknown(""))?;
    let (scheme, data) = rest.split_at(end);
    let scheme = str::from_utf8(scheme).map_err(|_| unknown(""))?;
    Ok(Some((scheme, data.get(1..).unwrap_or_default())))
}

/// A field without scheme is a crypt(3) string. libpam-pwdfile's `text[NN]` is Dovecot's oldest
/// dialect: 13 says crypt, 34 and 56 name MD5 schemes, anything else says crypt.
fn unbraced(field: &[u8]) -> Result<&[u8], SchemeError> {
    if field.starts_with(b"$") || !field.ends_with(b"]") {
        return Ok(field);
    }
    let Some(open) = field.iter().rposition(|&octet| octet == b'[') else {
        return Ok(field);
    };
    let (text, number) = field.split_at(open);
    match number {
        b"[34]" => Err(SchemeError::Weak {
            scheme: "PLAIN-MD5",
        }),
        b"[56]" => Err(SchemeError::Weak {
            scheme: "DIGEST-MD5",
        }),
        _ => Ok(text),
    }
}

/// A crypt(3) string, by its prefix.
fn crypt(data: &[u8]) -> Result<Verifier, SchemeError> {
    const SCHEME: &str = "CRYPT";
    let prefix = |prefix: &str| data.starts_with(prefix.as_bytes());
    if prefix("$6$") || prefix("$5$") {
        return ShaCrypt::parse(SCHEME, data).map(|stored| Verifier(Kind::ShaCrypt(stored)));
    }
    if prefix("$2") {
        return Bcrypt::parse(SCHEME, data).map(|stored| Verifier(Kind::Bcrypt(stored)));
    }
    if prefix("$y$") {
        return Yescrypt::parse(SCHEME, data).map(|stored| Verifier(Kind::Yescrypt(stored)));
    }
    match data {
        _ if prefix("$1$") => Err(SchemeError::Weak {
            scheme: "MD5-CRYPT",
        }),
        _ if prefix("$gy$") => Err(SchemeError::Unsupported {
            scheme: "gost-yescrypt",
        }),
        _ if prefix("$7$") => Err(SchemeError::Unsupported { scheme: "scrypt" }),
        _ if is_des_crypt(data) => Err(SchemeError::Weak {
            scheme: "DES-CRYPT",
        }),
        _ => Err(SchemeError::Malformed { scheme: SCHEME }),
    }
}

fn is_des_crypt(data: &[u8]) -> bool {
    let legal = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/');
    data.len() == 13 && data.iter().all(legal)
}

fn by_scheme(
    scheme: &str,
    encoding: Option<Encoding>,
    data: &[u8],
) -> Result<Verifier, SchemeError> {
    let upper = scheme.to_ascii_uppercase();
    let salted = |hash, salt: Salt| digest_field(hash, salt, encoding, data);
    let kind = match upper.as_str() {
        "SHA" | "SHA1" => salted(Hash::Sha1, Salt::Absent)?,
        "SHA256" => salted(Hash::Sha256, Salt::Absent)?,
        "SHA512" => salted(Hash::Sha512, Salt::Absent)?,
        "SSHA" => salted(Hash::Sha1, Salt::Follows)?,
        "SSHA256" => salted(Hash::Sha256, Salt::Follows)?,
        "SSHA512" => salted(Hash::Sha512, Salt::Follows)?,
        "DES-CRYPT" => {
            return Err(SchemeError::Weak {
                scheme: "DES-CRYPT",
            });
        }
        "MD5" | "MD5-CRYPT" => {
            return Err(SchemeError::Weak {
                scheme: "MD5-CRYPT",
            });
        }
        "SMD5" => return Err(SchemeError::Weak { scheme: "SMD5" }),
        "LDAP-MD5" => return Err(SchemeError::Weak { scheme: "LDAP-MD5" }),
        "PLAIN-MD5" => {
            return Err(SchemeError::Weak {
                scheme: "PLAIN-MD5",
            });
        }
        "PLAIN-MD4" => {
            return Err(SchemeError::Weak {
                scheme: "PLAIN-MD4",
            });
        }
        "DIGEST-MD5" => {
            return Err(SchemeError::Weak {
                scheme: "DIGEST-MD5",
            });
        }
        "CRAM-MD5" | "HMAC-MD5" => return Err(SchemeError::Weak { scheme: "CRAM-MD5" }),
        "PLAIN-TRUNC" => {
            return Err(SchemeError::Unsupported {
                scheme: "PLAIN-TRUNC",
            });
        }
        "OTP" => return Err(SchemeError::Unsupported { scheme: "OTP" }),
        _ => return by_text_scheme(&upper, encoding, data),
    };
    Ok(Verifier(kind))
}

/// Schemes whose data are text, encoded only if the field says so.
fn by_text_scheme(
    scheme: &str,
    encoding: Option<Encoding>,
    data: &[u8],
) -> Result<Verifier, SchemeError> {
    let known = TEXT_SCHEMES.iter().find(|(name, _)| *name == scheme);
    let &(scheme, read) = known.ok_or_else(|| unknown(scheme))?;
    match encoding {
        None => read(scheme, data),
        Some(encoding) => {
            let decoded = encoding
                .decode(data)
                .ok_or(SchemeError::Malformed { scheme })?;
            read(scheme, &decoded)
        }
    }
}

type Read = fn(&'static str, &[u8]) -> Result<Verifier, SchemeError>;

const TEXT_SCHEMES: [(&str, Read); 13] = [
    ("PLAIN", clear),
    ("CLEAR", clear),
    ("CLEARTEXT", clear),
    ("CRYPT", |_, data| crypt(data)),
    ("SHA256-CRYPT", |scheme, data| {
        sha_crypt(scheme, "$5$", data)
    }),
    ("SHA512-CRYPT", |scheme, data| {
        sha_crypt(scheme, "$6$", data)
    }),
    ("BLF-CRYPT", |scheme, data| {
        Bcrypt::parse(scheme, data).map(|stored| Verifier(Kind::Bcrypt(stored)))
    }),
    ("ARGON2", argon),
    ("ARGON2I", argon),
    ("ARGON2ID", argon),
    ("PBKDF2", |scheme, data| {
        Pbkdf2::parse(scheme, data).map(|stored| Verifier(Kind::Pbkdf2(stored)))
    }),
    ("SCRAM-SHA-1", |scheme, data| {
        scram(scheme, ScramHash::Sha1, data)
    }),
    ("SCRAM-SHA-256", |scheme, data| {
        scram(scheme, ScramHash::Sha256, data)
    }),
];

fn clear(_scheme: &'static str, data: &[u8]) -> Result<Verifier, SchemeError> {
    // `{PLAIN}` without data matches nothing, because no empty password is ever right.
    Ok(Verifier(Kind::Clear(SecretSlice::from(data.to_vec()))))
}

fn sha_crypt(scheme: &'static str, prefix: &str, data: &[u8]) -> Result<Verifier, SchemeError> {
    if !data.starts_with(prefix.as_bytes()) {
        return Err(SchemeError::Malformed { scheme });
    }
    ShaCrypt::parse(scheme, data).map(|stored| Verifier(Kind::ShaCrypt(stored)))
}

fn argon(scheme: &'static str, data: &[u8]) -> Result<Verifier, SchemeError> {
    Argon::parse(scheme, data).map(|stored| Verifier(Kind::Argon(stored)))
}

fn scram(scheme: &'static str, hash: ScramHash, data: &[u8]) -> Result<Verifier, SchemeError> {
    let text = str::from_utf8(data).map_err(|_| SchemeError::Malformed { scheme })?;
    let keys = Keys::parse(hash, text).map_err(|error| match error {
        KeysError::Iterations { iterations } if iterations > 0 => SchemeError::TooCostly {
            scheme,
            what: "4096 to 10000000 iterations are accepted",
        },
        _ => SchemeError::Malformed { scheme },
    })?;
    Ok(Verifier(Kind::Scram(Box::new(keys))))
}

/// Whether a salt follows the hash.
#[derive(Clone, Copy)]
enum Salt {
    Absent,
    Follows,
}

/// A hash in base64 or hex. Without an explicit encoding, a hash of fixed length is hex if it is
/// twice as long as the hash, and base64 otherwise.
fn digest_field(
    hash: Hash,
    salt: Salt,
    encoding: Option<Encoding>,
    data: &[u8],
) -> Result<Kind, SchemeError> {
    let scheme = match salt {
        Salt::Absent => hash.scheme(),
        Salt::Follows => hash.salted_scheme(),
    };
    let malformed = || SchemeError::Malformed { scheme };
    let encoding = encoding.unwrap_or(match salt {
        Salt::Absent if data.len() == hash.octets() * 2 => Encoding::Hex,
        _ => Encoding::Base64,
    });
    let decoded = encoding.decode(data).ok_or_else(malformed)?;
    let (digest, rest) = decoded
        .split_at_checked(hash.octets())
        .ok_or_else(malformed)?;
    match salt {
        Salt::Absent if !rest.is_empty() => Err(malformed()),
        Salt::Follows if rest.is_empty() => Err(malformed()),
        _ => Ok(Kind::Salted(Salted::new(hash, digest, rest))),
    }
}

/// What was written may be a password that somebody forgot to put `{PLAIN}` before: only what
/// looks like a scheme's name is repeated.
fn unknown(scheme: &str) -> SchemeError {
    let like_a_name = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    let shown = if scheme.len() <= 32 && scheme.bytes().all(like_a_name) {
        scheme
    } else {
        ""
    };
    SchemeError::Unknown {
        scheme: shown.to_ascii_uppercase(),
    }
}

fn decode_hex(data: &[u8]) -> Option<Vec<u8>> {
    let digit = |octet: u8| {
        char::from(octet)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let (pairs, rest) = data.as_chunks::<2>();
    let octet = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    rest.is_empty().then(|| pairs.iter().map(octet).collect())?
}

#[cfg(test)]
mod tests;
