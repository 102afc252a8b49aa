//! What a survey says is what an import does.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use restante_proto::{MessageNumber, Messages as _};

use super::*;
use crate::{
    Edit, Edited, HeldMessage, MailboxId, Maildir, MaildirSettings, Maildrop as _, Store as _,
    View,
    foreign::{DovecotUidls, Duplicates, Later},
};

pub(in super::super) struct Place {
    place: tempfile::TempDir,
    pub(in super::super) store: Maildir,
}

impl Place {
    pub(in super::super) fn new(files: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir(place.path().join(folder)).unwrap();
        }
        let store = Maildir::new(MaildirSettings::new("/{user}")).unwrap();
        let place = Self { place, store };
        for file in files {
            place.write(file, "Subject: x\n\nx\n");
        }
        place
    }

    pub(in super::super) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(in super::super) fn write(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).unwrap();
    }

    pub(in super::super) fn mailbox(&self) -> MailboxId {
        MailboxId {
            account: "me".to_owned(),
            home: None,
            location: Some(self.path().to_owned()),
        }
    }

    fn survey(&self, origin: &Origin) -> Result<Option<Survey>, SurveyError> {
        self.store.survey(&self.mailbox(), origin, Later::Kept)
    }

    pub(in super::super) fn surveyed(&self, origin: &Origin) -> Survey {
        self.survey(origin).unwrap().unwrap()
    }

    pub(in super::super) fn import(&self, survey: Survey) {
        let edit = Edit::Import(survey.unique_ids);
        let _: Edited = run(self.store.edit(&self.mailbox(), edit)).unwrap();
    }

    /// What a session lists.
    pub(in super::super) fn listing(&self) -> Vec<String> {
        let view = View::shared(self.mailbox());
        let maildrop = run(self.store.open(&view, Duration::ZERO)).unwrap();
        let table = maildrop.messages();
        let numbers = 1..=table.count();
        let id = |number| table.unique_id(MessageNumber::new(number).unwrap());
        numbers.map(|number| id(number).to_string()).collect()
    }

    /// Every file of the mailbox, with what is in it.
    pub(in super::super) fn files(&self) -> BTreeMap<std::path::PathBuf, Option<Vec<u8>>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => {
                        directories.push(path.clone());
                        files.insert(path, None);
                    }
                    false => {
                        let octets = fs::read(&path).unwrap();
                        files.insert(path, Some(octets));
                    }
                }
            }
        }
        files
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    runtime.block_on(future)
}

pub(in super::super) fn dovecot() -> Origin {
    Origin::Dovecot(DovecotUidls::default())
}

const THREE: &[&str] = &["cur/1.a:2,S", "cur/2.b,S=14:2,", "new/3.c"];
const LIST: &str = "3 V16 N9 G00\n1 :1.a\n2 :2.b,S=14\n4 :3.c\n8 :7.gone\n";

#[test]
fn a_survey_changes_nothing_and_an_import_makes_it_true() {
    let place = Place::new(THREE);
    place.write("dovecot-uidlist", LIST);
    let before = place.files();
    let survey = place.surveyed(&dovecot());
    assert_eq!(place.files(), before);
    assert_eq!((survey.given, survey.arrived, survey.gone), (3, 0, 1));
    assert_eq!((survey.unstored, &*survey.differences), (3, &[][..]));
    place.import(survey);
    let ids = ["0000000100000010", "0000000200000010", "0000000400000010"];
    assert_eq!(place.listing(), ids);
    // Again: nothing is left to do, and nothing is done.
    let before = place.files();
    let survey = place.surveyed(&dovecot());
    assert_eq!((survey.unstored, &*survey.differences), (0, &[][..]));
    place.import(survey);
    let state = place.path().join("restante/state/unique-ids");
    assert_eq!(place.files()[&state], before[&state]);
}

