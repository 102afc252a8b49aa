//! getmail6: each message through a shell that writes it down.

use std::fs;
use std::process::Command;

use super::{Client, Policy, Transport, contents_in, every_way, port, run, with_line_feeds};
use crate::certificate::HOST;
use crate::corpus::Letter;
use crate::server::{PASSWORD, Server, Site, USER};

/// It misses the end of a program that ends before it waits for it, and then waits for a minute: so
/// the shell ends when it sleeps.
const WAIT: &str = r#"until grep -q "^State:.S" /proc/$PPID/status; do sleep 0.01; done"#;

struct Getmail;

/// Fetches what is new and keeps it on the server.
pub(super) fn keep(site: &Site, port: u16) -> Vec<Vec<u8>> {
    Getmail.fetch_at(site, port, Transport::Plain, Policy::Keep)
}

impl Getmail {
    fn fetch_at(
        &self,
        site: &Site,
        port: u16,
        transport: Transport,
        policy: Policy,
    ) -> Vec<Vec<u8>> {
        let state = site.path().join("getmail");
        let directory = site.path().join("getmail-mail");
        let _ = fs::create_dir(&state);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let kind = match transport {
            Transport::Plain | Transport::Stls => "SimplePOP3Retriever",
            Transport::Tls => "SimplePOP3SSLRetriever",
        };
        let authority = match transport {
            Transport::Plain => String::new(),
            _ => format!("ca_certs = {}\n", site.authority().display()),
        };
        let settings = format!(
            "[retriever]\ntype = {kind}\nserver = {HOST}\nport = {port}\nusername = {USER}\n\
             password = {PASSWORD}\ntimeout = 60\n{authority}\
             [destination]\ntype = MDA_external\npath = /bin/sh\nallow_root_commands = true\n\
             arguments = ('-c', 'cat > {0}/$(ls {0} | wc -l) && {WAIT}')\n\
             [options]\nread_all = false\ndelete = {1}\nreceived = false\ndelivered_to = false\n\
             verbose = 0\n",
            directory.display(),
            policy == Policy::Delete,
        );
        fs::write(state.join("getmailrc"), settings).unwrap();
        run(Command::new("getmail").arg("--getmaildir").arg(&state)).success();
        contents_in(&directory)
    }
}

impl Client for Getmail {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        self.fetch_at(&server.site, port(server, transport), transport, policy)
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        // It adds a line, its parser takes every CR for a line end, and it ends the header.
        let mut text = with_line_feeds(&with_line_feeds(&letter.wire));
        for octet in text.iter_mut().filter(|octet| **octet == b'\r') {
            *octet = b'\n';
        }
        let headless = text.is_empty() || text.starts_with(b"\n");
        let ended = headless || text.windows(2).any(|two| two == b"\n\n");
        let end: &[u8] = if ended && !text.is_empty() {
            b""
        } else {
            b"\n"
        };
        Some([b"Return-Path: <unknown>\n", text.as_slice(), end].concat())
    }

    fn remembers(&self) -> bool {
        true
    }
}

every_way! {
    Getmail;
    e2e_getmail_plain_keep: Plain Keep,
    e2e_getmail_plain_delete: Plain Delete,
    e2e_getmail_tls_keep: Tls Keep,
    e2e_getmail_tls_delete: Tls Delete,
}
