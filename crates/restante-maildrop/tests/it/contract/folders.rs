//! What POP shows besides INBOX, and a folder that is opened by its name.

use restante_maildrop::{
    Access, Edit, FolderName, Keep, KeptMessage, Maildrop, OpenError, Policy, Show, ShownFolders,
    Shows, Store, TrashSelection, View, ViewName,
};
use restante_proto::{Messages, Octets};

use super::devices::{DAY, device, edit, end, held, listed, policy, shared, three, trashed};
use crate::{
    fixture::{Fixture, mailbox, on_every_store},
    session::{WAIT, deliver, number, numbers, open_view, quit, retrieve, size, unique_ids},
};

fn folders(folders: &str) -> ShownFolders {
    folders.parse().unwrap()
}

fn showing(names: &str, view: View) -> View {
    View {
        shows: Shows {
            folders: folders(names),
            ..Shows::default()
        },
        ..view
    }
}

fn only(folder: &str, view: &View) -> View {
    let shows = Shows {
        only: Some(FolderName::new(folder).unwrap()),
        ..view.shows.clone()
    };
    View {
        shows,
        ..view.clone()
    }
}

fn classic(names: &str) -> View {
    showing(names, shared(Policy::default()))
}

async fn contents(store: &impl Store, view: &View) -> Vec<Vec<u8>> {
    let maildrop = open_view(store, view).await;
    let mut contents = Vec::new();
    for number in numbers(&maildrop) {
        let message = retrieve(&maildrop, number).await.unwrap();
        assert_eq!(size(&maildrop, number).await, Octets(message.len() as u64));
        contents.push(message);
    }
    contents
}

#[tokio::test]
async fn folders_are_listed_with_inbox_oldest_first() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let ids = listed(store, &classic("none")).await;
        fixture.move_to("Junk", &ids[0]);
        fixture.move_to("Lists.rust", &ids[1]);
        assert_eq!(listed(store, &classic("none")).await, ids[2..]);
        assert_eq!(
            listed(store, &classic("Junk")).await,
            [&ids[..1], &ids[2..]].concat()
        );
        // Whatever the order of the folders, and one that is not there is empty.
        for view in ["Junk,Lists/rust", "Lists.rust,Absent,Junk"] {
            assert_eq!(listed(store, &classic(view)).await, ids, "{view}");
        }
        assert_eq!(listed(store, &classic("none")).await, ids[2..]);
    });
}

#[tokio::test]
async fn a_message_that_moves_between_shown_folders_stays_the_same() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let view = classic("Junk,Spam");
        let maildrop = open_view(store, &view).await;
        let ids = unique_ids(&maildrop);
        fixture.move_to("Junk", &ids[0]);
        fixture.move_to("Spam", &ids[1]);
        // Within the session, wherever it is now.
        assert_eq!(retrieve(&maildrop, number(1)).await.unwrap(), b"1\r\n");
        assert_eq!(retrieve(&maildrop, number(2)).await.unwrap(), b"22\r\n");
        let _ = quit(maildrop, &[2]).await.unwrap();
        let left = [ids[0].clone(), ids[2].clone()];
        assert_eq!(listed(store, &view).await, left);
        fixture.move_to("Spam", &ids[0]);
        assert_eq!(listed(store, &view).await, left);
        fixture.move_to("INBOX", &ids[0]);
        assert_eq!(listed(store, &view).await, left);
        // Out of sight it is nobody's to see, and comes back as it was.
        fixture.move_to("Archive", &ids[0]);
        assert_eq!(listed(store, &view).await, left[1..]);
        fixture.move_to("Junk", &ids[0]);
        assert_eq!(listed(store, &view).await, left);
    });
}

