//! Commands of the client (RFC 1939 §5–7, RFC 2449 §5, RFC 2595 §4, RFC 5034 §4, RFC 6856 §2–3).

use alloc::{string::String, vec::Vec};
use core::fmt;

use secrecy::SecretSlice;

use crate::{MessageNumber, language::LanguageRange};

/// The longest SASL mechanism name (RFC 4422 §3.1).
const MECHANISM_OCTETS_MAX: usize = 20;

/// The length of an MD5 digest in hexadecimal digits.
const DIGEST_OCTETS: usize = 32;

/// One command of the client, with its arguments checked for form, not for sense.
///
/// `Debug` shows no secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// `APOP name digest`: the digest is 32 lower-case hexadecimal digits.
    Apop {
        /// The mailbox.
        name: String,
        /// The digest of timestamp and secret.
        digest: SecretSlice<u8>,
    },
    /// `AUTH mechanism [initial-response]`.
    Auth(Auth),
    /// `AUTH` alone: a list of the mechanisms is wanted (R1734-AUTH-5).
    AuthList,
    /// `CAPA`.
    Capa,
    /// `DELE msg`.
    Dele(MessageNumber),
    /// `LANG [range]`; without one, a list is wanted.
    Lang(Option<LanguageRange>),
    /// `LIST [msg]`.
    List(Option<MessageNumber>),
    /// `NOOP`.
    Noop,
    /// `PASS string`: everything after the first SP, as sent (R1939-PASS-2).
    Pass(SecretSlice<u8>),
    /// `QUIT`.
    Quit,
    /// `RETR msg`.
    Retr(MessageNumber),
    /// `RSET`.
    Rset,
    /// `STAT`.
    Stat,
    /// `STLS`.
    Stls,
    /// `TOP msg n`.
    Top {
        /// The message.
        number: MessageNumber,
        /// Lines of the body.
        lines: u64,
    },
    /// `UIDL [msg]`.
    Uidl(Option<MessageNumber>),
    /// `USER name`.
    User(String),
    /// `UTF8`.
    Utf8,
}

/// What AUTH asks for.
#[derive(Debug)]
pub struct Auth {
    /// The mechanism's name, in upper case.
    pub mechanism: String,
    /// Base64 as sent, or `=` for a present but empty one (R5034-IR-1); not decoded.
    pub initial_response: Option<SecretSlice<u8>>,
}

/// The keyword of a command.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Keyword {
    /// RFC 1939 §7.
    Apop,
    /// RFC 5034 §4.
    Auth,
    /// RFC 2449 §5.
    Capa,
    /// RFC 1939 §5.
    Dele,
    /// RFC 6856 §3.
    Lang,
    /// RFC 1939 §5.
    List,
    /// RFC 1939 §5.
    Noop,
    /// RFC 1939 §7.
    Pass,
    /// RFC 1939 §4, §6.
    Quit,
    /// RFC 1939 §5.
    Retr,
    /// RFC 1939 §5.
    Rset,
    /// RFC 1939 §5.
    Stat,
    /// RFC 2595 §4.
    Stls,
    /// RFC 1939 §7.
    Top,
    /// RFC 1939 §7.
    Uidl,
    /// RFC 1939 §7.
    User,
    /// RFC 6856 §2.
    Utf8,
}

impl Keyword {
    /// All of them, in the order of the alphabet.
    pub const ALL: [Self; 17] = [
        Self::Apop,
        Self::Auth,
        Self::Capa,
        Self::Dele,
        Self::Lang,
        Self::List,
        Self::Noop,
        Self::Pass,
        Self::Quit,
        Self::Retr,
        Self::Rset,
        Self::Stat,
        Self::Stls,
        Self::Top,
        Self::Uidl,
        Self::User,
        Self::Utf8,
    ];

    /// As it stands on the wire, in upper case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apop => "APOP",
            Self::Auth => "AUTH",
            Self::Capa => "CAPA",
            Self::Dele => "DELE",
            Self::Lang => "LANG",
            Self::List => "LIST",
            Self::Noop => "NOOP",
            Self::Pass => "PASS",
            Self::Quit => "QUIT",
            Self::Retr => "RETR",
            Self::Rset => "RSET",
            Self::Stat => "STAT",
            Self::Stls => "STLS",
            Self::Top => "TOP",
            Self::Uidl => "UIDL",
            Self::User => "USER",
            Self::Utf8 => "UTF8",
        }
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a client's line is not a command. The connection stays usable: answer `-ERR` and go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The first word is no keyword; an empty line has none.
    #[error("unknown command")]
    Unknown,
    /// An argument to a command that takes none, or one too many.
    #[error("surplus argument to {0:?}")]
    Surplus(Keyword),
    /// An argument is not there.
    #[error("missing argument to {0:?}")]
    Missing(Keyword),
    /// The message-number is not 1 to 2³²−1 in decimal digits.
    #[error("invalid message-number for {0:?}")]
    MessageNumber(Keyword),
    /// The line count of TOP is not 0 to 2⁶⁴−1 in decimal digits.
    #[error("invalid line count for TOP")]
    LineCount,
    /// A name is not UTF-8 (R6856-USER-3).
    #[error("name given to {0:?} is not UTF-8")]
    NotUtf8(Keyword),
    /// Not 32 hexadecimal digits (PRJ-APOP-6).
    #[error("invalid digest for APOP")]
    Digest,
    /// Not a mechanism's name (R5034-AUTH-1).
    #[error("invalid mechanism name for AUTH")]
    Mechanism,
    /// Not a language range (RFC 4647 §2.1).
    #[error("invalid language range for LANG")]
    LanguageRange,
}

