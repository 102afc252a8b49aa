//! Which way is taken to log in, and what becomes of a refusal.

use std::sync::Arc;

use restante_client::{Client, Connection, Error, Login, LoginVerdict, Mechanism, Security, Tls};
use restante_sasl::{
    ChannelBinding, EndPoint,
    line::{decode_initial_response, decode_response, encode},
    scram::{Keys, ScramHash, ScramParameters},
    server::{Exchange, ExchangeError, Step},
};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    certificates::Authority,
    script::{Script, Scripted, error},
};

/// What a server of these capabilities hears when `login` is tried over TLS; it refuses at once.
async fn first_lines(capabilities: &[&str], login: &Login) -> (Vec<String>, Result<Client, Error>) {
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"]);
    let script = Script::default()
        .tls(&certificate.config)
        .say("+OK <1896.697170952@dbc.mtview.ca.us>")
        .capabilities(capabilities);
    // Whatever comes is refused.
    let scripted = script.refuse().serve().await;
    let server = scripted.server(Security::Tls(authority.believer()));
    let connection = Connection::open(&server).await.expect("a connection");
    let client = connection.log_in(login).await;
    (scripted.heard().await, client)
}

// PRJ-AUTH-7: the strongest that is offered, and only that.
#[tokio::test]
async fn prj_auth_7_the_strongest_mechanism_is_taken() {
    let password = Login::password("tim", "secret");
    let all = "SASL LOGIN PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS";
    for (capabilities, wanted) in [
        (&[all, "USER"][..], "AUTH SCRAM-SHA-256-PLUS "),
        (&["SASL PLAIN SCRAM-SHA-256", "USER"], "AUTH SCRAM-SHA-256 "),
        (&["SASL LOGIN PLAIN", "USER"], "AUTH PLAIN AHRpbQBzZWNyZXQ="),
        (&["SASL LOGIN", "USER"], "AUTH LOGIN"),
        // Not about a password, or too weak to be taken unasked.
        (
            &["SASL EXTERNAL OAUTHBEARER XOAUTH2 CRAM-MD5 PLAIN", "USER"],
            "AUTH PLAIN AHRpbQBzZWNyZXQ=",
        ),
        (&["SASL GSSAPI NTLM", "USER"], "USER tim"),
        (&["TOP"], "USER tim"),
    ] {
        let (heard, refused) = first_lines(capabilities, &password).await;
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[1].starts_with(wanted), "{wanted}: {heard:?}");
        assert!(matches!(refused, Err(Error::Login { .. })));
    }
    let only = |mechanisms: &[Mechanism]| Login {
        mechanisms: Some(mechanisms.into()),
        ..Login::password("tim", "secret")
    };
    let (heard, _) = first_lines(&[all], &only(&[Mechanism::Plain])).await;
    assert!(heard[1].starts_with("AUTH PLAIN "), "{heard:?}");
    let (heard, _) = first_lines(&[all], &only(&[])).await;
    assert_eq!(heard[1], "USER tim");
    let (heard, refused) = first_lines(&["SASL PLAIN"], &only(&[Mechanism::ScramSha256])).await;
    assert_eq!(heard, ["CAPA"]);
    assert!(matches!(refused, Err(Error::NoMechanism)));
}

// PRJ-APOP-7
#[tokio::test]
async fn prj_apop_7_apop_only_where_it_is_asked_for() {
    let asked = Login {
        apop: true,
        ..Login::password("mrose", "tanstaaf")
    };
    let (heard, _) = first_lines(&["USER", "SASL PLAIN"], &asked).await;
    assert_eq!(heard[1], "APOP mrose c4c9334bac560ecc979e58001b3e22fb");
    let (heard, _) = first_lines(&["SASL SCRAM-SHA-256"], &asked).await;
    assert!(heard[1].starts_with("AUTH SCRAM-SHA-256 "), "{heard:?}");
    let (heard, _) = first_lines(&["USER"], &Login::password("mrose", "tanstaaf")).await;
    assert_eq!(heard[1], "USER mrose");
}

