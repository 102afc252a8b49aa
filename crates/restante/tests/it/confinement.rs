//! Rights and the sandbox, seen from outside: what the running server is to the kernel, and what
//! becomes of files that it may not reach. How breaking out fails is tested beside the sandbox.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::corpus::{self, Letter};
use crate::server::{Keys, PASSWORD, Server, Site, USER};
use crate::wire::{Wire, status};

/// A user that every system has and that owns nothing.
const NOBODY: &str = "nobody";
const NOBODY_ID: u32 = 65_534;

/// Longer than a passwd-file may be out of date.
const PATIENCE: Duration = Duration::from_secs(20);

fn letters() -> Vec<Letter> {
    vec![
        Letter::new("one", "Subject: one\n\nfirst\n"),
        Letter::new("two", "Subject: two\n\nsecond\n"),
    ]
}

/// What the kernel says of each thread of the server, word by word.
fn threads(server: &Server) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.process_id())).unwrap();
    let status = |task: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let lines = text.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ") + "\n"
        });
        lines.collect()
    };
    tasks.map(status).collect()
}

fn signal(server: &Server, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(server.process_id()).unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

#[test]
fn every_thread_of_the_server_is_walled_in() {
    let server = Server::with(&letters());
    let mut wire = Wire::plain(&server).logged_in();
    assert!(wire.lines("RETR 1").starts_with(b"Subject: one"));
    server.wait_for_log("sandbox entered");
    let threads = threads(&server);
    assert!(threads.len() > 1, "{threads:?}");
    for thread in threads {
        for line in [
            "NoNewPrivs: 1\n",
            "Seccomp: 2\n",
            "CapAmb: 0000000000000000\n",
        ] {
            assert!(thread.contains(line), "{line}{thread}");
        }
    }
}

#[test]
fn the_sandbox_can_be_switched_off_and_the_log_says_so() {
    let keys = Keys {
        tables: "[sandbox]\nenabled = false\n",
        ..Keys::default()
    };
    let server = Server::at(Site::configured(&letters(), &keys));
    server.wait_for_log("no sandbox: `sandbox.enabled` is false");
    for thread in threads(&server) {
        assert!(thread.contains("Seccomp: 0\n"), "{thread}");
    }
}

/// Puts a line in front of the configuration.
fn configure(site: &Site, line: &str) {
    let rest = fs::read_to_string(site.configuration()).unwrap();
    fs::write(site.configuration(), format!("{line}\n{rest}")).unwrap();
}

/// Gives a tree to [`NOBODY`].
fn give(path: &Path) {
    chown(path, Some(NOBODY_ID), Some(NOBODY_ID)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// Has root start the server, and [`NOBODY`] serve.
pub(crate) fn serve_as_nobody(site: &Site) {
    configure(site, &format!("user = \"{NOBODY}\""));
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    give(&site.path().join("mail"));
}

/// The certificate's key stays root's, as it is where certificates are renewed by root.
#[test]
fn the_server_keeps_the_rights_of_its_user_alone() {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can become another user: run this test as root"
    );
    let site = Site::new(&letters());
    serve_as_nobody(&site);
    let key = site.path().join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::at(site);
    for thread in threads(&server) {
        let ids = format!("{NOBODY_ID} {NOBODY_ID} {NOBODY_ID} {NOBODY_ID}\n");
        for line in [
            format!("Uid: {ids}"),
            format!("Gid: {ids}"),
            "Groups:\n".to_owned(),
            "CapPrm: 0000000000000000\n".to_owned(),
            "CapEff: 0000000000000000\n".to_owned(),
        ] {
            assert!(thread.contains(&line), "{line}{thread}");
        }
    }
    let mut wire = Wire::tls(&server).logged_in();
    assert_eq!(status(&wire.command("DELE 1")), "+OK");
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    assert_eq!(server.site.message_files().len(), 1);
    // What the server has made is its user's.
    for name in ["data", "data/secret", "mail/example.com/reader/restante"] {
        let owner = fs::metadata(server.site.path().join(name)).unwrap().uid();
        assert_eq!(owner, NOBODY_ID, "{name}");
    }
    // The key can be read no more: the old certificate serves on, and the log says why.
    assert!(server.log().contains("key.pem"), "{}", server.log());
    signal(&server, Signal::HUP);
    server.wait_for_log("certificates not changed");
    assert!(
        server.log().contains("Permission denied"),
        "{}",
        server.log()
    );
    Wire::tls(&server).logged_in();
}

/// How a program ends that should end at once.
fn ended(program: &mut Command) -> Output {
    let piped = program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_user_who_is_not_root_cannot_become_another() {
    let site = Site::new(&letters());
    configure(&site, "user = \"daemon\"");
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    give(site.path());
    let mut program = site.program(&["serve"]);
    let output = ended(program.uid(NOBODY_ID).gid(NOBODY_ID));
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("error: cannot become `daemon`"), "{said}");
    assert!(said.contains("by root alone"), "{said}");
}

#[test]
fn a_user_or_group_that_is_not_there_is_named() {
    for (line, expected) in [
        ("user = \"nobody-at-all\"", "`user` is `nobody-at-all`"),
        (
            "user = \"nobody\"\ngroup = \"none-such\"",
            "`group` is `none-such`",
        ),
        ("group = \"mail\"", "`group` stands without `user`"),
    ] {
        let site = Site::new(&[]);
        configure(&site, line);
        let output = ended(&mut site.program(&["serve"]));
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

/// `sudo restante account add` must not leave files that the server cannot change.
#[test]
fn accounts_that_root_adds_belong_to_the_servers_user() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let configuration = directory.path().join("restante.toml");
    let text = format!(
        "data = \"{}/data\"\nuser = \"{NOBODY}\"\n",
        directory.path().display()
    );
    fs::write(&configuration, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_restante"))
        .args(["account", "add", "me@example.com", "--generate", "--config"])
        .arg(&configuration)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for name in ["data", "data/accounts.sqlite"] {
        let owner = fs::metadata(directory.path().join(name)).unwrap().uid();
        assert_eq!(owner, NOBODY_ID, "{name}");
    }
}

/// A passwd-file whose mailboxes are in homes: `name` and home of each.
fn write_homes(site: &Site, homes: &[(&str, &Path)]) {
    let line = |(name, home): &(&str, &Path)| {
        format!("{name}:{{PLAIN}}{PASSWORD}::::{}::\n", home.display())
    };
    let lines: Vec<String> = homes.iter().map(line).collect();
    // Replaced as an editor replaces it.
    let draft = site.path().join("users.new");
    fs::write(&draft, lines.concat()).unwrap();
    fs::rename(draft, site.path().join("users")).unwrap();
}

fn homes(site: &Site) {
    let text = fs::read_to_string(site.configuration()).unwrap();
    let (before, _) = text.split_once("[mail]").unwrap();
    let text = format!("{before}[mail]\nmaildir = \"{{home}}/Maildir\"\n");
    fs::write(site.configuration(), text).unwrap();
}

/// What PASS is answered, once the account is known.
fn answer_to(server: &Server, name: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut wire = Wire::plain(server);
        wire.command(&format!("USER {name}"));
        let answer = wire.command(&format!("PASS {PASSWORD}"));
        if !answer.contains("[AUTH]") {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer}\n{}", server.log());
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn homes_are_served_where_the_accounts_of_the_start_have_theirs() {
    let site = Site::new(&[]);
    homes(&site);
    let near = site.path().join("homes");
    let far = tempfile::tempdir().unwrap();
    let named = tempfile::tempdir().unwrap();
    let rest = fs::read_to_string(site.configuration()).unwrap();
    let paths = format!("[sandbox]\npaths = [{:?}]\n", named.path());
    fs::write(site.configuration(), format!("{rest}{paths}")).unwrap();
    for place in [
        &near.join("one"),
        &near.join("two"),
        far.path(),
        named.path(),
    ] {
        corpus::write_maildir(&place.join("Maildir"), &letters());
    }
    write_homes(&site, &[("one", &near.join("one"))]);
    let server = Server::at(site);
    assert!(answer_to(&server, "one").starts_with("+OK"));
    write_homes(
        &server.site,
        &[
            ("two", &near.join("two")),
            ("far", far.path()),
            ("named", named.path()),
        ],
    );
    // An account that comes later, beside the others, and one where the operator said so.
    assert!(answer_to(&server, "two").starts_with("+OK"));
    assert!(answer_to(&server, "named").starts_with("+OK"));
    // Elsewhere nothing is within reach: not the user's fault, and the log says whose.
    let refused = answer_to(&server, "far");
    assert!(refused.starts_with("-ERR [SYS/"), "{refused}");
    server.wait_for_log("Permission denied");
}

#[test]
fn a_link_among_the_mailboxes_leads_nowhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    corpus::write_maildir(&elsewhere.path().join("thief"), &letters());
    let site = Site::new(&letters());
    site.write_names(&[USER, "thief@example.com"]);
    symlink(
        elsewhere.path().join("thief"),
        site.maildir_of("thief@example.com"),
    )
    .unwrap();
    let server = Server::at(site);
    let refused = answer_to(&server, "thief@example.com");
    assert!(refused.starts_with("-ERR [SYS/"), "{refused}");
    Wire::plain(&server).logged_in();
}

/// A new generation of the certificate and its key, both with a link to them.
fn renew(root: &Path, generation: u32) {
    for name in ["certificate.pem", "key.pem"] {
        let file = format!("{generation}-{name}");
        fs::copy(root.join(name), root.join("archive").join(&file)).unwrap();
        let link = root.join("live").join(name);
        // There is none yet the first time.
        let _ = fs::remove_file(&link);
        symlink(Path::new("../archive").join(&file), link).unwrap();
    }
}

/// Renewed as certificate programs do it: links in one directory to files in another.
#[test]
fn a_certificate_is_renewed_within_the_sandbox() {
    let site = Site::new(&letters());
    let (live, archive) = (site.path().join("live"), site.path().join("archive"));
    for directory in [&live, &archive] {
        fs::create_dir(directory).unwrap();
    }
    renew(site.path(), 1);
    let text = fs::read_to_string(site.configuration()).unwrap();
    let root = site.path().display().to_string();
    let text = text.replace(
        &format!("{root}/certificate.pem"),
        &format!("{root}/live/certificate.pem"),
    );
    let text = text.replace(&format!("{root}/key.pem"), &format!("{root}/live/key.pem"));
    fs::write(site.configuration(), text).unwrap();
    let server = Server::at(site);
    renew(server.site.path(), 2);
    signal(&server, Signal::HUP);
    server.wait_for_log("certificates read again");
    Wire::tls(&server).logged_in();
}
