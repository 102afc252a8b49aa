//! Certificates that the server obtains by itself, from a real ACME server.

mod authority;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use restante_client::{Connection, Login, Mechanism, Pin, Security, Server as Address, Tls};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use self::authority::{Authority, Wanted};
use crate::confinement;
use crate::corpus::Letter;
use crate::operation::free_port;
use crate::server::{Keys, PASSWORD, Server, Site, Started, USER};
use crate::wire::{Wire, status};

/// The name that the certificate is for.
const NAME: &str = "pop.example.test";

/// One that is added.
const OTHER: &str = "mail.example.test";

const PATIENCE: Duration = Duration::from_secs(60);

const OBTAINED: &str = "certificate obtained, and shown from now on";
const ASKED: &str = "asking for a certificate";
const FAILED: &str = "no certificate obtained";

fn letters() -> [Letter; 1] {
    [Letter::new("one", "Subject: one\n\nfirst\n")]
}

/// A site that obtains its certificate from `authority`, with further lines of `[tls.acme]`.
fn site(authority: &Authority, lines: &str) -> Site {
    let site = Site::configured(&letters(), &Keys::default());
    configure(&site, authority, lines);
    site
}

fn configure(site: &Site, authority: &Authority, lines: &str) {
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let root = site.path().display().to_string();
    let own = format!("certificate = \"{root}/certificate.pem\"\nkey = \"{root}/key.pem\"\n");
    assert!(configuration.contains(&own));
    let acme = format!(
        "[tls.acme]\ndomains = [\"{NAME}\"]\nterms_of_service_agreed = true\n\
         contact = \"mailto:postmaster@example.com\"\n\
         directory = \"{}\"\nca_file = \"{}\"\n{lines}",
        authority.url(),
        authority.ca_file().display(),
    );
    fs::write(site.configuration(), configuration.replace(&own, &acme)).unwrap();
}

fn folder(site: &Site) -> PathBuf {
    site.path().join("data/acme")
}

/// The account's file: what is made once.
fn account(site: &Site) -> Vec<u8> {
    let entries = fs::read_dir(folder(site)).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().path());
    let is_account = |path: &PathBuf| path.to_string_lossy().contains("/account-");
    fs::read(names.find(is_account).unwrap()).unwrap()
}

/// Trusts these authorities.
fn trusting(pem: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Connects over TLS, and verifies as mail programs do.
fn connect(address: SocketAddr, authorities: &[u8]) -> std::io::Result<Wire> {
    connect_to(NAME, address, authorities)
}

fn connect_to(
    name: &'static str,
    address: SocketAddr,
    authorities: &[u8],
) -> std::io::Result<Wire> {
    let wire = Wire::unread(address).shake_hands_with(trusting(authorities), name);
    wire.map(|mut wire| {
        assert!(wire.line().starts_with("+OK"), "greeting");
        wire
    })
}

/// The certificate that is shown now, whoever has signed it.
fn shown(server: &Server) -> Vec<u8> {
    let address = server.tls.to_string();
    let ran = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-servername", NAME])
        .output()
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(&ran.stdout).unwrap();
    certificate.to_vec()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool, log: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "no {what}:\n{}", log());
        thread::sleep(Duration::from_millis(10));
    }
}

fn reload(server: &Server) {
    let process = Pid::from_raw(i32::try_from(server.process_id()).unwrap()).unwrap();
    kill_process(process, Signal::HUP).unwrap();
}

/// Waits until the log has had the text so often.
fn wait_for_times(server: &Server, text: &str, times: usize) {
    let has = || server.log().matches(text).count() >= times;
    wait_until(&format!("{times} times `{text}`"), has, || server.log());
}

