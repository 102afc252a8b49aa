//! What a person can do with accounts, and see of them.

use serde_json::{Value, json};

use super::user::{Client, User};

fn user_with_me() -> User {
    let user = User::with(
        "[pop3]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n\
         [accounts]\ndefault_domain = \"Example.com\"\nfailure_time = \"200ms\"\n",
    );
    let added = user.run_with(&["account", "add", "Me", "--password-stdin"], b"pass\n");
    assert!(added.stderr.contains("`me@example.com` added"), "{added:?}");
    user
}

fn shown(user: &User, name: &str) -> Value {
    serde_json::from_str(&user.run(&["account", "show", name, "--json"]).well()).unwrap()
}

#[test]
fn an_account_that_is_closed_to_pop_refuses_as_a_wrong_password_does_and_takes_mail() {
    let user = user_with_me();
    let server = user.serve();
    let address = server.plain_address();
    let (mut open, accepted) = Client::login(address, "me", "pass");
    assert!(accepted);
    let ran = user.run(&["account", "set", "ME", "--pop", "off"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.ends_with("\n1 session ended\n"), "{ran:?}");
    assert!(open.line().starts_with("-ERR "));
    let refusal = |name: &str, password: &str| {
        let mut client = Client::connect(address);
        client.say(&format!("USER {name}"));
        client.say(&format!("PASS {password}"))
    };
    let closed = refusal("me@example.com", "pass");
    assert!(closed.starts_with("-ERR [AUTH] "), "{closed}");
    assert_eq!(closed, refusal("me@example.com", "wrong"));
    assert_eq!(closed, refusal("nobody@example.com", "pass"));
    user.run_with(&["deliver", "me"], b"Subject: kept\n\n")
        .well();
    assert_eq!(shown(&user, "me")["pop"], json!(false));
    user.run(&["account", "set", "me", "--pop", "on"]);
    let (mut client, accepted) = Client::login(address, "me", "pass");
    assert!(accepted);
    assert!(client.say("STAT").starts_with("+OK 1 "));
}

#[test]
fn an_account_is_shown_with_its_mailbox_and_what_is_in_it() {
    let user = user_with_me();
    user.run_with(&["deliver", "me"], b"Subject: one\n\n")
        .well();
    let place = user.data().join("mail/me@example.com");
    let json = shown(&user, "ME");
    assert_eq!(json["address"], json!("me@example.com"));
    assert_eq!(json["pop"], json!(true));
    assert_eq!(json["maildir"], json!(place.to_str().unwrap()));
    assert_eq!(json["messages"], json!(1));
    assert!(json["octets"].as_u64().unwrap() >= 14, "{json}");
    assert!(
        json["created"].as_u64() <= json["password_changed"].as_u64(),
        "{json}"
    );
    let rows = user.run(&["account", "show", "me"]).well();
    for row in [
        "address           me@example.com",
        "POP3              on",
        &format!("mailbox           {}", place.display()),
        "mail              1 messages, ",
        "made              20",
    ] {
        assert!(
            rows.lines().any(|line| line.starts_with(row)),
            "no `{row}` in\n{rows}"
        );
    }
    let list: Value =
        serde_json::from_str(&user.run(&["account", "list", "--json"]).well()).unwrap();
    assert_eq!(list[0]["pop"], json!(true));
}

#[test]
fn accounts_of_a_passwd_file_are_shown_too_and_changed_by_its_editor_only() {
    let user = User::with("[accounts]\nsource = \"passwd-file\"\npasswd_file = \"users\"\n");
    std::fs::write(
        user.path("users"),
        "me:{PLAIN}x::::/home/me::userdb_mail=maildir:~/Maildir allow_nets=10.0.0.0/8\n\
         bad:{PLAIN}x::::::unheard_of=1\n",
    )
    .unwrap();
    let json = shown(&user, "Me");
    assert_eq!(json["maildir"], json!("/home/me/Maildir"));
    assert_eq!(json["networks"], json!(["10.0.0.0/8"]));
    assert_eq!(json["created"], Value::Null);
    assert!(
        shown(&user, "bad")["problem"]
            .as_str()
            .unwrap()
            .contains("unheard_of")
    );
    user.run(&["account", "set", "me", "--pop", "off"])
        .refused(78, "these commands manage the built-in accounts");
}

#[test]
fn what_cannot_be_set_or_shown_is_refused() {
    let user = user_with_me();
    user.run(&["account", "show", "nobody"])
        .refused(67, "there is no account `nobody`");
    user.run(&["account", "set", "nobody", "--pop", "on"])
        .refused(67, "no account");
    user.run(&["account", "set", "me"]).refused(64, "--pop");
    user.run(&["account", "set", "me", "--pop", "maybe"])
        .refused(64, "[possible values: on, off]");
}

#[test]
fn a_device_has_a_password_of_its_own_until_it_is_removed() {
    let user = user_with_me();
    user.run_with(&["deliver", "me"], b"Subject: kept\n\n")
        .well();
    let add = |name: &str, more: &[&str]| {
        let words = [
            &["-q", "account", "device", "add", "ME", name, "--json"][..],
            more,
        ]
        .concat();
        let added: Value = serde_json::from_str(&user.run(&words).well()).unwrap();
        assert_eq!(added["account"], json!("me@example.com"));
        assert_eq!(added["device"], json!(name));
        let settings = &added["settings"];
        assert_eq!(settings["user name"], json!("me@example.com"));
        settings["password"].as_str().unwrap().to_owned()
    };
    let phone = add("Anna's Händi", &[]);
    let archive = add("archive", &["--read-only"]);
    let server = user.serve();
    let address = server.plain_address();
    let (mut on_phone, accepted) = Client::login(address, "me", &phone);
    assert!(accepted);
    // What one may, the other may not.
    assert!(on_phone.say("DELE 1").starts_with("+OK"));
    let removed = user.run(&["account", "device", "remove", "me", "Anna's Händi"]);
    assert!(
        removed.stderr.ends_with("\n1 session ended\n"),
        "{removed:?}"
    );
    assert!(
        on_phone
            .line()
            .starts_with("-ERR the account or its password")
    );
    assert!(!Client::login(address, "me", &phone).1);
    let (mut reading, accepted) = Client::login(address, "me", &archive);
    assert!(accepted);
    let refused = reading.say("DELE 1");
    assert_eq!(refused, "-ERR this device may not delete mail\r\n");
    assert!(reading.say("QUIT").starts_with("+OK"));
    assert!(Client::login(address, "me", "pass").1);

    let list = user
        .run(&["account", "device", "list", "me", "--json"])
        .well();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["device"], json!("archive"));
    assert_eq!(list[0]["read_only"], json!(true));
    let rows = user.run(&["account", "device", "list", "me"]).well();
    assert!(
        rows.starts_with("archive  added 20") && rows.ends_with("UTC  not used yet  read-only\n"),
        "{rows}"
    );
}

