//! Folders besides INBOX, as mail programs and an operator see them.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::user::{Client, User};

const LETTER: &str = "Subject: hello\n\nhello\n";
const SPAM: &str = "Subject: win\n\n.win\n";

/// The account `me` with a letter in INBOX and one in Junk, which is shown with a tag.
fn user() -> User {
    let user = User::with(
        "[pop3]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n\
         [accounts]\nfailure_time = \"200ms\"\n\
         [[mail.view]]\nfolder = \"Junk\"\ntag = \"[junk] \"\n",
    );
    user.run_with(&["account", "add", "me", "--password-stdin"], b"pass\n");
    user.run_with(&["deliver", "me"], SPAM.as_bytes()).well();
    let (from, to) = (maildir(&user).join("new"), maildir(&user).join(".Junk"));
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(to.join(directory)).unwrap();
    }
    let spam = fs::read_dir(&from).unwrap().next().unwrap().unwrap();
    fs::rename(spam.path(), to.join("new").join(spam.file_name())).unwrap();
    user.run_with(&["deliver", "me"], LETTER.as_bytes()).well();
    user
}

fn shown(user: &User) -> Value {
    let shown = user.run(&["account", "show", "me", "--json"]).well();
    serde_json::from_str(&shown).unwrap()
}

fn maildir(user: &User) -> PathBuf {
    shown(user)["maildir"].as_str().unwrap().into()
}

/// What curl gets of the message.
fn curl(address: SocketAddr, name: &str, number: u32) -> String {
    let url = format!("pop3://{address}/{number}");
    let got = Command::new("curl")
        .args(["-q", "-s", "-S", "--max-time", "60", "--user"])
        .args([&format!("{name}:pass"), &url])
        .output()
        .unwrap();
    assert!(got.status.success(), "{got:?}");
    String::from_utf8(got.stdout).unwrap()
}

