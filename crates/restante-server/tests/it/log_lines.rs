//! Catches what a test's server logs. The runtime of a test has one thread, and so has this.

use std::{
    io,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use restante_server::log::{LogFormat, subscriber};
use tracing::subscriber::DefaultGuard;

/// Log lines so far; no more are caught once it is dropped.
pub(crate) struct LogLines {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    pub(crate) fn catch(format: LogFormat) -> Self {
        enable_everywhere();
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, "trace", false, move || writer.clone()).unwrap();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The first line that holds `part`; waits for it.
    pub(crate) async fn line_with(&self, part: &str) -> String {
        for _ in 0..2000 {
            if let Some(line) = self.text().lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no line with {part:?} in:\n{}", self.text());
    }
}

/// Keeps every log statement enabled in every thread. `tracing` remembers for each statement
/// whether anybody listens, and a test that listens to nothing may come first.
pub(crate) fn enable_everywhere() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let nowhere = subscriber(LogFormat::Text, "trace", false, io::sink).unwrap();
        tracing::subscriber::set_global_default(nowhere).unwrap();
    });
}

impl io::Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
