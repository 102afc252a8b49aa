//! What an export says is what it does, and what the other server then lists is what we list.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::{
    Maildir, MaildirSettings, Survey,
    disk::{Disk, Fault, Faults},
    foreign::{DovecotUidls, Duplicates, Later},
    maildir::survey::tests::{Place, dovecot},
};

const THREE: &[&str] = &["cur/1.a:2,S", "cur/2.b,S=14:2,", "new/3.c"];
const LIST: &str = "3 V16 N9 G00\n1 :1.a\n2 :2.b,S=14\n4 :3.c\n8 :7.gone\n";
const SIZES: &str = "/3 9 16\n1.a:2,S 14 1:16:0\n2.b,S=14:2, 14 2:16:0\n3.c:2, 14 4:16:0\n";

/// A mailbox that came from there, and has new mail since.
fn came_from(origin: &Origin) -> Place {
    let place = Place::new(THREE);
    match origin {
        Origin::Dovecot(_) => place.write("dovecot-uidlist", LIST),
        Origin::Courier => place.write("courierpop3dsizelist", SIZES),
    }
    let survey = place.store.survey(&place.mailbox(), origin, Later::Kept);
    place.import(survey.unwrap().unwrap());
    place.write("new/1700000001.d,S=14,W=17", "Subject: x\n\nx\n");
    place.write("cur/1700000002.e:2,S", "Subject: \u{e9}\n\nx");
    place
}

fn plan(place: &Place, origin: &Origin) -> Export {
    let plan = place
        .store
        .plan_export(&place.mailbox(), origin, Earlier::Kept);
    plan.unwrap().unwrap()
}

fn export(place: &Place, origin: &Origin) -> Export {
    let export = place.store.export(&place.mailbox(), origin, Earlier::Kept);
    export.unwrap().unwrap()
}

fn refusal(place: &Place, origin: &Origin) -> ExportError {
    let mailbox = place.mailbox();
    let before = place.files();
    let planned = place.store.plan_export(&mailbox, origin, Earlier::Kept);
    let planned = planned.unwrap_err().to_string();
    let made = place.store.export(&mailbox, origin, Earlier::Kept);
    let made = made.unwrap_err();
    assert_eq!(made.to_string(), planned);
    assert_eq!(place.files(), before, "nothing was changed");
    made
}

/// What the other server lists, by its file: what an import would take over.
fn listing(place: &Place, origin: &Origin) -> Vec<String> {
    let survey = place
        .store
        .survey(&place.mailbox(), origin, Later::Replaced);
    let survey = survey.unwrap().unwrap();
    assert_eq!(survey.arrived, 0, "{survey:?}");
    let ids = survey.unique_ids.into_iter();
    ids.map(|(_, id)| String::from_utf8(id).unwrap()).collect()
}

fn list(place: &Place, origin: &Origin) -> String {
    fs::read_to_string(place.path().join(origin.file_name())).unwrap()
}

#[test]
fn a_plan_changes_nothing_and_an_export_makes_it_true() {
    for (origin, renamed) in [(dovecot(), 0), (Origin::Courier, 1)] {
        let place = came_from(&origin);
        let here = place.listing();
        let before = place.files();
        let planned = plan(&place, &origin);
        assert_eq!(place.files(), before);
        assert_eq!((planned.kept, planned.unwritten), (5, 2));
        assert_eq!((planned.renamed, &*planned.left), (renamed, &[][..]));
        assert!(!planned.is_new);
        let ends = planned.ends.clone().unwrap();
        assert_eq!(
            ends.map(|id| String::from_utf8(id).unwrap())[1],
            "1700000002.e"
        );
        let made = export(&place, &origin);
        assert_eq!(format!("{made:?}"), format!("{planned:?}"));
        assert_eq!(listing(&place, &origin), here);
        assert_eq!(place.listing(), here, "nothing changes here");
        // Again: nothing is left to do, and nothing is done.
        let before = place.files();
        let again = export(&place, &origin);
        assert_eq!((again.kept, again.unwritten, again.renamed), (5, 0, 0));
        assert_eq!(place.files(), before);
    }
}

#[test]
fn dovecots_lines_stay_and_new_ones_have_the_id_saved() {
    let place = came_from(&dovecot());
    let _ = export(&place, &dovecot());
    let lines = "9 P1700000001.d :1700000001.d,S=14,W=17\n10 P1700000002.e :1700000002.e\n";
    let expected = LIST.replace("N9", "N11") + lines;
    assert_eq!(list(&place, &dovecot()), expected);
    assert!(!place.path().join("dovecot-uidlist.lock").exists());
}

