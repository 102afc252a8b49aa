//! Servers that name messages oddly, and messages that change under their names.

use restante_fetch::{Consequence, Keep, Larger, Nameless};

use crate::{
    collecting::Person,
    office::{Habits, Letter, Office, letter, letters},
};

fn renamed(letters: &[Letter], prefix: &str) -> Vec<Letter> {
    let rename = |letter: &Letter| Letter {
        unique_id: format!("{prefix}{}", letter.unique_id),
        ..letter.clone()
    };
    letters.iter().map(rename).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_migration_mail_that_is_here_is_recognised_by_its_header() {
    let all = letters(30, 2000);
    let office = Office::open(all.clone(), Habits::default()).await;
    let person = Person::new(&office, Keep::Forever);
    person.collect().await;
    office.change(|it| *it = renamed(it, "new-"));
    office.heard();
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    assert_eq!((report.arrived, report.known), (0, 30));
    assert_eq!(office.count("RETR"), 0);
    person.assert_has(&all);
    // The new names are known from now on.
    office.heard();
    person.collect().await;
    assert_eq!(office.count("TOP") + office.count("RETR"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_migration_mail_is_recognised_by_its_body_where_top_and_size_differ() {
    let all = letters(10, 2000);
    let office = Office::open(all.clone(), Habits::default()).await;
    let person = Person::new(&office, Keep::Forever);
    person.collect().await;
    office.habits(|it| it.other_top = true);
    office.change(|it| {
        *it = renamed(it, "new-");
        for letter in it {
            letter.octets.splice(..0, b"X-Moved: yes\r\n".to_vec());
        }
    });
    let report = person.collect().await;
    assert_eq!((report.arrived, report.known), (0, 10), "{report:?}");
    person.assert_has(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_mail_among_migrated_mail_arrives() {
    let mut all = letters(10, 2000);
    let office = Office::open(all.clone(), Habits::default()).await;
    let person = Person::new(&office, Keep::Forever);
    person.collect().await;
    all.push(letter(99, 2000));
    office.change(|it| {
        *it = renamed(it, "new-");
        it.push(letter(99, 2000));
    });
    person.collect().await;
    person.assert_has(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_unique_id_with_another_message_is_fetched_before_it_is_deleted() {
    // Of another size, and of the same.
    for octets in [900, 1500] {
        let office = Office::open(letters(2, 900), Habits::default()).await;
        let mut person = Person::new(&office, Keep::Forever);
        person.collect().await;
        let mut other = letter(3, octets);
        other.unique_id = "id-1".into();
        let size = office.letters()[0].octets.len();
        if octets == 900 {
            assert_eq!(other.octets.len(), size);
        }
        office.change(|it| it[0] = other.clone());
        person.account.policy.keep = Keep::Delete;
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
        let mut all = letters(2, 900);
        all.push(other);
        person.assert_has(&all);
        assert!(office.letters().is_empty() && office.removed_unread().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_in_vain_is_looked_at_and_deleted_again_and_never_delivered_again() {
    let all = letters(5, 500);
    let habits = Habits {
        forgetful: true,
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let person = Person::new(&office, Keep::Delete);
    for _ in 0..3 {
        person.collect().await;
        person.assert_has(&all);
    }
    assert_eq!(office.count("RETR"), 5);
    office.habits(|it| it.forgetful = false);
    person.collect().await;
    person.assert_has(&all);
    assert!(office.letters().is_empty());
}

/// The state, as if the server had refused to delete a day before.
fn a_day_older(state: &str) -> String {
    let older = |line: &str| {
        let (_, content) = line.split_once(' ').expect("a checksum");
        let Some(rest) = content.strip_prefix("refused ") else {
            return format!("{line}\n");
        };
        let (seconds, ids) = rest.split_once(' ').expect("a time");
        let seconds: u64 = seconds.parse().expect("a number");
        let content = format!("refused {} {ids}", seconds - 24 * 60 * 60);
        format!("{:08x} {content}\n", crc32fast::hash(content.as_bytes()))
    };
    state.lines().map(older).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_to_delete_is_told_of_once_and_not_asked_in_each_run() {
    for no_uidl in [false, true] {
        let all = letters(5, 500);
        let habits = Habits {
            no_uidl,
            answers: vec![("DELE 2".into(), Some(b"-ERR read-only\r\n".to_vec()))],
            ..Habits::default()
        };
        let office = Office::open(all.clone(), habits).await;
        let person = Person::new(&office, Keep::Delete);
        for _ in 0..3 {
            let report = person.collect().await;
            assert!(report.trouble.is_none(), "{report:?}");
            person.assert_has(&all);
            assert_eq!(office.letters(), [all[1].clone()]);
            office.habits(|it| it.answers[0].0 = "DELE".into());
        }
        assert_eq!(person.told.count("NotDeleted"), 1);
        // Each message was asked for once.
        assert_eq!(office.count("DELE"), 5);
        let state = person.state().join("work.seen");
        let text = std::fs::read_to_string(&state).expect("a state");
        assert_eq!(text.matches(" refused ").count(), 1, "{text}");
        // A day later it is asked again, and nobody is told again.
        std::fs::write(&state, a_day_older(&text)).expect("a state");
        person.collect().await;
        assert_eq!(office.count("DELE"), 6);
        assert_eq!(person.told.count("NotDeleted"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_5_without_uidl_and_without_top_mail_arrives_once() {
    for (no_uidl, no_top) in [(true, false), (true, true), (false, true)] {
        for keep in [Keep::Forever, Keep::Delete] {
            let all = letters(12, 700);
            let habits = Habits {
                no_uidl,
                no_top,
                // The QUIT that is not heard: everything comes again.
                forgetful: keep == Keep::Delete,
                quit: Some("-ERR later".into()),
                ..Habits::default()
            };
            let office = Office::open(all.clone(), habits).await;
            let person = Person::new(&office, keep);
            for _ in 0..3 {
                person.collect().await;
                person.assert_has(&all);
            }
            office.habits(|it| {
                it.forgetful = false;
                it.quit = None;
            });
            office.change(|it| it.push(letter(50, 700)));
            person.collect().await;
            let expected = [all, vec![letter(50, 700)]].concat();
            person.assert_has(&expected);
            let left = office.letters().len();
            assert_eq!(left, if keep == Keep::Delete { 0 } else { 13 });
            assert!(office.removed_unread().is_empty());
        }
    }
}

// PRJ-FETCH-5
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_5_without_uidl_all_mail_is_fetched_and_deleted_where_that_is_wanted() {
    let all = letters(12, 700);
    let habits = Habits {
        no_uidl: true,
        // Nobody knows whether that QUIT was heard.
        forgetful: true,
        quit: Some("-ERR later".into()),
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let mut person = Person::new(&office, Keep::Forever);
    person.account.policy.nameless = Nameless::Delete;
    person.account.policy.message_octets_max = 4000;
    for _ in 0..2 {
        person.collect().await;
        person.assert_has(&all);
    }
    let large = letter(50, 5000);
    office.habits(|it| (it.forgetful, it.quit) = (false, None));
    office.change(|it| it.push(large.clone()));
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    assert_eq!((report.known, report.deleted), (12, 12));
    person.assert_has(&all);
    // What was not fetched stays.
    assert_eq!(office.letters(), [large]);
    assert!(office.removed_unread().is_empty());
    assert_eq!(office.count("TOP"), 0);
    // The same message once more is another one.
    office.change(|it| it.push(all[0].clone()));
    person.collect().await;
    person.assert_has(&[all.clone(), vec![all[0].clone()]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_uidl_a_top_that_differs_costs_a_message_once() {
    let all = letters(12, 700);
    let habits = Habits {
        no_uidl: true,
        other_top: true,
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let person = Person::new(&office, Keep::Forever);
    for _ in 0..2 {
        person.collect().await;
    }
    assert_eq!(office.count("RETR"), 24);
    for _ in 0..2 {
        let report = person.collect().await;
        assert_eq!((report.arrived, report.known), (0, 12), "{report:?}");
    }
    assert_eq!(office.count("RETR"), 24);
    person.assert_has(&all);
}

/// Such a header says nothing about who a message is.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_top_is_always_the_same_gets_nothing_deleted_unread() {
    let same = b"+OK\r\nX-Top: 1\r\n\r\n.\r\n".to_vec();
    let habits = Habits {
        answers: vec![("TOP".into(), Some(same))],
        ..Habits::default()
    };
    let office = Office::open(letters(2, 900), habits).await;
    let mut person = Person::new(&office, Keep::Forever);
    person.collect().await;
    // What TOP sends is asked for, and the messages are found to be here.
    office.change(|it| *it = renamed(it, "new-"));
    let report = person.collect().await;
    assert_eq!((report.arrived, report.known), (0, 2), "{report:?}");
    // Another message, under a name and of a size that are known.
    let mut other = letter(3, 900);
    other.unique_id = "new-id-1".into();
    office.change(|it| it[0] = other.clone());
    person.account.policy.keep = Keep::Delete;
    let report = person.collect().await;
    assert_eq!((report.arrived, report.known), (1, 1), "{report:?}");
    person.assert_has(&[letters(2, 900), vec![other]].concat());
    assert!(office.removed_unread().is_empty());
}

// PRJ-FETCH-5
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_5_a_server_that_refuses_uidl_for_the_moment_does_not_lose_its_mail() {
    let all = letters(12, 700);
    let habits = Habits {
        answers: vec![("UIDL".into(), Some(b"-ERR [SYS/TEMP] later\r\n".to_vec()))],
        ..Habits::default()
    };
    // It announces UIDL; or it has told unique-ids before.
    for announced in [true, false] {
        let office = Office::open(all.clone(), Habits::default()).await;
        let mut person = Person::new(&office, Keep::Forever);
        person.account.policy.nameless = Nameless::Delete;
        if !announced {
            person.collect().await;
            office.habits(|it| it.no_uidl = true);
        } else {
            office.habits(|it| *it = habits.clone());
        }
        person.collect().await;
        office.habits(|it| *it = Habits::default());
        person.collect().await;
        person.assert_has(&all);
        assert_eq!(office.letters(), all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_ids_that_several_messages_have_hide_none_of_them() {
    let mut all = letters(6, 600);
    for letter in &mut all[..4] {
        letter.unique_id = "same".into();
    }
    // The same message twice is two messages.
    all[5].octets = all[4].octets.clone();
    let office = Office::open(all.clone(), Habits::default()).await;
    let mut person = Person::new(&office, Keep::Forever);
    for _ in 0..3 {
        person.collect().await;
        person.assert_has(&all);
    }
    person.account.policy.keep = Keep::Delete;
    person.collect().await;
    person.assert_has(&all);
    assert!(office.letters().is_empty() && office.removed_unread().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_ids_like_paths_and_of_any_length_are_only_names() {
    let names = [
        "../../../etc/passwd".to_owned(),
        "%%%".to_owned(),
        "\u{1b}[2Jclear".to_owned(),
        "x".repeat(2000),
        "-".to_owned(),
        "ünïcode".to_owned(),
    ];
    let mut all = letters(names.len(), 300);
    for (letter, name) in all.iter_mut().zip(&names) {
        letter.unique_id.clone_from(name);
    }
    let office = Office::open(all.clone(), Habits::default()).await;
    let person = Person::new(&office, Keep::Forever);
    for _ in 0..2 {
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
        person.assert_has(&all);
    }
    assert_eq!(office.count("RETR"), names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_4_an_empty_listing_forgets_nothing() {
    let all = letters(8, 300);
    let office = Office::open(all.clone(), Habits::default()).await;
    let person = Person::new(&office, Keep::Forever);
    person.collect().await;
    for _ in 0..2 {
        office.change(Vec::clear);
        person.collect().await;
        office.change(|it| it.extend(all.clone()));
        person.collect().await;
        person.assert_has(&all);
    }
    assert_eq!(office.count("RETR"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lists_a_part_is_asked_until_nothing_new_comes() {
    for (count, part, sessions) in [(600, 250, 4), (150, 60, 4)] {
        let all = letters(count, 120);
        let habits = Habits {
            part: Some(part),
            ..Habits::default()
        };
        let office = Office::open(all.clone(), habits).await;
        let person = Person::new(&office, Keep::Delete);
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
        let count = count as u64;
        assert_eq!((report.arrived, report.deleted), (count, count));
        assert_eq!(report.sessions, sessions);
        person.assert_has(&all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_new_messages_among_many_that_are_kept_take_one_session() {
    let office = Office::open(letters(300, 120), Habits::default()).await;
    let person = Person::new(&office, Keep::Forever);
    person.collect().await;
    office.change(|it| it.extend([letter(301, 120), letter(302, 120)]));
    let report = person.collect().await;
    assert_eq!((report.arrived, report.sessions), (2, 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_part_that_has_gone_there_may_be_more_and_a_liar_is_asked_once_more() {
    for forgetful in [false, true] {
        let all = letters(110, 120);
        let office = Office::open(all.clone(), Habits::default()).await;
        let mut person = Person::new(&office, Keep::Forever);
        person.collect().await;
        office.habits(|it| (it.part, it.forgetful) = (Some(60), forgetful));
        person.account.policy.keep = Keep::Delete;
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{report:?}");
        assert_eq!((report.arrived, report.sessions), (0, 2), "{report:?}");
        let left = if forgetful { 110 } else { 0 };
        assert_eq!(office.letters().len(), left);
        person.assert_has(&all);
        assert!(office.removed_unread().is_empty());
    }
}

// PRJ-FETCH-6
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_6_wrong_sizes_are_told_and_harm_nothing() {
    let sizes: [fn(usize) -> String; 4] = [
        |_| "0".into(),
        |octets| (octets + 7).to_string(),
        |_| "1".into(),
        |octets| (octets / 2).to_string(),
    ];
    for size in sizes {
        let all = letters(4, 400);
        let habits = Habits {
            listed_octets: Some(size),
            ..Habits::default()
        };
        let office = Office::open(all.clone(), habits).await;
        let person = Person::new(&office, Keep::Forever);
        for _ in 0..2 {
            let report = person.collect().await;
            assert!(report.trouble.is_none(), "{report:?}");
            person.assert_has(&all);
        }
        assert_eq!(person.told.count("OtherSize"), 4);
        assert_eq!(office.count("RETR"), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_7_a_message_that_is_too_large_stays_with_one_notice() {
    let mut all = letters(3, 300);
    let large = letter(4, 5000);
    all.push(large.clone());
    for larger in [Larger::Leave, Larger::Headers] {
        let office = Office::open(all.clone(), Habits::default()).await;
        let mut person = Person::new(&office, Keep::Delete);
        person.account.policy.message_octets_max = 4000;
        person.account.policy.larger = larger;
        for _ in 0..3 {
            let report = person.collect().await;
            assert!(report.trouble.is_none(), "{report:?}");
        }
        assert_eq!(person.told.count("TooLarge"), 1);
        assert_eq!(office.letters(), std::slice::from_ref(&large));
        let mail = person.mail();
        let headers = usize::from(larger == Larger::Headers);
        assert_eq!(mail.len(), 3 + headers);
        let stands_in = |it: &&Vec<u8>| it.windows(8).any(|at| at == b"was left");
        assert_eq!(mail.iter().filter(stands_in).count(), headers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_server_does_not_give_is_set_aside_and_the_others_go_on() {
    // So many may be a part of what there is: a run looks again.
    let all = letters(250, 300);
    let habits = Habits {
        answers: vec![(
            "RETR 250".into(),
            Some(b"-ERR [SYS/PERM] broken\r\n".to_vec()),
        )],
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let mut person = Person::new(&office, Keep::Forever);
    let report = person.collect().await;
    let consequence = report.trouble.as_ref().map(|it| it.consequence());
    assert_eq!(consequence, Some(Consequence::Protocol), "{report:?}");
    assert_eq!((report.arrived, report.not_collected), (249, 1));
    // It was tried once all the same.
    assert_eq!((report.sessions, office.count("RETR 250")), (2, 1));
    assert_eq!(person.told.count("NotCollected"), 1);
    // After the third time it waits, and nobody is told again.
    person.collect().await;
    person.collect().await;
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    assert_eq!(office.count("RETR 250"), 3);
    assert_eq!(person.told.count("NotCollected"), 3);
    // It stays on the server, and comes when the server gives it.
    person.account.policy.keep = Keep::Delete;
    person.collect().await;
    assert_eq!(office.letters(), [all[249].clone()]);
    assert!(office.removed_unread().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_set_aside_comes_when_the_server_gives_it() {
    let all = letters(5, 300);
    let habits = Habits {
        answers: vec![("RETR 2".into(), Some(b"-ERR\r\n".to_vec()))],
        ..Habits::default()
    };
    let office = Office::open(all.clone(), habits).await;
    let person = Person::new(&office, Keep::Forever);
    person.collect().await;
    office.habits(|it| it.answers.clear());
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    person.assert_has(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_received_line_stands_before_a_message_only_where_it_is_wanted() {
    let all = letters(2, 300);
    let office = Office::open(all.clone(), Habits::default()).await;
    let mut person = Person::new(&office, Keep::Forever);
    person.account.received = true;
    person.collect().await;
    for (mail, letter) in person.mail().iter().zip(&all) {
        let line = mail.len() - letter.octets.len();
        let (line, rest) = mail.split_at(line);
        assert!(line.starts_with(b"Received: from 127.0.0.1 ") && line.ends_with(b"\r\n"));
        assert!(rest == letter.octets);
    }
    // It changes nothing about who a message is.
    office.change(|it| *it = renamed(it, "new-"));
    let report = person.collect().await;
    assert_eq!((report.arrived, report.known), (0, 2));
}
