//! Sends a message: from the store through the encoder to the link, in bounded memory.

use std::ops::RangeInclusive;

use restante_maildrop::{Maildrop, ReadError};
use restante_proto::{
    MessageNumber, Messages as _, Mode, Part, Progress,
    server::{MessageRefusal, Session},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    clock::Clock,
    link::{Link, SendError},
    log,
    settings::Utf8Headers,
    surrogate::Opened,
};

/// How many messages after the one that is sent a store may prepare: programs ask for them next.
const READ_AHEAD: u32 = 4;

/// The message a client has asked for.
pub(crate) struct Wanted {
    pub(crate) number: MessageNumber,
    pub(crate) mode: Mode,
    pub(crate) part: Part,
}

impl Wanted {
    /// Opens the message in the form in which its session is to see it.
    async fn open<M: Maildrop>(
        &self,
        maildrop: &M,
        utf8_headers: Utf8Headers,
    ) -> Result<Opened, ReadError> {
        let body = maildrop.read(self.number, self.mode, self.part).await?;
        match (self.mode, utf8_headers) {
            // R6856-UTF8-2.
            (Mode::Plain, Utf8Headers::Surrogate) => Opened::surrogate(body).await,
            (Mode::Utf8, _) | (_, Utf8Headers::Raw) => Ok(Opened::stored(body)),
        }
    }
}

/// What became of a request for a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Retrieved {
    /// It was answered as it should be.
    Answered,
    /// The store failed, or what it said did not hold.
    Failed,
}

/// Answers `session`'s request for a message. The last block stays in `out`, with what follows.
///
/// When reading fails after the answer has begun, the machine closes the connection without the
/// termination: half a message must never pass for a whole one (PRJ-ML-8).
pub(crate) async fn send_message<M, T>(
    maildrop: &M,
    wanted: &Wanted,
    utf8_headers: Utf8Headers,
    session: &mut Session,
    link: &mut Link<T>,
    clock: Clock,
    out: &mut Vec<u8>,
) -> Result<Retrieved, SendError>
where
    M: Maildrop,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let &Wanted { number, part, .. } = wanted;
    let mut opened = match wanted.open(maildrop, utf8_headers).await {
        Ok(opened) => opened,
        Err(error) => {
            report(number, &error);
            session.message_refused(clock.now(), refusal(&error));
            return Ok(match error {
                // Somebody else has removed it, as they may.
                ReadError::Gone => Retrieved::Answered,
                _ => Retrieved::Failed,
            });
        }
    };
    if let (Part::Whole, Some(next)) = (part, next_messages(maildrop, number)) {
        maildrop.read_ahead(next);
    }
    let (now, octets) = (clock.now(), opened.octets);
    let mut encoder = match opened.form {
        Some(form) => session.message_opened(now, form, octets, out),
        None => session.surrogate_opened(now, octets, out),
    };
    loop {
        let mut octets = std::mem::take(&mut opened.first);
        let read = match octets.len() {
            0 => opened.rest.next(&mut octets).await,
            taken => Ok(taken),
        };
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                report(number, &error);
                session.message_broken(clock.now());
                return Ok(Retrieved::Failed);
            }
        }
        let progress = encoder.encode(&octets, out);
        // A peer may take a minute for the next block; the memory is better used elsewhere.
        drop(octets);
        link.send_blocks(out).await?;
        session.progress(clock.now());
        if progress == Progress::Enough {
            break;
        }
    }
    match encoder.finish(out) {
        Ok(_) => {
            session.message_sent(clock.now());
            Ok(Retrieved::Answered)
        }
        Err(mismatch) => {
            tracing::error!(number = number.get(), error = %mismatch, "message changed while it was sent");
            maildrop.distrust(number);
            session.message_broken(clock.now());
            Ok(Retrieved::Failed)
        }
    }
}

fn next_messages<M: Maildrop>(
    maildrop: &M,
    number: MessageNumber,
) -> Option<RangeInclusive<MessageNumber>> {
    let count = maildrop.messages().count();
    let first = number.next().filter(|next| next.get() <= count)?;
    let last = MessageNumber::new(number.get().saturating_add(READ_AHEAD).min(count))?;
    Some(first..=last)
}

fn refusal(error: &ReadError) -> MessageRefusal {
    match error {
        ReadError::Gone => MessageRefusal::Gone,
        ReadError::Changed => MessageRefusal::Changed,
        _ => MessageRefusal::Temporary,
    }
}

fn report(number: MessageNumber, error: &ReadError) {
    tracing::warn!(
        number = number.get(),
        error = log::causes(error),
        "message not readable"
    );
}
