//! Where an account's Maildir is: a template filled with an account's validated parts.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::MailboxId;

/// The longest name of a directory that Linux file systems take.
const COMPONENT_OCTETS_MAX: usize = 255;

/// A parsed template such as `/var/mail/{domain}/{user}` or `{home}/Maildir`.
///
/// What stands before the first placeholder, or the home directory, is the operator's: it must
/// exist and is never made, so that a volume that is not mounted is not taken for empty mailboxes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Location {
    base: Base,
    /// The directories below the base, from the outermost.
    below: Vec<Vec<Piece>>,
}

/// Where one account's Maildir is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// The operator's directory: it must exist.
    pub(crate) base: PathBuf,
    /// Directories below it that may be made, from the outermost; the last one is the Maildir.
    pub(crate) below: Vec<OsString>,
}

/// Why there is no location.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The template is not an absolute path and does not begin with `{home}`.
    #[error("mailbox location `{0}` is neither absolute nor below {{home}}")]
    Relative(String),
    /// The template has a component of `.` or `..`, or none.
    #[error("mailbox location `{0}` has an empty, `.` or `..` component")]
    Component(String),
    /// The template names something else than `{domain}`, `{user}`, `{address}` or `{home}`,
    /// leaves a brace open, or has `{home}` elsewhere than at the beginning.
    #[error("mailbox location `{0}` has an unknown or misplaced placeholder")]
    Placeholder(String),
    /// The template needs a domain, and the account's name has none.
    #[error("account `{0}` has no domain for the mailbox location")]
    NoDomain(String),
    /// The template needs a home directory, and the account has none that is absolute.
    #[error("account `{0}` has no home directory for the mailbox location")]
    NoHome(String),
    /// The account's own location is not absolute.
    #[error("location of account `{0}` is not absolute")]
    OwnRelative(String),
    /// A part of the account's name would not stay inside its directory (PRJ-STORE-1).
    #[error("account `{0}` has a name that cannot be a directory's")]
    Name(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Base {
    Path(PathBuf),
    Home,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Domain,
    User,
    Address,
}

impl Location {
    /// Parses a template: an absolute path, or one that begins with `{home}`, with `{domain}`,
    /// `{user}` and `{address}` anywhere in its components.
    ///
    /// # Errors
    /// [`LocationError`] names what is wrong with it.
    pub fn new(template: &str) -> Result<Self, LocationError> {
        let (home, path) = match template.strip_prefix("{home}") {
            Some(rest) => (true, rest),
            None => (false, template),
        };
        let anchored = path.starts_with('/') || (home && path.is_empty());
        if !anchored || template.contains('\0') {
            return Err(LocationError::Relative(template.to_owned()));
        }
        let mut components = Vec::new();
        for component in path.split('/').skip(1) {
            if matches!(component, "." | "..") {
                return Err(LocationError::Component(template.to_owned()));
            }
            // `//` and a final `/` are harmless and common.
            if !component.is_empty() {
                let pieces = pieces_of(component);
                components.push(pieces.ok_or(LocationError::Placeholder(template.to_owned()))?);
            }
        }
        let mut base = PathBuf::from("/");
        if !home {
            let literal = components
                .iter()
                .take_while(|pieces| matches!(pieces[..], [Piece::Text(_)]))
                .count();
            // A template without placeholders is one Maildir, which may be made.
            let literal = literal.min(components.len().saturating_sub(1));
            for pieces in components.drain(..literal) {
                base.extend(pieces.iter().filter_map(Piece::text));
            }
            if components.is_empty() {
                return Err(LocationError::Component(template.to_owned()));
            }
        }
        Ok(Self {
            base: if home { Base::Home } else { Base::Path(base) },
            below: components,
        })
    }

    /// Where the Maildir of `mailbox` is.
    ///
    /// # Errors
    /// [`LocationError`] when the account lacks what the template needs, or its name could lead
    /// out of the place meant for it. PRJ-STORE-1
    pub(crate) fn of(&self, mailbox: &MailboxId) -> Result<Place, LocationError> {
        let account = &mailbox.account;
        if let Some(own) = &mailbox.location {
            return own_place(own).ok_or_else(|| LocationError::OwnRelative(account.clone()));
        }
        let base = match &self.base {
            Base::Path(path) => path.clone(),
            Base::Home => {
                let home = mailbox.home.as_ref().filter(|home| home.is_absolute());
                home.ok_or_else(|| LocationError::NoHome(account.clone()))?
                    .clone()
            }
        };
        let below = self.below.iter().map(|pieces| fill(pieces, account));
        Ok(Place {
            base,
            below: below.collect::<Result<_, _>>()?,
        })
    }
}

impl Place {
    /// The Maildir's path.
    pub(crate) fn path(&self) -> PathBuf {
        self.below.iter().fold(self.base.clone(), |mut path, name| {
            path.push(name);
            path
        })
    }
}

impl Piece {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Domain | Self::User | Self::Address => None,
        }
    }
}

fn own_place(own: &Path) -> Option<Place> {
    let (parent, name) = own
        .is_absolute()
        .then(|| Some((own.parent()?, own.file_name()?)))??;
    Some(Place {
        base: parent.to_owned(),
        below: vec![name.to_owned()],
    })
}

fn pieces_of(component: &str) -> Option<Vec<Piece>> {
    let mut parts = component.split('{');
    let mut pieces = text_of(parts.next()?)?;
    for part in parts {
        let (name, text) = part.split_once('}')?;
        pieces.push(match name {
            "domain" => Piece::Domain,
            "user" => Piece::User,
            "address" => Piece::Address,
            _ => return None,
        });
        pieces.append(&mut text_of(text)?);
    }
    Some(pieces)
}