#[test]
fn what_was_listed_since_an_import_keeps_its_id_unless_told_otherwise() {
    let place = Place::new(THREE);
    place.write("dovecot-uidlist", LIST);
    place.import(place.surveyed(&dovecot()));
    // Dovecot goes on for IMAP: it gives every new message a UID.
    place.write("new/99.d", "Subject: new\n\n");
    let longer = format!("{LIST}9 :99.d\n");
    place.write("dovecot-uidlist", &longer);
    let ids = [
        "0000000100000010",
        "0000000200000010",
        "0000000400000010",
        "99.d",
    ];
    assert_eq!(place.listing(), ids);
    let survey = place.surveyed(&dovecot());
    assert_eq!((survey.given, survey.later, survey.unstored), (4, 1, 0));
    assert_eq!(survey.differences, []);
    place.import(survey);
    assert_eq!(place.listing(), ids);
    // Dovecot has served POP3 again.
    let again = place
        .store
        .survey(&place.mailbox(), &dovecot(), Later::Replaced);
    let again = again.unwrap().unwrap();
    assert_eq!((again.later, again.unstored), (0, 1));
    place.import(again);
    assert_eq!(place.listing()[3], "0000000900000010");
}

#[test]
fn a_torn_import_is_made_again() {
    let place = Place::new(THREE);
    place.write("dovecot-uidlist", LIST);
    place.import(place.surveyed(&dovecot()));
    let state = place.path().join("restante/state/unique-ids");
    let whole = fs::read(&state).unwrap();
    for end in 0..whole.len() {
        fs::write(&state, &whole[..end]).unwrap();
        let survey = place.surveyed(&dovecot());
        assert_eq!((survey.later, &*survey.differences), (0, &[][..]), "{end}");
        place.import(survey);
        assert_eq!(place.listing().last().unwrap(), "0000000400000010");
    }
}

#[test]
fn new_mail_is_new_and_old_mail_that_the_list_lacks_is_told() {
    let place = Place::new(&["cur/1.a:2,S", "cur/2.b:2,", "new/3.c", "new/99999999999.d"]);
    place.write("dovecot-uidlist", "3 V16 N9\n1 :1.a\n");
    let survey = place.surveyed(&dovecot());
    assert_eq!((survey.given, survey.arrived), (1, 1));
    let unlisted = ["2.b", "3.c"].map(|base| Difference::Unlisted {
        base: base.into(),
        new: Some(base.into()),
    });
    assert_eq!(survey.differences, unlisted);
}

#[test]
fn prj_uidl_7_an_illegal_id_gets_one_stored_legal_replacement() {
    let place = Place::new(THREE);
    let long = "x".repeat(71);
    let list = format!("3 V16 N9\n1 P{long} :1.a\n2 Pcaf\u{e9} :2.b,S=14\n3 Pfine :3.c\n");
    place.write("dovecot-uidlist", &list);
    let survey = place.surveyed(&dovecot());
    let told: Vec<(&[u8], &[u8])> = survey
        .differences
        .iter()
        .map(|difference| match difference {
            Difference::UniqueId {
                old,
                new: Some(new),
                why: Obstacle::Illegal(_),
                ..
            } => (&**old, &**new),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].0, long.as_bytes());
    let replacements: Vec<String> = told
        .iter()
        .map(|(_, new)| String::from_utf8(new.to_vec()).unwrap())
        .collect();
    let expected = [&*replacements[0], &*replacements[1], "fine"];
    place.import(place.surveyed(&dovecot()));
    assert_eq!(place.listing(), expected);
    assert_eq!(place.surveyed(&dovecot()).unstored, 0);
    place.import(place.surveyed(&dovecot()));
    assert_eq!(place.listing(), expected, "always the same");
}

#[test]
fn prj_uidl_6_repeated_ids_are_told_and_one_message_keeps_them() {
    let place = Place::new(THREE);
    let list = "3 V16 N9\n1 Psame :1.a\n2 Psame :2.b,S=14\n3 :3.c\n";
    place.write("dovecot-uidlist", list);
    let survey = place.surveyed(&dovecot());
    let expected = [Difference::UniqueId {
        base: b"2.b,S=14".to_vec(),
        old: b"same".to_vec(),
        new: Some(b"2.b".to_vec()),
        why: Obstacle::Repeated,
    }];
    assert_eq!(survey.differences, expected);
    place.import(survey);
    assert_eq!(place.listing(), ["same", "2.b", "0000000300000010"]);
    let rename = Origin::Dovecot(DovecotUidls {
        duplicates: Duplicates::Rename,
        ..DovecotUidls::default()
    });
    assert!(place.surveyed(&rename).differences.is_empty());
}