#[test]
fn courier_is_told_names_and_sizes_as_it_counts_them() {
    let place = came_from(&Origin::Courier);
    let _ = export(&place, &Origin::Courier);
    let lines = "1700000001.d:2, 17 0:0:0\n1700000002.e:2,S 18 0:0:1\n";
    assert_eq!(list(&place, &Origin::Courier), SIZES.to_owned() + lines);
    assert!(place.path().join("new/1700000001.d").exists());
    assert!(!place.path().join("new/1700000001.d,S=14,W=17").exists());
}

#[test]
fn a_file_in_cur_without_flags_gets_its_colon_for_courier() {
    let place = came_from(&Origin::Courier);
    place.write("cur/1700000003.f", "x\n");
    let made = export(&place, &Origin::Courier);
    assert_eq!((made.unwritten, made.renamed), (3, 2));
    assert!(place.path().join("cur/1700000003.f:2,").exists());
}

#[test]
fn a_mailbox_without_a_list_gets_one_like_its_maildir() {
    for (origin, beginning) in [(dovecot(), "3 V"), (Origin::Courier, "/3 1 ")] {
        let place = Place::new(&["new/1.a", "cur/2.b,S=14:2,S"]);
        let here = place.listing();
        let made = export(&place, &origin);
        assert_eq!((made.is_new, made.kept, made.unwritten), (true, 2, 2));
        assert!(list(&place, &origin).starts_with(beginning));
        assert_eq!(listing(&place, &origin), here);
        let like = |path| {
            let facts = fs::metadata(path).unwrap();
            (facts.uid(), facts.gid(), facts.mode() & 0o666)
        };
        let file = place.path().join(origin.file_name());
        assert_eq!(like(file), like(place.path().to_owned()));
    }
    let empty = Place::new(&[]);
    let before = empty.files();
    let nothing = empty
        .store
        .export(&empty.mailbox(), &Origin::Courier, Earlier::Kept);
    assert!(nothing.unwrap().is_none());
    assert_eq!(empty.files(), before);
}

#[test]
fn an_old_list_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = came_from(&dovecot());
    let file = place.path().join("dovecot-uidlist");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let _ = export(&place, &dovecot());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn what_dovecot_has_listed_since_the_import_gets_our_id_and_what_it_had_before_stays() {
    let place = Place::new(THREE);
    let long = "x".repeat(71);
    let before = format!("3 V16 N9\n1 P{long} :1.a\n2 :2.b,S=14\n4 :3.c\n");
    place.write("dovecot-uidlist", &before);
    place.import(place.surveyed(&dovecot()));
    // Dovecot goes on for IMAP.
    place.write("cur/99.d:2,", "Subject: new\n\n");
    let since = before.clone() + "9 :99.d\n";
    place.write("dovecot-uidlist", &since);
    let here = place.listing();
    let made = export(&place, &dovecot());
    assert_eq!((made.kept, made.unwritten), (3, 1));
    let [left] = &*made.left else {
        panic!("{:?}", made.left);
    };
    assert_eq!((&*left.base, left.why), (&b"1.a"[..], Misfit::Listed));
    assert_eq!(left.here, here[0].as_bytes());
    assert_eq!(left.there.as_deref(), Some(long.as_bytes()));
    assert_eq!(
        list(&place, &dovecot()),
        since.replace("N9", "N10").replace("9 :", "9 P99.d :")
    );
    // Unless it is wanted.
    let all = place
        .store
        .export(&place.mailbox(), &dovecot(), Earlier::Replaced);
    assert_eq!(all.unwrap().unwrap().left, []);
    assert_eq!(listing(&place, &dovecot()), here);
}

#[test]
fn where_nothing_was_imported_what_is_listed_stays() {
    let place = Place::new(THREE);
    place.write("dovecot-uidlist", "3 V16 N9\n1 :1.a\n2 :2.b,S=14\n");
    let here = place.listing();
    let made = export(&place, &dovecot());
    assert_eq!((made.kept, made.unwritten, made.left.len()), (1, 1, 2));
    let all = place
        .store
        .export(&place.mailbox(), &dovecot(), Earlier::Replaced);
    let all = all.unwrap().unwrap();
    assert_eq!((all.kept, all.unwritten, all.left.len()), (3, 2, 0));
    assert_eq!(listing(&place, &dovecot()), here);
}

fn whys(made: &Export) -> Vec<(&[u8], Misfit)> {
    let left = made.left.iter();
    left.map(|left| (&*left.base, left.why)).collect()
}