// PRJ-DOWN-6
#[tokio::test]
async fn prj_down_6_utf8_is_said_where_it_is_announced() {
    let (heard, _) = first_lines(&["UTF8", "USER"], &Login::password("tim", "secret")).await;
    assert_eq!(heard[1..3], ["UTF8", "USER tim"]);
    let without = Login {
        utf8: false,
        ..Login::password("tim", "secret")
    };
    let (heard, _) = first_lines(&["UTF8", "USER"], &without).await;
    assert_eq!(heard[1], "USER tim");
}

// PRJ-DOWN-6, PRJ-PIPE-5: a turn less; a refusal changes nothing.
#[tokio::test]
async fn prj_down_6_utf8_and_auth_share_a_turn() {
    for answer in ["+OK", "-ERR not now"] {
        let script = Script::default()
            .say("+OK ready")
            .capabilities(&["UTF8", "PIPELINING", "SASL SCRAM-SHA-256"])
            .hear("UTF8")
            .hear_any()
            .say(&format!("{answer}\r\n-ERR [AUTH] no"));
        let scripted = script.serve().await;
        let refused = log_in(&scripted).await.err().expect("no login");
        let verdict = match refused {
            Error::Login { verdict, .. } => verdict,
            other => panic!("{other:?}"),
        };
        assert_eq!(verdict, LoginVerdict::Credentials);
        let heard = scripted.heard().await;
        assert!(heard[2].starts_with("AUTH SCRAM-SHA-256 "), "{heard:?}");
    }
}

// R2449-CAPA-6
#[tokio::test]
async fn r2449_capa_6_capabilities_that_vary_are_asked_for_again() {
    let script = Script::logged_in(&["EXPIRE 0 USER"]).capabilities(&["EXPIRE 30"]);
    let scripted = script.serve().await;
    let client = log_in(&scripted).await.expect("a login");
    let expire = client.capabilities().expire.expect("announced");
    assert!(!expire.varies);
}

async fn log_in(scripted: &Scripted) -> Result<Client, Error> {
    let connection = scripted.open().await.expect("a connection");
    connection.log_in(&Login::password("tim", "secret")).await
}

// R3206-AUTH-4
#[tokio::test]
async fn r3206_auth_4_a_refusal_says_whether_to_doubt_the_password() {
    for (capability, answer, wanted) in [
        (
            "AUTH-RESP-CODE",
            "-ERR [AUTH] wrong",
            LoginVerdict::Credentials,
        ),
        (
            "AUTH-RESP-CODE",
            "-ERR the directory is down",
            LoginVerdict::Later,
        ),
        ("TOP", "-ERR wrong", LoginVerdict::Credentials),
        ("TOP", "-ERR [IN-USE] another session", LoginVerdict::Later),
        ("TOP", "-ERR [SYS/PERM] broken", LoginVerdict::Permanent),
    ] {
        let script = Script::default().say("+OK").capabilities(&[capability]);
        let script = script
            .answer("USER tim", "+OK")
            .answer("PASS secret", answer);
        let scripted = script.serve().await;
        match log_in(&scripted).await {
            Err(Error::Login { verdict, .. }) => assert_eq!(verdict, wanted, "{answer}"),
            Err(error) => panic!("{answer}: {error}"),
            Ok(_) => panic!("{answer}: logged in"),
        }
        // A refused password is not tried again in another way.
        assert_eq!(scripted.heard().await.len(), 3);
    }
}

// PRJ-PASS-6: what USER and PASS cannot carry goes by PLAIN, and nothing is sent otherwise.
#[tokio::test]
async fn prj_pass_6_what_a_line_cannot_carry_is_not_sent() {
    let login = Login::password("tim smith", "a\r\nDELE 1");
    let (heard, _) = first_lines(&["USER", "SASL PLAIN"], &login).await;
    assert!(heard[1].starts_with("AUTH PLAIN "), "{heard:?}");
    let (heard, refused) = first_lines(&["USER"], &login).await;
    assert_eq!(heard, ["CAPA"]);
    assert!(matches!(refused, Err(Error::Request(_))));
}

/// What a server does at the end of SCRAM.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Proof {
    Right,
    /// Of somebody who does not know the password.
    Wrong,
    /// `+OK` in its stead.
    Missing,
}

