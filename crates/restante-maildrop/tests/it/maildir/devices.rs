//! Devices on disk: what a poll costs, what a full disk leaves, and what other programs move.

use std::{
    env, fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use restante_maildrop::{
    Access, DeleteMode, Edit, Maildir, Maildrop, Marks, Policy, Show, ShownFolders, Store,
    TrashSelection, UpdateError, View, ViewName,
    disk::{Call, Disk, Fault, Faults, Room},
};
use restante_proto::{MessageSet, Messages};

use super::{Place, place};
use crate::{
    fixture::mailbox,
    session::{number, open, open_view, quit, unique_ids},
};

const DEVICES: [&str; 5] = ["phone", "tablet", "laptop", "office", "default"];

fn policy() -> Policy {
    Policy {
        delete: DeleteMode::PerDevice,
        ..Policy::default()
    }
}

fn device(name: &str) -> View {
    View {
        name: ViewName::of_device(name),
        policy: policy(),
        ..View::shared(mailbox("me"))
    }
}

async fn add(store: &Maildir, name: &str) {
    let device = ViewName::of_device(name);
    let add = Edit::AddDevice {
        device,
        show: Show::All,
        access: Access::Full,
    };
    assert_eq!(store.edit(&mailbox("me"), add).await.unwrap().count, 0);
}

/// How many calls a poll of an unchanged mailbox costs, and how long it takes.
async fn poll(place: &Place, view: &View) -> (u64, Duration) {
    // The clock of the file system has to move on before a listing is trusted.
    place.faults.set_ahead(Duration::from_secs(10));
    for _ in 0..2 {
        let session = open_view(&place.store, view).await;
        let _ = quit(session, &[]).await.unwrap();
    }
    place.faults.restart();
    let begun = Instant::now();
    let session = open_view(&place.store, view).await;
    let took = begun.elapsed();
    let _ = quit(session, &[]).await.unwrap();
    (place.faults.count(), took)
}

/// `RESTANTE_TEST_HIDDEN=50000` measures what `docs/performance.md` tells.
#[tokio::test]
async fn a_poll_costs_as_many_calls_however_much_is_hidden() {
    let hidden = env::var("RESTANTE_TEST_HIDDEN").ok();
    let count: u32 = hidden.as_deref().unwrap_or("500").parse().unwrap();
    let place = place();
    for at in 0..count {
        let name = format!("cur/{}.M1P1R{at:020}.host,S=5,W=6:2,S", 1_700_000_000 + at);
        place.put(&name, "a: b\n");
    }
    let shared = View::shared(mailbox("me"));
    let (classic, _) = poll(&place, &shared).await;
    for name in DEVICES {
        add(&place.store, name).await;
    }
    for name in DEVICES {
        drop(open_view(&place.store, &device(name)).await);
    }
    let (before, _) = poll(&place, &device("phone")).await;
    // One stays, and one device has deleted nothing.
    for name in &DEVICES[..4] {
        let session = open_view(&place.store, &device(name)).await;
        let deleted: MessageSet = (1..count).map(number).collect();
        let marks = Marks {
            deleted,
            ..Marks::default()
        };
        let begun = Instant::now();
        assert_eq!(
            session.update(marks).await.unwrap().removed as u32,
            count - 1
        );
        if hidden.is_some() {
            say(&format!(
                "{name} deletes {} in {:?}",
                count - 1,
                begun.elapsed()
            ));
        }
    }
    let (after, took) = poll(&place, &device("phone")).await;
    assert_eq!((before, after), (classic, classic));
    let restarted = place.restarted();
    let begun = Instant::now();
    let session = open_view(&restarted, &device("phone")).await;
    let first = begun.elapsed();
    assert_eq!(session.messages().count(), 1);
    // Devices share what is remembered.
    let memory = session.memory_octets();
    assert!(memory < 4096 + 300 * count as usize, "{memory} octets");
    if hidden.is_some() {
        let log = fs::metadata(place.path("restante/state/views")).unwrap();
        say(&format!(
            "a poll: {after} calls, {took:?}; first opening {first:?}; {memory} octets of memory, \
             {} on disk",
            log.len()
        ));
    }
}

#[expect(clippy::print_stderr, reason = "what was measured has to be told")]
fn say(what: &str) {
    eprintln!("{what}");
}

#[tokio::test]
async fn r1939_quit_3_on_a_full_disk_an_update_is_refused_and_nothing_is_half_done() {
    for room in [Room::Full, Room::OverQuota, Room::ReadOnly] {
        let place = place();
        for at in 1..=40 {
            place.put(&format!("cur/{at}.a:2,"), "a: b\n");
        }
        add(&place.store, "phone").await;
        add(&place.store, "tablet").await;
        let all: Vec<u32> = (1..=40).collect();
        let _ = quit(open_view(&place.store, &device("tablet")).await, &all)
            .await
            .unwrap();
        let session = open_view(&place.store, &device("phone")).await;
        place.faults.set_room(room);
        let updated = quit(session, &all).await;
        let Err(UpdateError::Incomplete { failed: 40, .. }) = updated else {
            panic!("{room:?}: {updated:?}");
        };
        // It is read as before, by a process that knows nothing too, and deleted when there is room.
        let session = open_view(&place.restarted(), &device("phone")).await;
        assert_eq!(session.messages().count(), 40, "{room:?}");
        place.faults.set_room(Room::Plenty);
        assert_eq!(quit(session, &all).await.unwrap().removed, 40);
        assert_eq!(messages(&place), 0);
    }
}

/// An operator restores for one device while another opens the mailbox and lets go what is due.
#[tokio::test]
async fn what_is_restored_for_one_device_while_others_open_is_its_alone() {
    let place = place();
    for name in ["cur/1.a:2,", "cur/2.b:2,"] {
        place.put(name, "a: b\n");
    }
    for name in ["phone", "tablet"] {
        add(&place.store, name).await;
    }
    let delete = async |name: &str| {
        let session = open_view(&place.store, &device(name)).await;
        let _ = quit(session, &[1]).await.unwrap();
    };
    // The first leaves. So should the second, but it cannot.
    delete("phone").await;
    delete("tablet").await;
    delete("phone").await;
    let renaming = Call::RenameNoReplace;
    place
        .faults
        .spoil(renaming, "2.b:2,", rustix::io::Errno::IO);
    delete("tablet").await;
    drop(open_view(&place.store, &device("tablet")).await);
    place.faults.heal();
    let operator = place.restarted();
    place.faults.before(Call::Lock, "mailbox.lock", move || {
        let restore = async move {
            let (selection, device) = (TrashSelection::All, ViewName::of_device("phone"));
            let restore = Edit::RestoreFor { selection, device };
            operator.edit(&mailbox("me"), restore).await.unwrap().count
        };
        let restored = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(restore)
        });
        assert_eq!(restored.join().unwrap(), 1);
    });
    let tablet = open_view(&place.store, &device("tablet")).await;
    assert_eq!(
        messages(&place),
        1,
        "the second has left, the first is back"
    );
    assert_eq!(unique_ids(&tablet), [[0; 0]; 0]);
    let phone = open_view(&place.store, &device("phone")).await;
    assert_eq!(phone.messages().count(), 1);
}

