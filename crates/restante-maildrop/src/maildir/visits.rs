//! `restante/state/visits`: who has retrieved or deleted what, when, and from where.
//!
//! One line of the [journal](super::journal) for each session that has done something, and for
//! each [change](change_line) that no session made:
//!
//! ```text
//! <CRC-32> restante visits 1 <Unix seconds when the file was begun>
//! <CRC-32> quit <ended> <session> <view> <credential> <mechanism> <address> <retrieved> <deleted>
//!          rd:<unique-id> r:<unique-id> d:<unique-id> …
//! ```
//!
//! It is evidence, not state: nothing that Restante does depends on it. So a line is written after
//! the deletions are durable and before QUIT is answered, but not synced: what a power failure
//! takes of it would have told of the last seconds, and syncing would double the time that QUIT
//! takes. For the same reason it is appended to without the mailbox lock, and a failure costs a
//! line in the log and nothing else.
//!
//! It is bounded by age and size without ever being copied: a full file becomes `visits-older`,
//! and the one that had this name goes.

mod change_line;

use std::{fs::File, io, net::IpAddr, str::FromStr, time::Duration};

use restante_proto::UniqueId;

use super::{journal, layout::Mailbox, lock::MailboxLock};
use crate::{
    Change, Clock, Deed, Journal, JournalEntry, Marks, MessageTable, ViewName, Visit, VisitEnd,
    VisitedMessage, Visitor, disk::Kind, visit::visited,
};

const FILE: &[u8] = b"visits";
const OLDER: &[u8] = b"visits-older";
const TITLE: &[u8] = b"restante visits ";
const VERSION: &[u8] = b"1";
/// No title is longer, checksum and line end included.
const TITLE_OCTETS_MAX: usize = 64;
/// Stands for a field that is empty.
const NOTHING: &[u8] = b"-";
/// A credential's or mechanism's name is cut to so many octets.
const NAME_OCTETS_MAX: usize = 64;

/// So much of a line tells of messages, so that an append is bounded: some 5,000 messages of one session
/// are named, of the others it is known how many they were.
const MESSAGES_OCTETS_MAX: usize = 256 * 1024;
/// What stands before the messages, with every octet of the names escaped.
const FACTS_OCTETS_MAX: usize = 1024;
const LINE_OCTETS_MAX: usize = MESSAGES_OCTETS_MAX + FACTS_OCTETS_MAX;
/// A file of this size becomes the older one.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;
/// Where that fails again and again, nothing is written any more.
const FILE_OCTETS_LIMIT: u64 = 4 * FILE_OCTETS_MAX;
/// A file that was begun so long ago becomes the older one.
const FILE_SECONDS_MAX: u64 = DAYS_SHOWN / 2 * DAY_SECONDS;
/// Addresses are not kept longer than they are of use.
const DAYS_SHOWN: u64 = 90;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Appends what the session of `view` has done to the journal, if it has done anything; a session
/// that has not costs no call. A failure is logged. Blocks.
pub(crate) fn record(
    mailbox: &Mailbox,
    clock: &Clock,
    view: &ViewName,
    end: VisitEnd,
    (messages, marks): (&MessageTable, &Marks),
) {
    if marks.are_none() {
        return;
    }
    let now = clock.now().as_secs();
    let line = line(now, view, end, (messages, marks));
    if let Err(error) = append(mailbox, now, line) {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            session = marks.visitor.session,
            %error,
            "state/visits not written: it does not tell what this session did"
        );
    }
}

/// Appends a change that no session made. A failure is logged. Blocks.
pub(crate) fn record_change(mailbox: &Mailbox, change: &Change) {
    if let Err(error) = append(mailbox, change.made, change_line::line(change)) {
        tracing::warn!(
            mailbox = %mailbox.path().display(),
            change = ?change.kind,
            messages = change.count,
            %error,
            "state/visits not written: it does not tell of this change"
        );
    }
}

fn append(mailbox: &Mailbox, now: u64, line: Vec<u8>) -> io::Result<()> {
    let (disk, state) = (mailbox.disk(), mailbox.state()?);
    let mut file = mailbox.open_append(state, FILE)?;
    let mut octets = regular_octets(mailbox, &file)?;
    if is_full(mailbox, &file, octets, now)? && turn(mailbox, &file)? {
        file = mailbox.open_append(state, FILE)?;
        octets = regular_octets(mailbox, &file)?;
    }
    if octets >= FILE_OCTETS_LIMIT {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut lines = vec![line];
    if octets == 0 {
        lines.insert(0, title(now));
    }
    journal::append_unsynced(disk, &file, octets, &lines)
}

/// The file's size, if it is a regular one: anything may have been put in its place.
fn regular_octets(mailbox: &Mailbox, file: &File) -> io::Result<u64> {
    let facts = mailbox.disk().facts(file)?;
    match facts.kind {
        Kind::File => Ok(facts.octets),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no regular file",
        )),
    }
}

