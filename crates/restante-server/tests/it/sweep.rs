//! Mail leaves mailboxes that nobody opens any more.

use std::time::Duration;

use restante_maildrop::{
    Clock, Keep, Maildrop as _, Marks, Policy, Store as _, View, memory::MemoryStore,
};
use restante_proto::{MessageNumber, MessageSet};
use restante_server::ServerSettings;

use crate::setup::{Running, mailbox};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Ends a session that has retrieved the first message.
async fn retrieve_first(store: &MemoryStore, view: &View) {
    let maildrop = store.open(view, Duration::ZERO).await.unwrap();
    let mut retrieved = MessageSet::new();
    retrieved.insert(MessageNumber::FIRST);
    let marks = Marks {
        retrieved,
        ..Marks::default()
    };
    let _ = maildrop.update(marks).await.unwrap();
}

/// Lets time pass for the server and for the store, and what is due be done.
async fn pass(clock: &Clock, time: Duration) {
    clock.advance(time);
    tokio::time::sleep(time).await;
}

/// A clock, a store that obeys it, a server's settings, and how Ann's program opens her mailbox.
fn keeping_mail_for_30_days() -> (Clock, MemoryStore, ServerSettings, View) {
    let clock = Clock::by_hand(Duration::from_secs(1_700_000_000));
    let policy = Policy {
        keep: Keep::For(30 * DAY),
        ..Policy::default()
    };
    let settings = ServerSettings {
        policy,
        ..ServerSettings::default()
    };
    let view = View {
        policy,
        ..View::shared(mailbox("ann"))
    };
    (
        clock.clone(),
        MemoryStore::with_clock(clock),
        settings,
        view,
    )
}

#[tokio::test(start_paused = true)]
async fn what_is_due_leaves_although_nobody_comes_and_the_rest_stays() {
    let (clock, store, settings, view) = keeping_mail_for_30_days();
    let running = Running::keeping(settings, store.clone());
    for letter in [&b"1\n"[..], b"2\n"] {
        running.deliver("ann", letter).await;
        running.deliver("ben", letter).await;
    }
    retrieve_first(&store, &view).await;
    pass(&clock, 2 * MINUTE).await;
    for day in 1..30 {
        pass(&clock, DAY).await;
        assert_eq!(running.count("ann"), 2, "day {day}");
    }
    // Time is believed when a second look, a day later, has confirmed it.
    pass(&clock, DAY).await;
    pass(&clock, DAY).await;
    pass(&clock, MINUTE).await;
    assert_eq!(running.count("ann"), 1, "retrieved and old");
    assert_eq!(running.count("ben"), 2, "nobody has fetched it");
    running.ended().await;
}

/// After weeks the first look at the clock proves nothing; the second, a day later, does.
#[tokio::test(start_paused = true)]
async fn a_server_that_stood_still_for_weeks_lets_go_what_was_due_meanwhile() {
    let (clock, store, settings, view) = keeping_mail_for_30_days();
    let before = Running::keeping(settings.clone(), store.clone());
    before.deliver("ann", b"1\n").await;
    before.deliver("ann", b"2\n").await;
    retrieve_first(&store, &view).await;
    pass(&clock, 2 * MINUTE).await;
    before.ended().await;
    clock.advance(50 * DAY);
    let after = Running::keeping(settings, store.clone());
    pass(&clock, 2 * MINUTE).await;
    assert_eq!(after.count("ann"), 2, "the clock may be wrong");
    // Nothing is taken from under a session, however old it is.
    let session = store.open(&view, Duration::ZERO).await.unwrap();
    pass(&clock, DAY).await;
    assert_eq!(after.count("ann"), 2, "somebody is looking");
    drop(session);
    pass(&clock, DAY).await;
    assert_eq!(after.count("ann"), 1);
    after.ended().await;
}
