//! What the server does with a store, in few words.

use std::{io, time::Duration};

use bytes::Bytes;
use restante_maildrop::{
    BodySource, DeliverError, Durable, Maildrop, Marks, ReadError, Recipient, Store, UpdateError,
    Updated, View,
};
use restante_proto::{
    MessageNumber, MessageSet, Messages, Mode, MultiLineEncoder, Octets, Part, Progress,
};

use crate::fixture::{mailbox, shared};

/// Long enough that no test waits by mistake, short enough that one that must is quick.
pub(crate) const WAIT: Duration = Duration::from_millis(100);

/// A body in pieces, which may end with a failure.
pub(crate) struct Pieces {
    pieces: Vec<Bytes>,
    failure: Option<io::Error>,
}

impl Pieces {
    /// A body cut into pieces of `octets`.
    pub(crate) fn of(body: &[u8], octets: usize) -> Self {
        let pieces = body.chunks(octets.max(1)).rev();
        Self {
            pieces: pieces.map(Bytes::copy_from_slice).collect(),
            failure: None,
        }
    }

    /// The same body, but at its end the source fails.
    pub(crate) fn breaking_off(body: &[u8], octets: usize) -> Self {
        Self {
            failure: Some(io::ErrorKind::ConnectionReset.into()),
            ..Self::of(body, octets)
        }
    }
}

impl BodySource for Pieces {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        tokio::task::yield_now().await;
        match (self.pieces.pop(), self.failure.take()) {
            (Some(piece), failure) => {
                self.failure = failure;
                Ok(Some(piece))
            }
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(None),
        }
    }
}

/// A recipient without header lines of its own.
pub(crate) fn to(name: &str) -> Recipient {
    Recipient {
        mailbox: mailbox(name),
        prefix: Bytes::new(),
    }
}

pub(crate) async fn try_deliver(
    store: &impl Store,
    name: &str,
    body: &[u8],
) -> Result<Durable, DeliverError> {
    let results = store.deliver(&[to(name)], Pieces::of(body, 1000)).await;
    let [result] = <[_; 1]>::try_from(results).expect("one recipient, one result");
    result
}

pub(crate) async fn deliver(store: &impl Store, name: &str, body: &[u8]) {
    let _: Durable = try_deliver(store, name, body).await.unwrap();
}

/// Opens the shared view of `name`, which must be free.
pub(crate) async fn open<S: Store>(store: &S, name: &str) -> S::Maildrop {
    store.open(&shared(name), WAIT).await.unwrap()
}

/// Opens the view, which must be free.
pub(crate) async fn open_view<S: Store>(store: &S, view: &View) -> S::Maildrop {
    store.open(view, WAIT).await.unwrap()
}

/// The unique-ids, in listing order.
pub(crate) fn unique_ids(maildrop: &impl Maildrop) -> Vec<Vec<u8>> {
    let messages = maildrop.messages();
    numbers(maildrop)
        .map(|number| messages.unique_id(number).as_bytes().to_vec())
        .collect()
}

/// All message-numbers.
pub(crate) fn numbers<M: Maildrop>(maildrop: &M) -> impl Iterator<Item = MessageNumber> + use<M> {
    (1..=maildrop.messages().count()).filter_map(MessageNumber::new)
}

pub(crate) fn number(number: u32) -> MessageNumber {
    MessageNumber::new(number).expect("tests number from 1")
}

pub(crate) async fn size(maildrop: &impl Maildrop, number: MessageNumber) -> Octets {
    maildrop.measure(Mode::Plain, number).await.unwrap();
    let octets = maildrop.messages().octets(number, Mode::Plain);
    octets.expect("it has been measured")
}

/// What a client holds after RETR: read, encoded, sent, and byte-stuffing undone.
pub(crate) async fn retrieve(
    maildrop: &impl Maildrop,
    number: MessageNumber,
) -> Result<Vec<u8>, ReadError> {
    let body = maildrop.read(number, Mode::Plain, Part::Whole).await?;
    let (octets, form) = (body.octets, body.form);
    let mut encoder = MultiLineEncoder::new(form, Part::Whole, Some(octets));
    let (mut reader, mut piece, mut wire) = (body.into_reader(), Vec::new(), Vec::new());
    while reader.next(&mut piece).await? > 0 {
        assert_eq!(encoder.encode(&piece, &mut wire), Progress::More);
        piece.clear();
    }
    let sent = encoder
        .finish(&mut wire)
        .expect("as many octets as announced");
    assert_eq!(sent, octets);
    let message = undone(&wire);
    assert_eq!(message.len() as u64, sent.0);
    Ok(message)
}

/// RFC 1939 §3, from the client's side, the slow way.
fn undone(wire: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let mut rest = wire;
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        let (line, after) = rest.split_at(end);
        if line == b".\r\n" {
            assert!(after.is_empty(), "octets after the termination line");
            return message;
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        rest = after;
    }
}

/// QUIT with these messages marked.
pub(crate) async fn quit(maildrop: impl Maildrop, deleted: &[u32]) -> Result<Updated, UpdateError> {
    let deleted: MessageSet = deleted.iter().map(|&one| number(one)).collect();
    let marks = Marks {
        deleted,
        ..Marks::default()
    };
    maildrop.update(marks).await
}