fn is_full(mailbox: &Mailbox, file: &File, octets: u64, now: u64) -> io::Result<bool> {
    if octets == 0 || octets >= FILE_OCTETS_MAX {
        return Ok(octets > 0);
    }
    let mut head = [0; TITLE_OCTETS_MAX];
    let count = mailbox.disk().read_at(file, &mut head, 0)?;
    let mut begun = None;
    let mut reader = journal::Reader::new(|line: &[u8]| {
        begun = begun.or_else(|| parse_title(line));
        true
    });
    reader.push(head.get(..count).unwrap_or_default());
    // Of a file whose title is damaged nobody knows: its size has to do.
    Ok(begun.is_some_and(|begun| begun.saturating_add(FILE_SECONDS_MAX) <= now))
}

/// Makes `file` the older one. `false` if somebody holds the mailbox lock: then the next session
/// does it.
fn turn(mailbox: &Mailbox, file: &File) -> io::Result<bool> {
    let (disk, state) = (mailbox.disk(), mailbox.state()?);
    let Some(_lock) = MailboxLock::try_acquire_within(mailbox, Duration::ZERO)? else {
        return Ok(false);
    };
    let (ours, named) = (disk.facts(file)?, disk.facts_at(state, FILE)?);
    // Or another session was faster.
    if (ours.device, ours.inode) == (named.device, named.inode) {
        disk.rename_replace(state, FILE, state, OLDER)?;
    }
    Ok(true)
}

/// Reads what the last months have left. Damage costs the lines that it touches. Blocks.
///
/// # Errors
/// Those of reading.
pub(crate) fn read(mailbox: &Mailbox, clock: &Clock) -> io::Result<Journal> {
    let mut journal = Journal::default();
    let Some(state) = mailbox.state_if_there()? else {
        return Ok(journal);
    };
    // The newer one is opened first: if it is turned meanwhile it is met twice, not missed.
    let mut files = Vec::new();
    for name in [FILE, OLDER] {
        match mailbox.disk().open_read(state, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => files.push(opened?),
        }
    }
    let mut seen = None;
    for file in files.iter().rev() {
        let inode = mailbox.disk().facts(file)?.inode;
        if seen.replace(inode) != Some(inode) {
            read_file(mailbox, file, &mut journal)?;
        }
    }
    let since = clock
        .now()
        .as_secs()
        .saturating_sub(DAYS_SHOWN * DAY_SECONDS);
    journal.entries.retain(|entry| entry.when() >= since);
    Ok(journal)
}

fn read_file(mailbox: &Mailbox, file: &File, journal: &mut Journal) -> io::Result<()> {
    let octets = regular_octets(mailbox, file)?;
    // We make none that is larger; of a stranger's the end has to do.
    let end_max = FILE_OCTETS_LIMIT + LINE_OCTETS_MAX as u64;
    let part = octets.saturating_sub(end_max)..octets;
    let entries = &mut journal.entries;
    let mut reader =
        journal::Reader::with_lines_of(LINE_OCTETS_MAX, |line: &[u8]| take_line(line, entries));
    journal::feed(mailbox.disk(), file, part, &mut reader)?;
    journal.damaged += reader.finish().damaged;
    Ok(())
}

/// Whether the line makes sense.
fn take_line(line: &[u8], entries: &mut Vec<JournalEntry>) -> bool {
    if line.starts_with(TITLE) {
        return true;
    }
    let entry = match line.strip_prefix(change_line::WORD) {
        Some(rest) => change_line::parse(rest).map(JournalEntry::Change),
        None => parse_line(line).map(JournalEntry::Visit),
    };
    let sound = entry.is_some();
    entries.extend(entry);
    sound
}

fn title(now: u64) -> Vec<u8> {
    [TITLE, VERSION, b" ", now.to_string().as_bytes()].concat()
}

/// When the file was begun.
fn parse_title(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(TITLE)?.strip_prefix(VERSION)?;
    number(rest.strip_prefix(b" ")?)
}

fn line(
    now: u64,
    view: &ViewName,
    end: VisitEnd,
    (messages, marks): (&MessageTable, &Marks),
) -> Vec<u8> {
    let Visitor {
        session,
        address,
        mechanism,
        credential,
    } = &marks.visitor;
    let address = address.map(|address| address.to_canonical().to_string());
    let fields = [
        end.word().to_vec(),
        now.to_string().into(),
        session.to_string().into(),
        view.as_str().into(),
        escaped(credential),
        escaped(mechanism),
        address.map_or(NOTHING.into(), String::into_bytes),
        marks.retrieved.len().to_string().into(),
        marks.deleted.len().to_string().into(),
    ];
    let mut line = fields.join(&b' ');
    let octets_max = line.len() + MESSAGES_OCTETS_MAX;
    for (unique_id, deed) in visited(messages, marks) {
        let (word, id) = (deed.word(), unique_id.as_bytes());
        if line.len() + 1 + word.len() + id.len() > octets_max {
            break;
        }
        line.push(b' ');
        line.extend_from_slice(word);
        line.extend_from_slice(id);
    }
    line
}