#[tokio::test]
async fn a_folder_that_is_named_is_all_there_is() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let ids = listed(store, &classic("none")).await;
        fixture.move_to("Junk", &ids[0]);
        fixture.move_to("Archive", &ids[2]);
        for view in [classic("none"), classic("Junk=[junk] ")] {
            assert_eq!(listed(store, &only("Junk", &view)).await, ids[..1]);
            assert_eq!(listed(store, &only("Archive", &view)).await, ids[2..]);
            assert_eq!(listed(store, &only("INBOX", &view)).await, ids[1..2]);
            assert_eq!(listed(store, &only("Absent", &view)).await, [[0; 0]; 0]);
            // As it is.
            assert_eq!(contents(store, &only("Junk", &view)).await, [b"1\r\n"]);
        }
        // What is deleted there is gone everywhere.
        let maildrop = open_view(store, &only("Junk", &classic("none"))).await;
        let _ = quit(maildrop, &[1]).await.unwrap();
        assert_eq!(listed(store, &classic("Junk")).await, ids[1..2]);
        assert_eq!(trashed(store).await, 1);
    });
}

/// Two programs, one for the account and one for the folder, must not undo what the other does.
#[tokio::test]
async fn whoever_names_a_folder_is_in_the_same_session() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let view = classic("Junk");
        let held = open_view(store, &view).await;
        for folder in ["Junk", "INBOX", "Absent"] {
            let refused = store.open(&only(folder, &view), WAIT).await;
            assert!(matches!(refused, Err(OpenError::InUse)), "{folder}");
        }
        drop(held);
        let _named = open_view(store, &only("Junk", &view)).await;
        assert!(matches!(
            store.open(&view, WAIT).await,
            Err(OpenError::InUse)
        ));
    });
}

#[tokio::test]
async fn prj_size_5_a_tag_is_sent_and_counted() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let bodies: [&[u8]; 6] = [
            b"Subject: a\n\nb\n",
            b"subject:\ta\r\n\r\n.b",
            b"Subject: [junk] a\n\nb\n",
            b"To: me\n\nb\n",
            b"no header",
            b"",
        ];
        for body in bodies {
            deliver(store, "me", body).await;
        }
        let untagged = contents(store, &classic("none")).await;
        let ids = listed(store, &classic("none")).await;
        ids.iter().for_each(|id| fixture.move_to("Junk", id));
        let tagged: [&[u8]; 6] = [
            b"Subject: [junk] a\r\n\r\nb\r\n",
            b"subject:\t[junk] a\r\n\r\n.b\r\n",
            b"Subject: [junk] a\r\n\r\nb\r\n",
            b"To: me\r\nSubject: [junk]\r\n\r\nb\r\n",
            b"no header\r\nSubject: [junk]\r\n",
            b"Subject: [junk]\r\n",
        ];
        for _ in 0..2 {
            assert_eq!(contents(store, &classic("Junk=[junk] ")).await, tagged);
            assert_eq!(contents(store, &classic("Junk")).await, untagged);
        }
        let other = contents(store, &classic("Junk=[?]")).await;
        assert_eq!(other[0], b"Subject: [?] a\r\n\r\nb\r\n");
        // Back in INBOX nothing is put before anything.
        let view = classic("Junk=[junk] ");
        fixture.move_to("INBOX", &ids[0]);
        assert_eq!(contents(store, &view).await[0], untagged[0]);
        // What was listed is what is sent, wherever it is now.
        let maildrop = open_view(store, &view).await;
        fixture.move_to("INBOX", &ids[1]);
        fixture.move_to("Junk", &ids[0]);
        assert_eq!(retrieve(&maildrop, number(1)).await.unwrap(), untagged[0]);
        assert_eq!(retrieve(&maildrop, number(2)).await.unwrap(), tagged[1]);
        assert_eq!(unique_ids(&maildrop), ids);
    });
}

#[tokio::test]
async fn only_the_last_days_of_all_folders_are_shown() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let ids = listed(store, &classic("none")).await;
        fixture.move_to("Junk", &ids[0]);
        fixture.clock().set(fixture.clock().now() + 3 * DAY);
        deliver(store, "me", b"new\n").await;
        let mut view = classic("Junk");
        assert_eq!(listed(store, &view).await.len(), 4);
        view.shows.last = Some(2 * DAY);
        assert_eq!(contents(store, &view).await, [b"new\r\n"]);
        assert_eq!(listed(store, &only("Junk", &view)).await, [[0; 0]; 0]);
        assert_eq!(held(store).await, 4);
    });
}

