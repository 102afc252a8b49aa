//! What LMTP, SMTP and commands have in common: messages wait until they are whole, and are handed
//! on one by one when the group is published.
//!
//! ```text
//! DIRECTORY/OWNER-NONCE    one octet for each message that was taken over: its place in the group
//! ```
//!
//! The messages themselves wait in a file without a name: whoever takes them over makes them durable,
//! and until then they are on their server. So nothing here is flushed. The file with a name is what
//! [`Destination::recover`] goes by: a message that is not in it is fetched and handed on again. That
//! happens to one message at most when the process dies, the one whose answer it was waiting for; to
//! those of one group, at most [`GROUP_MESSAGES_MAX`], when the machine does. Nothing lost wins over
//! nothing twice.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::sender::HEAD_OCTETS_MAX;
use crate::{Destination, DestinationError, Incoming, Recovered, Scope, Ticket};

/// How many messages a group has: what a power failure may bring twice.
pub(super) const GROUP_MESSAGES_MAX: usize = 32;

/// How much is read or written at once.
const PIECE_OCTETS: usize = 64 * 1024;

/// Of so many groups it is remembered what was taken over: the caller may settle one while it begins
/// the next.
const GROUPS_KEPT: usize = 2;

const TICKET_VERSION: u8 = 1;

/// Who takes messages over.
pub(super) trait Carrier: Send {
    /// See [`Destination::label`].
    fn label(&self) -> &str;

    /// Gets ready to hand on some messages. If it fails, all of them fail.
    fn open(&mut self) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// Hands a message on; `Ok`: it was taken over.
    fn hand_on(
        &mut self,
        letter: Letter<'_>,
    ) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// The last one was handed on.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// A whole message, to be read once.
pub(super) struct Letter<'g> {
    file: &'g mut tokio::fs::File,
    entry: &'g Entry,
    left: u64,
    piece: Vec<u8>,
}

impl Letter<'_> {
    /// Its first octets.
    pub(super) fn head(&self) -> &[u8] {
        &self.entry.head
    }

    /// How many octets it has.
    pub(super) fn octets(&self) -> u64 {
        self.entry.octets
    }

    /// Whether some are above 127.
    pub(super) fn is_8bit(&self) -> bool {
        self.entry.is_8bit
    }

    /// The next octets, as the server sent them; `None` when there are no more.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if self.left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(self.left).unwrap_or(PIECE_OCTETS);
        self.piece.resize(most.min(PIECE_OCTETS), 0);
        let read = self.file.read(&mut self.piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(self.piece.get(..read))
    }
}

/// A destination that hands messages on to `C`.
pub(super) struct Handed<C> {
    pub(super) carrier: C,
    directory: PathBuf,
    /// How the names of this account's files for this destination begin.
    owner: String,
    tidied: bool,
    /// What was taken over of earlier groups.
    kept: Vec<PathBuf>,
    group: Option<Group>,
    message: Option<Entry>,
}

/// Messages that wait.
struct Group {
    nonce: [u8; 16],
    file: tokio::fs::File,
    entries: Vec<Entry>,
    /// Where the last whole message ends.
    end: u64,
    /// Where the file's own position is.
    position: u64,
    /// Which were taken over.
    taken: Option<File>,
}

/// One of them.
#[derive(Default)]
struct Entry {
    from: u64,
    octets: u64,
    head: Vec<u8>,
    is_8bit: bool,
}

impl<C: Carrier> Handed<C> {
    /// Its files are in `directory`, which is made if it is missing.
    pub(super) fn new(carrier: C, directory: &Path, account: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(account);
        digest.update([0]);
        digest.update(carrier.label());
        Self {
            owner: hex(digest.finalize().iter().take(8)),
            carrier,
            directory: directory.to_owned(),
            tidied: false,
            kept: Vec::new(),
            group: None,
            message: None,
        }
    }

    fn failed(&self, cause: io::Error) -> DestinationError {
        DestinationError::system(self.carrier.label(), cause)
    }

    fn taken_path(&self, nonce: &[u8]) -> PathBuf {
        self.directory
            .join(format!("{}-{}", self.owner, hex(nonce.iter())))
    }

