//! The octets of the cache's files.

use std::collections::BTreeMap;

use proptest::prelude::*;
use restante_proto::Form;

use super::*;
use crate::maildir::columns::{Measurement, Packing};

/// A row that owns its name.
#[derive(Clone, Debug)]
struct Owned {
    name: Vec<u8>,
    folder: Folder,
    stored: Stored,
    size: Size,
}

impl Owned {
    fn row(&self) -> Row<'_> {
        Row {
            folder: self.folder,
            name: FileName::new(&self.name).unwrap(),
            stored: self.stored,
            size: self.size,
            saved: None,
        }
    }
}

fn owned(name: &str, inode: u64) -> Owned {
    Owned {
        name: name.as_bytes().to_vec(),
        folder: Folder::CUR,
        stored: Stored {
            inode,
            octets: 100,
            modified: -7,
        },
        size: Size::Claimed(Octets(103)),
    }
}

fn encoder(rows: &[Owned]) -> RowsEncoder {
    let mut encoder = RowsEncoder::default();
    rows.iter().for_each(|row| encoder.push(row.row()));
    encoder
}

fn messages(rows: &[Owned]) -> Vec<u8> {
    encode_messages(&encoder(rows)).0
}

fn stamps() -> [Stamp; 2] {
    let stamp = |inode, trusted| Stamp {
        inode,
        modified: 1_700_000_000_000_000_001,
        changed: -5,
        trusted,
    };
    [stamp(7, true), stamp(8, false)]
}

fn shown(row: Row<'_>) -> String {
    format!("{:?} {:?}", row.name.as_bytes(), Row { saved: None, ..row })
}

/// Puts the right checksums into a file whose content was changed.
fn resealed(mut file: Vec<u8>) -> Vec<u8> {
    let head = match file.starts_with(MESSAGES) {
        true => MESSAGES_HEAD,
        false => CHANGES_HEAD,
    };
    seal(&mut file, head);
    file
}

fn sample() -> Vec<Owned> {
    let mut rows = vec![
        owned("1.M1P1.host,S=100,W=103:2,S", 11),
        owned("1.M1P1.host,S=100,W=103", 12),
        owned("2.x", 5),
        owned("3.x", 6),
    ];
    rows[2].size = Size::Unknown;
    rows[2].folder = Folder::NEW;
    rows[3].size = Size::Measured(Measurement {
        octets: Octets(1000),
        form: Form::Wire,
        packing: Packing::Zstd,
    });
    rows
}

#[test]
fn what_is_written_is_read() {
    let rows = sample();
    let (file, edition) = encode_messages(&encoder(&rows));
    let (read, read_edition) = decode_messages(&file, 0).unwrap();
    assert_eq!((read_edition, read.len()), (edition, rows.len()));
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(shown(read.row(index)), shown(row.row()));
    }
    let columns = read.to_columns().build();
    assert_eq!(columns.row(2).saved, Some(2));
    let changes = encode_changes(edition, &stamps(), &[0, 3], &encoder(&rows[..1]));
    let read = decode_changes(&changes, edition, 0).unwrap();
    assert_eq!(read.stamps, Stamps::new(stamps().to_vec()));
    assert_eq!(read.removed, [0, 3]);
    assert_eq!(shown(read.added.row(0)), shown(rows[0].row()));
}

#[test]
fn empty_files_are_read() {
    let (file, edition) = encode_messages(&RowsEncoder::default());
    assert_eq!(decode_messages(&file, 0).unwrap().0.len(), 0);
    let changes = encode_changes(
        edition,
        &[Stamp::default(); 2],
        &[],
        &RowsEncoder::default(),
    );
    assert_eq!(decode_changes(&changes, edition, 0).unwrap().added.len(), 0);
}

#[test]
fn damage_at_every_octet_is_noticed() {
    let (file, edition) = encode_messages(&encoder(&sample()));
    let changes = encode_changes(edition, &stamps(), &[1], &encoder(&sample()[2..]));
    for at in 0..file.len() {
        for bits in [0x01, 0x80, 0xFF] {
            let mut damaged = file.clone();
            damaged[at] ^= bits;
            assert!(decode_messages(&damaged, 0).is_err(), "octet {at}");
        }
        assert!(decode_messages(&file[..at], 0).is_err(), "cut at {at}");
    }
    for at in 0..changes.len() {
        for bits in [0x01, 0x80, 0xFF] {
            let mut damaged = changes.clone();
            damaged[at] ^= bits;
            assert!(decode_changes(&damaged, edition, 0).is_err(), "octet {at}");
        }
        assert!(decode_changes(&changes[..at], edition, 0).is_err());
    }
    let longer = [&file[..], b"x"].concat();
    assert!(decode_messages(&longer, 0).is_err());
}

#[test]
fn alien_files_are_told_apart() {
    let (file, edition) = encode_messages(&encoder(&sample()));
    let other = encode_messages(&encoder(&sample()[1..])).1;
    let changes = encode_changes(other, &stamps(), &[], &encoder(&[]));
    assert_eq!(decode_messages(b"", 0).unwrap_err(), FormatError::Alien);
    assert_eq!(
        decode_messages(&changes, 0).unwrap_err(),
        FormatError::Alien
    );
    let wrong = decode_changes(&changes, edition, 0).unwrap_err();
    assert_eq!(wrong, FormatError::OtherEdition);
    let mut newer = file;
    newer[16] = 2;
    let error = decode_messages(&resealed(newer), 0).unwrap_err();
    assert_eq!(error, FormatError::Version(2));
}

