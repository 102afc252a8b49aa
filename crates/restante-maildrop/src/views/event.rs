//! What happens to the views of a mailbox, and the lines that tell of it.
//!
//! ```text
//! added <view> <time>              the device sees what is not hidden from it
//! met <view> <time>                the same, less what is hidden from the shared view
//! used <view> <time>
//! access <view> read-only|full     full where nothing says so
//! hidden <view> <id> <id> …
//! skipped <view> <id> <id> …        not for this view, and not deleted by it
//! fetched <view> <id> <id> …
//! reset <view> <time>              forget what the device has done
//! removed <view> <time>
//! mode shared|per-device <time>
//! shown <folder> <folder> …        what the account shows besides INBOX; `.` is nothing
//! also <folder> <folder> …         and these
//! opened <view> <folder> <time>    the device has opened a folder by its name
//! clock <time>                     somebody has looked at the clock
//! damaged <time>                   lines were lost: a device may be missing
//!
//! state <trusted> <seen> <highest> <behind> <righted> <mode> <since> <damaged>
//! known <view> <added> <used> [read-only]
//! marks <views> <views> <views> <id> <id> …   deleted, skipped, fetched by
//! ```
//!
//! The last three stand only where all before was written anew, shorter. Times are Unix seconds
//! as the clock showed them; `.` is nothing, `*` stands for devices that were removed, `/` for a
//! space in a folder's name, which is written as on the disk. Lines are applied in order, each to what those before it have left.

use restante_proto::UniqueId;

use super::{Device, SHARED, SOMEBODY, Views, marks::Bits};
use crate::{Access, DeleteMode, FolderName, ShownFolders, ViewName};

/// Begins the first line.
pub(crate) const TITLE: &[u8] = b"restante views ";
const VERSION: &[u8] = b"1";
const NOTHING: &[u8] = b".";
const REMOVED: &[u8] = b"*";
/// So many octets of a line tell of ids: damage costs no more than twenty.
const IDS_OCTETS_MAX: usize = 900;

/// Something that happened to a view of a mailbox, at a time in Unix seconds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A device was added.
    Added(ViewName, u64),
    /// A device came that nobody had added.
    Met(ViewName, u64),
    /// A device was used.
    Used(ViewName, u64),
    /// What a device may do from now on.
    Access(ViewName, Access),
    /// A view has deleted messages: their unique-ids.
    Hidden(ViewName, Vec<Vec<u8>>),
    /// Messages that were never meant for a view: it does not list them.
    Skipped(ViewName, Vec<Vec<u8>>),
    /// A view has retrieved messages, and said QUIT.
    Fetched(ViewName, Vec<Vec<u8>>),
    /// A device begins anew.
    Reset(ViewName, u64),
    /// A device was removed.
    Removed(ViewName, u64),
    /// The mailbox is opened in another way than before.
    Mode(DeleteMode, u64),
    /// The account shows these folders besides INBOX.
    Shown(Vec<FolderName>),
    /// And these.
    Also(Vec<FolderName>),
    /// A device has opened a folder by its name, which the account does not show.
    Opened(ViewName, FolderName, u64),
    /// Somebody has looked at the clock.
    Clock(u64),
    /// Events were lost.
    Damaged(u64),
}

/// Events, while they are read.
#[derive(Debug, Default)]
pub(crate) struct Parsing {
    pub(crate) views: Views,
    /// A newer version wrote them: nothing of them is to be believed.
    pub(crate) newer: bool,
}

impl Event {
    /// How many messages a view has deleted.
    pub(crate) fn hidden_count(&self) -> usize {
        match self {
            Self::Hidden(_, ids) => ids.len(),
            _ => 0,
        }
    }

