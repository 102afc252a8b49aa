//! Dovecot's `pop3_uidl_format`: the template of its unique-ids.
//!
//! ```text
//! %08Xu%08Xv                                      until 2.3: %[0][width][modifiers]variable
//! %{uid | hex(8)}%{uidvalidity | hex(8)}          since 2.4: %{variable [| filter]…}
//! ```
//!
//! Variables: `u` uid, `v` uidvalidity, `f` filename, `g` guid. `m` (md5 of headers) exists for
//! mbox only. Modifiers: `X` hexadecimal, `L` lower case, `U` upper case, `R` reversed, `M` MD5.
//! Filters: `hex`, `lower`, `upper`, `reverse`, `md5`, `hexlify`.

mod to_come;

use std::str::FromStr;

use md5::{Digest, Md5};

/// What Dovecot does unless it is told otherwise, in the words of 2.3 and before.
const DEFAULT: &str = "%08Xu%08Xv";
/// No number or digest is longer: a bound for hostile widths.
const WIDTH_MAX: usize = 64;
const HASH_DIGITS: usize = 32;

/// A template of unique-ids, as Dovecot's configuration has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UidlFormat {
    pieces: Vec<Piece>,
}

/// Why a text is not a template that is understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UidlFormatError {
    /// It has nothing in it that tells one message from another.
    #[error("it gives all messages the same unique-id")]
    Constant,
    /// A `%` with nothing of use behind it.
    #[error("a `%` at {at} has no variable")]
    NoVariable {
        /// Its position, from 0.
        at: usize,
    },
    /// A variable that Dovecot does not have here.
    #[error("the variable `{0}` is not known")]
    Variable(String),
    /// `%m`: headers hashed, which Dovecot can do in an mbox only.
    #[error("`%m` exists for mbox, not for Maildir")]
    HeaderDigest,
    /// A filter or modifier that is not imitated.
    #[error("`{0}` is not known")]
    Filter(String),
    /// A width beyond all numbers and digests.
    #[error("a width of {0} is too much")]
    Width(usize),
}

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables<'v> {
    pub(super) uid: u32,
    pub(super) uid_validity: u32,
    /// The base name.
    pub(super) file_name: &'v [u8],
    pub(super) guid: &'v [u8],
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Value(Variable, Vec<Filter>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Variable {
    Uid,
    UidValidity,
    FileName,
    Guid,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Filter {
    Hex,
    /// Hexadecimal of so many digits: padded with zeros, or cut to the last ones.
    HexOf(usize),
    Lower,
    Upper,
    Reverse,
    Md5,
    /// The first so many octets.
    Cut(usize),
    /// Zeros in front, until there are so many octets.
    Pad(usize),
}

impl UidlFormat {
    pub(super) fn expand(&self, variables: &Variables<'_>) -> Vec<u8> {
        let mut id = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => id.extend_from_slice(text.as_bytes()),
                Piece::Value(variable, filters) => {
                    let value = variable.value(variables);
                    let apply = |value, filter: &Filter| filter.apply(value);
                    id.extend_from_slice(&filters.iter().fold(value, apply));
                }
            }
        }
        id
    }
}

impl Default for UidlFormat {
    fn default() -> Self {
        DEFAULT.parse().expect("Dovecot's own template")
    }
}

impl FromStr for UidlFormat {
    type Err = UidlFormatError;

    fn from_str(template: &str) -> Result<Self, UidlFormatError> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            let (text, after) = rest.split_at(at);
            pieces.push(Piece::Text(text.to_owned()));
            let after = &after[1..];
            if let Some(after) = after.strip_prefix('%') {
                pieces.push(Piece::Text("%".to_owned()));
                rest = after;
                continue;
            }
            let at = template.len() - after.len() - 1;
            let (piece, after) = value(after, at)?;
            pieces.push(piece);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        let tells = |piece: &Piece| matches!(piece, Piece::Value(variable, _) if *variable != Variable::UidValidity);
        match pieces.iter().any(tells) {
            true => Ok(Self { pieces }),
            false => Err(UidlFormatError::Constant),
        }
    }
}

impl Variable {
    fn named(name: &str) -> Result<Self, UidlFormatError> {
        Ok(match name {
            "u" | "uid" => Self::Uid,
            "v" | "uidvalidity" => Self::UidValidity,
            "f" | "filename" => Self::FileName,
            "g" | "guid" => Self::Guid,
            "m" | "md5" => return Err(UidlFormatError::HeaderDigest),
            _ => return Err(UidlFormatError::Variable(name.to_owned())),
        })
    }

    fn value(self, variables: &Variables<'_>) -> Vec<u8> {
        match self {
            Self::Uid => variables.uid.to_string().into_bytes(),
            Self::UidValidity => variables.uid_validity.to_string().into_bytes(),
            Self::FileName => variables.file_name.to_vec(),
            Self::Guid => variables.guid.to_vec(),
        }
    }
}

