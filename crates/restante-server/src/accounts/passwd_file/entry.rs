//! One line of a passwd-file.
//!
//! ```text
//! user:password:uid:gid:(gecos):home:(shell):extra fields
//! ```

use std::path::{Path, PathBuf};

use restante_maildrop::MailboxId;
use restante_sasl::scram::ScramHash;

use super::{
    Account, Obstacle, ScramShape,
    fields::{self, Fields},
    location,
    owner::Owner,
};
use crate::accounts::{Access, Choices, Credential, RevisionKey, schemes::Verifier};

/// What a line says about its account.
#[derive(Debug)]
pub(super) struct Entry {
    credential: Result<Option<Credential>, Obstacle>,
    home: Option<PathBuf>,
    location: Result<Option<PathBuf>, Obstacle>,
    access: Access,
}

/// Something about a line that needs a person.
pub(in crate::accounts) struct Fault {
    pub(in crate::accounts) what: String,
    pub(in crate::accounts) remedy: String,
}

impl Entry {
    /// Reads a line whose name is `name`. Every line gives an entry, with what could not be used
    /// in place: an account must not become open because its line is odd.
    pub(super) fn parse(
        name: &str,
        line: &[u8],
        owner: &Owner,
        revision_key: &[u8; 32],
    ) -> (Self, Vec<Fault>) {
        let mut parts = line.splitn(8, |&octet| octet == b':').skip(1);
        let mut part = || parts.next().unwrap_or_default();
        let (password, uid, gid, _gecos, home) = (part(), part(), part(), part(), part());
        let (_shell, extra) = (part(), part());

        let mut faults = Vec::new();
        let credential =
            read_credential(password, revision_key).map_err(|fault| fault.file(&mut faults));
        let fields = fields::parse(extra, &mut faults);
        let place = read_place(name, home, &fields).and_then(|place| {
            owner.check(uid, gid)?;
            Ok(place)
        });
        let (home, location) = match place {
            Ok((home, location)) => (home, Ok(location)),
            Err(fault) => (None, Err(fault.file(&mut faults))),
        };
        (
            Self {
                credential,
                home,
                location,
                access: fields.access,
            },
            faults,
        )
    }

    pub(super) fn account(&self, name: &str) -> Account {
        let mailbox = self.location.clone().map(|location| MailboxId {
            account: name.to_owned(),
            home: self.home.clone(),
            location,
        });
        Account {
            name: name.to_owned(),
            mailbox,
            credentials: self.credential.clone().map(Vec::from_iter),
            access: self.access.clone(),
            choices: Choices::default(),
        }
    }

    /// Whether anybody can log in at all.
    pub(super) fn has_password(&self) -> bool {
        matches!(self.credential, Ok(Some(_))) && !self.access.nologin
    }

    pub(super) fn can_verify_scram(&self, hash: ScramHash) -> bool {
        let Ok(Some(credential)) = &self.credential else {
            return false;
        };
        // Keys are derived from a password that is stored as it is, but not with SHA-1.
        let derivable = hash == ScramHash::Sha256 && credential.verifier.clear().is_some();
        derivable || credential.scram_keys(hash).is_some()
    }

    pub(super) fn scram_shape(&self, hash: ScramHash) -> Option<ScramShape> {
        let Ok(Some(credential)) = &self.credential else {
            return None;
        };
        credential
            .scram_keys(hash)
            .map(|keys| ScramShape::of(keys.parameters()))
    }
}

impl Fault {
    pub(in crate::accounts) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// Puts itself on the list and becomes what refuses.
    pub(super) fn file(self, faults: &mut Vec<Self>) -> Obstacle {
        let obstacle = Obstacle::new(&self.what);
        faults.push(self);
        obstacle
    }
}

fn read_credential(field: &[u8], revision_key: &[u8; 32]) -> Result<Option<Credential>, Fault> {
    let verifier =
        Verifier::parse(field).map_err(|error| Fault::new(error.to_string(), error.remedy()))?;
    let revision = RevisionKey(*revision_key).revision(&[field]);
    Ok(verifier.map(|verifier| Credential::foreign("default", revision, verifier)))
}

pub(in crate::accounts) type Place = (Option<PathBuf>, Option<PathBuf>);

/// Home directory and location of the mailbox.
pub(in crate::accounts) fn read_place(
    name: &str,
    home: &[u8],
    fields: &Fields,
) -> Result<Place, Fault> {
    let home = match (&fields.home, home) {
        (Some(home), _) => Some(home.as_str()),
        (None, b"") => None,
        (None, home) => Some(
            str::from_utf8(home)
                .map_err(|_| Fault::new("home directory is not UTF-8", "write it in UTF-8"))?,
        ),
    };
    if home.is_some_and(|home| !location::is_safe(Path::new(home))) {
        return Err(Fault::new(
            "home directory is not an absolute path without `..`",
            "write the whole path",
        ));
    }
    let location = match &fields.mail {
        None => None,
        Some(mail) => Some(location::parse(mail, name, home)?),
    };
    Ok((home.map(PathBuf::from), location))
}
