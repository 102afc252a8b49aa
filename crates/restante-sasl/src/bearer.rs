//! The messages of OAUTHBEARER (RFC 7628 §3) and XOAUTH2, read and written.
//!
//! XOAUTH2 is what OAUTHBEARER grew from: the name is one of the pairs there, and a gs2-header
//! here. A token that is refused is answered with JSON in a challenge; the client's answer to that
//! says nothing, and then comes the failure.

use alloc::{borrow::ToOwned as _, format, string::String, vec::Vec};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::{
    Mechanism,
    scram::message::{BindingFlag, Gs2Header, MessageError, escape},
};

/// Between pairs, and twice at the end.
const SEPARATOR: char = '\u{1}';

/// How many octets a token may have. Tokens with many claims have tens of kilobytes; what is
/// longer would only cost the time to verify it.
pub(crate) const TOKEN_OCTETS_MAX: usize = 32 * 1024;

/// How much of the server's words is kept.
const WORDS_MAX: usize = 256;

/// A client's message.
pub(crate) struct Message<'m> {
    pub(crate) flag: BindingFlag<'m>,
    /// Unescaped.
    pub(crate) authorization: Option<String>,
    pub(crate) host: Option<&'m str>,
    pub(crate) port: Option<u16>,
    pub(crate) token: &'m str,
}

/// Why a server refuses a token, as it tells the client (R7628-OAB-3, XOAUTH2-2). It is the same
/// whatever is wrong with the token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenRefusal {
    /// The scope that a token has to have.
    pub scope: Option<String>,
    /// Where the issuer describes itself (OpenID Connect Discovery): a URL.
    pub openid_configuration: Option<String>,
}

impl TokenRefusal {
    /// The challenge that says it.
    pub(crate) fn write(&self, mechanism: Mechanism) -> Vec<u8> {
        let mut says = match mechanism {
            // XOAUTH2's status is one of HTTP's: a client with a token that is not accepted.
            Mechanism::Xoauth2 => json!({ "status": "401", "schemes": "Bearer" }),
            _ => json!({ "status": "invalid_token" }),
        };
        let mut say = |name: &str, value: &Option<String>| {
            if let (Some(object), Some(value)) = (says.as_object_mut(), value) {
                object.insert(name.to_owned(), Value::String(value.clone()));
            }
        };
        say("scope", &self.scope);
        if mechanism == Mechanism::OauthBearer {
            say("openid-configuration", &self.openid_configuration);
        }
        Vec::from(format!("{says}"))
    }
}

/// Reads the `status` of a server's refusal; `None` if the challenge is none.
pub(crate) fn parse_refusal(challenge: &[u8]) -> Option<String> {
    let says: Value = serde_json::from_slice(challenge).ok()?;
    let status = match says.get("status")? {
        Value::String(status) => status.clone(),
        Value::Number(status) => format!("{status}"),
        _ => return None,
    };
    let printable = |c: &char| !c.is_control();
    Some(status.chars().filter(printable).take(WORDS_MAX).collect())
}

/// Reads OAUTHBEARER's message (RFC 7628 §3.1).
///
/// ```text
/// client-resp = gs2-header kvsep *kvpair kvsep
/// kvpair      = key "=" value kvsep
/// ```
pub(crate) fn parse_oauthbearer(message: &[u8]) -> Result<Message<'_>, MessageError> {
    let header = Gs2Header::parse(text(message)?)?;
    let pairs = header.rest.strip_prefix(SEPARATOR);
    let pairs = Pairs::parse(pairs.ok_or(MessageError::Malformed("gs2-header"))?)?;
    Ok(Message {
        flag: header.flag,
        authorization: header.authorization,
        host: pairs.host,
        port: pairs.port,
        token: pairs.token()?,
    })
}

/// Reads XOAUTH2's message: `user=name^Aauth=Bearer token^A^A`.
pub(crate) fn parse_xoauth2(message: &[u8]) -> Result<Message<'_>, MessageError> {
    let pairs = Pairs::parse(text(message)?)?;
    let user = pairs.user.filter(|user| !user.is_empty());
    Ok(Message {
        flag: BindingFlag::Unsupported,
        authorization: Some(user.ok_or(MessageError::Malformed("user"))?.to_owned()),
        host: None,
        port: None,
        token: pairs.token()?,
    })
}

