//! The two directions of one connection, for a driver that must never deadlock.
//!
//! Operations: wait for input; send what has been collected. Goals: an idle connection holds no
//! buffer; a peer that sends much before it reads anything is still read, up to a bound, so that
//! two full buffers do not wait for each other (R2449-PIPE-4); a peer that takes nothing is cut
//! off, however slowly others may take what they get (PRJ-TIMER-5); and the end of a multi-line
//! answer is handed over in one piece. Plan: one buffer for each thread takes what a read brings,
//! only what arrived is kept; sending goes block by block, reading while it waits.

use std::{
    cell::RefCell,
    future::{pending, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use restante_proto::server::Answered;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use zeroize::Zeroize;

mod block;
mod traffic;
mod unsent;

pub(crate) use block::Blocks;
pub(crate) use traffic::{Counted, Traffic};
pub(crate) use unsent::Unsent;

/// What one read may bring.
const READ_OCTETS_MAX: usize = 16 * 1024;

/// How much input may wait while an answer cannot be sent. A client may pipeline this much and
/// what the two kernels hold before it reads anything.
const WAITING_OCTETS_MAX: usize = 16 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; READ_OCTETS_MAX].into_boxed_slice());
}

/// Why octets did not reach the peer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It took none for the whole write timeout.
    #[error("the peer stopped reading")]
    Stalled,
    /// What the session was logged in with was withdrawn: nothing more is for this peer.
    #[error("the login was withdrawn")]
    Withdrawn,
    /// The connection is broken.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
}

/// The end of the peer's input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Ahead,
    Come,
    /// Come, and whoever consumes the input knows it.
    Told,
}

/// One connection: `S` is TCP, or TLS over it.
pub(crate) struct Link<S> {
    stream: S,
    traffic: Arc<Traffic>,
    input: Input,
    end: End,
    blocks: Blocks,
    write_timeout: Duration,
    unsent: Unsent,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// A link over `stream`, whose octets `traffic` counts below TLS, and `unsent` the time until
    /// answers have been handed over.
    pub(crate) fn new(
        stream: S,
        traffic: Arc<Traffic>,
        blocks: Blocks,
        write_timeout: Duration,
        unsent: Unsent,
    ) -> Self {
        Self {
            stream,
            traffic,
            input: Input::default(),
            end: End::Ahead,
            blocks,
            write_timeout,
            unsent,
        }
    }

    /// The answer to a command is complete, in what is sent next.
    pub(crate) fn answered(&mut self, command: Answered) {
        self.unsent.add(command);
    }

    /// Waits for more input, or for its end; a broken connection is an end too. Nothing is lost
    /// if the future is dropped.
    pub(crate) async fn receive(&mut self) {
        if self.end == End::Told || self.input().len() >= WAITING_OCTETS_MAX {
            return pending().await;
        }
        if poll_fn(|cx| self.poll_receive(cx)).await.is_err() {
            self.end = End::Come;
        }
    }

    /// Whether all input has been consumed and no more will arrive; `true` once.
    pub(crate) fn take_end(&mut self) -> bool {
        let now = self.end == End::Come && self.input().is_empty();
        if now {
            self.end = End::Told;
        }
        now
    }

    /// Takes `octets` of [`Link::input`] away.
    pub(crate) fn consume(&mut self, octets: usize) {
        self.input.consume(octets);
    }

    /// Sends all of `out` and gives its memory back.
    pub(crate) async fn send(&mut self, out: &mut Vec<u8>) -> Result<(), SendError> {
        let mut sent = 0;
        while let Some(rest) = out.get(sent..).filter(|rest| !rest.is_empty()) {
            let octets = self.blocks.next_octets(rest);
            self.send_block(&rest[..octets]).await?;
            sent += octets;
        }
        *out = Vec::new();
        self.unsent.handed_over();
        Ok(())
    }

