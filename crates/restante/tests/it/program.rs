//! The command line, driven as people drive it: the built program, in directories of its own.

mod accounts;
mod devices;
mod fetch;
mod folders;
mod journal;
mod mail;
mod reload;
mod user;
mod withdrawal;

use std::{
    fs,
    io::Read,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
};

use rustix::process::Signal;

use self::user::{Client, PATIENCE, Server, User, paste};

#[test]
fn the_first_start_prints_command_lines_that_show_the_first_letter() {
    let user = User::new();
    let server = user.serve();
    assert_eq!(server.setting("server"), "localhost");
    assert_eq!(server.setting("user name"), "you@localhost");
    assert_eq!(server.setting("password").len(), 24, "{}", server.settings);
    let curls = server.curls();
    assert_eq!(curls.len(), 2, "{}", server.settings);
    let listing = paste(curls[0]);
    assert!(listing.status.success(), "{}: {listing:?}", curls[0]);
    assert!(listing.stdout.starts_with(b"1 "), "{listing:?}");
    let letter = paste(curls[1]);
    assert!(letter.status.success(), "{}: {letter:?}", curls[1]);
    let letter = String::from_utf8(letter.stdout).unwrap();
    assert!(
        letter.contains("Subject: Your first letter\r\n"),
        "{letter}"
    );
    assert!(
        letter.contains("account add somebody@example.com"),
        "{letter}"
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_the_first_start_makes_is_readable_by_its_owner_only() {
    let user = User::new();
    assert_eq!(user.serve().stop(), Some(0));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&user.data()), 0o700);
    assert_eq!(mode(&user.data().join("certificate-key.pem")), 0o600);
}

#[test]
fn later_starts_show_no_password_and_keep_everything() {
    let user = User::new();
    let first = user.serve();
    let password = first.setting("password").to_owned();
    assert_eq!(first.stop(), Some(0));
    let certificate = fs::read(user.data().join("certificate.pem")).unwrap();
    let second = user.serve();
    assert!(!second.settings.contains(&password), "{}", second.settings);
    assert!(
        second.settings.contains("account passwd you@localhost"),
        "{}",
        second.settings
    );
    assert_eq!(
        fs::read(user.data().join("certificate.pem")).unwrap(),
        certificate
    );
    let (mut client, accepted) = Client::login(second.plain_address(), "you@localhost", &password);
    assert!(accepted);
    assert!(client.say("STAT").starts_with("+OK 1 "));
    // The password is nowhere on disk as it was printed.
    let found = paste(&format!("grep -rF {password} {}", user.data().display()));
    assert_eq!(found.stdout, b"", "{found:?}");
}

