//! A mailbox is used for the first time, and whoever makes its directories fails, or is slow.

use restante_maildrop::{
    MailboxId, Maildir, MaildirSettings, Maildrop, Recipient, View, disk::Disk,
};
use restante_proto::Messages;

use super::*;
use crate::{
    fixture::{UNDELETE_FOR, shared},
    session::{WAIT, numbers, open_view, retrieve},
};

/// A mailbox two directories below the operator's.
fn somebody() -> MailboxId {
    mailbox("me@example.com")
}

fn store(place: &Path, faults: &Arc<Faults>) -> Maildir {
    let location = format!("{}/{{domain}}/{{user}}", place.display());
    let mut settings = MaildirSettings::new(location);
    settings.undelete_for = UNDELETE_FOR;
    settings.disk = Disk::with_faults(Arc::clone(faults));
    Maildir::new(settings).unwrap()
}

fn well() -> Arc<Faults> {
    Arc::new(Faults::input_output(Fault::Never))
}

async fn try_deliver(store: &Maildir, body: &[u8]) -> bool {
    let recipient = Recipient {
        mailbox: somebody(),
        ..to("me")
    };
    let results = store.deliver(&[recipient], Pieces::of(body, 900)).await;
    results[0].is_ok()
}

/// The texts that are in the mailbox now.
async fn texts(place: &Path) -> Vec<Vec<u8>> {
    let view = View::shared(somebody());
    let session = open_view(&store(place, &well()), &view).await;
    let mut texts = Vec::new();
    for number in numbers(&session) {
        texts.push(retrieve(&session, number).await.unwrap());
    }
    texts
}

/// The power fails, and everything is lost that was not synced.
fn lose_all(traces: &[Vec<Passed>], before: &BTreeMap<PathBuf, u64>) {
    Pending::after(&traces.concat(), before).lose_all(before);
}

#[tokio::test]
async fn mdir_store_1_a_first_delivery_that_is_tried_again_survives_a_power_failure() {
    let mut failed = 0;
    for at in 0.. {
        let place = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::input_output(Fault::Once(at)));
        let store = store(place.path(), &faults);
        if !try_deliver(&store, b"1\r\n").await {
            failed += 1;
            assert!(try_deliver(&store, b"1\r\n").await, "call {at}");
        }
        let calls = faults.count();
        lose_all(&[faults.trace()], &BTreeMap::new());
        assert_eq!(texts(place.path()).await, [b"1\r\n"], "call {at}");
        if calls <= at {
            break;
        }
    }
    assert!(failed > 10, "only {failed} of the calls mattered");
}

/// The second finds directories that the first has made and not synced, and is done before it.
#[tokio::test]
async fn mdir_store_1_of_two_first_deliveries_the_faster_survives_a_power_failure() {
    for at in 0.. {
        let place = tempfile::tempdir().unwrap();
        // From its `at`-th call on the first one waits for the disk.
        let slow = Arc::new(Faults::input_output(Fault::From(at)));
        let acknowledged = try_deliver(&store(place.path(), &slow), b"1\r\n").await;
        let fast = well();
        assert!(try_deliver(&store(place.path(), &fast), b"2\r\n").await);
        lose_all(&[slow.trace(), fast.trace()], &BTreeMap::new());
        let found = texts(place.path()).await;
        assert!(found.contains(&b"2\r\n".to_vec()), "call {at}: lost");
        if acknowledged {
            assert_eq!(found.len(), 2, "call {at}: lost");
            break;
        }
    }
}

#[tokio::test]
async fn prj_quit_6_a_first_update_that_is_tried_again_survives_a_power_failure() {
    let mut failed = 0;
    for at in 0.. {
        let place = faults::begin_without_ids();
        let before = lengths(place.path());
        let faults = Arc::new(Faults::input_output(Fault::Once(at)));
        let store = faulty(place.path(), &faults);
        let mut acknowledged = false;
        while !acknowledged {
            let Ok(session) = store.open(&shared("me"), WAIT).await else {
                failed += 1;
                continue;
            };
            let all: Vec<u32> = (1..=session.messages().count()).collect();
            acknowledged = quit(session, &all).await.is_ok();
            failed += usize::from(!acknowledged);
        }
        let calls = faults.count();
        lose_all(&[faults.trace()], &before);
        let store = healthy(place.path());
        let restore = Edit::Restore(TrashSelection::All);
        let found = listing(&store).await.len();
        let restored = store.edit(&mailbox("me"), restore).await.unwrap().count;
        assert_eq!(found + restored, MESSAGES.len(), "call {at}: lost");
        if calls <= at {
            break;
        }
    }
    assert!(failed > 10, "only {failed} of the calls mattered");
}

#[tokio::test]
async fn mdir_store_4_a_first_import_that_is_tried_again_survives_a_power_failure() {
    let mut failed = 0;
    for at in 0.. {
        let place = faults::begin_without_ids();
        let before = lengths(place.path());
        let faults = Arc::new(Faults::input_output(Fault::Once(at)));
        let store = faulty(place.path(), &faults);
        let pairs = vec![(b"5.M1P1.e".to_vec(), b"0005".to_vec())];
        let import = || Edit::Import(pairs.clone());
        if store.edit(&mailbox("me"), import()).await.is_err() {
            failed += 1;
            let again = store.edit(&mailbox("me"), import()).await;
            assert_eq!(again.unwrap().count, 1, "call {at}");
        }
        let calls = faults.count();
        lose_all(&[faults.trace()], &before);
        let found = listing(&healthy(place.path())).await;
        assert!(found.iter().any(|(id, _)| id == b"0005"), "call {at}: lost");
        if calls <= at {
            break;
        }
    }
    assert!(failed > 5, "only {failed} of the calls mattered");
}

/// Promise 3: what is known to be there is not synced again.
#[tokio::test]
async fn the_way_to_a_mailbox_is_synced_once() {
    let place = tempfile::tempdir().unwrap();
    let faults = well();
    let store = store(place.path(), &faults);
    assert!(try_deliver(&store, b"1\r\n").await);
    // Otherwise `new/` and the three above it, each time.
    let told = fs::metadata(place.path()).unwrap().created().is_ok();
    for _ in 0..2 {
        faults.restart();
        assert!(try_deliver(&store, b"1\r\n").await);
        let synced = faults.count_of(Call::SyncDirectory);
        assert_eq!(synced, if told { 1 } else { 4 });
    }
}