/// RFC 8737: obtained while a session goes on that began before; kept over a restart.
#[test]
fn e2e_a_certificate_is_obtained_over_tls_and_shown_without_ending_a_session() {
    let answers = free_port();
    let authority = Authority::start(&Wanted {
        tls: answers.port(),
        ..Wanted::default()
    });
    let server = Server::at(site(&authority, &format!("listen = [\"{answers}\"]\n")));
    // Perhaps before, perhaps after: it goes on.
    let mut early = Wire::plain(&server).logged_in();
    server.wait_for_log(OBTAINED);
    server.wait_for_log("files=\"limited");
    let root = authority.root();
    connect(server.tls, &root).unwrap();
    assert!(early.lines("RETR 1").starts_with(b"Subject: one"));
    assert_eq!(status(&early.command("QUIT")), "+OK");

    // A reload leads to another certificate, by a path that stays: its socket is the server's.
    let configuration = fs::read_to_string(server.site.configuration()).unwrap();
    let names = format!("[\"{NAME}\", \"{OTHER}\"]");
    let other = configuration
        .replace(&format!("[\"{NAME}\"]"), &names)
        .replace(&answers.to_string(), &free_port().to_string());
    fs::write(server.site.configuration(), other).unwrap();
    let account_before = account(&server.site);
    let mut between = connect(server.tls, &root).unwrap().logged_in();
    reload(&server);
    server.wait_for_log("key=\"tls.acme.listen\"");
    wait_for_times(&server, OBTAINED, 2);
    assert!(between.lines("RETR 1").starts_with(b"Subject: one"));
    assert_eq!(status(&between.command("QUIT")), "+OK");
    for name in [NAME, OTHER] {
        connect_to(name, server.tls, &root).unwrap();
    }
    assert_eq!(account(&server.site), account_before);

    // One that cannot be followed changes nothing.
    let broken = configuration.replace(
        &authority.ca_file().display().to_string(),
        "/nonexistent/authority.pem",
    );
    fs::write(server.site.configuration(), broken).unwrap();
    reload(&server);
    server.wait_for_log("nothing reloaded: the server goes on as it was");
    server.wait_for_log("/nonexistent/authority.pem");
    connect_to(OTHER, server.tls, &root).unwrap();
    let log = server.log();
    assert_eq!(log.matches(ASKED).count(), 2, "{log}");
    fs::write(
        server.site.configuration(),
        configuration.replace(&format!("[\"{NAME}\"]"), &names),
    )
    .unwrap();

    // What is kept is its owner's alone.
    let certificate = fs::read(folder(&server.site).join("certificate.pem")).unwrap();
    for entry in fs::read_dir(folder(&server.site)).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let (site, _, _) = server.stop();
    let server = Server::at(site);
    connect(server.tls, &root).unwrap();
    server.wait_for_log("the certificate will be renewed");
    let log = server.log();
    assert!(!log.contains(ASKED), "one is there:\n{log}");
    let kept = fs::read(folder(&server.site).join("certificate.pem")).unwrap();
    assert_eq!(kept, certificate);
    assert_eq!(account(&server.site), account_before);
    let text = String::from_utf8(account_before).unwrap();
    assert!(text.contains("mailto:postmaster@example.com"), "{text}");
}

/// RFC 8555 §8.3, and a renewal; then the authority is gone.
#[test]
fn e2e_a_certificate_is_renewed_over_http_and_kept_when_the_authority_is_gone() {
    let (answers, pages) = (free_port(), free_port());
    let mut authority = Authority::start(&Wanted {
        http: answers.port(),
        // Renewed after ten, but for a moment.
        seconds: 15,
        ..Wanted::default()
    });
    let lines = format!(
        "challenge = \"http-01\"\nlisten = [\"{answers}\"]\n[http]\nlisten = [\"{pages}\"]\n"
    );
    let server = Server::at(site(&authority, &lines));
    server.wait_for_log(OBTAINED);
    let root = authority.root();
    let first = shown(&server);
    let mut open = connect(server.tls, &root).unwrap().logged_in();
    let account_before = account(&server.site);
    wait_for_times(&server, OBTAINED, 2);
    authority.end();

    // Over TLS with the first certificate, and undisturbed.
    assert!(open.lines("RETR 1").starts_with(b"Subject: one"));
    assert_eq!(status(&open.command("QUIT")), "+OK");
    connect(server.tls, &root).unwrap();
    let second = shown(&server);
    assert_ne!(first, second);
    assert_eq!(account(&server.site), account_before, "the same account");
    log_in_bound_to_the_channel(&server, &second);

    server.wait_for_log(FAILED);
    let log = server.log();
    let line = log.lines().find(|line| line.contains(FAILED)).unwrap();
    assert!(line.contains("cannot be reached"), "the reason: {line}");
    assert_eq!(shown(&server), second, "what was there is there");
    let metrics = page(pages, "metrics");
    for number in [
        "restante_certificate_orders_total{result=\"obtained\"} 2\n",
        "restante_certificate_orders_total{result=\"failed\"} 1\n",
    ] {
        assert!(metrics.contains(number), "{number}{metrics}");
    }
    let check = server.site.program(&["config", "check"]).output().unwrap();
    let report = String::from_utf8(check.stdout).unwrap();
    assert!(report.contains("FAILED once, last at"), "{report}");
    assert!(report.contains("obtained by ACME, "), "{report}");
    // Whatever is asked at the port of the challenges: there is nothing else.
    assert_eq!(
        page(answers, ".well-known/acme-challenge/x"),
        "no such challenge\n"
    );
}

