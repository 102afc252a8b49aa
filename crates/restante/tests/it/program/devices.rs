//! One mailbox and several devices, as a person sets them up and as mail programs see them.

mod month;

use serde_json::{Value, json};

use super::user::{Client, User};

/// The account `me` where each device has a view of its own, and mail in it.
fn user_with_mail(letters: &[&str]) -> User {
    let user = User::with(
        "[pop3]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n\
         [accounts]\nfailure_time = \"200ms\"\n[mail]\ndelete = \"per-device\"\n",
    );
    user.run_with(&["account", "add", "me", "--password-stdin"], b"pass\n");
    for letter in letters {
        deliver(&user, letter);
    }
    user
}

fn deliver(user: &User, letter: &str) {
    let message = format!("Subject: {letter}\n\n{letter}\n");
    user.run_with(&["deliver", "me"], message.as_bytes()).well();
}

fn add(user: &User, name: &str, more: &[&str]) -> String {
    let words = ["-q", "account", "device", "add", "me", name, "--json"];
    let added = user.run(&[&words[..], more].concat()).well();
    let added: Value = serde_json::from_str(&added).unwrap();
    added["settings"]["password"].as_str().unwrap().to_owned()
}

/// A session that has logged in.
fn session(address: std::net::SocketAddr, password: &str) -> Client {
    let (client, accepted) = Client::login(address, "me", password);
    assert!(accepted);
    client
}

/// What `STAT` says is there.
fn count(client: &mut Client) -> u32 {
    let stat = client.say("STAT");
    stat.split(' ').nth(1).unwrap().parse().unwrap()
}

fn trash(user: &User) -> Value {
    let listed = user.run(&["mail", "list", "me", "--trash", "--json"]);
    serde_json::from_str(&listed.well()).unwrap()
}

#[test]
fn what_one_device_deletes_the_other_still_gets_and_then_it_goes_to_the_trash() {
    let user = user_with_mail(&["one", "two"]);
    let phone = add(&user, "phone", &["--show", "all"]);
    let laptop = add(&user, "laptop", &["--show", "all"]);
    let server = user.serve();
    let address = server.plain_address();
    // Both at once: each has a lock of its own.
    let (mut on_phone, mut on_laptop) = (session(address, &phone), session(address, &laptop));
    assert_eq!((count(&mut on_phone), count(&mut on_laptop)), (2, 2));
    let ids = on_laptop.say("UIDL 1");
    assert!(on_phone.say("DELE 1").starts_with("+OK"));
    assert!(on_phone.say("QUIT").starts_with("+OK"));
    assert!(on_laptop.say("QUIT").starts_with("+OK"));

    assert_eq!(count(&mut session(address, &phone)), 1);
    assert_eq!(trash(&user), json!([]));
    let mut on_laptop = session(address, &laptop);
    assert_eq!(count(&mut on_laptop), 2);
    assert_eq!(on_laptop.say("UIDL 1"), ids);
    assert!(on_laptop.say("DELE 1").starts_with("+OK"));
    assert!(on_laptop.say("QUIT").starts_with("+OK"));
    let gone = trash(&user);
    assert_eq!(gone.as_array().unwrap().len(), 1);
    assert_eq!(gone[0]["deleted_by"], json!(["phone", "laptop"]));

    // Put back for one alone, under a new unique-id.
    let restored = user.run(&["mail", "restore", "me", "--all", "--device", "laptop"]);
    assert_eq!(restored.stderr, "1 message put back\n", "{restored:?}");
    assert_eq!(count(&mut session(address, &phone)), 1);
    let mut on_laptop = session(address, &laptop);
    assert_eq!(count(&mut on_laptop), 2);
    let again = on_laptop.say("UIDL");
    assert!(again.starts_with("+OK"));
    let listed = [on_laptop.line(), on_laptop.line()].concat();
    let old = ids.trim_end().rsplit(' ').next().unwrap();
    assert!(!listed.contains(old), "{listed} has {old}");
}

/// What is done with mail is told by the names that people have given.
#[test]
fn devices_are_called_by_their_names_in_the_trash_and_in_the_journal() {
    let user = user_with_mail(&["1", "2"]);
    let phone = add(&user, "Jörgs \"Händi\"", &["--show", "all"]);
    let archive = add(&user, "archive\u{202e}", &["--show", "all", "--read-only"]);
    let server = user.serve();
    let mut session = self::session(server.plain_address(), &phone);
    assert!(session.say("DELE 1").starts_with("+OK"));
    assert!(session.say("QUIT").starts_with("+OK"));
    assert_eq!(trash(&user).as_array().unwrap().len(), 0);
    // It cannot delete, so to have fetched it is enough.
    let mut session = self::session(server.plain_address(), &archive);
    session.retrieve(1);
    assert!(session.say("DELE 1").starts_with("-ERR"));
    assert!(session.say("QUIT").starts_with("+OK"));
    let trash = trash(&user);
    assert_eq!(
        trash[0]["deleted_by"],
        serde_json::json!(["Jörgs \"Händi\""])
    );
    let shown = user.run(&["mail", "list", "--trash", "me"]).well();
    assert!(shown.ends_with("deleted by Jörgs \"Händi\"\n"), "{shown}");
    user.run(&["-q", "account", "device", "remove", "me", "archive\u{202e}"])
        .well();
    let log = user.run(&["mail", "log", "me"]).well();
    for told in [
        "device Jörgs \"Händi\" added\n",
        "view Jörgs \"Händi\" password Jörgs \"Händi\" by ",
        "0 retrieved, 1 deleted\n",
        "1 retrieved, 0 deleted\n",
        " removed\n",
    ] {
        assert!(log.contains(told), "{told:?} in {log}");
    }
    assert!(!log.contains('\u{202e}'), "{log:?}");
}

