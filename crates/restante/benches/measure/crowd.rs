//! 10,000 connections that never log in, and one that does.

use std::time::Instant;

use crate::process::kilobytes;
use crate::server::{Keys, Server, Site, USER};
use crate::wire::Wire;
use crate::{Figure, Scale};

const LIMITS: Keys = Keys {
    pop3: "",
    failure_time: "2s",
    tables: "[limits]\nconnections = 12000\nconnections_per_address = 12000",
};

pub(crate) fn measure(scale: Scale) -> Vec<Figure> {
    let count = scale.of(10_000);
    let server = Server::at(Site::configured(&[], &LIMITS));
    let before = kilobytes(server.process_id(), "VmRSS");
    let mut figures = Vec::new();
    let began = Instant::now();
    let crowd: Vec<Wire> = (0..count).map(|_| Wire::plain(&server)).collect();
    figures.push(Figure::new(
        format!("{count} connections accepted and greeted"),
        format!("{:.2} s", began.elapsed().as_secs_f64()),
    ));
    let grown = kilobytes(server.process_id(), "VmRSS").saturating_sub(before);
    figures.push(Figure::new(
        "memory of a connection that has not logged in",
        format!("{:.1} kB", (grown * 1024) as f64 / count as f64 / 1000.0),
    ));
    let began = Instant::now();
    let mut one = Wire::plain(&server);
    one.log_in(USER);
    figures.push(Figure::new(
        "a login among them",
        format!("{:.0} ms", began.elapsed().as_secs_f64() * 1000.0),
    ));
    // Those who have not logged in are gone after the login timeout, whoever they are.
    let began = Instant::now();
    for mut wire in crowd {
        wire.until_closed();
    }
    figures.push(Figure::new(
        "until the last of them was closed",
        format!("{:.1} s", began.elapsed().as_secs_f64()),
    ));
    figures
}