fn text_of(text: &str) -> Option<Vec<Piece>> {
    let piece = (!text.is_empty()).then(|| Piece::Text(text.to_owned()));
    (!text.contains('}')).then(|| piece.into_iter().collect())
}

fn fill(pieces: &[Piece], account: &str) -> Result<OsString, LocationError> {
    let (user, domain) = match account.rsplit_once('@') {
        Some((user, domain)) => (user, Some(domain)),
        None => (account, None),
    };
    let mut name = String::new();
    for piece in pieces {
        let part = match piece {
            Piece::Text(text) => {
                name.push_str(text);
                continue;
            }
            Piece::User => user,
            Piece::Address => account,
            Piece::Domain => domain.ok_or_else(|| LocationError::NoDomain(account.to_owned()))?,
        };
        if !is_safe(part) {
            return Err(LocationError::Name(account.to_owned()));
        }
        name.push_str(part);
    }
    if name.len() > COMPONENT_OCTETS_MAX {
        return Err(LocationError::Name(account.to_owned()));
    }
    Ok(name.into())
}

/// Whether a part of an account's name stays one directory's name wherever it stands.
///
/// A dot in front is refused as well: it is hidden to some programs, and in a Maildir++ it is
/// another mailbox's folder.
fn is_safe(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && !part.contains(|c: char| c == '/' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(account: &str) -> MailboxId {
        MailboxId {
            account: account.to_owned(),
            home: Some("/home/them".into()),
            location: None,
        }
    }

    fn path(template: &str, account: &str) -> Result<PathBuf, LocationError> {
        let place = Location::new(template)?.of(&mailbox(account))?;
        Ok(place.path())
    }

    #[test]
    fn templates_are_filled() {
        for (template, expected) in [
            ("/var/mail/{domain}/{user}", "/var/mail/example.com/me"),
            (
                "/var/mail//{domain}-{user}/Maildir/",
                "/var/mail/example.com-me/Maildir",
            ),
            ("/srv/{address}", "/srv/me@example.com"),
            ("{home}/Maildir", "/home/them/Maildir"),
            ("{home}", "/home/them"),
            ("/one/box", "/one/box"),
        ] {
            assert_eq!(
                path(template, "me@example.com").unwrap(),
                PathBuf::from(expected)
            );
        }
        assert_eq!(path("/v/{user}", "a@b@c").unwrap(), PathBuf::from("/v/a@b"));
    }

    #[test]
    fn the_operators_part_is_apart_from_what_may_be_made() {
        let place = |template| {
            Location::new(template)
                .unwrap()
                .of(&mailbox("me@d"))
                .unwrap()
        };
        assert_eq!(
            place("/var/mail/{domain}/{user}").base,
            PathBuf::from("/var/mail")
        );
        assert_eq!(
            place("/var/mail/x{domain}/{user}/M").below,
            ["xd", "me", "M"]
        );
        assert_eq!(place("{home}/Maildir").base, PathBuf::from("/home/them"));
        assert_eq!(place("/one/box").base, PathBuf::from("/one"));
        assert_eq!(place("{home}").below, [""; 0]);
    }

    #[test]
    fn prj_store_1_names_cannot_escape() {
        for account in [
            "",
            "@d",
            "..",
            ".",
            "../x@d",
            "a/b@d",
            "a\0b@d",
            "a@..",
            "a@.",
            "a@",
            "a@x/y",
            "a@../..",
            ".hidden@d",
            "a\n@d",
            "/@d",
            "a@/etc",
        ] {
            for template in [
                "/v/{domain}/{user}",
                "/v/x{domain}y/{user}",
                "/v/{domain}{user}",
            ] {
                let refused = path(template, account);
                let reason = matches!(
                    refused,
                    Err(LocationError::Name(_) | LocationError::NoDomain(_))
                );
                assert!(reason, "{template} {account:?}: {refused:?}");
            }
        }
        for account in ["", "..", "a/b", "a\0", ".x", "../a@b", "a@b/../c"] {
            assert!(path("/v/{address}", account).is_err(), "{account:?}");
        }
        let long = format!("{}@d", "a".repeat(256));
        assert!(path("/v/{user}", &long).is_err());
        assert!(path("/v/{user}", &long[1..]).is_ok());
    }

    #[test]
    fn prj_store_1_bad_templates_are_refused() {
        for template in [
            "",
            "mail/{user}",
            "/v/../{user}",
            "/v/./{user}",
            "/v/{user",
            "/v/user}",
            "/v/{who}",
            "/v/{home}",
            "{home}x/{user}",
            "/",
            "/v/{}",
            "/v/{{user}}",
            "{user}/x",
            "/v\0/{user}",
        ] {
            assert!(Location::new(template).is_err(), "{template:?}");
        }
    }

    #[test]
    fn an_accounts_own_location_stands_above_the_template() {
        let location = Location::new("/v/{user}").unwrap();
        let own = |own: &str| {
            let mut mailbox = mailbox("me@d");
            mailbox.location = Some(own.into());
            location.of(&mailbox).map(|place| place.path())
        };
        assert_eq!(own("/else/where").unwrap(), PathBuf::from("/else/where"));
        assert!(own("else/where").is_err());
        assert!(own("/").is_err());
        let mut homeless = mailbox("me@d");
        homeless.home = Some("relative".into());
        let home = Location::new("{home}/Maildir").unwrap();
        assert!(matches!(home.of(&homeless), Err(LocationError::NoHome(_))));
    }
}
