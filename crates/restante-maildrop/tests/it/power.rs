//! The power fails at each call in turn, and whatever was not synced may be lost.
//!
//! The disk stops working at the n-th call. Then everything is undone that `docs/formats.md` does
//! not assume to survive: entries of directories that were not synced since, back to a random
//! moment, and octets of files that were not synced, to a random length.

mod devices;
mod export;
mod first_use;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use restante_maildrop::{
    Edit, Store, TrashSelection,
    disk::{Call, Fault, Faults, Passed},
};

use crate::{
    dice::Dice,
    faults::{self, MESSAGES, check_session, faulty, healthy, listing, run_session},
    fixture::mailbox,
    session::{Pieces, open, quit, to},
};

/// A change of a directory.
#[derive(Debug)]
enum Change {
    Made(PathBuf),
    MadeDirectory(PathBuf),
    Renamed(PathBuf, PathBuf),
}

/// What is on the disk, and what of it only until the power fails.
#[derive(Debug, Default)]
struct Pending {
    /// In order; `true`: it survives.
    changes: Vec<(Change, bool)>,
    /// Files with octets that may be lost.
    dirty: BTreeSet<PathBuf>,
}

impl Change {
    /// Whether a sync of `directory` makes it survive; a rename is one step.
    fn survives_sync_of(&self, directory: &Path) -> bool {
        let in_it = |path: &Path| path.parent() == Some(directory);
        match self {
            Self::Made(path) | Self::MadeDirectory(path) => in_it(path),
            Self::Renamed(from, to) => in_it(from) || in_it(to),
        }
    }

    fn undo(&self) {
        // What it made may be gone since.
        let _ = match self {
            Self::Made(path) => fs::remove_file(path),
            // What was synced in it is not found without it.
            Self::MadeDirectory(path) => fs::remove_dir_all(path),
            Self::Renamed(from, _) if from.exists() => Ok(()),
            Self::Renamed(from, to) => fs::rename(to, from),
        };
    }
}

impl Pending {
    fn after(trace: &[Passed], lengths: &BTreeMap<PathBuf, u64>) -> Self {
        let mut pending = Self::default();
        for passed in trace.iter().filter(|passed| !passed.failed) {
            pending.take(passed, lengths);
        }
        pending
    }

    fn take(&mut self, passed: &Passed, lengths: &BTreeMap<PathBuf, u64>) {
        let path = passed.path.clone();
        match (passed.call, &passed.to) {
            (Call::CreateNew, _) => self.changes.push((Change::Made(path), false)),
            (Call::OpenAppend, _) if !lengths.contains_key(&path) && path.exists() => {
                self.changes.push((Change::Made(path), false));
            }
            (Call::MakeDirectory, _) => self.changes.push((Change::MadeDirectory(path), false)),
            (Call::Write | Call::Truncate, _) => _ = self.dirty.insert(path),
            (Call::SyncFile, _) => _ = self.dirty.remove(&path),
            (Call::RenameNoReplace | Call::RenameReplace, Some(to)) => {
                if self.dirty.remove(&path) {
                    self.dirty.insert(to.clone());
                }
                let renamed = Change::Renamed(path, to.clone());
                self.changes.push((renamed, false));
            }
            (Call::SyncDirectory, _) => {
                for (change, survives) in &mut self.changes {
                    *survives |= change.survives_sync_of(&path);
                }
            }
            _ => {}
        }
    }

    /// Loses of octets and of changes a random part.
    fn lose(&self, dice: &mut Dice, lengths: &BTreeMap<PathBuf, u64>) {
        for path in &self.dirty {
            let Ok(file) = fs::OpenOptions::new().write(true).open(path) else {
                continue;
            };
            let before = lengths.get(path).copied().unwrap_or(0);
            let grown = file.metadata().unwrap().len().saturating_sub(before);
            file.set_len(before + dice.below(grown + 1)).unwrap();
        }
        let moment = dice.below(self.changes.len() as u64 + 1);
        self.lose_changes(usize::try_from(moment).unwrap());
    }

    /// Loses all that may be lost.
    fn lose_all(&self, lengths: &BTreeMap<PathBuf, u64>) {
        for path in &self.dirty {
            if let Ok(file) = fs::OpenOptions::new().write(true).open(path) {
                let before = lengths.get(path).copied().unwrap_or(0);
                file.set_len(file.metadata().unwrap().len().min(before))
                    .unwrap();
            }
        }
        self.lose_changes(0);
    }

    fn lose_changes(&self, moment: usize) {
        let since = self.changes.iter().skip(moment);
        let lost: Vec<_> = since.filter(|(_, survives)| !survives).collect();
        lost.iter().rev().for_each(|(change, _)| change.undo());
    }
}

/// The length of each file below `place`.
fn lengths(place: &Path) -> BTreeMap<PathBuf, u64> {
    let mut lengths = BTreeMap::new();
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap() {
            found if found.is_dir() => lengths.extend(self::lengths(&path)),
            found => _ = lengths.insert(path, found.len()),
        }
    }
    lengths
}

