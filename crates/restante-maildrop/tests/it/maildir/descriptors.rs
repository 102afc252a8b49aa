//! How many descriptors sessions hold: the limit of open files is computed from it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use restante_maildrop::{Maildir, Maildrop, View, ViewName};
use restante_proto::{Mode, Part};

use super::{descriptors_of, place};
use crate::{
    fixture::mailbox,
    session::{number, open, open_view, quit, retrieve},
};

/// Two files of one base name, one that moves, one that is large, and one that is gone.
#[tokio::test]
async fn a_session_never_holds_more_descriptors_than_it_is_said_to() {
    let place = place();
    for name in ["cur/1.a:2,", "new/1.a", "cur/2.b:2,", "cur/3.c:2,"] {
        place.put(name, "a: b\n");
    }
    place.put("cur/4.d:2,", format!("a: b\n\n{}\n", "x".repeat(200_000)));
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, path) = (Arc::clone(&most), place.directory.path().to_owned());
    // The call that follows may open one more.
    place.faults.watch(move || {
        seen.fetch_max(descriptors_of(&path) + 1, Ordering::Relaxed);
    });
    let session = open(&place.store, "me").await;
    assert_eq!(place.descriptors(), 4, "at rest");
    session.measure(Mode::Plain, number(5)).await.unwrap();
    place.rename("cur/2.b:2,", "cur/2.b:2,S");
    let large = session.read(number(5), Mode::Plain, Part::Whole).await;
    let mut reader = large.unwrap().into_reader();
    reader.next(&mut Vec::new()).await.unwrap();
    retrieve(&session, number(3)).await.unwrap();
    std::fs::remove_file(place.path("cur/3.c:2,")).unwrap();
    retrieve(&session, number(4)).await.unwrap_err();
    let _ = quit(session, &[1, 3, 4, 5]).await.unwrap();
    drop(reader);
    // A thread that opens a message ahead at the same moment: the file, and a directory that is
    // listed to find it.
    const OPENING_AHEAD: usize = 2;
    let most = u64::try_from(most.load(Ordering::Relaxed) + OPENING_AHEAD).unwrap();
    assert_eq!(most, Maildir::FILES_PER_SESSION);
    place.faults.watch(|| {});
    assert_eq!(place.descriptors(), 0);
}

/// However many sessions read ahead, they hold a fixed number of descriptors for it.
#[tokio::test]
async fn all_sessions_together_hold_a_bounded_number_of_messages_open_ahead() {
    let place = place();
    for at in 1..=5 {
        place.put(&format!("cur/{at}.a:2,"), "x".repeat(100_000));
    }
    place.faults.set_cold(true);
    let shared = usize::try_from(Maildir::FILES_SHARED).unwrap();
    let mut sessions = Vec::new();
    for at in 0..shared / 4 + 5 {
        let view = View {
            name: ViewName::new(&format!("device-{at}")).unwrap(),
            ..View::shared(mailbox("me"))
        };
        let session = open_view(&place.store, &view).await;
        retrieve(&session, number(1)).await.unwrap();
        sessions.push(session);
    }
    let at_rest = place.descriptors();
    place.faults.restart();
    for session in &sessions {
        session.read_ahead(number(2)..=number(5));
    }
    while place.opened() < sessions.len() * 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The last of them may still be being looked at.
    while place.descriptors() > at_rest + shared {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(place.descriptors(), at_rest + shared);
    // Whoever got no place is served all the same.
    for session in &sessions {
        let got = retrieve(session, number(2)).await.unwrap();
        assert_eq!(got.len(), 100_002);
    }
    drop(sessions);
    // What they have learned is written behind their backs.
    while place.descriptors() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
