//! Solid POP3: USER, PASS and APOP, and no CAPA.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::acceptor::Acceptor;
use super::cell::{Cell, PORT, READER_ID};
use super::{ForeignServer, Spool, mbox};
use crate::server::PASSWORD;

const CONFIGURATION: &str = "<Global>\n\
    MailDropName \"/var/mail/%s\"\n\
    MailDropType mailbox\n\
    LogStatistics no\n\
    </Global>\n";

pub(crate) struct SolidPop3d {
    _acceptor: Acceptor,
    cell: Cell,
}

impl SolidPop3d {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("solid-pop3d");
        cell.write("etc/spop3d.conf", CONFIGURATION);
        cell.make_directory("var/lib/solid-pop3d/bulletins", 0);
        mbox::create(&cell);
        // APOP has a secret of its own, which the user stores.
        let become_reader = format!("--reuid={READER_ID}");
        let words = [
            "/bin/setpriv",
            &become_reader,
            "--clear-groups",
            "/usr/bin/pop_auth",
        ];
        cell.run(&words, &format!("{PASSWORD}\n{PASSWORD}\n"));
        let secret = cell.path("home/reader/.spop3d");
        let mode = fs::metadata(secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let recipe = cell.recipe(&[], &["/usr/sbin/solid-pop3d"]);
        Self {
            _acceptor: Acceptor::open(cell.address(PORT), recipe),
            cell,
        }
    }
}

impl ForeignServer for SolidPop3d {
    fn name(&self) -> &'static str {
        "solid-pop3d"
    }

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn spool(&self) -> Spool {
        mbox::SPOOL
    }

    /// It takes the empty line that separates two messages for the last one of the first.
    fn undo(&self, mut message: Vec<u8>) -> Vec<u8> {
        if message.ends_with(b"\r\n\r\n") {
            message.truncate(message.len() - 2);
        }
        message
    }
}