#[tokio::test]
async fn a_shown_folder_waits_for_every_device() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let views = ["phone", "tablet"].map(|name| {
            let view = device(name, policy(Keep::UntilDeleted));
            showing("Junk", view)
        });
        for view in &views {
            open_view(store, view).await;
        }
        three(store).await;
        let ids = listed(store, &views[0]).await;
        fixture.move_to("Junk", &ids[0]);
        // By its name or not: it is one view.
        let named = open_view(store, &only("Junk", &views[0])).await;
        end(named, &[], &[1]).await;
        assert_eq!(listed(store, &views[0]).await, ids[1..]);
        assert_eq!(
            (listed(store, &views[1]).await, trashed(store).await),
            (ids.clone(), 0)
        );
        let other = open_view(store, &views[1]).await;
        end(other, &[], &[1, 2]).await;
        assert_eq!(trashed(store).await, 1);
        assert_eq!(listed(store, &views[1]).await, ids[2..]);
    });
}

#[tokio::test]
async fn a_folder_waits_for_the_devices_that_have_named_it() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let views =
            ["phone", "tablet", "laptop"].map(|name| device(name, policy(Keep::UntilDeleted)));
        for view in &views {
            open_view(store, view).await;
        }
        three(store).await;
        let ids = listed(store, &views[0]).await;
        ids.iter().for_each(|id| fixture.move_to("Archive", id));
        let archive = views.each_ref().map(|view| only("Archive", view));
        // Nobody else has ever seen it.
        let maildrop = open_view(store, &archive[0]).await;
        end(maildrop, &[], &[1]).await;
        assert_eq!(trashed(store).await, 1);
        // Now another one has.
        assert_eq!(listed(store, &archive[1]).await, ids[1..]);
        let maildrop = open_view(store, &archive[0]).await;
        end(maildrop, &[], &[1]).await;
        assert_eq!(
            (listed(store, &archive[0]).await, trashed(store).await),
            (ids[2..].to_vec(), 1)
        );
        let maildrop = open_view(store, &archive[1]).await;
        assert_eq!(unique_ids(&maildrop), ids[1..]);
        end(maildrop, &[], &[1]).await;
        assert_eq!(trashed(store).await, 2);
    });
}

/// It was listed where nobody else waits for it, and is where all do.
#[tokio::test]
async fn what_is_moved_to_inbox_under_a_session_waits_there_for_every_device() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let views = ["phone", "tablet"].map(|name| device(name, policy(Keep::UntilDeleted)));
        for view in &views {
            open_view(store, view).await;
        }
        three(store).await;
        let ids = listed(store, &views[0]).await;
        fixture.move_to("Archive", &ids[0]);
        let maildrop = open_view(store, &only("Archive", &views[0])).await;
        assert_eq!(unique_ids(&maildrop), ids[..1]);
        fixture.move_to("INBOX", &ids[0]);
        end(maildrop, &[1], &[1]).await;
        assert_eq!(listed(store, &views[0]).await, ids[1..]);
        assert_eq!(listed(store, &views[1]).await, ids);
        assert_eq!(trashed(store).await, 0);
    });
}

/// Whoever is in session does not know yet what the others are shown.
#[tokio::test]
async fn a_folder_that_is_shown_from_now_on_waits_for_every_device_from_now_on() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let views = ["phone", "tablet"].map(|name| device(name, policy(Keep::UntilDeleted)));
        for view in &views {
            open_view(store, view).await;
        }
        three(store).await;
        let ids = listed(store, &views[0]).await;
        fixture.move_to("Archive", &ids[0]);
        let maildrop = open_view(store, &only("Archive", &views[0])).await;
        let shown = views.map(|view| showing("Archive", view));
        assert_eq!(listed(store, &shown[1]).await, ids);
        end(maildrop, &[1], &[1]).await;
        assert_eq!(listed(store, &shown[0]).await, ids[1..]);
        assert_eq!(listed(store, &shown[1]).await, ids);
        assert_eq!(trashed(store).await, 0);
    });
}

