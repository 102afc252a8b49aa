//! `restante deliver`: one message from stdin into a mailbox.

mod message;

use std::io::{self, IsTerminal as _};

use bytes::Bytes;
use restante_maildrop::{DeliverError, Recipient, Store as _};

use self::message::Message;
use crate::{
    accounts, configuration::Configuration, console, exit_code::ExitCode, failure::Failure,
    flags::Deliver, mailboxes,
};

/// RFC 5321 §4.5.3.1.3 allows a path of 256 octets with its brackets; some relays make longer ones.
const SENDER_OCTETS_MAX: usize = 512;

/// Delivers stdin; `Ok` means that the message is on stable storage.
///
/// # Errors
/// Nothing was delivered; the exit code tells a mail server whether to try again.
pub(crate) fn run(
    configuration: Result<Configuration, Failure>,
    deliver: &Deliver,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::TryLater, "cannot start").caused_by(error))?;
    let delivered =
        configuration.and_then(|configuration| runtime.block_on(run_in(&configuration, deliver)));
    // A mail server returns a message to its sender for a wrong configuration, and keeps it when
    // it is told to try again: a slip in a file must not send everybody's mail back.
    delivered.map_err(|failure| match failure.code() {
        ExitCode::Configuration => failure.with_code(ExitCode::TryLater),
        _ => failure,
    })
}

async fn run_in(configuration: &Configuration, deliver: &Deliver) -> Result<(), Failure> {
    let prefix = deliver.from.as_deref().map(return_path).transpose()?;
    let mailbox = accounts::find(configuration, &deliver.address).await?;
    let store = mailboxes::open(configuration)?;
    if io::stdin().is_terminal() {
        console::tell("reading the message from the terminal; end it with Ctrl-D");
    }
    let unreadable = |error| Failure::new(ExitCode::Io, "cannot read the message").caused_by(error);
    let body = Message::begin(io::stdin()).map_err(unreadable)?;
    let body = body.ok_or_else(|| {
        Failure::new(ExitCode::Data, "there is no message on stdin")
            .hint("nothing was delivered: does the program before the pipe work?")
    })?;
    let recipient = Recipient {
        mailbox,
        prefix: prefix.unwrap_or_default(),
    };
    match store.deliver(&[recipient], body).await.pop() {
        Some(Ok(_durable)) => Ok(()),
        Some(Err(error)) => Err(explain(&deliver.address, error)),
        None => Err(Failure::new(ExitCode::Bug, "the store gave no result")),
    }
}

fn explain(address: &str, error: DeliverError) -> Failure {
    let (code, hint) = match &error {
        DeliverError::Source(_) => (ExitCode::Io, "nothing was delivered"),
        // A full disk, a lock, a file system that is away: a mail server keeps the message.
        DeliverError::Temporary(_) => {
            (ExitCode::TryLater, "nothing was delivered; try again later")
        }
        _ => (
            ExitCode::TryLater,
            "nothing was delivered; somebody has to look at the mailbox first",
        ),
    };
    Failure::new(code, format!("cannot deliver to `{address}`"))
        .caused_by(error)
        .hint(hint)
}

/// The header line that keeps the envelope sender (RFC 5321 §4.4).
fn return_path(sender: &str) -> Result<Bytes, Failure> {
    let bare = sender
        .strip_prefix('<')
        .and_then(|sender| sender.strip_suffix('>'))
        .unwrap_or(sender);
    // Anything else could end the line, and what follows would be a header of the sender's making.
    let legal = |c: char| !c.is_control() && !"<>".contains(c);
    if bare.len() <= SENDER_OCTETS_MAX && bare.chars().all(legal) {
        return Ok(Bytes::from(format!("Return-Path: <{bare}>\n")));
    }
    Err(
        Failure::new(ExitCode::Usage, "`--from` is not an envelope sender")
            .hint("write it as `somebody@example.com`, or `\"\"` for the null sender"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_sender_becomes_one_line() {
        let line = |sender| return_path(sender).map(|line| line.to_vec());
        assert_eq!(line("a@b").unwrap(), b"Return-Path: <a@b>\n");
        assert_eq!(line("<a@b>").unwrap(), b"Return-Path: <a@b>\n");
        assert_eq!(line("").unwrap(), b"Return-Path: <>\n");
        assert_eq!(line("<>").unwrap(), b"Return-Path: <>\n");
        for forged in [
            "a@b\nSubject: x",
            "a@b\r",
            "a>b",
            "<a",
            "a\0",
            &"a".repeat(513),
        ] {
            assert_eq!(
                line(forged).unwrap_err().code(),
                ExitCode::Usage,
                "{forged:?}"
            );
        }
    }
}