    /// The lines that tell of it.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        let at = |word: &str, view: &ViewName, time: u64| {
            vec![format!("{word} {} {time}", view.as_str()).into_bytes()]
        };
        match self {
            Self::Added(view, time) => at("added", view, *time),
            Self::Met(view, time) => at("met", view, *time),
            Self::Used(view, time) => at("used", view, *time),
            Self::Access(view, access) => {
                vec![format!("access {} {}", view.as_str(), may(*access)).into_bytes()]
            }
            Self::Reset(view, time) => at("reset", view, *time),
            Self::Removed(view, time) => at("removed", view, *time),
            Self::Hidden(view, ids) => {
                let head = format!("hidden {}", view.as_str());
                lines_of(head.as_bytes(), ids.iter().map(Vec::as_slice))
            }
            Self::Skipped(view, ids) => {
                let head = format!("skipped {}", view.as_str());
                lines_of(head.as_bytes(), ids.iter().map(Vec::as_slice))
            }
            Self::Fetched(view, ids) => {
                let head = format!("fetched {}", view.as_str());
                lines_of(head.as_bytes(), ids.iter().map(Vec::as_slice))
            }
            Self::Mode(mode, time) => vec![format!("mode {} {time}", word_of(*mode)).into_bytes()],
            Self::Shown(folders) => shown_lines(folders.iter()),
            Self::Also(folders) => {
                let words: Vec<String> = folders.iter().map(folder_word).collect();
                lines_of(b"also", words.iter().map(String::as_bytes))
            }
            Self::Opened(view, folder, time) => vec![opened_line(view, folder, *time)],
            Self::Clock(time) => vec![format!("clock {time}").into_bytes()],
            Self::Damaged(time) => vec![format!("damaged {time}").into_bytes()],
        }
    }
}

/// The first line. The edition tells one file of this name from another.
pub(crate) fn title(edition: &[u8]) -> Vec<u8> {
    [TITLE, VERSION, b" ", edition].concat()
}

/// The edition of the file that begins with this line.
pub(crate) fn edition(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(TITLE)?.strip_prefix(VERSION)?;
    rest.strip_prefix(b" ")
}

/// Whether the line stands for those that were there before.
pub(crate) fn is_compacted(line: &[u8]) -> bool {
    let words = [&b"state "[..], b"known ", b"marks "];
    words.iter().any(|word| line.starts_with(word))
}

/// The unique-ids of a line.
pub(crate) fn ids(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let before = match line {
        [b'h', ..] | [b'f', ..] | [b's', b'k', ..] => 2,
        [b'm', b'a', ..] => 4,
        _ => usize::MAX,
    };
    line.split(|&octet| octet == b' ').skip(before)
}

/// Lines that tell all of `views`, as far as it concerns messages of these unique-ids, to stand
/// behind a title.
pub(crate) fn compacted<'i>(views: &Views, ids: impl Iterator<Item = &'i [u8]>) -> Vec<Vec<u8>> {
    let mut lines = vec![state_line(views)];
    if !views.shown.is_empty() {
        lines.extend(shown_lines(views.shown.iter()));
    }
    for device in &views.devices {
        let Device {
            name,
            added,
            used,
            opened,
            ..
        } = device;
        let used = used.map_or(".".to_owned(), |used| used.to_string());
        let access = match device.access {
            Access::Full => String::new(),
            access => format!(" {}", may(access)),
        };
        lines.push(format!("known {} {added} {used}{access}", name.as_str()).into_bytes());
        let opened = opened.iter();
        lines.extend(opened.map(|(folder, &time)| opened_line(name, folder, time)));
    }
    let mut marked: Vec<(Bits, &[u8])> = ids
        .map(|id| (views.marked.of(id), id))
        .filter(|(bits, _)| *bits != Bits::default())
        .collect();
    marked.sort_unstable_by_key(|&(bits, id)| (bits.hidden, bits.skipped, bits.fetched, id));
    marked.dedup();
    for group in marked.chunk_by(|one, other| one.0 == other.0) {
        let Some(&(bits, _)) = group.first() else {
            continue;
        };
        let masks = [bits.deleted(), bits.skipped, bits.fetched];
        for (at, mask) in masks.into_iter().enumerate() {
            // With many devices of long names a list may need a line of its own.
            for list in list(views, mask) {
                let mut head = [b"marks", NOTHING, NOTHING, NOTHING];
                head[at + 1] = &list;
                let ids = group.iter().map(|&(_, id)| id);
                lines.extend(lines_of(&head.join(&b' '), ids));
            }
        }
    }
    lines
}

/// One line for as many ids as fit it.
fn lines_of<'i>(head: &[u8], ids: impl Iterator<Item = &'i [u8]>) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for id in ids {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + id.len() <= IDS_OCTETS_MAX => {
                line.push(b' ');
                line.extend_from_slice(id);
            }
            _ => lines.push([head, id].join(&b' ')),
        }
    }
    lines
}

