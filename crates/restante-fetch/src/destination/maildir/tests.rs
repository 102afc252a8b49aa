//! What goes into a file must come back out of it.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn incoming() -> Incoming {
    Incoming {
        account: "work".into(),
        unique_id: Some(b"../../etc/passwd".to_vec()),
        announced: Some(3),
        arrival: SystemTime::now(),
    }
}

async fn put(maildir: &mut Maildir, pieces: &[&[u8]]) -> Ticket {
    maildir.begin(&incoming()).await.unwrap();
    for piece in pieces {
        maildir.write(piece).await.unwrap();
    }
    maildir.finish().await.unwrap()
}

fn files(path: &Path, folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(path.join(folder)).into_iter().flatten();
    let file = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// A file with a CRLF holds the message as it came; in any other LF stands for CRLF.
fn as_sent(stored: &[u8]) -> Vec<u8> {
    if stored.windows(2).any(|pair| pair == b"\r\n") {
        return stored.to_vec();
    }
    let octets = stored.iter().flat_map(|octet| match octet {
        b'\n' => vec![b'\r', b'\n'],
        other => vec![*other],
    });
    octets.collect()
}

#[tokio::test]
async fn prj_fetch_1_nothing_is_seen_before_it_is_published_and_then_it_has_its_sizes() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("a/Mail");
    let mut maildir = Maildir::new(&path);
    put(&mut maildir, &[b"one\r", b"\ntwo\r\n"]).await;
    put(&mut maildir, &[b"three\r\n"]).await;
    maildir.prepare().await.unwrap();
    assert!(files(&path, "new").is_empty());
    let published = maildir.publish().await;
    assert!(published.iter().all(Result::is_ok) && published.len() == 2);
    let mut new = files(&path, "new");
    new.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(new[0].1, b"one\ntwo\n");
    assert!(new[0].0.ends_with(",S=8,W=10"), "{}", new[0].0);
    assert_eq!(new[1].1, b"three\n");
    assert!(files(&path, "tmp").is_empty());
    assert!(maildir.publish().await.is_empty());
}

#[tokio::test]
async fn what_breaks_off_leaves_no_trace() {
    let home = TempDir::new().unwrap();
    let mut maildir = Maildir::new(home.path());
    maildir.begin(&incoming()).await.unwrap();
    maildir.write(&[b'x'; 300_000]).await.unwrap();
    assert_eq!(files(home.path(), "tmp").len(), 1);
    maildir.abandon().await;
    assert!(files(home.path(), "tmp").is_empty());
    maildir.begin(&incoming()).await.unwrap();
    maildir.write(&[b'x'; 300_000]).await.unwrap();
    put(&mut maildir, &[b"whole\r\n"]).await;
    drop(maildir);
    assert!(files(home.path(), "tmp").is_empty() && files(home.path(), "new").is_empty());
}

#[tokio::test]
async fn after_a_crash_a_message_is_found_wherever_it_is() {
    let home = TempDir::new().unwrap();
    let path = home.path();
    let mut maildir = Maildir::new(path);
    let in_tmp = put(&mut maildir, &[b"in tmp\r\n"]).await;
    maildir.prepare().await.unwrap();
    // The process dies.
    std::mem::forget(maildir);
    let mut maildir = Maildir::new(path);
    assert_eq!(maildir.recover(&in_tmp).await.unwrap(), Recovered::Arrived);
    let new = files(path, "new");
    assert_eq!(new.len(), 1);
    assert!(files(path, "tmp").is_empty());
    // Asked again, it is there; so it is when a program has taken it elsewhere.
    assert_eq!(maildir.recover(&in_tmp).await.unwrap(), Recovered::Arrived);
    for place in ["cur", ".Work/cur"] {
        fs::create_dir_all(path.join(place)).unwrap();
        let name = new[0].0.clone();
        let from = if place == "cur" { "new/" } else { "cur/" }.to_owned();
        let from = path.join(from + &name + if place == "cur" { "" } else { ":2,S" });
        fs::rename(from, path.join(place).join(name + ":2,S")).unwrap();
        let mut maildir = Maildir::new(path);
        assert_eq!(
            maildir.recover(&in_tmp).await.unwrap(),
            Recovered::Arrived,
            "{place}"
        );
    }
    fs::remove_dir_all(path.join(".Work")).unwrap();
    let mut maildir = Maildir::new(path);
    assert_eq!(maildir.recover(&in_tmp).await.unwrap(), Recovered::Lost);
}

