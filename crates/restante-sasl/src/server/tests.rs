//! The server's role against hand-written clients: RFC examples first, then refusals.

use alloc::{format, vec};

use secrecy::ExposeSecret as _;

use super::*;
use crate::scram::Keys;

mod others;

const EXPORTER: [u8; 32] = [0x5A; 32];

/// An exchange whose nonce is the RFC's.
fn exchange(mechanism: Mechanism, binding: ChannelBinding, nonce: &str) -> Exchange {
    Exchange {
        mechanism,
        binding,
        host: "localhost".into(),
        state: State::Fresh(nonce.into()),
    }
}

fn challenge(step: Result<Step, ExchangeError>) -> String {
    match step {
        Ok(Step::Challenge(octets)) => String::from_utf8(octets).unwrap(),
        other => panic!("no challenge: {other:?}"),
    }
}

fn salt(base64: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(base64)
        .unwrap()
}

fn password(step: Result<Step, ExchangeError>) -> (Option<String>, String, Vec<u8>) {
    match step {
        Ok(Step::VerifyPassword {
            authorization,
            name,
            password,
        }) => (authorization, name, password.expose_secret().to_vec()),
        other => panic!("no password: {other:?}"),
    }
}

fn plain(message: &[u8]) -> Result<Step, ExchangeError> {
    Exchange::new(Mechanism::Plain, ChannelBinding::None, [0; 18]).start(Some(message))
}

/// Runs a SCRAM exchange up to the proof; gives the exchange and what the step was.
fn scram_final(
    mechanism: Mechanism,
    binding: ChannelBinding,
    client_first: &str,
    client_final: &str,
) -> (Exchange, Result<Step, ExchangeError>) {
    let mut exchange = exchange(mechanism, binding, "SERVER");
    let step = match exchange.start(Some(client_first.as_bytes())) {
        Ok(Step::LookUpScram { .. }) => {
            let parameters = ScramParameters::new(vec![1; 16], 4096).unwrap();
            let server_first = challenge(exchange.scram_parameters(&parameters));
            assert_eq!(
                server_first,
                "r=clientSERVER,s=AQEBAQEBAQEBAQEBAQEBAQ==,i=4096"
            );
            exchange.respond(client_final.as_bytes())
        }
        other => other,
    };
    (exchange, step)
}

