//! A password as the database keeps it.

use std::io;

use restante_sasl::{
    prepare_stored,
    scram::{Keys, ScramHash, ScramParameters},
};
use rusqlite::params;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{BuiltinError, DEFAULT_CREDENTIAL, ScramShape, now};
use crate::accounts::schemes::hash_password;

/// SASL carries no longer ones.
const PASSWORD_OCTETS_MAX: usize = 1024;

/// A password as it is kept.
pub(super) struct Stored {
    password: SecretString,
    scram_sha_256: SecretString,
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

    pub(super) fn make(password: &SecretString) -> Result<Self, BuiltinError> {
        let password = password.expose_secret();
        let refused = |what| BuiltinError::Password { what };
        if password.is_empty() {
            return Err(refused("the password is empty"));
        }
        if password.len() > PASSWORD_OCTETS_MAX {
            return Err(refused("the password is longer than 1024 octets"));
        }
        // RFC 5802 §2.2: keys are made from a stored string. Argon2id takes the same one, so that
        // the password works everywhere or nowhere.
        let prepared = prepare_stored(password).map(Zeroizing::new).map_err(|_| {
            refused("the password holds a character that mail programs cannot send reliably")
        })?;
        let mut salts = [0; 32];
        getrandom::fill(&mut salts).map_err(|error| BuiltinError::Hash(error.into()))?;
        let (argon_salt, scram_salt) = salts.split_at(16);
        let argon_salt = argon_salt.try_into().expect("16 of 32 octets");
        let out_of_memory = |_| BuiltinError::Hash(io::ErrorKind::OutOfMemory.into());
        let hash = hash_password(prepared.as_bytes(), argon_salt).map_err(out_of_memory)?;
        let parameters = ScramParameters::new(scram_salt.to_vec(), ScramShape::OURS.iterations())
            .expect("our own shape is within the bounds");
        let keys = Keys::derive(ScramHash::Sha256, prepared.as_bytes(), &parameters);
        Ok(Self {
            password: hash,
            scram_sha_256: keys.format(),
        })
    }

    /// Writes it as the default credential, under a new revision.
    pub(super) fn put(
        &self,
        transaction: &rusqlite::Transaction<'_>,
        name: &str,
    ) -> rusqlite::Result<()> {
        let revision: i64 = transaction.query_row(
            "UPDATE revision SET last = last + 1 RETURNING last",
            [],
            |row| row.get(0),
        )?;
        transaction.execute(
            "INSERT OR REPLACE INTO credential
             (account, name, revision, changed, password, scram_sha_256)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                name,
                DEFAULT_CREDENTIAL,
                revision,
                now(),
                self.password.expose_secret(),
                self.scram_sha_256.expose_secret(),
            ],
        )?;
        Ok(())
    }
}
