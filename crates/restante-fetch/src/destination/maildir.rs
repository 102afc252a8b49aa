//! A Maildir.
//!
//! ```text
//! tmp/1769860805.M7P4711R0f3KzX9-….host      written; the group is synced with one flush
//!  └► new/1769860805.M7P4711R0f3KzX9-….host,S=1204,W=1234   renamed; `new/` is synced once
//! ```
//!
//! The name is decided before the first octet, and is the ticket: after a crash the message is
//! found by it in `tmp/`, `new/`, `cur/` or a folder beside them, or it is nowhere.
//!
//! CRLF is stored as LF, as other programs expect it, wherever that can be undone: a message with a
//! lone LF, or with two CRs before one, is stored as it came ([`content`]).

mod content;
mod directory;
mod flush;

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::task::spawn_blocking;

use self::{
    content::Content,
    directory::{Directory, Identity},
};
use super::{Destination, DestinationError, Incoming, Recovered, Ticket};

/// Leads every ticket.
const TICKET_VERSION: &str = "maildir1";
/// What nobody has touched for so long in `tmp/` belongs to a process that died (as everybody has
/// it: 36 hours).
const LEFT_AFTER: Duration = Duration::from_secs(36 * 60 * 60);

/// How lines end in the files.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LineEnds {
    /// As LF, wherever that can be undone.
    #[default]
    Lf,
    /// As they came: CRLF.
    Crlf,
}

/// A Maildir as a destination. It is made where there is none.
#[derive(Debug)]
pub struct Maildir {
    label: String,
    path: PathBuf,
    line_ends: LineEnds,
    /// Open while there is a group: errors of the disk since then are told by it.
    directory: Option<Directory>,
    /// Which Maildir it is: as long as this value lives, no other takes its place.
    identity: Option<Identity>,
    message: Option<Message>,
    group: Vec<Finished>,
    /// Where messages are, by stem, as it was when the first was looked for.
    found: Option<HashSet<String>>,
    swept: bool,
}

/// A message that has begun.
#[derive(Debug)]
struct Message {
    stem: String,
    content: Content,
}

/// A message that is whole.
#[derive(Debug)]
struct Finished {
    stem: String,
    name: String,
}

/// What a ticket says.
#[derive(Debug, Eq, PartialEq)]
struct Told {
    stem: String,
    stored: u64,
    sent: u64,
}

impl Maildir {
    /// The Maildir at `path`, with LF line ends.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::with_line_ends(path, LineEnds::default())
    }

    /// The Maildir at `path`.
    #[must_use]
    pub fn with_line_ends(path: &Path, line_ends: LineEnds) -> Self {
        Self {
            label: format!("maildir:{}", path.display()),
            path: path.to_owned(),
            line_ends,
            directory: None,
            identity: None,
            message: None,
            group: Vec::new(),
            found: None,
            swept: false,
        }
    }

    /// Opens the directories; the first time it makes what is missing.
    async fn open(&mut self) -> Result<Directory, DestinationError> {
        if let Some(directory) = &self.directory {
            return Ok(directory.clone());
        }
        let (path, identity) = (self.path.clone(), self.identity);
        let opened = blocking(move || match identity {
            None => Directory::open(&path),
            Some(identity) => Directory::open_again(&path, identity),
        });
        let directory = self.told(opened.await)?;
        self.identity = Some(directory.identity());
        self.directory = Some(directory.clone());
        Ok(directory)
    }

    fn told<T>(&self, result: io::Result<T>) -> Result<T, DestinationError> {
        result.map_err(|cause| DestinationError::system(self.path.display().to_string(), cause))
    }

    /// Removes the group's files: nothing of it is to appear.
    async fn discard(&mut self) {
        let group = std::mem::take(&mut self.group);
        let stems = group.iter().map(|it| self.temporary(&it.stem));
        let stems: Vec<PathBuf> = stems.collect();
        let _ = blocking(move || {
            stems.iter().for_each(|path| drop(fs::remove_file(path)));
            Ok(())
        })
        .await;
        self.directory = None;
    }

    fn temporary(&self, stem: &str) -> PathBuf {
        self.path.join("tmp").join(stem)
    }
}

impl Destination for Maildir {
    fn label(&self) -> &str {
        &self.label
    }

