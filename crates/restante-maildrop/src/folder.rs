//! Folders beside INBOX: how they are called, and which of them POP shows.
//!
//! They are those of a Maildir++: a directory `.Junk` in the Maildir is the folder *Junk*, one
//! `.Lists.rust` is *rust* below *Lists*. People write `Lists/rust`, IMAP servers put the octets
//! of RFC 3501 §5.1.3 (modified UTF-7) on the disk. A name is never a path.

use std::{fmt, str::FromStr, sync::Arc};

/// Linux file systems take names of 255 octets; one is the dot.
const NAME_OCTETS_MAX: usize = 254;
const INBOX: &str = "INBOX";
/// Separates a folder from the one it is in.
const LEVEL: char = '.';
/// Begins and ends what is not ASCII (RFC 3501 §5.1.3).
const SHIFT: char = '&';
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
const BITS_OF_UNIT: usize = 16;
const BITS_OF_DIGIT: usize = 6;

/// A folder's name as it stands on the disk, without the leading dot; or INBOX.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FolderName(Arc<str>);

/// What a message is marked with where its folder is shown: it is put before the subject.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Tag(Arc<str>);

/// A folder that is shown besides INBOX.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ShownFolder {
    /// Which one; never INBOX.
    pub name: FolderName,
    /// What its messages are marked with, if they are.
    pub tag: Option<Tag>,
}

/// The folders that are shown besides INBOX, each once.
///
/// As text they are separated by commas, each with its tag behind a `=`: `Lists,Junk=[junk] `;
/// `none` if there is none.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ShownFolders(Arc<[ShownFolder]>);

/// Why something is no folder, no tag, or no list of folders.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A folder's name would not stay one directory's name (PRJ-STORE-1).
    #[error("`{0}` cannot be a folder's name")]
    Name(String),
    /// INBOX stands where only other folders can.
    #[error("INBOX is always shown, as it is")]
    Inbox,
    /// A tag that mail programs would not show as it is.
    #[error("a tag is 1 to {max} printable ASCII characters without a comma, not first a space", max = Tag::OCTETS_MAX)]
    Tag,
    /// A folder stands twice.
    #[error("folder `{0}` stands twice")]
    Twice(String),
    /// Each costs descriptors, and every poll a look at it.
    #[error("at most {max} folders can be shown", max = ShownFolders::MAX)]
    TooMany,
}

impl FolderName {
    /// The folder that a person calls so: levels end with `/` or `.`, any characters will do that
    /// an IMAP server would take. What is modified UTF-7 already stays as it is; a leading
    /// `INBOX.`, as some servers write it, is left out.
    ///
    /// # Errors
    /// [`FolderError::Name`].
    pub fn new(name: &str) -> Result<Self, FolderError> {
        if name.eq_ignore_ascii_case(INBOX) {
            return Ok(Self::inbox());
        }
        let refused = || FolderError::Name(name.to_owned());
        let levels = name.replace('/', ".");
        let levels = match levels.split_at_checked(INBOX.len() + 1) {
            Some((first, rest)) if first.eq_ignore_ascii_case("INBOX.") => rest,
            _ => &levels,
        };
        let sound = levels.split(LEVEL).all(|level| !level.is_empty());
        if !sound || levels.chars().any(char::is_control) {
            return Err(refused());
        }
        let octets = match is_encoded(levels) {
            true => levels.to_owned(),
            false => encoded(levels),
        };
        match octets.len() <= NAME_OCTETS_MAX && !octets.eq_ignore_ascii_case(INBOX) {
            true => Ok(Self(octets.into())),
            false => Err(refused()),
        }
    }

    /// The folder that every mailbox has.
    #[must_use]
    pub fn inbox() -> Self {
        Self(INBOX.into())
    }

    /// Whether it is INBOX.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        &*self.0 == INBOX
    }

    /// The name on the disk, without the leading dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What its directory in a Maildir is called.
    pub(crate) fn directory(&self) -> Vec<u8> {
        [b".", self.0.as_bytes()].concat()
    }

    /// The folder of this directory, if it is one.
    pub(crate) fn of_directory(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name.strip_prefix(b".")?).ok()?;
        let folder = Self::new(name).ok()?;
        (folder.as_str() == name).then_some(folder)
    }
}

impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decoded(&self.0).unwrap_or_else(|| self.0.to_string()))
    }
}

impl Tag {
    /// No tag is longer.
    pub const OCTETS_MAX: usize = 64;