/// The views of a mask, in lists that leave room for ids.
fn list(views: &Views, mask: u64) -> Vec<Vec<u8>> {
    const LIST_OCTETS_MAX: usize = 512;
    let mut words: Vec<&[u8]> = Vec::new();
    words.extend((mask & SHARED != 0).then_some(&b"shared"[..]));
    let devices = views.devices.iter().filter(|one| one.bit & mask != 0);
    words.extend(devices.map(|device| device.name.as_str().as_bytes()));
    words.extend((mask & SOMEBODY != 0).then_some(REMOVED));
    let mut lists: Vec<Vec<u8>> = Vec::new();
    for word in words {
        match lists.last_mut() {
            Some(list) if list.len() + 1 + word.len() <= LIST_OCTETS_MAX => {
                list.push(b',');
                list.extend_from_slice(word);
            }
            _ => lists.push(word.to_vec()),
        }
    }
    lists
}

fn shown_lines<'f>(folders: impl Iterator<Item = &'f FolderName>) -> Vec<Vec<u8>> {
    let words: Vec<String> = folders.map(folder_word).collect();
    let mut lines = lines_of(b"also", words.iter().map(String::as_bytes));
    // The first takes the place of what was shown before.
    let first = match lines.is_empty() {
        true => b"shown .".to_vec(),
        false => lines.remove(0),
    };
    let first = match first.strip_prefix(b"also") {
        Some(folders) => [b"shown", folders].concat(),
        None => first,
    };
    lines.insert(0, first);
    lines
}

fn opened_line(view: &ViewName, folder: &FolderName, time: u64) -> Vec<u8> {
    format!("opened {} {} {time}", view.as_str(), folder_word(folder)).into_bytes()
}

/// No name of a folder has a `/` in it, or is `.`.
fn folder_word(folder: &FolderName) -> String {
    folder.as_str().replace(' ', "/")
}

fn folder(word: &[u8]) -> Option<FolderName> {
    let name = std::str::from_utf8(word).ok()?.replace('/', " ");
    let folder = FolderName::new(&name).ok()?;
    (folder.as_str() == name && !folder.is_inbox()).then_some(folder)
}

fn folders<'f>(words: impl Iterator<Item = &'f [u8]>) -> Option<Vec<FolderName>> {
    let folders: Vec<FolderName> = words.map(folder).collect::<Option<_>>()?;
    (folders.len() <= ShownFolders::MAX).then_some(folders)
}

fn state_line(views: &Views) -> Vec<u8> {
    let times = &views.times;
    let optional = |time: Option<u64>| time.map_or(".".to_owned(), |time| time.to_string());
    let (mode, since) = match views.mode {
        Some((mode, since)) => (word_of(mode), since),
        None => (".", 0),
    };
    let fields = [
        "state".to_owned(),
        optional(times.trusted),
        optional(times.seen),
        times.highest.to_string(),
        optional(times.behind),
        times.righted.to_string(),
        mode.to_owned(),
        since.to_string(),
        optional(views.damaged),
    ];
    fields.join(" ").into_bytes()
}

impl Parsing {
    /// Takes in the next line. `false` if it makes no sense.
    pub(crate) fn take_line(&mut self, line: &[u8]) -> bool {
        match line.strip_prefix(TITLE) {
            Some(version) => {
                self.newer |= version.split(|&octet| octet == b' ').next() != Some(VERSION)
            }
            None => return self.views.take_line(line).is_some(),
        }
        true
    }
}

impl Views {
    fn take_line(&mut self, line: &[u8]) -> Option<()> {
        let mut fields = line.split(|&octet| octet == b' ');
        let word = fields.next()?;
        if let b"hidden" | b"skipped" | b"fetched" = word {
            let view = view(fields.next()?)?;
            legal(fields.clone()).then_some(())?;
            let made = match word {
                b"hidden" => self.mark_hidden(&view, fields),
                b"skipped" => self.mark_skipped(&view, fields),
                _ => self.mark_fetched(&view, fields),
            };
            return made.then_some(());
        }
        if word == b"marks" {
            let deleted = self.masks(fields.next()?)?;
            let skipped = self.masks(fields.next()?)?;
            let fetched = self.masks(fields.next()?)?;
            legal(fields.clone()).then_some(())?;
            for id in fields {
                let bits = self.marked.entry(id);
                bits.hidden |= deleted | skipped;
                bits.skipped |= skipped & !deleted;
                bits.fetched |= fetched;
            }
            return Some(());
        }
        if word == b"state" {
            return self.take_state(fields);
        }
        if word == b"known" {
            let (name, added, used) = (
                view(fields.next()?)?,
                number(fields.next()?)?,
                optional(fields.next()?)?,
            );
            let access = match fields.next() {
                Some(word) => access(word)?,
                None => Access::Full,
            };
            self.room(&name).ok()?;
            // It was written behind the times, which must not be seen once more.
            let times = self.times;
            let added = self.add(&name, added).then_some(added)?;
            self.times = times;
            let device = self.device_mut(&name)?;
            (device.added, device.used, device.access) = (added, used, access);
            return fields.next().is_none().then_some(());
        }
        let event = event(word, fields)?;
        self.apply(&event).then_some(())
    }