fn parse_line(line: &[u8]) -> Option<Visit> {
    let mut fields = line.split(|&octet| octet == b' ');
    let end = VisitEnd::of_word(fields.next()?)?;
    let ended = number(fields.next()?)?;
    let session = number(fields.next()?)?;
    let view = ViewName::new(text(fields.next()?)?)?;
    let credential = unescaped(fields.next()?)?;
    let mechanism = unescaped(fields.next()?)?;
    let address = match fields.next()? {
        NOTHING => None,
        address => Some(IpAddr::from_str(text(address)?).ok()?),
    };
    let mut count = || usize::try_from(number(fields.next()?)?).ok();
    let (retrieved, deleted) = (count()?, count()?);
    let messages: Vec<_> = fields.map(parse_message).collect::<Option<_>>()?;
    let named = |was: fn(Deed) -> bool| messages.iter().filter(|one| was(one.deed)).count();
    if named(Deed::retrieved) > retrieved || named(Deed::deleted) > deleted {
        return None;
    }
    Some(Visit {
        ended,
        end,
        view,
        visitor: Visitor {
            session,
            address,
            mechanism,
            credential,
        },
        retrieved,
        deleted,
        messages,
    })
}

fn parse_message(field: &[u8]) -> Option<VisitedMessage> {
    let deeds = [Deed::Retrieved, Deed::Deleted, Deed::RetrievedAndDeleted];
    let (deed, id) = deeds
        .into_iter()
        .find_map(|deed| Some((deed, field.strip_prefix(deed.word())?)))?;
    let unique_id = UniqueId::new(id).ok()?.as_bytes().to_vec();
    Some(VisitedMessage { unique_id, deed })
}

impl VisitEnd {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Quit => b"quit",
            Self::Incomplete => b"incomplete",
            Self::Left => b"left",
        }
    }

    fn of_word(word: &[u8]) -> Option<Self> {
        let ends = [Self::Quit, Self::Incomplete, Self::Left];
        ends.into_iter().find(|end| end.word() == word)
    }
}

impl Deed {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Retrieved => b"r:",
            Self::Deleted => b"d:",
            Self::RetrievedAndDeleted => b"rd:",
        }
    }
}

fn escaped(name: &str) -> Vec<u8> {
    let name = name.as_bytes();
    let mut escaped = Vec::new();
    let cut = name.get(..NAME_OCTETS_MAX).unwrap_or(name);
    journal::escape(cut, &mut escaped);
    match escaped.is_empty() {
        true => NOTHING.into(),
        false => escaped,
    }
}

fn unescaped(field: &[u8]) -> Option<String> {
    if field == NOTHING {
        return Some(String::new());
    }
    let name = journal::unescape(field)?;
    // It may have been cut within a character.
    Some(String::from_utf8_lossy(&name).into_owned())
}

fn number(digits: &[u8]) -> Option<u64> {
    text(digits)?.parse().ok()
}

fn text(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok()
}

/// Reads what a stranger may have written as `state/visits`, as it is and with each line's
/// checksum put right, and panics if it breaks a promise: unique-ids are legal, no more messages
/// are named than counted.
#[cfg(feature = "testing")]
pub fn fuzz_visits_file(octets: &[u8]) {
    check_promises(octets);
    check_promises(&journal::with_checksums(octets));
}

#[cfg(feature = "testing")]
fn check_promises(octets: &[u8]) {
    let mut entries = Vec::new();
    let mut reader = journal::Reader::with_lines_of(LINE_OCTETS_MAX, |line: &[u8]| {
        let _ = parse_title(line);
        take_line(line, &mut entries)
    });
    octets.chunks(7).for_each(|piece| reader.push(piece));
    let found = reader.finish();
    assert!(entries.len() <= found.good);
    for entry in &entries {
        match entry {
            JournalEntry::Visit(visit) => {
                assert!(visit.messages.len() <= visit.retrieved.saturating_add(visit.deleted));
                for message in &visit.messages {
                    assert!(UniqueId::new(&message.unique_id).is_ok());
                }
            }
            JournalEntry::Change(change) => {
                assert!(change.messages.len() <= change.count);
                let mut ids = change.messages.iter();
                assert!(ids.all(|id| UniqueId::new(id).is_ok()));
                // What is read is what is written; of an author no more than we would write.
                let change = Change {
                    author: None,
                    ..change.clone()
                };
                let line = change_line::line(&change);
                let again = line.strip_prefix(change_line::WORD);
                assert_eq!(again.and_then(change_line::parse), Some(change));
            }
        }
    }
}

#[cfg(test)]
mod tests;