    /// The tag of this text.
    ///
    /// # Errors
    /// [`FolderError::Tag`].
    pub fn new(text: &str) -> Result<Self, FolderError> {
        let printable = |octet: u8| (octet == b' ' || octet.is_ascii_graphic()) && octet != b',';
        let sound = (1..=Self::OCTETS_MAX).contains(&text.len())
            && text.bytes().all(printable)
            && !text.starts_with(' ');
        match sound {
            true => Ok(Self(text.into())),
            false => Err(FolderError::Tag),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ShownFolders {
    /// More folders than this are not shown.
    pub const MAX: usize = 8;

    /// These folders.
    ///
    /// # Errors
    /// [`FolderError`] if INBOX is among them, one stands twice, or they are too many.
    pub fn new(folders: Vec<ShownFolder>) -> Result<Self, FolderError> {
        if folders.len() > Self::MAX {
            return Err(FolderError::TooMany);
        }
        for (at, folder) in folders.iter().enumerate() {
            if folder.name.is_inbox() {
                return Err(FolderError::Inbox);
            }
            let mut before = folders.iter().take(at);
            if before.any(|other| other.name == folder.name) {
                return Err(FolderError::Twice(folder.name.to_string()));
            }
        }
        Ok(Self(folders.into()))
    }

    /// The folders, in the order in which they were chosen.
    #[must_use]
    pub fn as_slice(&self) -> &[ShownFolder] {
        &self.0
    }
}

impl fmt::Display for ShownFolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, folder) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{}", folder.name)?;
            if let Some(tag) = &folder.tag {
                write!(f, "={}", tag.as_str())?;
            }
        }
        Ok(())
    }
}

impl FromStr for ShownFolders {
    type Err = FolderError;

    fn from_str(text: &str) -> Result<Self, FolderError> {
        if text == "none" {
            return Ok(Self::default());
        }
        let folders = text.split(',').map(|one| {
            let (name, tag) = match one.split_once('=') {
                Some((name, tag)) => (name, Some(Tag::new(tag)?)),
                None => (one, None),
            };
            let name = FolderName::new(name)?;
            Ok(ShownFolder { name, tag })
        });
        Self::new(folders.collect::<Result<_, _>>()?)
    }
}

/// Modified UTF-7.
fn encoded(name: &str) -> String {
    let mut out = String::new();
    let mut shifted: Vec<u16> = Vec::new();
    for character in name.chars() {
        if !matches!(character, ' '..='~') {
            shifted.extend_from_slice(character.encode_utf16(&mut [0; 2]));
            continue;
        }
        shift(&mut shifted, &mut out);
        out.push(character);
        if character == SHIFT {
            out.push('-');
        }
    }
    shift(&mut shifted, &mut out);
    out
}

/// Ends a run of characters that are not ASCII.
fn shift(units: &mut Vec<u16>, out: &mut String) {
    if units.is_empty() {
        return;
    }
    out.push(SHIFT);
    let (mut held, mut bits) = (0_u32, 0);
    let digit = |value: u32| char::from(ALPHABET[(value & 0x3F) as usize]);
    for unit in units.drain(..) {
        (held, bits) = (held << BITS_OF_UNIT | u32::from(unit), bits + BITS_OF_UNIT);
        while bits >= BITS_OF_DIGIT {
            bits -= BITS_OF_DIGIT;
            out.push(digit(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(digit(held << (BITS_OF_DIGIT - bits)));
    }
    out.push('-');
}

/// Whether it is modified UTF-7 and would not be that of itself.
fn is_encoded(name: &str) -> bool {
    name.contains(SHIFT) && decoded(name).is_some_and(|decoded| encoded(&decoded) == name)
}

/// What is written so in modified UTF-7; `None` if it is not.
fn decoded(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once(SHIFT) {
        out.push_str(before);
        let (digits, after) = after.split_once('-')?;
        rest = after;
        if digits.is_empty() {
            out.push(SHIFT);
            continue;
        }
        let (mut held, mut bits) = (0_u32, 0);
        let mut units = Vec::new();
        for digit in digits.bytes() {
            let value = ALPHABET.iter().position(|&one| one == digit)?;
            held = held << BITS_OF_DIGIT | u32::try_from(value).ok()?;
            bits += BITS_OF_DIGIT;
            if bits >= BITS_OF_UNIT {
                bits -= BITS_OF_UNIT;
                units.push(u16::try_from(held >> bits).ok()?);
                held &= (1 << bits) - 1;
            }
        }
        out.push_str(&String::from_utf16(&units).ok()?);
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests;