/// It has come every day, and does not lose what waits because the folder is shown now.
#[tokio::test]
async fn a_shown_folder_waits_for_who_has_named_it_until_then() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let views = ["phone", "tablet"].map(|name| device(name, policy(Keep::UntilDeleted)));
        for view in &views {
            open_view(store, view).await;
        }
        three(store).await;
        let ids = listed(store, &views[0]).await;
        fixture.move_to("Archive", &ids[0]);
        for _ in 0..64 {
            fixture.clock().set(fixture.clock().now() + DAY);
            open_view(store, &views[0]).await;
            open_view(store, &only("Archive", &views[1])).await;
        }
        let [phone, tablet] = views.map(|view| showing("Archive", view));
        let maildrop = open_view(store, &phone).await;
        // The second is in INBOX, where nobody waits for the tablet.
        end(maildrop, &[], &[1, 2]).await;
        assert_eq!(trashed(store).await, 1);
        let left = [ids[0].clone(), ids[2].clone()];
        assert_eq!(listed(store, &tablet).await, left);
    });
}

#[tokio::test]
async fn naming_a_folder_is_no_use_of_inbox() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let (phone, tablet) = (
            device("phone", policy(Keep::UntilDeleted)),
            device("tablet", policy(Keep::UntilDeleted)),
        );
        open_view(store, &phone).await;
        open_view(store, &tablet).await;
        three(store).await;
        let ids = listed(store, &phone).await;
        fixture.move_to("Archive", &ids[2]);
        // For two months and more the tablet looks at its folder only.
        for _ in 0..64 {
            fixture.clock().set(fixture.clock().now() + DAY);
            open_view(store, &phone).await;
            open_view(store, &only("Archive", &tablet)).await;
        }
        let maildrop = open_view(store, &phone).await;
        end(maildrop, &[], &[1]).await;
        assert_eq!(trashed(store).await, 1);
        // There it is waited for.
        let maildrop = open_view(store, &only("Archive", &phone)).await;
        end(maildrop, &[], &[1]).await;
        assert_eq!(trashed(store).await, 1);
        assert_eq!(listed(store, &only("Archive", &tablet)).await, ids[2..]);
        let devices = store.devices(&mailbox("me")).await.unwrap();
        let now = fixture.clock().now().as_secs();
        assert!(
            devices
                .iter()
                .all(|one| one.used.is_some_and(|used| now - used <= 86_400))
        );
    });
}

#[tokio::test]
async fn nothing_expires_in_a_folder_that_is_not_shown() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let unfetched = Policy {
            expire_unfetched: Some(10 * DAY),
            ..Policy::default()
        };
        let view = showing("Junk", shared(unfetched));
        three(store).await;
        let ids = listed(store, &shared(unfetched)).await;
        for (id, folder) in ids.iter().zip(["Junk", "Archive"]) {
            fixture.move_to(folder, id);
        }
        // Somebody has looked into it once, and read nothing.
        assert_eq!(
            listed(store, &only("Archive", &shared(unfetched)))
                .await
                .len(),
            1
        );
        let sweep = async |shown: &str| {
            let swept = edit(store, Edit::Sweep(unfetched, folders(shown))).await;
            fixture.clock().set(fixture.clock().now() + DAY);
            swept
        };
        for _ in 0..9 {
            assert_eq!(sweep("Junk,Archive").await, 0);
        }
        for _ in 0..4 {
            sweep("Junk,Archive").await;
        }
        // INBOX has gone; the others POP has never shown, whatever is chosen now.
        assert_eq!(trashed(store).await, 1);
        assert_eq!(listed(store, &view).await, [[0; 0]; 0]);
        // Shown now, and old enough: it has gone at once.
        assert_eq!(trashed(store).await, 2);
        for _ in 0..4 {
            sweep("Junk").await;
        }
        assert_eq!(
            listed(store, &only("Archive", &shared(unfetched))).await,
            ids[1..2]
        );
        assert_eq!(trashed(store).await, 2);
    });
}

