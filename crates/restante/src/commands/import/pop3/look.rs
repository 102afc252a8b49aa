//! One session with the other server: what it lists, and as much of the messages as is needed to
//! know which is which. Nothing is marked as deleted.

use std::time::{SystemTime, UNIX_EPOCH};

use restante_client::{
    Client, Connection, Error, Fault, Listing, Login, LoginVerdict, Message, MessageNumber, Octets,
    Reply, Server, SessionError,
};

use super::{
    digest::{Digester, Digests},
    matching::{self, Header, Here, There},
};
use crate::exit_code::ExitCode;

/// Why nothing is known of what the other server lists.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("the other server has no unique-ids")]
    NoUniqueIds,
    #[error("the other server lists message {0} by LIST or by UIDL alone")]
    Uneven(MessageNumber),
    #[error("what the other server lists has changed within the session")]
    Changed,
}

impl Trouble {
    /// What the program ends with because of it.
    pub(super) fn exit_code(&self) -> ExitCode {
        let error = match self {
            Self::Client(error) => error,
            Self::NoUniqueIds | Self::Uneven(_) | Self::Changed => return ExitCode::Protocol,
        };
        match error {
            Error::Login { verdict, .. } => match verdict {
                LoginVerdict::Later => ExitCode::TryLater,
                _ => ExitCode::Refused,
            },
            Error::NoMechanism | Error::Token { .. } => ExitCode::Refused,
            Error::Session(
                SessionError::Refused(_)
                | SessionError::MessageTruncated { .. }
                | SessionError::EndOfAnswer { .. }
                | SessionError::EndOfInput
                | SessionError::NoGreeting { .. }
                | SessionError::Silence { .. },
            ) => ExitCode::TryLater,
            error => match error.fault() {
                Fault::Network => ExitCode::TryLater,
                Fault::Trust => ExitCode::Refused,
                Fault::Caller => ExitCode::Usage,
                _ => ExitCode::Protocol,
            },
        }
    }
}

/// What the other server lists, and what it is here.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) there: Vec<Listed>,
    /// When it was listed, in Unix seconds.
    pub(super) taken: u64,
}

/// A message of the other server's listing.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) number: MessageNumber,
    pub(super) octets: u64,
    pub(super) unique_id: Vec<u8>,
    /// The message here that is surely the same, by index.
    pub(super) here: Option<usize>,
}

/// Logs in, looks, and says goodbye.
///
/// # Errors
/// [`Trouble`]; what was learnt until then is of no use.
pub(super) async fn look(server: &Server, login: &Login, here: &[Here]) -> Result<Looked, Trouble> {
    let connection = Connection::open(server).await?;
    let mut client = connection.log_in(login).await?;
    // Some say more to those who have logged in, and pipelining spares turns.
    if !client.capabilities().pipelining {
        client.refresh_capabilities().await?;
    }
    let taken = SystemTime::now().duration_since(UNIX_EPOCH);
    let listing = client.listing().await?;
    let (numbers, mut there) = listed(&listing)?;
    let pairs = if matching::are_equal(here, &there) {
        (0..there.len()).map(Some).collect()
    } else {
        let all: Vec<usize> = (0..there.len()).collect();
        read(&mut client, &numbers, &mut there, &all, What::Header).await?;
        let doubtful = matching::doubtful(here, &there);
        read(&mut client, &numbers, &mut there, &doubtful, What::Whole).await?;
        // Numbers and ids hold for the session. Where they do not, nothing that was read does.
        if client.listing().await? != listing {
            return Err(Trouble::Changed);
        }
        matching::pair(here, &there)
    };
    // Nothing is marked, and whoever loses the goodbye has lost nothing.
    let _ = client.quit().await;
    let listed = numbers.into_iter().zip(there).zip(pairs);
    let there = listed.map(|((number, it), here)| Listed {
        number,
        octets: it.octets,
        unique_id: it.unique_id,
        here,
    });
    Ok(Looked {
        there: there.collect(),
        taken: taken.map_or(0, |since| since.as_secs()),
    })
}

fn listed(listing: &Listing) -> Result<(Vec<MessageNumber>, Vec<There>), Trouble> {
    if !listing.has_unique_ids && !listing.messages.is_empty() {
        return Err(Trouble::NoUniqueIds);
    }
    let mut there = Vec::with_capacity(listing.messages.len());
    for listed in &listing.messages {
        let (Some(octets), Some(unique_id)) = (listed.octets, &listed.unique_id) else {
            return Err(Trouble::Uneven(listed.number));
        };
        there.push(There {
            octets: octets.0,
            unique_id: unique_id.clone(),
            header: Header::Unknown,
            whole: None,
        });
    }
    let numbers = listing.messages.iter().map(|listed| listed.number);
    Ok((numbers.collect(), there))
}

/// What is asked for of a message.
#[derive(Clone, Copy)]
enum What {
    Header,
    Whole,
}

/// Reads some of the messages, and notes what they are known by. A refusal leaves a message as it
/// is: unknown.
async fn read(
    client: &mut Client,
    numbers: &[MessageNumber],
    there: &mut [There],
    wanted: &[usize],
    what: What,
) -> Result<(), Error> {
    let mut pipeline = client.pipeline().await?;
    let mut wanted = wanted.iter().copied();
    loop {
        while pipeline.room() > 0 {
            let Some(index) = wanted.next() else { break };
            let (Some(&number), Some(it)) = (numbers.get(index), there.get(index)) else {
                continue;
            };
            match what {
                What::Header => pipeline.top(number, 0)?,
                What::Whole => pipeline.retrieve(number, Some(Octets(it.octets)))?,
            }
        }
        match pipeline.next().await? {
            None => return Ok(()),
            Some(Reply::Message(message)) => {
                // Ascending, as they were listed.
                let index = numbers.binary_search(&message.number());
                let digests = digests(message).await?;
                if let Some(it) = index.ok().and_then(|index| there.get_mut(index)) {
                    note(it, what, digests);
                }
            }
            // The end of a message, or a refusal.
            Some(Reply::Answer(_)) => {}
        }
    }
}

fn note(it: &mut There, what: What, digests: Digests) {
    match what {
        What::Header => it.header = digests.header.map_or(Header::None, Header::Digest),
        What::Whole => it.whole = Some(digests.whole),
    }
}

async fn digests(mut message: Message<'_>) -> Result<Digests, Error> {
    let mut digester = Digester::new();
    while let Some(octets) = message.next().await? {
        digester.update(&octets);
    }
    Ok(digester.finish())
}
