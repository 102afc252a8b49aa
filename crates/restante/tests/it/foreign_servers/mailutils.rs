//! GNU Mailutils' pop3d: STLS, APOP, pipelining; it writes header fields of its own into every
//! message, its unique-id among them.

use super::acceptor::Acceptor;
use super::cell::{Cell, PORT};
use super::{ForeignServer, READER, Speaks, Spool, mbox};
use crate::server::PASSWORD;

const CONFIGURATION: &str = r#"
tls-mode ondemand;
tls {
  ssl-certificate-file "/etc/tls/certificate.pem";
  ssl-key-file "/etc/tls/key.pem";
};
tls-file-checks { key-file none; cert-file none; ca-file none; };
apop-database-file "/etc/apop.passwd";
apop-database-safety none;
logging { syslog no; };
"#;

/// Fields that it adds to headers.
const FIELDS: [&[u8]; 4] = [b"X-UIDL: ", b"X-UID: ", b"X-IMAPbase: ", b"Status: "];

pub(crate) struct Mailutils {
    _acceptor: Acceptor,
    cell: Cell,
}

impl Mailutils {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("mailutils");
        cell.write("etc/pop3d.conf", CONFIGURATION);
        mbox::create(&cell);
        let database = ["--file", "/etc/apop.passwd"];
        let user = ["--user", READER, "--password", PASSWORD];
        let words = [&["/usr/bin/popauth"][..], &database, &["--add"], &user].concat();
        cell.run(&words, "");
        let words = [
            "/usr/sbin/pop3d",
            "--inetd",
            "--config-file=/etc/pop3d.conf",
        ];
        let recipe = cell.recipe(&[], &words);
        Self {
            _acceptor: Acceptor::open(cell.address(PORT), recipe),
            cell,
        }
    }
}

impl ForeignServer for Mailutils {
    fn name(&self) -> &'static str {
        "Mailutils"
    }

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn speaks(&self) -> Speaks {
        Speaks::Stls
    }

    fn spool(&self) -> Spool {
        mbox::SPOOL
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        let stored = (mbox::SPOOL.stored)(&self.maildrop()).into_iter();
        stored.map(|message| self.undo(message)).collect()
    }

    fn undo(&self, message: Vec<u8>) -> Vec<u8> {
        let mut is_header = true;
        let lines = message.split_inclusive(|&octet| octet == b'\n');
        let kept = lines.filter(|&line| {
            is_header &= line != b"\r\n";
            !(is_header && FIELDS.iter().any(|field| line.starts_with(field)))
        });
        kept.collect::<Vec<_>>().concat()
    }
}