/// Runs `work` with the power failing at each call, a few times, and looks what is left.
async fn fail_power_at_each_call<T>(
    begin: impl AsyncFn() -> tempfile::TempDir,
    work: impl AsyncFn(&Path, &Arc<Faults>) -> T,
    check: impl AsyncFn(&Path, &T, &str),
) {
    for at in 0.. {
        for again in 0..2 {
            let place = begin().await;
            let before = lengths(place.path());
            let faults = Arc::new(Faults::input_output(Fault::From(at)));
            let told = work(place.path(), &faults).await;
            let trace = faults.trace();
            let mut dice = Dice(at * 2 + again);
            Pending::after(&trace, &before).lose(&mut dice, &before);
            check(place.path(), &told, &format!("call {at}, try {again}")).await;
            if trace.len() as u64 <= at {
                return;
            }
        }
    }
}

#[tokio::test]
async fn prj_quit_6_what_quit_has_acknowledged_survives_a_power_failure() {
    fail_power_at_each_call(
        faults::begin,
        async |place, faults| run_session(&faulty(place, faults)).await,
        async |place, told, what| check_session(place, told, what).await,
    )
    .await;
}

#[tokio::test]
async fn mdir_store_1_an_acknowledged_delivery_survives_a_power_failure() {
    let body = b"Subject: new\r\n\r\n".repeat(500);
    fail_power_at_each_call(
        faults::begin,
        async |place, faults| {
            let store = faulty(place, faults);
            let results = store.deliver(&[to("me")], Pieces::of(&body, 900)).await;
            results[0].is_ok()
        },
        async |place, acknowledged, what| {
            let found = listing(&healthy(place)).await;
            let new = found.iter().filter(|(_, text)| text.as_bytes() == body);
            let new = new.count();
            assert!(new == 1 || !acknowledged, "{what}: lost");
            // Not half a message, and nothing else.
            assert_eq!(found.len(), MESSAGES.len() + new, "{what}");
        },
    )
    .await;
}

#[tokio::test]
async fn what_was_restored_survives_a_power_failure() {
    let begin = async || {
        let place = faults::begin().await;
        let session = open(&healthy(place.path()), "me").await;
        let _ = quit(session, &[1, 2, 3]).await.unwrap();
        place
    };
    fail_power_at_each_call(
        begin,
        async |place, faults| {
            let restore = Edit::Restore(TrashSelection::All);
            let restored = faulty(place, faults).edit(&mailbox("me"), restore).await;
            restored.is_ok_and(|edited| edited.count == 3)
        },
        async |place, acknowledged, what| {
            let store = healthy(place);
            let found = listing(&store).await.len();
            assert!(found == MESSAGES.len() || !acknowledged, "{what}: lost");
            let restore = Edit::Restore(TrashSelection::All);
            let rest = store.edit(&mailbox("me"), restore).await.unwrap().count;
            assert_eq!(found + rest, MESSAGES.len(), "{what}");
        },
    )
    .await;
}

#[tokio::test]
async fn mdir_store_4_an_acknowledged_import_survives_a_power_failure() {
    fail_power_at_each_call(
        async || faults::begin_without_ids(),
        async |place, faults| {
            let pairs = vec![(b"5.M1P1.e".to_vec(), b"0005".to_vec())];
            let store = faulty(place, faults);
            let imported = store.edit(&mailbox("me"), Edit::Import(pairs)).await;
            imported.is_ok()
        },
        async |place, acknowledged, what| {
            let found = listing(&healthy(place)).await;
            let imported = found.iter().any(|(id, _)| id == b"0005");
            assert!(imported || !acknowledged, "{what}: lost");
            assert_eq!(found.len(), MESSAGES.len(), "{what}");
        },
    )
    .await;
}

#[tokio::test]
async fn r1939_uidl_4_ids_that_a_dead_process_wrote_are_safe_before_they_are_shown() {
    for at in 0.. {
        let place = faults::begin().await;
        let before = lengths(place.path());
        // The process dies, but not the power: another session sees what it left.
        let dying = Arc::new(Faults::input_output(Fault::From(at)));
        let _ = run_session(&faulty(place.path(), &dying)).await;
        let next = Arc::new(Faults::input_output(Fault::Never));
        let shown = listing(&faulty(place.path(), &next)).await;
        let trace = [dying.trace(), next.trace()].concat();
        let mut dice = Dice(at);
        Pending::after(&trace, &before).lose(&mut dice, &before);
        for one in listing(&healthy(place.path())).await {
            // What QUIT had not acknowledged may be back, as far as it was gone.
            let (id, text) = &one;
            let same = shown.iter().find(|(_, other)| other == text);
            assert!(
                same.is_none_or(|(other, _)| other == id),
                "call {at}: {text:?}"
            );
        }
        if dying.count() <= at {
            break;
        }
    }
}
