//! fetchmail: each message through a program of ours that writes it down.

use std::fs;
use std::process::Command;

use super::{Client, Policy, Transport, contents_in, every_way, port, run};
use crate::certificate::HOST;
use crate::corpus::Letter;
use crate::server::{PASSWORD, Server, Site, USER};

/// Longer lines do not fit into its buffer.
const LINE_OCTETS_MAX: usize = 8000;

struct Fetchmail;

/// Fetches what is new and keeps it on the server.
pub(super) fn keep(site: &Site, port: u16) -> Vec<Vec<u8>> {
    Fetchmail.fetch_at(site, port, Transport::Plain, Policy::Keep)
}

impl Fetchmail {
    fn fetch_at(
        &self,
        site: &Site,
        port: u16,
        transport: Transport,
        policy: Policy,
    ) -> Vec<Vec<u8>> {
        let directory = site.path().join("fetchmail");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let tls = match transport {
            Transport::Plain => "sslproto '' no sslcertck",
            Transport::Stls => "sslproto 'auto' sslcertck",
            Transport::Tls => "ssl sslproto 'auto' sslcertck",
        };
        let keep = if policy == Policy::Keep {
            "keep"
        } else {
            "nokeep"
        };
        let agent = format!("n=$(ls {0} | wc -l); cat > {0}/$n", directory.display());
        let settings = format!(
            "set no bouncemail\nset no spambounce\nset invisible\n\
             poll {HOST} port {port} protocol pop3 uidl timeout 60 user {USER:?} password {PASSWORD:?} \
             {tls} sslcertfile {:?} mda {agent:?} {keep} no rewrite no mimedecode \
             no dropstatus no dropdelivered norewrite nostripcr noforcecr pass8bits\n",
            site.authority(),
        );
        let file = site.write_private("fetchmailrc", &settings);
        let outcome = run(Command::new("fetchmail")
            .arg("--nodetach")
            .arg("--nosyslog")
            .arg("-f")
            .arg(&file)
            .arg("--idfile")
            .arg(site.path().join("fetchids"))
            .arg("--pidfile")
            .arg(site.path().join("fetchmail.pid"))
            .env("HOME", site.path()));
        // 1: there was no mail.
        assert!(matches!(outcome.code, Some(0 | 1)), "{}", outcome.talk());
        contents_in(&directory)
    }
}

impl Client for Fetchmail {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        self.fetch_at(&server.site, port(server, transport), transport, policy)
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        let wire = &letter.wire;
        if wire.is_empty() || wire.starts_with(b"\r\n") {
            return None; // It writes a report of its own instead of a message without header.
        }
        if wire
            .split(|octet| *octet == b'\n')
            .any(|line| line.len() > LINE_OCTETS_MAX)
        {
            return None; // It breaks such lines and adds octets of its own.
        }
        let (mut header, body) = match wire.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) => (wire[..at].to_vec(), wire[at..].to_vec()),
            None => (wire.clone(), b"\r\n".to_vec()),
        };
        header.retain(|octet| *octet != 0);
        Some([header, body].concat())
    }

    fn remembers(&self) -> bool {
        true
    }
}

every_way! {
    Fetchmail;
    e2e_fetchmail_plain_keep: Plain Keep,
    e2e_fetchmail_plain_delete: Plain Delete,
    e2e_fetchmail_stls_keep: Stls Keep,
    e2e_fetchmail_stls_delete: Stls Delete,
    e2e_fetchmail_tls_keep: Tls Keep,
    e2e_fetchmail_tls_delete: Tls Delete,
}
