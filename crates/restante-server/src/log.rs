//! Where log lines go and what they look like.
//!
//! Text that a stranger chose stands in *fields of type string*, never in a message and never
//! through `Display`: both formats escape such fields, so that a name with a line end in it makes
//! neither a second line nor a second field (PRJ-ERR-6).

use std::{error::Error, fmt::Write as _, io, io::IsTerminal as _};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, filter::ParseError, fmt::MakeWriter,
    layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people: time, level, message, `field=value`.
    #[default]
    Text,
    /// For programs: one JSON object on each line.
    Json,
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter is not one.
    #[error("invalid log filter")]
    Filter(#[from] ParseError),
    /// This process logs already.
    #[error("logging has been started before")]
    Started,
    /// Nobody logs any more.
    #[error("logging has ended")]
    Ended,
}

/// Says how much is logged, also while the program runs.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// From now on `filter` decides.
    ///
    /// # Errors
    /// [`LogError::Filter`] for a filter that makes no sense; then nothing has changed.
    pub fn replace(&self, filter: &str) -> Result<(), LogError> {
        let filter = EnvFilter::try_new(filter)?;
        self.0.reload(filter).map_err(|_| LogError::Ended)
    }
}

/// Sends this process's log lines to stderr; call it once, first of all.
///
/// `filter` is a level (`info`) or a list of them by target (`info,restante_server=debug`).
///
/// # Errors
/// [`LogError::Filter`] for a filter that makes no sense, [`LogError::Started`] the second time.
pub fn start(format: LogFormat, filter: &str) -> Result<LogFilter, LogError> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (subscriber, filter) = filtered(format, filter, colour, io::stderr)?;
    subscriber.try_init().map_err(|_| LogError::Started)?;
    Ok(filter)
}

/// What [`start`] installs, for another destination: a test, or a program with logging of its own.
///
/// # Errors
/// [`LogError::Filter`] for a filter that makes no sense.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    colour: bool,
    writer: W,
) -> Result<impl tracing::Subscriber + Send + Sync + 'static, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    filtered(format, filter, colour, writer).map(|(subscriber, _)| subscriber)
}

fn filtered<W>(
    format: LogFormat,
    filter: &str,
    colour: bool,
    writer: W,
) -> Result<(impl tracing::Subscriber + Send + Sync + 'static, LogFilter), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(colour)
        .with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    };
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    Ok((subscriber, LogFilter(handle)))
}

/// An error with its causes, as one clause after the other, for a field of a log line.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, foreign: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, "info", false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(name = foreign, "login refused");
        });
        let octets = lines.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    const FOREIGN: &str = "a\r\nINFO login account=\"root\"\u{1b}[2J\0\u{202e}";

    #[test]
    fn prj_err_6_a_foreign_name_makes_no_second_line_or_field_in_text() {
        let line = logged(LogFormat::Text, FOREIGN);
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(
            !line.contains(['\r', '\u{1b}', '\0', '\u{202e}']),
            "{line:?}"
        );
        assert!(
            line.contains(r#"name="a\r\nINFO login account=\"root\"\u{1b}[2J"#),
            "{line:?}"
        );
    }

    #[test]
    fn prj_err_6_a_foreign_name_makes_no_second_line_or_field_in_json() {
        let line = logged(LogFormat::Json, FOREIGN);
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(!line.contains(['\r', '\u{1b}', '\0']), "{line:?}");
        assert!(
            line.contains(r#""name":"a\r\nINFO login account=\"root\"\u001b[2J\u0000"#),
            "{line:?}"
        );
    }

    #[test]
    fn the_filter_may_change_while_lines_are_written() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, filter) =
            filtered(LogFormat::Text, "warn", false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for level in ["warn", "info", "error"] {
                filter.replace(level).unwrap();
                tracing::info!("an event under {level}");
                assert!(filter.replace("restante=loud").is_err());
            }
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with(" INFO an event under info\n"), "{text:?}");
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        let refused = subscriber(LogFormat::Text, "restante=loud", false, io::stderr).err();
        assert!(matches!(refused, Some(LogError::Filter(_))));
    }
}