/// Writes OAUTHBEARER's message (R7628-OAB-1). The fields have been checked.
pub(crate) fn write_oauthbearer(
    user: &str,
    host: Option<&str>,
    port: Option<u16>,
    token: &SecretString,
) -> Vec<u8> {
    let mut head = format!("n,a={},{SEPARATOR}", escape(user));
    if let Some(host) = host {
        head.push_str(&format!("host={host}{SEPARATOR}"));
    }
    if let Some(port) = port {
        head.push_str(&format!("port={port}{SEPARATOR}"));
    }
    with_token(&head, token)
}

/// Writes XOAUTH2's message (XOAUTH2-1). The fields have been checked.
pub(crate) fn write_xoauth2(user: &str, token: &SecretString) -> Vec<u8> {
    with_token(&format!("user={user}{SEPARATOR}"), token)
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1).
pub(crate) fn is_token(token: &str) -> bool {
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet);
    let stem = token.trim_end_matches('=');
    !stem.is_empty() && token.len() <= TOKEN_OCTETS_MAX && stem.bytes().all(legal)
}

/// Written in one piece: a vector that grows leaves copies of the token behind.
fn with_token(head: &str, token: &SecretString) -> Vec<u8> {
    let token = token.expose_secret();
    let parts = [head, "auth=Bearer ", token, "\u{1}\u{1}"];
    let mut message = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        message.extend_from_slice(part.as_bytes());
    }
    message
}

/// The pairs that we know. Others are ignored (R7628-OAB-1).
#[derive(Default)]
struct Pairs<'m> {
    user: Option<&'m str>,
    host: Option<&'m str>,
    port: Option<u16>,
    auth: Option<&'m str>,
}

impl<'m> Pairs<'m> {
    /// Reads pairs that each end with a separator, up to the one that ends them all.
    fn parse(text: &'m str) -> Result<Self, MessageError> {
        let malformed = MessageError::Malformed("pair");
        let mut pairs = Self::default();
        let mut rest = text;
        while rest != "\u{1}" {
            let (pair, after) = rest.split_once(SEPARATOR).ok_or(malformed)?;
            rest = after;
            let (key, value) = pair.split_once('=').ok_or(malformed)?;
            if key.is_empty() || !key.bytes().all(|octet| octet.is_ascii_alphabetic()) {
                return Err(malformed);
            }
            let again = match key {
                "user" => pairs.user.replace(value).is_some(),
                "host" => pairs.host.replace(value).is_some(),
                "auth" => pairs.auth.replace(value).is_some(),
                "port" => pairs.port.replace(port(value)?).is_some(),
                _ => false,
            };
            // Who reads the first and who reads the last must not see different things.
            if again {
                return Err(MessageError::Malformed("pair, it comes twice"));
            }
        }
        Ok(pairs)
    }

    /// The token of `auth`, which must be there (R7628-OAB-1).
    fn token(&self) -> Result<&'m str, MessageError> {
        let (scheme, token) = self
            .auth
            .and_then(|auth| auth.split_once(' '))
            .ok_or(MessageError::Malformed("auth"))?;
        let token = token.trim_start_matches(' ');
        // RFC 9110 §11.1: schemes are compared in any case.
        let legal = scheme.eq_ignore_ascii_case("Bearer") && is_token(token);
        legal
            .then_some(token)
            .ok_or(MessageError::Malformed("auth"))
    }
}

fn port(digits: &str) -> Result<u16, MessageError> {
    crate::scram::message::positive_number(digits)
        .and_then(|number| u16::try_from(number).ok())
        .ok_or(MessageError::Malformed("port"))
}

fn text(message: &[u8]) -> Result<&str, MessageError> {
    if message.contains(&0) {
        return Err(MessageError::Malformed("message, it contains nul"));
    }
    core::str::from_utf8(message).map_err(|_| MessageError::Malformed("message, it is not utf-8"))
}