    /// Forgets what was taken over of groups that are settled.
    fn forget(&mut self) -> io::Result<()> {
        if !self.tidied {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.directory)?;
            let prefix = format!("{}-", self.owner);
            for entry in fs::read_dir(&self.directory)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_str().unwrap_or_default();
                if name.starts_with(&prefix) || is_nonce(name) {
                    remove(&entry.path())?;
                }
            }
            self.tidied = true;
        }
        while self.kept.len() > GROUPS_KEPT {
            remove(&self.kept.remove(0))?;
        }
        Ok(())
    }

    async fn open_group(&mut self) -> io::Result<Group> {
        self.forget()?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        Ok(Group {
            nonce,
            file: tokio::fs::File::from_std(nameless_file(&self.directory)?),
            entries: Vec::new(),
            end: 0,
            position: 0,
            taken: None,
        })
    }

    async fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        let (Some(group), Some(entry)) = (&mut self.group, &mut self.message) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let room = HEAD_OCTETS_MAX.saturating_sub(entry.head.len());
        entry.head.extend(octets.iter().take(room));
        entry.is_8bit |= !octets.is_ascii();
        entry.octets += octets.len() as u64;
        if group.position != entry.from + entry.octets - octets.len() as u64 {
            group.file.seek(io::SeekFrom::Start(entry.from)).await?;
        }
        group.position = entry.from + entry.octets;
        group.file.write_all(octets).await
    }
}

impl Group {
    /// Hands all messages on, until the carrier's place is of no use any more.
    async fn hand_on<C: Carrier>(mut self, carrier: &mut C) -> Vec<Result<(), DestinationError>> {
        let mut results = Vec::new();
        let mut closed = carrier.open().await.err();
        for (index, entry) in self.entries.iter().enumerate() {
            let result = match closed.take() {
                Some(error) => Err(error),
                None => match self.file.seek(io::SeekFrom::Start(entry.from)).await {
                    Ok(_) => {
                        let letter = Letter {
                            file: &mut self.file,
                            entry,
                            left: entry.octets,
                            piece: Vec::new(),
                        };
                        carrier.hand_on(letter).await
                    }
                    Err(cause) => Err(DestinationError::system(carrier.label(), cause)),
                },
            };
            match &result {
                Ok(()) => {
                    if let Some(taken) = &mut self.taken {
                        let index = u8::try_from(index).unwrap_or(u8::MAX);
                        // If it cannot be noted, a crash before the caller notes it brings the
                        // message twice.
                        let _ = taken.write_all(&[index]);
                    }
                }
                Err(error) => {
                    closed = (error.scope() == Scope::Place).then(|| error.again());
                }
            }
            results.push(result);
        }
        carrier.close().await;
        results
    }
}

impl<C: Carrier> Destination for Handed<C> {
    fn label(&self) -> &str {
        self.carrier.label()
    }

    fn group_messages_max(&self) -> usize {
        GROUP_MESSAGES_MAX
    }

