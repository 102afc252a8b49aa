//! mpop: a Maildir with LF line ends.

use std::process::Command;

use super::{
    Client, Policy, Transport, contents_in, every_way, make_maildir, port, run, with_line_feeds,
};
use crate::certificate::HOST;
use crate::corpus::Letter;
use crate::server::{PASSWORD, Server, Site, USER};

/// mpop with its choice of authentication left to it, or prescribed.
struct Mpop {
    authentication: &'static str,
}

/// Fetches what is new and keeps it on the server.
pub(super) fn keep(site: &Site, port: u16) -> Vec<Vec<u8>> {
    let mpop = Mpop {
        authentication: "user",
    };
    mpop.fetch_at(site, port, Transport::Plain, Policy::Keep)
}

impl Mpop {
    fn fetch_at(
        &self,
        site: &Site,
        port: u16,
        transport: Transport,
        policy: Policy,
    ) -> Vec<Vec<u8>> {
        let directory = site.path().join("mpop");
        make_maildir(&directory);
        let (tls, starttls) = match transport {
            Transport::Plain => ("off", "off"),
            Transport::Stls => ("on", "on"),
            Transport::Tls => ("on", "off"),
        };
        let keep = if policy == Policy::Keep { "on" } else { "off" };
        let settings = format!(
            "account default\nhost {HOST}\nport {port}\nuser {USER}\npassword \"{PASSWORD}\"\n\
             auth {}\ntls {tls}\ntls_starttls {starttls}\ntls_trust_file {}\n\
             delivery maildir {}\nuidls_file {}\nreceived_header off\nkeep {keep}\n",
            self.authentication,
            site.authority().display(),
            directory.display(),
            site.path().join("mpop.uidls").display(),
        );
        let file = site.write_private("mpoprc", &settings);
        run(Command::new("mpop").arg("--quiet").arg("--file").arg(&file)).success();
        contents_in(&directory.join("new"))
    }
}

impl Client for Mpop {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        self.fetch_at(&server.site, port(server, transport), transport, policy)
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        Some(with_line_feeds(&letter.wire))
    }

    fn remembers(&self) -> bool {
        true
    }
}

every_way! {
    Mpop { authentication: "user" };
    e2e_mpop_plain_keep: Plain Keep,
    e2e_mpop_plain_delete: Plain Delete,
}

every_way! {
    Mpop { authentication: "on" };
    e2e_mpop_stls_keep: Stls Keep,
    e2e_mpop_stls_delete: Stls Delete,
    e2e_mpop_tls_keep: Tls Keep,
    e2e_mpop_tls_delete: Tls Delete,
}

every_way! {
    Mpop { authentication: "scram-sha-256" };
    e2e_mpop_plain_keep_with_scram_sha_256: Plain Keep,
    e2e_mpop_tls_delete_with_scram_sha_256: Tls Delete,
}
