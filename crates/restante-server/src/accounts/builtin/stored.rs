//! A password as the database keeps it.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use restante_sasl::{
    prepare_stored,
    scram::{Keys, ScramHash, ScramParameters},
};
use rusqlite::{Transaction, params};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{BuiltinError, ScramShape, now};
use crate::accounts::schemes::{Verifier, hash_password};

/// SASL carries no longer ones.
const PASSWORD_OCTETS_MAX: usize = 1024;
/// Before the digest of a generated password.
const GENERATED: &str = "{SSHA256}";

/// A password as it is kept.
pub(super) struct Stored {
    password: SecretString,
    scram_sha_256: SecretString,
}

/// Who has made a password up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// A person: it can be guessed, unless guessing is slow.
    Chosen,
    /// A machine, with at least 100 random bits: nobody guesses it, however fast.
    Generated,
}

impl Stored {
    /// Both texts, as they stand in the table.
    #[cfg(test)]
    pub(super) fn as_text(&self) -> (&str, &str) {
        (
            self.password.expose_secret(),
            self.scram_sha_256.expose_secret(),
        )
    }

    /// Slow: it hashes. The keys for SCRAM get the salt and the iterations of `parameters`, which
    /// are those of the account's other credentials, or new ones.
    pub(super) fn make(
        password: &SecretString,
        origin: Origin,
        parameters: Option<ScramParameters>,
    ) -> Result<Self, BuiltinError> {
        let password = password.expose_secret();
        let refused = |what| BuiltinError::Password { what };
        if password.is_empty() {
            return Err(refused("the password is empty"));
        }
        if password.len() > PASSWORD_OCTETS_MAX {
            return Err(refused("the password is longer than 1024 octets"));
        }
        // RFC 5802 §2.2: keys are made from a stored string. The other hash takes the same one, so
        // that the password works everywhere or nowhere.
        let prepared = prepare_stored(password).map(Zeroizing::new).map_err(|_| {
            refused("the password holds a character that mail programs cannot send reliably")
        })?;
        let mut salts = [0; 32];
        getrandom::fill(&mut salts).map_err(|error| BuiltinError::Hash(error.into()))?;
        let (salt, scram_salt) = salts.split_at(16);
        let salt: [u8; 16] = salt.try_into().expect("16 of 32 octets");
        let hash = match origin {
            Origin::Chosen => hash_password(prepared.as_bytes(), salt)
                .map_err(|_| BuiltinError::Hash(io::ErrorKind::OutOfMemory.into()))?,
            Origin::Generated => digest(prepared.as_bytes(), &salt),
        };
        let parameters = parameters.unwrap_or_else(|| {
            ScramParameters::new(scram_salt.to_vec(), ScramShape::OURS.iterations())
                .expect("our own shape is within the bounds")
        });
        let keys = Keys::derive(ScramHash::Sha256, prepared.as_bytes(), &parameters);
        Ok(Self {
            password: hash,
            scram_sha_256: keys.format(),
        })
    }

    /// Writes it as a credential of `account`, under a new revision.
    pub(super) fn put(
        &self,
        transaction: &Transaction<'_>,
        account: &str,
        credential: &str,
    ) -> rusqlite::Result<()> {
        let revision: i64 = transaction.query_row(
            "UPDATE revision SET last = last + 1 RETURNING last",
            [],
            |row| row.get(0),
        )?;
        // Replacing the row would remove what belongs to it.
        transaction.execute(
            "INSERT INTO credential (account, name, revision, changed, password, scram_sha_256)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET revision = ?3, changed = ?4, password = ?5,
                                       scram_sha_256 = ?6",
            params![
                account,
                credential,
                revision,
                now(),
                self.password.expose_secret(),
                self.scram_sha_256.expose_secret(),
            ],
        )?;
        Ok(())
    }
}

/// Reads what [`Stored::put`] has written into the column of passwords; `None` if it is damaged.
pub(super) fn read_verifier(password: &str) -> Option<Verifier> {
    let field = match password.starts_with(GENERATED) {
        true => Zeroizing::new(password.to_owned()),
        false => Zeroizing::new(format!("{{ARGON2ID}}{password}")),
    };
    Verifier::parse(field.as_bytes()).ok().flatten()
}

/// The salt and the iterations that the credentials of `account` share, but for `except`, which is
/// about to be made.
///
/// A client gets one salt, before anybody knows which of the passwords it has.
pub(super) fn shared_parameters(
    connection: &rusqlite::Connection,
    account: &str,
    except: &str,
) -> rusqlite::Result<Option<ScramParameters>> {
    let mut statement = connection.prepare_cached(
        "SELECT scram_sha_256 FROM credential WHERE account = ?1 AND name <> ?2 ORDER BY name",
    )?;
    let mut rows = statement.query([account, except])?;
    while let Some(row) = rows.next()? {
        let keys = Zeroizing::new(row.get::<_, String>(0)?);
        if let Ok(keys) = Keys::parse(ScramHash::Sha256, &keys) {
            return Ok(Some(keys.parameters().clone()));
        }
    }
    Ok(None)
}

/// SHA-256 of password and salt, and the salt, as Dovecot writes it.
fn digest(password: &[u8], salt: &[u8]) -> SecretString {
    let digest = Sha256::new()
        .chain_update(password)
        .chain_update(salt)
        .finalize();
    let octets = [&digest[..], salt].concat();
    format!("{GENERATED}{}", STANDARD.encode(octets)).into()
}
