//! How tokens are verified, from what the configuration names.

use std::{fs, io, path::Path};

use restante_server::accounts::oauth::{
    self, KeySet, KeySource, OauthSettings, OauthVerifier, Rules, SignatureAlgorithm,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::SecretString;

use crate::{
    configuration::{
        ClientSecret, Configuration, Oauth, TokenVerifier,
        problem::{Problem, Problems},
    },
    exit_code::ExitCode,
    failure::Failure,
};

const CLIENT_SECRET_FILE: &str = "accounts.oauth.client_secret_file";
const JWKS_FILE: &str = "accounts.oauth.jwks_file";
const CA_FILE: &str = "accounts.oauth.ca_file";

/// Sees that the files can be used that `[accounts.oauth]` names. Issuers are not asked: one that
/// is down is no reason not to start.
///
/// # Errors
/// What is wrong with them, at their lines of the configuration.
pub(crate) fn check(configuration: &Configuration) -> Result<(), Problems> {
    let Some(oauth) = &configuration.accounts.oauth else {
        return Ok(());
    };
    settings(configuration, oauth)
        .map(drop)
        .map_err(|problem| Problems::new(configuration.file.clone(), vec![problem]))
}

/// Sees that what is read again while serving can be read with the rights that the server keeps:
/// the file of keys. The rest has been read.
///
/// # Errors
/// That it cannot.
pub(crate) fn check_kept(configuration: &Configuration) -> Result<(), Problems> {
    let oauth = configuration.accounts.oauth.as_ref();
    let Some(TokenVerifier::Keys {
        source: KeySource::File(path),
        algorithms,
    }) = oauth.map(|oauth| &oauth.verifier)
    else {
        return Ok(());
    };
    read_keys(configuration, path, algorithms)
        .map_err(|problem| Problems::new(configuration.file.clone(), vec![problem]))
}

/// A file that is read at the start and at each reload, and that this process has no right to read.
pub(crate) fn out_of_reach(oauth: &Oauth) -> Option<(&Path, io::Error)> {
    let secret = match &oauth.verifier {
        TokenVerifier::Introspection {
            client: Some((_, ClientSecret::File(path))),
            ..
        } => Some(path),
        _ => None,
    };
    secret.into_iter().chain(&oauth.ca_file).find_map(|path| {
        let error = fs::File::open(path).err()?;
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        denied.then_some((path.as_path(), error))
    })
}

/// What verifies tokens, if they are accepted.
///
/// # Errors
/// As [`check`]; or TLS cannot be used.
pub(crate) fn open(configuration: &Configuration) -> Result<Option<oauth::Oauth>, Failure> {
    let Some(oauth) = &configuration.accounts.oauth else {
        return Ok(None);
    };
    let settings = settings(configuration, oauth)
        .map_err(|problem| Problems::new(configuration.file.clone(), vec![problem]))?;
    let opened = oauth::Oauth::new(settings).map_err(|error| {
        Failure::new(ExitCode::Unavailable, "tokens cannot be verified").caused_by(error)
    })?;
    Ok(Some(opened))
}

/// In words, for people.
pub(crate) fn describe(oauth: &Oauth) -> String {
    let by = match &oauth.verifier {
        TokenVerifier::Introspection { endpoint, .. } => format!("the issuer is asked: {endpoint}"),
        TokenVerifier::Keys { source, algorithms } => {
            let names: Vec<_> = algorithms
                .iter()
                .map(|algorithm| algorithm.name())
                .collect();
            let source = match source {
                KeySource::Url(endpoint) => endpoint.to_string(),
                KeySource::File(path) => path.display().to_string(),
            };
            format!("{} by the keys of {source}", names.join(", "))
        }
    };
    let audience = match oauth.audience[..] {
        [] => "any audience".to_owned(),
        _ => format!("for {}", oauth.audience.join(" or ")),
    };
    let scope = oauth.scope.as_ref();
    let scope = scope.map_or_else(String::new, |scope| format!(", with the scope {scope}"));
    let claim = oauth.claim.as_deref().unwrap_or("email, or else sub");
    format!("{by}; {audience}{scope}; the account is the token's {claim}")
}

fn settings(configuration: &Configuration, oauth: &Oauth) -> Result<OauthSettings, Problem> {
    let verifier = match &oauth.verifier {
        TokenVerifier::Introspection { endpoint, client } => {
            let client = client.as_ref().map(|(id, secret)| {
                let secret = read_secret(configuration, secret)?;
                Ok((id.clone(), secret))
            });
            OauthVerifier::Introspection {
                endpoint: endpoint.clone(),
                client: client.transpose()?,
            }
        }
        TokenVerifier::Keys { source, algorithms } => {
            if let KeySource::File(path) = source {
                read_keys(configuration, path, algorithms)?;
            }
            OauthVerifier::Keys {
                source: source.clone(),
                algorithms: algorithms.clone(),
            }
        }
    };
    let extra_roots = match &oauth.ca_file {
        Some(path) => read_roots(configuration, path)?,
        None => Vec::new(),
    };
    Ok(OauthSettings {
        verifier,
        rules: Rules {
            issuer: oauth.issuer.clone(),
            audience: oauth.audience.clone(),
            scope: oauth.scope.clone(),
            claim: oauth.claim.clone(),
        },
        extra_roots,
    })
}

fn read_keys(
    configuration: &Configuration,
    path: &Path,
    algorithms: &[SignatureAlgorithm],
) -> Result<(), Problem> {
    let keys =
        fs::read(path).map_err(|error| unreadable(configuration, JWKS_FILE, path, &error))?;
    let parsed = KeySet::parse(&keys, algorithms);
    parsed.map(drop).map_err(|error| {
        let text = format!("`{JWKS_FILE}`: `{}`: {error}", path.display());
        let hint = "it must be a JSON Web Key Set: `{\"keys\": […]}`";
        configuration.problem(JWKS_FILE, text).hint(hint)
    })
}

fn read_secret(
    configuration: &Configuration,
    secret: &ClientSecret,
) -> Result<SecretString, Problem> {
    let path = match secret {
        ClientSecret::Text(text) => return Ok(text.clone()),
        ClientSecret::File(path) => path,
    };
    let text = fs::read_to_string(path)
        .map_err(|error| unreadable(configuration, CLIENT_SECRET_FILE, path, &error))?;
    let text = SecretString::from(text);
    // Editors end every file with a line end.
    let line = secrecy::ExposeSecret::expose_secret(&text).trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(char::is_control) {
        let text = format!(
            "`{CLIENT_SECRET_FILE}`: `{}` is not one line",
            path.display()
        );
        let problem = configuration.problem(CLIENT_SECRET_FILE, text);
        return Err(problem.hint("the file holds the secret and nothing else"));
    }
    Ok(line.into())
}

fn read_roots(
    configuration: &Configuration,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let text = fs::read(path).map_err(|error| unreadable(configuration, CA_FILE, path, &error))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    roots.ok().filter(|roots| !roots.is_empty()).ok_or_else(|| {
        let text = format!("`{CA_FILE}`: `{}` holds no certificate", path.display());
        let hint = "PEM form is needed: text that begins with `-----BEGIN CERTIFICATE-----`";
        configuration.problem(CA_FILE, text).hint(hint)
    })
}

fn unreadable(configuration: &Configuration, key: &str, path: &Path, error: &io::Error) -> Problem {
    let text = format!("`{key}`: cannot read `{}`: {error}", path.display());
    configuration
        .problem(key, text)
        .hint("the file must exist and be readable to the user that runs the server")
}
