//! Mail comes in.

use bytes::Bytes;
use restante_maildrop::Maildrop;
use restante_maildrop::{DeliverError, Durable, Recipient, Store};
use restante_proto::Messages;

use crate::{
    fixture::{Fixture, mailbox, on_every_store},
    session::{Pieces, deliver, number, open, retrieve, to, unique_ids},
};

#[tokio::test]
async fn one_body_reaches_many_recipients_each_with_its_prefix() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let recipients: Vec<Recipient> = ["me", "you", "me", "them"]
            .iter()
            .zip(1..)
            .map(|(name, at)| Recipient {
                mailbox: mailbox(name),
                prefix: format!("Delivered-To: {at}\n").into(),
            })
            .collect();
        let results = store
            .deliver(&recipients, Pieces::of(b"Subject: all\r\n\r\nhello\r\n", 3))
            .await;
        assert_eq!(results.len(), 4);
        for result in results {
            let _: Durable = result.unwrap();
        }
        for (name, copies) in [("me", &["1", "3"][..]), ("you", &["2"]), ("them", &["4"])] {
            let session = open(store, name).await;
            let mut got = Vec::new();
            for at in 1..=session.messages().count() {
                got.push(retrieve(&session, number(at)).await.unwrap());
            }
            // Two copies of one delivery are in no order.
            got.sort();
            let expected: Vec<Vec<u8>> = copies
                .iter()
                .map(|copy| format!("Delivered-To: {copy}\r\nSubject: all\r\n\r\nhello\r\n"))
                .map(String::into_bytes)
                .collect();
            assert_eq!(got, expected, "{name}");
        }
    });
}

#[tokio::test]
async fn one_recipients_failure_undoes_no_other() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "full", b"before\n").await;
        fixture.refuse_deliveries(&mailbox("full"));
        let results = store
            .deliver(&[to("me"), to("full"), to("you")], Pieces::of(b"1\n", 1))
            .await;
        assert!(results[0].is_ok() && results[2].is_ok());
        assert!(matches!(results[1], Err(DeliverError::Temporary(_))));
        for (name, count) in [("me", 1), ("full", 1), ("you", 1)] {
            let session = open(store, name).await;
            assert_eq!(session.messages().count(), count, "{name}");
        }
    });
}

#[tokio::test]
async fn a_body_that_breaks_off_is_delivered_to_nobody() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let body = b"Subject: half\n\nhalf a mess".repeat(20_000);
        let results = store
            .deliver(&[to("me"), to("me")], Pieces::breaking_off(&body, 9999))
            .await;
        assert_eq!(results.len(), 2);
        for result in results {
            assert!(matches!(result, Err(DeliverError::Source(_))));
        }
        assert_eq!(open(store, "me").await.messages().count(), 0);
    });
}

#[tokio::test]
async fn nobody_to_deliver_to_is_no_failure() {
    on_every_store!(|fixture| {
        let results = fixture.store().deliver(&[], Pieces::of(b"1\n", 1)).await;
        assert!(results.is_empty());
    });
}

#[tokio::test]
async fn delivery_needs_no_session_and_disturbs_none() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let session = open(store, "me").await;
        for _ in 0..3 {
            deliver(store, "me", b"1\n").await;
        }
        assert!(unique_ids(&session).is_empty());
        drop(session);
        assert_eq!(open(store, "me").await.messages().count(), 3);
    });
}

#[tokio::test]
async fn a_delivery_to_a_place_that_is_missing_can_be_tried_again() {
    on_every_store!(|fixture| {
        let absent = Recipient {
            mailbox: fixture.absent(),
            prefix: Bytes::new(),
        };
        let recipients = [absent, to("new")];
        let results = fixture.store().deliver(&recipients, Pieces::of(b"1\n", 1));
        let results = results.await;
        assert!(matches!(results[0], Err(DeliverError::Temporary(_))));
        assert!(results[1].is_ok());
    });
}

#[tokio::test]
async fn an_empty_prefix_and_an_empty_body_make_an_empty_message() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let recipient = Recipient {
            mailbox: mailbox("me"),
            prefix: Bytes::new(),
        };
        let results = store.deliver(&[recipient], Pieces::of(b"", 1)).await;
        assert!(results[0].is_ok());
        let session = open(store, "me").await;
        assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"");
    });
}
