//! Servers that are not who they should be, somebody on the line, and proxies: what the program
//! says, how it ends, and that nothing was told to anybody.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use super::stranger::{Door, Stranger, letters};
use crate::{
    certificate,
    program::user::{Lasting, PATIENCE, Ran, User},
};

/// A collector of its own, with a file of authorities it believes.
pub(super) struct Person {
    pub(super) user: User,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and its fingerprint.
pub(super) struct Shown {
    pub(super) config: Arc<ServerConfig>,
    fingerprint: String,
}

impl Person {
    pub(super) fn new() -> Self {
        let user = User::new();
        let issuer = certificate::write_authority(&user.path(""), "authority.pem");
        Self { user, issuer }
    }

    /// A certificate that the person's authority has signed.
    pub(super) fn sign(&self, name: &str, until: i32) -> Shown {
        shown(name, until, Some(&self.issuer))
    }

    /// Collects; `keys` say whom to believe.
    fn fetch(&self, server: &Stranger, keys: &str, words: &[&str]) -> Ran {
        let path = self.write(server, keys);
        self.user
            .run(&[&["fetch", "--config", &path], words].concat())
    }

    /// Writes the file that says what to collect, and tells its name.
    pub(super) fn write(&self, server: &Stranger, keys: &str) -> String {
        let text = format!(
            "state = \"state\"\n[[account]]\nname = \"work\"\nserver = \"localhost\"\n\
             port = {}\nuser = \"me\"\npassword = \"secret\"\nkeep = \"delete\"\n\
             deliver = {{ maildir = \"Mail\", line_ends = \"crlf\" }}\n{keys}\n",
            server.port
        );
        let path = self.user.path("fetch.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn mail(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(self.user.path("Mail/new"));
        let files = files.into_iter().flatten();
        let mut mail: Vec<Vec<u8>> = files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect();
        mail.sort();
        mail
    }

    /// Nothing has come, and nobody was told anything but what anybody may know.
    #[track_caller]
    fn assert_nothing(&self, server: &Stranger) {
        assert_eq!(self.mail().len(), 0);
        assert_eq!(server.letters().len(), 3);
        assert_eq!(server.heard_under_tls(), [""; 0]);
        let heard = server.heard_in_the_clear();
        let secret = |line: &String| line != "CAPA" && line != "STLS";
        assert!(!heard.iter().any(secret), "{heard:?}");
    }

    #[track_caller]
    pub(super) fn assert_all(&self, server: &Stranger) {
        let mut sent: Vec<Vec<u8>> = letters(3, 300).into_iter().map(|it| it.octets).collect();
        sent.sort();
        assert!(self.mail() == sent, "{} messages", self.mail().len());
        assert_eq!(server.letters(), []);
    }
}

/// `None`: signed by itself.
fn shown(name: &str, until: i32, issuer: Option<&Issuer<'static, KeyPair>>) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let signed = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    let der: CertificateDer<'static> = signed.unwrap().der().clone();
    let fingerprint = Sha256::digest(&der);
    let fingerprint = fingerprint.iter().map(|octet| format!("{octet:02x}"));
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    Shown {
        config: config.with_single_cert(vec![der], key).unwrap().into(),
        fingerprint: fingerprint.collect(),
    }
}

// PRJ-AUTH-7, R8314-CONF-1
#[test]
fn a_certificate_that_is_wrong_ends_in_77_with_advice_and_nothing_is_said() {
    let person = Person::new();
    let other = certificate::write_authority(&person.user.path(""), "other.pem");
    let cases = [
        (
            person.sign("localhost", 2020),
            "not valid at this time",
            "clock",
        ),
        (
            person.sign("mail.example", 2099),
            "not for that name",
            "name that its operator",
        ),
        (
            shown("localhost", 2099, Some(&other)),
            "signed by nobody",
            "`ca_file`",
        ),
        (
            shown("localhost", 2099, None),
            "signed by nobody",
            "`ca_file`",
        ),
    ];
    for (shown, what, advice) in cases {
        for door in [
            Door::Tls(shown.config.clone()),
            Door::Stls(shown.config.clone()),
        ] {
            let tls = match door {
                Door::Stls(_) => "ca_file = \"authority.pem\"\ntls = \"stls\"",
                _ => "ca_file = \"authority.pem\"",
            };
            let server = Stranger::open(door, letters(3, 300));
            let ran = person.fetch(&server, tls, &[]);
            ran.refused(77, what);
            ran.refused(77, "hint: nothing was sent: ");
            ran.refused(77, advice);
            assert_eq!(ran.stderr.matches("invalid peer certificate").count(), 1);
            // R8314-PIN-1: nobody is led to believe what was just shown.
            assert!(!ran.stderr.contains("pin"), "{ran:?}");
            assert!(!ran.stderr.contains(&shown.fingerprint[..8]), "{ran:?}");
            person.assert_nothing(&server);
        }
    }
    let status = person.user.path("fetch.toml");
    let status = ["fetch", "--config", status.to_str().unwrap(), "status"];
    let status = person.user.run(&status).well();
    assert!(status.contains("signed by nobody"), "{status}");
    let server = Stranger::open(
        Door::Tls(person.sign("localhost", 2099).config),
        letters(3, 300),
    );
    let ran = person.fetch(&server, "ca_file = \"authority.pem\"", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    person.assert_all(&server);
}

/// A network that answers for everybody must not be the end of all collecting.
#[test]
fn whoever_watches_looks_again_for_a_server_that_was_not_believed() {
    let person = Person::new();
    let shown = person.sign("localhost", 2020);
    let server = Stranger::open(Door::Stls(shown.config), letters(3, 300));
    let keys = "ca_file = \"authority.pem\"\ntls = \"stls\"\ninterval = \"1s\"";
    let path = person.write(&server, keys);
    let words = ["fetch", "--watch", "--config", &path];
    let watching = Lasting::run(person.user.command(&words));
    let knocks = || {
        let heard = server.heard_in_the_clear();
        heard.iter().filter(|line| *line == "STLS").count()
    };
    let begun = Instant::now();
    while knocks() < 2 {
        assert!(begun.elapsed() < PATIENCE, "it knocked {} times", knocks());
        thread::sleep(Duration::from_millis(50));
    }
    let told = person.user.run(&["fetch", "--config", &path, "status"]);
    let told = told.well();
    assert!(
        told.contains("no password was sent, and it is tried again"),
        "{told}"
    );
    assert_eq!(watching.stop(), Some(0));
    person.assert_nothing(&server);
}

// R7817-ID-1
#[test]
fn a_certificate_for_the_mail_domain_is_believed_where_the_domain_is_named() {
    let person = Person::new();
    let shown = person.sign("example.com", 2099);
    let server = Stranger::open(Door::Tls(shown.config), letters(3, 300));
    let keys = "ca_file = \"authority.pem\"\n";
    for domain in ["", "mail_domain = \"example.net\""] {
        let ran = person.fetch(&server, &format!("{keys}{domain}"), &[]);
        ran.refused(77, "is not for that name");
    }
    person.assert_nothing(&server);
    let domain = "mail_domain = \"example.com\"";
    let ran = person.fetch(&server, &format!("{keys}{domain}"), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    person.assert_all(&server);
}

// R8314-PIN-1
#[test]
fn r8314_pin_1_a_pin_is_an_account_s_own_revocable_and_shown_as_less_than_verified() {
    let person = Person::new();
    // Nothing about it is right, but that somebody has looked at it.
    let shown = shown("other.example", 2020, None);
    let server = Stranger::open(Door::Tls(shown.config), letters(3, 300));
    let pinned = format!("pins = [\"{}\"]", shown.fingerprint);
    // It counts for the account that names it, and for no other.
    let other = format!(
        "[[account]]\nname = \"other\"\nserver = \"localhost\"\nport = {}\nuser = \"me\"\n\
         password = \"secret\"\ndeliver = {{ maildir = \"Other\" }}",
        server.port
    );
    person
        .fetch(&server, &format!("{pinned}\n{other}"), &["other"])
        .refused(77, "other: the certificate of localhost is not valid");
    person.assert_nothing(&server);

    let ran = person.fetch(&server, &pinned, &["-v"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("pinned, not verified"), "{ran:?}");
    person.assert_all(&server);
    let told = person.fetch(&server, &pinned, &["status"]).well();
    assert!(
        told.contains("by a pin alone, nobody has verified it"),
        "{told}"
    );
    let told = person.fetch(&server, &pinned, &["--json"]).well();
    assert!(told.contains("\"assurance\":\"pinned\""), "{told}");

    // Taken out of the file, it is gone.
    person
        .fetch(&server, "", &[])
        .refused(77, "is not valid at this time");
    let another = format!("pins = [\"{}\"]", "00".repeat(32));
    let ran = person.fetch(&server, &another, &[]);
    ran.refused(77, "is not the pinned one");
    ran.refused(77, "ask the server's operator");

    let verified = Stranger::open(Door::Tls(person.sign("localhost", 2099).config), vec![]);
    let told = person.fetch(&verified, "ca_file = \"authority.pem\"", &["--json"]);
    assert!(
        told.stdout.contains("\"assurance\":\"verified\""),
        "{told:?}"
    );
    let told = person.fetch(&verified, "ca_file = \"authority.pem\"", &["status"]);
    assert!(!told.stdout.contains("pin"), "{told:?}");
}

// PRJ-INJ-2, PRJ-AUTH-7, R8314-CONF-4
#[test]
fn stls_that_is_not_there_or_tampered_with_is_refused_before_anything_is_said() {
    let person = Person::new();
    let keys = "ca_file = \"authority.pem\"\ntls = \"stls\"";
    for (door, what, advice) in [
        (Door::Clear, "does not offer STLS", "`tls = \"implicit\"`"),
        (
            Door::StlsRefused,
            "does not offer STLS",
            "`tls = \"implicit\"`",
        ),
        (
            Door::StlsThen("+OK logged in\r\n"),
            "STLS",
            "somebody on the line",
        ),
        (Door::StlsThen("-ERR"), "STLS", "somebody on the line"),
    ] {
        let server = Stranger::open(door, letters(3, 300));
        let ran = person.fetch(&server, keys, &[]);
        ran.refused(77, what);
        ran.refused(77, advice);
        person.assert_nothing(&server);
    }
    let server = Stranger::open(
        Door::Stls(person.sign("localhost", 2099).config),
        letters(3, 300),
    );
    assert_eq!(person.fetch(&server, keys, &[]).code, 0);
    let heard = server.heard_in_the_clear();
    assert!(
        heard.iter().all(|line| line == "CAPA" || line == "STLS"),
        "{heard:?}"
    );
    person.assert_all(&server);
}

/// What a SOCKS5 proxy does with whoever comes.
#[derive(Clone, Copy)]
enum Proxying {
    /// Connects to this port.
    To(u16),
    /// Takes none of the offered ways to log in.
    NoMethod,
    /// Says that its rules do not allow it.
    NotAllowed,
    /// Answers nothing.
    Silence,
    /// Hangs up in the middle of its answer.
    HangsUp,
}

/// A SOCKS5 proxy (RFC 1928); it tells whom it was asked for.
fn proxy(way: Proxying) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, hosts) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, asked) = (stream.unwrap(), asked.clone());
            // Either end may be gone.
            thread::spawn(move || drop(lead(stream, way, &asked)));
        }
    });
    (port, hosts)
}