#[test]
fn a_new_device_sees_what_it_was_added_to_see_and_a_reset_one_everything() {
    let user = user_with_mail(&["old"]);
    let all = add(&user, "all", &["--show", "all"]);
    let new = add(&user, "new", &[]);
    deliver(&user, "new");
    let server = user.serve();
    let address = server.plain_address();
    assert_eq!(count(&mut session(address, &all)), 2);
    let mut first = session(address, &new);
    assert_eq!(count(&mut first), 1);
    assert!(first.say("RETR 1").starts_with("+OK"));
    drop(first);
    let reset = user.run(&["account", "device", "reset", "me", "new"]);
    assert!(reset.stderr.contains("sees 2 messages again"), "{reset:?}");
    assert_eq!(count(&mut session(address, &new)), 2);
    user.run(&["account", "device", "reset", "me", "tablet"])
        .refused(67, "has no device `tablet`");
}

#[test]
fn mail_that_waited_for_a_removed_device_alone_goes_to_the_trash() {
    let user = user_with_mail(&["one"]);
    let phone = add(&user, "phone", &["--show", "all"]);
    let _laptop = add(&user, "laptop", &["--show", "all"]);
    let server = user.serve();
    let address = server.plain_address();
    let mut on_phone = session(address, &phone);
    assert!(on_phone.say("DELE 1").starts_with("+OK"));
    assert!(on_phone.say("QUIT").starts_with("+OK"));
    assert_eq!(trash(&user), json!([]));
    user.run(&["-q", "account", "device", "remove", "me", "laptop"]);
    assert_eq!(trash(&user).as_array().unwrap().len(), 1);
    let list = user.run(&["account", "device", "list", "me", "--json"]);
    let list: Value = serde_json::from_str(&list.well()).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["device"], json!("phone"));
    assert_eq!(list[0]["last_address"], json!("127.0.0.1"));
    assert!(list[0]["last_used"].as_u64() >= list[0]["added"].as_u64());
}

/// R2449-EXPIRE-3: the smallest before login, and afterwards the user's own.
#[test]
fn r2449_expire_3_what_an_account_keeps_is_announced_before_and_after_login() {
    let user = user_with_mail(&["one", "two"]);
    user.run_with(&["account", "add", "you", "--password-stdin"], b"pass\n");
    let server = user.serve();
    let address = server.plain_address();
    let expire = |client: &mut Client| {
        assert!(client.say("CAPA").starts_with("+OK"));
        let lines = std::iter::from_fn(|| Some(client.line()).filter(|line| line != ".\r\n"));
        let lines: Vec<_> = lines.collect();
        let line = lines.iter().find(|line| line.starts_with("EXPIRE"));
        line.expect("EXPIRE is announced").trim_end().to_owned()
    };
    assert_eq!(expire(&mut Client::connect(address)), "EXPIRE NEVER");
    let set = user.run(&["account", "set", "me", "--keep", "30d"]);
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(expire(&mut Client::connect(address)), "EXPIRE 30 USER");
    user.run(&[
        "account",
        "set",
        "me",
        "--keep",
        "until-fetched",
        "--delete",
        "shared",
    ]);
    assert_eq!(expire(&mut Client::connect(address)), "EXPIRE 0 USER");
    let mut mine = session(address, "pass");
    assert_eq!(expire(&mut mine), "EXPIRE 0");
    let (mut yours, _) = Client::login(address, "you", "pass");
    assert_eq!(expire(&mut yours), "EXPIRE NEVER");

    // What was fetched and not deleted is gone after QUIT, and not before.
    assert!(mine.say("RETR 1").starts_with("+OK"));
    while mine.line() != ".\r\n" {}
    drop(mine);
    let mut mine = session(address, "pass");
    assert_eq!(count(&mut mine), 2);
    assert!(mine.say("RETR 1").starts_with("+OK"));
    while mine.line() != ".\r\n" {}
    assert!(mine.say("QUIT").starts_with("+OK"));
    assert_eq!(count(&mut session(address, "pass")), 1);

    let shown = user.run(&["account", "show", "me"]).well();
    for row in [
        "delete            shared, its own choice\n",
        "keep              until-fetched, its own choice\n",
        "trash             1 messages, ",
    ] {
        assert!(shown.contains(row), "no `{row}` in\n{shown}");
    }
    user.run(&["account", "set", "me", "--keep", "default"]);
    assert_eq!(expire(&mut Client::connect(address)), "EXPIRE NEVER");
    user.run(&["account", "set", "me", "--keep", "sometimes"])
        .refused(
            64,
            "`until-fetched`, `until-deleted`, `forever` or a time like `30d` is wanted",
        );
}
