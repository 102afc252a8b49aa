//! The certificates that the server shows, from the files that the configuration names.

use std::path::Path;

use restante_server::{ClientAuthorities, Identities, Identity, TlsError};

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

const CLIENT_CA: &str = "tls.client_ca";

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
    if let Some(file) = &tls.client_ca
        && let Err(error) = ClientAuthorities::from_file(file)
    {
        problems.push(explain_authorities(configuration, file, &error));
    }
    if problems.is_empty() {
        problems.extend(hidden_by_names(configuration));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Problems::new(configuration.file.clone(), problems)),
    }
}

/// The names of `[tls.acme]` that a certificate of `[[tls.name]]` has too: nobody who asks for one
/// would ever see the certificate that is obtained for it.
fn hidden_by_names(configuration: &Configuration) -> Vec<Problem> {
    let mut problems = Vec::new();
    let tls = &configuration.tls;
    for files in &tls.named {
        let Ok(named) = Identity::from_files(&files.certificate, &files.key) else {
            continue;
        };
        let acme = tls.acme.iter();
        for domain in acme.flat_map(|acme| &acme.domains) {
            if named.holds(domain) {
                let certificate = files.certificate.display();
                let text = format!(
                    "`tls.acme.domains` has `{domain}`, which `{certificate}` of `tls.name` is for"
                );
                let problem = configuration.problem("tls.acme.domains", text);
                let hint = "it would be shown in place of the one that is obtained: remove the \
                            name, or the certificate";
                problems.push(problem.hint(hint));
            }
        }
    }
    problems
}

/// The certificates that the configuration names, read.
pub(crate) struct Named {
    default: Option<Identity>,
    named: Vec<Identity>,
    clients: Option<ClientAuthorities>,
}

/// Reads the certificates that the configuration names. At a start this comes before the rights of
/// whoever started the server are given up: keys are often root's alone.
///
/// # Errors
/// As [`check`].
pub(crate) fn read(configuration: &Configuration) -> Result<Named, Problems> {
    let tls = &configuration.tls;
    let named = tls
        .named
        .iter()
        .map(|files| one(configuration, &NAMED, files));
    Ok(Named {
        default: tls
            .certificate
            .as_ref()
            .map(|files| one(configuration, &DEFAULT, files))
            .transpose()?,
        named: named.collect::<Result<_, _>>()?,
        clients: tls
            .client_ca
            .as_ref()
            .map(|file| read_authorities(configuration, file))
            .transpose()?,
    })
}

impl Named {
    /// All certificates; the default one is read from `self_signed` if none is configured.
    ///
    /// # Errors
    /// As [`check`].
    pub(crate) fn complete(
        self,
        configuration: &Configuration,
        self_signed: &CertificateFiles,
    ) -> Result<Identities, Problems> {
        let default = match self.default {
            Some(default) => default,
            None => one(configuration, &DEFAULT, self_signed)?,
        };
        Ok(Identities {
            default,
            named: self.named,
            strict_sni: configuration.tls.strict_sni,
            clients: self.clients,
        })
    }
}

fn one(
    configuration: &Configuration,
    keys: &Keys,
    files: &CertificateFiles,
) -> Result<Identity, Problems> {
    Identity::from_files(&files.certificate, &files.key).map_err(|error| {
        let problem = explain(configuration, keys, files, &error);
        Problems::new(configuration.file.clone(), vec![problem])
    })
}

fn read_authorities(
    configuration: &Configuration,
    file: &Path,
) -> Result<ClientAuthorities, Problems> {
    ClientAuthorities::from_file(file).map_err(|error| {
        let problem = explain_authorities(configuration, file, &error);
        Problems::new(configuration.file.clone(), vec![problem])
    })
}

fn explain_authorities(configuration: &Configuration, file: &Path, error: &TlsError) -> Problem {
    match error {
        TlsError::Unreadable { path, cause } => configuration
            .problem(
                CLIENT_CA,
                format!("`{CLIENT_CA}`: cannot read `{}`: {cause}", path.display()),
            )
            .hint("the file must exist and be readable to the user that runs the server"),
        _ => configuration
            .problem(
                CLIENT_CA,
                format!(
                    "`{CLIENT_CA}`: `{}` holds no authority that can be used",
                    file.display()
                ),
            )
            .hint("PEM form is needed: text that begins with `-----BEGIN CERTIFICATE-----`"),
    }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::configuration::Surroundings;

    #[test]
    fn a_named_certificate_that_would_hide_an_obtained_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let names = vec!["*.example.com".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let write = |name: &str, text: String| fs::write(directory.path().join(name), text);
        write("c.pem", made.cert.pem()).unwrap();
        write("k.pem", made.signing_key.serialize_pem()).unwrap();
        let surroundings = Surroundings {
            home: None,
            data_home: None,
            directory: directory.path().to_owned(),
        };
        let check_for = |domain: &str| {
            let text = format!(
                "data = \"/d\"\n[tls.acme]\ndomains = [\"{domain}\"]\nterms_of_service_agreed = true\n\
                 [[tls.name]]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n"
            );
            check(&Configuration::from_text(&text, None, &surroundings).unwrap())
        };
        check_for("pop.example.org").unwrap();
        let said = check_for("pop.example.com").unwrap_err().to_string();
        assert!(
            said.contains(":3:11: error: `tls.acme.domains` has `pop.example.com`"),
            "{said}"
        );
        assert!(said.contains("c.pem` of `tls.name` is for"), "{said}");
    }
}
