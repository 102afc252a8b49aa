//! One message, from MAIL to the reply to its end.

use std::io;

use restante_proto::{Form, MultiLineEncoder, Part};

use super::{
    Address, Mailer,
    reply::Reply,
    session::{Session, SessionError},
};
use crate::{
    DestinationError,
    destination::{
        handed::{Carrier as _, Letter},
        line_ends::{Ends, Lines},
        sender::Sender,
    },
};

/// What a refusal is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum About {
    Message,
    Recipient,
}

/// Why a message was not taken over.
enum TransactionError {
    /// The session is over.
    Session(SessionError),
    /// It goes on.
    Refused(About, Reply),
    /// The message is larger than the server takes.
    TooLarge { octets: u64, most: u64 },
    /// The message cannot be read any more; half of it was sent, and not its end.
    Letter(io::Error),
    /// The session ended within the message, or before the reply to it; what the server said all
    /// the same.
    Broke(SessionError, Option<Reply>),
}

impl From<SessionError> for TransactionError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl Mailer {
    /// Hands one message on.
    pub(super) async fn transact(&mut self, letter: Letter<'_>) -> Result<(), DestinationError> {
        if self.session.is_none() {
            // The message before ended it.
            self.open().await?;
        }
        let Some(session) = &mut self.session else {
            return Err(self.later("there is no connection"));
        };
        let sender = match &self.settings.sender {
            Some(sender) => Some(sender.clone()),
            None => Sender::of(letter.head()).path.map(Address),
        };
        let recipient = &self.settings.recipient;
        let taken = transaction(session, sender.as_ref(), recipient, letter).await;
        match taken {
            Ok(()) => {
                self.breaks = 0;
                Ok(())
            }
            Err(TransactionError::Session(error)) => Err(self.broken(&error)),
            Err(TransactionError::Broke(error, reply)) => Err(self.broke(&error, reply).await),
            Err(TransactionError::TooLarge { octets, most }) => Err(DestinationError::Refused {
                place: self.label.clone(),
                said: format!("it has {octets} octets, and {most} are the most"),
            }),
            Err(TransactionError::Refused(about, reply)) => {
                self.breaks = 0;
                Err(self.refused(about, &reply))
            }
            Err(TransactionError::Letter(cause)) => {
                self.session = None;
                Err(DestinationError::system(self.label.clone(), cause))
            }
        }
    }

    /// The session ended within a message. Where the server is there for another, the message may
    /// have been too much for it, and those behind it go on; if they have no better luck, it is the
    /// server.
    async fn broke(&mut self, error: &SessionError, reply: Option<Reply>) -> DestinationError {
        self.session = None;
        if let Some(reply) = reply {
            return self.refused(About::Message, &reply);
        }
        self.breaks += 1;
        if self.breaks > 1 || self.open().await.is_err() {
            return self.broken(error);
        }
        DestinationError::RefusedNow {
            place: self.label.clone(),
            said: error.to_string(),
        }
    }

    /// What a refusal means for those who wait for the mail.
    fn refused(&mut self, about: About, reply: &Reply) -> DestinationError {
        let (place, said) = (self.label.clone(), format!("the server says {reply}"));
        // RFC 5321 §3.8: the server closes the connection.
        if reply.code == 421 {
            self.session = None;
            return DestinationError::Later { place, said };
        }
        match (about, reply.enhanced(), reply.is_permanent()) {
            // RFC 3463: the mailbox, or the system, is full.
            (_, Some((2, 2) | (3, 1)), _) => DestinationError::Full {
                place,
                cause: io::Error::new(io::ErrorKind::QuotaExceeded, said),
            },
            (About::Recipient, _, true) => DestinationError::Closed { place, said },
            (About::Recipient, _, false) => DestinationError::Later { place, said },
            (About::Message, _, true) => DestinationError::Refused { place, said },
            (About::Message, _, false) => DestinationError::RefusedNow { place, said },
        }
    }
}

