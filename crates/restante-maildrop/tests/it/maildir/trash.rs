//! What rests in the trash goes in time, whether or not anything is deleted again.

use std::{sync::Arc, time::Duration};

use restante_maildrop::{
    Clock, Edit, Store, TrashSelection,
    disk::{Call, Disk, Fault, Faults},
};

use crate::{
    faults::begin_without_ids,
    fixture::{UNDELETE_FOR, mailbox, maildir},
    session::{deliver, open, quit},
};

struct Place {
    place: tempfile::TempDir,
    clock: Clock,
    faults: Arc<Faults>,
}

impl Place {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            place: begin_without_ids(),
            clock: Clock::by_hand(now.unwrap()),
            faults: Arc::new(Faults::input_output(Fault::Never)),
        }
    }

    fn store(&self) -> restante_maildrop::Maildir {
        let disk = Disk::with_faults(Arc::clone(&self.faults));
        maildir(self.place.path(), self.clock.clone(), disk)
    }

    async fn left(&self) -> usize {
        let restore = Edit::Restore(TrashSelection::All);
        let store = self.store();
        store.edit(&mailbox("me"), restore).await.unwrap().count
    }
}

#[tokio::test]
async fn what_was_deleted_once_goes_in_time_when_mail_comes_or_a_session_ends() {
    for occasion in ["delivery", "session", "session of a new process", "expiry"] {
        let place = Place::new();
        let mut store = place.store();
        let session = open(&store, "me").await;
        assert_eq!(quit(session, &[1, 2]).await.unwrap().removed, 2);
        place.clock.advance(UNDELETE_FOR + Duration::from_secs(1));
        if occasion.ends_with("process") {
            store = place.store();
        }
        match occasion {
            "delivery" => deliver(&store, "me", b"new\n").await,
            "expiry" => {
                let expire = Edit::Expire { arrived_before: 0 };
                let _ = store.edit(&mailbox("me"), expire).await.unwrap();
            }
            _ => {
                let _ = quit(open(&store, "me").await, &[]).await.unwrap();
            }
        }
        assert_eq!(place.left().await, 0, "{occasion}");
    }
}

/// Promise 3.
#[tokio::test]
async fn a_poll_of_an_unchanged_mailbox_does_not_look_into_the_trash() {
    let place = Place::new();
    let store = place.store();
    let session = open(&store, "me").await;
    let _ = quit(session, &[1, 2]).await.unwrap();
    place.faults.set_ahead(Duration::from_secs(10));
    let _ = quit(open(&store, "me").await, &[]).await.unwrap();
    place.faults.restart();
    for _ in 0..3 {
        let _ = quit(open(&store, "me").await, &[]).await.unwrap();
    }
    assert_eq!(place.faults.count_of(Call::ReadDirectory), 0);
}
