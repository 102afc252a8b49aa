//! Servers that lie, stall and attack: a clear end, in time, with nothing of it kept and nothing
//! deleted.

use std::time::Instant;

use restante_fetch::{Consequence, Keep};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use crate::{
    collecting::Person,
    office::{Habits, Office, PATIENCE, letters},
};

/// Collects from an office that answers so, and says what follows.
async fn consequence(answers: &[(&str, Option<&[u8]>)]) -> (Option<Consequence>, Person, Office) {
    let habits = Habits {
        answers: answers
            .iter()
            .map(|(word, answer)| ((*word).into(), answer.map(Into::into)))
            .collect(),
        ..Habits::default()
    };
    let office = Office::open(letters(3, 300), habits).await;
    let person = Person::new(&office, Keep::Delete);
    let begun = Instant::now();
    let report = person.collect().await;
    assert!(begun.elapsed() < 10 * PATIENCE, "it takes too long");
    let consequence = report.trouble.as_ref().map(|it| it.consequence());
    (consequence, person, office)
}

// PRJ-FETCH-8
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_8_what_a_refused_login_means_is_told_apart() {
    for (answer, expected) in [
        (&b"-ERR [IN-USE] locked\r\n"[..], Consequence::Later),
        (b"-ERR [LOGIN-DELAY] too soon\r\n", Consequence::Later),
        (b"-ERR [SYS/TEMP] soon\r\n", Consequence::Later),
        (b"-ERR [SYS/PERM] never\r\n", Consequence::Protocol),
        (b"-ERR [AUTH] wrong\r\n", Consequence::Refused),
        (b"-ERR wrong\r\n", Consequence::Refused),
    ] {
        let (consequence, person, office) = consequence(&[("PASS", Some(answer))]).await;
        assert_eq!(consequence, Some(expected));
        // It is not repeated.
        assert_eq!(office.sessions(), 1);
        person.assert_has(&[]);
    }
}

