//! Asking the issuer (RFC 7662).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::Full;
use hyper::{
    Method, Request,
    body::Bytes,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    Endpoint, IssuerError, Rules, TokenError, TokenFault, http::Http, now, rules::Verified,
};

/// An answer names a token's owner and rights; a hundredth of this is usual.
const ANSWER_OCTETS_MAX: usize = 64 * 1024;

/// Questions at a time. Attack: tokens that are none, to have the issuer asked in our name.
const QUESTIONS_MAX: usize = 16;

/// How long one question may take; shorter than a verification, which may wait for its turn too.
const QUESTION_MAX: Duration = Duration::from_secs(4);

/// How long an issuer that cannot be reached is left alone, so that a dead one costs each login
/// no more than this server can bear.
const REST: Duration = Duration::from_secs(2);

pub(super) struct Introspection {
    http: Http,
    endpoint: Endpoint,
    /// The whole header, with the secret in it.
    authorization: Option<HeaderValue>,
    turns: Semaphore,
    rests_until: Mutex<Option<Instant>>,
}

impl Introspection {
    pub(super) fn new(
        http: Http,
        endpoint: Endpoint,
        client: Option<(String, SecretString)>,
    ) -> Self {
        Self {
            http,
            endpoint,
            authorization: client.map(|(id, secret)| basic(&id, &secret)),
            turns: Semaphore::new(QUESTIONS_MAX),
            rests_until: Mutex::new(None),
        }
    }

    pub(super) async fn verify(&self, token: &str, rules: &Rules) -> Result<Verified, TokenError> {
        // The semaphore is never closed.
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|_| IssuerError::Resting)?;
        if self.is_resting() {
            return Err(IssuerError::Resting.into());
        }
        let asked = timeout(QUESTION_MAX, self.ask(token)).await;
        let answer = asked.unwrap_or(Err(IssuerError::Slow));
        if let Err(IssuerError::Slow | IssuerError::Unreachable(_)) = answer {
            let mut rests = self.rests_until.lock();
            *rests.as_deref_mut().unwrap_or(&mut None) = Some(Instant::now() + REST);
        }
        read(&answer?, rules, now())
    }

    async fn ask(&self, token: &str) -> Result<Bytes, IssuerError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let mut request = Request::new(Full::from(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri();
        let headers = request.headers_mut();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        self.http.exchange(request, ANSWER_OCTETS_MAX).await
    }

    fn is_resting(&self) -> bool {
        let rests = self
            .rests_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        rests.is_some_and(|until| Instant::now() < until)
    }
}

/// RFC 6749 §2.3.1: both are encoded as in a form before they are joined.
fn basic(id: &str, secret: &SecretString) -> HeaderValue {
    let encoded =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .expect("base64 is legal in a header");
    header.set_sensitive(true);
    header
}

/// Reads an answer (RFC 7662 §2.2).
fn read(answer: &[u8], rules: &Rules, now: u64) -> Result<Verified, TokenError> {
    let claims: Map<String, Value> = serde_json::from_slice(answer)
        .map_err(|_| IssuerError::NotUnderstood("it is not a JSON object"))?;
    match claims.get("active") {
        // The rules see to the rest: an issuer that says "active" may mean somebody else's server.
        Some(Value::Bool(true)) => Ok(rules.check_introspected(&claims, now)?),
        Some(Value::Bool(false)) => Err(TokenFault::Inactive.into()),
        _ => Err(IssuerError::NotUnderstood("it has no `active`").into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules {
            audience: vec!["pop".into()],
            ..Rules::default()
        }
    }

    fn outcome(answer: &str) -> Result<String, String> {
        match read(answer.as_bytes(), &rules(), NOW) {
            Ok(verified) => Ok(verified.name),
            Err(TokenError::Refused(fault)) => Err(format!("refused: {fault}")),
            Err(TokenError::Issuer(error)) => Err(format!("issuer: {error}")),
        }
    }

    // R7628-OAB-5
    #[test]
    fn r7628_oab_5_an_answer_must_say_active_and_obey_the_rules() {
        let good = json!({ "active": true, "sub": "tim", "aud": "pop", "exp": NOW + 60 });
        assert_eq!(outcome(&good.to_string()), Ok("tim".into()));
        // RFC 7662 §2.2: nothing but `active` is required.
        let short = json!({ "active": true, "sub": "tim", "aud": ["x", "pop"] });
        assert_eq!(outcome(&short.to_string()), Ok("tim".into()));
        for (name, value) in [
            ("active", json!(false)),
            ("exp", json!(NOW - 61)),
            ("exp", json!("soon")),
            ("nbf", json!(NOW + 61)),
            ("aud", json!("imap")),
            ("aud", Value::Null),
            ("sub", Value::Null),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            let bad = outcome(&bad.to_string()).unwrap_err();
            assert!(bad.starts_with("refused: "), "{name} {bad}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_the_issuers_fault() {
        for bad in [
            "",
            "x",
            "[]",
            "null",
            "{}",
            r#"{"active":"true"}"#,
            r#"{"active":1,"sub":"tim","aud":"pop"}"#,
            r#"{"active":true,"sub":"tim","aud":"pop""#,
            "<html>",
        ] {
            let bad = outcome(bad).unwrap_err();
            assert!(bad.starts_with("issuer: "), "{bad}");
        }
        let deep = "[".repeat(60_000);
        assert!(outcome(&deep).unwrap_err().starts_with("issuer: "));
    }

    // RFC 6749 §2.3.1.
    #[test]
    fn the_clients_credentials_are_encoded_before_they_are_joined() {
        let header = basic("a:b", &"c d%é".into());
        let expected = STANDARD.encode("a%3Ab:c+d%25%C3%A9");
        assert_eq!(header, format!("Basic {expected}"));
        // PRJ-SEC-2
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
