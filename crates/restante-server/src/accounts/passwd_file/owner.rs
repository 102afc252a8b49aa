//! The uid and gid fields: one user serves all mailboxes, so the entries must be that user's.

use std::{
    cell::OnceCell,
    fs, str,
    sync::{Mutex, PoisonError},
};

use super::entry::Fault;

/// `/etc/passwd` and `/etc/group` as they were read last. Both are replaced whenever a user is
/// added, and a sandboxed process sees the files of its start alone: what it knew then must not be
/// unknown to it now, or a change elsewhere would lock everybody out.
static USERS: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static GROUPS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Who serves the mailboxes.
pub(in crate::accounts) struct Owner {
    uid: Option<u32>,
    /// `/etc/passwd`, read if an entry names its user by name.
    users: OnceCell<Vec<u8>>,
    /// `/etc/group`, likewise.
    groups: OnceCell<Vec<u8>>,
}

impl Owner {
    pub(in crate::accounts) fn new(uid: Option<u32>) -> Self {
        Self {
            uid,
            users: OnceCell::new(),
            groups: OnceCell::new(),
        }
    }

    /// Empty fields say nothing. Files take their group from the Maildir, so that a gid is only
    /// checked for being nobody's.
    pub(in crate::accounts) fn check(&self, uid: &[u8], gid: &[u8]) -> Result<(), Fault> {
        const UNKNOWN: &str = "write the number, or create the user or group on this machine";
        if !gid.is_empty() {
            let gid = resolve(gid, &self.groups, "/etc/group", &GROUPS)
                .ok_or_else(|| Fault::new("unknown group in the gid field", UNKNOWN))?;
            if gid == 0 {
                return Err(Fault::new(
                    "gid 0",
                    "give the mailbox to a group of its own",
                ));
            }
        }
        if uid.is_empty() {
            return Ok(());
        }
        let uid = resolve(uid, &self.users, "/etc/passwd", &USERS)
            .ok_or_else(|| Fault::new("unknown user in the uid field", UNKNOWN))?;
        if uid == 0 {
            return Err(Fault::new("uid 0", "give the mailbox to a user of its own"));
        }
        match self.uid {
            Some(serving) if serving != uid => Err(Fault::new(
                format!("uid {uid} is not {serving}, which serves all mailboxes"),
                format!(
                    "run with `user = \"{uid}\"`, or `chown -R {serving}` the mailbox and \
                         change or empty the uid field"
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// A number, or a name of the system's file.
fn resolve(
    field: &[u8],
    file: &OnceCell<Vec<u8>>,
    path: &str,
    last: &Mutex<Vec<u8>>,
) -> Option<u32> {
    let field = str::from_utf8(field).ok()?;
    if let Ok(number) = field.parse() {
        return Some(number);
    }
    let lines = file.get_or_init(|| read(path, last));
    number_of(field, lines)
}

/// The file as it is, or as it was read last.
fn read(path: &str, last: &Mutex<Vec<u8>>) -> Vec<u8> {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(lines) = fs::read(path) {
        *last = lines;
    }
    last.clone()
}

/// Lines of `name:password:number:…`.
fn number_of(name: &str, lines: &[u8]) -> Option<u32> {
    lines.split(|&octet| octet == b'\n').find_map(|line| {
        let mut fields = line.split(|&octet| octet == b':');
        (fields.next()? == name.as_bytes()).then_some(())?;
        str::from_utf8(fields.nth(1)?).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uid: &str, gid: &str) -> Result<(), String> {
        let owner = Owner::new(Some(5000));
        let _ = owner
            .users
            .set(b"root:x:0:0:::\nvmail:x:5000:5000:::\nother:x:6000:6000:::".to_vec());
        let _ = owner.groups.set(b"root:x:0:\nmail:x:8:\n".to_vec());
        owner
            .check(uid.as_bytes(), gid.as_bytes())
            .map_err(|fault| fault.what)
    }

    #[test]
    fn entries_of_the_serving_user_are_taken() {
        for (uid, gid) in [("", ""), ("5000", "5000"), ("vmail", "mail"), ("5000", "")] {
            assert_eq!(check(uid, gid), Ok(()), "{uid}:{gid}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_any_more_is_what_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("group");
        let last = Mutex::default();
        assert_eq!(read(path.to_str().unwrap(), &last), b"");
        fs::write(&path, "mail:x:8:").unwrap();
        assert_eq!(read(path.to_str().unwrap(), &last), b"mail:x:8:");
        fs::remove_file(&path).unwrap();
        assert_eq!(read(path.to_str().unwrap(), &last), b"mail:x:8:");
    }

    #[test]
    fn entries_of_others_and_of_root_are_refused() {
        assert_eq!(
            check("6000", ""),
            Err("uid 6000 is not 5000, which serves all mailboxes".into())
        );
        assert_eq!(check("other", ""), check("6000", ""));
        assert_eq!(check("0", ""), Err("uid 0".into()));
        assert_eq!(check("root", "8"), Err("uid 0".into()));
        assert_eq!(check("5000", "0"), Err("gid 0".into()));
        assert_eq!(check("5000", "root"), Err("gid 0".into()));
        for unknown in ["nobody-here", "-1", "4294967296", "5000 ", "vmai"] {
            assert!(check(unknown, "").is_err(), "{unknown}");
            assert!(check("", unknown).is_err(), "{unknown}");
        }
    }
}
