//! A message as it comes in through a pipe.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use bytes::Bytes;
use restante_maildrop::BodySource;

/// Pieces are as large as pipes are on Linux.
const PIECE_OCTETS: usize = 64 * 1024;

/// What an mbox separator line begins with (RFC 4155). No header field does: a space in its name
/// is not allowed (RFC 5322 §2.2).
const FROM: &[u8] = b"From ";

/// A message read from a pipe, without the mbox `From ` line that programs put in front when they
/// deliver through one. Everything else stays as it is, octet for octet.
///
/// Reading blocks the thread: this is for a program that does nothing else meanwhile.
pub(crate) struct Message<R> {
    /// Octets that were read to see whether they are a `From ` line, and are not.
    start: Bytes,
    rest: BufReader<R>,
}

impl<R: Read> Message<R> {
    /// Reads the message's beginning; `None` if there is no message at all.
    ///
    /// # Errors
    /// Reading failed.
    pub(crate) fn begin(input: R) -> io::Result<Option<Self>> {
        let mut rest = BufReader::with_capacity(PIECE_OCTETS, input);
        let mut start = Vec::new();
        rest.by_ref()
            .take(FROM.len() as u64)
            .read_to_end(&mut start)?;
        if start == FROM {
            rest.skip_until(b'\n')?;
            start = filled(&mut rest)?.to_vec();
            rest.consume(start.len());
        }
        let start = Bytes::from(start);
        Ok((!start.is_empty()).then_some(Self { start, rest }))
    }
}

impl<R: Read + Send> BodySource for Message<R> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if !self.start.is_empty() {
            return Ok(Some(std::mem::take(&mut self.start)));
        }
        let piece = Bytes::copy_from_slice(filled(&mut self.rest)?);
        self.rest.consume(piece.len());
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// As [`BufRead::fill_buf`], but not ended by a signal.
fn filled<R: Read>(input: &mut BufReader<R>) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    Ok(input.buffer())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its octets in pieces of a size, with an interruption before each.
    struct Drip<'a> {
        octets: &'a [u8],
        piece: usize,
        interrupted: bool,
    }

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(ErrorKind::Interrupted.into());
            }
            let room = self.piece.min(buffer.len());
            (&mut self.octets).take(room as u64).read(buffer)
        }
    }

    fn taken(octets: &[u8], piece: usize) -> Option<Vec<u8>> {
        let drip = Drip {
            octets,
            piece,
            interrupted: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut message = Message::begin(drip).unwrap()?;
        let mut all = Vec::new();
        while let Some(piece) = runtime.block_on(message.next()).unwrap() {
            all.extend_from_slice(&piece);
        }
        Some(all)
    }

    #[test]
    fn a_message_passes_unchanged_but_for_the_mbox_separator() {
        let cases: [(&[u8], Option<&[u8]>); 10] = [
            (b"Subject: a\n\nb\n", Some(b"Subject: a\n\nb\n")),
            (
                b"From me Mon Jan  1 00:00:00 2026\nTo: a\n\nFrom b\n",
                Some(b"To: a\n\nFrom b\n"),
            ),
            (
                b"From me\r\nTo: a\r\n\r\n\0\xff.",
                Some(b"To: a\r\n\r\n\0\xff."),
            ),
            (b"From: me\n\n", Some(b"From: me\n\n")),
            (b"from me\n", Some(b"from me\n")),
            (b"Fro", Some(b"Fro")),
            (b"\n", Some(b"\n")),
            (b"From me\n", None),
            (b"From me", None),
            (b"", None),
        ];
        for (input, expected) in cases {
            for piece in [1, 3, 7, PIECE_OCTETS] {
                assert_eq!(
                    taken(input, piece).as_deref(),
                    expected,
                    "{input:?} by {piece}"
                );
            }
        }
    }

    #[test]
    fn a_large_message_passes_in_bounded_pieces() {
        let large: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        assert_eq!(taken(&large, 100_000).unwrap(), large);
    }

    #[test]
    fn a_failed_read_is_no_end_of_message() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let mut message = Message::begin((&b"Subject: a\n"[..]).chain(Broken))
            .unwrap()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let outcome = runtime.block_on(async {
            loop {
                match message.next().await {
                    Ok(Some(_)) => {}
                    other => return other,
                }
            }
        });
        assert!(outcome.is_err());
    }
}
