//! `[accounts.oauth]`, and which mechanisms of `pop3.mechanisms` have what they need.

use restante_server::accounts::oauth::{Endpoint, KeySource, SignatureAlgorithm};
use toml::{Spanned, de::DeValue};

use super::path;
use crate::configuration::{
    AccountSource, Accounts, ClientSecret, Oauth, Pop3, Surroundings, Tls, TokenVerifier,
    document::Document,
    problem::Problem,
    value::{self, Wrong},
};

const INTROSPECTION_URL: &str = "accounts.oauth.introspection_url";
const CLIENT_ID: &str = "accounts.oauth.client_id";
const CLIENT_SECRET: &str = "accounts.oauth.client_secret";
const CLIENT_SECRET_FILE: &str = "accounts.oauth.client_secret_file";
const JWKS_URL: &str = "accounts.oauth.jwks_url";
const JWKS_FILE: &str = "accounts.oauth.jwks_file";
const ISSUER: &str = "accounts.oauth.issuer";
const AUDIENCE: &str = "accounts.oauth.audience";
const ALGORITHMS: &str = "accounts.oauth.algorithms";
const CLAIM: &str = "accounts.oauth.claim";
const SCOPE: &str = "accounts.oauth.scope";
const CA_FILE: &str = "accounts.oauth.ca_file";

const MECHANISMS: &str = "pop3.mechanisms";

/// What issuers use unless told otherwise. What is not here, or not in the file, is not accepted,
/// whatever a token says of itself.
const ALGORITHMS_DEFAULT: [SignatureAlgorithm; 3] = [
    SignatureAlgorithm::Rs256,
    SignatureAlgorithm::Es256,
    SignatureAlgorithm::EdDsa,
];

/// Reads `[accounts.oauth]`; `None` if the file does not have it, or if it makes no sense, which is
/// then among the problems.
pub(super) fn read(document: &mut Document<'_>, surroundings: &Surroundings) -> Option<Oauth> {
    let introspection = document.read(INTROSPECTION_URL, endpoint);
    let jwks_url = document.read(JWKS_URL, endpoint);
    let jwks_file = path(document, JWKS_FILE, surroundings);
    let client = client(document, surroundings);
    let algorithms = document.read(ALGORITHMS, algorithms);
    let oauth = Oauth {
        verifier: TokenVerifier::Keys {
            source: KeySource::File(jwks_file.clone().unwrap_or_default()),
            algorithms: algorithms.unwrap_or_else(|| ALGORITHMS_DEFAULT.to_vec()),
        },
        issuer: document.read(ISSUER, value::text),
        audience: document.read(AUDIENCE, audience).unwrap_or_default(),
        scope: document.read(SCOPE, word),
        claim: document.read(CLAIM, value::text),
        ca_file: path(document, CA_FILE, surroundings),
    };
    check_alone(document);
    let has = |document: &Document<'_>, key| document.has(key);
    if has(document, INTROSPECTION_URL) {
        check_unused(
            document,
            &[ALGORITHMS],
            "needs keys: `jwks_url` or `jwks_file`",
        );
        check_purpose(document);
        let endpoint = introspection?;
        let verifier = TokenVerifier::Introspection { endpoint, client };
        return Some(Oauth { verifier, ..oauth });
    }
    check_unused(
        document,
        &[CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_FILE],
        "is for `introspection_url`",
    );
    if has(document, JWKS_URL) || has(document, JWKS_FILE) {
        check_keys(document);
    } else {
        let rest = [ISSUER, AUDIENCE, ALGORITHMS, CLAIM, SCOPE, CA_FILE];
        check_unused(
            document,
            &rest,
            "needs somebody to verify tokens: `introspection_url`, `jwks_url` or `jwks_file`",
        );
    }
    if let Some(endpoint) = jwks_url {
        let TokenVerifier::Keys { algorithms, .. } = oauth.verifier else {
            return None;
        };
        let source = KeySource::Url(endpoint);
        let verifier = TokenVerifier::Keys { source, algorithms };
        return Some(Oauth { verifier, ..oauth });
    }
    jwks_file.map(|_| {
        check_unused(document, &[CA_FILE], "is for `https://`");
        oauth
    })
}