#[test]
fn accounts_are_added_listed_changed_and_removed_while_the_server_runs() {
    let user = User::new();
    let server = user.serve();
    let address = server.plain_address();
    let accepted = |name: &str, password: &str| Client::login(address, name, password).1;

    user.run_with(
        &["account", "add", "me@example.com", "--password-stdin"],
        b"pass word\n",
    );
    assert!(accepted("me@example.com", "pass word"));
    assert_eq!(
        user.run(&["account", "list"]).well(),
        "me@example.com\nyou@localhost\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&user.run(&["account", "list", "--json"]).well()).unwrap();
    assert_eq!(json[0]["address"], "me@example.com");

    user.run_with(
        &["account", "passwd", "me@example.com", "--password-stdin"],
        b"other\r\n",
    );
    assert!(accepted("me@example.com", "other"));
    assert!(!accepted("me@example.com", "pass word"));

    let made = user.run(&["account", "passwd", "me@example.com", "--generate"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(accepted("me@example.com", made.stdout.trim_end()));

    let removed = user.run(&["account", "remove", "me@example.com"]);
    assert_eq!(removed.code, 0, "{removed:?}");
    assert!(!accepted("me@example.com", made.stdout.trim_end()));
    assert_eq!(user.run(&["account", "list"]).well(), "you@localhost\n");
}

#[test]
fn removing_an_account_keeps_its_mail_and_says_where() {
    let user = User::new();
    user.run_with(&["account", "add", "me", "--password-stdin"], b"x\n");
    user.run_with(&["deliver", "me"], b"Subject: kept\n\n")
        .well();
    let removed = user.run(&["account", "remove", "me"]);
    let place = user.data().join("mail/me");
    assert!(
        removed.stderr.contains(&place.display().to_string()),
        "{removed:?}"
    );
    assert_eq!(fs::read_dir(place.join("new")).unwrap().count(), 1);
}

#[test]
fn accounts_that_are_not_there_or_there_already_are_named() {
    let user = User::new();
    user.run_with(&["account", "add", "me", "--password-stdin"], b"x\n");
    user.run_with(&["account", "add", "me", "--password-stdin"], b"y\n")
        .refused(65, "error: account `me` exists\nhint: ");
    for words in [
        &["account", "remove", "nobody"][..],
        &["account", "passwd", "nobody", "--generate"],
    ] {
        user.run(words)
            .refused(67, "error: no account `nobody`\nhint: ");
    }
    for name in ["", "../x", "a b", "a@", "@b", "a/b", "a@b@c", "a\tb"] {
        user.run(&["account", "add", "--generate", "--", name])
            .refused(65, "error: ");
    }
    assert_eq!(user.run(&["account", "list"]).well(), "me\n");
}

#[test]
fn a_password_must_be_one() {
    let user = User::new();
    for stdin in [&b""[..], b"\n", b"\r\nx\n", b"a\0b\n", &[b'x'; 300]] {
        let words = ["account", "add", "me", "--password-stdin"];
        user.run_with(&words, stdin)
            .refused(65, "error: the password ");
    }
    user.run(&["account", "add", "me"])
        .refused(64, "--password-stdin");
    assert_eq!(user.run(&["account", "list"]).well(), "");
}

#[test]
fn a_delivered_message_is_fetched_octet_for_octet() {
    let user = User::new();
    let server = user.serve();
    user.run_with(&["account", "add", "me", "--password-stdin"], b"x\n");
    let first = b"From me@example.com Mon Nov 23 21:00:00 2026\nSubject: \xfc\n\n.\n\0 no end";
    user.run_with(&["deliver", "me"], first).well();
    user.run_with(&["deliver", "--from", "a@b", "me"], b"Subject: 2\r\n\r\n")
        .well();
    let (mut client, accepted) = Client::login(server.plain_address(), "me", "x");
    assert!(accepted);
    let texts = [client.retrieve(1), client.retrieve(2)];
    let expected = [
        &b"Subject: \xfc\r\n\r\n..\r\n\0 no end\r\n"[..],
        b"Return-Path: <a@b>\r\nSubject: 2\r\n\r\n",
    ];
    // Two deliveries within a second may be listed in either order.
    for text in expected {
        assert!(texts.iter().any(|found| found == text), "{texts:?}");
    }
}

#[test]
fn delivery_finds_the_maildirs_of_a_passwd_file() {
    let user = User::with(
        "[accounts]\nsource = \"passwd-file\"\npasswd_file = \"users\"\ndefault_domain = \"a.example\"\n\
         [mail]\nmaildir = \"{home}/Maildir\"\n",
    );
    let home = user.path("her home");
    fs::create_dir(&home).unwrap();
    let line = format!("her@a.example:{{PLAIN}}x::::{}\n", home.display());
    fs::write(user.path("users"), line).unwrap();
    user.run_with(&["deliver", "Her"], b"Subject: a\n\n").well();
    assert_eq!(fs::read_dir(home.join("Maildir/new")).unwrap().count(), 1);
    user.run_with(&["deliver", "him"], b"Subject: a\n\n")
        .refused(67, "users");
}

// R1939-APOP-1, R1939-APOP-2: the timestamp is the announcement.
#[test]
fn apop_is_offered_where_it_is_switched_on() {
    for (apop, offered) in [(true, true), (false, false)] {
        let user = User::with(&format!(
            "[pop3]\nlisten = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\napop = {apop}\n\
             [accounts]\nsource = \"passwd-file\"\npasswd_file = \"users\"\n"
        ));
        fs::write(user.path("users"), "me@a.example:{PLAIN}x\n").unwrap();
        let server = user.serve();
        let stream = std::net::TcpStream::connect(server.plain_address()).unwrap();
        let mut greeting = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut greeting).unwrap();
        assert_eq!(greeting.contains('<'), offered, "{greeting}");
        assert_eq!(greeting.ends_with(">\r\n"), offered, "{greeting}");
    }
}

#[test]
fn delivery_says_by_its_exit_code_what_became_of_the_message() {
    let user = User::new();
    user.run_with(&["deliver", "nobody@example.com"], b"x\n")
        .refused(67, "`nobody@example.com`");
    user.run_with(&["account", "add", "me", "--password-stdin"], b"x\n");
    user.run_with(&["deliver", "nobody@example.com"], b"x\n")
        .refused(67, "`nobody@example.com`");
    user.run_with(&["deliver", "me"], b"")
        .refused(65, "no message");
    user.run_with(&["deliver", "me", "--from", "a\nb: c"], b"x\n")
        .refused(64, "--from");
    // A mail server keeps the message while the configuration is being mended.
    let mistaken = User::with("[pop3]\nlissten = []\n");
    mistaken
        .run_with(&["deliver", "me"], b"x\n")
        .refused(75, "r.toml:2:1: error: unknown key");
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let user = User::with(&format!(
        "[pop3]\nlisten = []\nlisten_tls = [\"{address}\"]\n"
    ));
    let ran = user.run(&["serve"]);
    ran.refused(69, &format!("cannot listen on {address}"));
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert!(
        !user.data().exists(),
        "a start that fails leaves nothing behind"
    );
}

/// The certificate that a server shows, in PEM.
fn shown_certificate(server: &Server) -> String {
    let port = server.setting("port");
    let shown = paste(&format!(
        "python3 -c 'import ssl; print(ssl.get_server_certificate((\"127.0.0.1\", {port})))'"
    ));
    assert!(shown.status.success(), "{shown:?}");
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn prj_tls_7_a_hang_up_signal_changes_the_certificate_and_no_session() {
    let user = User::new();
    let mut server = user.serve();
    let mut client = Client::connect(server.plain_address());
    let first = shown_certificate(&server);

    fs::remove_file(user.data().join("certificate.pem")).unwrap();
    server.signal(Signal::HUP);
    server.wait_for("certificates read again");
    let second = shown_certificate(&server);
    assert_ne!(first, second);

    fs::write(user.data().join("certificate-key.pem"), "half a key").unwrap();
    server.signal(Signal::HUP);
    server.wait_for("nothing reloaded");
    assert_eq!(shown_certificate(&server), second);
    assert!(client.say("QUIT").starts_with("+OK"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_second_stop_signal_does_not_wait_for_running_commands() {
    let user = User::new();
    let large = vec![b'x'; 64 << 20];
    user.run_with(&["account", "add", "me", "--password-stdin"], b"x\n");
    user.run_with(&["deliver", "me"], &large).well();
    let mut server = user.serve();
    let (mut client, accepted) = Client::login(server.plain_address(), "me", "x");
    assert!(accepted);
    // It asks for more than the sockets hold, and reads only the first line.
    assert!(client.say("RETR 1").starts_with("+OK"));
    server.signal(Signal::TERM);
    server.wait_for("stopping; sessions at work may finish");
    assert_eq!(
        server.child.try_wait().unwrap(),
        None,
        "the command may finish"
    );
    server.signal(Signal::TERM);
    assert_eq!(server.child.wait().unwrap().code(), Some(75));
}

#[test]
fn systemd_is_told_when_the_server_is_ready_and_when_it_stops() {
    let user = User::new();
    let path = user.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let received = || {
        let mut octets = [0; 64];
        let count = socket.recv(&mut octets).unwrap();
        octets[..count].to_vec()
    };
    let mut command = user.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path);
    let server = Server::start(command);
    assert_eq!(received(), b"READY=1");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(received(), b"STOPPING=1");
}

#[test]
fn config_check_explains_what_would_run() {
    let user = User::new();
    let report = user.run(&["config", "check"]).well();
    assert!(
        report.contains("POP3           127.0.0.1:0, with STLS"),
        "{report}"
    );
    assert!(
        report.contains("will be made at the next start"),
        "{report}"
    );
    assert!(report.contains("  pop3.idle_timeout"), "{report}");
    assert!(!report.contains("  pop3.listen "), "{report}");
    assert!(
        report.contains("rights         those of whoever starts it; in a sandbox"),
        "{report}"
    );
    let whose = User::with("user = \"no-such-user\"\n");
    whose
        .run(&["config", "check"])
        .refused(78, "this machine has no such user");
    assert!(!user.data().exists(), "looking changes nothing");
    assert_eq!(user.serve().stop(), Some(0));
    let report = user.run(&["config", "check"]).well();
    assert!(report.contains("valid until 20"), "{report}");
    assert!(report.contains("built-in, 1 account"), "{report}");
}

#[test]
fn config_check_and_serve_refuse_the_same_configurations() {
    let user = User::new();
    assert_eq!(user.serve().stop(), Some(0));
    let data = user.data();
    let own = data.join("certificate.pem");
    let own_key = data.join("certificate-key.pem");
    let other = User::new();
    assert_eq!(other.serve().stop(), Some(0));
    let other_key = other.data().join("certificate-key.pem");
    let tls = |certificate: &Path, key: &Path| {
        format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
    };
    let missing = Path::new("/nonexistent/a.pem");
    let cases = [
        (
            tls(missing, &own_key),
            "r.toml:2:15: error: `tls.certificate`: cannot read",
        ),
        (
            tls(&own, missing),
            "r.toml:3:7: error: `tls.key`: cannot read",
        ),
        (
            tls(&own_key, &own_key),
            "r.toml:2:15: error: `tls.certificate`: ",
        ),
        (tls(&own, &own), "r.toml:3:7: error: `tls.key`: "),
        (
            tls(&own, &other_key),
            "r.toml:3:7: error: `tls.key`: the key is not the one of",
        ),
        (
            "[accounts]\nsource = \"passwd-file\"\npasswd_file = \"users\"\n".to_owned(),
            "r.toml:3:15: error: `accounts.passwd_file`: cannot read",
        ),
        (
            "[mail]\nmaildir = \"/nonexistent/{user}\"\n".to_owned(),
            "r.toml:2:11: error: `mail.maildir`: `/nonexistent` ",
        ),
        (
            "[mail]\nquota = \"10GiB\"\n".to_owned(),
            "r.toml:2:1: error: `mail.quota` is not supported",
        ),
        (
            "pop = 3\n".to_owned(),
            "r.toml:1:1: error: unknown key `pop`",
        ),
    ];
    for (text, complaint) in cases {
        fs::write(user.path("r.toml"), &text).unwrap();
        for words in [&["config", "check"][..], &["serve"]] {
            let ran = user.run(words);
            ran.refused(78, complaint);
            assert!(ran.stderr.contains("\n  hint: "), "{text}{}", ran.stderr);
        }
    }
}

#[test]
fn config_check_names_the_lines_of_a_passwd_file_that_refuse_logins() {
    let user = User::with("[accounts]\nsource = \"passwd-file\"\npasswd_file = \"users\"\n");
    let lines = "me:{PLAIN}x\nyou:{NOPE}x\nthey:{PLAIN}x::::::foo=1\n";
    fs::write(user.path("users"), lines).unwrap();
    let report = user.run(&["config", "check"]).well();
    let users = user.path("users");
    let users = users.display();
    for line in [
        format!("accounts       passwd-file {users}, 3 accounts"),
        format!("               {users}:2: `you`: unknown password scheme NOPE; hint: "),
        format!("               {users}:3: `they`: extra field `foo` "),
    ] {
        assert!(report.contains(&line), "{line}\nis not in\n{report}");
    }
    assert!(
        !report.contains("{PLAIN}"),
        "no password field is shown:\n{report}"
    );
}

#[test]
fn r2449_expire_1_the_capabilities_say_that_mail_is_kept() {
    let user = User::new();
    let server = user.serve();
    let password = server.setting("password");
    let (mut client, accepted) = Client::login(server.plain_address(), "you@localhost", password);
    assert!(accepted);
    let mut lines = vec![client.say("CAPA")];
    while lines.last().is_some_and(|line| line != ".\r\n") {
        lines.push(client.line());
    }
    assert!(lines.contains(&"EXPIRE NEVER\r\n".to_owned()), "{lines:?}");
}

#[test]
fn a_missing_configuration_file_is_no_default_configuration() {
    let user = User::new();
    user.run(&["serve", "--config", "nowhere.toml"])
        .refused(78, "nowhere.toml: error: cannot be read");
}

#[test]
fn account_commands_leave_a_passwd_file_to_its_editor() {
    let user = User::with("[accounts]\nsource = \"passwd-file\"\npasswd_file = \"users\"\n");
    fs::write(user.path("users"), "me:{PLAIN}x\n").unwrap();
    user.run(&["account", "add", "you", "--generate"])
        .refused(78, "users");
    assert_eq!(
        fs::read_to_string(user.path("users")).unwrap(),
        "me:{PLAIN}x\n"
    );
}

#[test]
fn what_makes_no_sense_is_a_usage_error_and_help_is_data() {
    let user = User::new();
    user.run(&["acount"]).refused(64, "account");
    user.run(&[]).refused(64, "Usage: ");
    user.run(&["deliver"]).refused(64, "<ADDRESS>");
    let help = user.run(&["--help"]).well();
    assert!(help.contains("Exit codes: "), "{help}");
    assert!(user.run(&["--version"]).well().starts_with("restante "));
}

#[test]
fn nothing_is_coloured_when_the_reader_is_no_terminal() {
    let user = User::new();
    let mut octets = Vec::new();
    let mut server = user.serve();
    octets.extend_from_slice(server.settings.as_bytes());
    server.signal(Signal::TERM);
    server.child.wait().unwrap();
    while let Ok(line) = server.log.recv() {
        octets.extend_from_slice(line.as_bytes());
    }
    octets.extend_from_slice(user.run(&["--help"]).stdout.as_bytes());
    octets.extend_from_slice(user.run(&["acount"]).stderr.as_bytes());
    let mut reader = &octets[..];
    let mut escape = [0];
    while reader.read(&mut escape).unwrap() > 0 {
        assert_ne!(escape, *b"\x1b");
    }
}