#[test]
fn r1939_uidl_5_no_id_is_written_that_is_or_will_be_another_messages() {
    let place = Place::new(&["cur/1.a:2,S", "cur/2.b:2,S", "cur/3.c:2,S", "cur/3.c:2,R"]);
    // The first has the name of the second for its id, and the second has one that is to come.
    place.write("dovecot-uidlist", "3 V16 N9\n1 P2.b :1.a\n");
    let come = vec![(b"2.b".to_vec(), b"0000000900000010".to_vec())];
    let survey = place.surveyed(&dovecot());
    place.import(Survey {
        unique_ids: come,
        ..survey
    });
    let _ = place.listing();
    let made = export(&place, &dovecot());
    let expected = [
        (&b"2.b"[..], Misfit::ToCome),
        (b"3.c", Misfit::SameName),
        (b"3.c", Misfit::SameName),
    ];
    assert_eq!(whys(&made), expected);
    // Names that another message's line has taken.
    let place = Place::new(&["cur/1.a:2,S", "cur/2.b:2,S"]);
    place.write("dovecot-uidlist", "3 V16 N9\n1 P2.b :1.a\n");
    let _ = place.listing();
    let made = export(&place, &dovecot());
    assert_eq!(
        whys(&made),
        [(&b"1.a"[..], Misfit::Listed), (b"2.b", Misfit::Taken)]
    );
    assert_eq!(list(&place, &dovecot()), "3 V16 N9\n1 P2.b :1.a\n");
}

#[test]
fn a_file_that_imap_knows_by_its_name_is_not_renamed() {
    let place = came_from(&Origin::Courier);
    place.write("courierimapuiddb", "1 16 9\n3 1700000001.d,S=14,W=17\n");
    let made = export(&place, &Origin::Courier);
    let [left] = &*made.left else {
        panic!("{:?}", made.left);
    };
    assert_eq!((left.why, &left.there), (Misfit::KnownByName, &None));
    assert!(place.path().join("new/1700000001.d,S=14,W=17").exists());
    // Nor one whose new name is another's.
    let place = came_from(&Origin::Courier);
    place.write("cur/1700000001.d:2,", "another\n");
    let _ = place.listing();
    let made = export(&place, &Origin::Courier);
    assert_eq!(made.renamed, 0);
    assert!(made.left.iter().any(|left| left.base.ends_with(b",W=17")));
}

#[test]
fn damaged_lists_and_those_of_others_are_refused() {
    let place = Place::new(THREE);
    for (text, line) in [
        ("3 V16 N9\n1 :1.a\n2 :2.b,S=14", 3),
        ("3 V16 N9\n1 :1.a\nx\n", 3),
        ("4 V16 N9\n", 1),
        ("", 1),
    ] {
        place.write("dovecot-uidlist", text);
        let refused = refusal(&place, &dovecot()).to_string();
        let file = place.path().join("dovecot-uidlist");
        let expected = format!("{}:{line}: ", file.display());
        assert!(refused.starts_with(&expected), "{refused}");
    }
    place.write("dovecot-uidlist", "3 V16 N9\n1 :1.other\n2 :2.other\n");
    assert!(matches!(
        refusal(&place, &dovecot()),
        ExportError::Survey(SurveyError::OtherMailbox { records: 2, .. })
    ));
    let other = refusal(&place, &Origin::Courier);
    assert!(matches!(
        other,
        ExportError::OtherServer {
            other: "dovecot-uidlist",
            ..
        }
    ));
    fs::remove_file(place.path().join("dovecot-uidlist")).unwrap();
    place.write("dovecot.index.log", "");
    assert!(matches!(
        refusal(&place, &dovecot()),
        ExportError::Elsewhere(_)
    ));
    let full = format!("3 V16 N{}\n1 :1.a\n2 :2.b,S=14\n", u32::MAX - 1);
    place.write("dovecot-uidlist", &full);
    assert!(matches!(
        refusal(&place, &dovecot()),
        ExportError::UsedUp(_)
    ));
}