impl CommandError {
    /// The command whose arguments are wrong, or `None` if there is no such command.
    #[must_use]
    pub const fn keyword(&self) -> Option<Keyword> {
        match self {
            Self::Unknown => None,
            Self::Surplus(keyword)
            | Self::Missing(keyword)
            | Self::MessageNumber(keyword)
            | Self::NotUtf8(keyword) => Some(*keyword),
            Self::LineCount => Some(Keyword::Top),
            Self::Digest => Some(Keyword::Apop),
            Self::Mechanism => Some(Keyword::Auth),
            Self::LanguageRange => Some(Keyword::Lang),
        }
    }
}

impl Command {
    /// The command's keyword.
    #[must_use]
    pub const fn keyword(&self) -> Keyword {
        match self {
            Self::Apop { .. } => Keyword::Apop,
            Self::Auth(_) | Self::AuthList => Keyword::Auth,
            Self::Capa => Keyword::Capa,
            Self::Dele(_) => Keyword::Dele,
            Self::Lang(_) => Keyword::Lang,
            Self::List(_) => Keyword::List,
            Self::Noop => Keyword::Noop,
            Self::Pass(_) => Keyword::Pass,
            Self::Quit => Keyword::Quit,
            Self::Retr(_) => Keyword::Retr,
            Self::Rset => Keyword::Rset,
            Self::Stat => Keyword::Stat,
            Self::Stls => Keyword::Stls,
            Self::Top { .. } => Keyword::Top,
            Self::Uidl(_) => Keyword::Uidl,
            Self::User(_) => Keyword::User,
            Self::Utf8 => Keyword::Utf8,
        }
    }

    /// Parses one line, given without its CRLF.
    ///
    /// RFC 2449 §3, with the arguments of each command as its own RFC has them:
    ///
    /// ```abnf
    /// command       = keyword *(SP param) CRLF    ; 255 octets maximum
    /// keyword       = 3*4VCHAR
    /// param         = 1*VCHAR
    /// auth-command  = "AUTH" SP mechanism [SP initial-response]   ; RFC 5034 §5
    /// initial-response = base64 / "="
    /// lang-command  = "LANG" [SP lang-range]                      ; RFC 6856 §3.2
    /// ```
    ///
    /// Deviations: the argument of PASS is the rest of the line, whatever it holds; `AUTH` and
    /// `AUTH ` with a trailing SP (Outlook) are a command.
    ///
    /// # Errors
    /// [`CommandError`] says what is wrong, never quoting the line.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let (word, rest) = match memchr::memchr(b' ', line) {
            Some(space) => {
                let (word, rest) = line.split_at(space);
                (word, rest.get(1..))
            }
            None => (line, None),
        };
        // R1939-FRAME-4: whole words only, so a longer first word is never taken for a prefix.
        let keyword = Keyword::ALL
            .into_iter()
            .find(|keyword| keyword.as_str().as_bytes().eq_ignore_ascii_case(word)) // R1939-FRAME-2
            .ok_or(CommandError::Unknown)?;
        Arguments { keyword, rest }.parse()
    }
}

/// What follows the keyword: nothing, or a SP and the rest of the line.
struct Arguments<'l> {
    keyword: Keyword,
    rest: Option<&'l [u8]>,
}

impl<'l> Arguments<'l> {
    fn parse(self) -> Result<Command, CommandError> {
        Ok(match self.keyword {
            Keyword::Apop => self.apop()?,
            Keyword::Auth => self.auth()?,
            Keyword::Capa => self.none(Command::Capa)?,
            Keyword::Dele => Command::Dele(self.number()?),
            Keyword::Lang => Command::Lang(self.language_range()?),
            Keyword::List => Command::List(self.optional_number()?),
            Keyword::Noop => self.none(Command::Noop)?,
            Keyword::Pass => Command::Pass(self.string()?),
            Keyword::Quit => self.none(Command::Quit)?,
            Keyword::Retr => Command::Retr(self.number()?),
            Keyword::Rset => self.none(Command::Rset)?,
            Keyword::Stat => self.none(Command::Stat)?,
            Keyword::Stls => self.none(Command::Stls)?,
            Keyword::Top => self.top()?,
            Keyword::Uidl => Command::Uidl(self.optional_number()?),
            Keyword::User => {
                let [name] = self.words()?;
                Command::User(self.name(name)?)
            }
            Keyword::Utf8 => self.none(Command::Utf8)?,
        })
    }

