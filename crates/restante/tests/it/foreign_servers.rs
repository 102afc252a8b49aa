//! Real POP3 and mail servers of others, each with the mailbox of one user, on loopback.
//!
//! They come from Debian's packages, unpacked side by side by `cargo xtask test`, and run in a root
//! of their own ([`cell`]), because they want users, PAM and fixed paths. What they are:
//!
//! | server | started | keeps mail in |
//! |---|---|---|
//! | [`Cyrus`] | as a service, by its own master | files of its own, by LMTP |
//! | [`Dovecot`] | as a service, with its own login process | a Maildir |
//! | [`Courier`] | a process for each connection, and its authentication daemon | a Maildir |
//! | [`Mailutils`] | a process for each connection | an mbox |
//! | [`Popa3d`] | a process for each connection | an mbox |
//! | [`SolidPop3d`] | a process for each connection | an mbox |
//!
//! And those that take mail ([`MailServer`]):
//!
//! | server | by |
//! |---|---|
//! | [`DovecotLmtp`] | LMTP, on TCP and on a socket of this machine |
//! | [`Exim`] | SMTP |
//! | [`Postfix`] | SMTP |
//!
//! # How to use one
//!
//! ```ignore
//! let server = Cyrus::start();
//! let owed = server.deliver(b"Subject: one\n\nThis is one.\n");
//! // A client logs in at `server.address()` as `READER` with `PASSWORD`; where the server speaks
//! // TLS, its certificate is for that address and signed by `server.authority()`.
//! let got = collect(server.address());
//! assert_eq!(server.undo(got), owed);       // what some servers add is taken out
//! assert_eq!(server.stored().len(), 1);     // what is in the maildrop now, read from the disk
//! ```
//!
//! A test that wants all of them goes through [`all`]. Dropping a server ends its processes and
//! removes everything. All of it needs root, as the servers do: each becomes its user.

mod acceptor;
mod cell;
mod courier;
mod cyrus;
mod dovecot;
mod dovecot_lmtp;
mod exim;
mod maildir;
mod mailutils;
mod mbox;
mod popa3d;
mod postfix;
mod solid_pop3d;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use self::cell::{Cell, PORT, TLS_PORT};
pub(crate) use self::courier::Courier;
pub(crate) use self::cyrus::Cyrus;
pub(crate) use self::dovecot::Dovecot;
pub(crate) use self::dovecot_lmtp::{DovecotLmtp, Way};
pub(crate) use self::exim::Exim;
pub(crate) use self::mailutils::Mailutils;
pub(crate) use self::popa3d::Popa3d;
pub(crate) use self::postfix::Postfix;
pub(crate) use self::solid_pop3d::SolidPop3d;

/// The user whose mail it is. Its password is [`PASSWORD`](crate::server::PASSWORD).
pub(crate) const READER: &str = "reader";

/// How a server can be spoken with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Speaks {
    Clear,
    /// In the clear, and under TLS after STLS.
    Stls,
    /// So, and under TLS from the first octet.
    Tls,
}

/// A way to keep mail that several servers have in common.
pub(crate) struct Spool {
    /// Where it is in a cell.
    inside: &'static str,
    deliver: fn(&Path, &[u8]) -> Vec<u8>,
    stored: fn(&Path) -> Vec<Vec<u8>>,
}

/// A running server.
pub(crate) trait ForeignServer {
    /// What docs/compatibility.md calls it.
    fn name(&self) -> &'static str;

    /// Where it runs.
    fn cell(&self) -> &Cell;

    /// Where it listens without TLS. It offers STLS there, if it knows TLS.
    fn address(&self) -> SocketAddr {
        self.cell().address(PORT)
    }

    /// How it can be spoken with.
    fn speaks(&self) -> Speaks {
        Speaks::Clear
    }

    /// Where it listens with TLS from the first octet, if it does.
    fn tls_address(&self) -> Option<SocketAddr> {
        (self.speaks() == Speaks::Tls).then(|| self.cell().address(TLS_PORT))
    }

    /// The certificate of the authority that has signed the server's, if it has one.
    fn authority(&self) -> Option<PathBuf> {
        (self.speaks() != Speaks::Clear).then(|| self.cell().authority())
    }

    /// As what it keeps mail.
    fn spool(&self) -> Spool {
        maildir::SPOOL
    }

    /// Where it keeps mail: a file, or a directory.
    fn maildrop(&self) -> PathBuf {
        self.cell().path(self.spool().inside)
    }

    /// Puts a message there, as its own way of delivery does, behind the others. `letter` has LF
    /// line ends. Returns the octets that RETR owes for it.
    fn deliver(&self, letter: &[u8]) -> Vec<u8> {
        (self.spool().deliver)(&self.maildrop(), letter)
    }

    /// What is there, as the files say, in the order of its numbers.
    fn stored(&self) -> Vec<Vec<u8>> {
        (self.spool().stored)(&self.maildrop())
    }

    /// Takes out of a message what the server adds when it sends it.
    fn undo(&self, message: Vec<u8>) -> Vec<u8> {
        message
    }

    /// What its processes have said until now, for a test that has failed.
    fn log(&self) -> String {
        self.cell().log()
    }
}

/// A running server that takes mail for [`READER`], and for nobody else.
pub(crate) trait MailServer {
    /// What docs/compatibility.md calls it.
    fn name(&self) -> &'static str;

    /// Where it runs.
    fn cell(&self) -> &Cell;

    /// How it is reached, as `deliver` says it in `fetch.toml`.
    fn place(&self) -> String {
        format!("smtp = \"{}\"", self.cell().address(PORT))
    }

    /// What `deliver` is in `fetch.toml` for this user of its.
    fn deliver(&self, recipient: &str) -> String {
        let place = self.place();
        format!("{{ {place}, recipient = \"{recipient}@mail.example\" }}")
    }

    /// What it has put into the reader's mailbox, with CRLF line ends.
    fn taken(&self) -> Vec<Vec<u8>> {
        maildir::stored(&self.cell().path(maildir::INSIDE))
    }

    /// What its processes have said until now, for a test that has failed.
    fn log(&self) -> String {
        self.cell().log()
    }
}

/// One of each that serves POP3.
pub(crate) fn all() -> Vec<Box<dyn ForeignServer>> {
    vec![
        Box::new(Cyrus::start()),
        Box::new(Dovecot::start()),
        Box::new(Courier::start()),
        Box::new(Mailutils::start()),
        Box::new(Popa3d::start()),
        Box::new(SolidPop3d::start()),
    ]
}