#[tokio::test]
async fn what_is_restored_goes_back_to_its_folder() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let view = classic("Junk,Spam");
        let ids = listed(store, &view).await;
        fixture.move_to("Junk", &ids[0]);
        fixture.move_to("Spam", &ids[1]);
        let _ = quit(open_view(store, &view).await, &[1, 2, 3])
            .await
            .unwrap();
        assert_eq!(trashed(store).await, 3);
        fixture.remove_folder("Spam");
        assert_eq!(edit(store, Edit::Restore(TrashSelection::All)).await, 3);
        assert_eq!(contents(store, &only("Junk", &view)).await, [b"1\r\n"]);
        // One that is gone is not made again.
        let inbox = contents(store, &only("INBOX", &view)).await;
        assert_eq!(inbox, [b"22\r\n".to_vec(), b"333\r\n".to_vec()]);
        assert_eq!(listed(store, &only("Spam", &view)).await, [[0; 0]; 0]);
        // The order is that of arrival, and all are new.
        let again = listed(store, &view).await;
        assert!(again.iter().all(|id| !ids.contains(id)));
        assert_eq!(contents(store, &view).await.concat(), b"1\r\n22\r\n333\r\n");
        // In the trash all are found, wherever they lay.
        let _ = quit(open_view(store, &view).await, &[1, 2]).await.unwrap();
        let purge = Edit::Purge(TrashSelection::UniqueIds([again[0].clone()].into()));
        assert_eq!(edit(store, purge).await, 1);
        fixture.clock().advance(8 * DAY);
        deliver(store, "me", b"new\n").await;
        let _ = quit(open_view(store, &view).await, &[1]).await.unwrap();
        assert_eq!(trashed(store).await, 1);
    });
}

#[tokio::test]
async fn an_operator_sees_in_which_folder_a_message_is_and_was() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        three(store).await;
        let view = classic("Junk,Spam");
        let ids = listed(store, &view).await;
        fixture.move_to("Junk", &ids[0]);
        fixture.move_to("Spam", &ids[1]);
        let me = mailbox("me");
        let places = |kept: &[KeptMessage]| {
            let place = |one: &KeptMessage| (one.unique_id.clone(), one.folder.to_string());
            let mut places: Vec<_> = kept.iter().map(place).collect();
            places.sort();
            places
        };
        let folders = ["Junk", "Spam", "INBOX"].map(str::to_owned);
        let mut expected: Vec<_> = ids.iter().cloned().zip(folders).collect();
        expected.sort();
        assert_eq!(places(&store.messages(&me).await.unwrap()), expected);
        let _ = quit(open_view(store, &view).await, &[1, 2, 3])
            .await
            .unwrap();
        assert_eq!(places(&store.trash(&me).await.unwrap()), expected);
    });
}

#[tokio::test]
async fn a_new_device_is_spared_what_is_in_shown_folders() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let view = |name: &str| showing("Junk", device(name, policy(Keep::UntilDeleted)));
        open_view(store, &view("phone")).await;
        three(store).await;
        let ids = listed(store, &view("phone")).await;
        fixture.move_to("Junk", &ids[0]);
        let tablet = ViewName::of_device("tablet");
        let (device, access, show) = (tablet.clone(), Access::Full, Show::New);
        assert_eq!(
            edit(
                store,
                Edit::AddDevice {
                    device,
                    access,
                    show
                }
            )
            .await,
            3
        );
        assert_eq!(listed(store, &view("tablet")).await, [[0; 0]; 0]);
        assert_eq!(edit(store, Edit::ResetDevice(tablet.clone())).await, 3);
        assert_eq!(listed(store, &view("tablet")).await, ids);
        // When it goes, what waited for it alone goes, too.
        end(open_view(store, &view("phone")).await, &[], &[1, 2]).await;
        let (device, policy) = (tablet, policy(Keep::UntilDeleted));
        assert_eq!(edit(store, Edit::RemoveDevice { device, policy }).await, 2);
        assert_eq!(listed(store, &view("phone")).await, ids[2..]);
    });
}

#[tokio::test]
async fn until_fetched_counts_in_every_folder() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let view = showing("Junk", shared(policy(Keep::UntilFetched)));
        three(store).await;
        let ids = listed(store, &view).await;
        fixture.move_to("Junk", &ids[0]);
        fixture.move_to("Archive", &ids[1]);
        end(open_view(store, &view).await, &[1], &[]).await;
        assert_eq!(
            (listed(store, &view).await, trashed(store).await),
            (ids[2..].to_vec(), 1)
        );
        end(open_view(store, &only("Archive", &view)).await, &[1], &[]).await;
        assert_eq!(trashed(store).await, 2);
        let count = open_view(store, &only("Archive", &view))
            .await
            .messages()
            .count();
        assert_eq!(count, 0);
    });
}