/// Sees that the mechanisms which were chosen can work, and that what they need is used.
pub(super) fn check_mechanisms(
    document: &mut Document<'_>,
    pop3: &Pop3,
    tls: &Tls,
    accounts: &Accounts,
) {
    let Some(mechanisms) = &pop3.mechanisms else {
        return;
    };
    let names = |name: &str| mechanisms.contains(&name);
    let lacks = |document: &mut Document<'_>, name: &str, hint: &str| {
        let problem = Problem::new(format!(
            "`{MECHANISMS}` has `\"{name}\"`, which cannot work"
        ));
        document.object(MECHANISMS, problem.hint(hint));
    };
    let wasted = |document: &mut Document<'_>, key: &'static str, hint: &str| {
        document.object(
            key,
            Problem::new(format!("`{key}` would not be used")).hint(hint),
        );
    };
    for name in ["OAUTHBEARER", "XOAUTH2"] {
        if names(name) && accounts.oauth.is_none() {
            lacks(
                document,
                name,
                "`[accounts.oauth]` says how tokens are verified",
            );
        }
    }
    if accounts.oauth.is_some() && !names("OAUTHBEARER") && !names("XOAUTH2") {
        let key = [INTROSPECTION_URL, JWKS_URL, JWKS_FILE];
        let key = key.into_iter().find(|key| document.has(key));
        let hint = "add `\"OAUTHBEARER\"` and `\"XOAUTH2\"` to `pop3.mechanisms`";
        wasted(document, key.unwrap_or(JWKS_FILE), hint);
    }
    if names("EXTERNAL") && tls.client_ca.is_none() {
        lacks(
            document,
            "EXTERNAL",
            "`tls.client_ca` says whose certificates count",
        );
    }
    if tls.client_ca.is_some() && !names("EXTERNAL") {
        let hint = "add `\"EXTERNAL\"` to `pop3.mechanisms`";
        wasted(document, "tls.client_ca", hint);
    }
    // R2195-CRAM-3
    if names("CRAM-MD5") && accounts.source == AccountSource::Builtin {
        let hint =
            "it needs readable passwords, which the built-in accounts do not keep: remove it";
        lacks(document, "CRAM-MD5", hint);
    }
}

fn client(
    document: &mut Document<'_>,
    surroundings: &Surroundings,
) -> Option<(String, ClientSecret)> {
    let id = document.read(CLIENT_ID, value::text);
    let text = document.read(CLIENT_SECRET, value::text);
    let file = path(document, CLIENT_SECRET_FILE, surroundings);
    let secret = match (text, file) {
        (Some(_), Some(_)) => {
            let problem = Problem::new(format!("`{CLIENT_SECRET_FILE}` would not be used"));
            document.object(
                CLIENT_SECRET_FILE,
                problem.hint("remove it or `client_secret`"),
            );
            return None;
        }
        (Some(text), None) => Some(ClientSecret::Text(text.into())),
        (None, Some(file)) => Some(ClientSecret::File(file)),
        (None, None) => None,
    };
    match (id, secret) {
        (Some(id), Some(secret)) => Some((id, secret)),
        (Some(_), None) => {
            let problem = Problem::new(format!("`{CLIENT_ID}` stands without its secret"));
            let hint = "add `client_secret_file = \"…\"` or `client_secret = \"…\"`";
            document.object(CLIENT_ID, problem.hint(hint));
            None
        }
        (None, Some(_)) => {
            let key = [CLIENT_SECRET, CLIENT_SECRET_FILE];
            let key = key.into_iter().find(|key| document.has(key))?;
            let problem = Problem::new(format!("`{key}` stands without `client_id`"));
            document.object(key, problem.hint("add `client_id = \"…\"`"));
            None
        }
        (None, None) => None,
    }
}

