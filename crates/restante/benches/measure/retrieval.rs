//! Processor time and speed of RETR, for a large message and for many of usual size.

use std::time::Instant;

use crate::corpus::{Letter, large};
use crate::process::{kilobytes, processor_time};
use crate::server::{Server, USER};
use crate::wire::{Wire, status};
use crate::{Figure, Scale, WAYS};

const GIGABYTE: f64 = 1e9;

pub(crate) fn measure(scale: Scale) -> Vec<Figure> {
    let octets = scale.of(1_000_000_000);
    let lf = large(50_000_000);
    let crlf = String::from_utf8(lf.clone()).unwrap().replace('\n', "\r\n");
    let large_ones = [Letter::new("LF", lf), Letter::new("CRLF", crlf)];
    let usual = vec![Letter::new("usual", large(75_000)); 200];
    let mut figures = Vec::new();
    for (way, connect) in WAYS {
        let server = Server::with(&large_ones);
        for (number, form) in [(1, "50 MB, LF ends"), (2, "50 MB, CRLF ends")] {
            figures.push(retrieve(
                &server,
                connect(&server),
                &[number],
                octets,
                way,
                form,
            ));
        }
        figures.push(Figure::new(
            format!("most memory of the server meanwhile, {way}"),
            format!(
                "{:.1} MB",
                kilobytes(server.process_id(), "VmHWM") as f64 / 1000.0
            ),
        ));
        let server = Server::with(&usual);
        let numbers: Vec<u32> = (1..=200).collect();
        figures.push(retrieve(
            &server,
            connect(&server),
            &numbers,
            octets,
            way,
            "75 kB, LF ends",
        ));
    }
    figures
}

fn retrieve(
    server: &Server,
    mut wire: Wire,
    numbers: &[u32],
    octets: usize,
    way: &str,
    form: &str,
) -> Figure {
    wire.log_in(USER);
    // Once before, so that the page cache and the sizes are warm.
    for number in numbers {
        retrieve_one(&mut wire, *number);
    }
    let (began, before) = (Instant::now(), processor_time(server.process_id()));
    let mut received = 0;
    for number in numbers.iter().cycle() {
        received += retrieve_one(&mut wire, *number);
        if received >= octets {
            break;
        }
    }
    let time = processor_time(server.process_id()) - before;
    let speed = received as f64 / began.elapsed().as_secs_f64() / 1e6;
    Figure::new(
        format!("processor time of a gigabyte, {way}, messages of {form}"),
        format!(
            "{:.2} s (at {speed:.0} MB/s)",
            time.as_secs_f64() * GIGABYTE / received as f64
        ),
    )
}

fn retrieve_one(wire: &mut Wire, number: u32) -> usize {
    assert_eq!(status(&wire.command(&format!("RETR {number}"))), "+OK");
    wire.skip_lines()
}