#[test]
fn a_device_that_cannot_be_or_is_not_is_refused() {
    let user = user_with_me();
    let table = user.run(&["-q", "account", "device", "add", "me", "phone"]);
    let table = table.well();
    for row in [
        "  user name  me@example.com\n",
        "  password   ",
        "  protocol   POP3\n",
    ] {
        assert!(table.contains(row), "{table}");
    }
    user.run(&["account", "device", "add", "me", "phone"])
        .refused(65, "`me@example.com` has a device `phone`");
    user.run(&["account", "device", "add", "me", "default"])
        .refused(65, "cannot be the name of a device");
    user.run(&["account", "device", "add", "nobody", "phone"])
        .refused(67, "no account");
    user.run(&["account", "device", "remove", "me", "tablet"])
        .refused(67, "has no device `tablet`");
}

/// Accounts in a SQLite file, `tim@a.example` with the password `pencil`.
fn user_with_database(query: &str) -> User {
    let user = User::with("");
    let database = user.path("users.sqlite");
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute_batch(
            "CREATE TABLE users (address TEXT PRIMARY KEY, password TEXT);
             INSERT INTO users VALUES ('tim@a.example', '{PLAIN}pencil');",
        )
        .unwrap();
    let configuration = format!(
        "[pop3]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n\
         [accounts]\nsource = \"sql\"\nfailure_time = \"200ms\"\ndefault_domain = \"a.example\"\n\
         [accounts.sql]\ndatabase = \"sqlite://{}\"\npassword_query = \"{query}\"\n\
         list_query = \"SELECT address FROM users\"\n",
        database.display()
    );
    std::fs::write(user.path("r.toml"), configuration).unwrap();
    user
}

#[test]
fn accounts_in_a_database_log_in_are_listed_and_looked_up_again_before_anything_is_removed() {
    let user = user_with_database("SELECT password FROM users WHERE address = :address");
    assert_eq!(user.run(&["account", "list"]).well(), "tim@a.example\n");
    let checked = user.run(&["config", "check"]).well();
    let database = user.path("users.sqlite");
    let expected = format!("SQLite {}, 1 account", database.display());
    assert!(checked.contains(&expected), "{checked}");
    user.run_with(&["deliver", "tim"], b"Subject: kept\n\n")
        .well();
    assert_eq!(shown(&user, "Tim")["messages"], json!(1));
    let server = user.serve();
    let address = server.plain_address();
    assert!(!Client::login(address, "tim", "Pencil").1);
    let (mut client, accepted) = Client::login(address, "tim", "pencil");
    assert!(accepted);
    assert!(client.say("DELE 1").starts_with("+OK"));
    rusqlite::Connection::open(&database)
        .unwrap()
        .execute("DELETE FROM users", [])
        .unwrap();
    let farewell = client.say("QUIT");
    assert!(
        farewell.starts_with("-ERR the account or its password"),
        "{farewell}"
    );
    assert!(!Client::login(address, "tim", "pencil").1);
    // An outage is not a wrong password.
    std::fs::remove_file(&database).unwrap();
    let mut client = Client::connect(address);
    client.say("USER tim");
    let outage = client.say("PASS pencil");
    assert!(outage.starts_with("-ERR [SYS/TEMP] "), "{outage}");
}