    /// PRJ-ERR-3.
    fn none(&self, command: Command) -> Result<Command, CommandError> {
        match self.rest {
            None => Ok(command),
            Some(_) => Err(CommandError::Surplus(self.keyword)),
        }
    }

    /// Exactly `N` words, one SP between them (PRJ-ERR-4).
    fn words<const N: usize>(&self) -> Result<[&'l [u8]; N], CommandError> {
        let missing = CommandError::Missing(self.keyword);
        let mut given = self.rest.ok_or(missing)?.split(|&octet| octet == b' ');
        let mut words: [&'l [u8]; N] = [&[]; N];
        for word in &mut words {
            *word = given
                .next()
                .filter(|word| !word.is_empty())
                .ok_or(missing)?;
        }
        match given.next() {
            None => Ok(words),
            Some(_) => Err(CommandError::Surplus(self.keyword)),
        }
    }

    fn number(&self) -> Result<MessageNumber, CommandError> {
        let [number] = self.words()?;
        self.message_number(number)
    }

    fn optional_number(&self) -> Result<Option<MessageNumber>, CommandError> {
        self.rest.map(|_| self.number()).transpose()
    }

    fn message_number(&self, digits: &[u8]) -> Result<MessageNumber, CommandError> {
        decimal(digits)
            .and_then(|number| u32::try_from(number).ok())
            .and_then(MessageNumber::new)
            .ok_or(CommandError::MessageNumber(self.keyword))
    }

    fn name(&self, name: &[u8]) -> Result<String, CommandError> {
        let name = core::str::from_utf8(name).map_err(|_| CommandError::NotUtf8(self.keyword))?;
        Ok(String::from(name))
    }

    /// R1939-PASS-2: spaces included, the first after the keyword apart. May be empty.
    fn string(&self) -> Result<SecretSlice<u8>, CommandError> {
        let string = self.rest.ok_or(CommandError::Missing(self.keyword))?;
        Ok(secret(string))
    }

    fn top(&self) -> Result<Command, CommandError> {
        let [number, lines] = self.words()?;
        Ok(Command::Top {
            number: self.message_number(number)?,
            // PRJ-TOP-5: a count beyond 64 bits is refused, never wrapped.
            lines: decimal(lines).ok_or(CommandError::LineCount)?,
        })
    }

    fn apop(&self) -> Result<Command, CommandError> {
        let [name, digest] = self.words()?;
        let name = self.name(name)?;
        let hexadecimal = digest.iter().all(u8::is_ascii_hexdigit);
        if digest.len() != DIGEST_OCTETS || !hexadecimal {
            return Err(CommandError::Digest);
        }
        let digest = SecretSlice::from(digest.to_ascii_lowercase());
        Ok(Command::Apop { name, digest })
    }

    fn auth(&self) -> Result<Command, CommandError> {
        // R1734-AUTH-5.
        let Some(rest) = self.rest.filter(|rest| !rest.is_empty()) else {
            return Ok(Command::AuthList);
        };
        let (name, initial_response) = match memchr::memchr(b' ', rest) {
            None => (rest, None),
            Some(_) => {
                let [name, initial_response] = self.words()?;
                (name, Some(secret(initial_response)))
            }
        };
        let legal = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if name.len() > MECHANISM_OCTETS_MAX || !name.iter().all(legal) {
            return Err(CommandError::Mechanism);
        }
        let mechanism = self.name(name)?.to_ascii_uppercase();
        Ok(Command::Auth(Auth {
            mechanism,
            initial_response,
        }))
    }

    fn language_range(&self) -> Result<Option<LanguageRange>, CommandError> {
        if self.rest.is_none() {
            return Ok(None);
        }
        let [range] = self.words()?;
        match LanguageRange::new(range) {
            Some(range) => Ok(Some(range)),
            None => Err(CommandError::LanguageRange),
        }
    }
}

/// A copy of exactly its length, so that making it a secret leaves no second copy behind.
fn secret(octets: &[u8]) -> SecretSlice<u8> {
    SecretSlice::from(Vec::from(octets))
}

/// The value of 1*DIGIT, leading zeros and all (PRJ-NUM-2, PRJ-NUM-3); `None` beyond 64 bits
/// (PRJ-NUM-4).
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests;
