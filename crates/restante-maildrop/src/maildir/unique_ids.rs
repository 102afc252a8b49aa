//! Which unique-id a message has (RFC 1939 §7): by the rule, or as `restante/state/unique-ids`
//! says.
//!
//! **The rule**: the base name without `,S=` and `,W=` (the *stem*), if it is a legal unique-id
//! and does not begin with `=`; otherwise `=` and a hash of the stem. So most unique-ids need no
//! memory: they are the files' names, which no other program changes or gives twice.
//!
//! **The file** holds what the rule cannot say: unique-ids that another server gave (`import`),
//! and those for messages whose id by the rule another message has or had (`assign`). A message
//! that was restored has a new base name, so even without the file its old id stays buried.
//!
//! ```text
//! <CRC-32> restante unique-ids 1
//! <CRC-32> import <unique-id> - <stem>
//! <CRC-32> assign <unique-id> <inode or -> <stem>
//! <CRC-32> imported
//! ```
//!
//! An inode stands where two files have the same stem. A later line overrides an earlier one of
//! the same stem and inode; every unique-id that ever stood in the file remains its message's.
//! Stems are escaped as the [journal](super::journal) does it.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    io,
    os::fd::BorrowedFd,
};

use restante_proto::UniqueId;
use sha2::{Digest, Sha256};

use super::{journal, layout::Mailbox, lock::MailboxLock, name::FileName};

const FILE: &[u8] = b"unique-ids";
const TITLE: &[u8] = b"restante unique-ids ";
const VERSION: &[u8] = b"1";
/// Stands behind an import: all that it had to store is there.
const IMPORTED: &[u8] = b"imported";
/// Begins what is no base name: `=` and hex digits by the rule, `=~` and hex digits at random.
const MADE: u8 = b'=';
/// Octets of the hash behind `=`; 160 bits do not meet by chance.
const HASH_OCTETS: usize = 20;
const RANDOM_OCTETS: usize = 16;
/// Random ids do not collide; a file that still grows collisions is being played with.
const ROUNDS_MAX: usize = 4;

/// What `state/unique-ids` says, as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct UniqueIds {
    stored: HashMap<Key, Box<[u8]>>,
    /// Whose each unique-id is that ever stood in the file, by stem.
    owners: HashMap<Box<[u8]>, Box<[u8]>>,
    /// Those that another server has given were imported, to the end.
    imported: bool,
    /// Lines are missing: nobody knows who had which of two equal ids.
    damaged: bool,
}

/// What an import would do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Lines to append to the file.
    pub(crate) lines: Vec<Vec<u8>>,
    /// How many messages that are there have a wish.
    pub(crate) concerned: usize,
    /// Wished unique-ids that are or were another message's.
    pub(crate) taken: Vec<Vec<u8>>,
}

/// One message of a listing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'l> {
    /// Its file's name.
    pub(crate) name: FileName<'l>,
    /// Its file's inode.
    pub(crate) inode: u64,
    /// Whether an earlier listing is known to have held it.
    pub(crate) known: bool,
}

/// The file, while it is read.
#[derive(Debug, Default)]
struct Parsing {
    ids: UniqueIds,
    newer: bool,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    stem: Box<[u8]>,
    inode: Option<u64>,
}

/// How good a message's claim to its unique-id is, best last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Claim {
    Rule,
    KnownByRule,
    StoredForStem,
    KnownByStem,
    StoredForFile,
}

#[derive(Clone, Copy)]
enum Kind {
    Import,
    Assign,
}

impl UniqueIds {
    /// The file's name in `restante/state/`.
    pub(crate) const FILE: &[u8] = FILE;

    /// Reads the mailbox's file; there may be none.
    ///
    /// # Errors
    /// Those of reading; `InvalidData` if a newer version wrote it.
    pub(crate) fn read(mailbox: &Mailbox) -> io::Result<Self> {
        Self::read_in(mailbox, mailbox.state()?)
    }

