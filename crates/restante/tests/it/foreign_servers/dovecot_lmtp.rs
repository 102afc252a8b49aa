//! Dovecot's LMTP server, on TCP and on a socket of this machine. It refuses what is too large.

use super::cell::Cell;
use super::{Dovecot, ForeignServer as _, MailServer};

/// The largest message.
const OCTETS_MAX: usize = 1_000_000;

const LMTP_PORT: u16 = 11_024;

/// How it is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Socket,
    Tcp,
}

pub(crate) struct DovecotLmtp {
    server: Dovecot,
    way: Way,
}

impl DovecotLmtp {
    pub(crate) fn start(way: Way) -> Self {
        let settings = format!(
            "protocols = pop3 lmtp\n\
             mail_plugins = $mail_plugins quota\n\
             lmtp_add_received_header = no\n\
             lmtp_hdr_delivery_address = none\n\
             plugin {{\n  quota = maildir:all\n  quota_max_mail_size = {OCTETS_MAX}\n}}\n\
             auth_username_format = %n\n\
             service lmtp {{\n  \
             inet_listener lmtp {{\n    port = {LMTP_PORT}\n  }}\n  \
             unix_listener lmtp {{\n    mode = 0666\n  }}\n}}\n"
        );
        let server = Dovecot::configured(&settings);
        server.cell().wait_for(&[LMTP_PORT]);
        Self { server, way }
    }
}

impl MailServer for DovecotLmtp {
    fn name(&self) -> &'static str {
        "Dovecot"
    }

    fn cell(&self) -> &Cell {
        self.server.cell()
    }

    fn place(&self) -> String {
        let place = match self.way {
            Way::Socket => format!("unix:{}", self.cell().path("run/dovecot/lmtp").display()),
            Way::Tcp => self.cell().address(LMTP_PORT).to_string(),
        };
        format!("lmtp = \"{place}\"")
    }
}