#[tokio::test]
async fn half_a_file_and_a_strangers_ticket_are_lost_messages() {
    let home = TempDir::new().unwrap();
    let mut maildir = Maildir::new(home.path());
    let ticket = put(&mut maildir, &[b"whole\r\n"]).await;
    std::mem::forget(maildir);
    let (name, _) = files(home.path(), "tmp").remove(0);
    fs::write(home.path().join("tmp").join(name), "who").unwrap();
    let mut maildir = Maildir::new(home.path());
    assert_eq!(maildir.recover(&ticket).await.unwrap(), Recovered::Lost);
    for ticket in [
        "",
        "maildir1 ../../x 1 1",
        "maildir1 .hidden 1 1",
        "maildir1 a 1",
        "maildir1 a 1 1 1",
        "maildir2 a 1 1",
        "maildir1 a x 1",
    ] {
        let ticket = Ticket::new(ticket).unwrap();
        assert_eq!(maildir.recover(&ticket).await.unwrap(), Recovered::Lost);
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_says_so() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("file");
    fs::write(&path, "no directory").unwrap();
    let mut maildir = Maildir::new(&path);
    let error = maildir.begin(&incoming()).await.unwrap_err();
    assert_eq!(error.scope(), crate::destination::Scope::Place);
    // A Maildir that vanishes between two messages.
    let path = home.path().join("Mail");
    let mut maildir = Maildir::new(&path);
    put(&mut maildir, &[b"one\r\n"]).await;
    fs::remove_dir_all(&path).unwrap();
    maildir.begin(&incoming()).await.unwrap();
    maildir.write(b"two\r\n").await.unwrap();
    assert!(maildir.finish().await.is_err());
    assert!(maildir.prepare().await.is_err());
    assert!(maildir.publish().await.is_empty());
}

#[test]
fn lone_line_ends_are_kept_in_large_messages_too() {
    let home = TempDir::new().unwrap();
    let before = b"line\r\n".repeat(100_000);
    for odd in ["a\nb\r\n", "a\r\r\nb\r\n", "a\rb\r\n"] {
        let path = home.path().join("file");
        let mut content = Content::new(path.clone(), LineEnds::Lf);
        let sent = [&before[..], odd.as_bytes()].concat();
        for piece in sent.chunks(7777) {
            if content.push(piece) {
                content.spill().unwrap();
            }
        }
        let (stored, octets) = content.finish().unwrap();
        let file = fs::read(&path).unwrap();
        assert_eq!((file.len() as u64, octets), (stored, sent.len() as u64));
        assert!(as_sent(&file) == sent, "{odd:?}");
        content.remove();
        assert!(!path.exists());
    }
}

proptest! {
    // PRJ-FETCH-12
    #[test]
    fn prj_fetch_12_every_message_can_be_had_back_octet_for_octet(
        octets in proptest::collection::vec(prop_oneof![3 => Just(b"\r\n".to_vec()), 1 => Just(b"\r".to_vec()), 1 => Just(b"\n".to_vec()), 3 => Just(b"a".to_vec())], 0..30),
        cuts in proptest::collection::vec(any::<bool>(), 30),
    ) {
        let home = TempDir::new().unwrap();
        let mut octets = octets.concat();
        // What comes over the line ends with a line end.
        octets.extend_from_slice(b"\r\n");
        for line_ends in [LineEnds::Lf, LineEnds::Crlf] {
            let path = home.path().join("file");
            let mut content = Content::new(path.clone(), line_ends);
            for (octet, cut) in octets.iter().zip(cuts.iter().cycle()) {
                content.push(&[*octet]);
                if *cut {
                    content.spill().unwrap();
                }
            }
            content.finish().unwrap();
            prop_assert_eq!(as_sent(&fs::read(&path).unwrap()), octets.clone());
            content.remove();
        }
    }
}
