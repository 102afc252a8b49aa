//! Packed messages.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::maildir::measure;

const MESSAGE: &[u8] = b"From: a\n\n.dot\nlast line without an end";

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

fn zstd(octets: &[u8]) -> Vec<u8> {
    zstd::encode_all(octets, 3).unwrap()
}

fn stored(octets: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(octets).unwrap();
    Arc::new(file)
}

fn unpack(octets: &[u8], packing: Packing) -> io::Result<Vec<u8>> {
    let disk = Disk::default();
    let mut unpacker = Unpacker::new(&disk, stored(octets), octets.len() as u64, packing)?;
    let mut unpacked = Vec::new();
    let mut room = [0; 7];
    loop {
        let count = unpacker.read(&mut room)?;
        unpacked.extend_from_slice(&room[..count]);
        if count < room.len() {
            return Ok(unpacked);
        }
    }
}

fn measured(octets: &[u8]) -> io::Result<(u64, Packing)> {
    let found = measure::measure(&Disk::default(), &stored(octets), octets.len() as u64, None)?;
    Ok((found.octets.0, found.packing))
}

#[test]
fn packed_messages_are_recognised_by_their_first_octets() {
    assert_eq!(packing(&gzip(MESSAGE)), Packing::Gzip);
    assert_eq!(packing(&zstd(MESSAGE)), Packing::Zstd);
    for plain in [MESSAGE, b"", b"\x1F", b"\x28\xB5\x2F", b" \x1F\x8B"] {
        assert_eq!(packing(plain), Packing::Plain);
    }
}

#[test]
fn sizes_are_measured_after_unpacking() {
    let wire = MESSAGE.len() as u64 + 3 + 2;
    assert_eq!(measured(MESSAGE).unwrap(), (wire, Packing::Plain));
    assert_eq!(measured(&gzip(MESSAGE)).unwrap(), (wire, Packing::Gzip));
    assert_eq!(measured(&zstd(MESSAGE)).unwrap(), (wire, Packing::Zstd));
    assert_eq!(measured(&gzip(b"")).unwrap(), (0, Packing::Gzip));
}

#[test]
fn several_members_and_frames_are_one_message() {
    let (head, body) = MESSAGE.split_at(9);
    let members = [gzip(head), gzip(body)].concat();
    assert_eq!(unpack(&members, Packing::Gzip).unwrap(), MESSAGE);
    let frames = [zstd(head), zstd(body)].concat();
    assert_eq!(unpack(&frames, Packing::Zstd).unwrap(), MESSAGE);
}

#[test]
fn what_only_begins_like_a_packed_message_is_served_as_it_is() {
    for octets in [
        &b"\x1F\x8B"[..],
        b"\x1F\x8B no gzip\n",
        b"\x28\xB5\x2F\xFD no zstd\n",
    ] {
        assert_eq!(measured(octets).unwrap().1, Packing::Plain);
    }
}

#[test]
fn what_is_cut_off_or_damaged_is_no_message() {
    let text = b"a line of text that repeats itself\n".repeat(10_000);
    for (packed, packing) in [(gzip(&text), Packing::Gzip), (zstd(&text), Packing::Zstd)] {
        assert!(unpack(&packed[..packed.len() - 1], packing).is_err());
        assert!(measured(&packed[..packed.len() - 1]).is_err());
    }
    let mut damaged = gzip(&text);
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    assert!(
        unpack(&damaged, Packing::Gzip).is_err(),
        "the checksum is looked at"
    );
}

/// 10 MB that unpack to more than 1 GiB, and a frame that asks for a window of 2 GiB.
#[test]
fn a_bomb_is_given_up_with_bounded_memory() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..=UNPACKED_OCTETS_MAX >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let error = measured(&bomb).unwrap_err();
    assert!(
        error.to_string().contains("more than any message"),
        "{error}"
    );

    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    for _ in 0..20 {
        encoder.write_all(&zeros).unwrap();
    }
    let greedy = encoder.finish().unwrap();
    assert!(unpack(&greedy, Packing::Zstd).is_err());
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(23).unwrap();
    encoder.write_all(&zeros).unwrap();
    assert!(unpack(&encoder.finish().unwrap(), Packing::Zstd).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_comes_back(octets: Vec<u8>) {
        prop_assert_eq!(unpack(&gzip(&octets), Packing::Gzip).unwrap(), octets.clone());
        prop_assert_eq!(unpack(&zstd(&octets), Packing::Zstd).unwrap(), octets.clone());
        prop_assert_eq!(unpack(&octets, Packing::Plain).unwrap(), octets);
    }

    #[test]
    fn any_octets_are_measured_without_panic(octets: Vec<u8>, magic in 0..3) {
        let magic = [&b""[..], GZIP, ZSTD][usize::try_from(magic).unwrap()];
        let _ = measured(&[magic, &octets].concat());
    }
}
