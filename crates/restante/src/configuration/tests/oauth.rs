//! `[accounts.oauth]`, and mechanisms that need something.

use secrecy::ExposeSecret as _;

use super::*;

const KEYS: &str = "[accounts.oauth]\njwks_url = \"https://id.example.com/keys\"\n\
                    issuer = \"https://id.example.com\"\naudience = \"pop\"\n";

const BAD: &[(&str, &str)] = &[
    (
        "[accounts.oauth]\njwks_url = \"http://id.example.com/keys\"\nissuer = \"i\"\naudience = \"a\"\n",
        "r.toml:2:12: error: `accounts.oauth.jwks_url` is `http://id.example.com/keys`: it is neither `https://` nor on this machine\n  hint: write it like this: `\"https://id.example.com/…\"`",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://a:b@id.example.com/\"\nscope = \"pop\"\n",
        "r.toml:2:21: error: `accounts.oauth.introspection_url` is `https://a:b@id.example.com/`: it has a user name in it\n  hint: write it like this: `\"https://id.example.com/…\"`",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://id.example.com/\"\n",
        "r.toml:2:21: error: `accounts.oauth.introspection_url` needs `audience` or `scope`\n  hint: without one, a token for any other service of the issuer's would open mailboxes",
    ),
    (
        "[accounts.oauth]\njwks_file = \"keys.json\"\n",
        "r.toml:2:13: error: `accounts.oauth.jwks_file` needs `issuer`\n  hint: add `issuer = \"https://id.example.com\"`, as it stands in the tokens\n\
         r.toml:2:13: error: `accounts.oauth.jwks_file` needs `audience`\n  hint: add `audience = \"pop.example.com\"`, as it stands in the tokens",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"pop\"\njwks_file = \"k\"\n",
        "r.toml:4:13: error: `accounts.oauth.jwks_file` stands beside `accounts.oauth.introspection_url`\n  hint: tokens are verified in one way: remove one of them",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"pop\"\nclient_id = \"restante\"\n",
        "r.toml:4:13: error: `accounts.oauth.client_id` stands without its secret\n  hint: add `client_secret_file = \"…\"` or `client_secret = \"…\"`",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"pop\"\nclient_secret = \"x\"\n",
        "r.toml:4:17: error: `accounts.oauth.client_secret` stands without `client_id`\n  hint: add `client_id = \"…\"`",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"pop\"\nclient_id = \"r\"\nclient_secret = \"x\"\nclient_secret_file = \"f\"\n",
        "r.toml:6:22: error: `accounts.oauth.client_secret_file` would not be used\n  hint: remove it or `client_secret`",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"openid pop\"\n",
        "r.toml:3:9: error: `accounts.oauth.scope` is `openid pop`, which is more than one word\n  hint: name the one that a token must have",
    ),
    (
        "[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"pop\"\nalgorithms = [\"RS256\"]\n",
        "r.toml:4:14: error: `accounts.oauth.algorithms` would not be used\n  hint: it needs keys: `jwks_url` or `jwks_file`",
    ),
    (
        "[accounts.oauth]\naudience = \"pop\"\n",
        "r.toml:2:12: error: `accounts.oauth.audience` would not be used\n  hint: it needs somebody to verify tokens: `introspection_url`, `jwks_url` or `jwks_file`",
    ),
    (
        "[accounts.oauth]\nclient = \"x\"\n",
        "r.toml:2:1: error: unknown key `accounts.oauth.client`\n  hint: did you mean `accounts.oauth.client_id`?",
    ),
    (
        "[pop3]\nmechanisms = [\"PLAIN\", \"XOAUTH2\"]\n",
        "r.toml:2:14: error: `pop3.mechanisms` has `\"XOAUTH2\"`, which cannot work\n  hint: `[accounts.oauth]` says how tokens are verified",
    ),
    (
        "[pop3]\nmechanisms = [\"EXTERNAL\"]\n",
        "r.toml:2:14: error: `pop3.mechanisms` has `\"EXTERNAL\"`, which cannot work\n  hint: `tls.client_ca` says whose certificates count",
    ),
    (
        "[pop3]\nmechanisms = [\"CRAM-MD5\"]\n",
        "r.toml:2:14: error: `pop3.mechanisms` has `\"CRAM-MD5\"`, which cannot work\n  hint: it needs readable passwords, which the built-in accounts do not keep: remove it",
    ),
    (
        "[pop3]\nmechanisms = [\"PLAIN\"]\n[tls]\nclient_ca = \"ca.pem\"\n",
        "r.toml:4:13: error: `tls.client_ca` would not be used\n  hint: add `\"EXTERNAL\"` to `pop3.mechanisms`",
    ),
    (
        "[pop3]\nmechanisms = [\"PLAIN\"]\n[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"pop\"\n",
        "r.toml:4:21: error: `accounts.oauth.introspection_url` would not be used\n  hint: add `\"OAUTHBEARER\"` and `\"XOAUTH2\"` to `pop3.mechanisms`",
    ),
];