    async fn begin(&mut self, mail: &Incoming) -> Result<(), DestinationError> {
        self.abandon().await;
        self.found = None;
        let directory = self.open().await?;
        // What tickets tell of was looked for before: it may be that old.
        if !std::mem::replace(&mut self.swept, true) {
            let swept = blocking(move || {
                directory.sweep(LEFT_AFTER);
                Ok(())
            });
            self.told(swept.await)?;
        }
        let stem = self.told(stem(mail.arrival))?;
        let content = Content::new(self.temporary(&stem), self.line_ends);
        self.message = Some(Message { stem, content });
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), DestinationError> {
        let Some(mut message) = self.message.take() else {
            return self.told(Err(io::Error::other("no message was begun")));
        };
        if message.content.push(octets) {
            // It does not fit into memory any more.
            let written = blocking(move || {
                let spilled = message.content.spill();
                Ok((message, spilled))
            });
            let spilled;
            (message, spilled) = self.told(written.await)?;
            if let Err(cause) = spilled {
                message.content.remove();
                return self.told(Err(cause));
            }
        }
        self.message = Some(message);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Ticket, DestinationError> {
        let Some(Message { stem, mut content }) = self.message.take() else {
            return self.told(Err(io::Error::other("no message was begun")));
        };
        let finished = blocking(move || {
            let finished = content.finish();
            if finished.is_err() {
                content.remove();
            }
            finished
        });
        let (stored, sent) = self.told(finished.await)?;
        let told = Told { stem, stored, sent };
        let ticket = Ticket::new(told.to_string());
        let Some(ticket) = ticket else {
            return self.told(Err(io::Error::other("a name that long is none of ours")));
        };
        self.group.push(Finished {
            name: told.name(),
            stem: told.stem,
        });
        Ok(ticket)
    }

    async fn abandon(&mut self) {
        if let Some(message) = self.message.take() {
            let _ = blocking(move || {
                message.content.remove();
                Ok(())
            })
            .await;
        }
    }

    async fn prepare(&mut self) -> Result<(), DestinationError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let directory = self.open().await?;
        let files = self.group.iter().map(|it| self.temporary(&it.stem));
        let files: Vec<PathBuf> = files.collect();
        let flushed = blocking(move || flush::all(&directory, &files)).await;
        if flushed.is_err() {
            self.discard().await;
        }
        self.told(flushed)
    }

    async fn publish(&mut self) -> Vec<Result<(), DestinationError>> {
        let group = std::mem::take(&mut self.group);
        let count = group.len();
        let Some(directory) = self.directory.take() else {
            return Vec::new();
        };
        let published = blocking(move || {
            let renamed: Vec<io::Result<()>> = group
                .iter()
                .map(|it| directory.publish(&it.stem, &it.name))
                .collect();
            let synced = directory.sync_new();
            Ok((renamed, synced))
        });
        match published.await {
            Ok((renamed, Ok(()))) => renamed.into_iter().map(|it| self.told(it)).collect(),
            Ok((_, Err(cause))) | Err(cause) => {
                (0..count).map(|_| self.told(Err(again(&cause)))).collect()
            }
        }
    }

    async fn recover(&mut self, ticket: &Ticket) -> Result<Recovered, DestinationError> {
        let Some(told) = Told::parse(ticket.octets()) else {
            return Ok(Recovered::Lost);
        };
        let directory = self.open().await?;
        let found = self.found.take();
        let recovered = blocking(move || {
            let mut found = match found {
                Some(found) => found,
                None => directory.stems()?,
            };
            let recovered = directory.recover(&told, &found)?;
            if recovered == Recovered::Arrived {
                found.insert(told.stem);
            }
            Ok((recovered, found))
        });
        let (recovered, found) = self.told(recovered.await)?;
        self.found = Some(found);
        Ok(recovered)
    }
}

impl Drop for Maildir {
    fn drop(&mut self) {
        // What was not published is nothing, and is fetched again.
        for finished in &self.group {
            let _ = fs::remove_file(self.temporary(&finished.stem));
        }
        if let Some(message) = &self.message {
            message.content.remove();
        }
    }
}

impl Told {
    /// The base name: sizes as everybody writes them.
    fn name(&self) -> String {
        let Self { stem, stored, sent } = self;
        format!("{stem},S={stored},W={sent}")
    }

    fn parse(ticket: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(ticket).ok()?;
        let mut fields = text.split(' ');
        let (version, stem) = (fields.next()?, fields.next()?);
        let (stored, sent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        // It comes from a file, and becomes part of a path.
        let sound = version == TICKET_VERSION
            && !stem.starts_with('.')
            && stem.len() <= 200
            && stem
                .bytes()
                .all(|it| matches!(it, 0x21..=0x7E) && !b"/:,".contains(&it));
        (sound && fields.next().is_none()).then(|| Self {
            stem: stem.into(),
            stored,
            sent,
        })
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stem, stored, sent } = self;
        write!(f, "{TICKET_VERSION} {stem} {stored} {sent}")
    }
}

/// A base name, without sizes, that no file has or had.
fn stem(arrival: SystemTime) -> io::Result<String> {
    let since = arrival.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let random = u128::from_ne_bytes(random);
    let (seconds, micros) = (since.as_secs(), since.subsec_micros());
    let process = std::process::id();
    Ok(format!(
        "{seconds}.M{micros}P{process}R{random:032x}.{}",
        host()
    ))
}

/// This machine's name as it stands in file names: nothing that means something there.
fn host() -> String {
    const OCTETS_MAX: usize = 64;
    let uname = rustix::system::uname();
    let name = uname.nodename().to_bytes().iter().take(OCTETS_MAX);
    let name: String = name
        .map(|&octet| match octet {
            b'/' | b':' | b',' => '_',
            0x21..=0x7E => char::from(octet),
            _ => '_',
        })
        .collect();
    match name.is_empty() {
        true => "localhost".into(),
        false => name,
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// The same error once more, for the next message.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(io::Error::other(stopped)),
    }
}

#[cfg(test)]
mod tests;
