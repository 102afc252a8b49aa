//! The server's own secret: what gives unknown names a salt that looks like everybody's.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use secrecy::SecretBox;

use crate::private_file;

const OCTETS: usize = 32;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file cannot be read or written.
    #[error("cannot use `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// Somebody else has written the file: ours has 32 octets from the moment it exists.
    #[error("`{}` is not what was written there", path.display())]
    Damaged { path: PathBuf },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// Reads the secret under `data`, or makes it. It must stay the same for years: a salt that
/// changes with a restart would tell a made-up account from a real one.
///
/// # Errors
/// [`SecretError`].
pub(crate) fn ensure(data: &Path) -> Result<SecretBox<[u8; OCTETS]>, SecretError> {
    let path = data.join("secret");
    let failed = |cause| SecretError::File {
        path: path.clone(),
        cause,
    };
    match fs::read(&path) {
        Ok(octets) => match octets.try_into() {
            Ok(secret) => Ok(SecretBox::new(Box::new(secret))),
            Err(_) => Err(SecretError::Damaged { path }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut secret = Box::new([0; OCTETS]);
            getrandom::fill(&mut *secret).map_err(SecretError::Randomness)?;
            private_file::write(&path, &*secret).map_err(failed)?;
            Ok(SecretBox::new(secret))
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_secret_is_made_once() {
        let data = tempfile::tempdir().unwrap();
        let first = ensure(data.path()).unwrap();
        let second = ensure(data.path()).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert_ne!(first.expose_secret(), &[0; OCTETS]);
        let elsewhere = tempfile::tempdir().unwrap();
        let other = ensure(elsewhere.path()).unwrap();
        assert_ne!(first.expose_secret(), other.expose_secret());
    }

    #[test]
    fn a_secret_of_another_length_is_not_ours() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("secret"), "short").unwrap();
        assert!(matches!(
            ensure(data.path()),
            Err(SecretError::Damaged { .. })
        ));
    }
}