/// One of them orders at a time, and the port where the authority looks is never without a server.
#[test]
fn e2e_a_successor_renews_what_its_predecessor_has_obtained() {
    let answers = free_port();
    let authority = Authority::start(&Wanted {
        tls: answers.port(),
        seconds: 15,
        ..Wanted::default()
    });
    let site = site(&authority, &format!("listen = [\"{answers}\"]\n"));
    let first = Started::at(&site, &[]);
    wait_until(
        "certificate",
        || first.log().contains(OBTAINED),
        || first.log(),
    );
    let account_before = account(&site);
    let second = Started::at(&site, &["--take-over"]);
    let (code, log) = first.ended();
    assert_eq!(code, Some(0), "{log}");
    connect(second.tls, &authority.root()).unwrap();
    let renewed = || second.log().contains(OBTAINED);
    wait_until("renewal", renewed, || second.log());
    assert_eq!(log.matches(OBTAINED).count(), 1, "{log}");
    assert_eq!(account(&site), account_before);
    connect(second.tls, &authority.root()).unwrap();
}

#[test]
fn e2e_an_authority_that_has_lost_the_account_is_told_of_it_anew() {
    let answers = free_port();
    let mut authority = Authority::start(&Wanted {
        tls: answers.port(),
        seconds: 15,
        ..Wanted::default()
    });
    let server = Server::at(site(&authority, &format!("listen = [\"{answers}\"]\n")));
    server.wait_for_log(OBTAINED);
    let key = |account: Vec<u8>| {
        let text = String::from_utf8(account).unwrap();
        let line = text.lines().find(|line| line.contains("\"key\""));
        line.unwrap().to_owned()
    };
    let before = key(account(&server.site));
    authority.forget_everything();
    wait_for_times(&server, OBTAINED, 2);
    assert!(!server.log().contains(FAILED), "{}", server.log());
    assert_eq!(key(account(&server.site)), before, "the key is made once");
    connect(server.tls, &authority.root()).unwrap();
}

/// R9266-CB-1: what a login is bound to does not depend on the certificate.
fn log_in_bound_to_the_channel(server: &Server, certificate: &[u8]) {
    let pin = Pin::of(&CertificateDer::from(certificate));
    let security = Security::Tls(Tls::pinned(&[pin]).unwrap());
    let address = Address::new("localhost", server.tls.port(), security);
    let login = Login {
        mechanisms: Some(vec![Mechanism::ScramSha256Plus]),
        ..Login::password(USER, PASSWORD)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connection = Connection::open(&address).await.unwrap();
        let client = connection.log_in(&login).await.unwrap();
        client.quit().await.unwrap();
    });
}

fn page(address: SocketAddr, name: &str) -> String {
    let url = format!("http://{address}/{name}");
    let ran = Command::new("curl")
        .args(["-q", "--silent", &url])
        .output()
        .unwrap();
    String::from_utf8(ran.stdout).unwrap()
}

/// Where port 443 leads to the port of POP3 over TLS.
#[test]
fn e2e_challenges_are_answered_where_pop3_over_tls_is() {
    let port = free_port();
    let authority = Authority::start(&Wanted {
        tls: port.port(),
        ..Wanted::default()
    });
    let site = site(&authority, "listen = []\n");
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let any = "listen_tls = [\"127.0.0.1:0\"]";
    assert!(configuration.contains(any));
    let fixed = format!("listen_tls = [\"{port}\"]");
    fs::write(site.configuration(), configuration.replace(any, &fixed)).unwrap();
    let server = Server::at(site);
    server.wait_for_log(OBTAINED);
    let mut wire = connect(server.tls, &authority.root()).unwrap().logged_in();
    assert_eq!(status(&wire.command("QUIT")), "+OK");
}

