//! Certificates: the self-signed one made under `data`, and what a certificate says of itself.
//!
//! The key is made once and kept; a certificate near its end is replaced by a new one for the
//! same key. So the only file that is ever replaced is one file, atomically, and the pair on disk
//! fits together at any moment, whatever fails.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{configuration::CertificateFiles, private_file};

/// Apple's programs refuse server certificates that are valid for longer than 825 days.
const VALID_DAYS: i64 = 820;

/// Certificates with less time left than this are replaced at the next start.
const RENEW_DAYS: i64 = 30;

/// Clocks of other machines may be behind ours.
const BACKDATED_DAYS: i64 = 1;

/// Why there is no certificate to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` holds no {what} in PEM form", path.display())]
    Contents { path: PathBuf, what: &'static str },
    /// Making one failed.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
}

/// What a certificate says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// Host names and addresses it is for.
    pub(crate) names: Vec<String>,
    /// The first moment it is valid.
    pub(crate) not_before: OffsetDateTime,
    /// The last moment it is valid.
    pub(crate) not_after: OffsetDateTime,
    /// SHA-256 of the certificate, as programs show it: `AB:CD:…`.
    pub(crate) fingerprint: String,
}

impl Facts {
    /// Whether it is valid at `now`.
    pub(crate) fn is_valid(&self, now: OffsetDateTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Whole days until it ends; negative once it has.
    pub(crate) fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.not_after - now).whole_days()
    }
}

/// Where the self-signed certificate and its key are, or will be.
pub(crate) fn self_signed_files(data: &Path) -> CertificateFiles {
    CertificateFiles {
        certificate: data.join("certificate.pem"),
        key: data.join("certificate-key.pem"),
    }
}

/// The names a self-signed certificate is for: those of this machine seen from itself, `host` if
/// it is known, and the addresses that are listened on.
pub(crate) fn names(host: Option<&str>, listen: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
    let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses = own.into_iter().chain(listen);
    let mut names = vec!["localhost".to_owned()];
    // A host name that is no DNS name cannot be in a certificate, and nobody will ask for it.
    let is_dns_name = |host: &&str| {
        let label = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        !host.is_empty() && host.len() <= 253 && host.chars().all(label)
    };
    names.extend(host.filter(is_dns_name).map(str::to_lowercase));
    for address in addresses.filter(|address| !address.is_unspecified()) {
        names.push(address.to_canonical().to_string());
    }
    names.sort();
    names.dedup();
    names
}

/// Makes the self-signed certificate under `data`, or a new one for the same key if it is missing,
/// unreadable, near its end or not for all names that are `needed`. A new one is for `names`.
/// `data` must exist.
///
/// # Errors
/// What could not be read, made or written.
pub(crate) fn ensure_self_signed(
    data: &Path,
    names: &[String],
    needed: &[String],
    now: OffsetDateTime,
) -> Result<CertificateFiles, CertificateError> {
    let files = self_signed_files(data);
    let key = match fs::read_to_string(&files.key) {
        Ok(pem) => Some(
            KeyPair::from_pem(&pem).map_err(|_| CertificateError::Contents {
                path: files.key.clone(),
                what: "private key",
            })?,
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => {
            let path = files.key.clone();
            return Err(CertificateError::Read { path, cause });
        }
    };
    if key.is_some()
        && let Ok(facts) = facts(&files.certificate)
        && facts.is_valid(now)
        && facts.days_left(now) >= RENEW_DAYS
        && needed.iter().all(|name| facts.names.contains(name))
    {
        return Ok(files);
    }
    let key = match key {
        Some(key) => key,
        None => {
            let key = KeyPair::generate()?;
            write(&files.key, key.serialize_pem().as_bytes())?;
            key
        }
    };
    let certificate = self_sign(&key, names, now)?;
    write(&files.certificate, certificate.as_bytes())?;
    Ok(files)
}

/// Reads what the first certificate of a PEM file says of itself.
///
/// # Errors
/// [`CertificateError::Read`] or [`CertificateError::Contents`].
pub(crate) fn facts(path: &Path) -> Result<Facts, CertificateError> {
    let pem = fs::read(path).map_err(|cause| CertificateError::Read {
        path: path.to_owned(),
        cause,
    })?;
    let contents = || CertificateError::Contents {
        path: path.to_owned(),
        what: "certificate",
    };
    let der = CertificateDer::from_pem_slice(&pem).map_err(|_| contents())?;
    parse(&der).ok_or_else(contents)
}

fn parse(der: &[u8]) -> Option<Facts> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let moment = |time: x509_parser::time::ASN1Time| {
        OffsetDateTime::from_unix_timestamp(time.timestamp()).ok()
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.map_or_else(Vec::new, |extension| {
        let names = &extension.value.general_names;
        names.iter().filter_map(name).collect()
    });
    let digest = Sha256::digest(der);
    let hex: Vec<String> = digest.iter().map(|octet| format!("{octet:02X}")).collect();
    Some(Facts {
        names,
        not_before: moment(validity.not_before)?,
        not_after: moment(validity.not_after)?,
        fingerprint: hex.join(":"),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .ok()
            .map(|address| address.to_string()),
        _ => None,
    }
}

fn self_sign(
    key: &KeyPair,
    names: &[String],
    now: OffsetDateTime,
) -> Result<String, CertificateError> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.not_before = now - Duration::days(BACKDATED_DAYS);
    parameters.not_after = now + Duration::days(VALID_DAYS);
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "Restante");
    // Not a CA: whoever trusts it trusts this server and nothing else.
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters.self_signed(key)?.pem())
}

