//! The certificate that is obtained by ACME: what the configuration says of it, and where it is
//! kept under `data`.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use restante_server::{
    Identity,
    acme::{self, AcmeSettings, ChallengeKind, ExternalAccount, LastFailure, Shelf},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::{
    configuration::{
        Acme, Configuration,
        problem::{Problem, Problems},
    },
    exit_code::ExitCode,
    failure::Failure,
    private_file,
};

const CA_FILE: &str = "tls.acme.ca_file";
const EAB_FILE: &str = "tls.acme.eab_hmac_key_file";

const READABLE: &str = "the file must exist and be readable to the user that starts the server";

/// Nothing that is kept is longer: what is, was put there by somebody else.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// The directory of all that ACME keeps.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The one of this configuration.
    pub(crate) fn of(configuration: &Configuration) -> Self {
        Self(configuration.data.join("acme"))
    }

    /// Where the certificate is, or will be, with its key.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }
}

impl Shelf for Folder {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match fs::metadata(&path) {
            Ok(facts) if facts.len() > FILE_OCTETS_MAX => {
                Err(io::Error::other("it is larger than 1 MiB"))
            }
            Ok(_) => fs::read(&path).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        if !self.0.is_dir() {
            private_file::ensure_directory(&self.0)?;
            if let Some(data) = self.0.parent() {
                File::open(data)?.sync_all()?;
            }
        }
        private_file::write(&self.0.join(name), contents)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Ok(()) => File::open(&self.0)?.sync_all(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Sees that the files can be used that `[tls.acme]` names. The authority is not asked: one that
/// is down is no reason not to start.
///
/// # Errors
/// What is wrong with them, at their lines of the configuration.
pub(crate) fn check(configuration: &Configuration) -> Result<(), Problems> {
    settings(configuration).map(drop)
}

/// How a certificate is obtained, if one is to be. Reads files that are perhaps root's alone.
///
/// # Errors
/// As [`check`].
pub(crate) fn settings(configuration: &Configuration) -> Result<Option<AcmeSettings>, Problems> {
    let read = |acme| {
        let roots = extra_roots(acme, configuration)?;
        Ok(with(acme, roots, external_account(acme, configuration)?))
    };
    configuration.tls.acme.as_ref().map(read).transpose()
}

/// As [`settings`], where others were in force: files that were read for those are not read again,
/// for a running server may perhaps read them no longer.
///
/// # Errors
/// As [`check`].
pub(crate) fn changed(
    configuration: &Configuration,
    old: &Acme,
    in_force: &AcmeSettings,
) -> Result<Option<AcmeSettings>, Problems> {
    let Some(acme) = &configuration.tls.acme else {
        return Ok(None);
    };
    let roots = match acme.ca_file == old.ca_file {
        true => in_force.extra_roots.clone(),
        false => extra_roots(acme, configuration)?,
    };
    let external = match acme.external_account == old.external_account {
        true => in_force.external_account.clone(),
        false => external_account(acme, configuration)?,
    };
    Ok(Some(with(acme, roots, external)))
}

fn with(
    acme: &Acme,
    extra_roots: Vec<CertificateDer<'static>>,
    external_account: Option<ExternalAccount>,
) -> AcmeSettings {
    AcmeSettings {
        directory: acme.directory.to_string(),
        domains: acme.domains.clone(),
        contact: acme.contact.clone(),
        challenge: acme.challenge,
        extra_roots,
        external_account,
    }
}

fn extra_roots(
    acme: &Acme,
    configuration: &Configuration,
) -> Result<Vec<CertificateDer<'static>>, Problems> {
    let roots = acme.ca_file.as_deref().map(read_roots).transpose();
    let roots = roots.map_err(|why| why.at(CA_FILE, configuration))?;
    Ok(roots.unwrap_or_default())
}

fn external_account(
    acme: &Acme,
    configuration: &Configuration,
) -> Result<Option<ExternalAccount>, Problems> {
    let read = |(id, file): &(String, PathBuf)| {
        let key = read_key(file).map_err(|why| why.at(EAB_FILE, configuration))?;
        let id = id.clone();
        Ok(ExternalAccount { id, key })
    };
    acme.external_account.as_ref().map(read).transpose()
}

/// The certificate that was obtained before, if one is to be and there is one.
///
/// # Errors
/// It cannot be read.
pub(crate) fn stored(configuration: &Configuration) -> Result<Option<Identity>, Failure> {
    if configuration.tls.acme.is_none() {
        return Ok(None);
    }
    let folder = Folder::of(configuration);
    acme::stored(&folder).map_err(|error| {
        let path = folder.certificate();
        Failure::new(ExitCode::Io, format!("cannot read `{}`", path.display())).caused_by(error)
    })
}

/// What the last attempt failed of, if it did.
pub(crate) fn last_failure(configuration: &Configuration) -> Option<LastFailure> {
    let settings = settings(configuration).ok()??;
    acme::last_failure(&Folder::of(configuration), &settings)
}

/// In words, for people.
pub(crate) fn describe(acme: &Acme, pop3_over_tls: bool) -> String {
    let listen = acme.listen.iter().map(ToString::to_string);
    let also = (pop3_over_tls && acme.challenge == ChallengeKind::TlsAlpn01)
        .then(|| "where POP3 over TLS is".to_owned());
    let places: Vec<String> = listen.chain(also).collect();
    format!(
        "for {}, from {}; {} is answered at {}",
        acme.domains.join(", "),
        acme.directory,
        acme.challenge,
        places.join(", ")
    )
}

/// What is wrong with a file, and what to do about it.
struct Why {
    text: String,
    hint: String,
}

impl Why {
    fn at(self, key: &'static str, configuration: &Configuration) -> Problems {
        let problem = Problem {
            hint: Some(self.hint),
            ..configuration.problem(key, self.text)
        };
        Problems::new(configuration.file.clone(), vec![problem])
    }
}

/// The key that ties accounts together, as authorities show it: base64url, whatever stands around.
fn read_key(path: &Path) -> Result<SecretSlice<u8>, Why> {
    let text = fs::read_to_string(path).map(SecretString::from);
    let text = text.map_err(|error| Why {
        text: format!("`{EAB_FILE}`: cannot read `{}`: {error}", path.display()),
        hint: READABLE.to_owned(),
    })?;
    // Padded or not: RFC 8555 §7.3.4 says that it is not, and some authorities do.
    let digits = text.expose_secret().trim().trim_end_matches('=');
    match URL_SAFE_NO_PAD.decode(digits) {
        Ok(key) if !key.is_empty() => Ok(key.into()),
        _ => Err(Why {
            text: format!("`{EAB_FILE}`: `{}` is not base64url", path.display()),
            hint: "the file holds the HMAC key as the authority shows it, and nothing else"
                .to_owned(),
        }),
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, Why> {
    let text = fs::read(path).map_err(|error| Why {
        text: format!("`{CA_FILE}`: cannot read `{}`: {error}", path.display()),
        hint: READABLE.to_owned(),
    })?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(Why {
            text: format!(
                "`{CA_FILE}`: `{}` holds no usable certificate",
                path.display()
            ),
            hint: "PEM form is needed: text that begins with `-----BEGIN CERTIFICATE-----`"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_of_the_authority_is_read_as_it_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hmac");
        for (text, key) in [
            (
                "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n",
                Some(48),
            ),
            ("AAECAwQ=\r\n", Some(5)),
            ("AAECAwQ", Some(5)),
            ("_-8", Some(2)),
            ("", None),
            ("\n", None),
            ("+/8", None),
            ("two words", None),
        ] {
            fs::write(&path, text).unwrap();
            let read = read_key(&path).map(|key| key.expose_secret().len());
            assert_eq!(read.as_ref().ok().copied(), key, "{text:?}");
            // PRJ-SEC-2
            let shown = read
                .err()
                .map_or_else(String::new, |why| why.text + &why.hint);
            assert!(
                text.trim().is_empty() || !shown.contains(text.trim()),
                "{shown}"
            );
        }
        assert!(read_key(&directory.path().join("none")).is_err());
    }

    #[test]
    fn what_is_kept_is_private_and_whole_and_may_be_missing() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder(data.path().join("acme"));
        assert!(folder.read("order.json").unwrap().is_none());
        folder.remove("order.json").unwrap();
        folder.write("order.json", b"{}").unwrap();
        folder.write("order.json", b"[]").unwrap();
        assert_eq!(folder.read("order.json").unwrap().unwrap(), b"[]");
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(data.path().join("acme")), 0o700);
        assert_eq!(mode(data.path().join("acme/order.json")), 0o600);
        folder.remove("order.json").unwrap();
        assert!(folder.read("order.json").unwrap().is_none());
        let large = vec![b' '; 1024 * 1024 + 1];
        fs::write(data.path().join("acme/certificate.pem"), large).unwrap();
        assert!(folder.read("certificate.pem").is_err());
    }
}
