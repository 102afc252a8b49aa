//! Ways to log in beside the password: tokens, certificates, and CRAM-MD5, with programs that
//! nobody here wrote.

mod reload;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData as _, SanType, SigningKey as _,
};

use super::{Outcome, Transport, contents_in, make_maildir, port, run};
use crate::certificate::{self, HOST};
use crate::corpus::Letter;
use crate::server::{Keys, PASSWORD, Server, Site, USER};

const WAYS: [Transport; 2] = [Transport::Stls, Transport::Tls];

fn letter() -> Letter {
    Letter::new("one", b"Subject: one\r\n\r\nbody\r\n".to_vec())
}

/// A site with more below `[tls]` and at the end of its configuration.
fn site(pop3: &'static str, tls: &str, tables: &str) -> Site {
    let keys = Keys {
        pop3,
        ..Keys::default()
    };
    let site = Site::configured(&[letter()], &keys);
    let file = site.configuration();
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("[accounts]\n", &format!("{tls}\n[accounts]\n"));
    fs::write(file, text + tables).unwrap();
    site
}

/// Retrieves the letter with curl; `login` are the options that say how to log in.
fn curl(server: &Server, transport: Transport, login: &[&str]) -> Outcome {
    let url = match transport {
        Transport::Tls => format!("pop3s://{HOST}:{}/1", server.tls.port()),
        _ => format!("pop3://{HOST}:{}/1", server.plain.port()),
    };
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "-v", "--max-time", "60", "--cacert"]);
    command.arg(server.site.authority()).args(login).arg(url);
    if transport == Transport::Stls {
        command.arg("--ssl-reqd");
    }
    run(&mut command)
}

/// Retrieves the letter with mpop; `login` are lines of its configuration.
fn mpop(server: &Server, transport: Transport, login: &str) -> usize {
    let directory = server.site.path().join("mpop");
    let _ = fs::remove_dir_all(&directory);
    make_maildir(&directory);
    let starttls = if transport == Transport::Stls {
        "on"
    } else {
        "off"
    };
    let settings = format!(
        "account default\nhost {HOST}\nport {}\nuser {USER}\n{login}\n\
         tls on\ntls_starttls {starttls}\ntls_trust_file {}\ndelivery maildir {}\n\
         uidls_file {}\nreceived_header off\nkeep on\nonly_new off\n",
        port(server, transport),
        server.site.authority().display(),
        directory.display(),
        server.site.path().join("mpop.uidls").display(),
    );
    let file = server.site.write_private("mpoprc", &settings);
    run(Command::new("mpop").arg("--quiet").arg("--file").arg(&file)).success();
    contents_in(&directory.join("new")).len()
}

/// An issuer that finds every token active which begins with `good`.
fn issuer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(octets) = lower.strip_prefix("content-length: ") {
                length = octets.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let json = match body.starts_with(b"token=good") {
            true => format!(r#"{{"active":true,"scope":"pop","username":"x","sub":"{USER}"}}"#),
            false => r#"{"active":false}"#.to_owned(),
        };
        let length = json.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        if reader
            .get_mut()
            .write_all((head + &json).as_bytes())
            .is_err()
        {
            return;
        }
    }
}

fn asking(address: SocketAddr) -> String {
    format!("[accounts.oauth]\nintrospection_url = \"http://{address}/\"\nscope = \"pop\"\n")
}

// R7628-OAB-1, XOAUTH2-1, XOAUTH2-3, R5034-LINE-1
#[test]
fn e2e_curl_logs_in_with_tokens_of_several_kilobytes() {
    let server = Server::at(site("", "", &asking(issuer())));
    let long = format!("good{}", "x".repeat(6000));
    for transport in WAYS {
        for mechanism in ["AUTH=OAUTHBEARER", "AUTH=XOAUTH2"] {
            for initial in ["--sasl-ir", "--no-sasl-ir"] {
                let login = ["--user", &format!("{USER}:"), "--oauth2-bearer", &long];
                let login = [&login[..], &["--login-options", mechanism, initial]].concat();
                let finished = curl(&server, transport, &login).success();
                assert_eq!(finished.stdout, letter().wire, "{mechanism} {initial}");
            }
        }
    }
    assert!(!server.log().contains("xxxx"), "PRJ-SEC-2");
}

