//! `fetch.toml`: what is understood, and what is said of the rest.

use std::time::Duration;

use restante_client::Security;
use restante_fetch::{Keep, Larger, Nameless, Secret, Source};

use super::*;

const EXAMPLE: &str = include_str!("../../../../../docs/fetch.example.toml");

const SMALL: &str = "\
[[account]]
name = \"work\"
server = \"localhost\"
tls = \"none\"
user = \"me\"
password = \"secret\"
deliver = { maildir = \"~/Mail\" }
";

fn surroundings() -> Surroundings {
    Surroundings {
        home: Some("/home/me".into()),
        data_home: None,
        directory: "/etc/x".into(),
    }
}

fn parse(text: &str) -> Result<FetchFile, String> {
    let list = match read(text, &surroundings(), false) {
        Ok(file) => return Ok(file),
        Err(list) => list,
    };
    Err(Problems::new(Some("f".into()), list).to_string())
}

fn problem(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("nothing is wrong with {text}"),
        Err(problems) => problems,
    }
}

#[test]
fn the_example_makes_sense_with_and_without_what_is_commented_out() {
    let file = parse(EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!file.accounts.is_empty());
    // A `# key = …` is a key that may be written; two of a name are alternatives.
    for line in EXAMPLE.lines().filter_map(|line| line.strip_prefix("# ")) {
        let Some((key, _)) = line.split_once(" = ") else {
            continue;
        };
        if key.contains(' ') {
            continue;
        }
        let text = match key {
            "state" | "at_once" => format!("{line}\n{SMALL}"),
            _ => format!("{SMALL}{line}\n"),
        };
        let found = match parse(&text) {
            Ok(_) => continue,
            Err(problems) => problems,
        };
        assert!(!found.contains("unknown key"), "{line}: {found}");
    }
}

#[test]
fn what_is_not_said_has_its_documented_default() {
    let file = parse(SMALL).unwrap_or_else(|problems| panic!("{problems}"));
    let account = file.accounts[0].account();
    assert_eq!(
        account.policy.keep,
        Keep::For(Duration::from_secs(14 * 86_400))
    );
    assert_eq!(account.policy.message_octets_max, 200 << 20);
    assert_eq!(account.policy.larger, Larger::Leave);
    assert_eq!(account.policy.nameless, Nameless::Identify);
    assert_eq!(account.interval, Duration::from_secs(300));
    assert!(matches!(account.server.security, Security::Loopback));
    assert_eq!(account.server.port, 110);
    assert!(!account.received && !account.apop && !file.accounts[0].asks);
    let state = std::env::var_os("XDG_STATE_HOME").is_none();
    assert!(!state || file.state == Path::new("/home/me/.local/state/restante"));
}

#[test]
fn mail_without_unique_ids_is_deleted_where_the_file_says_so() {
    let text = format!("{SMALL}without_unique_ids = \"delete\"\n");
    let file = parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let policy = file.accounts[0].account().policy;
    assert_eq!(policy.nameless, Nameless::Delete);
    let said = problem(&text.replace("\"delete\"", "\"number\""));
    assert!(
        said.contains("`account.without_unique_ids` is `\"number\"`"),
        "{said}"
    );
}