fn messages(place: &Place) -> usize {
    let count = |folder| fs::read_dir(place.path(folder)).unwrap().count();
    count("cur") + count("new")
}

/// Each call fails in turn while the second of two devices deletes what the first has deleted.
#[tokio::test]
async fn prj_quit_6_what_quit_has_answered_to_a_device_is_so_and_nothing_else() {
    let mut refused = 0;
    for at in 0.. {
        let place = place();
        for name in ["new/1.a", "cur/2.b:2,S", "cur/3.c:2,", "new/4.d"] {
            place.put(name, "a: b\n");
        }
        add(&place.store, "phone").await;
        add(&place.store, "tablet").await;
        let tablet = open_view(&place.store, &device("tablet")).await;
        let _ = quit(tablet, &[1, 2]).await.unwrap();
        let faults = Arc::new(Faults::input_output(Fault::Never));
        let store = store(&place.directory.path().join(""), &faults);
        let session = open_view(&store, &device("phone")).await;
        faults.plan(Fault::Once(at));
        let updated = quit(session, &[1, 3]).await;
        let calls = faults.count();
        let session = open_view(&place.restarted(), &device("phone")).await;
        let ids = unique_ids(&session);
        match &updated {
            Ok(updated) => {
                assert_eq!((updated.removed, ids.len()), (2, 2), "call {at}");
            }
            Err(_) => {
                refused += 1;
                assert_eq!(ids.len(), 4, "call {at}");
            }
        }
        drop(session);
        // The tablet has not deleted it, and what both have deleted is gone by now.
        let tablet = open_view(&place.restarted(), &device("tablet")).await;
        assert_eq!(unique_ids(&tablet), [&b"3.c"[..], b"4.d"], "call {at}");
        let left = if updated.is_ok() { 3 } else { 4 };
        assert_eq!(messages(&place), left, "call {at}");
        if calls <= at {
            break;
        }
    }
    assert!(refused > 3, "only {refused} of the calls mattered");
}

