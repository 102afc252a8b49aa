//! What RETR sends is what was delivered, and its size is what was announced.

use restante_maildrop::{Maildrop, ReadError};
use restante_proto::{Mode, Part};

use crate::{
    fixture::{Fixture, mailbox, on_every_store},
    session::{deliver, number, open, quit, retrieve, size, unique_ids},
};

/// Messages that have broken servers, and what a client must hold after RETR.
pub(crate) const TRICKY: &[(&str, &[u8], &[u8])] = &[
    ("LF ends", b"a: b\n\nc\n", b"a: b\r\n\r\nc\r\n"),
    ("CRLF ends", b"a: b\r\n\r\nc\r\n", b"a: b\r\n\r\nc\r\n"),
    (
        "mixed ends",
        b"a: b\r\n\nc\n\r\nd\n",
        b"a: b\r\n\r\nc\r\n\r\nd\r\n",
    ),
    ("no final end", b"a: b\n\nc", b"a: b\r\n\r\nc\r\n"),
    ("lone CR", b"a: b\n\nc\rd\n", b"a: b\r\n\r\nc\rd\r\n"),
    ("lone CR last", b"a: b\n\nc\r", b"a: b\r\n\r\nc\r\r\n"),
    ("CR CR LF", b"a: b\n\nc\r\r\n", b"a: b\r\n\r\nc\r\r\n"),
    ("empty", b"", b""),
    ("only a line end", b"\n", b"\r\n"),
    ("dots", b".\n..\n...\n.a\n", b".\r\n..\r\n...\r\n.a\r\n"),
    ("a lone dot at the end", b"a\n.", b"a\r\n.\r\n"),
    ("termination inside", b"a\r\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n"),
    (
        "NULs",
        b"\0a: b\0\n\n\0\n\0",
        b"\0a: b\0\r\n\r\n\0\r\n\0\r\n",
    ),
    (
        "8-bit",
        b"Subject: \xe9\xff\n\n\x80\n",
        b"Subject: \xe9\xff\r\n\r\n\x80\r\n",
    ),
    ("no header end", b"a: b\n", b"a: b\r\n"),
];

#[tokio::test]
async fn prj_size_3_tricky_messages_arrive_octet_for_octet() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for (_, body, _) in TRICKY {
            deliver(store, "me", body).await;
        }
        let session = open(store, "me").await;
        for (at, (name, _, expected)) in (1..).zip(TRICKY) {
            let got = retrieve(&session, number(at)).await.unwrap();
            assert_eq!(got, *expected, "{name}");
            // R1939-SIZE-1, R1939-SIZE-2
            assert_eq!(
                size(&session, number(at)).await.0,
                expected.len() as u64,
                "{name}"
            );
        }
    });
}

#[tokio::test]
async fn a_long_message_with_long_lines_arrives() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        let line = [&[b'x'; 100_000][..], b"\n"].concat();
        let body = line.repeat(20);
        deliver(store, "me", &body).await;
        let session = open(store, "me").await;
        let got = retrieve(&session, number(1)).await.unwrap();
        assert_eq!(got, [&[b'x'; 100_000][..], b"\r\n"].concat().repeat(20));
    });
}

#[tokio::test]
async fn a_message_is_read_as_often_as_asked_for() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        deliver(store, "me", b"a: b\n\none\ntwo\n").await;
        let session = open(store, "me").await;
        session.read_ahead(number(1)..=number(1));
        for _ in 0..3 {
            // PRJ-RETR-6: reading changes nothing that POP3 can see.
            let got = retrieve(&session, number(1)).await.unwrap();
            assert_eq!(got, b"a: b\r\n\r\none\r\ntwo\r\n");
            let top = session.read(number(1), Mode::Plain, Part::Top { lines: 1 });
            assert_eq!(top.await.unwrap().octets.0, got.len() as u64);
        }
        drop(session);
        let session = open(store, "me").await;
        assert_eq!(unique_ids(&session).len(), 1);
    });
}

#[tokio::test]
async fn prj_lock_6_a_vanished_message_is_gone_and_shifts_no_other() {
    on_every_store!(|fixture| {
        let store = fixture.store();
        for body in ["1\n", "22\n", "333\n"] {
            deliver(store, "me", body.as_bytes()).await;
        }
        let session = open(store, "me").await;
        let ids = unique_ids(&session);
        fixture.vanish(&mailbox("me"), 1);
        let gone = session.read(number(2), Mode::Plain, Part::Whole).await;
        assert!(matches!(gone, Err(ReadError::Gone)));
        // It gets a size, once and for all, and the others keep theirs.
        let _ = size(&session, number(2)).await;
        assert_eq!(unique_ids(&session), ids);
        assert_eq!(retrieve(&session, number(3)).await.unwrap(), b"333\r\n");
        // Gone already counts as deleted.
        let _ = quit(session, &[2, 3]).await.unwrap();
        let session = open(store, "me").await;
        assert_eq!(unique_ids(&session), ids[..1]);
    });
}