// R7628-OAB-3, XOAUTH2-2
#[test]
fn e2e_curl_is_told_that_a_token_is_not_good() {
    let server = Server::at(site("", "", &asking(issuer())));
    for mechanism in ["AUTH=OAUTHBEARER", "AUTH=XOAUTH2"] {
        let login = ["--user", &format!("{USER}:"), "--oauth2-bearer", "bad"];
        let login = [&login[..], &["--login-options", mechanism]].concat();
        let finished = curl(&server, Transport::Tls, &login);
        // CURLE_LOGIN_DENIED.
        assert_eq!(finished.code, Some(67), "{}", finished.talk());
        assert!(finished.stderr.contains("-ERR"), "{}", finished.talk());
    }
    server.wait_for_log("token not accepted: the issuer says that it is not active");
}

#[test]
fn e2e_mpop_logs_in_with_tokens() {
    let server = Server::at(site("", "", &asking(issuer())));
    for transport in WAYS {
        for mechanism in ["oauthbearer", "xoauth2"] {
            // A line of its configuration has 500 octets at most.
            let token = format!("good{}", "x".repeat(400));
            let login = format!("auth {mechanism}\npassword {token}");
            assert_eq!(mpop(&server, transport, &login), 1, "{mechanism}");
        }
    }
}

/// The issuer's key, and a token signed with it.
struct Key(KeyPair);

impl Key {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    /// Writes the set of its public key.
    fn publish(&self, site: &Site) {
        let x = URL_SAFE_NO_PAD.encode(self.0.der_bytes());
        let set = format!(
            r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","use":"sig","x":"{x}"}}]}}"#
        );
        fs::write(site.path().join("keys.json"), set).unwrap();
    }

    fn token(&self, header: &str, audience: &str, seconds: i64) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let ends = i64::try_from(now).unwrap() + seconds;
        let claims = format!(
            r#"{{"iss":"https://id.example.com","aud":"{audience}","exp":{ends},"email":"{USER}"}}"#
        );
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self.0.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

const EDDSA: &str = r#"{"alg":"EdDSA","kid":"k","typ":"at+jwt"}"#;

// R7628-OAB-5
#[test]
fn r7628_oab_5_e2e_signed_tokens_and_forged_ones() {
    let site = site(
        "",
        "",
        "[accounts.oauth]\njwks_file = \"keys.json\"\nissuer = \"https://id.example.com\"\n\
         audience = \"pop\"\n",
    );
    let key = Key::new();
    key.publish(&site);
    let server = Server::at(site);
    let code = |token: &str| {
        let login = ["--user", &format!("{USER}:"), "--oauth2-bearer", token];
        let began = Instant::now();
        let finished = curl(&server, Transport::Tls, &login);
        assert!(began.elapsed() < Duration::from_secs(20), "bounded time");
        finished.code
    };
    assert_eq!(code(&key.token(EDDSA, "pop", 300)), Some(0));
    let none = key.token(r#"{"alg":"none"}"#, "pop", 300);
    let (message, _) = none.rsplit_once('.').unwrap();
    for bad in [
        key.token(EDDSA, "imap", 300),
        key.token(EDDSA, "pop", -300),
        Key::new().token(EDDSA, "pop", 300),
        none.clone(),
        format!("{message}."),
        format!("{}{}", key.token(EDDSA, "pop", 300), "x".repeat(20_000)),
    ] {
        // Three failures close a connection, but each of these has its own.
        assert_eq!(code(&bad), Some(67), "{bad:.60}");
    }
    // After a minute without such a login the issuer may have changed its key: the file is read
    // again after seconds.
    let next = Key::new();
    next.publish(&server.site);
    let deadline = Instant::now() + Duration::from_secs(30);
    while code(&next.token(EDDSA, "pop", 300)) != Some(0) {
        assert!(Instant::now() < deadline, "the new key never counted");
    }
}

/// R3206-AUTH-2: programs must not throw the token away, and others are served meanwhile.
#[test]
fn r3206_auth_2_e2e_an_issuer_that_hangs_is_an_outage_of_bounded_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::at(site("", "", &asking(silent.local_addr().unwrap())));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let login = ["--user", &format!("{USER}:"), "--oauth2-bearer", "good"];
            let began = Instant::now();
            (curl(&server, Transport::Tls, &login), began.elapsed())
        });
        let login = ["--user", &format!("{USER}:{PASSWORD}")];
        let began = Instant::now();
        curl(&server, Transport::Tls, &login).success();
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "nobody waits for it"
        );
        let (finished, took) = waiting.join().unwrap();
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(
            finished.stderr.contains("[SYS/TEMP]"),
            "{}",
            finished.talk()
        );
        assert!(!finished.stderr.contains("[AUTH]"), "{}", finished.talk());
    });
    server.wait_for_log("the token issuer did not answer in time");
}