/// What a server takes a login to be bound to.
pub(crate) enum BoundTo {
    Connection,
    Certificate(CertificateDer<'static>),
}

/// A server that knows a password, and does SCRAM for real, or nearly.
pub(crate) async fn scram_server(
    config: Arc<ServerConfig>,
    mechanism: Mechanism,
    proof_given: Proof,
    bound_to: BoundTo,
) -> (u16, JoinHandle<std::io::Result<bool>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let (_, connection) = stream.get_ref();
        let exporter = connection
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
            .expect("a handshake");
        let binding = match (mechanism.needs_channel_binding(), bound_to) {
            (false, _) => ChannelBinding::None,
            (true, BoundTo::Connection) => ChannelBinding::TlsExporter(exporter),
            (true, BoundTo::Certificate(certificate)) => {
                ChannelBinding::with(None, EndPoint::of_certificate(&certificate))
            }
        };
        let mut stream = BufReader::new(stream);
        stream.write_all(b"+OK\r\n").await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let capabilities = format!("+OK\r\nAUTH-RESP-CODE\r\nSASL {mechanism}\r\n.\r\n");
        stream.write_all(capabilities.as_bytes()).await?;
        let (mut exchange, mut step) = begun(&mut stream, &mut line, mechanism, &binding).await?;
        let parameters = ScramParameters::new(vec![1; 16], 4096).expect("bounds");
        let hash = mechanism.scram_hash().unwrap_or(ScramHash::Sha256);
        let keys = Keys::derive(hash, b"secret", &parameters);
        loop {
            let next = match step {
                Ok(next) => next,
                // As our own server says it: not the password.
                Err(error) => {
                    let refusal = format!("-ERR {error}\r\n");
                    stream.write_all(refusal.as_bytes()).await?;
                    (exchange, step) = begun(&mut stream, &mut line, mechanism, &binding).await?;
                    continue;
                }
            };
            match next {
                Step::LookUpScram { .. } => step = exchange.scram_parameters(&parameters),
                Step::VerifyProof(proof) => {
                    if proof_given == Proof::Missing {
                        stream.write_all(b"+OK\r\n").await?;
                        line.clear();
                        // The client is gone, without a word.
                        let _ = stream.read_line(&mut line).await;
                        return Ok(line.is_empty());
                    }
                    if proof_given == Proof::Wrong {
                        let lie = encode(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
                        stream
                            .write_all(&[b"+ ", &lie[..], b"\r\n"].concat())
                            .await?;
                        line.clear();
                        stream.read_line(&mut line).await?;
                        return Ok(line == "*\r\n");
                    }
                    assert!(proof.matches(keys.stored_key()), "the right password");
                    step = exchange.proof_accepted(keys.server_key());
                }
                Step::Challenge(octets) => {
                    let base64 = encode(&octets);
                    stream
                        .write_all(&[b"+ ", &base64[..], b"\r\n"].concat())
                        .await?;
                    line.clear();
                    stream.read_line(&mut line).await?;
                    let response = decode_response(line.trim_end().as_bytes()).expect("base64");
                    step = exchange.respond(response.expose_secret());
                }
                Step::Authenticated => {
                    stream.write_all(b"+OK\r\n").await?;
                    line.clear();
                    stream.read_line(&mut line).await?;
                    return Ok(line == "QUIT\r\n" && stream.write_all(b"+OK\r\n").await.is_ok());
                }
                other => panic!("{other:?}"),
            }
        }
    });
    (port, task)
}

/// Hears AUTH; another thing, the client's farewell, is an error.
async fn begun<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    line: &mut String,
    mechanism: Mechanism,
    binding: &ChannelBinding,
) -> std::io::Result<(Exchange, Result<Step, ExchangeError>)> {
    line.clear();
    stream.read_line(line).await?;
    let other = || std::io::Error::other(format!("not AUTH: {line:?}"));
    let auth = line.trim_end().strip_prefix("AUTH ").ok_or_else(other)?;
    let (_, first) = auth.split_once(' ').expect("an initial response");
    let first = decode_initial_response(first.as_bytes()).expect("base64");
    let mut exchange = Exchange::new(mechanism, binding.clone(), [9; 18]);
    let step = exchange.start(Some(first.expose_secret()));
    Ok((exchange, step))
}

