//! What a mailbox shows of its past and its surroundings that the operator should know.

use std::io;

use super::{layout::Mailbox, notices::Notices, unique_ids::UniqueIds};

/// Unique-ids that another server has given lie in these files.
const FOREIGN: [(&[u8], &str); 2] = [
    (b"dovecot-uidlist", "dovecot"),
    (b"courierpop3dsizelist", "courier"),
];

/// Warns, once for each mailbox, that mail programs would download everything again, and once for
/// each volume that is on another machine. Failing to look is no failure.
pub(crate) fn say(mailbox: &Mailbox, notices: &Notices) {
    if notices.first(("foreign", mailbox.identity())) {
        // Whatever is wrong with the mailbox shows when it is used.
        let _ = say_foreign(mailbox);
    }
    if notices.first(("volume", mailbox.identity().device())) {
        let _ = say_network(mailbox);
    }
}

fn say_foreign(mailbox: &Mailbox) -> io::Result<()> {
    for (file, server) in FOREIGN {
        if exists(mailbox, file)? && !UniqueIds::read(mailbox)?.are_imported() {
            tracing::warn!(
                mailbox = %mailbox.path().display(),
                file = %file.escape_ascii(),
                hint = %format!("restante import {server} {}", mailbox.path().display()),
                "unique-ids of another server are not imported: \
                 mail programs will download everything again"
            );
        }
    }
    Ok(())
}

fn say_network(mailbox: &Mailbox) -> io::Result<()> {
    if let Some(name) = mailbox.disk().network_file_system(mailbox.root())? {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            file_system = name,
            "mailbox is on a network file system: only one node may serve it, \
             and new mail may be seen late"
        );
    }
    Ok(())
}

fn exists(mailbox: &Mailbox, name: &[u8]) -> io::Result<bool> {
    match mailbox.disk().facts_at(mailbox.root(), name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        disk::Disk,
        maildir::{name::FileName, unique_ids::Listed},
        said::said,
    };

    fn mailbox(files: &[&str]) -> (tempfile::TempDir, Mailbox) {
        let place = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(place.path().join(file), "").unwrap();
        }
        let mailbox = Mailbox::open(&Disk::default(), place.path()).unwrap();
        (place, mailbox)
    }

    /// What is said of the mailbox's past; the tests may run on a network file system.
    fn said_of(mailbox: &Mailbox, notices: &Notices) -> Vec<String> {
        let mut lines = said(|| say(mailbox, notices)).1;
        lines.retain(|line| line.contains("not imported"));
        lines
    }

    #[test]
    fn another_servers_unique_ids_are_pointed_out_once() {
        for (file, command) in [
            ("dovecot-uidlist", "restante import dovecot "),
            ("courierpop3dsizelist", "restante import courier "),
        ] {
            let (place, one) = mailbox(&[file]);
            let notices = Notices::default();
            let lines = said_of(&one, &notices);
            assert_eq!(lines.len(), 1);
            let command = format!("{command}{}", place.path().display());
            assert!(lines[0].contains(&command), "{}", lines[0]);
            assert!(lines[0].contains("download everything again"));
            assert!(said_of(&one, &notices).is_empty());
            // Once for each mailbox.
            let (_place, other) = mailbox(&[file]);
            assert_eq!(said_of(&other, &notices).len(), 1);
        }
    }

    #[test]
    fn nothing_is_said_where_there_is_nothing_to_import_or_it_was_imported() {
        let notices = Notices::default();
        let (_place, plain) = mailbox(&[]);
        assert!(said_of(&plain, &notices).is_empty());
        let (_place, imported) = mailbox(&["dovecot-uidlist"]);
        let name = FileName::new(b"1.x").unwrap();
        let listed = Listed {
            name,
            inode: 1,
            known: false,
        };
        let pairs = [(b"1.x".to_vec(), b"0001".to_vec())];
        let mut ids = UniqueIds::default();
        let stored = ids.import(&imported, [listed].into_iter(), &pairs).unwrap();
        assert_eq!(stored, Ok((1, true)));
        assert!(said_of(&imported, &notices).is_empty());
    }

    #[test]
    fn an_import_without_anything_to_store_counts_too() {
        let (_place, empty) = mailbox(&["courierpop3dsizelist"]);
        let mut ids = UniqueIds::default();
        let stored = ids.import(&empty, std::iter::empty(), &[]).unwrap();
        assert_eq!(stored, Ok((0, true)));
        assert!(said_of(&empty, &Notices::default()).is_empty());
        let ids = UniqueIds::read(&empty).unwrap();
        assert!(ids.are_imported());
    }
}
