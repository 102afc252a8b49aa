//! What a token must say to be good here, whoever vouches for it (R7628-OAB-5).

use std::time::Duration;

use restante_sasl::prepare;
use serde_json::{Map, Value};

/// How far an issuer's clock may be from ours.
const LEEWAY_SECONDS: u64 = 60;

/// How many octets a name may have, as in PLAIN.
const NAME_OCTETS_MAX: usize = 1024;

/// What a token must say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// `iss` must be this.
    pub issuer: Option<String>,
    /// `aud` must have one of these; none: it is not looked at, and a token for any server of the
    /// issuer's is good here.
    pub audience: Vec<String>,
    /// `scope` must have this word.
    pub scope: Option<String>,
    /// The claim with the account's name; `None` for `email`, if it is verified, then `sub`.
    pub claim: Option<String>,
}

/// Why a token is not good here. As with a wrong password, the client hears nothing of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// The issuer says that it is not good, or not its own.
    #[error("the issuer says that it is not active")]
    Inactive,
    /// It is not a JSON Web Token.
    #[error("it is not a JSON Web Token")]
    Malformed,
    /// It is longer than any that makes sense.
    #[error("it is too long")]
    TooLong,
    /// Its algorithm is not one of those that count here: `none`, above all.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// It is of a type that is no access token, or has extensions that must be understood.
    #[error("it is of a type that is not accepted")]
    Type,
    /// The issuer has no such key.
    #[error("it is signed with an unknown key")]
    Key,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It was good once, or does not say how long.
    #[error("it has expired")]
    Expired,
    /// It is not good yet.
    #[error("it is not valid yet")]
    NotYet,
    /// Somebody else has issued it.
    #[error("its issuer is another")]
    Issuer,
    /// It is for another service.
    #[error("its audience is another")]
    Audience,
    /// It is not for mail.
    #[error("it lacks the scope")]
    Scope,
    /// It does not name an account, or by an address that is not verified.
    #[error("it names no account")]
    Name,
    /// The client believes to be connected to somebody else (R7628-OAB-2).
    #[error("the client believes to be connected to another host")]
    Host,
}

/// A token that is good.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Verified {
    /// Whose it is.
    pub(super) name: String,
    /// For how long; `None` if nobody says.
    pub(super) good_for: Option<Duration>,
}

type Claims = Map<String, Value>;

impl Rules {
    /// Checks what a signed token says; it must have an end (RFC 9068 §2.2).
    pub(super) fn check_signed(&self, claims: &Claims, now: u64) -> Result<Verified, TokenFault> {
        match claims.get("exp") {
            None => Err(TokenFault::Expired),
            Some(_) => self.check_introspected(claims, now),
        }
    }

    /// Checks what an issuer says of a token; its end is for the issuer to know (RFC 7662 §2.2).
    pub(super) fn check_introspected(
        &self,
        claims: &Claims,
        now: u64,
    ) -> Result<Verified, TokenFault> {
        let ends = date(claims.get("exp")).map_err(|()| TokenFault::Expired)?;
        if ends.is_some_and(|ends| ends.saturating_add(LEEWAY_SECONDS) <= now) {
            return Err(TokenFault::Expired);
        }
        let begins = date(claims.get("nbf")).map_err(|()| TokenFault::NotYet)?;
        if begins.is_some_and(|begins| begins > now.saturating_add(LEEWAY_SECONDS)) {
            return Err(TokenFault::NotYet);
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(TokenFault::Issuer);
        }
        let is_ours = |word: &str| self.audience.iter().any(|audience| audience == word);
        if !self.audience.is_empty() && !texts(claims.get("aud")).any(is_ours) {
            return Err(TokenFault::Audience);
        }
        if let Some(scope) = &self.scope
            && !has_scope(claims, scope)
        {
            return Err(TokenFault::Scope);
        }
        Ok(Verified {
            name: self.name(claims).ok_or(TokenFault::Name)?,
            good_for: ends.map(|ends| Duration::from_secs(ends.saturating_sub(now))),
        })
    }

    fn name(&self, claims: &Claims) -> Option<String> {
        let name = match &self.claim {
            Some(claim) => claims.get(claim)?,
            None => match claims.get("email") {
                // Some issuers let people claim any address until they have shown that it is
                // theirs. Then the token names nobody: `sub` might be a name of their choice too.
                Some(_) if !is_verified(claims.get("email_verified")) => return None,
                Some(email) => email,
                None => claims.get("sub")?,
            },
        };
        let name = name.as_str()?;
        let fits = (1..=NAME_OCTETS_MAX).contains(&name.len()) && !name.contains('\0');
        // R5034-PREP-1: names from here are compared with names from clients.
        fits.then(|| prepare(name).ok()).flatten()
    }
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction; an error if it is something else.
fn date(value: Option<&Value>) -> Result<Option<u64>, ()> {
    let Some(value) = value else { return Ok(None) };
    let whole = value.as_f64().filter(|seconds| *seconds >= 0.0);
    // Saturates; a date so far away is as good as any.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and the fraction of a second does not matter"
    )]
    let whole = whole.map(|seconds| seconds as u64);
    value.as_u64().or(whole).map(Some).ok_or(())
}

/// A text, or a list of texts (RFC 7519 §4.1.3).
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(text) => std::slice::from_ref(text),
        None => &[],
    };
    list.iter().filter_map(Value::as_str)
}

/// `scope` has words between spaces (RFC 6749 §3.3); some issuers have a list, or call it `scp`.
fn has_scope(claims: &Claims, scope: &str) -> bool {
    let of = |name: &str| texts(claims.get(name)).any(|text| text.split(' ').any(|w| w == scope));
    of("scope") || of("scp")
}

