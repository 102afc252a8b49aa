//! What the state is told, one line each.
//!
//! ```text
//! mail 17 <unique-id> <announced> <octets> <header> <body> <steady> <seconds> <place>:<ticket> …
//! at 17 <place>          the message has arrived at this place, durably
//! lost 17 <place>        it has not, and its ticket is void
//! here 17 18 …           it has arrived wherever it was wanted
//! want 17 18 …           its deletion is wanted; sent: DELE was answered; quit: QUIT was; gone: a
//!                        later listing does not have it
//! refused <seconds> 17 … DELE was refused then
//! as 17 <unique-id> <announced>    the server calls it so now
//! top 17 <header>        TOP sends this header of it
//! absent <seconds> 17 …  not in the listing since; present 17 …: it is again
//! aside 17 <unique-id> <announced> <seconds> <tries> <why>
//! large 17 <unique-id> <announced> <seconds> left|headers
//! forget 17 18 …
//! ```
//!
//! `-` stands for what is not known.

use super::{
    journal::{LINE_OCTETS_MAX, escape, unescape},
    place::PlaceId,
};
use crate::{
    destination::Ticket,
    fingerprint::{Digest, Fingerprint},
};

/// Names a message in the state, for good.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EntryId(pub(crate) u64);

/// How a server names a message.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Named {
    /// Its unique-id, if it has one.
    pub unique_id: Option<Vec<u8>>,
    /// Its size, as it is listed.
    pub announced: Option<u64>,
}

/// How far the deletion of a message has come.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Deletion {
    /// It stays.
    #[default]
    None,
    /// It is to go.
    Wanted,
    /// DELE was answered with `+OK`.
    Sent,
    /// QUIT was answered with `+OK` after that.
    Quit,
    /// A later listing did not have it any more.
    Gone,
}

/// One thing that the state is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Record {
    Mail {
        id: EntryId,
        named: Named,
        fingerprint: Fingerprint,
        seconds: u64,
        tickets: Vec<(PlaceId, Ticket)>,
    },
    At(EntryId, PlaceId),
    Lost(EntryId, PlaceId),
    Here(Vec<EntryId>),
    Deletion(Deletion, Vec<EntryId>),
    Refused(u64, Vec<EntryId>),
    As(EntryId, Named),
    Top(EntryId, Digest),
    Absent(u64, Vec<EntryId>),
    Present(Vec<EntryId>),
    Aside {
        id: EntryId,
        named: Named,
        seconds: u64,
        tries: u32,
        why: String,
    },
    Large {
        id: EntryId,
        named: Named,
        seconds: u64,
        headers: bool,
    },
    Forget(Vec<EntryId>),
}

const NOTHING: &str = "-";
/// So many entries are named in one line.
const IDS_MAX: usize = 2000;
/// So much is kept of why a message was set aside.
const WHY_OCTETS_MAX: usize = 400;
/// A unique-id that is longer counts as none: it would not fit a line.
const UNIQUE_ID_OCTETS_MAX: usize = 4 * 1024;
/// No state comes so far by counting.
const ID_MAX: u64 = 1 << 62;

impl Named {
    /// A message that is listed so.
    #[must_use]
    pub fn new(unique_id: Option<&[u8]>, announced: Option<u64>) -> Self {
        let fits = unique_id.filter(|id| id.len() <= UNIQUE_ID_OCTETS_MAX);
        Self {
            unique_id: fits.map(Into::into),
            announced,
        }
    }
}