/// Writes a certificate for this address and its key; the authority is the site's own.
fn client_certificate(site: &Site, address: &str) -> (PathBuf, PathBuf) {
    let authority = certificate::write_authority(site.path(), "people.pem");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &authority).unwrap();
    let files = (site.path().join("mine.pem"), site.path().join("mine.key"));
    fs::write(&files.0, signed.pem()).unwrap();
    fs::write(&files.1, key.serialize_pem()).unwrap();
    files
}

// R4422-EXT-1
#[test]
fn r4422_ext_1_e2e_curl_and_mpop_log_in_with_a_certificate() {
    let site = site("", "client_ca = \"people.pem\"", "");
    let (certificate, key) = client_certificate(&site, USER);
    let server = Server::at(site);
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    for transport in WAYS {
        let shown = ["--cert", certificate, "--key", key];
        let user = format!("{USER}:");
        let login = ["--login-options", "AUTH=EXTERNAL", "--user", &user];
        let finished = curl(&server, transport, &[&shown[..], &login].concat()).success();
        assert_eq!(finished.stdout, letter().wire);
        let login = format!("auth external\ntls_cert_file {certificate}\ntls_key_file {key}");
        assert_eq!(mpop(&server, transport, &login), 1);
        // Without it, EXTERNAL is not there.
        let finished = curl(
            &server,
            transport,
            &["--login-options", "AUTH=EXTERNAL", "--user", &user],
        );
        assert_ne!(finished.code, Some(0));
        assert!(
            !finished.stderr.contains("SASL EXTERNAL"),
            "{}",
            finished.talk()
        );
    }
}

// R2195-CRAM-1
#[test]
fn r2195_cram_1_e2e_curl_and_mpop_log_in_with_cram_md5() {
    let server = Server::at(site("mechanisms = [\"CRAM-MD5\"]", "", ""));
    for transport in WAYS {
        let user = format!("{USER}:{PASSWORD}");
        let login = ["--login-options", "AUTH=CRAM-MD5", "--user", &user];
        let finished = curl(&server, transport, &login).success();
        assert_eq!(finished.stdout, letter().wire);
        let login = format!("auth cram-md5\npassword \"{PASSWORD}\"");
        assert_eq!(mpop(&server, transport, &login), 1);
        let wrong = [
            "--login-options",
            "AUTH=CRAM-MD5",
            "--user",
            &format!("{USER}:x"),
        ];
        assert_eq!(curl(&server, transport, &wrong).code, Some(67));
    }
}