    /// As [`UniqueIds::read`], but makes no directory.
    ///
    /// # Errors
    /// Those of [`UniqueIds::read`].
    pub(crate) fn peek(mailbox: &Mailbox) -> io::Result<Self> {
        match mailbox.state_if_there()? {
            Some(state) => Self::read_in(mailbox, state),
            None => Ok(Self::default()),
        }
    }

    fn read_in(mailbox: &Mailbox, state: BorrowedFd<'_>) -> io::Result<Self> {
        let file = match mailbox.disk().open_read(state, FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            opened => opened?,
        };
        let mut parsing = Parsing::default();
        let found = journal::read(mailbox.disk(), &file, |line| parsing.take_line(line))?;
        let mut ids = parsing.finish()?;
        if found.damaged > 0 {
            ids.damaged = true;
            tracing::warn!(
                mailbox = %mailbox.path().display(),
                damaged = found.damaged,
                good = found.good,
                "state/unique-ids is damaged: some messages may be downloaded again"
            );
        }
        Ok(ids)
    }

    /// Gives every message of `listed`, which stands in listing order, a unique-id that no other
    /// message of the mailbox has or had (PRJ-UIDL-6, R1939-UIDL-5). New ones are durable when
    /// this returns; it takes the mailbox lock only to store one.
    ///
    /// # Errors
    /// Those of reading and storing. Nothing of the listing may be shown then.
    pub(crate) fn settle<'l>(
        &mut self,
        mailbox: &Mailbox,
        listed: impl Iterator<Item = Listed<'l>> + Clone,
    ) -> io::Result<()> {
        if self.unsettled(listed.clone()).is_empty() {
            return Ok(());
        }
        let _lock = MailboxLock::acquire(mailbox)?;
        for _ in 0..ROUNDS_MAX {
            // Another process may have been faster.
            *self = Self::read(mailbox)?;
            let unsettled = self.unsettled(listed.clone());
            if unsettled.is_empty() {
                return Ok(());
            }
            let lines = unsettled
                .into_iter()
                .map(|key| Ok(line(Kind::Assign, &random_id()?, &key)))
                .collect::<io::Result<Vec<_>>>()?;
            append(mailbox, lines)?;
        }
        Err(io::Error::other("unique-ids collide again and again"))
    }

    /// Stores unique-ids of another server for messages of this mailbox, and that it was done; the
    /// caller holds the mailbox lock and lists the messages that are there. Returns how many of
    /// them have the wished id now, and whether anything was stored for that.
    ///
    /// # Errors
    /// `Ok(Err(why))` when it is refused as a whole; those of storing.
    pub(crate) fn import<'l>(
        &mut self,
        mailbox: &Mailbox,
        listed: impl Iterator<Item = Listed<'l>> + Clone,
        pairs: &[(Vec<u8>, Vec<u8>)],
    ) -> io::Result<Result<(usize, bool), String>> {
        let plan = match self.plan(listed, pairs) {
            Ok(plan) => plan,
            Err(why) => return Ok(Err(why)),
        };
        if let Some(id) = plan.taken.first() {
            let id = String::from_utf8_lossy(id).into_owned();
            return Ok(Err(format!("unique-id `{id}` is or was another message's")));
        }
        let mut lines = plan.lines;
        if !self.imported {
            // The last: a torn import is made again.
            lines.push(IMPORTED.to_vec());
        }
        let stores = !lines.is_empty();
        if stores {
            append(mailbox, lines)?;
        }
        Ok(Ok((plan.concerned, stores)))
    }

    /// What storing these unique-ids for the listed messages means. Changes nothing.
    ///
    /// # Errors
    /// Why they make no sense, whatever the mailbox holds.
    pub(crate) fn plan<'l>(
        &self,
        listed: impl Iterator<Item = Listed<'l>>,
        pairs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Plan, String> {
        let wishes = wishes(pairs)?;
        let mut present: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut holders: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        for message in listed {
            let (stem, id) = (stem(message.name), self.of(message.name, message.inode));
            holders.insert(id.clone(), stem.clone());
            present.insert(stem, id);
        }
        let mut plan = Plan::default();
        for (stem, id) in wishes {
            let Some(now) = present.get(&stem) else {
                continue;
            };
            plan.concerned += 1;
            if *now == id {
                continue;
            }
            let owner = self.owners.get(&*id).map(|owner| &**owner);
            let holder = holders.get(&id).map(|holder| &**holder);
            if owner.or(holder).is_some_and(|other| other != &*stem) {
                plan.taken.push(id);
                continue;
            }
            let key = Key {
                stem: stem.into(),
                inode: None,
            };
            plan.lines.push(line(Kind::Import, &id, &key));
        }
        Ok(plan)
    }

    /// Takes in what a plan would store, without storing it.
    pub(crate) fn pretend(&mut self, plan: &Plan) {
        for line in &plan.lines {
            self.take_line(line);
        }
    }

    /// Which of the listed messages, by index, get another id when the mailbox is opened.
    pub(crate) fn unsettled_rows<'l>(
        &self,
        listed: impl Iterator<Item = Listed<'l>> + Clone,
    ) -> HashSet<usize> {
        let keys: HashSet<Key> = self.unsettled(listed.clone()).into_iter().collect();
        let rows = listed.enumerate().filter(|&(_, one)| {
            !keys.is_empty()
                && (keys.contains(&Key::of_stem(one)) || keys.contains(&Key::of_file(one)))
        });
        rows.map(|(index, _)| index).collect()
    }

    /// Whether those that another server has given were imported.
    pub(crate) fn are_imported(&self) -> bool {
        self.imported
    }

    /// The message's unique-id.
    pub(crate) fn of(&self, name: FileName<'_>, inode: u64) -> Vec<u8> {
        let stem = stem(name);
        match self.stored(&stem, inode) {
            Some((id, _)) => id.to_vec(),
            None => by_rule(stem),
        }
    }

    fn stored(&self, stem: &[u8], inode: u64) -> Option<(&[u8], Claim)> {
        if self.stored.is_empty() {
            return None;
        }
        let mut key = Key {
            stem: stem.into(),
            inode: Some(inode),
        };
        if let Some(id) = self.stored.get(&key) {
            return Some((id, Claim::StoredForFile));
        }
        key.inode = None;
        let id = self.stored.get(&key)?;
        Some((id, Claim::StoredForStem))
    }

    /// The messages that cannot have the id they would have, with the key to store one under.
    fn unsettled<'l>(&self, listed: impl Iterator<Item = Listed<'l>> + Clone) -> Vec<Key> {
        let hasher = RandomState::new();
        let mut hashes: Vec<(u64, u32)> = listed
            .clone()
            .zip(0..)
            .map(|(one, index)| (hasher.hash_one(self.of(one.name, one.inode)), index))
            .collect();
        hashes.sort_unstable();
        // Hashes that meet are rare: only those messages are looked at again.
        let mut suspects: Vec<u32> = hashes
            .chunk_by(|one, other| one.0 == other.0)
            .filter(|equal| equal.len() > 1)
            .flatten()
            .map(|&(_, index)| index)
            .collect();
        suspects.sort_unstable();
        let mut groups: HashMap<Vec<u8>, Vec<Listed<'l>>> = HashMap::new();
        let mut unsettled = Vec::new();
        for (one, index) in listed.zip(0_u32..) {
            if self.is_anothers(one) {
                unsettled.push(Key::of_stem(one));
            } else if suspects.binary_search(&index).is_ok() {
                let id = self.of(one.name, one.inode);
                groups.entry(id).or_default().push(one);
            }
        }
        for mut group in groups.into_values() {
            // One file under two names is one message.
            group.sort_by_key(|one| (one.inode, stem(one.name)));
            group.dedup_by_key(|one| (one.inode, stem(one.name)));
            if group.len() > 1 {
                unsettled.extend(self.losers(&group));
            }
        }
        unsettled
    }

    /// Whether the message's id by the rule was once given to another one by the file.
    fn is_anothers(&self, one: Listed<'_>) -> bool {
        if self.owners.is_empty() {
            return false;
        }
        let stem = stem(one.name);
        if self.stored(&stem, one.inode).is_some() {
            return false;
        }
        let owner = self.owners.get(&*by_rule(stem.clone()));
        owner.is_some_and(|owner| **owner != *stem)
    }

    /// All of a group with equal ids but the one that keeps it.
    ///
    /// It has to be certain which one: the others have perhaps been listed under this id for long,
    /// and a wrong guess would hide unread mail. Where it is not, nobody keeps it, and programs
    /// download a message twice.
    fn losers(&self, group: &[Listed<'_>]) -> Vec<Key> {
        let claims = group.iter().map(|&one| self.claim(one));
        let best = claims.clone().max().unwrap_or(Claim::Rule);
        let sole = claims.clone().filter(|&claim| claim == best).count() == 1;
        // With lines missing, the file may have told another's claim.
        let certain = sole && (best >= Claim::StoredForStem || !self.damaged);
        let keeper = claims.clone().position(|claim| certain && claim == best);
        let losers = group.iter().enumerate();
        losers
            .filter(|&(index, _)| Some(index) != keeper)
            .map(|(_, &one)| {
                let twin = |other: &Listed<'_>| {
                    other.inode != one.inode && stem(other.name) == stem(one.name)
                };
                match group.iter().any(twin) {
                    true => Key::of_file(one),
                    false => Key::of_stem(one),
                }
            })
            .collect()
    }

    fn claim(&self, one: Listed<'_>) -> Claim {
        match (self.stored(&stem(one.name), one.inode), one.known) {
            (Some((_, Claim::StoredForStem)), true) => Claim::KnownByStem,
            (Some((_, claim)), _) => claim,
            (None, true) => Claim::KnownByRule,
            (None, false) => Claim::Rule,
        }
    }

    /// Takes in one line of the file; `None` if it makes no sense.
    fn take_line(&mut self, line: &[u8]) -> Option<()> {
        if line == IMPORTED {
            self.imported = true;
            return Some(());
        }
        let mut fields = line.split(|&octet| octet == b' ');
        let kind = fields.next()?;
        if kind != Kind::Import.word() && kind != Kind::Assign.word() {
            return None;
        }
        let id = UniqueId::new(fields.next()?).ok()?.as_bytes();
        let inode = match fields.next()? {
            b"-" => None,
            digits => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
        };
        let stem = journal::unescape(fields.next()?)?;
        let nameable = stem.len() <= FileName::OCTETS_MAX && !stem.contains(&b'/');
        if !nameable || fields.next().is_some() {
            return None;
        }
        let stem: Box<[u8]> = stem.into();
        // Whoever had an id first keeps it.
        let owner = self.owners.entry(id.into()).or_insert_with(|| stem.clone());
        if *owner != stem {
            return None;
        }
        self.stored.insert(Key { stem, inode }, id.into());
        Some(())
    }
}