#[test]
fn a_query_that_cannot_work_is_refused_with_its_line() {
    let user = user_with_database("SELECT password FROM users WHERE address = :login");
    for words in [&["config", "check"][..], &["serve"]] {
        let what = "r.toml:10:18: error: `accounts.sql.password_query` has `:login`";
        user.run(words).refused(78, what);
    }
    let user = user_with_database("SELECT password FROM people WHERE address = :address");
    user.run(&["config", "check"]).refused(78, "no such table");
    user.run(&["account", "passwd", "tim", "--generate"])
        .refused(78, "change them in the database");
}

/// R2449-DELAY-2: the largest before login, and afterwards the user's own.
#[test]
fn r2449_delay_2_an_account_has_a_delay_between_logins_of_its_own() {
    let user = user_with_me();
    user.run_with(&["account", "add", "you", "--password-stdin"], b"pass\n");
    let server = user.serve();
    let address = server.plain_address();
    let delay = |client: &mut Client| {
        assert!(client.say("CAPA").starts_with("+OK"));
        let lines = std::iter::from_fn(|| Some(client.line()).filter(|line| line != ".\r\n"));
        let lines: Vec<_> = lines.collect();
        let line = lines.iter().find(|line| line.starts_with("LOGIN-DELAY"));
        line.map(|line| line.trim_end().to_owned())
    };
    assert_eq!(delay(&mut Client::connect(address)), None);
    let set = user.run(&["account", "set", "me", "--login-delay", "1h"]);
    assert_eq!(set.code, 0, "{set:?}");
    let before = Some("LOGIN-DELAY 3600 USER".to_owned());
    assert_eq!(delay(&mut Client::connect(address)), before);
    let (mut mine, accepted) = Client::login(address, "me", "pass");
    assert!(accepted);
    assert_eq!(delay(&mut mine), Some("LOGIN-DELAY 3600".to_owned()));
    assert!(mine.say("QUIT").starts_with("+OK"));
    let mut again = Client::connect(address);
    again.say("USER me");
    let refused = again.say("PASS pass");
    assert!(refused.starts_with("-ERR [LOGIN-DELAY]"), "{refused}");
    // Nobody else has to wait.
    for _ in 0..2 {
        let (mut yours, accepted) = Client::login(address, "you", "pass");
        assert!(accepted);
        assert_eq!(delay(&mut yours), Some("LOGIN-DELAY 0".to_owned()));
        assert!(yours.say("QUIT").starts_with("+OK"));
    }
    assert_eq!(shown(&user, "me")["login_delay"], json!(3600));
    assert_eq!(shown(&user, "you")["login_delay"], json!(0));
    let rows = user.run(&["account", "show", "me"]).well();
    let row = "between logins    3600 s, its own\n";
    assert!(rows.contains(row), "no `{row}` in\n{rows}");
    // Taken back, it holds no longer, and nobody hears of one.
    user.run(&["account", "set", "me", "--login-delay", "default"]);
    assert_eq!(delay(&mut Client::connect(address)), None);
    let (_, accepted) = Client::login(address, "me", "pass");
    assert!(accepted);
    for wrong in ["61m", "1500ms"] {
        user.run(&["account", "set", "me", "--login-delay", wrong])
            .refused(65, "whole seconds up to an hour");
    }
    user.run(&["account", "set", "me", "--login-delay", "soon"])
        .refused(64, "a time like `30s` or `5m` is wanted");
}

#[test]
fn the_last_login_is_shown_by_the_running_server_and_after_it_has_ended() {
    let user = user_with_me();
    assert_eq!(shown(&user, "me")["last_login"], Value::Null);
    let server = user.serve();
    let address = server.plain_address();
    assert_eq!(shown(&user, "me")["last_login"], Value::Null);
    let (mut client, accepted) = Client::login(address, "me", "pass");
    assert!(accepted);
    assert!(client.say("QUIT").starts_with("+OK"));
    let running = shown(&user, "me")["last_login"].clone();
    assert_eq!(running["address"], json!("127.0.0.1"));
    assert_eq!(running["mechanism"], json!("USER"));
    assert_eq!(running["credential"], json!("default"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ago = now.unwrap().as_secs() - running["when"].as_u64().unwrap();
    assert!(ago < 60, "{running}");
    // Who fails has not logged in.
    let (_, accepted) = Client::login(address, "me", "wrong");
    assert!(!accepted);
    assert_eq!(shown(&user, "me")["last_login"], running);
    server.stop();
    assert_eq!(shown(&user, "me")["last_login"], running);
    let rows = user.run(&["account", "show", "me"]).well();
    let row = rows.lines().find(|row| row.starts_with("last login "));
    let row = row.unwrap_or_else(|| panic!("no last login in\n{rows}"));
    assert!(row.ends_with(" UTC from 127.0.0.1 by USER"), "{row}");
    // The next server knows it from its file.
    let _server = user.serve();
    assert_eq!(shown(&user, "me")["last_login"], running);
}