impl Filter {
    /// A filter of 2.4; `None` for what changes nothing.
    fn named(text: &str) -> Result<Option<Self>, UidlFormatError> {
        Ok(Some(match text {
            "hex" => Self::Hex,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "reverse" => Self::Reverse,
            "md5" => Self::Md5,
            // Our digests are in hexadecimal from the beginning.
            "hexlify" => return Ok(None),
            _ => {
                let digits = text
                    .strip_prefix("hex(")
                    .and_then(|rest| rest.strip_suffix(')'));
                let width = digits.and_then(|digits| digits.trim().parse().ok());
                let width: usize = width.ok_or_else(|| UidlFormatError::Filter(text.to_owned()))?;
                match checked(width)? {
                    0 => Self::Hex,
                    width => Self::HexOf(width),
                }
            }
        }))
    }

    /// A modifier of 2.3 and before.
    fn lettered(letter: char) -> Option<Self> {
        Some(match letter {
            'X' => Self::Hex,
            'L' => Self::Lower,
            'U' => Self::Upper,
            'R' => Self::Reverse,
            'M' => Self::Md5,
            _ => return None,
        })
    }

    fn apply(&self, mut value: Vec<u8>) -> Vec<u8> {
        match *self {
            Self::Hex => hex(&value),
            Self::HexOf(width) => {
                let digits = padded(hex(&value), width);
                digits[digits.len() - width..].to_vec()
            }
            Self::Lower => value.to_ascii_lowercase(),
            Self::Upper => value.to_ascii_uppercase(),
            Self::Reverse => {
                value.reverse();
                value
            }
            Self::Md5 => {
                let mut digits = String::with_capacity(HASH_DIGITS);
                for octet in Md5::digest(&value) {
                    digits.push_str(&format!("{octet:02x}"));
                }
                digits.into_bytes()
            }
            Self::Cut(width) => {
                value.truncate(width);
                value
            }
            Self::Pad(width) => padded(value, width),
        }
    }
}

/// The value that stands behind a `%` at `at`, and what comes after it.
fn value(text: &str, at: usize) -> Result<(Piece, &str), UidlFormatError> {
    let none = || UidlFormatError::NoVariable { at };
    let zeros = text.starts_with('0');
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(none)?;
    let (width, mut rest) = text.split_at(digits);
    let width = match width {
        "" => 0,
        digits => checked(digits.parse().unwrap_or(usize::MAX))?,
    };
    let mut filters = Vec::new();
    let (variable, rest) = loop {
        let first = rest.chars().next().ok_or_else(none)?;
        let (one, after) = rest.split_at(first.len_utf8());
        if let Some(filter) = Filter::lettered(first) {
            filters.push(filter);
            rest = after;
        } else if first == '{' {
            let (inside, after) = after.split_once('}').ok_or_else(none)?;
            let mut parts = inside.split('|').map(str::trim);
            let variable = Variable::named(parts.next().unwrap_or_default())?;
            for part in parts {
                filters.extend(Filter::named(part)?);
            }
            break (variable, after);
        } else if first.is_ascii_lowercase() {
            break (Variable::named(one)?, after);
        } else {
            return Err(UidlFormatError::Filter(one.to_owned()));
        }
    };
    match (width, zeros) {
        (0, _) => {}
        (width, true) => filters.push(Filter::Pad(width)),
        (width, false) => filters.push(Filter::Cut(width)),
    }
    Ok((Piece::Value(variable, filters), rest))
}

fn checked(width: usize) -> Result<usize, UidlFormatError> {
    match width {
        ..=WIDTH_MAX => Ok(width),
        _ => Err(UidlFormatError::Width(width)),
    }
}

/// In hexadecimal; what is not a number counts as 0.
fn hex(value: &[u8]) -> Vec<u8> {
    let number: u64 = super::number(value).unwrap_or_default();
    format!("{number:x}").into_bytes()
}

fn padded(value: Vec<u8>, width: usize) -> Vec<u8> {
    let zeros = width.saturating_sub(value.len());
    let mut padded = vec![b'0'; zeros];
    padded.extend_from_slice(&value);
    padded
}

/// Reads octets as a template, and panics if what is understood does not give the same unique-id
/// each time, of bounded length.
#[cfg(feature = "testing")]
pub fn fuzz_uidl_format(octets: &[u8]) {
    let Ok(template) = std::str::from_utf8(octets) else {
        return;
    };
    let Ok(format) = template.parse::<UidlFormat>() else {
        return;
    };
    let variables = Variables {
        uid: u32::MAX,
        uid_validity: u32::MAX,
        file_name: &[0xFF; 255],
        guid: b"",
    };
    let id = format.expand(&variables);
    assert_eq!(id, format.expand(&variables));
    assert!(id.len() <= template.len() * 255);
}

#[cfg(test)]
mod tests;