fn write(path: &Path, contents: &[u8]) -> Result<(), CertificateError> {
    private_file::write(path, contents).map_err(|cause| CertificateError::Write {
        path: path.to_owned(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn day(number: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap() + Duration::days(number)
    }

    fn some_names() -> Vec<String> {
        names(Some("Box.example.org"), ["0.0.0.0".parse().unwrap()])
    }

    #[test]
    fn a_self_signed_certificate_is_made_once_and_fits_its_key() {
        let data = tempfile::tempdir().unwrap();
        let files = ensure_self_signed(data.path(), &some_names(), &some_names(), day(0)).unwrap();
        restante_server::Identity::from_files(&files.certificate, &files.key).unwrap();
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = facts(&files.certificate).unwrap();
        let mut found = first.names.clone();
        found.sort();
        assert_eq!(found, ["127.0.0.1", "::1", "box.example.org", "localhost"]);
        assert!(first.is_valid(day(0)) && first.days_left(day(0)) <= 825);
        ensure_self_signed(data.path(), &some_names(), &some_names(), day(700)).unwrap();
        assert_eq!(
            facts(&files.certificate).unwrap(),
            first,
            "no new one without need"
        );
    }

    #[test]
    fn a_certificate_near_its_end_is_renewed_under_the_same_key() {
        let data = tempfile::tempdir().unwrap();
        let files = ensure_self_signed(data.path(), &some_names(), &some_names(), day(0)).unwrap();
        let key = fs::read(&files.key).unwrap();
        let first = facts(&files.certificate).unwrap();
        ensure_self_signed(
            data.path(),
            &some_names(),
            &some_names(),
            day(VALID_DAYS - RENEW_DAYS + 1),
        )
        .unwrap();
        let second = facts(&files.certificate).unwrap();
        assert!(second.not_after > first.not_after);
        assert_eq!(fs::read(&files.key).unwrap(), key);
        restante_server::Identity::from_files(&files.certificate, &files.key).unwrap();
    }

    #[test]
    fn a_missing_damaged_or_unfitting_certificate_is_replaced() {
        let data = tempfile::tempdir().unwrap();
        let files = ensure_self_signed(data.path(), &some_names(), &some_names(), day(0)).unwrap();
        fs::write(&files.certificate, "half of a certif").unwrap();
        ensure_self_signed(data.path(), &some_names(), &some_names(), day(0)).unwrap();
        let mended = facts(&files.certificate).unwrap();
        let more = names(None, ["192.0.2.1".parse().unwrap()]);
        ensure_self_signed(data.path(), &more, &more, day(0)).unwrap();
        let fitting = facts(&files.certificate).unwrap();
        assert_ne!(mended, fitting);
        assert!(fitting.names.contains(&"192.0.2.1".to_owned()));
        fs::remove_file(&files.certificate).unwrap();
        ensure_self_signed(data.path(), &more, &more, day(0)).unwrap();
        restante_server::Identity::from_files(&files.certificate, &files.key).unwrap();
    }

    #[test]
    fn a_damaged_key_is_reported_and_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        let files = ensure_self_signed(data.path(), &some_names(), &some_names(), day(0)).unwrap();
        fs::write(&files.key, "my only key").unwrap();
        let error =
            ensure_self_signed(data.path(), &some_names(), &some_names(), day(0)).unwrap_err();
        assert!(
            matches!(error, CertificateError::Contents { .. }),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&files.key).unwrap(), "my only key");
    }
}