/// Whether nothing speaks against the address: issuers whose addresses are all verified often do
/// not say so.
fn is_verified(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Bool(true)) => true,
        Some(Value::String(text)) => text == "true",
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules {
            issuer: Some("https://id.example.com".into()),
            audience: vec!["pop".into(), "mail".into()],
            scope: Some("pop3".into()),
            claim: None,
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://id.example.com",
            "aud": "pop",
            "exp": NOW + 300,
            "scope": "openid pop3",
            "email": "tim@a.example",
            "sub": "4711",
        })
    }

    fn checked(rules: &Rules, claims: &Value) -> Result<Verified, TokenFault> {
        rules.check_signed(claims.as_object().unwrap(), NOW)
    }

    #[test]
    fn r7628_oab_5_issuer_audience_scope_and_dates_are_all_checked() {
        let verified = checked(&rules(), &good()).unwrap();
        assert_eq!(verified.name, "tim@a.example");
        assert_eq!(verified.good_for, Some(Duration::from_secs(300)));
        for (name, value, fault) in [
            ("iss", json!("https://id.example.com/"), TokenFault::Issuer),
            ("iss", json!(["https://id.example.com"]), TokenFault::Issuer),
            ("iss", Value::Null, TokenFault::Issuer),
            ("aud", json!("imap"), TokenFault::Audience),
            ("aud", json!("POP"), TokenFault::Audience),
            ("aud", json!([]), TokenFault::Audience),
            ("aud", json!({ "pop": true }), TokenFault::Audience),
            ("aud", Value::Null, TokenFault::Audience),
            ("scope", json!("openid"), TokenFault::Scope),
            ("scope", json!("pop3x"), TokenFault::Scope),
            ("scope", Value::Null, TokenFault::Scope),
            ("exp", json!(NOW - 60), TokenFault::Expired),
            ("exp", json!(0), TokenFault::Expired),
            ("exp", json!(-1), TokenFault::Expired),
            ("exp", json!("never"), TokenFault::Expired),
            ("exp", Value::Null, TokenFault::Expired),
            ("nbf", json!(NOW + 61), TokenFault::NotYet),
            ("nbf", json!(true), TokenFault::NotYet),
        ] {
            let mut bad = good();
            bad[name] = value.clone();
            assert_eq!(checked(&rules(), &bad), Err(fault), "{name} {value}");
        }
        let mut endless = good();
        endless.as_object_mut().unwrap().remove("exp");
        assert_eq!(checked(&rules(), &endless), Err(TokenFault::Expired));
    }

    /// n − 1, n, n + 1 of the leeway, and other ways to write the same.
    #[test]
    fn clocks_may_differ_by_a_minute() {
        for (name, value) in [
            ("exp", json!(NOW - 59)),
            ("exp", json!(NOW as f64 + 0.5)),
            ("exp", json!(u64::MAX)),
            ("exp", json!(1e300)),
            ("nbf", json!(NOW + 60)),
            ("nbf", json!(0)),
            ("aud", json!(["x", "mail"])),
            ("scope", json!(["openid", "pop3"])),
        ] {
            let mut fine = good();
            fine[name] = value.clone();
            assert!(checked(&rules(), &fine).is_ok(), "{name} {value}");
        }
        // A token in its leeway is not good for any longer.
        let mut late = good();
        late["exp"] = json!(NOW - 10);
        let verified = checked(&rules(), &late).unwrap();
        assert_eq!(verified.good_for, Some(Duration::ZERO));
        let mut scp = good();
        scp["scp"] = scp["scope"].take();
        assert!(checked(&rules(), &scp).is_ok());
    }

    #[test]
    fn the_name_is_a_verified_address_or_what_the_operator_says() {
        let name = |claim: Option<&str>, change: Value| {
            let mut claims = good();
            for (key, value) in change.as_object().unwrap() {
                claims[key] = value.clone();
            }
            let rules = Rules {
                claim: claim.map(str::to_owned),
                ..rules()
            };
            checked(&rules, &claims).map(|verified| verified.name)
        };
        assert_eq!(name(None, json!({})), Ok("tim@a.example".into()));
        let verified = json!({ "email_verified": true });
        assert_eq!(name(None, verified), Ok("tim@a.example".into()));
        assert_eq!(name(Some("sub"), json!({})), Ok("4711".into()));
        let upn = json!({ "upn": "\u{2168}" });
        assert_eq!(name(Some("upn"), upn), Ok("IX".into()));
        for change in [
            json!({ "email_verified": false }),
            json!({ "email_verified": "false" }),
            json!({ "email_verified": 1 }),
            json!({ "email": "" }),
            json!({ "email": null }),
            json!({ "email": ["tim@a.example"] }),
            json!({ "email": "a\u{0}b" }),
            json!({ "email": "\u{7}" }),
            json!({ "email": "x".repeat(1025) }),
        ] {
            let refused = name(None, change.clone());
            assert_eq!(refused, Err(TokenFault::Name), "{change}");
        }
        assert_eq!(name(Some("upn"), json!({})), Err(TokenFault::Name));
        let mut no_email = good();
        no_email.as_object_mut().unwrap().remove("email");
        assert_eq!(checked(&rules(), &no_email).unwrap().name, "4711");
    }

    #[test]
    fn what_is_not_configured_is_not_asked_for() {
        let claims = json!({ "sub": "tim" });
        let verified = Rules::default().check_introspected(claims.as_object().unwrap(), NOW);
        assert_eq!(verified.unwrap().good_for, None);
    }
}