fn store(place: &Path, faults: &Arc<Faults>) -> Maildir {
    let disk = Disk::with_faults(Arc::clone(faults));
    crate::fixture::maildir(place, restante_maildrop::Clock::system(), disk)
}

#[tokio::test]
async fn a_message_that_others_move_and_flag_is_still_what_a_device_has_deleted() {
    let place = place();
    for name in ["new/1.a", "new/2.b", "cur/3.c:2,S"] {
        place.put(name, "a: b\n");
    }
    fs::create_dir_all(place.path(".Junk/cur")).unwrap();
    add(&place.store, "phone").await;
    add(&place.store, "tablet").await;
    let phone = open_view(&place.store, &device("phone")).await;
    let _ = quit(phone, &[1, 3]).await.unwrap();
    place.rename("new/1.a", "cur/1.a:2,RS");
    place.rename("cur/3.c:2,S", ".Junk/cur/3.c:2,S");
    let listed = async || unique_ids(&open_view(&place.store, &device("phone")).await);
    assert_eq!(listed().await, [b"2.b"]);
    place.rename(".Junk/cur/3.c:2,S", "cur/3.c:2,");
    assert_eq!(listed().await, [b"2.b"]);
    let tablet = open_view(&place.store, &device("tablet")).await;
    let _ = quit(tablet, &[1, 2, 3]).await.unwrap();
    assert_eq!(unique_ids(&open(&place.store, "me").await), [b"2.b"]);
}

/// Whoever waits for the mailbox has not deleted them.
#[tokio::test]
async fn a_bounded_number_of_messages_leaves_at_once_and_the_rest_later() {
    let place = place();
    for at in 0..1200 {
        place.put(&format!("cur/{at}.a:2,S"), "a: b\n");
    }
    for name in ["phone", "tablet", "laptop"] {
        add(&place.store, name).await;
    }
    for name in ["phone", "tablet"] {
        let session = open_view(&place.store, &device(name)).await;
        let marks = Marks {
            deleted: (1..=1200).map(number).collect(),
            ..Marks::default()
        };
        let _ = session.update(marks).await.unwrap();
    }
    let remove = Edit::RemoveDevice {
        device: ViewName::of_device("laptop"),
        policy: policy(),
    };
    let edit = async |edit| place.store.edit(&mailbox("me"), edit).await.unwrap().count;
    assert_eq!(edit(remove).await, 1000);
    // A session sees none of the rest, and lets it go.
    let session = open_view(&place.store, &device("phone")).await;
    assert_eq!(session.messages().count(), 0);
    drop(session);
    assert_eq!(
        edit(Edit::Sweep(policy(), ShownFolders::default())).await,
        0
    );
    assert_eq!(fs::read_dir(place.path("cur")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_classic_mailbox_keeps_no_account_of_its_view() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    place.put("new/2.b", "a: b\n");
    let _ = quit(open(&place.store, "me").await, &[1]).await.unwrap();
    assert!(!place.path("restante/state/views").exists());
    let touched = place.faults.trace().into_iter().filter(|passed| {
        let name = passed.path.file_name();
        name.is_some_and(|name| name == "views") && passed.call != Call::Facts
    });
    assert_eq!(touched.count(), 0);
}
