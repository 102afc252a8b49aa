//! curl: exact octets; each message a transfer of its own over one connection.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use super::{Client, Policy, Transport, every_way, run};
use crate::certificate::HOST;
use crate::corpus::{Letter, large};
use crate::server::{PASSWORD, Server, USER};

struct Curl;

impl Client for Curl {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        let count = count(server, transport);
        let directory = server.site.path().join("curl");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let mut transfers = String::new();
        for number in 1..=count {
            let output = directory.join(number.to_string());
            options(&mut transfers, server, transport);
            writeln!(transfers, "url = {:?}", url(server, transport, number)).unwrap();
            writeln!(transfers, "output = {output:?}\nnext").unwrap();
            if policy == Policy::Delete {
                options(&mut transfers, server, transport);
                writeln!(transfers, "url = {:?}", url(server, transport, number)).unwrap();
                writeln!(transfers, "request = DELE\nhead\nnext").unwrap();
            }
        }
        if count > 0 {
            let script = server.site.path().join("curl.conf");
            fs::write(&script, transfers.trim_end().trim_end_matches("next")).unwrap();
            run(Command::new("curl").arg("-q").arg("-K").arg(script)).success();
        }
        let files = (1..=count).map(|number| directory.join(number.to_string()));
        files.map(|file| fs::read(file).unwrap()).collect()
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        // The CRLF before the termination line is always written, also if there is no message.
        if letter.wire.is_empty() {
            return Some(b"\r\n".to_vec());
        }
        Some(letter.wire.clone())
    }
}

fn count(server: &Server, transport: Transport) -> usize {
    let mut script = String::new();
    options(&mut script, server, transport);
    let base = url(server, transport, 0);
    writeln!(script, "url = {:?}", base.trim_end_matches('0')).unwrap();
    let file = server.site.path().join("curl.conf");
    fs::write(&file, script).unwrap();
    let listing = run(Command::new("curl").arg("-q").arg("-K").arg(file)).success();
    String::from_utf8(listing.stdout)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty())
        .count()
}

fn options(script: &mut String, server: &Server, transport: Transport) {
    let authority = server.site.authority();
    writeln!(
        script,
        "user = \"{USER}:{PASSWORD}\"\ncacert = {authority:?}"
    )
    .unwrap();
    writeln!(script, "silent\nshow-error\nmax-time = 100").unwrap();
    if transport == Transport::Stls {
        writeln!(script, "ssl-reqd").unwrap();
    }
}

fn url(server: &Server, transport: Transport, number: usize) -> String {
    match transport {
        Transport::Tls => format!("pop3s://{HOST}:{}/{number}", server.tls.port()),
        _ => format!("pop3://{HOST}:{}/{number}", server.plain.port()),
    }
}

every_way! {
    Curl;
    e2e_curl_plain_keep: Plain Keep,
    e2e_curl_plain_delete: Plain Delete,
    e2e_curl_stls_keep: Stls Keep,
    e2e_curl_stls_delete: Stls Delete,
    e2e_curl_tls_keep: Tls Keep,
    e2e_curl_tls_delete: Tls Delete,
}

#[test]
fn e2e_curl_tls_carries_64_megabytes() {
    let letter = Letter::new("64 megabytes", large(64 << 20));
    let server = Server::with(std::slice::from_ref(&letter));
    let received = Curl.fetch(&server, Transport::Tls, Policy::Keep);
    assert!(
        received == [letter.wire],
        "64 MB arrive whole and unchanged"
    );
}