impl Parsing {
    /// Whether the line makes sense.
    fn take_line(&mut self, line: &[u8]) -> bool {
        let Some(version) = line.strip_prefix(TITLE) else {
            return self.ids.take_line(line).is_some();
        };
        self.newer |= version != VERSION;
        true
    }

    fn finish(self) -> io::Result<UniqueIds> {
        if self.newer {
            let why = "state/unique-ids was written by a newer version";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(self.ids)
    }
}

impl Key {
    fn of_stem(one: Listed<'_>) -> Self {
        Self {
            stem: stem(one.name).into(),
            inode: None,
        }
    }

    fn of_file(one: Listed<'_>) -> Self {
        Self {
            inode: Some(one.inode),
            ..Self::of_stem(one)
        }
    }
}

impl Kind {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Import => b"import",
            Self::Assign => b"assign",
        }
    }
}

/// What an import wishes, by stem, each once.
fn wishes(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<HashMap<Vec<u8>, Vec<u8>>, String> {
    let mut by_stem = HashMap::new();
    let mut by_id = HashMap::new();
    for (base, id) in pairs {
        let shown = || String::from_utf8_lossy(base).into_owned();
        UniqueId::new(id).map_err(|error| format!("`{}`: {error}", shown()))?;
        let name = FileName::new(base).ok_or_else(|| format!("`{}` is no base name", shown()))?;
        let stem = stem(name);
        if by_stem
            .insert(stem.clone(), id.clone())
            .is_some_and(|before| before != *id)
        {
            return Err(format!("`{}` has two unique-ids", shown()));
        }
        if by_id
            .insert(id.clone(), stem.clone())
            .is_some_and(|before| before != stem)
        {
            return Err(format!("the unique-id of `{}` stands twice", shown()));
        }
    }
    Ok(by_stem)
}

fn append(mailbox: &Mailbox, mut lines: Vec<Vec<u8>>) -> io::Result<()> {
    mailbox.confirm_state()?;
    let state = mailbox.state()?;
    let file = mailbox.open_append(state, FILE)?;
    if mailbox.disk().facts(&file)?.octets == 0 {
        lines.insert(0, [TITLE, VERSION].concat());
        mailbox.disk().sync_directory(state)?;
    }
    journal::append(mailbox.disk(), &file, &lines)
}

fn line(kind: Kind, id: &[u8], key: &Key) -> Vec<u8> {
    let inode = key.inode.map_or("-".to_owned(), |inode| inode.to_string());
    let mut line = [kind.word(), id, inode.as_bytes(), b""].join(&b' ');
    journal::escape(&key.stem, &mut line);
    line
}

/// The base name without its `,S=` and `,W=`.
pub(crate) fn stem(name: FileName<'_>) -> Vec<u8> {
    let mut stem = Vec::with_capacity(name.base().len());
    name.stem().for_each(|part| stem.extend_from_slice(part));
    stem
}

/// The legal unique-id that stands for octets which may not be one: themselves, or their hash.
pub(crate) fn by_rule(stem: Vec<u8>) -> Vec<u8> {
    if UniqueId::new(&stem).is_ok() && !stem.starts_with(&[MADE]) {
        return stem;
    }
    let digest = Sha256::digest(&stem);
    let mut id = vec![MADE];
    push_hex(digest.get(..HASH_OCTETS).unwrap_or(&digest), &mut id);
    id
}

/// A unique-id that no rule gives and nobody had.
fn random_id() -> io::Result<Vec<u8>> {
    let mut random = [0; RANDOM_OCTETS];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut id = vec![MADE, b'~'];
    push_hex(&random, &mut id);
    Ok(id)
}

fn push_hex(octets: &[u8], out: &mut Vec<u8>) {
    for octet in octets {
        out.extend_from_slice(format!("{octet:02x}").as_bytes());
    }
}

/// Reads what a stranger may have written as `state/unique-ids`, as it is and with each line's
/// checksum put right, and panics if it breaks a promise: ids are legal and each belongs to one
/// stem; a missing end costs one line.
#[cfg(feature = "testing")]
pub fn fuzz_state_file(octets: &[u8]) {
    check_promises(octets);
    check_promises(&journal::with_checksums(octets));
}

#[cfg(feature = "testing")]
fn check_promises(octets: &[u8]) {
    let read = |octets: &[u8]| {
        let mut parsing = Parsing::default();
        let mut reader = journal::Reader::new(|line: &[u8]| parsing.take_line(line));
        octets.chunks(7).for_each(|piece| reader.push(piece));
        let _ = reader.finish();
        parsing.finish().ok()
    };
    let Some(ids) = read(octets) else {
        return;
    };
    for (key, id) in &ids.stored {
        assert!(UniqueId::new(id).is_ok());
        assert_eq!(ids.owners.get(id), Some(&key.stem));
    }
    let torn = octets.get(..octets.len().saturating_sub(1));
    if let Some(torn) = torn.and_then(read) {
        let whole = ids.owners.len();
        assert!((whole.saturating_sub(1)..=whole).contains(&torn.owners.len()));
    }
}

#[cfg(test)]
mod tests;
