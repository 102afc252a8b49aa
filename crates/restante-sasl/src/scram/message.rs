//! SCRAM's four messages (RFC 5802 §7), read strictly: the order of attributes is fixed, unknown
//! optional ones are ignored, `m=` fails (R5802-SCRAM-5).

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// How many octets one message may have: two names of 1024 octets with every octet escaped, and
/// room for nonces and extensions. Attack: a client nonce of megabytes that we would echo.
const MESSAGE_OCTETS_MAX: usize = 8 * 1024;

/// Why a message cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MessageError {
    /// Not what the grammar wants at this place.
    Malformed(&'static str),
    /// The peer insists on an extension that we do not know.
    MandatoryExtension,
}

/// `gs2-cbind-flag`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BindingFlag<'m> {
    /// `n`: the client cannot bind.
    Unsupported,
    /// `y`: the client could, but believes that the server cannot.
    NotOffered,
    /// `p=name`.
    Used(&'m str),
}

/// ```text
/// gs2-header = gs2-cbind-flag "," [ authzid ] ","
/// ```
#[derive(Debug)]
pub(crate) struct Gs2Header<'m> {
    pub(crate) flag: BindingFlag<'m>,
    /// Unescaped.
    pub(crate) authorization: Option<String>,
    /// What follows it.
    pub(crate) rest: &'m str,
}

impl<'m> Gs2Header<'m> {
    /// Reads it from the front of a message (RFC 5801 §4).
    pub(crate) fn parse(message: &'m str) -> Result<Self, MessageError> {
        let malformed = MessageError::Malformed("gs2-header");
        let (flag, rest) = message.split_once(',').ok_or(malformed)?;
        let flag = match flag {
            "n" => BindingFlag::Unsupported,
            "y" => BindingFlag::NotOffered,
            _ => BindingFlag::Used(
                flag.strip_prefix("p=")
                    .filter(|n| is_cb_name(n))
                    .ok_or(malformed)?,
            ),
        };
        let (authorization, rest) = rest.split_once(',').ok_or(malformed)?;
        let authorization = match authorization {
            "" => None,
            _ => Some(unescape(
                authorization.strip_prefix("a=").ok_or(malformed)?,
            )?),
        };
        Ok(Self {
            flag,
            authorization,
            rest,
        })
    }
}

/// ```text
/// gs2-header           = gs2-cbind-flag "," [ authzid ] ","
/// client-first-message = gs2-header [reserved-mext ","] username "," nonce ["," extensions]
/// ```
#[derive(Debug)]
pub(crate) struct ClientFirst<'m> {
    /// With both commas.
    pub(crate) gs2_header: &'m str,
    pub(crate) flag: BindingFlag<'m>,
    /// Unescaped.
    pub(crate) authorization: Option<String>,
    /// Everything after the gs2-header.
    pub(crate) bare: &'m str,
    /// Unescaped.
    pub(crate) name: String,
    pub(crate) nonce: &'m str,
}

impl<'m> ClientFirst<'m> {
    pub(crate) fn parse(message: &'m [u8]) -> Result<Self, MessageError> {
        let message = text(message)?;
        let Gs2Header {
            flag,
            authorization,
            rest: bare,
        } = Gs2Header::parse(message)?;
        let malformed = MessageError::Malformed("gs2-header");
        let gs2_header = message.strip_suffix(bare).ok_or(malformed)?;

        let mut attributes = Attributes::of(bare);
        let name = unescape(attributes.named('n', "username")?)?;
        let nonce = attributes.named('r', "nonce")?;
        if !is_nonce(nonce) {
            return Err(MessageError::Malformed("nonce"));
        }
        attributes.only_extensions()?;
        Ok(Self {
            gs2_header,
            flag,
            authorization,
            bare,
            name,
            nonce,
        })
    }
}

/// ```text
/// server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]
/// ```
#[derive(Debug)]
pub(crate) struct ServerFirst<'m> {
    pub(crate) nonce: &'m str,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
}

impl<'m> ServerFirst<'m> {
    pub(crate) fn parse(message: &'m [u8]) -> Result<Self, MessageError> {
        let mut attributes = Attributes::of(text(message)?);
        let nonce = attributes.named('r', "nonce")?;
        if !is_nonce(nonce) {
            return Err(MessageError::Malformed("nonce"));
        }
        let salt = attributes.base64('s', "salt")?;
        let iterations = positive_number(attributes.named('i', "iteration-count")?)
            .ok_or(MessageError::Malformed("iteration-count"))?;
        attributes.only_extensions()?;
        Ok(Self {
            nonce,
            salt,
            iterations,
        })
    }
}

/// ```text
/// client-final-message = channel-binding "," nonce ["," extensions] "," proof
/// ```
#[derive(Debug)]
pub(crate) struct ClientFinal<'m> {
    /// Decoded.
    pub(crate) binding: Vec<u8>,
    pub(crate) nonce: &'m str,
    /// Decoded.
    pub(crate) proof: Vec<u8>,
    /// Everything before `,p=`.
    pub(crate) without_proof: &'m str,
}