/// Of ids that stand twice, Dovecot renames the later ones by how many came before: it would rename
/// the third otherwise when the second has an id of its own.
#[test]
fn a_list_that_would_say_something_else_is_not_written() {
    let place = Place::new(&["cur/1.a:2,S", "cur/2.b:2,S", "cur/3.c:2,S"]);
    place.write(
        "dovecot-uidlist",
        "3 V16 N9\n1 Pa :1.a\n2 Pa :2.b\n3 Pa :3.c\n",
    );
    let rename = Origin::Dovecot(DovecotUidls {
        duplicates: Duplicates::Rename,
        ..DovecotUidls::default()
    });
    let mut survey = place.surveyed(&rename);
    survey.unique_ids.retain(|(base, _)| base != b"2.b");
    place.import(survey);
    assert_eq!(place.listing(), ["a", "2.b", "a-3"]);
    let before = place.files();
    let all = place
        .store
        .export(&place.mailbox(), &rename, Earlier::Replaced);
    assert!(matches!(all, Err(ExportError::Unfaithful(_))), "{all:?}");
    assert_eq!(place.files(), before);
}

#[test]
fn dovecots_lock_is_respected_until_it_is_stale() {
    let place = came_from(&dovecot());
    let living = format!("{}:{}", std::process::id(), unique_name::host());
    for holder in ["999999999:elsewhere", "", "0:", &living] {
        place.write("dovecot-uidlist.lock", holder);
        let before = place.files();
        let locked = place
            .store
            .export(&place.mailbox(), &dovecot(), Earlier::Kept);
        assert!(matches!(locked, Err(ExportError::Locked(_))), "{holder}");
        assert_eq!(place.files(), before);
    }
    let lock = place.path().join("dovecot-uidlist.lock");
    let old = std::time::SystemTime::now() - Duration::from_secs(121);
    fs::File::options()
        .write(true)
        .open(&lock)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let _ = export(&place, &dovecot());
    assert!(!lock.exists());
}

#[test]
fn a_lock_of_a_process_that_has_died_is_stale_at_once() {
    let place = came_from(&dovecot());
    let mut child = std::process::Command::new("true").spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let dead = format!("{}:{}", child.id(), unique_name::host());
    place.write("dovecot-uidlist.lock", &dead);
    assert_eq!(export(&place, &dovecot()).unwritten, 2);
    assert!(!place.path().join("dovecot-uidlist.lock").exists());
}

/// The export runs as root, perhaps, in a directory that its user may write.
#[test]
fn links_are_followed_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target");
    fs::write(&target, LIST).unwrap();
    let place = came_from(&dovecot());
    let (file, tmp) = ("dovecot-uidlist", place.path().join("tmp"));
    fs::remove_file(place.path().join(file)).unwrap();
    symlink(&target, place.path().join(file)).unwrap();
    let refused = refusal(&place, &dovecot());
    assert!(matches!(
        refused,
        ExportError::Survey(SurveyError::File { .. })
    ));
    fs::remove_file(place.path().join(file)).unwrap();
    place.write(file, LIST);
    fs::remove_dir(&tmp).unwrap();
    symlink(outside.path(), &tmp).unwrap();
    let refused = place
        .store
        .export(&place.mailbox(), &dovecot(), Earlier::Kept);
    assert!(matches!(refused, Err(ExportError::Write { .. })));
    assert_eq!(list(&place, &dovecot()), LIST);
    assert_eq!(fs::read_to_string(&target).unwrap(), LIST);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// Whatever call fails, the list is the old or the new one, every message is there, and doing it
/// again does it.
#[test]
fn on_a_failing_disk_the_list_is_the_old_or_the_new_one() {
    for origin in [dovecot(), Origin::Courier] {
        let expected = {
            let place = came_from(&origin);
            let _ = export(&place, &origin);
            list(&place, &origin)
        };
        let mut at = 0;
        loop {
            let place = came_from(&origin);
            let (here, old) = (place.listing(), list(&place, &origin));
            let faults = Arc::new(Faults::input_output(Fault::From(at)));
            let store = Maildir::new(MaildirSettings {
                disk: Disk::with_faults(Arc::clone(&faults)),
                ..MaildirSettings::new("/{user}")
            });
            let made = store
                .unwrap()
                .export(&place.mailbox(), &origin, Earlier::Kept);
            let now = list(&place, &origin);
            assert!(now == old || now == expected, "{at}: {now}");
            // What could not be removed is stale one day.
            let _ = fs::remove_file(place.path().join("dovecot-uidlist.lock"));
            assert_eq!(place.listing(), here, "{at}");
            match made {
                Ok(_) => assert_eq!(now, expected, "{at}"),
                Err(_) => {
                    let _ = export(&place, &origin);
                    assert_eq!(listing(&place, &origin), here, "{at}");
                }
            }
            if faults.trace().iter().all(|passed| !passed.failed) {
                break;
            }
            at += 1;
        }
        assert!(at > 20, "{at}");
    }
}