/// What mpop fetches and deletes.
fn mpop(user: &User, address: SocketAddr, name: &str) -> Vec<String> {
    let mail = user.path(&format!("mpop-{name}"));
    for directory in ["cur", "new", "tmp"] {
        fs::create_dir_all(mail.join(directory)).unwrap();
    }
    let settings = format!(
        "account default\nhost 127.0.0.1\nport {}\nuser {name}\npassword pass\nauth user\n\
         tls off\ndelivery maildir {}\nuidls_file {}\nreceived_header off\nkeep off\n",
        address.port(),
        mail.display(),
        user.path(&format!("uidls-{name}")).display(),
    );
    let file = user.path("mpoprc");
    fs::write(&file, settings).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut mpop = Command::new("mpop");
    mpop.arg("--quiet").arg("--file").arg(&file);
    let ran = mpop.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let entries = fs::read_dir(mail.join("new")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

#[test]
fn mail_programs_see_the_junk_with_its_tag_or_by_its_name() {
    let user = user();
    let server = user.serve();
    let address = server.plain_address();
    // One listing, the oldest first.
    let tagged = "Subject: [junk] win\r\n\r\n.win\r\n";
    assert_eq!(curl(address, "me", 1), tagged);
    assert_eq!(curl(address, "me", 2), LETTER.replace('\n', "\r\n"));
    let (mut client, accepted) = Client::login(address, "me", "pass");
    assert!(accepted);
    let octets = tagged.len() + LETTER.len() + 3;
    assert_eq!(client.say("STAT").trim_end(), format!("+OK 2 {octets}"));
    assert!(client.say("QUIT").starts_with("+OK"));
    // That folder alone, as it is.
    assert_eq!(curl(address, "me+Junk", 1), SPAM.replace('\n', "\r\n"));
    assert_eq!(curl(address, "me+INBOX", 1), LETTER.replace('\n', "\r\n"));
    let (mut client, accepted) = Client::login(address, "me+Absent", "pass");
    assert!(accepted);
    assert_eq!(client.say("STAT").trim_end(), "+OK 0 0");
    assert!(client.say("QUIT").starts_with("+OK"));
    assert!(!maildir(&user).join(".Absent").exists());
    let (_, accepted) = Client::login(address, "me+Junk", "word");
    assert!(!accepted);
    // What is deleted there is gone everywhere, and goes back there.
    assert_eq!(mpop(&user, address, "me+Junk"), [SPAM]);
    assert_eq!(curl(address, "me", 1), LETTER.replace('\n', "\r\n"));
    let restored = user.run(&["mail", "restore", "me", "--all"]);
    assert_eq!(restored.stderr, "1 message put back\n", "{restored:?}");
    assert_eq!(curl(address, "me+Junk", 1), SPAM.replace('\n', "\r\n"));
    assert_eq!(mpop(&user, address, "me").len(), 2);
}

#[test]
fn an_account_chooses_what_is_shown_of_its_mailbox() {
    let user = user();
    assert_eq!(shown(&user)["folders"], "Junk=[junk] ");
    assert_eq!(shown(&user)["show_last"], "all");
    let server = user.serve();
    let address = server.plain_address();
    let count = |name: &str| {
        let (mut client, accepted) = Client::login(address, name, "pass");
        assert!(accepted);
        let stat = client.say("STAT");
        assert!(client.say("QUIT").starts_with("+OK"));
        stat.split(' ').nth(1).unwrap().to_owned()
    };
    let set = |words: &[&str]| {
        let words = ["-q", "account", "set", "me"].iter().chain(words);
        user.run(&words.copied().collect::<Vec<_>>()).well();
    };
    assert_eq!(count("me"), "2");
    set(&["--folders", "none"]);
    assert_eq!((count("me"), count("me+Junk")), ("1".into(), "1".into()));
    set(&["--folders", "Lists/rust,Junk=[?]", "--show-last", "30d"]);
    assert_eq!(shown(&user)["folders"], "Lists.rust,Junk=[?]");
    assert_eq!(shown(&user)["show_last"], "30d");
    assert!(curl(address, "me", 1).starts_with("Subject: [?] win"));
    set(&["--folders", "default", "--show-last", "default"]);
    assert!(curl(address, "me", 1).starts_with("Subject: [junk] win"));
    let check = user.run(&["config", "check"]);
    let said = "POP shows INBOX, Junk (tagged `[junk] `)";
    assert!(check.stdout.contains(said), "{check:?}");
    for wrong in ["../x", "INBOX", "a,a", "Junk=ä"] {
        let refused = user.run(&["account", "set", "me", "--folders", wrong]);
        assert_eq!(refused.code, 64, "{refused:?}");
    }
}

#[test]
fn a_list_says_which_message_is_in_another_folder_than_inbox() {
    let user = user();
    let server = user.serve();
    let list = |more: &[&str]| {
        let words = ["mail", "list", "me"].iter().chain(more);
        user.run(&words.copied().collect::<Vec<_>>()).well()
    };
    let folders = |json: &str| {
        let listed: Vec<Value> = serde_json::from_str(json).unwrap();
        let folders = listed.iter().map(|one| one["folder"].as_str().unwrap());
        folders.map(str::to_owned).collect::<Vec<_>>()
    };
    // Somebody has to have looked at it.
    assert!(curl(server.plain_address(), "me", 1).contains("[junk] win"));
    let listed = list(&[]);
    let (junk, inbox) = listed.trim_end().split_once('\n').unwrap();
    assert!(junk.ends_with(" in Junk"), "{listed}");
    assert_eq!(inbox.split_whitespace().count(), 4, "{listed}");
    assert_eq!(folders(&list(&["--json"])), ["Junk", "INBOX"]);
    assert_eq!(mpop(&user, server.plain_address(), "me+Junk"), [SPAM]);
    let trash = list(&["--trash"]);
    let first = trash.lines().next().unwrap();
    assert!(first.ends_with(" in Junk"), "{trash}");
    assert_eq!(folders(&list(&["--trash", "--json"])), ["Junk"]);
}