    /// Sends the full blocks of `out`, keeping the rest, to which more is to come.
    pub(crate) async fn send_blocks(&mut self, out: &mut Vec<u8>) -> Result<(), SendError> {
        let mut sent = 0;
        // What decides where a block may end must be there before it is cut.
        while out.len() - sent >= self.blocks.octets_max + block::LOOK_AHEAD_OCTETS {
            let octets = self.blocks.next_octets(&out[sent..]);
            self.send_block(&out[sent..sent + octets]).await?;
            sent += octets;
        }
        // What was complete before this block was begun has gone with it.
        if sent > 0 {
            self.unsent.handed_over();
        }
        out.drain(..sent);
        Ok(())
    }

    async fn send_block(&mut self, block: &[u8]) -> Result<(), SendError> {
        let mut sending = Sending { block, stall: None };
        poll_fn(|cx| sending.poll(self, cx)).await
    }

    /// Input that has arrived and was not consumed.
    pub(crate) fn input(&self) -> &[u8] {
        self.input.octets()
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        READ_BUFFER.with_borrow_mut(|octets| {
            let mut buffer = ReadBuf::new(octets);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => self.end = End::Come,
                Ok(()) => {
                    self.input.append(buffer.filled());
                    // PRJ-SEC-7: every password passes through here.
                    buffer.filled_mut().zeroize();
                }
                // TCP was closed without close_notify. To a server that is an end like any other:
                // it never leads to an update.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.end = End::Come,
                Err(error) => return Poll::Ready(Err(error)),
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// A block on its way out.
struct Sending<'b> {
    block: &'b [u8],
    /// Made when the stream would block for the first time.
    stall: Option<Stall>,
}

/// When a peer that takes nothing is given up.
struct Stall {
    sent_before: u64,
    timer: Pin<Box<Sleep>>,
}

impl Sending<'_> {
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        link: &mut Link<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if let Poll::Ready(result) = self.poll_write(&mut link.stream, cx) {
            return Poll::Ready(result.map_err(SendError::Broken));
        }
        while link.end == End::Ahead && link.input().len() < WAITING_OCTETS_MAX {
            match link.poll_receive(cx) {
                // A peer that has closed only its own direction may still take the answer.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(SendError::Broken(error))),
                Poll::Pending => break,
            }
        }
        self.poll_stall(link, cx).map(Err)
    }

    /// Hands over the block, flushed: TLS holds back what TCP has no room for, and must not be
    /// given more before that has gone.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.block.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, self.block))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                octets => self.block = self.block.get(octets..).unwrap_or_default(),
            }
        }
        Pin::new(stream).poll_flush(cx)
    }

    /// Ready when the peer has taken nothing for the whole write timeout.
    fn poll_stall<S>(&mut self, link: &Link<S>, cx: &mut Context<'_>) -> Poll<SendError> {
        let sent = link.traffic.sent();
        let deadline = || Instant::now() + link.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Stall {
            sent_before: sent,
            timer: Box::pin(sleep_until(deadline())),
        });
        if stall.sent_before != sent {
            stall.sent_before = sent;
            stall.timer.as_mut().reset(deadline());
        }
        stall.timer.as_mut().poll(cx).map(|()| SendError::Stalled)
    }
}

/// Octets that have arrived; without any it holds no memory. What is given back is wiped, since
/// it may be a password (PRJ-SEC-7).
#[derive(Default)]
struct Input {
    octets: Vec<u8>,
    consumed: usize,
}

impl Input {
    fn append(&mut self, octets: &[u8]) {
        if octets.len() > self.octets.capacity() - self.octets.len() {
            // A vector of its own choosing would leave a copy behind.
            let waiting = self.octets().len();
            let mut moved = Vec::with_capacity((waiting + octets.len()).next_power_of_two());
            moved.extend_from_slice(self.octets());
            self.octets.zeroize();
            self.octets = moved;
            self.consumed = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    fn consume(&mut self, octets: usize) {
        self.consumed += octets;
        if self.consumed >= self.octets.len() {
            self.octets.zeroize();
            self.octets = Vec::new();
            self.consumed = 0;
        }
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(self.consumed..).unwrap_or_default()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

#[cfg(test)]
mod tests;
