//! Sizes that names tell, rightly and wrongly.

use restante_maildrop::{Maildrop, ReadError, disk::Call};
use restante_proto::{Messages, Mode, Octets};
use rustix::io::Errno;

use super::{crlf_form, place};
use crate::session::{number, numbers, open, retrieve, size};

#[tokio::test]
async fn mdir_store_5_a_size_in_the_name_spares_reading_the_message() {
    let place = place();
    for at in 1..=20 {
        place.put(&format!("cur/{at}.x,S=5,W=6:2,"), "a: b\n");
    }
    let session = open(&place.store, "me").await;
    session.measure(Mode::Plain, number(20)).await.unwrap();
    assert_eq!(place.opened(), 0);
    for at in numbers(&session) {
        assert_eq!(session.messages().octets(at, Mode::Plain), Some(Octets(6)));
    }
}

#[tokio::test]
async fn sizes_are_measured_once() {
    let place = place();
    for at in 1..=20 {
        place.put(&format!("cur/{at}.x:2,"), "a: b\n");
    }
    let session = open(&place.store, "me").await;
    assert_eq!(session.messages().octets(number(1), Mode::Plain), None);
    session.measure(Mode::Plain, number(5)).await.unwrap();
    assert_eq!(place.opened(), 5);
    assert_eq!(session.messages().octets(number(6), Mode::Plain), None);
    session.measure(Mode::Plain, number(20)).await.unwrap();
    session.measure(Mode::Plain, number(20)).await.unwrap();
    assert_eq!(place.opened(), 20);
    drop(session);
    for store in [place.store.clone(), place.restarted()] {
        place.faults.restart();
        let session = open(&store, "me").await;
        session.measure(Mode::Plain, number(20)).await.unwrap();
        assert_eq!(size(&session, number(20)).await, Octets(6));
        assert_eq!(place.opened(), 0);
    }
}

/// PRJ-SIZE-5: a lie in the name is found out before the message is sent; the session that has
/// told it does without the message, and the next one tells the truth.
#[tokio::test]
async fn prj_size_5_a_lie_in_a_name_costs_one_session_one_message() {
    let place = place();
    let small: &[u8] = b"a: b\nc\n";
    let large = b"0123456789\n".repeat(10_000);
    let crlf: &[u8] = b"a: b\r\nc\r\n";
    // S= is right, W= is not: too small, too large, as if there were no line ends to change.
    let lies = [
        (small, small.len() as u64 + 1),
        (small, small.len() as u64 + 3),
        (small, small.len() as u64),
        (&large, large.len() as u64 + 1),
        (&large, 2 * large.len() as u64),
        (crlf, crlf.len() as u64 + 1),
    ];
    for (at, (content, wire)) in (1..).zip(lies) {
        place.put(
            &format!("cur/{at}.x,S={},W={wire}:2,", content.len()),
            content,
        );
    }
    place.put("cur/9.x,S=5,W=6:2,", "a: b\n");
    let session = open(&place.store, "me").await;
    for (at, (_, wire)) in (1..).zip(lies) {
        assert_eq!(size(&session, number(at)).await.0, wire);
        for _ in 0..2 {
            let refused = retrieve(&session, number(at)).await;
            assert!(
                matches!(refused, Err(ReadError::Changed)),
                "{at}: {refused:?}"
            );
        }
        assert_eq!(size(&session, number(at)).await.0, wire);
    }
    assert_eq!(retrieve(&session, number(7)).await.unwrap(), b"a: b\r\n");
    drop(session);
    for store in [place.store.clone(), place.restarted()] {
        let next = open(&store, "me").await;
        for (at, (content, _)) in (1..).zip(lies) {
            let expected = crlf_form(content);
            assert_eq!(size(&next, number(at)).await.0, expected.len() as u64);
            assert_eq!(retrieve(&next, number(at)).await.unwrap(), expected);
        }
    }
}

