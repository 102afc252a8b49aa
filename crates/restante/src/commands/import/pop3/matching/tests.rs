//! Numbers never decide, and doubt is never resolved by guessing.

use super::*;

const A: [u8; 32] = [1; 32];
const B: [u8; 32] = [2; 32];
const C: [u8; 32] = [3; 32];

fn here(header: Option<[u8; 32]>, octets: u64, whole: [u8; 32]) -> Here {
    Here {
        base: b"base".to_vec(),
        unique_id: Some(b"id".to_vec()),
        octets,
        digests: Digests { header, whole },
    }
}

fn there(header: Header, octets: u64, whole: Option<[u8; 32]>) -> There {
    There {
        octets,
        unique_id: b"id".to_vec(),
        header,
        whole,
    }
}

#[test]
fn a_header_and_a_size_that_are_unique_are_enough_in_any_order() {
    let here = [here(Some(A), 1, A), here(Some(B), 2, B)];
    let there = [
        there(Header::Digest(C), 3, None),
        there(Header::Digest(B), 2, None),
        there(Header::Digest(A), 1, None),
    ];
    assert_eq!(doubtful(&here, &there), [0; 0]);
    assert_eq!(pair(&here, &there), [None, Some(1), Some(0)]);
}

#[test]
fn the_same_number_and_size_are_nothing() {
    let here = [here(Some(A), 1, A)];
    let there = [there(Header::Digest(B), 1, None)];
    assert_eq!(doubtful(&here, &there), [0; 0]);
    assert_eq!(pair(&here, &there), [None]);
}

#[test]
fn a_header_that_several_have_or_another_size_asks_for_the_whole() {
    let mine = [
        here(Some(A), 1, A),
        here(Some(A), 1, B),
        here(Some(C), 9, C),
    ];
    let theirs = |wholes: [Option<[u8; 32]>; 3]| {
        [
            there(Header::Digest(A), 1, wholes[0]),
            there(Header::Digest(A), 1, wholes[1]),
            there(Header::Digest(C), 7, wholes[2]),
        ]
    };
    assert_eq!(doubtful(&mine, &theirs([None; 3])), [0, 1, 2]);
    assert_eq!(pair(&mine, &theirs([None; 3])), [None; 3]);
    assert_eq!(
        pair(&mine, &theirs([Some(B), Some(A), Some(C)])),
        [Some(1), Some(0), Some(2)]
    );
    // Another message with the same header is another message.
    let other = Some([9; 32]);
    assert_eq!(pair(&mine, &theirs([other, None, other])), [None; 3]);
    // One there, two here.
    let there = [there(Header::Digest(A), 1, None)];
    assert_eq!(doubtful(&mine, &there), [0]);
}

#[test]
fn equal_messages_are_paired_in_order_and_each_once() {
    let here = [here(Some(A), 1, B), here(Some(A), 1, B)];
    let there = |header| there(header, 1, Some(B));
    let there = [
        there(Header::Digest(A)),
        there(Header::Unknown),
        there(Header::None),
    ];
    assert_eq!(doubtful(&here, &there), [0, 1, 2]);
    assert_eq!(pair(&here, &there), [Some(0), Some(1), None]);
    assert_eq!(doubtful(&[], &there), [0; 0]);
}

#[test]
fn listings_are_equal_if_numbers_sizes_and_ids_are() {
    let mine = [here(None, 1, A), here(None, 2, B)];
    let theirs = [
        there(Header::Unknown, 1, None),
        there(Header::Unknown, 2, None),
    ];
    assert!(are_equal(&mine, &theirs));
    assert!(!are_equal(&mine[..1], &theirs));
    let mut other = theirs.clone();
    other[1].octets = 3;
    assert!(!are_equal(&mine, &other));
    other = theirs;
    other[0].unique_id = b"Id".to_vec();
    assert!(!are_equal(&mine, &other));
    let mut unsettled = mine;
    unsettled[0].unique_id = None;
    assert!(!are_equal(
        &unsettled,
        &[
            there(Header::Unknown, 1, None),
            there(Header::Unknown, 2, None)
        ]
    ));
}