    async fn begin(&mut self, _: &Incoming) -> Result<(), DestinationError> {
        self.abandon().await;
        if self.group.is_none() {
            let group = self.open_group().await;
            self.group = Some(group.map_err(|cause| self.failed(cause))?);
        }
        self.message = self.group.as_ref().map(|group| Entry {
            from: group.end,
            ..Entry::default()
        });
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), DestinationError> {
        if let Err(cause) = self.put(octets).await {
            self.message = None;
            // The position of the file is not known any more.
            if let Some(group) = &mut self.group {
                group.position = u64::MAX;
            }
            return Err(self.failed(cause));
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<Ticket, DestinationError> {
        let (Some(group), Some(entry)) = (&mut self.group, self.message.take()) else {
            return Err(self.failed(io::ErrorKind::BrokenPipe.into()));
        };
        // What is buffered must have reached the file: it may be full.
        if let Err(cause) = group.file.flush().await {
            group.position = u64::MAX;
            return Err(self.failed(cause));
        }
        group.end = entry.from + entry.octets;
        let index = u8::try_from(group.entries.len());
        let index = index
            .ok()
            .filter(|&index| usize::from(index) < GROUP_MESSAGES_MAX);
        let ticket = index.and_then(|index| {
            Ticket::new([&[TICKET_VERSION], group.nonce.as_slice(), &[index]].concat())
        });
        match ticket {
            Some(ticket) => {
                group.entries.push(entry);
                Ok(ticket)
            }
            None => Err(self.failed(io::Error::other("the group is full"))),
        }
    }

    async fn abandon(&mut self) {
        self.message = None;
    }

    async fn prepare(&mut self) -> Result<(), DestinationError> {
        self.message = None;
        let Some(group) = &self.group else {
            return Ok(());
        };
        let path = self.taken_path(&group.nonce);
        let made = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match (made, &mut self.group) {
            (Ok(taken), Some(group)) => {
                group.taken = Some(taken);
                self.kept.push(path);
                Ok(())
            }
            (Err(cause), _) => {
                self.group = None;
                Err(self.failed(cause))
            }
            (Ok(_), None) => Ok(()),
        }
    }

    async fn publish(&mut self) -> Vec<Result<(), DestinationError>> {
        self.message = None;
        match self.group.take() {
            Some(group) if !group.entries.is_empty() => group.hand_on(&mut self.carrier).await,
            _ => Vec::new(),
        }
    }

    async fn recover(&mut self, ticket: &Ticket) -> Result<Recovered, DestinationError> {
        let Some((&TICKET_VERSION, rest)) = ticket.octets().split_first() else {
            return Ok(Recovered::Lost);
        };
        let Some((nonce, [index])) = rest.split_first_chunk::<16>() else {
            return Ok(Recovered::Lost);
        };
        let mut taken = Vec::new();
        let read = File::open(self.taken_path(nonce))
            .and_then(|file| file.take(GROUP_MESSAGES_MAX as u64).read_to_end(&mut taken));
        match read {
            Ok(_) if taken.contains(index) => Ok(Recovered::Arrived),
            Ok(_) => Ok(Recovered::Lost),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Recovered::Lost),
            Err(cause) => Err(self.failed(cause)),
        }
    }
}

/// A file that is gone when it is closed.
pub(super) fn nameless_file(directory: &Path) -> io::Result<File> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    let path = directory.join(hex(nonce.iter()));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    remove(&path)?;
    Ok(file)
}

/// Whether it is the name of such a file, which a process that died has left.
fn is_nonce(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|octet| octet.is_ascii_hexdigit())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a public destination of a carrier.
macro_rules! handed {
    ($(#[$doc:meta])* pub struct $name:ident($carrier:ty);) => {
        $(#[$doc])*
        pub struct $name($crate::destination::handed::Handed<$carrier>);

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let label = $crate::Destination::label(&self.0);
                f.debug_tuple(stringify!($name)).field(&label).finish()
            }
        }

        impl $crate::Destination for $name {
            fn label(&self) -> &str {
                self.0.label()
            }

            fn group_messages_max(&self) -> usize {
                self.0.group_messages_max()
            }

            async fn begin(&mut self, mail: &$crate::Incoming) -> Result<(), DestinationError> {
                self.0.begin(mail).await
            }

            async fn write(&mut self, octets: &[u8]) -> Result<(), DestinationError> {
                self.0.write(octets).await
            }

            async fn finish(&mut self) -> Result<$crate::Ticket, DestinationError> {
                self.0.finish().await
            }

            async fn abandon(&mut self) {
                self.0.abandon().await;
            }

            async fn prepare(&mut self) -> Result<(), DestinationError> {
                self.0.prepare().await
            }

            async fn publish(&mut self) -> Vec<Result<(), DestinationError>> {
                self.0.publish().await
            }

            async fn recover(
                &mut self,
                ticket: &$crate::Ticket,
            ) -> Result<$crate::Recovered, DestinationError> {
                self.0.recover(ticket).await
            }
        }
    };
}
pub(super) use handed;

fn hex<'o>(octets: impl Iterator<Item = &'o u8>) -> String {
    octets.map(|octet| format!("{octet:02x}")).collect()
}