#[test]
fn every_way_to_deliver_is_read() {
    for deliver in [
        "{ maildir = \"m\", line_ends = \"crlf\" }",
        "{ mbox = \"/var/mail/me\", lock_wait = \"5s\" }",
        "{ lmtp = \"unix:/run/lmtp\", recipient = \"me@example.com\" }",
        "{ lmtp = \"127.0.0.1:24\", recipient = \"me\" }",
        "{ smtp = \"localhost:25\", recipient = \"me@example.com\", sender = \"x@example.com\" }",
        "{ command = \"procmail -d me\", deadline = \"1m\" }",
        "{ command = [\"/usr/bin/procmail\", \"-d\", \"me\"] }",
        "[{ maildir = \"m\" }, { mbox = \"x\" }]",
    ] {
        let text = SMALL.replace("{ maildir = \"~/Mail\" }", deliver);
        let file = parse(&text).unwrap_or_else(|problems| panic!("{deliver}: {problems}"));
        let places = (file.accounts[0].assignment.destinations)(Path::new("/state"));
        assert_eq!(
            places.len(),
            1 + usize::from(deliver.starts_with('[')),
            "{deliver}"
        );
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_a_remedy() {
    for (from, to, said) in [
        (
            "password = \"secret\"",
            "pasword = \"x\"",
            "f:6:1: error: unknown key `account.pasword`\n  hint: did you mean `password`?",
        ),
        (
            "name = \"work\"",
            "name = \"a/b\"",
            "f:2:8: error: `account.name` is `\"a/b\"`, which is no name for a file",
        ),
        ("user = \"me\"\n", "", "`account.user` is missing"),
        (
            "\"none\"",
            "\"starttls\"",
            "f:4:7: error: `account.tls` is `\"starttls\"`",
        ),
        (
            "\"localhost\"",
            "\"pop.example.com\"",
            "everybody could read along",
        ),
        ("\"localhost\"", "\"pop3://x\"", "which is no server's name"),
        (
            "{ maildir = \"~/Mail\" }",
            "{ maildir = \"m\", mbox = \"x\" }",
            "has both `maildir` and `mbox`",
        ),
        (
            "{ maildir = \"~/Mail\" }",
            "{ imap = \"x\" }",
            "not supported by this version",
        ),
        (
            "{ maildir = \"~/Mail\" }",
            "{ mildir = \"x\" }",
            "did you mean `maildir`?",
        ),
        (
            "{ maildir = \"~/Mail\" }",
            "{ lmtp = \"x:24\" }",
            "`account.deliver.recipient` is missing",
        ),
        ("{ maildir = \"~/Mail\" }", "[]", "has no place for mail"),
        (
            "{ maildir = \"~/Mail\" }",
            "[{ maildir = \"m\" }, { mbox = \"x\" }, { maildir = \"m\" }]",
            "names maildir:/etc/x/m twice",
        ),
        (
            "{ maildir = \"~/Mail\" }",
            "{ smtp = \"localhost\", recipient = \"me\", password = \"x\" }",
            "has a password and no `user`",
        ),
        (
            "password = \"secret\"",
            "keep = \"14 days\"",
            "`account.keep` is `\"14 days\"`",
        ),
        (
            "password = \"secret\"",
            "max_message_size = \"50\"",
            "is `50`, which is not a size",
        ),
        ("password = \"secret\"", "port = 70000", "which is no port"),
        (
            "password = \"secret\"",
            "proxy = \"http://x\"",
            "`account.proxy` is no proxy",
        ),
        (
            "password = \"secret\"",
            "pins = [\"zz\"]",
            "is no list of fingerprints",
        ),
        (
            "password = \"secret\"",
            "password = \"a\"\npassword_command = \"b\"",
            "more than one password",
        ),
        (
            "password = \"secret\"",
            "oauth = { }",
            "`account.oauth.token_command` is missing",
        ),
        ("[[account]]", "[account]", "`account` is a list of tables"),
        (
            "[[account]]",
            "stat = \"x\"\n[[account]]",
            "did you mean `state`?",
        ),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL);
        let found = problem(&text);
        assert!(found.contains(said), "{to}: {found}");
    }
    assert!(problem("").contains("there is no account"));
    assert!(problem(&SMALL.repeat(2)).contains("two accounts are named `work`"));
}

/// A program without it says so, and what does the same.
#[test]
fn the_keyring_is_asked_by_programs_that_know_one() {
    let text = SMALL.replace("password = \"secret\"", "password_keyring = true");
    if cfg!(feature = "keyring") {
        let file = parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let secret = format!("{:?}", file.accounts[0].account().secret);
        assert!(
            secret.contains("host: \"localhost\", user: \"me\""),
            "{secret}"
        );
    } else {
        let said = problem(&text);
        assert!(
            said.contains("f:6:20: error: `account.password_keyring` is not"),
            "{said}"
        );
        assert!(
            said.contains("secret-tool lookup service pop3 host localhost user me"),
            "{said}"
        );
    }
    let off = parse(&format!("{SMALL}password_keyring = false\n"));
    assert!(off.is_ok_and(|file| !file.accounts[0].asks));
}

#[test]
fn a_password_that_others_can_read_is_refused() {
    let Err(list) = read(SMALL, &surroundings(), true) else {
        panic!("it must be refused");
    };
    let hint = list[0].hint.as_deref().unwrap_or_default();
    assert!(hint.contains("chmod 600"), "{list:?}");
    let text = SMALL.replace("password = \"secret\"", "password_command = \"pass mail\"");
    assert!(read(&text, &surroundings(), true).is_ok());
    let proxy = |login: &str| format!("{text}proxy = \"socks5://{login}localhost:9050\"\n");
    assert!(read(&proxy(""), &surroundings(), true).is_ok());
    assert!(read(&proxy("me:secret@"), &surroundings(), false).is_ok());
    let Err(list) = read(&proxy("me:secret@"), &surroundings(), true) else {
        panic!("it must be refused");
    };
    assert!(list[0].text.contains("has a password"), "{list:?}");
}

/// So is one of a mail server.
#[test]
fn a_file_with_a_password_that_others_can_read_or_that_is_empty_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    let deliver = format!(
        "{{ smtp = \"localhost\", recipient = \"me\", user = \"me\", password_file = \"{}\" }}",
        file.display()
    );
    let text = SMALL.replace("{ maildir = \"~/Mail\" }", &deliver);
    assert!(problem(&text).contains("cannot be read"));
    for (content, mode, said) in [
        ("secret\n", 0o644, "which others can read"),
        ("\n", 0o600, "which has no password"),
        ("", 0o600, "which has no password"),
    ] {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let found = problem(&text);
        assert!(found.contains(said), "{found}");
    }
    fs::write(&file, "secret\n").unwrap();
    assert!(parse(&text).is_ok());
}

