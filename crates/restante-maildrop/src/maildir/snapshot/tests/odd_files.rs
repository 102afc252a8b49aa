//! What is listed, and what is not, whatever lies in the directories.

use super::*;

#[test]
fn mdir_store_2_messages_are_the_files_of_new_and_cur_oldest_first() {
    let place = place();
    for file in [
        "new/10.c",
        "new/9.b:2,S",
        "cur/8.a:2,",
        "cur/11.d",
        "cur/.hidden",
        "tmp/1.x",
    ] {
        place.put(file, "a: b\n");
    }
    // MDIR-STORE-6: a folder of a Maildir++ is no part of it.
    fs::create_dir_all(place.path(".Junk/new")).unwrap();
    place.put(".Junk/new/7.junk", "a: b\n");
    let found = place.load_first(LATER);
    assert_eq!(
        listed(&found),
        ["cur/8.a:2,", "new/9.b:2,S", "new/10.c", "cur/11.d"]
    );
    assert_eq!(ids(&found), ["8.a", "9.b", "10.c", "11.d"]);
    // POP moves no message from new/ to cur/.
    assert!(place.path("new/10.c").exists());
}

/// Dovecot refused the whole mailbox when one entry of it could not be opened.
#[test]
fn dovecot_whole_mailbox_refused_for_one_bad_file() {
    let place = place();
    place.put("new/1.good", "a: b\n");
    place.put("cur/2.good:2,S", "a: b\n");
    fs::create_dir(place.path("cur/3.directory")).unwrap();
    symlink(place.path("new/1.good"), place.path("cur/4.link")).unwrap();
    symlink("nowhere", place.path("new/5.dangling\n\u{1b}[31m")).unwrap();
    let _socket = UnixListener::bind(place.path("new/6.socket")).unwrap();
    let mut odd = vec![
        "3.directory",
        "4.link",
        "5.dangling\\n\\x1b[31m",
        "6.socket",
        "7.pipe",
    ];
    let pipe = Command::new("mkfifo")
        .arg(place.path("new/7.pipe"))
        .status();
    assert!(pipe.unwrap().success());
    let root = fs::metadata(place.directory.path()).unwrap().uid() == 0;
    if root {
        let (device, kind) = (place.path("cur/8.device"), ["c", "1", "3"]);
        // Containers forbid it.
        let made = Command::new("mknod").arg(device).args(kind).status();
        if made.is_ok_and(|made| made.success()) {
            odd.push("8.device");
        }
    }
    let (found, lines) = said(|| place.load_first(LATER));
    assert_eq!(listed(&found), ["new/1.good", "cur/2.good:2,S"]);
    assert_eq!(lines.len(), odd.len(), "{lines:?}");
    for name in odd {
        let about = lines.iter().filter(|line| line.contains(name)).count();
        assert_eq!(about, 1, "{name}: {lines:?}");
    }
    let place_name = place.directory.path().display().to_string();
    assert!(lines.iter().all(|line| line.contains(&place_name)));
    // A delivery makes the directory be listed again: nothing is said twice.
    place.put("cur/9.good", "a: b\n");
    let (found, lines) = said(|| place.load_again(&found, LATER));
    assert_eq!((found.columns().len(), lines.len()), (3, 0));
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_until_it_can() {
    let place = place();
    place.put("cur/1.a", "a: b\n");
    place.put("cur/2.secret", "a: b\n");
    let secret = place.path("cur/2.secret");
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    place.faults.obey_modes();
    let (found, lines) = said(|| place.load_first(LATER));
    assert_eq!((found.columns().len(), lines.len()), (1, 1));
    assert!(lines[0].contains("2.secret"), "{lines:?}");
    // To be allowed leaves no trace in the directory's times.
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.load_again(&found, LATER).columns().len(), 2);
    assert_eq!(place.load_first(LATER).columns().len(), 2);
}

#[test]
fn one_file_under_two_names_is_one_message_and_two_files_of_one_name_are_two() {
    let place = place();
    place.put("new/1.a", "a: b\n");
    fs::hard_link(place.path("new/1.a"), place.path("cur/1.a:2,S")).unwrap();
    place.put("cur/2.b:2,", "a: b\n");
    place.put("new/2.b", "c: d\ne: f\n");
    let found = place.load_first(LATER);
    assert_eq!(found.columns().len(), 3);
    assert_eq!(listed(&found)[0], "cur/1.a:2,S");
    let all = ids(&found);
    assert_eq!(all[0], "1.a");
    assert_ne!(all[1], all[2]);
    // Who has which id does not change with the flags or the time of day.
    place.rename("new/2.b", "cur/2.b:2,S");
    fs::remove_file(place.path("new/1.a")).unwrap();
    let again = place.load_again(&found, LATER);
    assert_eq!(ids(&again), all);
    assert_eq!(ids(&place.load_first(LATER)), all);
}

#[test]
fn files_of_one_name_keep_their_order_when_one_of_them_was_known() {
    for known_first in [true, false] {
        let place = place();
        let (known, other) = match known_first {
            true => ("tmp/first", "tmp/second"),
            false => ("tmp/second", "tmp/first"),
        };
        place.put("tmp/first", "a: b\n");
        place.put("tmp/second", "c: d\n");
        place.rename(known, "cur/1.a:2,");
        let found = place.load_first(LATER);
        place.rename(other, "new/1.a");
        let again = place.load_again(&found, LATER);
        let inodes = again.columns().rows().map(|row| row.stored.inode);
        assert!(inodes.is_sorted());
        let (fresh, lines) = said(|| place.load_first(LATER));
        assert_eq!((fresh.columns().len(), lines.len()), (2, 0), "{lines:?}");
        assert_eq!(ids(&fresh), ids(&again));
        assert_eq!(ids(&fresh).iter().filter(|id| *id == "1.a").count(), 1);
    }
}

#[test]
fn a_file_system_whose_directories_tell_other_inodes_is_served_all_the_same() {
    let place = place();
    place.faults.set_strange_inodes(true);
    place.put("cur/1.a:2,", "a: b\n");
    place.put("new/2.b", "a: b\n");
    let mut found = place.load_first(Duration::ZERO);
    for _ in 0..3 {
        found = place.load_again(&found, Duration::ZERO);
        assert_eq!(ids(&found), ["1.a", "2.b"]);
    }
    place.rename("new/2.b", "cur/2.b:2,S");
    place.put("new/3.c", "a: b\n");
    let (found, lines) = said(|| place.load_again(&found, Duration::ZERO));
    assert_eq!(
        (ids(&found), lines.len()),
        (ids(&place.load_first(LATER)), 0)
    );
    assert_eq!(ids(&found), ["1.a", "2.b", "3.c"]);
}