async fn transaction(
    session: &mut Session,
    sender: Option<&Address>,
    recipient: &Address,
    letter: Letter<'_>,
) -> Result<(), TransactionError> {
    let extensions = session.extensions.clone();
    if let Some(Some(most)) = extensions.size
        && letter.octets() > most
    {
        let octets = letter.octets();
        return Err(TransactionError::TooLarge { octets, most });
    }
    let mut mail = mail_command(sender);
    if extensions.size.is_some() {
        mail += &format!(" SIZE={}", letter.octets());
    }
    // Where the server does not know it, 8-bit mail goes as it is: nobody turns it into 7 bits who
    // wants to keep it exact.
    if extensions.eight_bit && letter.is_8bit() {
        mail += " BODY=8BITMIME";
    }
    if let Err((about, reply)) = envelope(session, &mail, recipient).await? {
        let about = match about {
            About::Recipient if reply.is_permanent() => about_probed(session, recipient).await?,
            about => {
                reset(session).await?;
                about
            }
        };
        return Err(TransactionError::Refused(about, reply));
    }
    let deadlines = session.deadlines;
    session.send("DATA", b"DATA\r\n", deadlines.data).await?;
    let reply = session.reply("DATA", deadlines.data).await?;
    if reply.code != 354 {
        reset(session).await?;
        return Err(TransactionError::Refused(About::Message, reply));
    }
    if let Err(error) = send_message(session, letter).await {
        return Err(match error {
            TransactionError::Session(error) => {
                // Whoever stops reading may have said why.
                let said = session.reply("the message", deadlines.quit).await;
                TransactionError::Broke(error, said.ok().filter(|reply| !reply.is_done()))
            }
            error => error,
        });
    }
    // One recipient, one reply, in LMTP too.
    let reply = session.reply("the end of the message", deadlines.message);
    let reply = reply.await.map_err(|error| match error {
        SessionError::Reply { .. } => TransactionError::Session(error),
        _ => TransactionError::Broke(error, None),
    })?;
    match reply.is_done() {
        true => Ok(()),
        false => Err(TransactionError::Refused(About::Message, reply)),
    }
}

fn mail_command(sender: Option<&Address>) -> String {
    format!(
        "MAIL FROM:<{}>",
        sender.map_or("", |sender| sender.0.as_str())
    )
}

/// MAIL and RCPT, in one go where the server allows that (RFC 2920).
async fn envelope(
    session: &mut Session,
    mail: &str,
    recipient: &Address,
) -> Result<Result<(), (About, Reply)>, SessionError> {
    let mail = format!("{mail}\r\n");
    let recipient = format!("RCPT TO:<{}>\r\n", recipient.0);
    let deadline = session.deadlines.command;
    let (to_mail, to_recipient) = if session.extensions.pipelining {
        let both = mail + &recipient;
        session.send("MAIL", both.as_bytes(), deadline).await?;
        let to_mail = session.reply("MAIL", deadline).await?;
        (to_mail, Some(session.reply("RCPT", deadline).await?))
    } else {
        (session.command("MAIL", mail.as_bytes()).await?, None)
    };
    if !to_mail.is_done() {
        return Ok(Err((About::Message, to_mail)));
    }
    let to_recipient = match to_recipient {
        Some(reply) => reply,
        None => session.command("RCPT", recipient.as_bytes()).await?,
    };
    match to_recipient.is_done() {
        true => Ok(Ok(())),
        false => Ok(Err((About::Recipient, to_recipient))),
    }
}

/// What a permanent refusal of the recipient is about: servers keep to themselves until then what
/// they think of the sender. Whom they refuse mail from nobody too, they refuse altogether.
async fn about_probed(session: &mut Session, recipient: &Address) -> Result<About, SessionError> {
    reset(session).await?;
    let probed = envelope(session, &mail_command(None), recipient).await?;
    reset(session).await?;
    Ok(match probed {
        Ok(()) => About::Message,
        Err(_) => About::Recipient,
    })
}

async fn reset(session: &mut Session) -> Result<(), SessionError> {
    let reply = session.command("RSET", b"RSET\r\n").await?;
    match reply.is_done() {
        true => Ok(()),
        false => Err(SessionError::Refused {
            doing: "RSET",
            reply,
        }),
    }
}

/// The message with CRLF line ends, a dot before each dot that begins a line (RFC 5321 §4.5.2,
/// PRJ-FETCH-13), and its end: the same as in POP3.
async fn send_message(
    session: &mut Session,
    mut letter: Letter<'_>,
) -> Result<(), TransactionError> {
    let deadline = session.deadlines.piece;
    let mut lines = Lines::new(Ends::Crlf);
    let mut encoder = MultiLineEncoder::new(Form::Crlf, Part::Whole, None);
    let (mut turned, mut out) = (Vec::new(), Vec::new());
    loop {
        let piece = letter.next().await.map_err(TransactionError::Letter)?;
        let Some(piece) = piece else {
            break;
        };
        turned.clear();
        lines.write(piece, &mut turned);
        let _ = encoder.encode(&turned, &mut out);
        session.send("the message", &out, deadline).await?;
        out.clear();
    }
    turned.clear();
    lines.finish(&mut turned);
    let _ = encoder.encode(&turned, &mut out);
    if encoder.finish(&mut out).is_err() {
        let broken = io::Error::other("the message cannot be encoded");
        return Err(TransactionError::Letter(broken));
    }
    Ok(session
        .send("the end of the message", &out, deadline)
        .await?)
}