    fn take_state<'f>(&mut self, mut fields: impl Iterator<Item = &'f [u8]>) -> Option<()> {
        let mut times = self.times;
        times.trusted = optional(fields.next()?)?;
        times.seen = optional(fields.next()?)?;
        times.highest = number(fields.next()?)?;
        times.behind = optional(fields.next()?)?;
        times.righted = number(fields.next()?)?;
        let mode = match fields.next()? {
            NOTHING => None,
            word => Some(mode(word)?),
        };
        let since = number(fields.next()?)?;
        let damaged = optional(fields.next()?)?;
        fields.next().is_none().then_some(())?;
        self.times = times;
        self.mode = mode.map(|mode| (mode, since));
        self.damaged = damaged;
        Some(())
    }

    fn masks(&self, list: &[u8]) -> Option<u64> {
        if list == NOTHING {
            return Some(0);
        }
        let words = list.split(|&octet| octet == b',');
        words
            .map(|word| match word {
                REMOVED => Some(SOMEBODY),
                word => self.mask(&view(word)?),
            })
            .try_fold(0, |all, mask| Some(all | mask?))
    }
}

fn event<'f>(word: &[u8], mut fields: impl Iterator<Item = &'f [u8]>) -> Option<Event> {
    let first = fields.next()?;
    let event = match word {
        b"clock" => Event::Clock(number(first)?),
        b"damaged" => Event::Damaged(number(first)?),
        b"mode" => Event::Mode(mode(first)?, number(fields.next()?)?),
        b"access" => Event::Access(view(first)?, access(fields.next()?)?),
        b"shown" if first == NOTHING => Event::Shown(Vec::new()),
        b"shown" => Event::Shown(folders([first].into_iter().chain(fields.by_ref()))?),
        b"also" => Event::Also(folders([first].into_iter().chain(fields.by_ref()))?),
        b"opened" => {
            let folder = folder(fields.next()?)?;
            Event::Opened(view(first)?, folder, number(fields.next()?)?)
        }
        _ => {
            let (view, time) = (view(first)?, number(fields.next()?)?);
            match word {
                b"added" => Event::Added(view, time),
                b"met" => Event::Met(view, time),
                b"used" => Event::Used(view, time),
                b"reset" => Event::Reset(view, time),
                b"removed" => Event::Removed(view, time),
                _ => return None,
            }
        }
    };
    fields.next().is_none().then_some(event)
}

/// Whether these are ids, and at least one.
fn legal<'f>(mut ids: impl Iterator<Item = &'f [u8]>) -> bool {
    let is_id = |id: &[u8]| UniqueId::new(id).is_ok();
    ids.next().is_some_and(is_id) && ids.all(is_id)
}

fn view(word: &[u8]) -> Option<ViewName> {
    ViewName::new(std::str::from_utf8(word).ok()?)
}

fn optional(word: &[u8]) -> Option<Option<u64>> {
    match word {
        NOTHING => Some(None),
        word => number(word).map(Some),
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn mode(word: &[u8]) -> Option<DeleteMode> {
    let modes = [DeleteMode::Shared, DeleteMode::PerDevice];
    modes
        .into_iter()
        .find(|mode| word_of(*mode).as_bytes() == word)
}

fn access(word: &[u8]) -> Option<Access> {
    let all = [Access::Full, Access::ReadOnly];
    all.into_iter()
        .find(|access| may(*access).as_bytes() == word)
}

const fn may(access: Access) -> &'static str {
    match access {
        Access::Full => "full",
        Access::ReadOnly => "read-only",
    }
}

const fn word_of(mode: DeleteMode) -> &'static str {
    match mode {
        DeleteMode::Shared => "shared",
        DeleteMode::PerDevice => "per-device",
    }
}