impl<'m> ClientFinal<'m> {
    pub(crate) fn parse(message: &'m [u8]) -> Result<Self, MessageError> {
        let message = text(message)?;
        let (without_proof, proof) = message
            .rsplit_once(',')
            .ok_or(MessageError::Malformed("proof"))?;
        let mut attributes = Attributes::of(without_proof);
        let binding = attributes.base64('c', "channel-binding")?;
        let nonce = attributes.named('r', "nonce")?;
        attributes.only_extensions()?;
        let proof = Attributes::of(proof).base64('p', "proof")?;
        Ok(Self {
            binding,
            nonce,
            proof,
            without_proof,
        })
    }
}

/// ```text
/// server-final-message = (server-error / verifier) ["," extensions]
/// ```
#[derive(Debug)]
pub(crate) enum ServerFinal<'m> {
    /// `e=`: the server's word for what is wrong.
    Error(&'m str),
    /// `v=`, decoded.
    Verifier(Vec<u8>),
}

impl<'m> ServerFinal<'m> {
    pub(crate) fn parse(message: &'m [u8]) -> Result<Self, MessageError> {
        let message = text(message)?;
        let mut attributes = Attributes::of(message);
        let parsed = if message.starts_with("e=") {
            Self::Error(attributes.named('e', "server-error")?)
        } else {
            Self::Verifier(attributes.base64('v', "verifier")?)
        };
        attributes.only_extensions()?;
        Ok(parsed)
    }
}

/// Attributes separated by commas: `attr-val = ALPHA "=" 1*value-char`.
struct Attributes<'m> {
    rest: Option<&'m str>,
}

impl<'m> Attributes<'m> {
    fn of(message: &'m str) -> Self {
        Self {
            rest: Some(message),
        }
    }

    fn next(&mut self) -> Option<Result<(char, &'m str), MessageError>> {
        let rest = self.rest?;
        let attribute = match rest.split_once(',') {
            Some((attribute, rest)) => {
                self.rest = Some(rest);
                attribute
            }
            None => {
                self.rest = None;
                rest
            }
        };
        let mut characters = attribute.chars();
        let name = characters.next().filter(char::is_ascii_alphabetic);
        let value = characters
            .as_str()
            .strip_prefix('=')
            .filter(|value| !value.is_empty());
        Some(match (name, value) {
            (Some('m'), Some(_)) => Err(MessageError::MandatoryExtension),
            (Some(name), Some(value)) => Ok((name, value)),
            _ => Err(MessageError::Malformed("attribute")),
        })
    }

    /// The next attribute, which must have this name.
    fn named(&mut self, name: char, what: &'static str) -> Result<&'m str, MessageError> {
        match self.next().transpose()? {
            Some((found, value)) if found == name => Ok(value),
            _ => Err(MessageError::Malformed(what)),
        }
    }

    fn base64(&mut self, name: char, what: &'static str) -> Result<Vec<u8>, MessageError> {
        let value = self.named(name, what)?;
        STANDARD
            .decode(value)
            .map_err(|_| MessageError::Malformed(what))
    }

    /// What is left must be optional extensions: not `m=`, and no attribute that has its place
    /// elsewhere (R5802-SCRAM-5: the order is fixed).
    fn only_extensions(&mut self) -> Result<(), MessageError> {
        while let Some(attribute) = self.next() {
            let (name, _) = attribute?;
            if matches!(name, 'a' | 'n' | 'r' | 'c' | 's' | 'i' | 'p' | 'v' | 'e') {
                return Err(MessageError::Malformed("attribute order"));
            }
        }
        Ok(())
    }
}

fn text(message: &[u8]) -> Result<&str, MessageError> {
    if message.len() > MESSAGE_OCTETS_MAX {
        return Err(MessageError::Malformed("message length"));
    }
    if message.contains(&0) {
        return Err(MessageError::Malformed("message, it contains nul"));
    }
    core::str::from_utf8(message).map_err(|_| MessageError::Malformed("message, it is not utf-8"))
}

/// `cb-name = 1*(ALPHA / DIGIT / "." / "-")`.
fn is_cb_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|o| o.is_ascii_alphanumeric() || matches!(o, b'.' | b'-'))
}

/// `printable = %x21-2B / %x2D-7E`; `,` cannot be here any more.
fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|octet| matches!(octet, 0x21..=0x7E))
}

/// `posit-number = %x31-39 *DIGIT`, within 32 bits.
pub(crate) fn positive_number(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|octet| octet.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

/// `saslname = 1*(value-safe-char / "=2C" / "=3D")`; any other `=` fails (R5802-SCRAM-2).
fn unescape(name: &str) -> Result<String, MessageError> {
    let malformed = MessageError::Malformed("name");
    let mut parts = name.split('=');
    let mut unescaped = parts.next().ok_or(malformed)?.to_owned();
    for part in parts {
        let (sign, rest) = match part.split_at_checked(2) {
            Some(("2C", rest)) => (',', rest),
            Some(("3D", rest)) => ('=', rest),
            _ => return Err(malformed),
        };
        unescaped.push(sign);
        unescaped.push_str(rest);
    }
    (!unescaped.is_empty())
        .then_some(unescaped)
        .ok_or(malformed)
}

/// The inverse of reading a `saslname`.
pub(crate) fn escape(name: &str) -> String {
    // `=` first, or the escapes would be escaped.
    name.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests;
