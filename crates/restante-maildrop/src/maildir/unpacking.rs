//! A packed message as pieces that a blocking thread unpacks, one after the other, as they are
//! asked for.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::task::{JoinHandle, spawn_blocking};

use super::compressed::Unpacker;
use crate::{Chunks, ReadError};

const PIECE_OCTETS: usize = 64 * 1024;

/// The rest of what `unpacker` gives.
pub(crate) fn chunks(unpacker: Unpacker) -> Chunks {
    Box::pin(Unpacking::Idle(unpacker))
}

enum Unpacking {
    Idle(Unpacker),
    Busy(JoinHandle<(Unpacker, io::Result<Vec<u8>>)>),
    Ended,
}

impl Stream for Unpacking {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut *self, Self::Ended) {
                Self::Idle(mut unpacker) => {
                    let piece = spawn_blocking(move || {
                        let mut room = vec![0; PIECE_OCTETS];
                        let read = unpacker.read(&mut room).map(|count| {
                            room.truncate(count);
                            room
                        });
                        (unpacker, read)
                    });
                    *self = Self::Busy(piece);
                }
                Self::Busy(mut piece) => {
                    let Poll::Ready(joined) = Pin::new(&mut piece).poll(context) else {
                        *self = Self::Busy(piece);
                        return Poll::Pending;
                    };
                    let (unpacker, read) = match joined {
                        Ok(unpacked) => unpacked,
                        Err(error) => return Poll::Ready(Some(Err(temporary(error)))),
                    };
                    return Poll::Ready(match read {
                        Ok(piece) if piece.is_empty() => None,
                        Ok(piece) => {
                            *self = Self::Idle(unpacker);
                            Some(Ok(Bytes::from(piece)))
                        }
                        Err(error) => Some(Err(ReadError::Temporary(error))),
                    });
                }
                Self::Ended => return Poll::Ready(None),
            }
        }
    }
}

fn temporary(error: tokio::task::JoinError) -> ReadError {
    ReadError::Temporary(io::Error::other(error))
}
