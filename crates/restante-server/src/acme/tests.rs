//! An authority that is slow, large, wrong or hostile; a disk that fails; a suggested time.

use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::AtomicBool, atomic::Ordering},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::accounts::oauth::tests::issuer::{Answer, Issuer};

/// A shelf in memory, whose writes may fail.
#[derive(Default)]
struct Memory {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    is_full: AtomicBool,
}

impl Shelf for Memory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(name).cloned())
    }

    fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut files = self.files.lock().unwrap();
        files.insert(name.to_owned(), contents.to_vec());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().unwrap().remove(name);
        Ok(())
    }
}

/// An authority that says whatever it likes, and a server that asks it.
struct Scene {
    authority: Issuer,
    shelf: Arc<Memory>,
    tls: Arc<Tls>,
    acme: Acme,
}

const NAME: &str = "pop.example.test";

fn self_signed(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut certificate = CertificateParams::new(names).unwrap();
    certificate.use_authority_key_identifier_extension = true;
    let certificate = certificate.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The authority's own server, and the root to believe it by.
fn server() -> (TlsAcceptor, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

impl Scene {
    async fn new(answer: Answer) -> Self {
        Self::with(answer, Arc::default()).await
    }

    async fn with(answer: Answer, shelf: Arc<Memory>) -> Self {
        let (acceptor, root) = server();
        let authority = Issuer::with(answer, Some(acceptor)).await;
        let settings = AcmeSettings {
            directory: format!("https://{}/dir", authority.address),
            domains: vec![NAME.to_owned()],
            contact: Vec::new(),
            challenge: ChallengeKind::Http01,
            extra_roots: vec![root],
            external_account: None,
        };
        let (chain, key) = self_signed(&["old.example.test"]);
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let tls = Arc::new(Tls::new(identity).unwrap());
        let (_, settings) = watch::channel(settings);
        let acme = Acme::counted(
            settings,
            Arc::clone(&tls),
            Arc::<Memory>::clone(&shelf),
            Arc::default(),
        );
        Self {
            authority,
            shelf,
            tls,
            acme: acme.unwrap(),
        }
    }

    /// An attempt that fails and changes nothing that is shown; why.
    async fn failed(&mut self) -> String {
        self.acme.attempt().await;
        assert!(self.tls.default_identity().holds("old.example.test"));
        let failure = self.acme.failure.as_ref().expect("it fails");
        failure.reason.clone()
    }

    /// A directory whose URLs are all `url`, with further members.
    fn directory(url: &str, more: &str) -> String {
        format!(r#"{{"newNonce":"{url}","newAccount":"{url}","newOrder":"{url}"{more}}}"#)
    }
}

fn raw(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    Answer::Raw((head + body).into_bytes())
}

#[tokio::test]
async fn an_authority_that_talks_nonsense_replaces_nothing() {
    for (answer, reason) in [
        (Answer::Json("[]".to_owned()), "JSON"),
        (Answer::Json("<html>".to_owned()), "JSON"),
        (Answer::Raw(b"220 smtp\r\n".to_vec()), "cannot be reached"),
        (
            raw("503 Service Unavailable", "", "<html>later</html>"),
            "HTTP status 503",
        ),
        (
            Answer::Endless("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
            "more than 262144 octets",
        ),
        (
            Answer::Endless("HTTP/1.1 200 OK\r\nX-Head: "),
            "cannot be reached",
        ),
        (
            Answer::Json(Scene::directory("http://127.0.0.1/", "")),
            "not `https://`",
        ),
        // What the library takes for impossible.
        (
            Answer::Json(Scene::directory("\\u0000 is no URL", "")),
            "makes no sense to the library",
        ),
    ] {
        let mut scene = Scene::new(answer).await;
        let said = scene.failed().await;
        assert!(said.contains(reason), "{reason}: {said}");
        // The account's key is there, and is the one that will be used.
        let accounts = |shelf: &Memory| {
            let files = shelf.files.lock().unwrap();
            let accounts = files
                .iter()
                .filter(|(name, _)| name.starts_with("account-"));
            accounts.map(|(_, key)| key.clone()).collect::<Vec<_>>()
        };
        let before = accounts(&scene.shelf);
        assert_eq!(before.len(), 1);
        scene.failed().await;
        assert_eq!(accounts(&scene.shelf), before);
    }
}

/// An authority that plays along until something is odd: `authorizations` of the order, and `state`
/// of each; then `chain` as certificate.
fn playing_along(authorizations: usize, state: &'static str, chain: String) -> Answer {
    Answer::Script(Arc::new(move |request| {
        let (first, _) = request.split_once("\r\n").unwrap();
        let path = first.split(' ').nth(1).unwrap();
        let line = |name: &str| {
            let (_, rest) = request.split_once(name).unwrap();
            rest.lines().next().unwrap().trim().to_owned()
        };
        let root = format!("https://{}", line("host: "));
        let authorizations: Vec<String> = (0..authorizations)
            .map(|number| format!("\"{root}/authorization/{number}\""))
            .collect();
        let authorizations = authorizations.join(",");
        let order = |status: &str| {
            format!(
                r#"{{"status":"{status}","authorizations":[{authorizations}],
                "finalize":"{root}/finalize","certificate":"{root}/certificate"}}"#
            )
        };
        let body = match path {
            "/dir" => format!(
                r#"{{"newNonce":"{root}/nonce","newAccount":"{root}/account","newOrder":"{root}/new"}}"#
            ),
            "/new" if chain.is_empty() => order("pending"),
            "/new" => order("ready"),
            "/finalize" | "/order" => order("valid"),
            "/certificate" => chain.clone(),
            _ if path.starts_with("/authorization") => state.replace("ROOT", &root),
            _ => "{}".to_owned(),
        };
        let length = match first.starts_with("HEAD") {
            true => 0,
            false => body.len(),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nReplay-Nonce: n\r\nLocation: {root}/order\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        let body = if length == 0 { "" } else { &body };
        (head + body).into_bytes()
    }))
}

#[tokio::test]
async fn an_authority_gets_answers_for_our_names_alone() {
    const OTHER: &str = r#"{"status":"pending","identifier":{"type":"dns","value":"other.example"},
        "challenges":[]}"#;
    const NO_HTTP: &str = r#"{"status":"pending",
        "identifier":{"type":"dns","value":"pop.example.test"},
        "challenges":[{"type":"dns-01","url":"ROOT/c","token":"t","status":"pending"}]}"#;
    const TOKEN: &str = r#"{"status":"pending",
        "identifier":{"type":"dns","value":"pop.example.test"},
        "challenges":[{"type":"http-01","url":"ROOT/c","token":"../x","status":"pending"}]}"#;
    const ENDED: &str = r#"{"status":"deactivated",
        "identifier":{"type":"dns","value":"pop.example.test"},"challenges":[]}"#;
    for (count, state, reason) in [
        (1, OTHER, "a name not asked for"),
        (2, OTHER, "more names than asked for"),
        (1, NO_HTTP, "no http-01 challenge for `pop.example.test`"),
        (1, TOKEN, "the token is not one"),
        (1, ENDED, "an authorization has ended"),
    ] {
        let mut scene = Scene::new(playing_along(count, state, String::new())).await;
        let said = scene.failed().await;
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

/// What clients cannot be shown never takes the place of what they are shown, in memory or on disk.
#[tokio::test]
async fn a_chain_that_cannot_be_used_replaces_nothing() {
    let shelf = Arc::new(Memory::default());
    let (chain, key) = self_signed(&["kept.example.test"]);
    let now = OffsetDateTime::now_utc();
    let kept = Issued::text(&chain, &key, "https://ca.example/dir", now);
    shelf.write("certificate.pem", kept.as_bytes()).unwrap();
    let (of_another_key, _) = self_signed(&[NAME]);
    for chain in [of_another_key, "<html>thank you</html>".to_owned()] {
        let answer = playing_along(1, "", chain);
        let mut scene = Scene::with(answer, Arc::clone(&shelf)).await;
        let said = scene.failed().await;
        assert!(said.contains("the new certificate is not used"), "{said}");
        let on_shelf = shelf.read("certificate.pem").unwrap().unwrap();
        assert_eq!(on_shelf, kept.as_bytes());
        // The same order would give the same again.
        assert!(shelf.read("order.json").unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_hangs_is_given_up() {
    let mut scene = Scene::new(Answer::Silence).await;
    let said = scene.failed().await;
    assert!(said.contains("does not answer in time"), "{said}");
}

#[tokio::test]
async fn an_authority_that_asks_for_patience_is_left_alone_for_long_but_not_for_ever() {
    let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
    let headers = "Retry-After: 18446744073709551615\r\n";
    let answer = raw("429 Too Many Requests", headers, limited);
    let mut scene = Scene::new(answer).await;
    scene.failed().await;
    let now = OffsetDateTime::now_utc();
    let wait = scene.acme.next(now) - now;
    assert!((23..=24).contains(&wait.whole_hours()), "{wait}");
}

#[tokio::test]
async fn failures_outlive_a_restart_and_other_settings_forget_them() {
    let mut scene = Scene::new(Answer::Json("[]".to_owned())).await;
    for count in 1..=9 {
        scene.failed().await;
        assert_eq!(scene.acme.failure.as_ref().unwrap().count, count);
    }
    let now = OffsetDateTime::now_utc();
    assert!(scene.acme.next(now) - now > time::Duration::hours(11));
    let settings = (*scene.acme.settings).clone();
    let started = |settings: AcmeSettings| {
        let (_, settings) = watch::channel(settings);
        let (tls, shelf) = (Arc::clone(&scene.tls), Arc::<Memory>::clone(&scene.shelf));
        Acme::counted(settings, tls, shelf, Arc::default()).unwrap()
    };
    let wait = started(settings.clone()).next(now) - now;
    assert!((14..=15).contains(&wait.whole_minutes()), "{wait}");
    let shown = last_failure(&*scene.shelf, &settings).unwrap();
    assert_eq!(shown.count, 9);
    let other = AcmeSettings {
        challenge: ChallengeKind::TlsAlpn01,
        ..settings
    };
    assert!(last_failure(&*scene.shelf, &other).is_none());
    assert!(started(other).next(now) <= now);
}

#[tokio::test]
async fn other_settings_are_another_matter_without_a_restart() {
    let mut scene = Scene::new(Answer::Json("[]".to_owned())).await;
    let first = (*scene.acme.settings).clone();
    let (change, current) = watch::channel(first.clone());
    scene.acme.current = current;
    scene.failed().await;
    let (authority, shelf, acme) = (scene.authority, scene.shelf, scene.acme);
    let is_told = |settings: AcmeSettings, asked: usize| {
        change.send_replace(settings);
        let authority = &authority;
        async move {
            let patience = tokio::time::timeout(Duration::from_secs(60), async {
                while authority.requests() < asked {
                    sleep(Duration::from_millis(10)).await;
                }
            });
            patience.await.expect("it asks at once");
        }
    };
    let running = tokio::spawn(acme.run());
    let before = authority.requests();
    let other = AcmeSettings {
        domains: vec!["mail.example.test".to_owned()],
        ..first.clone()
    };
    is_told(other.clone(), before + 1).await;
    while last_failure(&*shelf, &other).is_none() {
        sleep(Duration::from_millis(10)).await;
    }
    // The same once more is no other matter: what failed a moment ago waits.
    let asked = authority.requests();
    change.send_replace(other);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(authority.requests(), asked);
    drop(change);
    sleep(Duration::from_millis(300)).await;
    assert!(!running.is_finished(), "it goes on by the last");
    assert_eq!(authority.requests(), asked);
    running.abort();
}

/// The account's key is on the shelf before the authority hears of it.
#[tokio::test]
async fn nothing_is_asked_for_when_the_disk_is_full() {
    let mut scene = Scene::new(Answer::Json("[]".to_owned())).await;
    scene.shelf.is_full.store(true, Ordering::SeqCst);
    let said = scene.failed().await;
    assert!(said.contains("cannot write `account-"), "{said}");
    assert_eq!(scene.authority.requests(), 0);
    // It is waited out all the same, though that cannot be kept either.
    let now = OffsetDateTime::now_utc();
    assert!(scene.acme.next(now) > now);
}

#[tokio::test]
async fn a_damaged_account_is_reported_and_not_replaced() {
    let mut scene = Scene::new(Answer::Json("[]".to_owned())).await;
    scene.failed().await;
    let name = {
        let mut files = scene.shelf.files.lock().unwrap();
        let account = files
            .iter_mut()
            .find(|(name, _)| name.starts_with("account-"));
        let (name, contents) = account.unwrap();
        contents.truncate(20);
        name.clone()
    };
    let said = scene.failed().await;
    assert!(said.contains("cannot understand `account-"), "{said}");
    assert_eq!(scene.shelf.read(&name).unwrap().unwrap().len(), 20);
}

#[tokio::test]
async fn a_damaged_certificate_is_as_good_as_none() {
    let shelf = Arc::new(Memory::default());
    shelf.write("certificate.pem", b"half of a certif").unwrap();
    assert!(stored(&*shelf).unwrap().is_none());
    let scene = Scene::with(Answer::Silence, shelf).await;
    let now = OffsetDateTime::now_utc();
    assert!(scene.acme.next(now) <= now, "another is asked for");
}

/// RFC 9773: an authority that must withdraw certificates says so by an early window.
#[tokio::test]
async fn a_suggested_window_is_asked_for_and_kept_to() {
    let mut scene = Scene::new(Answer::Silence).await;
    let directory = scene.acme.settings.directory.clone();
    let (chain, key) = self_signed(&[NAME]);
    let now = OffsetDateTime::now_utc();
    let long_ago = now - time::Duration::days(30);
    let text = Issued::text(&chain, &key, &directory, long_ago);
    scene.acme.held = Issued::from_text(text.as_bytes());
    // An account that the authority knows, so that nothing need be signed.
    let account = records::AccountRecord {
        directory: directory.clone(),
        key: account_key(),
        url: Some(directory.clone()),
        contact: Vec::new(),
    };
    scene.acme.records.keep_account(&account).await.unwrap();
    assert!(scene.acme.next(now) > now + time::Duration::days(30));
    let url = directory;
    let window =
        r#","suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00Z"}"#;
    let info = format!(r#","renewalInfo":"{url}"{window}"#);
    let both = Scene::directory(&url, &info);
    let headers = "Retry-After: 18446744073709551615\r\n";
    scene.authority.answer(raw("200 OK", headers, &both));
    scene.acme.ask_for_suggestion().await;
    assert!(scene.authority.heard().contains("GET /dir/"), "by its name");
    assert!(scene.acme.next(now) <= now, "the window is open");
    // It is not asked again at once, and not only when the world ends.
    let again = scene.acme.suggestion.unwrap().again - now;
    assert!((23..=24).contains(&again.whole_hours()), "{again}");
    let requests = scene.authority.requests();
    scene.acme.ask_for_suggestion().await;
    assert_eq!(scene.authority.requests(), requests);
}

fn account_key() -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let (_, der) = instant_acme::Key::generate_pkcs8().unwrap();
    BASE64_STANDARD.encode(der.secret_pkcs8_der())
}
