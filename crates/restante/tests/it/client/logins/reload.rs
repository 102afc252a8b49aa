//! Tokens after SIGHUP: another issuer is asked from then on, or the one before goes on.

use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::wire::{Wire, status};

const RELOADED: &str = "configuration and certificates read again";
const KEPT: &str = "nothing reloaded: the server goes on as it was";

/// The exit code of a curl that logs in with `token`; 67 is a login that was denied.
fn code(server: &Server, token: &str) -> Option<i32> {
    let login = ["--user", &format!("{USER}:"), "--oauth2-bearer", token];
    curl(server, Transport::Tls, &login).code
}

/// A session that a token has opened.
fn session(server: &Server, token: &str) -> Wire {
    let message = format!("n,a={USER},\x01auth=Bearer {token}\x01\x01");
    let mut wire = Wire::tls(server);
    let answer = wire.command(&format!("AUTH OAUTHBEARER {}", STANDARD.encode(message)));
    assert_eq!(status(&answer), "+OK", "{answer}");
    wire
}

/// Changes what the configuration says of tokens, reloads it, and waits until that has come to
/// what was expected; the log since.
fn reload(server: &Server, from: &str, to: &str, expected: &str) -> String {
    let file = server.site.configuration();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).unwrap();
    let before = server.log().len();
    let id = i32::try_from(server.process_id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::HUP).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = server.log().split_off(before);
        if log.contains(expected) {
            return log;
        }
        assert!(Instant::now() < deadline, "no `{expected}` in\n{log}");
        thread::sleep(Duration::from_millis(10));
    }
}

// R7628-OAB-5
#[test]
fn e2e_after_a_reload_the_issuers_new_keys_and_rules_count_and_old_sessions_go_on() {
    let lines = "[accounts.oauth]\njwks_file = \"keys.json\"\nissuer = \"https://id.example.com\"\n\
                 audience = \"pop\"\n";
    let site = site("", "", lines);
    let (first, second) = (Key::new(), Key::new());
    first.publish(&site);
    let other = site.path().join("others");
    fs::create_dir(&other).unwrap();
    let server = Server::at(site);
    let (old, new) = (
        first.token(EDDSA, "pop", 300),
        second.token(EDDSA, "imap", 300),
    );
    assert_eq!(code(&server, &new), Some(67));
    let mut began = session(&server, &old);

    // Another key, and another audience.
    second.publish(&server.site);
    reload(&server, "\"pop\"\n", "\"imap\"\n", RELOADED);
    assert_eq!(status(&began.command("STAT")), "+OK");
    assert_eq!(status(&began.command("QUIT")), "+OK");
    assert_eq!(code(&server, &new), Some(0));
    assert_eq!(code(&server, &old), Some(67), "known a moment ago");

    // Keys that are none: refused with file, line and key, and nothing has changed.
    fs::write(server.site.path().join("broken.json"), "{\"keys\":[]}").unwrap();
    let log = reload(
        &server,
        "\"keys.json\"",
        "\"broken.json\"",
        "`accounts.oauth.jwks_file`",
    );
    assert!(log.contains(KEPT) && !log.contains(RELOADED), "{log}");
    assert_eq!(code(&server, &second.token(EDDSA, "imap", 301)), Some(0));

    // No tokens any more.
    let mut began = session(&server, &second.token(EDDSA, "imap", 302));
    let text = fs::read_to_string(server.site.configuration()).unwrap();
    let at = text.find("[accounts.oauth]").unwrap();
    reload(&server, &text[at..], "", RELOADED);
    assert_eq!(status(&began.command("STAT")), "+OK");
    assert_eq!(status(&began.command("QUIT")), "+OK");
    assert_ne!(code(&server, &new), Some(0));
    let capabilities = String::from_utf8(Wire::tls(&server).lines("CAPA")).unwrap();
    assert!(!capabilities.contains("OAUTHBEARER"), "{capabilities}");
}

#[test]
fn e2e_after_a_reload_another_issuer_is_asked() {
    let (first, second) = (issuer(), TcpListener::bind("127.0.0.1:0").unwrap());
    let second = second.local_addr().unwrap();
    let tables = asking(first) + "[sandbox]\nenabled = false\n";
    let server = Server::at(site("", "", &tables));
    let mut began = session(&server, "good");
    // Nobody is there: that is no wrong token (R3206-AUTH-2), and the one before is not asked.
    reload(&server, &first.to_string(), &second.to_string(), RELOADED);
    let login = ["--user", &format!("{USER}:"), "--oauth2-bearer", "good"];
    let finished = curl(&server, Transport::Tls, &login);
    assert!(
        finished.stderr.contains("[SYS/TEMP]"),
        "{}",
        finished.talk()
    );
    reload(
        &server,
        &second.to_string(),
        &issuer().to_string(),
        RELOADED,
    );
    // The maildrop is one session's at a time.
    assert_eq!(status(&began.command("QUIT")), "+OK");
    assert_eq!(code(&server, "good"), Some(0));
}

/// The sandbox was entered for good: an issuer that cannot be reached from in there would make
/// every token an outage.
#[test]
fn e2e_an_issuer_out_of_the_sandboxs_reach_is_not_reloaded_and_the_one_before_is_asked_on() {
    let first = issuer();
    let server = Server::at(site("", "", &asking(first)));
    let second = issuer();
    let log = reload(
        &server,
        &first.to_string(),
        &second.to_string(),
        "connect to no new port: restart it",
    );
    let port = format!("TCP port {} is out of reach", second.port());
    assert!(log.contains(&port) && log.contains(KEPT), "{log}");
    assert!(!log.contains(RELOADED), "{log}");
    // Not known already: it is asked about.
    assert_eq!(code(&server, "good-as-ever"), Some(0));
}