/// Whoever may write into a mailbox can also write right checksums.
#[test]
fn prj_store_1_rows_that_make_no_sense_are_refused_whatever_the_checksum() {
    let refused = |rows: &[Owned]| {
        let error = decode_messages(&messages(rows), 0).unwrap_err();
        assert!(matches!(error, FormatError::Row(_)), "{error}");
    };
    let (one, two) = (owned("1.a", 1), owned("2.a", 2));
    refused(&[two.clone(), one.clone()]);
    refused(&[one.clone(), one.clone()]);
    let mut impossible = one.clone();
    for wire in [99, 203, u64::MAX - 1] {
        impossible.size = Size::Claimed(Octets(wire));
        refused(&[impossible.clone()]);
    }
    impossible.size = Size::Unmeasurable;
    refused(&[impossible]);
    let rows = [owned("1.abcdef", 1), two];
    let good = messages(&rows);
    let at = good
        .windows(8)
        .position(|name| name == b"1.abcdef")
        .unwrap();
    for name in [b"../../xy", b"1.a/cdef", b"1.a\0cdef", b".abcdefg"] {
        let mut escaping = good.clone();
        escaping[at..at + 8].copy_from_slice(name);
        let error = decode_messages(&resealed(escaping), 0).unwrap_err();
        assert_eq!(error, FormatError::Row(0));
    }
    // A folder, a size's kind, and an end of a name that do not exist.
    for (at, octet) in [(48, 2), (50, 3), (50, 0x40), (50, 0x13), (40, 200), (40, 0)] {
        let mut wrong = good.clone();
        wrong[at] = octet;
        assert!(
            decode_messages(&resealed(wrong), 0).is_err(),
            "{at} {octet}"
        );
    }
}

#[test]
fn removals_and_stamps_that_make_no_sense_are_refused() {
    let (_, edition) = encode_messages(&encoder(&sample()));
    for removed in [&[4][..], &[1, 1], &[2, 1], &[0, u32::MAX]] {
        let file = encode_changes(edition, &stamps(), removed, &encoder(&[]));
        assert_eq!(
            decode_changes(&file, edition, 0).unwrap_err(),
            FormatError::Head
        );
    }
    let file = encode_changes(edition, &stamps(), &[], &encoder(&[]));
    for at in [48 + 24, 48 + 40, 96 + 47] {
        let mut wrong = file.clone();
        wrong[at] = 2;
        let error = decode_changes(&resealed(wrong), edition, 0).unwrap_err();
        assert_eq!(error, FormatError::Head);
    }
}

#[test]
fn the_seeds_of_fuzzing_reach_behind_the_checks() {
    let messages = include_bytes!("../../../../../../fuzz/seeds/cache_file/messages");
    let file = resealed([MESSAGES, &messages[..]].concat());
    assert_eq!(decode_messages(&file, 0).unwrap().0.len(), 4);
    let changes = include_bytes!("../../../../../../fuzz/seeds/cache_file/changes");
    let file = resealed([CHANGES, &changes[..]].concat());
    let edition = Edition {
        body: 0xAAAA,
        head: 0xBBBB,
        rows: 4,
    };
    assert_eq!(decode_changes(&file, edition, 0).unwrap().added.len(), 2);
}

prop_compose! {
    fn any_size(octets: u64)(kind in 0..5, wire in octets..=octets.saturating_mul(2), form in 0..3_usize)
        -> Size
    {
        let form = [Form::Stored, Form::Crlf, Form::Wire][form];
        let measured = |packing| Size::Measured(Measurement { octets: Octets(wire), form, packing });
        match kind {
            0 => Size::Unknown,
            1 => Size::Claimed(Octets(wire)),
            2 => measured(Packing::Gzip),
            3 => measured(Packing::Zstd),
            _ => measured(Packing::Plain),
        }
    }
}

prop_compose! {
    fn any_row()(octets in 0..1_000_000_u64)(
        name in proptest::collection::vec(any::<u8>(), 1..40),
        inode in any::<u64>(),
        modified in any::<i64>(),
        cur in any::<bool>(),
        size in any_size(octets),
        octets in Just(octets),
    ) -> Option<Owned> {
        FileName::new(&name)?;
        let folder = if cur { Folder::CUR } else { Folder::NEW };
        Some(Owned { name, folder, stored: Stored { inode, octets, modified }, size })
    }
}

fn in_order(rows: Vec<Option<Owned>>) -> Vec<Owned> {
    let mut ordered = BTreeMap::new();
    for row in rows.into_iter().flatten() {
        let order = row.row().name.order();
        let key = (
            order.seconds,
            order.microseconds,
            order.base.to_vec(),
            row.stored.inode,
        );
        ordered.insert(key, row);
    }
    ordered.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_rows_come_back(rows in proptest::collection::vec(any_row(), 0..20).prop_map(in_order)) {
        let file = messages(&rows);
        let (read, _) = decode_messages(&file, 0).unwrap();
        prop_assert_eq!(read.len(), rows.len());
        for (index, row) in rows.iter().enumerate() {
            prop_assert_eq!(shown(read.row(index)), shown(row.row()));
        }
    }

    #[test]
    fn any_octets_are_read_without_panic(octets: Vec<u8>, changes: bool, count in 0_u8..4) {
        // As far as the content, past the checksums.
        let mut file = if changes { CHANGES.to_vec() } else { MESSAGES.to_vec() };
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&[count, 0, 0, 0]);
        file.extend_from_slice(&octets);
        file.resize(file.len().max(CHANGES_HEAD), 0);
        let file = resealed(file);
        let edition = Edition { body: 0, head: 0, rows: 2 };
        let _ = (decode_messages(&file, 0), decode_changes(&file, edition, 0), decode_messages(&octets, 0));
    }
}