#[test]
fn r1939_uidl_5_an_id_of_another_message_is_told_and_not_given() {
    let place = Place::new(THREE);
    place.write("dovecot-uidlist", "3 V16 N9\n1 P3.c :1.a\n2 :2.b,S=14\n");
    let survey = place.surveyed(&dovecot());
    assert!(matches!(
        &*survey.differences,
        [
            Difference::UniqueId {
                why: Obstacle::Taken,
                ..
            },
            Difference::Unlisted { .. }
        ]
    ));
    place.import(survey);
    assert_eq!(place.listing(), ["1.a", "0000000200000010", "3.c"]);
}

#[test]
fn another_order_is_told_by_message() {
    let place = Place::new(THREE);
    place.write("dovecot-uidlist", "3 V16 N9\n1 :2.b,S=14\n2 :1.a\n3 :3.c\n");
    let survey = place.surveyed(&dovecot());
    let order = |base: &str, old, new| Difference::Order {
        base: base.into(),
        old,
        new,
    };
    assert_eq!(
        survey.differences,
        [order("2.b,S=14", 1, 2), order("1.a", 2, 1)]
    );
    place.import(survey);
    let ids = ["0000000200000010", "0000000100000010", "0000000300000010"];
    assert_eq!(place.listing(), ids);
}

#[test]
fn damaged_files_and_those_of_other_mailboxes_are_refused() {
    let place = Place::new(THREE);
    assert!(place.survey(&dovecot()).unwrap().is_none());
    place.write("dovecot-uidlist", "3 V16 N9\n1 :1.a\n2 :2.b,S=14");
    let refused = place.survey(&dovecot()).unwrap_err().to_string();
    let file = place.path().join("dovecot-uidlist");
    let expected = format!("{}:3: the line is cut off", file.display());
    assert_eq!(refused, expected);
    place.write("dovecot-uidlist", "3 V16 N9\n1 :1.other\n2 :2.other\n");
    let refused = place.survey(&dovecot()).unwrap_err();
    assert!(matches!(
        refused,
        SurveyError::OtherMailbox { records: 2, .. }
    ));
    place.write("courierpop3dsizelist", "/3 9 16\n1.x:2,S 14 1:16:0\n");
    assert!(matches!(
        place.survey(&Origin::Courier),
        Err(SurveyError::OtherMailbox { .. })
    ));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(
        place.survey(&dovecot()),
        Err(SurveyError::File { .. })
    ));
    assert!(!place.path().join("restante").exists());
}

#[test]
fn a_list_whose_messages_were_all_fetched_is_none_of_another_mailbox() {
    let list = "3 V16 N9\n1 :1.a\n2 :2.b\n";
    for files in [&[][..], &["new/99999999999.d"]] {
        let place = Place::new(files);
        place.write("dovecot-uidlist", list);
        let survey = place.surveyed(&dovecot());
        assert_eq!(
            (survey.given, survey.gone, survey.arrived),
            (0, 2, files.len())
        );
        assert!(survey.differences.is_empty());
    }
}