#[test]
fn bad_settings_for_tokens_are_refused_with_line_key_and_remedy() {
    for (text, expected) in BAD {
        assert_eq!(&complaint(text), expected, "for the file:\n{text}");
    }
}

/// Whatever a token may say, what verifies it has a private key.
#[test]
fn r7628_oab_5_no_algorithm_without_a_private_key_can_be_configured() {
    for name in ["none", "HS256", "HS384", "HS512", "RS1", ""] {
        let text = format!("{KEYS}algorithms = [\"{name}\"]\n");
        let complaint = complaint(&text);
        let expected = format!("r.toml:5:15: error: `accounts.oauth.algorithms` is `\"{name}\"`");
        assert!(complaint.starts_with(&expected), "{complaint}");
    }
    let complaint = complaint(&format!("{KEYS}algorithms = []\n"));
    assert!(complaint.contains("is empty"), "{complaint}");
}

#[test]
fn settings_for_tokens_have_sensible_defaults() {
    let oauth = read(KEYS).unwrap().accounts.oauth.unwrap();
    assert_eq!(oauth.issuer.as_deref(), Some("https://id.example.com"));
    assert_eq!(oauth.audience, ["pop"]);
    assert_eq!(
        (oauth.scope, oauth.claim, oauth.ca_file),
        (None, None, None)
    );
    match oauth.verifier {
        TokenVerifier::Keys {
            source: KeySource::Url(endpoint),
            algorithms,
        } => {
            assert_eq!(endpoint.to_string(), "https://id.example.com/keys");
            let names: Vec<_> = algorithms
                .iter()
                .map(|algorithm| algorithm.name())
                .collect();
            assert_eq!(names, ["RS256", "ES256", "EdDSA"]);
        }
        other => panic!("{other:?}"),
    }
    assert!(read("").unwrap().accounts.oauth.is_none());
}

#[test]
fn settings_for_tokens_mean_what_they_say() {
    let text = "[pop3]\nmechanisms = [\"OAUTHBEARER\", \"EXTERNAL\"]\n[tls]\nclient_ca = \"ca.pem\"\n\
                [accounts.oauth]\nintrospection_url = \"http://127.0.0.1:8080/i\"\n\
                client_id = \"restante\"\nclient_secret = \"s3cret\"\naudience = [\"a\", \"b\"]\n\
                scope = \"pop\"\nclaim = \"upn\"\nca_file = \"root.pem\"\n";
    let configuration = read(text).unwrap();
    let shown = format!("{configuration:?}");
    assert!(!shown.contains("s3cret"), "PRJ-SEC-2: {shown}");
    assert_eq!(
        configuration.tls.client_ca.unwrap(),
        Path::new("/etc/restante/ca.pem")
    );
    let oauth = configuration.accounts.oauth.unwrap();
    assert_eq!(oauth.audience, ["a", "b"]);
    assert_eq!(oauth.claim.as_deref(), Some("upn"));
    assert_eq!(oauth.ca_file.unwrap(), Path::new("/etc/restante/root.pem"));
    match oauth.verifier {
        TokenVerifier::Introspection {
            client: Some((id, ClientSecret::Text(secret))),
            ..
        } => assert_eq!(
            (id.as_str(), secret.expose_secret()),
            ("restante", "s3cret")
        ),
        other => panic!("{other:?}"),
    }
    let text = "[accounts.oauth]\nintrospection_url = \"https://i/\"\nscope = \"pop\"\n\
                client_id = \"r\"\nclient_secret_file = \"f\"\n";
    let oauth = read(text).unwrap().accounts.oauth.unwrap();
    assert!(matches!(
        oauth.verifier,
        TokenVerifier::Introspection { client: Some((_, ClientSecret::File(file))), .. }
            if file == Path::new("/etc/restante/f")
    ));
}
