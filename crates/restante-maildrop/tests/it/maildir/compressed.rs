//! Messages that Dovecot has compressed.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use restante_maildrop::{Maildrop, ReadError, Rest};
use restante_proto::{Mode, Part};

use super::{crlf_form, place};
use crate::session::{number, open, retrieve, size};

pub(super) fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_messages_are_served_as_what_they_stand_for() {
    let place = place();
    let small: &[u8] = b"a: b\n\n.dot\nno final end";
    let large = b"a line of a long message, which repeats itself\n".repeat(20_000);
    let mut expected = Vec::new();
    for (at, content) in (1..).step_by(2).zip([small, &large]) {
        // As Dovecot names them: S= is the size before compression; some scripts add a Z.
        let (octets, wire) = (content.len(), crlf_form(content).len());
        place.put(
            &format!("cur/{at}.gz,S={octets},W={wire}:2,SZ"),
            gzip(content),
        );
        let zstd = zstd::encode_all(content, 3).unwrap();
        place.put(&format!("cur/{}.zst:2,S", at + 1), zstd);
        expected.extend([crlf_form(content), crlf_form(content)]);
    }
    for store in [place.store.clone(), place.restarted()] {
        let session = open(&store, "me").await;
        for (at, expected) in (1..).zip(&expected) {
            assert!(
                retrieve(&session, number(at)).await.unwrap() == *expected,
                "{at}"
            );
            assert_eq!(size(&session, number(at)).await.0, expected.len() as u64);
        }
        // A long one is unpacked as it is sent.
        let body = session
            .read(number(3), Mode::Plain, Part::Whole)
            .await
            .unwrap();
        assert!(matches!(body.rest, Rest::Chunks(_)));
    }
}

#[tokio::test]
async fn a_compressed_file_whose_name_tells_its_own_size_is_not_believed() {
    let place = place();
    let packed = gzip(b"a: b\n\nc\n");
    let octets = packed.len();
    place.put(&format!("cur/1.x,S={octets},W={octets}:2,"), packed);
    let session = open(&place.store, "me").await;
    let refused = retrieve(&session, number(1)).await;
    assert!(matches!(refused, Err(ReadError::Changed)), "{refused:?}");
    drop(session);
    let next = open(&place.store, "me").await;
    assert_eq!(
        retrieve(&next, number(1)).await.unwrap(),
        b"a: b\r\n\r\nc\r\n"
    );
}

#[tokio::test]
async fn a_damaged_compressed_message_is_refused_and_the_others_are_served() {
    let place = place();
    let text = b"a line of text that repeats itself\n".repeat(10_000);
    let mut damaged = gzip(&text);
    damaged.truncate(damaged.len() / 2);
    place.put("cur/1.x:2,", damaged);
    place.put("cur/2.x:2,", "a: b\n");
    let session = open(&place.store, "me").await;
    session.measure(Mode::Plain, number(2)).await.unwrap();
    assert_eq!(size(&session, number(1)).await.0, 0);
    assert!(retrieve(&session, number(1)).await.is_err());
    assert_eq!(retrieve(&session, number(2)).await.unwrap(), b"a: b\r\n");
}
