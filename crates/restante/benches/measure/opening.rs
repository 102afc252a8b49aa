//! Opening a mailbox of 100,000 messages: the first time, the second, and what it holds in memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::kilobytes;
use crate::server::{Server, Site, USER};
use crate::wire::{Wire, status};
use crate::{Figure, Scale};

pub(crate) fn measure(scale: Scale) -> Vec<Figure> {
    let count = scale.of(100_000);
    let mut figures = Vec::new();
    for (named, sizes) in [
        ("sizes in the names", true),
        ("no sizes in the names", false),
    ] {
        let site = Site::new(&[]);
        fill(&site.maildir(), count, sizes);
        std::thread::sleep(Duration::from_millis(2500));
        let server = Server::at(site);
        for (which, label) in [(1, "first"), (2, "second")] {
            let (mut wire, login, stat) = open(&server, count);
            assert_eq!(status(&wire.command("QUIT")), "+OK");
            wire.until_closed();
            let what = format!("{label} opening of {count} messages, {named}");
            figures.push(Figure::new(what, took(login, stat)));
            if which == 1 {
                let most = kilobytes(server.process_id(), "VmHWM") as f64 / 1000.0;
                let what = format!("most memory of the server meanwhile, {named}");
                figures.push(Figure::new(what, format!("{most:.1} MB")));
            }
        }
        // A server that has not seen it growing: what the open mailbox itself needs.
        let server = Server::at(server.kill());
        let before = kilobytes(server.process_id(), "VmRSS");
        let (wire, login, stat) = open(&server, count);
        let what = format!("opening of {count} messages by a new process, {named}");
        figures.push(Figure::new(what, took(login, stat)));
        let grown = kilobytes(server.process_id(), "VmRSS").saturating_sub(before);
        figures.push(Figure::new(
            format!("memory of an open mailbox of {count} messages, {named}"),
            format!("{:.1} MB", (grown * 1024) as f64 / 1e6),
        ));
        drop(wire);
    }
    figures
}

/// A session that has opened the mailbox; seconds until its login was answered, and then until
/// STAT was.
fn open(server: &Server, count: usize) -> (Wire, f64, f64) {
    let mut wire = Wire::plain(server);
    let began = Instant::now();
    wire.log_in(USER);
    let login = began.elapsed().as_secs_f64();
    let answer = wire.command("STAT");
    let stat = began.elapsed().as_secs_f64() - login;
    assert!(answer.starts_with(&format!("+OK {count} ")), "{answer}");
    (wire, login, stat)
}

fn took(login: f64, stat: f64) -> String {
    let (login, stat) = (login * 1000.0, stat * 1000.0);
    format!("{login:.0} ms to log in, {stat:.0} ms to STAT")
}

fn fill(maildir: &Path, count: usize, sizes: bool) {
    let text = format!("Subject: one of many\n\n{}", "a line of text\n".repeat(30));
    let (stored, wire) = (text.len(), text.len() + text.matches('\n').count());
    let cur = maildir.join("cur");
    for index in 0..count {
        let name = match sizes {
            true => format!(
                "{}.M{index}P1.post,S={stored},W={wire}:2,S",
                1_600_000_000 + index
            ),
            false => format!("{}.M{index}P1.post:2,S", 1_600_000_000 + index),
        };
        fs::write(cur.join(name), &text).unwrap();
    }
}