pub(crate) async fn scram(tls: Tls, port: u16) -> Result<(), Error> {
    let server = restante_client::Server::new("localhost", port, Security::Tls(tls));
    let connection = Connection::open(&server).await?;
    let client = connection.log_in(&Login::password("tim", "secret")).await?;
    client.quit().await
}

// R9266-CB-1, R5802-PLUS-3: both ends see the same TLS.
#[tokio::test]
async fn r9266_cb_1_scram_plus_is_bound_to_the_connection() {
    let authority = Authority::new();
    for mechanism in [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
    ] {
        let certificate = authority.sign(&["localhost"]);
        let (port, task) = scram_server(
            certificate.config,
            mechanism,
            Proof::Right,
            BoundTo::Connection,
        )
        .await;
        scram(authority.believer(), port)
            .await
            .expect("the right password");
        assert!(task.await.expect("no panic").expect("no I/O error"));
    }
}

// R5802-SCRAM-4: a server that does not know the password is not the right one.
#[tokio::test]
async fn r5802_scram_4_a_server_that_cannot_prove_itself_is_left() {
    let authority = Authority::new();
    let mechanism = Mechanism::ScramSha256Plus;
    for proof in [Proof::Wrong, Proof::Missing] {
        let certificate = authority.sign(&["localhost"]);
        let (port, task) =
            scram_server(certificate.config, mechanism, proof, BoundTo::Connection).await;
        let error = error(scram(authority.believer(), port).await);
        // The server hears `*`, or nothing more, and closes without an answer.
        assert!(task.await.expect("no panic").expect("no I/O error"));
        assert!(matches!(error, Error::Sasl(_)), "{error}");
        assert_eq!(error.fault(), restante_client::Fault::Trust);
    }
}

/// A server that does not understand the binding and says so as Cyrus does, and the lines that it
/// hears.
async fn misunderstood(login: &Login) -> (Vec<String>, Result<Client, Error>) {
    let authority = Authority::new();
    let offered = "SASL PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS";
    let script = over_tls(&authority, &[offered, "USER"])
        .hear_any()
        .say("-ERR [AUTH] authenticating: bad protocol / cancel")
        .refuse();
    let scripted = script.serve().await;
    let server = scripted.server(Security::Tls(authority.believer()));
    let connection = Connection::open(&server).await.expect("a connection");
    let client = connection.log_in(login).await;
    (scripted.heard().await, client)
}

