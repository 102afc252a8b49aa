//! The certificates that the server shows, from the files that the configuration names.

use restante_server::{Identities, Identity, TlsError};

use crate::configuration::{
    CertificateFiles, Configuration,
    problem::{Problem, Problems},
};

/// The keys that name a certificate, for messages that point at them.
struct Keys {
    certificate: &'static str,
    key: &'static str,
}

const DEFAULT: Keys = Keys {
    certificate: "tls.certificate",
    key: "tls.key",
};

const NAMED: Keys = Keys {
    certificate: "tls.name",
    key: "tls.name",
};

/// Sees that the configured certificates can be used; the self-signed one need not exist yet.
///
/// # Errors
/// What is wrong with them, at their lines of the configuration.
pub(crate) fn check(configuration: &Configuration) -> Result<(), Problems> {
    let mut problems = Vec::new();
    let tls = &configuration.tls;
    let default = tls.certificate.iter().map(|files| (&DEFAULT, files));
    let named = tls.named.iter().map(|files| (&NAMED, files));
    for (keys, files) in default.chain(named) {
        if let Err(error) = Identity::from_files(&files.certificate, &files.key) {
            problems.push(explain(configuration, keys, files, &error));
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Problems::new(configuration.file.clone(), problems)),
    }
}

/// Reads all certificates; `default` is the one for programs that ask for no name.
///
/// # Errors
/// As [`check`].
pub(crate) fn load(
    configuration: &Configuration,
    default: &CertificateFiles,
) -> Result<Identities, Problems> {
    let read = |keys: &Keys, files: &CertificateFiles| {
        Identity::from_files(&files.certificate, &files.key).map_err(|error| {
            let problem = explain(configuration, keys, files, &error);
            Problems::new(configuration.file.clone(), vec![problem])
        })
    };
    let tls = &configuration.tls;
    Ok(Identities {
        default: read(&DEFAULT, default)?,
        named: tls
            .named
            .iter()
            .map(|files| read(&NAMED, files))
            .collect::<Result<_, _>>()?,
        strict_sni: tls.strict_sni,
    })
}

fn explain(
    configuration: &Configuration,
    keys: &Keys,
    files: &CertificateFiles,
    error: &TlsError,
) -> Problem {
    let Keys { certificate, key } = *keys;
    let (certificate_file, key_file) = (files.certificate.display(), files.key.display());
    match error {
        TlsError::Unreadable { path, cause } => {
            let name = if *path == files.key { key } else { certificate };
            let text = format!("`{name}`: cannot read `{}`: {cause}", path.display());
            configuration
                .problem(name, text)
                .hint("the file must exist and be readable to the user that runs the server")
        }
        TlsError::Certificate(_) => configuration
            .problem(
                certificate,
                format!("`{certificate}`: `{certificate_file}` holds no usable certificate"),
            )
            .hint("PEM form is needed: text that begins with `-----BEGIN CERTIFICATE-----`"),
        TlsError::Key(_) => configuration
            .problem(
                key,
                format!("`{key}`: `{key_file}` holds no usable private key"),
            )
            .hint("PEM form without a passphrase is needed: `-----BEGIN PRIVATE KEY-----`"),
        TlsError::Pair(cause) => configuration
            .problem(
                key,
                format!("`{key}`: the key is not the one of `{certificate_file}`: {cause}"),
            )
            .hint("the server's own certificate must stand first in its file"),
        other => configuration
            .problem(certificate, format!("`{certificate}`: {other}"))
            .hint("`restante config check` tries it again without starting anything"),
    }
}