/// Many servers say nothing of why.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lets_nobody_in_twice_so_soon_does_not_doubt_the_password() {
    let all = letters(60, 300);
    let once = Habits {
        logins: Some(1),
        ..Habits::default()
    };
    // To see if there is more.
    let office = Office::open(all.clone(), once.clone()).await;
    let person = Person::new(&office, Keep::Delete);
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    assert_eq!((report.arrived, office.sessions()), (60, 2));
    // After the line has broken.
    let broken = Habits {
        cut_after: Some(6000),
        ..once
    };
    let office = Office::open(all, broken).await;
    let person = Person::new(&office, Keep::Delete);
    let report = person.collect().await;
    let consequence = report.trouble.as_ref().map(|it| it.consequence());
    assert_eq!(consequence, Some(Consequence::Later), "{report:?}");
    assert!(report.arrived > 0 && office.sessions() == 2, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn err_to_any_command_deletes_nothing_that_is_not_here() {
    for word in [
        "CAPA", "USER", "PASS", "UIDL", "LIST", "TOP", "RETR", "DELE", "QUIT",
    ] {
        let (_, person, office) = consequence(&[(word, Some(b"-ERR no\r\n"))]).await;
        assert!(office.removed_unread().is_empty(), "{word}");
        office.habits(|it| it.answers.clear());
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{word}: {report:?}");
        person.assert_has(&letters(3, 300));
        // Whoever has refused to delete is asked again a day later.
        let left = if word == "DELE" { 3 } else { 0 };
        assert_eq!(office.letters().len(), left, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polite_close_instead_of_any_answer_is_no_endless_loop() {
    for word in [
        "CAPA", "USER", "PASS", "UIDL", "LIST", "RETR", "RETR 2", "DELE", "QUIT",
    ] {
        let (consequence, person, office) = consequence(&[(word, None)]).await;
        assert_eq!(consequence, Some(Consequence::Later), "{word}");
        assert!(
            office.sessions() <= 4,
            "{word}: {} sessions",
            office.sessions()
        );
        assert!(office.removed_unread().is_empty(), "{word}");
        office.habits(|it| it.answers.clear());
        person.collect().await;
        person.assert_has(&letters(3, 300));
        assert!(office.letters().is_empty(), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_counts_and_sizes_in_a_listing_harm_nothing() {
    for listing in [
        "1 18446744073709551616\r\n",
        "1 -1\r\n",
        "0 10\r\n",
        "4294967296 10\r\n",
        "1\r\n",
        "one two\r\n",
        "\r\n",
        "1 10\r\n1 20\r\n",
        "9 99\r\n",
    ] {
        let listing = format!("+OK\r\n{listing}.\r\n");
        let (_, person, office) = consequence(&[("LIST", Some(listing.as_bytes()))]).await;
        assert!(office.removed_unread().is_empty(), "{listing:?}");
        office.habits(|it| it.answers.clear());
        let report = person.collect().await;
        assert!(report.trouble.is_none(), "{listing:?}: {report:?}");
        person.assert_has(&letters(3, 300));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_cut_off_and_nothing_of_it_is_kept() {
    let long = |octets: &[u8], count: usize| octets.repeat(count);
    let cases: [(&str, Vec<u8>); 5] = [
        (
            "CAPA",
            [b"+OK\r\n".to_vec(), long(b"X-MORE\r\n", 5000)].concat(),
        ),
        ("USER", [b"+OK ".to_vec(), long(b"x", 100_000)].concat()),
        (
            "UIDL",
            [b"+OK\r\n1 ".to_vec(), long(b"x", 100_000)].concat(),
        ),
        (
            "LIST",
            [b"+OK\r\n".to_vec(), long(b"1 10\r\n", 1_100_000)].concat(),
        ),
        (
            "RETR 1",
            [b"+OK\r\n".to_vec(), long(b"and more\r\n", 1_000_000)].concat(),
        ),
    ];
    for (word, answer) in cases {
        let habits = Habits {
            answers: vec![(word.into(), Some(answer))],
            ..Habits::default()
        };
        let office = Office::open(letters(3, 300), habits).await;
        let mut person = Person::new(&office, Keep::Delete);
        person.account.server.limits.message_octets_max = restante_client::Octets(2 << 20);
        let report = person.collect().await;
        let consequence = report.trouble.as_ref().map(|it| it.consequence());
        assert_eq!(
            consequence,
            Some(Consequence::Protocol),
            "{word}: {report:?}"
        );
        assert!(office.removed_unread().is_empty(), "{word}");
        let arrived = person.mail().len();
        assert!(word.starts_with("RETR") || arrived == 0, "{word}");
        let tmp = std::fs::read_dir(person.maildir().join("tmp"));
        assert_eq!(tmp.into_iter().flatten().count(), 0, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_ends_does_not_keep_the_others_from_coming() {
    let endless = [b"+OK\r\n".to_vec(), b"and more\r\n".repeat(300_000)].concat();
    let habits = Habits {
        answers: vec![("RETR 1".into(), Some(endless))],
        ..Habits::default()
    };
    let office = Office::open(letters(3, 300), habits).await;
    let mut person = Person::new(&office, Keep::Forever);
    person.account.server.limits.message_octets_max = restante_client::Octets(1 << 20);
    let report = person.collect().await;
    person.assert_has(&letters(3, 300)[1..]);
    assert!(report.trouble.is_some(), "{report:?}");
    assert_eq!((report.sessions, report.not_collected), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_all_of_whose_messages_never_end_holds_no_run_for_ever() {
    let endless = [b"+OK\r\n".to_vec(), b"and more\r\n".repeat(2000)].concat();
    let habits = Habits {
        answers: vec![("RETR".into(), Some(endless))],
        ..Habits::default()
    };
    let office = Office::open(letters(40, 300), habits).await;
    let mut person = Person::new(&office, Keep::Delete);
    person.account.server.limits.message_octets_max = restante_client::Octets(1 << 10);
    let report = person.collect().await;
    assert!(report.trouble.is_some(), "{report:?}");
    assert!(report.sessions < 12, "{report:?}");
    // The next run begins with those that were not tried.
    office.habits(|it| it.answers.clear());
    person.collect().await;
    person.assert_has(&letters(40, 300));
    assert!(office.letters().is_empty() && office.removed_unread().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_at_any_stage_ends_in_time() {
    for (index, said) in [
        "",
        "+OK ready\r\n",
        "+OK ready\r\n+OK\r\n.\r\n",
        "+OK half",
        "+OK ready\r\n-ERR going down\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let office = Office::open(letters(1, 100), Habits::default()).await;
        let mut person = Person::new(&office, Keep::Delete);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        person.account.server.port = listener.local_addr().expect("an address").port();
        let silent = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(said.as_bytes()).await;
                kept.push(stream);
            }
        });
        let begun = Instant::now();
        let report = person.collect().await;
        assert!(begun.elapsed() < 4 * PATIENCE, "{index}");
        let consequence = report.trouble.as_ref().map(|it| it.consequence());
        // What comes before it was asked for is no answer; it may be a farewell.
        let expected = match index {
            2 => Consequence::Protocol,
            _ => Consequence::Later,
        };
        assert_eq!(consequence, Some(expected), "{index}: {report:?}");
        silent.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_vanished_destination_deletes_nothing() {
    let office = Office::open(letters(300, 300), Habits::default()).await;
    let person = Person::new(&office, Keep::Delete);
    std::fs::write(person.maildir(), "not a directory").expect("a file");
    let report = person.collect().await;
    let consequence = report.trouble.as_ref().map(|it| it.consequence());
    assert_eq!(consequence, Some(Consequence::Disk), "{report:?}");
    assert_eq!(office.letters().len(), 300);
    std::fs::remove_file(person.maildir()).expect("the file");
    let report = person.collect().await;
    assert!(report.trouble.is_none(), "{report:?}");
    person.assert_has(&letters(300, 300));
    assert!(office.letters().is_empty() && office.removed_unread().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_written_deletes_nothing() {
    let office = Office::open(letters(3, 300), Habits::default()).await;
    let person = Person::new(&office, Keep::Delete);
    std::fs::write(person.state(), "not a directory").expect("a file");
    let report = person.collect().await;
    let consequence = report.trouble.as_ref().map(|it| it.consequence());
    assert_eq!(consequence, Some(Consequence::Disk), "{report:?}");
    assert_eq!(office.letters().len(), 3);
    person.assert_has(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_without_a_destination_stays_where_it_is() {
    let office = Office::open(letters(3, 300), Habits::default()).await;
    let person = Person::new(&office, Keep::Delete);
    let report = person.collect_into(Vec::new()).await;
    let consequence = report.trouble.as_ref().map(|it| it.consequence());
    assert_eq!(consequence, Some(Consequence::Configuration), "{report:?}");
    assert_eq!((office.letters().len(), office.sessions()), (3, 0));
}