#[test]
fn ids_may_stand_in_a_header_packed_or_not() {
    let place = Place::new(&[]);
    place.write(
        "cur/1.a:2,S",
        "From: x\r\nx-uidl: \tone\r\nX-UIDL: no\r\n\r\n",
    );
    place.write("cur/2.b:2,S", "Subject: none\n\nX-UIDL: body\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, b"Received: x\n y\nX-UIDL: three\n four\n\n").unwrap();
    fs::write(place.path().join("new/3.c"), gzip.finish().unwrap()).unwrap();
    place.write("new/4.d", "X-Uidl : four  \nX-UIDL: 4\n\n");
    place.write(
        "dovecot-uidlist",
        "3 V16 N9\n1 :1.a\n2 :2.b\n3 :3.c\n4 :4.d\n",
    );
    let reuse = Origin::Dovecot(DovecotUidls {
        reuse_xuidl: true,
        ..DovecotUidls::default()
    });
    let survey = place.surveyed(&reuse);
    let ids: Vec<&[u8]> = survey.unique_ids.iter().map(|(_, id)| &**id).collect();
    assert_eq!(ids[..2], [&b"one"[..], b"0000000200000010"]);
    let told = |base: &str, old: &str, new: Option<&str>| {
        survey
            .differences
            .iter()
            .any(|difference| match difference {
                Difference::UniqueId {
                    base: this,
                    old: was,
                    new: Some(is),
                    why: Obstacle::Illegal(_),
                } => {
                    let replaced = new.is_none_or(|new| is == new.as_bytes());
                    this == base.as_bytes() && was == old.as_bytes() && replaced
                }
                _ => false,
            })
    };
    assert!(told("3.c", "three four", None), "{:?}", survey.differences);
    assert!(
        told("4.d", "four  ", Some("four")),
        "{:?}",
        survey.differences
    );
    assert_eq!(survey.differences.len(), 2);
}

#[test]
fn a_listing_off_the_wire_is_set_against_ours_as_a_file_is() {
    let place = Place::new(&["cur/1.a:2,S", "cur/2.b:2,", "new/3.c"]);
    let given = |base: &str, unique_id: &str| Given {
        base: base.into(),
        unique_id: unique_id.into(),
    };
    let before = place.files();
    let listed = [
        given("2.b", "two"),
        given("1.a", "one"),
        given("9.gone", "x"),
    ];
    let survey = |taken| {
        let store = &place.store;
        let survey = store.survey_listing(&place.mailbox(), &listed, taken, Later::Kept);
        survey.unwrap()
    };
    let looked = survey(2);
    assert_eq!((looked.given, looked.arrived, looked.unstored), (2, 1, 2));
    let order = |base: &str, old, new| Difference::Order {
        base: base.into(),
        old,
        new,
    };
    assert_eq!(looked.differences, [order("2.b", 1, 2), order("1.a", 2, 1)]);
    // The other server should have known it.
    let later = survey(4);
    assert!(matches!(
        &later.differences[..],
        [Difference::Unlisted { .. }, ..]
    ));
    assert_eq!(place.files(), before);
    // One message under two ids: the first is kept.
    let twice = [given("1.a", "one"), given("1.a", "again")];
    let twice = place
        .store
        .survey_listing(&place.mailbox(), &twice, 2, Later::Kept);
    let twice = twice.unwrap();
    assert_eq!((twice.gone, twice.unstored), (0, 1));
    assert!(matches!(
        &twice.differences[..],
        [
            Difference::UniqueId {
                why: Obstacle::SameName,
                ..
            },
            ..
        ]
    ));
    place.import(looked);
    assert_eq!(survey(2).unstored, 0);
    assert_eq!(&place.listing()[..2], ["one", "two"]);
}

#[test]
fn messages_are_read_whole_in_order_without_a_session() {
    let place = Place::new(&["cur/2.b:2,", "new/1.a"]);
    place.write("cur/3.c", "no end");
    let before = place.files();
    let mut read = Vec::new();
    let mut each = |held: HeldMessage, message: &mut dyn io::Read| {
        let mut text = String::new();
        message.read_to_string(&mut text)?;
        read.push((String::from_utf8(held.base).unwrap(), held.unique_id, text));
        Ok(())
    };
    place.store.read_all(&place.mailbox(), &mut each).unwrap();
    let x = "Subject: x\n\nx\n";
    let found: Vec<(&str, &str)> = read
        .iter()
        .map(|(base, _, text)| (&**base, &**text))
        .collect();
    assert_eq!(found, [("1.a", x), ("2.b", x), ("3.c", "no end")]);
    assert_eq!(place.files(), before, "nothing was written");
    // What is told is what a session lists.
    let ids: Vec<Option<Vec<u8>>> = read.into_iter().map(|(_, id, _)| id).collect();
    let listed: Vec<Option<Vec<u8>>> = place
        .listing()
        .into_iter()
        .map(|id| Some(id.into_bytes()))
        .collect();
    assert!(
        ids.iter()
            .zip(&listed)
            .all(|(told, listed)| told.is_none() || told == listed)
    );
}