impl Deletion {
    const WORDS: [(Self, &'static str); 4] = [
        (Self::Wanted, "want"),
        (Self::Sent, "sent"),
        (Self::Quit, "quit"),
        (Self::Gone, "gone"),
    ];
}

impl Record {
    /// The lines that say this: several, where one would be too long.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Here(ids) => lists("here", ids),
            Self::Present(ids) => lists("present", ids),
            Self::Forget(ids) => lists("forget", ids),
            Self::Absent(seconds, ids) => lists(&format!("absent {seconds}"), ids),
            Self::Refused(seconds, ids) => lists(&format!("refused {seconds}"), ids),
            Self::Deletion(stage, ids) => {
                let word = Deletion::WORDS.iter().find(|(known, _)| known == stage);
                word.map(|(_, word)| lists(word, ids)).unwrap_or_default()
            }
            Self::At(id, place) => vec![format!("at {} {place}", id.0)],
            Self::Lost(id, place) => vec![format!("lost {} {place}", id.0)],
            Self::As(id, named) => vec![format!("as {} {}", id.0, name(named))],
            Self::Top(id, header) => vec![format!("top {} {header}", id.0)],
            Self::Aside {
                id,
                named,
                seconds,
                tries,
                why,
            } => {
                let why = cut(why);
                let named = name(named);
                vec![format!("aside {} {named} {seconds} {tries} {why}", id.0)]
            }
            Self::Large {
                id,
                named,
                seconds,
                headers,
            } => {
                let what = if *headers { "headers" } else { "left" };
                vec![format!("large {} {} {seconds} {what}", id.0, name(named))]
            }
            Self::Mail { .. } => vec![self.mail_line()],
        }
    }

    fn mail_line(&self) -> String {
        let Self::Mail {
            id,
            named,
            fingerprint,
            seconds,
            tickets,
        } = self
        else {
            return String::new();
        };
        let Fingerprint {
            octets,
            header,
            body,
            steady,
        } = fingerprint;
        let steady = steady.map_or(NOTHING.into(), |digest| digest.to_string());
        let named = name(named);
        let mut line = format!(
            "mail {} {named} {octets} {header} {body} {steady} {seconds}",
            id.0
        );
        for (place, ticket) in tickets {
            let ticket = format!(" {place}:{}", escape(ticket.octets()));
            // A ticket that does not fit is one that is not known: the message is fetched again.
            if line.len() + ticket.len() + 16 < LINE_OCTETS_MAX {
                line.push_str(&ticket);
            }
        }
        line
    }

    /// What a line says; `None`: it makes no sense.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let (word, rest) = line.split_once(' ')?;
        let mut fields = rest.split(' ');
        let record = match word {
            "here" => return Some(Self::Here(ids(fields)?)),
            "present" => return Some(Self::Present(ids(fields)?)),
            "forget" => return Some(Self::Forget(ids(fields)?)),
            "absent" => {
                let seconds = number(fields.next()?)?;
                return Some(Self::Absent(seconds, ids(fields)?));
            }
            "refused" => {
                let at = number(fields.next()?)?;
                return Some(Self::Refused(at, ids(fields)?));
            }
            "mail" => return parse_mail(fields),
            "at" => Self::At(id(fields.next()?)?, fields.next()?.parse().ok()?),
            "lost" => Self::Lost(id(fields.next()?)?, fields.next()?.parse().ok()?),
            "as" => Self::As(id(fields.next()?)?, parse_name(&mut fields)?),
            "top" => Self::Top(id(fields.next()?)?, digest(fields.next()?)?),
            "aside" => Self::Aside {
                id: id(fields.next()?)?,
                named: parse_name(&mut fields)?,
                seconds: number(fields.next()?)?,
                tries: fields.next()?.parse().ok()?,
                why: String::from_utf8(unescape(fields.next()?)?).ok()?,
            },
            "large" => Self::Large {
                id: id(fields.next()?)?,
                named: parse_name(&mut fields)?,
                seconds: number(fields.next()?)?,
                headers: match fields.next()? {
                    "headers" => true,
                    "left" => false,
                    _ => return None,
                },
            },
            _ => {
                let (stage, _) = Deletion::WORDS.iter().find(|(_, known)| *known == word)?;
                return Some(Self::Deletion(*stage, ids(fields)?));
            }
        };
        fields.next().is_none().then_some(record)
    }
}

fn parse_mail<'f>(mut fields: impl Iterator<Item = &'f str>) -> Option<Record> {
    let id = id(fields.next()?)?;
    let named = parse_name(&mut fields)?;
    let octets = number(fields.next()?)?;
    let (header, body) = (digest(fields.next()?)?, digest(fields.next()?)?);
    let steady = match fields.next()? {
        NOTHING => None,
        text => Some(digest(text)?),
    };
    let seconds = number(fields.next()?)?;
    let ticket = |field: &str| {
        let (place, ticket) = field.split_once(':')?;
        Some((place.parse().ok()?, Ticket::new(unescape(ticket)?)?))
    };
    Some(Record::Mail {
        id,
        named,
        fingerprint: Fingerprint {
            octets,
            header,
            body,
            steady,
        },
        seconds,
        tickets: fields.map(ticket).collect::<Option<_>>()?,
    })
}

fn lists(word: &str, ids: &[EntryId]) -> Vec<String> {
    let chunks = ids.chunks(IDS_MAX);
    let line = |ids: &[EntryId]| {
        let mut line = word.to_owned();
        for id in ids {
            line.push(' ');
            line.push_str(&id.0.to_string());
        }
        line
    };
    chunks.map(line).collect()
}

fn name(named: &Named) -> String {
    let unique_id = match &named.unique_id {
        None => NOTHING.into(),
        Some(id) => escape(id),
    };
    let announced = named.announced.map_or(NOTHING.into(), |it| it.to_string());
    format!("{unique_id} {announced}")
}

fn parse_name<'f>(fields: &mut impl Iterator<Item = &'f str>) -> Option<Named> {
    let unique_id = match fields.next()? {
        NOTHING => None,
        text => Some(unescape(text)?),
    };
    let announced = match fields.next()? {
        NOTHING => None,
        text => Some(number(text)?),
    };
    Some(Named {
        unique_id,
        announced,
    })
}

fn cut(why: &str) -> String {
    let mut end = why.len().min(WHY_OCTETS_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    escape(why.get(..end).unwrap_or_default().as_bytes())
}

/// A number without sign or leading zeros: there is one way to write each.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn id(text: &str) -> Option<EntryId> {
    number(text).filter(|id| *id <= ID_MAX).map(EntryId)
}

fn ids<'f>(fields: impl Iterator<Item = &'f str>) -> Option<Vec<EntryId>> {
    fields.map(id).collect()
}

fn digest(text: &str) -> Option<Digest> {
    let mut octets = [0; 32];
    if text.len() != 2 * octets.len() || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    for (octet, digits) in octets.iter_mut().zip(text.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Digest::from_octets(octets))
}
