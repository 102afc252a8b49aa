//! Names of folders, tags, and lists of folders.

use super::*;

fn name(text: &str) -> String {
    FolderName::new(text).unwrap().as_str().to_owned()
}

#[test]
fn a_folder_is_called_as_an_imap_server_calls_it() {
    for (written, on_disk) in [
        ("Junk", "Junk"),
        ("Lists/rust", "Lists.rust"),
        ("Lists.rust", "Lists.rust"),
        ("INBOX.Junk", "Junk"),
        ("inbox/Junk", "Junk"),
        ("Entwürfe", "Entw&APw-rfe"),
        ("R&D", "R&-D"),
        // RFC 3501 §5.1.3.
        ("~peter/mail/台北/日本語", "~peter.mail.&U,BTFw-.&ZeVnLIqe-"),
        ("😀", "&2D3eAA-"),
    ] {
        assert_eq!(name(written), on_disk);
        // As it stands on the disk it is right, too.
        assert_eq!(name(on_disk), on_disk);
        let folder = FolderName::new(written).unwrap();
        assert_eq!(FolderName::of_directory(&folder.directory()), Some(folder));
    }
    assert_eq!(
        FolderName::new("Entw&APw-rfe").unwrap().to_string(),
        "Entwürfe"
    );
    for inbox in ["INBOX", "inbox", "Inbox"] {
        assert!(FolderName::new(inbox).unwrap().is_inbox());
    }
}

#[test]
fn prj_store_1_a_folders_name_is_never_a_path() {
    for text in [
        "",
        ".",
        "..",
        "/",
        "../x",
        "a/../b",
        "a//b",
        "a..b",
        ".Junk",
        "/etc",
        "a/",
        "a.",
        "a\0b",
        "a\nb",
        "INBOX.",
        "INBOX.INBOX",
        "INBOX..x",
        "INBOX/../x",
        "\u{85}",
    ] {
        assert!(FolderName::new(text).is_err(), "{text:?}");
    }
    assert!(FolderName::new(&"a".repeat(254)).is_ok());
    assert!(FolderName::new(&"a".repeat(255)).is_err());
    assert!(FolderName::new(&"ü".repeat(100)).is_err());
    for directory in [
        &b"."[..],
        b"..",
        b"Junk",
        b".a/b",
        b".\xff",
        b".&APw",
        b".a.b.",
    ] {
        assert_eq!(FolderName::of_directory(directory), None);
    }
}

#[test]
fn what_is_not_modified_utf_7_is_taken_by_its_characters() {
    // No unit is whole; a digit that is none; bits left over.
    for (text, on_disk) in [
        ("&AP-", "&-AP-"),
        ("&*-", "&-*-"),
        ("&APx-", "&-APx-"),
        ("a&", "a&-"),
    ] {
        assert_eq!(name(text), on_disk);
    }
}

#[test]
fn a_tag_is_what_every_program_shows() {
    assert!(Tag::new("[junk] ").is_ok());
    assert!(Tag::new(&"x".repeat(64)).is_ok());
    for text in ["", " x", "a,b", "a\r\nX: y", "ü", "\t"] {
        assert_eq!(Tag::new(text), Err(FolderError::Tag), "{text:?}");
    }
    assert!(Tag::new(&"x".repeat(65)).is_err());
}

#[test]
fn folders_are_written_as_they_are_read() {
    for text in [
        "none",
        "Junk",
        "Junk=[junk] ",
        "Lists.rust,Junk=[junk] ,Entwürfe",
    ] {
        let folders: ShownFolders = text.parse().unwrap();
        assert_eq!(folders.to_string(), text);
    }
    let refused = |text: &str| text.parse::<ShownFolders>().unwrap_err();
    assert_eq!(refused("Junk,inbox"), FolderError::Inbox);
    assert_eq!(refused("a/b,a.b"), FolderError::Twice("a.b".to_owned()));
    assert_eq!(refused("a,,b"), FolderError::Name(String::new()));
    assert_eq!(refused("a= "), FolderError::Tag);
    assert_eq!(refused("a,b,c,d,e,f,g,h,i"), FolderError::TooMany);
}
