//! A poll of an unchanged mailbox of 50 messages: what a mail program does every few minutes.

use std::thread;
use std::time::Duration;

use crate::corpus::Letter;
use crate::process::{Strace, processor_time};
use crate::server::{Server, USER};
use crate::wire::status;
use crate::{Connect, Figure, Scale, WAYS};

const MESSAGES: usize = 50;

pub(crate) fn measure(scale: Scale) -> Vec<Figure> {
    let text = format!("Subject: a letter\n\n{}", "a line of text\n".repeat(100));
    let letters = vec![Letter::new("letter", text); MESSAGES];
    let server = Server::with(&letters);
    // A directory that changed a moment ago is read again, lest a delivery be missed.
    thread::sleep(Duration::from_millis(2500));
    let mut figures = Vec::new();
    for (name, connect) in WAYS {
        for _ in 0..20 {
            poll(&server, connect);
        }
        let count = scale.of(1000);
        let before = processor_time(server.process_id());
        for _ in 0..count {
            poll(&server, connect);
        }
        let time = (processor_time(server.process_id()) - before) / u32::try_from(count).unwrap();
        figures.push(Figure::new(
            format!("processor time of a poll, {name}"),
            format!("{} µs", time.as_micros()),
        ));
        figures.extend(system_calls(&server, name, connect, scale.of(200)));
    }
    figures
}

/// Connect, log in, STAT, UIDL, QUIT.
fn poll(server: &Server, connect: Connect) {
    let mut wire = connect(server);
    wire.log_in(USER);
    assert!(wire.command("STAT").starts_with("+OK 50 "));
    wire.lines("UIDL");
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    wire.until_closed();
}

fn system_calls(server: &Server, name: &str, connect: Connect, count: usize) -> Vec<Figure> {
    let strace = Strace::attach(server.process_id());
    for _ in 0..count {
        poll(server, connect);
    }
    let calls = strace.detach();
    let per_poll = |number: u64| number as f64 / count as f64;
    let all: u64 = calls.values().sum();
    let mut most: Vec<(&String, &u64)> = calls.iter().collect();
    most.sort_by(|(_, a), (_, b)| b.cmp(a));
    let most: Vec<String> = most
        .into_iter()
        .take(8)
        .map(|(call, number)| format!("{call} {:.1}", per_poll(*number)))
        .collect();
    let listed = calls.get("getdents64").copied().unwrap_or_default();
    vec![
        Figure::new(
            format!("system calls of a poll, {name}"),
            format!("{:.1} ({})", per_poll(all), most.join(", ")),
        ),
        Figure::new(
            format!("directory reads of a poll, {name}"),
            format!("{:.2}", per_poll(listed)),
        ),
    ]
}