#[test]
fn e2e_what_was_refused_is_said_and_not_asked_for_again_at_once() {
    // Nobody listens where the authority looks.
    let (elsewhere, answers) = (free_port(), free_port());
    let authority = Authority::start(&Wanted {
        http: elsewhere.port(),
        ..Wanted::default()
    });
    let lines = format!("challenge = \"http-01\"\nlisten = [\"{answers}\"]\n");
    let server = Server::at(site(&authority, &lines));
    server.wait_for_log(FAILED);
    let log = server.log();
    let line = log.lines().find(|line| line.contains(FAILED)).unwrap();
    for reason in [
        "is not proven to be ours by http-01",
        "connection refused",
        NAME,
    ] {
        assert!(line.contains(reason), "{reason}: {line}");
    }
    // Meanwhile the server serves, under the name that was asked for.
    let data = server.site.path().join("data");
    let own = fs::read(data.join("certificate.pem")).unwrap();
    let mut wire = connect(server.tls, &own).unwrap().logged_in();
    assert_eq!(status(&wire.command("QUIT")), "+OK");
    // Who starts it over and over asks no more often for that.
    let (site, _, _) = server.stop();
    let server = Server::at(site);
    server.wait_for_log("the next certificate is asked for later, because it failed");
    assert!(!server.log().contains(ASKED), "{}", server.log());
    // But other settings are another matter.
    let (site, _, _) = server.stop();
    let configuration = fs::read_to_string(site.configuration()).unwrap();
    let other = configuration.replace("postmaster@", "hostmaster@");
    fs::write(site.configuration(), other).unwrap();
    let server = Server::at(site);
    server.wait_for_log(ASKED);
}

#[test]
fn e2e_an_order_is_taken_up_again_after_a_crash() {
    let answers = free_port();
    let authority = Authority::start(&Wanted {
        looks: false,
        ..Wanted::default()
    });
    let site = site(&authority, &format!("listen = [\"{answers}\"]\n"));
    let server = Server::at(site);
    let order = folder(&server.site).join("order.json");
    wait_until("order", || order.exists(), || server.log());
    let site = server.kill();
    assert!(order.exists(), "the order was faster than the test");
    let server = Server::at(site);
    server.wait_for_log(OBTAINED);
    let log = server.log();
    assert!(log.contains("order taken up again"), "{log}");
    assert!(!order.exists());
    connect(server.tls, &authority.root()).unwrap();
}

/// Root binds what only root may, and the rest is another user's.
#[test]
fn e2e_what_is_obtained_belongs_to_the_servers_user() {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can become another user"
    );
    let answers = free_port();
    let authority = Authority::start(&Wanted {
        tls: answers.port(),
        ..Wanted::default()
    });
    let site = site(&authority, &format!("listen = [\"{answers}\"]\n"));
    // What the server was told of its authority is root's alone.
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(authority.ca_file(), mode).unwrap();
    confinement::serve_as_nobody(&site);
    let server = Server::at(site);
    server.wait_for_log(OBTAINED);
    for entry in fs::read_dir(folder(&server.site)).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().uid(), 65_534);
    }
    connect(server.tls, &authority.root()).unwrap();
}

/// RFC 8555 §7.3.4: the account is made once, with what the authority has given out.
#[test]
fn e2e_an_authority_that_wants_to_know_the_account_from_elsewhere_is_told() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let authority = Authority::start(&Wanted {
        looks: false,
        external: Some(("kid-1", KEY)),
        ..Wanted::default()
    });
    // Without, it is said what is missing.
    let listen = format!("listen = [\"{}\"]\n", free_port());
    let server = Server::at(site(&authority, &listen));
    server.wait_for_log(FAILED);
    let log = server.log();
    assert!(log.contains("externalAccountRequired"), "{log}");

    // With another key, likewise: the two lines are another matter, and are tried at once.
    let (site, _, _) = server.stop();
    let hmac = site.path().join("hmac");
    fs::write(&hmac, "AAAA\n").unwrap();
    let text = fs::read_to_string(site.configuration()).unwrap();
    let bound = format!(
        "eab_key_id = \"kid-1\"\neab_hmac_key_file = \"{}\"\n{listen}",
        hmac.display()
    );
    fs::write(site.configuration(), text.replace(&listen, &bound)).unwrap();
    let server = Server::at(site);
    server.wait_for_log(FAILED);
    assert!(!server.log().contains(OBTAINED), "{}", server.log());

    let (site, _, _) = server.stop();
    fs::write(&hmac, format!("{KEY}\n")).unwrap();
    let server = Server::at(site);
    server.wait_for_log(OBTAINED);
    assert!(!server.log().contains(KEY), "PRJ-SEC-2");
    let made = account(&server.site);
    connect(server.tls, &authority.root()).unwrap();

    // The account is there: neither is needed again.
    let (site, _, _) = server.stop();
    let text = fs::read_to_string(site.configuration()).unwrap();
    fs::write(site.configuration(), text.replace(&bound, &listen)).unwrap();
    fs::remove_file(folder(&site).join("certificate.pem")).unwrap();
    let server = Server::at(site);
    server.wait_for_log(OBTAINED);
    assert_eq!(account(&server.site), made);
}
