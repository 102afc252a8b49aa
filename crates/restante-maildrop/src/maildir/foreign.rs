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
    if exists(mailbox, mailbox.state()?, UniqueIds::FILE)? {
        return Ok(());
    }
    for (file, server) in FOREIGN {
        if exists(mailbox, mailbox.root(), file)? {
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

fn exists(mailbox: &Mailbox, at: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    match mailbox.disk().facts_at(at, name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
