//! Both roles of an exchange, fed with lines of somebody who does not know the password.

use std::sync::LazyLock;

use restante_sasl::{
    ChannelBinding, EndPoint, Mechanism, TokenRefusal, client, line, prepare,
    scram::{Keys, ScramHash, ScramParameters},
    server::{Exchange, Step},
};
use secrecy::ExposeSecret;

const EXPORTER: [u8; 32] = [7; 32];

const CERTIFICATE: &[u8] =
    include_bytes!("../../crates/restante-sasl/src/end_point/certificates/ecdsa_sha256.der");

/// Keys of a password that no input contains.
static KEYS: LazyLock<[Keys; 2]> = LazyLock::new(|| {
    let parameters = ScramParameters::new(vec![1; 16], 4096).expect("within the bounds");
    [ScramHash::Sha1, ScramHash::Sha256].map(|hash| Keys::derive(hash, b"\x01secret", &parameters))
});

fn mechanism(choice: u8) -> Mechanism {
    Mechanism::ALL[usize::from(choice) % Mechanism::ALL.len()]
}

/// The server's role; each line is one that a client sends, in base64 or raw if it is none.
pub fn play_server(choice: u8, binding: u8, lines: &[&[u8]]) {
    let end_point = EndPoint::of_certificate(CERTIFICATE);
    assert!(end_point.is_some());
    let binding = match binding % 5 {
        0 => ChannelBinding::None,
        1 => ChannelBinding::Unused,
        2 => ChannelBinding::TlsExporter(EXPORTER),
        3 => ChannelBinding::with(None, end_point),
        _ => ChannelBinding::with(Some(EXPORTER), end_point),
    };
    // A client reads the certificate that a server shows.
    for line in lines {
        let _ = EndPoint::of_certificate(line);
    }
    let mut exchange = Exchange::new(mechanism(choice), binding, [9; 18]);
    let mut lines = lines.iter();
    // Half of them begin with what the client has to say, half with the empty challenge.
    let mut step = match choice >= 128 {
        true => exchange.start(lines.next().map(|line| decoded(line)).as_deref()),
        false => exchange.start(None),
    };
    for _round in 0..8 {
        step = match step {
            Ok(Step::Challenge(octets)) => {
                assert!(octets.len() < 64 * 1024);
                let Some(line) = lines.next() else { return };
                exchange.respond(&decoded(line))
            }
            Ok(Step::VerifyPassword {
                authorization,
                name,
                password,
            }) => {
                assert!((1..=1024).contains(&password.expose_secret().len()));
                assert!(!password.expose_secret().contains(&0));
                assert_prepared(&name);
                authorization
                    .as_deref()
                    .iter()
                    .for_each(|name| assert_prepared(name));
                return;
            }
            Ok(Step::VerifyDigest { name, digest }) => {
                assert_prepared(&name);
                assert!(!digest.matches(b"\x01secret"));
                return;
            }
            Ok(Step::VerifyToken {
                authorization,
                token,
                ..
            }) => {
                let token = token.expose_secret();
                assert!((1..=32 * 1024).contains(&token.len()));
                assert!(token.bytes().all(|octet| octet.is_ascii_graphic()));
                authorization
                    .as_deref()
                    .iter()
                    .for_each(|name| assert_prepared(name));
                exchange.token_refused(&TokenRefusal::default())
            }
            Ok(Step::VerifyCertificate { authorization }) => {
                authorization
                    .as_deref()
                    .iter()
                    .for_each(|name| assert_prepared(name));
                return;
            }
            Ok(Step::LookUpScram {
                name,
                authorization,
                hash,
            }) => {
                assert_prepared(&name);
                authorization
                    .as_deref()
                    .iter()
                    .for_each(|name| assert_prepared(name));
                exchange.scram_parameters(KEYS[hash as usize].parameters())
            }
            Ok(Step::VerifyProof(proof)) => {
                assert!(!proof.matches(KEYS[proof.hash() as usize].stored_key()));
                return;
            }
            Ok(Step::Authenticated) => panic!("authenticated without a proof"),
            Err(_) => {
                assert!(exchange.respond(b"").is_err(), "alive after an error");
                return;
            }
        };
    }
    panic!("PRJ-LINE-2: more than 8 rounds");
}

/// The client's role; each line is one that a server sends.
pub fn play_client(choice: u8, lines: &[&[u8]]) {
    let mechanism = mechanism(choice);
    let mut exchange = client(mechanism);
    // Few iterations, or the fuzzer only derives keys.
    exchange.accept_iterations(1..=64);
    let _ = exchange.initial_response();
    for line in lines {
        if exchange.respond(&decoded(line)).is_err() {
            assert!(exchange.respond(b"").is_err(), "alive after an error");
            break;
        }
    }
    // Only who knows the password can sign.
    assert!(mechanism.scram_hash().is_none() || exchange.finish().is_err());
}

fn client(mechanism: Mechanism) -> client::Exchange {
    if mechanism == Mechanism::External {
        return client::Exchange::external(Some("user")).expect("a name that can be sent");
    }
    if mechanism.is_bearer() {
        let bearer = client::Bearer {
            user: "user".to_owned(),
            token: "pencil".into(),
            host: None,
            port: None,
        };
        return client::Exchange::with_token(mechanism, &bearer).expect("fields that can be sent");
    }
    let binding = match mechanism.needs_channel_binding() {
        true => ChannelBinding::TlsExporter(EXPORTER),
        false => ChannelBinding::None,
    };
    let credentials = client::Credentials {
        name: "user".to_owned(),
        password: "pencil".into(),
        authorization: None,
    };
    let made = client::Exchange::new(mechanism, credentials, binding, [9; 18]);
    made.expect("fields that can be sent")
}

/// A line as base64 if it is, otherwise as it stands: a fuzzer finds messages sooner than base64.
fn decoded(text: &[u8]) -> Vec<u8> {
    match line::decode_response(text) {
        Ok(octets) => {
            // One text for each value: base64 is read strictly.
            assert_eq!(line::encode(octets.expose_secret()), text);
            octets.expose_secret().to_vec()
        }
        Err(_) => text.to_vec(),
    }
}

fn assert_prepared(name: &str) {
    assert!(!name.is_empty() && !name.contains('\0'));
    assert!(prepare(name).is_ok(), "{name:?}");
}