/// Dovecot's `W=` does not count the end that the last line lacks; RETR sends it.
#[tokio::test]
async fn dovecot_sizes_of_messages_without_a_final_line_end() {
    let place = place();
    place.put("cur/1.x,S=7,W=8:2,", "a: b\n\nc");
    let session = open(&place.store, "me").await;
    let told = size(&session, number(1)).await.0;
    match retrieve(&session, number(1)).await {
        Ok(got) => assert_eq!(got.len() as u64, told),
        Err(error) => assert!(matches!(error, ReadError::Changed)),
    }
    drop(session);
    let next = open(&place.store, "me").await;
    assert_eq!(
        retrieve(&next, number(1)).await.unwrap(),
        b"a: b\r\n\r\nc\r\n"
    );
    assert_eq!(size(&next, number(1)).await.0, 11);
}

/// `S=` is not believed where the file says otherwise: then `W=` means nothing.
#[tokio::test]
async fn prj_size_6_the_stored_size_is_not_the_size() {
    let place = place();
    place.put("cur/1.x,S=4,W=6:2,", "a: b\n");
    place.put("cur/2.x,S=5:2,", "a: b\n");
    place.put("cur/3.x,S=99,W=99:2,", "a: b\n");
    let session = open(&place.store, "me").await;
    for at in 1..=3 {
        assert_eq!(retrieve(&session, number(at)).await.unwrap(), b"a: b\r\n");
        assert_eq!(size(&session, number(at)).await.0, 6);
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_measured_has_no_octets_and_the_others_are_served() {
    let place = place();
    for at in 1..=3 {
        place.put(&format!("cur/{at}.x:2,"), "a: b\n");
    }
    let session = open(&place.store, "me").await;
    std::fs::remove_file(place.path("cur/2.x:2,")).unwrap();
    session.measure(Mode::Plain, number(3)).await.unwrap();
    let sizes = (1..=3).map(|at| session.messages().octets(number(at), Mode::Plain));
    assert_eq!(
        sizes.collect::<Vec<_>>(),
        [Some(Octets(6)), Some(Octets(0)), Some(Octets(6))]
    );
    assert!(retrieve(&session, number(2)).await.is_err());
    assert_eq!(retrieve(&session, number(3)).await.unwrap(), b"a: b\r\n");
}

/// What another session has open is no fact about a message: its size is 0 to nobody.
#[tokio::test]
async fn a_lack_of_descriptors_or_memory_gives_no_message_a_size() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        for call in [Call::OpenRead, Call::Read, Call::Facts] {
            let place = place();
            for at in 1..=3 {
                place.put(&format!("cur/{at}.x:2,"), "a: b\n");
            }
            let session = open(&place.store, "me").await;
            place.faults.spoil(call, "2.x:2,", errno);
            let failed = session.measure(Mode::Plain, number(3)).await;
            let Err(ReadError::Temporary(why)) = failed else {
                panic!("{failed:?}");
            };
            assert_eq!(why.raw_os_error(), Some(errno.raw_os_error()));
            let octets = session.messages().octets(number(2), Mode::Plain);
            assert_eq!(octets, None);
            place.faults.heal();
            assert_eq!(size(&session, number(2)).await, Octets(6));
            assert_eq!(retrieve(&session, number(2)).await.unwrap(), b"a: b\r\n");
        }
    }
}

#[tokio::test]
async fn a_session_that_stops_waiting_for_sizes_can_ask_again() {
    let place = place();
    for at in 1..=700 {
        place.put(&format!("cur/{at}.x:2,"), "a: b\n");
    }
    let session = open(&place.store, "me").await;
    {
        let measuring = session.measure(Mode::Plain, number(700));
        let soon = std::time::Duration::from_micros(100);
        let _ = tokio::time::timeout(soon, measuring).await;
    }
    assert_eq!(size(&session, number(700)).await, Octets(6));
    assert_eq!(retrieve(&session, number(1)).await.unwrap(), b"a: b\r\n");
}
