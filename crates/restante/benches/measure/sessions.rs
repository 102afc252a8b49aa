//! Memory of an idle session: logged in, a mailbox of ten messages open, nothing to do.

use std::thread;
use std::time::Duration;

use crate::corpus::Letter;
use crate::process::kilobytes;
use crate::server::{Keys, Server, Site};
use crate::{Connect, Figure, Scale, WAYS};

const LIMITS: Keys = Keys {
    pop3: "",
    failure_time: "2s",
    tables: "[limits]\nconnections = 50000\nconnections_per_address = 50000",
};

pub(crate) fn measure(scale: Scale) -> Vec<Figure> {
    let count = scale.of(1000);
    WAYS.into_iter()
        .map(|(name, connect)| {
            let octets = per_session(count, connect);
            Figure::new(
                format!("memory of an idle session, {name}"),
                format!("{:.1} kB", octets / 1000.0),
            )
        })
        .collect()
}

/// The difference that the second thousand makes: the first also pays for what is made once.
fn per_session(count: usize, connect: Connect) -> f64 {
    let site = Site::configured(&[], &LIMITS);
    let names: Vec<String> = (0..2 * count)
        .map(|n| format!("user{n}@example.com"))
        .collect();
    let letters = vec![Letter::new("small", "Subject: small\n\nsmall\n"); 10];
    site.write_mailboxes(&names, &letters);
    let server = Server::at(site);
    let mut sessions = Vec::new();
    let mut before = 0;
    for (index, name) in names.iter().enumerate() {
        if index == count {
            before = settled(&server);
        }
        let mut wire = connect(&server);
        wire.log_in(name);
        assert!(wire.command("STAT").starts_with("+OK 10 "));
        sessions.push(wire);
    }
    let after = settled(&server);
    (after.saturating_sub(before) * 1024) as f64 / count as f64
}

fn settled(server: &Server) -> u64 {
    thread::sleep(Duration::from_millis(500));
    kilobytes(server.process_id(), "VmRSS")
}
