//! NeoMutt, at a terminal that `script` of util-linux pretends to be.

use std::fs;
use std::process::Command;

use super::{
    Client, Policy, Transport, contents_in, every_way, make_maildir, port, run, with_line_feeds,
};
use crate::certificate::HOST;
use crate::corpus::Letter;
use crate::server::{Keys, PASSWORD, Server, USER};

/// Gives a program a terminal and throws away what it draws.
const AT_A_TERMINAL: &str = "import os, pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(status))";

/// NeoMutt as Debian builds it, with GNU SASL.
///
/// Left to itself it takes SCRAM-SHA-256-PLUS where that is offered, finds that it has no channel
/// binding, cancels, and takes the answer to that for the answer to its next command.
struct Neomutt {
    /// Empty: whatever GNU SASL holds to be the strongest.
    authenticators: &'static str,
    /// A line of the server's configuration.
    mechanisms: &'static str,
}

/// With a server that offers -PLUS over TLS.
const BY_USER: Neomutt = Neomutt {
    authenticators: "user",
    mechanisms: "",
};

/// With a server that does not, or over plain text, where nobody does.
const BY_SASL: Neomutt = Neomutt {
    authenticators: "",
    mechanisms: "mechanisms = [\"SCRAM-SHA-256\", \"PLAIN\"]",
};

impl Client for Neomutt {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        let directory = server.site.path().join("neomutt");
        make_maildir(&directory);
        let scheme = if transport == Transport::Tls {
            "pops"
        } else {
            "pop"
        };
        let starttls = if transport == Transport::Stls {
            "yes"
        } else {
            "no"
        };
        let delete = if policy == Policy::Delete {
            "yes"
        } else {
            "no"
        };
        let settings = format!(
            "set pop_host = \"{scheme}://{HOST}:{}\"\nset pop_user = \"{USER}\"\n\
             set pop_pass = \"{PASSWORD}\"\nset pop_delete = {delete}\nset pop_last = no\n\
             set pop_authenticators = \"{}\"\n\
             set ssl_starttls = {starttls}\nset ssl_force_tls = no\n\
             set certificate_file = \"{}\"\nset mbox_type = Maildir\nset spool_file = \"{}\"\n\
             set folder = \"{}\"\nset wait_key = no\nset quit = yes\nset confirm_append = no\n\
             set header_cache = \"\"\nset maildir_trash = no\nset timeout = 5\nset sleep_time = 0\n\
             push \"<fetch-mail><exit>\"\n",
            port(server, transport),
            self.authenticators,
            server.site.authority().display(),
            directory.display(),
            server.site.path().display(),
        );
        let file = server.site.path().join("neomuttrc");
        fs::write(&file, settings).unwrap();
        run(Command::new("python3")
            .args(["-c", AT_A_TERMINAL, "neomutt", "-n", "-F"])
            .arg(&file)
            .env("TERM", "xterm")
            .env("HOME", server.site.path()))
        .success();
        let folders = ["new", "cur"].map(|folder| contents_in(&directory.join(folder)));
        folders.concat()
    }

    fn keys(&self) -> Keys {
        Keys {
            pop3: self.mechanisms,
            ..Keys::default()
        }
    }

    /// The names in its Maildir are random.
    fn keeps_order(&self) -> bool {
        false
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        // It handles lines as C strings: each ends at its first NUL.
        let text = with_line_feeds(&letter.wire);
        let lines = text.split(|octet| *octet == b'\n').map(|line| {
            let end = line.iter().position(|octet| *octet == 0);
            &line[..end.unwrap_or(line.len())]
        });
        Some(lines.collect::<Vec<&[u8]>>().join(b"\n".as_slice()))
    }
}

every_way! {
    BY_USER;
    e2e_neomutt_stls_keep: Stls Keep,
    e2e_neomutt_stls_delete: Stls Delete,
    e2e_neomutt_tls_keep: Tls Keep,
    e2e_neomutt_tls_delete: Tls Delete,
}

every_way! {
    BY_SASL;
    e2e_neomutt_plain_keep: Plain Keep,
    e2e_neomutt_plain_delete: Plain Delete,
    e2e_neomutt_tls_keep_with_scram_sha_256: Tls Keep,
}