fn lead(mut stream: TcpStream, way: Proxying, asked: &mpsc::Sender<String>) -> std::io::Result<()> {
    let mut methods = [0; 3];
    stream.read_exact(&mut methods)?;
    assert_eq!(methods, [5, 1, 0]);
    match way {
        Proxying::NoMethod => stream.write_all(&[5, 0xFF])?,
        Proxying::Silence => thread::sleep(PATIENCE),
        _ => stream.write_all(&[5, 0])?,
    }
    let mut request = [0; 5];
    stream.read_exact(&mut request)?;
    // The name is the proxy's to find.
    assert_eq!(request[..4], [5, 1, 0, 3]);
    let mut host = vec![0; usize::from(request[4]) + 2];
    stream.read_exact(&mut host)?;
    host.truncate(host.len() - 2);
    let _ = asked.send(String::from_utf8_lossy(&host).into_owned());
    let Proxying::To(port) = way else {
        let answer: &[u8] = match way {
            Proxying::HangsUp => &[5, 0],
            _ => &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0],
        };
        return stream.write_all(answer);
    };
    let mut target = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let (mut there, mut back) = (stream.try_clone()?, target.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut there, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    std::io::copy(&mut target, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}

#[test]
fn mail_comes_through_a_proxy_that_finds_the_name_and_stays_where_it_fails() {
    let person = Person::new();
    let shown = person.sign("localhost", 2099);
    let server = Stranger::open(Door::Tls(shown.config), letters(3, 300));
    let keys =
        |port: u16| format!("ca_file = \"authority.pem\"\nproxy = \"socks5://127.0.0.1:{port}\"");
    for way in [
        Proxying::NoMethod,
        Proxying::NotAllowed,
        Proxying::HangsUp,
        Proxying::Silence,
    ] {
        let begun = Instant::now();
        let (port, _hosts) = proxy(way);
        let soon = format!("{}\ntimeout = \"3s\"", keys(port));
        let ran = person.fetch(&server, &soon, &[]);
        ran.refused(75, "127.0.0.1");
        ran.refused(75, "nothing is lost: the next run goes on");
        assert!(begun.elapsed() < PATIENCE / 2, "{ran:?}");
        person.assert_nothing(&server);
    }
    // Nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    person
        .fetch(&server, &keys(port), &[])
        .refused(75, "cannot connect to 127.0.0.1");
    person.assert_nothing(&server);

    let (port, hosts) = proxy(Proxying::To(server.port));
    let ran = person.fetch(&server, &keys(port), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    person.assert_all(&server);
    let host = hosts.recv_timeout(Duration::from_secs(10));
    assert_eq!(host.unwrap(), "localhost");
}