/// One of them verifies tokens, not two.
fn check_alone(document: &mut Document<'_>) {
    let all = [INTROSPECTION_URL, JWKS_URL, JWKS_FILE];
    let mut given = all.into_iter().filter(|key| document.has(key));
    let (first, second) = (given.next(), given.next());
    if let (Some(first), Some(second)) = (first, second) {
        let problem = Problem::new(format!("`{second}` stands beside `{first}`"));
        document.object(
            second,
            problem.hint("tokens are verified in one way: remove one of them"),
        );
    }
}

/// Without either, a token that was made for any other service would open mailboxes.
fn check_purpose(document: &mut Document<'_>) {
    if !document.has(AUDIENCE) && !document.has(SCOPE) {
        let problem = Problem::new(format!("`{INTROSPECTION_URL}` needs `audience` or `scope`"));
        let hint =
            "without one, a token for any other service of the issuer's would open mailboxes";
        document.object(INTROSPECTION_URL, problem.hint(hint));
    }
}

/// An issuer signs tokens for many: these must be of it and for us.
fn check_keys(document: &mut Document<'_>) {
    let key = match document.has(JWKS_URL) {
        true => JWKS_URL,
        false => JWKS_FILE,
    };
    for (needed, name, example) in [
        (ISSUER, "issuer", "https://id.example.com"),
        (AUDIENCE, "audience", "pop.example.com"),
    ] {
        if !document.has(needed) {
            let problem = Problem::new(format!("`{key}` needs `{name}`"));
            let hint = format!("add `{name} = \"{example}\"`, as it stands in the tokens");
            document.object(key, problem.hint(hint));
        }
    }
}

fn check_unused(document: &mut Document<'_>, keys: &[&'static str], why: &str) {
    for key in keys {
        if document.has(key) {
            let problem = Problem::new(format!("`{key}` would not be used"));
            document.object(key, problem.hint(format!("it {why}")));
        }
    }
}

fn endpoint(value: &Spanned<DeValue<'_>>) -> Result<Endpoint, Wrong> {
    let text = value::text(value)?;
    Endpoint::new(&text).map_err(|error| Wrong {
        span: value.span(),
        text: format!("is `{text}`: {error}"),
        hint: Some("write it like this: `\"https://id.example.com/…\"`".to_owned()),
    })
}

/// One audience or several.
fn audience(value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
    let Some(list) = value.get_ref().as_array() else {
        return Ok(vec![value::text(value)?]);
    };
    if list.is_empty() {
        return Err(Wrong {
            span: value.span(),
            text: "is empty".to_owned(),
            hint: Some("every token would be refused: name an audience".to_owned()),
        });
    }
    list.iter().map(value::text).collect()
}

/// One word of a scope.
fn word(value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    match text.contains(' ') {
        false => Ok(text),
        true => Err(Wrong {
            span: value.span(),
            text: format!("is `{text}`, which is more than one word"),
            hint: Some("name the one that a token must have".to_owned()),
        }),
    }
}

fn algorithms(value: &Spanned<DeValue<'_>>) -> Result<Vec<SignatureAlgorithm>, Wrong> {
    let names = SignatureAlgorithm::ALL.map(SignatureAlgorithm::name);
    let chosen = value::words(value, &names, &[])?;
    let all = SignatureAlgorithm::ALL.into_iter();
    let chosen: Vec<_> = all.filter(|known| chosen.contains(&known.name())).collect();
    match chosen.is_empty() {
        false => Ok(chosen),
        true => Err(Wrong {
            span: value.span(),
            text: "is empty".to_owned(),
            hint: Some("every token would be refused: name an algorithm".to_owned()),
        }),
    }
}
