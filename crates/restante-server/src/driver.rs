//! The driver: moves octets between a link and the protocol machine, and has the machine's
//! actions done. It knows nothing of the protocol.

use std::{future::pending, time::Duration};

use restante_maildrop::{Lost, Store};
use restante_proto::server::{Action, CloseReason, Output, Session};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    time::sleep_until,
};

use crate::{
    clock::Clock,
    host::Host,
    link::{Link, SendError},
    server::Stop,
};

/// Answers to commands that came together go out together, until they are this many octets.
const BATCH_OCTETS: usize = 16 * 1024;

/// How a session ended, as far as this connection is concerned.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The answer to STLS has been sent; the handshake follows.
    StartTls,
    /// The machine wants the connection closed.
    Closed {
        reason: CloseReason,
        /// Whether its last words were sent.
        told: Result<(), SendError>,
    },
}

/// Drives `session` until it ends.
///
/// # Errors
/// [`SendError`] when the peer cannot be sent an answer; the session is over.
pub(crate) async fn drive<S, T>(
    session: &mut Session,
    host: &mut Host<S>,
    link: &mut Link<T>,
    clock: Clock,
    stop: &mut Stop,
) -> Result<Ended, SendError>
where
    S: Store,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    loop {
        // A pipeline may never get to waiting.
        if stop.take() {
            session.shut_down(clock.now());
        }
        if host.is_withdrawn() {
            session.credential_lost(clock.now());
        }
        let answered = |command| link.answered(command);
        match session.poll_output_telling(clock.now(), &mut out, answered) {
            Output::Flush => {
                link.send_blocks(&mut out).await?;
                session.progress(clock.now());
            }
            Output::Action(Action::StartTls) => {
                link.send(&mut out).await?;
                return Ok(Ended::StartTls);
            }
            // Boxed, so that a session that waits does not hold the room that actions need.
            Output::Action(action) => {
                Box::pin(host.perform(action, session, link, &mut out)).await?
            }
            Output::Wait { deadline } => {
                if out.len() < BATCH_OCTETS && feed(session, link, clock) {
                    continue;
                }
                if out.is_empty() {
                    wait(session, host, link, clock, stop, deadline).await;
                } else {
                    // A peer that took long to take it was not idle: the deadline moves.
                    link.send(&mut out).await?;
                    session.progress(clock.now());
                }
            }
            Output::Close(reason) => {
                let told = link.send(&mut out).await;
                return Ok(Ended::Closed { reason, told });
            }
        }
    }
}

/// Gives the machine what has arrived; `false` if there is nothing to give.
fn feed<T>(session: &mut Session, link: &mut Link<T>, clock: Clock) -> bool
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    if link.take_end() {
        session.handle_end_of_input(clock.now());
        return true;
    }
    let taken = match link.input() {
        [] => 0,
        input => session.handle_input(clock.now(), input),
    };
    link.consume(taken);
    taken > 0
}

/// Waits until something happens, and tells the machine.
async fn wait<S, T>(
    session: &mut Session,
    host: &Host<S>,
    link: &mut Link<T>,
    clock: Clock,
    stop: &mut Stop,
    deadline: Option<Duration>,
) where
    S: Store,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let timeout = async {
        match deadline {
            Some(deadline) => sleep_until(clock.at(deadline)).await,
            None => pending().await,
        }
    };
    select! {
        // A peer that never stops sending must not hide the other events.
        biased;
        () = stop.requested() => session.shut_down(clock.now()),
        why = host.lost() => match why {
            Lost::Credential => session.credential_lost(clock.now()),
            _ => session.lease_lost(clock.now()),
        },
        () = link.receive() => {}
        () = timeout => session.handle_timeout(clock.now()),
    }
}
