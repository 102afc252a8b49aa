//! Passwords that a person is asked for at a terminal, and tokens that a program gives.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    Reader,
    stranger::{Door, Stranger, letters},
    trust::Person,
};
use crate::terminal::Terminal;

#[test]
fn a_person_is_asked_for_the_password_and_shown_how_far_it_has_come() {
    let reader = Reader::new("");
    let mut terminal = Terminal::run(reader.user.command(&["fetch", "--config", "fetch.toml"]));
    terminal.wait_for("Password of me@example.com at 127.0.0.1: ");
    terminal.type_line("secret");
    let (code, shown) = terminal.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert_eq!(reader.mail().len(), 2);
    assert!(shown.contains("of 2 messages, "), "{shown:?}");
    assert!(!shown.contains(" , ") && !shown.contains("iB"), "{shown:?}");
    assert!(shown.contains("work: collected 2 messages"), "{shown:?}");
    // PRJ-SEC-7: nobody who looks on reads it.
    assert!(!shown.contains("secret"), "{shown:?}");

    // Nothing new: nothing is drawn.
    let mut terminal = Terminal::run(reader.user.command(&["fetch", "--config", "fetch.toml"]));
    terminal.wait_for("Password of ");
    terminal.type_line("secret");
    let (code, shown) = terminal.ended();
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(!shown.contains("messages, "), "{shown:?}");
}

// R7628-OAB-1, XOAUTH2-3
#[test]
fn a_token_is_made_for_each_run_and_goes_over_tls_alone() {
    let person = Person::new();
    let signed = person.sign("localhost", 2100).config;
    let capabilities = b"+OK\r\nUIDL\r\nTOP\r\nSASL OAUTHBEARER\r\n.\r\n";
    let answers: [(&str, &[u8]); 3] = [
        ("CAPA", capabilities),
        ("AUTH OAUTHBEARER", b"+ \r\n"),
        // `n,a=me,` as it begins in base64.
        ("bixhPW1l", b"+OK\r\n"),
    ];
    let server = Stranger::with(
        (Door::Tls(signed), Box::new(|_| ())),
        letters(3, 300),
        answers.to_vec(),
    );
    let keys = "ca_file = \"authority.pem\"\n\
                oauth = { token_command = \"echo run >> runs; echo ya29.$(wc -l < runs)\" }";
    let without_password = |keys: &str| {
        let path = person.write(&server, keys);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("password = \"secret\"\n", "")).unwrap();
        person.user.run(&["fetch", "--config", &path])
    };
    for run in 1..=2 {
        let ran = without_password(keys);
        assert_eq!(ran.code, 0, "{ran:?}");
        person.assert_all(&server);
        let heard = server.heard_under_tls();
        let told = heard.iter().rev().find(|line| line.starts_with("bixhPW1l"));
        let told = BASE64_STANDARD.decode(told.unwrap()).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert!(
            told.contains(&format!("auth=Bearer ya29.{run}\u{1}")),
            "{told:?}"
        );
        assert!(!format!("{ran:?}").contains("ya29"), "{ran:?}");
    }

    // In the clear it is not told, to this machine either.
    let server = Stranger::answering(letters(3, 300), &answers);
    let path = person.write(
        &server,
        "tls = \"none\"\noauth = { token_command = \"echo ya29\" }",
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("password = \"secret\"\n", "")
        .replace("localhost", "127.0.0.1");
    std::fs::write(&path, text).unwrap();
    let ran = person.user.run(&["fetch", "--config", &path]);
    assert_ne!(ran.code, 0, "{ran:?}");
    let heard = server.heard_in_the_clear();
    assert!(heard.iter().all(|line| line == "CAPA"), "{heard:?}");
}