#[tokio::test]
async fn a_binding_that_is_not_understood_is_no_wrong_password() {
    let login = Login::password("tim", "secret");
    let (heard, refused) = misunderstood(&login).await;
    let tried = heard.iter().filter_map(|line| line.strip_prefix("AUTH "));
    let tried: Vec<&str> = tried.filter_map(|rest| rest.split(' ').next()).collect();
    // What comes then is judged as always: nothing weaker than SCRAM, and nothing twice.
    assert_eq!(tried, ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    assert!(matches!(refused, Err(Error::Login { .. })));
    // The server hears that we do not bind: it has said that it could (R5802-PLUS-3).
    let first = heard
        .iter()
        .find_map(|line| line.strip_prefix("AUTH SCRAM-SHA-256 "));
    let first = decode_initial_response(first.expect("AUTH").as_bytes()).expect("base64");
    assert!(first.expose_secret().starts_with(b"n,,"));

    let bound = Login {
        mechanisms: Some(vec![Mechanism::ScramSha256Plus, Mechanism::Plain]),
        ..login
    };
    let (heard, refused) = misunderstood(&bound).await;
    assert_eq!(
        heard
            .iter()
            .filter(|line| line.starts_with("AUTH "))
            .count(),
        1
    );
    let error = error(refused);
    assert_eq!(error.fault(), restante_client::Fault::Trust);
    assert!(matches!(
        error,
        Error::Unbound {
            mechanism: "SCRAM-SHA-256-PLUS",
            ..
        }
    ));
}

/// A script over TLS, up to the capabilities.
fn over_tls(authority: &Authority, capabilities: &[&str]) -> Script {
    let certificate = authority.sign(&["localhost"]);
    let script = Script::default().tls(&certificate.config).say("+OK");
    script.capabilities(capabilities)
}

async fn log_in_over_tls(
    authority: &Authority,
    scripted: &Scripted,
    login: &Login,
) -> Result<Client, Error> {
    let server = scripted.server(Security::Tls(authority.believer()));
    let connection = Connection::open(&server).await.expect("a connection");
    connection.log_in(login).await
}

// XOAUTH2-1, XOAUTH2-3
#[tokio::test]
async fn xoauth2_3_the_token_goes_on_a_line_of_its_own() {
    let authority = Authority::new();
    // user=tim^Aauth=Bearer ya29.token^A^A
    let message = "dXNlcj10aW0BYXV0aD1CZWFyZXIgeWEyOS50b2tlbgEB";
    let script = over_tls(&authority, &["SASL PLAIN XOAUTH2", "USER"])
        .answer("AUTH XOAUTH2", "+ ")
        .answer(message, "+OK")
        .answer("QUIT", "+OK");
    let scripted = script.serve().await;
    let login = Login::token("tim", "ya29.token");
    let client = log_in_over_tls(&authority, &scripted, &login).await;
    client.expect("a login").quit().await.expect("a goodbye");
}

// R7628-OAB-1, R7628-OAB-4
#[tokio::test]
async fn r7628_oab_4_a_refused_token_is_answered_and_told() {
    let authority = Authority::new();
    // {"status":"invalid_token"}
    let why = "+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=";
    for (mechanism, dummy) in [("OAUTHBEARER", "AQ=="), ("XOAUTH2", "")] {
        let script = over_tls(&authority, &[&format!("SASL {mechanism}")])
            .answer(&format!("AUTH {mechanism}"), "+ ")
            .hear_any()
            .say(why)
            .answer(dummy, "-ERR [AUTH] no");
        let scripted = script.serve().await;
        let port = scripted.address.port();
        let login = Login::token("tim", "ya29.token");
        let error = error(log_in_over_tls(&authority, &scripted, &login).await);
        let Error::Token { status, .. } = &error else {
            panic!("{mechanism}: {error}");
        };
        assert_eq!(status, "invalid_token");
        let heard = scripted.heard().await;
        let message = decode_response(heard[2].as_bytes()).expect("base64");
        if mechanism == "OAUTHBEARER" {
            let wanted = format!(
                "n,a=tim,\x01host=localhost\x01port={port}\x01auth=Bearer ya29.token\x01\x01"
            );
            assert_eq!(message.expose_secret(), wanted.as_bytes());
        }
    }
}

// R7628-OAB-1
#[tokio::test]
async fn r7628_oab_1_a_token_goes_over_tls_alone_and_never_as_a_password() {
    let script = Script::default().say("+OK");
    let scripted = script
        .capabilities(&["SASL OAUTHBEARER XOAUTH2", "USER"])
        .serve()
        .await;
    let connection = scripted.open().await.expect("a connection");
    let error = error(connection.log_in(&Login::token("tim", "ya29.token")).await);
    assert!(matches!(error, Error::NoMechanism), "{error}");
    let login = Login::token("tim", "ya29.token");
    let (heard, refused) = first_lines(&["SASL PLAIN SCRAM-SHA-256", "USER"], &login).await;
    assert_eq!(heard, ["CAPA"]);
    assert!(matches!(refused, Err(Error::NoMechanism)));
}

// R2195-CRAM-2
#[tokio::test]
async fn r2195_cram_2_cram_md5_only_where_it_is_asked_for() {
    let authority = Authority::new();
    let asked = Login {
        mechanisms: Some(vec![Mechanism::CramMd5]),
        ..Login::password("tim", "tanstaaftanstaaf")
    };
    let challenge = "+ PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
    let response = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
    let script = over_tls(&authority, &["SASL CRAM-MD5"])
        .answer("AUTH CRAM-MD5", challenge)
        .answer(response, "+OK");
    let scripted = script.serve().await;
    log_in_over_tls(&authority, &scripted, &asked)
        .await
        .expect("a login");
    let password = Login::password("tim", "secret");
    let (heard, _) = first_lines(&["SASL CRAM-MD5", "USER"], &password).await;
    assert_eq!(heard[1], "USER tim");
}
