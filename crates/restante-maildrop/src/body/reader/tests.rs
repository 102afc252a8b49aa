//! Bodies, piece by piece.

use std::{
    io::{Seek, Write},
    os::unix::fs::FileExt,
};

use restante_proto::{Form, MultiLineEncoder, Octets, Part, SizeMismatch};

use super::*;

fn file(octets: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(octets).unwrap();
    file
}

fn body(rest: Rest, head: Option<&'static [u8]>, octets: u64) -> Body {
    Body {
        octets: Octets(octets),
        head: head.map(Bytes::from_static),
        rest,
        form: Form::Wire,
    }
}

fn of_file(file: File, range: Range<u64>) -> Body {
    let octets = range.end - range.start;
    let rest = Rest::File {
        file: Arc::new(file),
        range,
        disk: Disk::default(),
    };
    body(rest, None, octets)
}

async fn all(mut reader: BodyReader) -> Result<Vec<u8>, ReadError> {
    let mut octets = b"before".to_vec();
    loop {
        let before = octets.len();
        let count = reader.next(&mut octets).await?;
        assert_eq!(octets.len(), before + count);
        assert!(count <= PIECE_OCTETS);
        if count == 0 {
            assert_eq!(reader.next(&mut octets).await?, 0, "the end stays the end");
            return Ok(octets.split_off(6));
        }
    }
}

#[tokio::test]
async fn a_file_is_read_without_moving_its_position() {
    let octets: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
    let mut file = file(&octets);
    file.rewind().unwrap();
    let again = file.try_clone().unwrap();
    let read = all(of_file(file, 5..299_999).into_reader()).await.unwrap();
    assert_eq!(read, octets[5..299_999]);
    assert_eq!((&again).stream_position().unwrap(), 0);
}

#[tokio::test]
async fn the_head_comes_first() {
    let rest = Rest::Bytes(Bytes::from_static(b"rest"));
    let read = all(body(rest, Some(b"head "), 9).into_reader()).await;
    assert_eq!(read.unwrap(), b"head rest");
    let long: &[u8] = vec![b'x'; 3 * PIECE_OCTETS + 1].leak();
    let rest = Rest::Bytes(Bytes::from_static(long));
    let read = all(body(rest, None, 0).into_reader()).await.unwrap();
    assert_eq!(read.len(), long.len());
}

#[tokio::test]
async fn chunks_of_any_size_and_their_failure_are_passed_on() {
    let chunk = |octets: &'static [u8]| Ok(Bytes::from_static(octets));
    let long = vec![b'x'; PIECE_OCTETS + 1].leak();
    let chunks = [chunk(b""), chunk(b"one"), chunk(b""), chunk(long)];
    let rest = Rest::Chunks(Box::pin(futures_util::stream::iter(chunks)));
    let read = all(body(rest, None, 0).into_reader()).await.unwrap();
    assert_eq!(read.len(), 3 + PIECE_OCTETS + 1);
    let broken = [chunk(b"one"), Err(ReadError::Gone)];
    let rest = Rest::Chunks(Box::pin(futures_util::stream::iter(broken)));
    let read = all(body(rest, None, 0).into_reader()).await;
    assert!(matches!(read, Err(ReadError::Gone)));
}

/// PRJ-ML-8: what changes while it is sent must not end like a whole message.
#[tokio::test]
async fn prj_ml_8_a_file_that_changes_while_it_is_read_ends_with_an_error() {
    let content = vec![b'x'; 200_000];
    type Change = fn(&File);
    let changes: [(&str, Change); 4] = [
        ("shorter", |file| file.set_len(100_000).unwrap()),
        ("empty", |file| file.set_len(0).unwrap()),
        ("longer", |file| file.write_all_at(b"y", 200_000).unwrap()),
        ("other octets", |file| {
            file.write_all_at(b"y", 199_999).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        }),
    ];
    for (what, change) in changes {
        let file = file(&content);
        let other = file.try_clone().unwrap();
        let mut reader = of_file(file, 0..200_000).into_reader();
        let mut octets = Vec::new();
        assert_eq!(reader.next(&mut octets).await.unwrap(), PIECE_OCTETS);
        change(&other);
        let ended = all(reader).await;
        assert!(
            matches!(ended, Err(ReadError::Changed)),
            "{what}: {ended:?}"
        );
    }
}

/// Should the file have been cut before it was opened, or its size have been told wrongly, the
/// encoder's count tells.
#[tokio::test]
async fn prj_ml_8_more_or_fewer_octets_than_announced_are_not_ended() {
    for (announced, sent) in [(10, 9), (10, 11)] {
        let body = body(
            Rest::Bytes(Bytes::from(vec![b'x'; sent - 2])),
            None,
            announced,
        );
        let mut encoder = MultiLineEncoder::new(Form::Stored, Part::Whole, Some(body.octets));
        let octets = all(body.into_reader()).await.unwrap();
        let mut wire = Vec::new();
        let _ = encoder.encode(&octets, &mut wire);
        let before = wire.len();
        let refused: Result<Octets, SizeMismatch> = encoder.finish(&mut wire);
        assert!(refused.is_err());
        assert!(!wire[before..].ends_with(b".\r\n"));
    }
}

#[cfg(feature = "testing")]
#[tokio::test]
async fn a_disk_that_fails_while_it_is_read_is_told() {
    use crate::disk::{Fault, Faults};

    for at in 0..4 {
        let faults = Arc::new(Faults::input_output(Fault::Once(at)));
        let rest = Rest::File {
            file: Arc::new(file(&[b'x'; 100_000])),
            range: 0..100_000,
            disk: Disk::with_faults(Arc::clone(&faults)),
        };
        let read = all(body(rest, None, 100_000).into_reader()).await;
        let reached = faults.count() > at;
        assert_eq!(
            matches!(read, Err(ReadError::Temporary(_))),
            reached,
            "call {at}"
        );
    }
}