#[test]
fn passwords_come_from_where_the_file_says() {
    for (line, expected) in [
        ("password_command = \"pass mail\"", "Command"),
        ("password_file = \"~/x\"", "File"),
        ("oauth = { token_command = \"token\" }", "Token"),
        ("", "asked"),
    ] {
        let file = parse(&SMALL.replace("password = \"secret\"", line));
        let file = file.unwrap_or_else(|problems| panic!("{line}: {problems}"));
        let found = match (&file.accounts[0].account().secret, file.accounts[0].asks) {
            (_, true) => "asked",
            (Secret::Password(Source::Command(_)), _) => "Command",
            (Secret::Password(Source::File(_)), _) => "File",
            (Secret::Token(Source::Command(_)), _) => "Token",
            _ => "another",
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_mail_domain_is_a_domain_and_does_something() {
    let account = "[[account]]\nname = \"work\"\nserver = \"pop.example.net\"\nuser = \"me\"\n\
                   password = \"secret\"\ndeliver = { maildir = \"~/Mail\" }\n";
    let with = |keys: &str| format!("{account}{keys}\n");
    assert!(parse(&with("mail_domain = \"example.com\"")).is_ok());
    let said = problem(&with("mail_domain = \"me@example.com\""));
    assert!(said.contains("which is no domain"), "{said}");
    let pin = "00".repeat(32);
    let pinned = format!("mail_domain = \"example.com\"\npins = [\"{pin}\"]");
    let said = problem(&with(&pinned));
    assert!(
        said.contains("`account.mail_domain` does nothing"),
        "{said}"
    );
    let said = problem(&format!("{SMALL}mail_domain = \"example.com\"\n"));
    assert!(
        said.contains("`account.mail_domain` does nothing"),
        "{said}"
    );
}
