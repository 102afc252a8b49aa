//! Moving octets between the machine and the connection. It knows no protocol.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use restante_proto::{
    Command, MessageNumber, Octets,
    client::{Event, Output, Session, SessionError, StatusLine, Success},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, timeout_at},
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Error, transport::Transport};

/// What one read may bring.
const READ_OCTETS_MAX: usize = 32 * 1024;

/// A machine and its connection. Every future may be dropped: what is half done stays here.
pub(crate) struct Driver {
    pub(crate) session: Session,
    transport: Transport,
    clock: Instant,
    /// What is to be sent; wiped when it is.
    out: Zeroizing<Vec<u8>>,
    /// How much of it was.
    written: usize,
    flushed: bool,
    /// Writing failed; what the server has to say about it may still be read.
    deaf: bool,
    input: Box<[u8]>,
    /// Commands whose answers have not come.
    unanswered: usize,
    /// A message was begun whose end has not come.
    in_message: bool,
}

/// What happened next.
pub(crate) enum Step {
    Event(Event),
    StartTls,
    Close,
}

impl Driver {
    /// `begin` makes the machine; its clock begins now.
    pub(crate) fn new(transport: Transport, begin: impl FnOnce(Duration) -> Session) -> Self {
        Self {
            session: begin(Duration::ZERO),
            transport,
            clock: Instant::now(),
            out: Zeroizing::default(),
            unanswered: 0,
            in_message: false,
            written: 0,
            flushed: true,
            deaf: false,
            input: vec![0; READ_OCTETS_MAX].into(),
        }
    }

    /// The connection alone. What was read from it and not made sense of is dropped with the
    /// machine; that there is none, the machine has seen to.
    pub(crate) fn into_transport(self) -> Transport {
        let Self { transport, .. } = self;
        transport
    }

    /// Waits for what the server has to say. Something must be due from it.
    pub(crate) async fn next(&mut self) -> Result<Step, Error> {
        loop {
            let now = self.clock.elapsed();
            match self.session.poll_output(now, &mut self.out)? {
                Output::Event(event) => return Ok(Step::Event(event)),
                Output::StartTls => return Ok(Step::StartTls),
                Output::Close => return Ok(Step::Close),
                Output::Wait { deadline } => self.exchange(deadline).await?,
            }
        }
    }

    /// Queues a command; its answer is due then.
    pub(crate) fn request(&mut self, command: &Command) -> Result<(), Error> {
        self.session.request(command)?;
        self.unanswered += 1;
        Ok(())
    }

    /// Queues RETR of a message of a known size.
    pub(crate) fn retrieve(&mut self, number: MessageNumber, octets: Octets) -> Result<(), Error> {
        self.session.retrieve(number, octets)?;
        self.unanswered += 1;
        Ok(())
    }

    /// Whether an answer is due.
    pub(crate) const fn is_due(&self) -> bool {
        self.unanswered > 0
    }

    /// Whether a message was begun whose end has not come.
    pub(crate) const fn in_message(&self) -> bool {
        self.in_message
    }

    /// The next event of a session that goes on.
    pub(crate) async fn event(&mut self) -> Result<Event, Error> {
        match self.next().await? {
            Step::Event(event) => {
                match event {
                    Event::MessageBegins(_) => self.in_message = true,
                    Event::Answered(_) => {
                        self.unanswered = self.unanswered.saturating_sub(1);
                        self.in_message = false;
                    }
                    _ => {}
                }
                Ok(event)
            }
            Step::StartTls | Step::Close => Err(Error::Session(SessionError::EndOfInput)),
        }
    }

    /// Takes the answers that nobody has waited for.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        self.settle_before(0).await
    }

    /// Takes the answers to the commands before the last one.
    pub(crate) async fn settle_all_but_last(&mut self) -> Result<(), Error> {
        self.settle_before(1).await
    }

    /// Takes answers until those of so many commands are due.
    async fn settle_before(&mut self, due: usize) -> Result<(), Error> {
        while self.unanswered > due {
            self.event().await?;
        }
        Ok(())
    }

    /// Waits for the answer to the oldest command, giving what comes before it to `each`.
    pub(crate) async fn answer(
        &mut self,
        mut each: impl FnMut(Event),
    ) -> Result<Result<Success, StatusLine>, Error> {
        loop {
            match self.event().await? {
                Event::Answered(answer) => return Ok(answer.outcome),
                event => each(event),
            }
        }
    }

    /// Sends a command that nothing is due before, and waits for `+OK`.
    pub(crate) async fn command(&mut self, command: &Command) -> Result<Success, Error> {
        self.settle().await?;
        self.request(command)?;
        let keyword = command.keyword();
        let outcome = self.answer(|_| {}).await?;
        outcome.map_err(|line| Error::Refused { keyword, line })
    }

    /// Says goodbye in TLS, as far as that is possible in time (R8314-CLOSE-9).
    pub(crate) async fn close(mut self, patience: Duration) {
        let shutdown = poll_fn(|cx| Pin::new(&mut self.transport).poll_shutdown(cx));
        let _ = tokio::time::timeout(patience, shutdown).await;
    }

    /// Sends and receives until something was received or the deadline has passed. Both at once,
    /// or two full buffers would wait for each other (R2449-PIPE-4).
    async fn exchange(&mut self, deadline: Option<Duration>) -> Result<(), Error> {
        let until = deadline.map(|deadline| self.clock + deadline);
        let exchanged = poll_fn(|cx| self.poll_exchange(cx));
        let received = match until {
            None => Ok(exchanged.await),
            Some(until) => timeout_at(until, exchanged).await,
        };
        let now = self.clock.elapsed();
        match received {
            Err(_elapsed) => self.session.handle_timeout(now),
            Ok(Err(error)) => return Err(Error::Broken(error)),
            // PRJ-TLS-8: politely or not, in the middle of an answer it is an error.
            Ok(Ok(0)) => self.session.handle_end_of_input(),
            Ok(Ok(octets)) => {
                let received = self.input.get(..octets).unwrap_or_default();
                let taken = self.session.handle_input(now, received);
                debug_assert_eq!(taken, octets, "no more is read than there is room for");
            }
        }
        Ok(())
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.deaf
            && let Poll::Ready(Err(_)) = self.poll_send(cx)
        {
            self.deaf = true;
        }
        let room = self.session.input_room().min(self.input.len());
        let mut buffer = ReadBuf::new(self.input.get_mut(..room).unwrap_or_default());
        let read = ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer));
        Poll::Ready(match read {
            Ok(()) => Ok(buffer.filled().len()),
            // The peer closed TCP without closing TLS.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|it| !it.is_empty()) {
            let written = ready!(Pin::new(&mut self.transport).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.flushed = false;
        }
        // It may have held a password (PRJ-SEC-7).
        self.out.zeroize();
        self.written = 0;
        if !self.flushed {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}