// RFC 4616 §4.
#[test]
fn r4616_plain_1_rfc_examples() {
    assert_eq!(
        password(plain(b"\0tim\0tanstaaftanstaaf")),
        (None, "tim".into(), b"tanstaaftanstaaf".into())
    );
    let line = crate::line::decode_initial_response(b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm").unwrap();
    assert_eq!(line.expose_secret(), b"\0tim\0tanstaaftanstaaf");
    // R4422-AUTHZ-1: a name to act for is handed on; empty means none.
    assert_eq!(
        password(plain(b"Ursel\0Kurt\0xipj3plmq")),
        (Some("Ursel".into()), "Kurt".into(), b"xipj3plmq".into())
    );
}

// R5034-IR-2
#[test]
fn r5034_ir_2_client_first_mechanisms_are_asked_with_the_empty_challenge() {
    for mechanism in [
        Mechanism::Plain,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
    ] {
        let mut exchange = Exchange::new(mechanism, ChannelBinding::None, [0; 18]);
        assert_eq!(challenge(exchange.start(None)), "", "{mechanism}");
    }
    let mut exchange = Exchange::new(Mechanism::Plain, ChannelBinding::None, [0; 18]);
    assert_eq!(challenge(exchange.start(None)), "");
    assert_eq!(password(exchange.respond(b"\0tim\0x")).1, "tim");
}

#[test]
fn r4616_plain_2_two_nuls_and_nothing_empty() {
    for bad in [
        &b""[..],
        b"\0",
        b"\0\0",
        b"tim",
        b"tim\0x",
        b"\0tim\0",
        b"\0\0x",
        b"a\0tim\0",
        b"\0tim\0x\0",
        b"\0tim\0x\0y",
        b"\0\0tim\0x",
        b"\0t\xFFm\0x",
        b"\0tim\0\xFF",
        b"\xFF\0tim\0x",
        // Nothing is left of U+00AD after preparation.
        b"\0\xC2\xAD\0x",
        b"\0tim\0\xC2\xAD",
        b"\xC2\xAD\0tim\0x",
    ] {
        assert!(plain(bad).is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn r4616_plain_2_fields_of_255_octets_and_more_are_taken() {
    for (octets, fits) in [(255, true), (1023, true), (1024, true), (1025, false)] {
        let long = "x".repeat(octets);
        for message in [
            format!("{long}\0tim\0x"),
            format!("\0{long}\0x"),
            format!("\0tim\0{long}"),
        ] {
            assert_eq!(plain(message.as_bytes()).is_ok(), fits, "{octets}");
        }
    }
}

#[test]
fn r5034_prep_1_names_are_prepared_and_fail_if_they_cannot_be() {
    let (authorization, name, _) = password(plain("I\u{AD}X\0\u{2168}\0x".as_bytes()));
    assert_eq!(
        (authorization.as_deref(), name.as_str()),
        (Some("IX"), "IX")
    );
    for bad in ["\u{7}\0tim\0x", "\0\u{7}\0x", "\u{627}1\0tim\0x"] {
        assert_eq!(
            plain(bad.as_bytes()).map(|_| ()),
            Err(ExchangeError::Unpreparable),
            "{bad:?}"
        );
    }
    // Passwords stay as they were typed: other programs have hashed them so.
    assert_eq!(
        password(plain("\0tim\0\u{2168}\t".as_bytes())).2,
        "\u{2168}\t".as_bytes()
    );
}

#[test]
fn sasl_login_1_asks_for_name_then_password() {
    let mut exchange = Exchange::new(Mechanism::Login, ChannelBinding::None, [0; 18]);
    let name = challenge(exchange.start(None));
    assert_eq!(crate::line::encode(name.as_bytes()), b"VXNlcm5hbWU6");
    let pass = challenge(exchange.respond(b"tim"));
    assert_eq!(crate::line::encode(pass.as_bytes()), b"UGFzc3dvcmQ6");
    assert_eq!(
        password(exchange.respond(b"x y")),
        (None, "tim".into(), b"x y".into())
    );
    assert_eq!(
        exchange.respond(b"x").map(|_| ()),
        Err(ExchangeError::OutOfTurn)
    );
}

#[test]
fn sasl_login_1_takes_the_name_as_initial_response() {
    let mut exchange = Exchange::new(Mechanism::Login, ChannelBinding::None, [0; 18]);
    assert_eq!(challenge(exchange.start(Some(b"tim"))), "Password:");
    assert_eq!(password(exchange.respond(b"x")).1, "tim");
}

#[test]
fn sasl_login_1_refuses_empty_and_impossible_fields() {
    for bad in [&b""[..], b"a\0b", b"\xFF", b"\x07"] {
        let mut exchange = Exchange::new(Mechanism::Login, ChannelBinding::None, [0; 18]);
        assert!(exchange.start(Some(bad)).is_err(), "{}", bad.escape_ascii());
        assert_eq!(
            exchange.respond(b"x").map(|_| ()),
            Err(ExchangeError::OutOfTurn)
        );
    }
    for bad in [&b""[..], b"a\0b", b"\xFF"] {
        let mut exchange = Exchange::new(Mechanism::Login, ChannelBinding::None, [0; 18]);
        let _ = challenge(exchange.start(Some(b"tim")));
        assert!(exchange.respond(bad).is_err(), "{}", bad.escape_ascii());
    }
}

/// Plays a whole exchange from an RFC, the server's side.
fn rfc_example(mechanism: Mechanism, nonce: &str, salt64: &str, lines: [&str; 4]) {
    let hash = mechanism.scram_hash().unwrap();
    let parameters = ScramParameters::new(salt(salt64), 4096).unwrap();
    let keys = Keys::derive(hash, b"pencil", &parameters);
    let mut exchange = exchange(mechanism, ChannelBinding::None, nonce);
    match exchange.start(Some(lines[0].as_bytes())).unwrap() {
        Step::LookUpScram {
            name,
            authorization,
            hash: asked,
        } => {
            assert_eq!((name.as_str(), authorization, asked), ("user", None, hash));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(challenge(exchange.scram_parameters(&parameters)), lines[1]);
    match exchange.respond(lines[2].as_bytes()).unwrap() {
        Step::VerifyProof(proof) => assert!(proof.matches(keys.stored_key())),
        other => panic!("{other:?}"),
    }
    // R5802-SCRAM-6, R5034-DATA-1: the signature is a challenge, answered by an empty line.
    assert_eq!(
        challenge(exchange.proof_accepted(keys.server_key())),
        lines[3]
    );
    assert!(matches!(exchange.respond(b""), Ok(Step::Authenticated)));
    assert_eq!(
        exchange.respond(b"").map(|_| ()),
        Err(ExchangeError::OutOfTurn)
    );
}

// R5802-SCRAM-1, R5802-SCRAM-6, R5034-DATA-1: RFC 5802 §5.
#[test]
fn r5802_scram_1_rfc_example_sha1() {
    rfc_example(
        Mechanism::ScramSha1,
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    );
}

// R7677-VEC-1: RFC 7677 §3.
#[test]
fn r7677_vec_1_rfc_example_sha256() {
    rfc_example(
        Mechanism::ScramSha256,
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    );
}

#[test]
fn r5802_scram_6_anything_but_an_empty_answer_to_the_signature_fails() {
    let client_final = format!("c=biws,r=clientSERVER,p={}", base64(&[0; 32]));
    let (mut exchange, step) = scram_final(
        Mechanism::ScramSha256,
        ChannelBinding::None,
        "n,,n=user,r=client",
        &client_final,
    );
    assert!(matches!(step, Ok(Step::VerifyProof(_))));
    let parameters = ScramParameters::new(vec![1; 16], 4096).unwrap();
    let keys = Keys::derive(ScramHash::Sha256, b"pencil", &parameters);
    assert!(challenge(exchange.proof_accepted(keys.server_key())).starts_with("v="));
    assert!(exchange.respond(b"x").is_err());
    assert_eq!(
        exchange.respond(b"").map(|_| ()),
        Err(ExchangeError::OutOfTurn)
    );
}

#[test]
fn r5802_scram_3_nonce_must_be_client_then_server() {
    let proof = base64(&[0; 32]);
    for nonce in [
        "client",
        "SERVER",
        "clientSERVERx",
        "clientSERVE",
        "xclientSERVER",
        "CLIENTSERVER",
    ] {
        let (_, step) = scram_final(
            Mechanism::ScramSha256,
            ChannelBinding::None,
            "n,,n=user,r=client",
            &format!("c=biws,r={nonce},p={proof}"),
        );
        assert_eq!(
            step.map(|_| ()),
            Err(ExchangeError::NonceMismatch),
            "{nonce}"
        );
    }
}

#[test]
fn r5802_scram_3_binding_must_be_header_and_data() {
    let proof = base64(&[0; 32]);
    let right = [b"p=tls-exporter,,".as_slice(), &EXPORTER].concat();
    let mut flipped = right.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let cases: [(&[u8], bool); 7] = [
        (&right, true),
        (&flipped, false),
        (b"p=tls-exporter,,", false),
        (&right[..40], false),
        (b"n,,", false),
        (b"y,,", false),
        (&[right.clone(), vec![0]].concat(), false),
    ];
    for (binding, fits) in cases {
        let (_, step) = scram_final(
            Mechanism::ScramSha256Plus,
            ChannelBinding::TlsExporter(EXPORTER),
            "p=tls-exporter,,n=user,r=client",
            &format!("c={},r=clientSERVER,p={proof}", base64(binding)),
        );
        match step {
            Ok(Step::VerifyProof(_)) => assert!(fits),
            other => assert!(!fits && other.map(|_| ()) == Err(ExchangeError::BindingMismatch)),
        }
    }
    // Without binding, too: the header of the first message comes back exactly.
    for header in ["y,,", "n,a=x,", "n,"] {
        let (_, step) = scram_final(
            Mechanism::ScramSha256,
            ChannelBinding::None,
            "n,,n=user,r=client",
            &format!("c={},r=clientSERVER,p={proof}", base64(header.as_bytes())),
        );
        assert_eq!(
            step.map(|_| ()),
            Err(ExchangeError::BindingMismatch),
            "{header}"
        );
    }
}

fn first_only(
    mechanism: Mechanism,
    binding: ChannelBinding,
    flag: &str,
) -> Result<(), ExchangeError> {
    let message = format!("{flag},,n=user,r=client");
    exchange(mechanism, binding, "SERVER")
        .start(Some(message.as_bytes()))
        .map(|_| ())
}

#[test]
fn r5802_plus_2_y_while_plus_is_advertised_fails() {
    let offered = || ChannelBinding::TlsExporter(EXPORTER);
    for mechanism in [Mechanism::ScramSha1, Mechanism::ScramSha256] {
        assert_eq!(
            first_only(mechanism, offered(), "y"),
            Err(ExchangeError::BindingDowngraded)
        );
        assert_eq!(first_only(mechanism, offered(), "n"), Ok(()));
        assert_eq!(first_only(mechanism, ChannelBinding::Unused, "y"), Ok(()));
        assert_eq!(first_only(mechanism, ChannelBinding::None, "y"), Ok(()));
    }
}

#[test]
fn r5802_plus_2_unknown_binding_type_fails() {
    let offered = || ChannelBinding::TlsExporter(EXPORTER);
    for mechanism in [Mechanism::ScramSha1Plus, Mechanism::ScramSha256Plus] {
        assert_eq!(first_only(mechanism, offered(), "p=tls-exporter"), Ok(()));
        for flag in [
            "p=tls-unique",
            "p=tls-server-end-point",
            "p=TLS-EXPORTER",
            "p=x",
            "n",
            "y",
        ] {
            let step = first_only(mechanism, offered(), flag);
            assert_eq!(step, Err(ExchangeError::BindingUnsupported), "{flag}");
        }
        for binding in [ChannelBinding::None, ChannelBinding::Unused] {
            let step = first_only(mechanism, binding, "p=tls-exporter");
            assert_eq!(step, Err(ExchangeError::BindingUnavailable));
        }
    }
    for binding in [offered(), ChannelBinding::None, ChannelBinding::Unused] {
        let step = first_only(Mechanism::ScramSha256, binding, "p=tls-exporter");
        assert_eq!(step, Err(ExchangeError::BindingUnsupported));
    }
}

#[test]
fn scram_hands_on_the_authorization_identity() {
    let mut exchange = exchange(Mechanism::ScramSha256, ChannelBinding::None, "SERVER");
    match exchange
        .start(Some(b"n,a=other=2Cone,n=us=3Der,r=client"))
        .unwrap()
    {
        Step::LookUpScram {
            name,
            authorization,
            ..
        } => {
            assert_eq!(
                (name.as_str(), authorization.as_deref()),
                ("us=er", Some("other,one"))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn scram_names_are_bounded_and_prepared() {
    let start = |name: &str| {
        let message = format!("n,,n={name},r=client");
        exchange(Mechanism::ScramSha256, ChannelBinding::None, "S")
            .start(Some(message.as_bytes()))
            .map(|_| ())
    };
    assert_eq!(start(&"x".repeat(1024)), Ok(()));
    assert!(start(&"x".repeat(1025)).is_err());
    assert_eq!(start("\u{AD}"), Err(ExchangeError::Unpreparable));
    assert_eq!(start("\u{7}"), Err(ExchangeError::Unpreparable));
}

#[test]
fn proof_of_another_length_is_malformed() {
    for octets in [0, 1, 20, 31, 33, 64] {
        let client_final = format!("c=biws,r=clientSERVER,p={}", base64(&vec![0; octets]));
        let (_, step) = scram_final(
            Mechanism::ScramSha256,
            ChannelBinding::None,
            "n,,n=user,r=client",
            &client_final,
        );
        assert!(
            matches!(step, Err(ExchangeError::Malformed { .. })),
            "{octets}"
        );
    }
}

#[test]
fn answers_that_were_not_asked_for_end_the_exchange() {
    let parameters = ScramParameters::new(vec![1; 16], 4096).unwrap();
    let keys = Keys::derive(ScramHash::Sha256, b"pencil", &parameters);
    let fresh = || exchange(Mechanism::ScramSha256, ChannelBinding::None, "SERVER");
    let out = Err(ExchangeError::OutOfTurn);

    let mut early = fresh();
    assert_eq!(early.respond(b"n,,n=user,r=x").map(|_| ()), out);
    assert_eq!(early.start(None).map(|_| ()), out);

    let mut early = fresh();
    assert_eq!(early.scram_parameters(&parameters).map(|_| ()), out);

    let mut early = fresh();
    let _ = early.start(Some(b"n,,n=user,r=client")).unwrap();
    assert_eq!(early.proof_accepted(keys.server_key()).map(|_| ()), out);

    // While the caller looks the user up, the client has nothing to say.
    let mut early = fresh();
    let _ = early.start(Some(b"n,,n=user,r=client")).unwrap();
    assert_eq!(
        early.respond(b"c=biws,r=clientSERVER,p=AA==").map(|_| ()),
        out
    );

    // A key of the other hash is not signed with.
    let client_final = format!("c=biws,r=clientSERVER,p={}", base64(&[0; 32]));
    let (mut exchange, _) = scram_final(
        Mechanism::ScramSha256,
        ChannelBinding::None,
        "n,,n=user,r=client",
        &client_final,
    );
    let sha1 = Keys::derive(ScramHash::Sha1, b"pencil", &parameters);
    assert_eq!(exchange.proof_accepted(sha1.server_key()).map(|_| ()), out);
}

// PRJ-SEC-2
#[test]
fn prj_sec_2_debug_and_errors_show_nothing_the_client_said() {
    let mut exchange = Exchange::new(
        Mechanism::Plain,
        ChannelBinding::TlsExporter([0xEE; 32]),
        [0xEE; 18],
    );
    let fresh = format!("{exchange:?}");
    let step = exchange.start(Some(b"\0tim\0tanstaaf")).unwrap();
    let text = format!("{fresh} {exchange:?} {step:?}");
    for secret in ["tanstaaf", "238", "ee", "EE", "116"] {
        assert!(!text.contains(secret), "{text}");
    }
    for bad in [&b"tanstaaf"[..], b"\0\x07tanstaaf\0x"] {
        let error = plain(bad).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("tanstaaf"));
    }
}
