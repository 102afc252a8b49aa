//! The client's role: RFC examples, hostile servers, and both roles against each other.

use alloc::{format, string::ToString as _, vec};

use proptest::prelude::*;

use super::*;
use crate::{
    prepare_stored,
    scram::{Keys, ScramParameters},
    server::{self, ExchangeError, Step},
};

mod others;

const EXPORTER: [u8; 32] = [0x5A; 32];

/// The mechanisms that are about a password.
fn with_passwords() -> impl Iterator<Item = Mechanism> {
    let takes_password = |mechanism: &Mechanism| mechanism.takes_password();
    Mechanism::ALL.into_iter().filter(takes_password)
}

fn credentials(name: &str, password: &str) -> Credentials {
    Credentials {
        name: name.into(),
        password: password.into(),
        authorization: None,
    }
}

fn client(mechanism: Mechanism, nonce: &str) -> Exchange {
    if mechanism == Mechanism::External {
        return Exchange::external(None).unwrap();
    }
    if mechanism.is_bearer() {
        return Exchange::with_token(mechanism, &others::bearer("pencil")).unwrap();
    }
    let binding = match mechanism.needs_channel_binding() {
        true => ChannelBinding::TlsExporter(EXPORTER),
        false => ChannelBinding::None,
    };
    Exchange::with_nonce(
        mechanism,
        credentials("user", "pencil"),
        binding,
        nonce.into(),
    )
    .unwrap()
}

fn text(octets: SecretSlice<u8>) -> String {
    String::from_utf8(octets.expose_secret().to_vec()).unwrap()
}

// R4616-PLAIN-1
#[test]
fn r4616_plain_1_client_message() {
    let credentials = credentials("tim", "tanstaaftanstaaf");
    let mut client =
        Exchange::new(Mechanism::Plain, credentials, ChannelBinding::None, [0; 18]).unwrap();
    let message = client.initial_response().unwrap();
    assert_eq!(message.expose_secret(), b"\0tim\0tanstaaftanstaaf");
    let line = crate::line::encode_initial_response(message.expose_secret());
    assert_eq!(line.expose_secret(), b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
    assert!(client.initial_response().is_none());
    assert_eq!(client.finish(), Ok(()));
}

/// Plays a whole exchange from an RFC, the client's side.
fn rfc_example(mechanism: Mechanism, nonce: &str, lines: [&str; 4]) {
    let mut client = client(mechanism, nonce);
    assert_eq!(text(client.initial_response().unwrap()), lines[0]);
    assert_eq!(text(client.respond(lines[1].as_bytes()).unwrap()), lines[2]);
    assert_eq!(text(client.respond(lines[3].as_bytes()).unwrap()), "");
    assert_eq!(client.finish(), Ok(()));
}

// R5802-SCRAM-1: RFC 5802 §5.
#[test]
fn r5802_scram_1_rfc_example_sha1_client() {
    rfc_example(
        Mechanism::ScramSha1,
        "fyko+d2lbbFgONRv9qkxdawL",
        [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    );
}

const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

// R7677-VEC-1: RFC 7677 §3.
#[test]
fn r7677_vec_1_rfc_example_sha256_client() {
    rfc_example(
        Mechanism::ScramSha256,
        "rOprNGfwEbeRWgbNEkqO",
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            SERVER_FIRST,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    );
}

/// A client that has sent client-first with the nonce of RFC 7677.
fn waiting() -> Exchange {
    let mut client = client(Mechanism::ScramSha256, "rOprNGfwEbeRWgbNEkqO");
    let _ = client.initial_response().unwrap();
    client
}

#[test]
fn r5802_scram_4_nonce_that_is_not_ours_and_more_fails() {
    for nonce in [
        "rOprNGfwEbeRWgbNEkqO",
        "rOprNGfwEbeRWgbNEkq",
        "xrOprNGfwEbeRWgbNEkqOx",
        "x",
    ] {
        let server_first = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let error = waiting().respond(server_first.as_bytes()).unwrap_err();
        assert_eq!(error, ClientError::Nonce, "{nonce}");
    }
}

#[test]
fn r5802_scram_4_success_without_the_servers_signature_is_a_failed_login() {
    assert_eq!(waiting().finish(), Err(ClientError::Unproven));
    let mut client = waiting();
    let _ = client.respond(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!(client.finish(), Err(ClientError::Unproven));
    for last in [
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
        "v=AAAA",
        "v=",
        "",
        "x",
        "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        "e=invalid-proof",
        "r=x,v=AAAA",
    ] {
        let mut client = waiting();
        let _ = client.respond(SERVER_FIRST.as_bytes()).unwrap();
        assert!(client.respond(last.as_bytes()).is_err(), "{last}");
        assert!(client.finish().is_err(), "{last}");
    }
}

#[test]
fn r5802_scram_4_server_error_is_kept_short_and_printable() {
    let mut client = waiting();
    let _ = client.respond(SERVER_FIRST.as_bytes()).unwrap();
    let error = client.respond(format!("e=other\u{1b}[2J{}", "x".repeat(500)).as_bytes());
    let Err(ClientError::Server(word)) = error else {
        panic!("{error:?}")
    };
    assert!(
        word.starts_with("other[2Jxxx") && word.len() == 64,
        "{word}"
    );
}

#[test]
fn prj_scram_9_iteration_counts_have_a_floor_and_a_cap() {
    let first = |iterations: u32| SERVER_FIRST.replace("i=4096", &format!("i={iterations}"));
    for iterations in [1, 4095, 10_000_001, u32::MAX] {
        let error = waiting().respond(first(iterations).as_bytes()).unwrap_err();
        assert_eq!(error, ClientError::Iterations { iterations });
    }
    let mut allowed = waiting();
    allowed.accept_iterations(1..=u32::MAX);
    assert!(allowed.respond(first(1).as_bytes()).is_ok());
    // The cap cannot be lifted: it bounds our time.
    let mut allowed = waiting();
    allowed.accept_iterations(1..=u32::MAX);
    assert!(allowed.respond(first(10_000_001).as_bytes()).is_err());
}

#[test]
fn r5802_scram_5_client_refuses_mandatory_extension() {
    let error = waiting()
        .respond(format!("m=x,{SERVER_FIRST}").as_bytes())
        .unwrap_err();
    assert_eq!(error, ClientError::MandatoryExtension);
}

#[test]
fn fields_that_cannot_be_sent_are_refused_here() {
    for mechanism in with_passwords() {
        let binding = || match mechanism.needs_channel_binding() {
            true => ChannelBinding::TlsExporter(EXPORTER),
            false => ChannelBinding::None,
        };
        let long = "x".repeat(1025);
        for (name, password) in [
            ("", "x"),
            ("x", ""),
            ("a\0b", "x"),
            ("x", "a\0b"),
            (&*long, "x"),
            ("x", &*long),
        ] {
            let made = Exchange::new(mechanism, credentials(name, password), binding(), [0; 18]);
            assert!(
                matches!(made, Err(ClientError::Field { .. })),
                "{mechanism} {name:?}"
            );
        }
        let bell = Exchange::new(mechanism, credentials("x", "\u{7}"), binding(), [0; 18]);
        assert_eq!(bell.is_ok(), mechanism.scram_hash().is_none());
    }
}

#[test]
fn r5802_plus_3_binding_and_mechanism_fit() {
    for mechanism in with_passwords() {
        for binding in [
            ChannelBinding::None,
            ChannelBinding::Unused,
            ChannelBinding::TlsExporter(EXPORTER),
        ] {
            let can = matches!(binding, ChannelBinding::TlsExporter(_));
            let made = Exchange::new(mechanism, credentials("x", "y"), binding, [0; 18]);
            assert_eq!(
                made.is_ok(),
                can == mechanism.needs_channel_binding(),
                "{mechanism}"
            );
        }
    }
}

#[test]
fn r5802_plus_3_flag_says_what_the_client_can() {
    let first = |mechanism, binding| {
        let made = Exchange::new(mechanism, credentials("x", "y"), binding, [0; 18]);
        text(made.unwrap().initial_response().unwrap())
    };
    assert!(first(Mechanism::ScramSha256, ChannelBinding::None).starts_with("n,,"));
    assert!(first(Mechanism::ScramSha256, ChannelBinding::Unused).starts_with("y,,"));
    let bound = first(
        Mechanism::ScramSha256Plus,
        ChannelBinding::TlsExporter(EXPORTER),
    );
    assert!(bound.starts_with("p=tls-exporter,,"));
}

// PRJ-SEC-2
#[test]
fn prj_sec_2_client_debug_shows_no_password() {
    let exchange = client(Mechanism::ScramSha256, "nonce");
    let text = format!(
        "{exchange:?} {:?} {:?}",
        credentials("user", "pencil"),
        ChannelBinding::TlsExporter(EXPORTER)
    );
    assert!(!text.contains("pencil") && !text.contains("90"), "{text}");
}

/// How a login between both roles of this crate ended.
#[derive(Debug, Eq, PartialEq)]
enum Outcome {
    Authenticated,
    WrongPassword,
    Server(ExchangeError),
    Client(ClientError),
}

struct Server<'s> {
    binding: ChannelBinding,
    name: &'s str,
    password: &'s str,
}

/// Drives both roles against each other through base64 lines, as POP3 would.
fn login(mechanism: Mechanism, mut client: Exchange, server: &Server<'_>, early: bool) -> Outcome {
    let mut exchange = server::Exchange::new(mechanism, server.binding.clone(), [9; 18]);
    let prepared = prepare_stored(server.password).unwrap();
    let keys = mechanism.scram_hash().map(|hash| {
        let parameters = ScramParameters::new(vec![1; 16], 4096).unwrap();
        Keys::derive(hash, prepared.as_bytes(), &parameters)
    });
    let initial = if early {
        client.initial_response()
    } else {
        None
    };
    let initial = initial.map(|octets| {
        let line = crate::line::encode_initial_response(octets.expose_secret());
        crate::line::decode_initial_response(line.expose_secret()).unwrap()
    });
    let mut step = exchange.start(initial.as_ref().map(|octets| octets.expose_secret()));
    for _ in 0..8 {
        step = match step {
            Err(error) => return Outcome::Server(error),
            Ok(Step::Challenge(octets)) => {
                let line = crate::line::encode(&octets);
                let challenge = crate::line::decode_response(&line).unwrap();
                match client.respond(challenge.expose_secret()) {
                    Ok(response) => {
                        let line = crate::line::encode_response(response.expose_secret());
                        let response = crate::line::decode_response(line.expose_secret()).unwrap();
                        exchange.respond(response.expose_secret())
                    }
                    Err(error) => return Outcome::Client(error),
                }
            }
            Ok(Step::VerifyPassword {
                authorization: None,
                name,
                password,
            }) => {
                let password = String::from_utf8(password.expose_secret().to_vec()).unwrap();
                let right = prepare_stored(&password).as_ref() == Ok(&prepared);
                if name != server.name || !right {
                    return Outcome::WrongPassword;
                }
                return client
                    .finish()
                    .map_or_else(Outcome::Client, |()| Outcome::Authenticated);
            }
            Ok(Step::VerifyDigest { name, digest }) => {
                if name != server.name || !digest.matches(server.password.as_bytes()) {
                    return Outcome::WrongPassword;
                }
                return client
                    .finish()
                    .map_or_else(Outcome::Client, |()| Outcome::Authenticated);
            }
            Ok(Step::LookUpScram { name, .. }) => {
                assert_eq!(name, server.name);
                exchange.scram_parameters(keys.as_ref().unwrap().parameters())
            }
            Ok(Step::VerifyProof(proof)) => {
                let keys = keys.as_ref().unwrap();
                if !proof.matches(keys.stored_key()) {
                    return Outcome::WrongPassword;
                }
                exchange.proof_accepted(keys.server_key())
            }
            Ok(Step::Authenticated) => {
                return client
                    .finish()
                    .map_or_else(Outcome::Client, |()| Outcome::Authenticated);
            }
            Ok(other) => panic!("{other:?}"),
        };
    }
    panic!("PRJ-LINE-2: more than 8 rounds")
}

fn bound(mechanism: Mechanism) -> ChannelBinding {
    if mechanism.needs_channel_binding() {
        ChannelBinding::TlsExporter(EXPORTER)
    } else {
        ChannelBinding::None
    }
}

// R5034-MTI-1, R5034-PLAIN-3, R5802-PLUS-1, PRJ-LINE-2
#[test]
fn both_roles_agree_in_every_mechanism_with_and_without_initial_response() {
    for mechanism in with_passwords() {
        for early in [true, false] {
            // The server's names and passwords are stored prepared.
            for (name, stored, password) in [
                ("user", "pencil", "pencil"),
                ("a,b=c", "p,=2C w", "p,=2C w"),
                ("b\u{E4}r", "IX", "\u{2168}"),
            ] {
                // RFC 2195 knows no preparation.
                if mechanism == Mechanism::CramMd5 && stored != password {
                    continue;
                }
                let server = Server {
                    binding: bound(mechanism),
                    name,
                    password: stored,
                };
                let made = Exchange::new(
                    mechanism,
                    credentials(name, password),
                    bound(mechanism),
                    [7; 18],
                );
                let outcome = login(mechanism, made.unwrap(), &server, early);
                assert_eq!(
                    outcome,
                    Outcome::Authenticated,
                    "{mechanism} {early} {name}"
                );
            }
            let server = Server {
                binding: bound(mechanism),
                name: "user",
                password: "pencil",
            };
            let made = Exchange::new(
                mechanism,
                credentials("user", "Pencil"),
                bound(mechanism),
                [7; 18],
            );
            assert_eq!(
                login(mechanism, made.unwrap(), &server, early),
                Outcome::WrongPassword
            );
        }
    }
}

// R5802-PLUS-2, R5802-SCRAM-3: somebody in the middle has two TLS connections, or has cut -PLUS
// from the list.
#[test]
fn r5802_plus_2_both_roles_notice_somebody_in_the_middle() {
    let server = Server {
        binding: ChannelBinding::TlsExporter([1; 32]),
        name: "user",
        password: "pencil",
    };
    for mechanism in [Mechanism::ScramSha1Plus, Mechanism::ScramSha256Plus] {
        let outcome = login(mechanism, client(mechanism, "nonce"), &server, true);
        assert_eq!(outcome, Outcome::Server(ExchangeError::BindingMismatch));
    }
    let made = Exchange::new(
        Mechanism::ScramSha256,
        credentials("user", "pencil"),
        ChannelBinding::Unused,
        [7; 18],
    );
    let outcome = login(Mechanism::ScramSha256, made.unwrap(), &server, true);
    assert_eq!(outcome, Outcome::Server(ExchangeError::BindingDowngraded));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    // PRJ-SEC-1
    #[test]
    fn prj_sec_1_no_octets_make_either_role_panic_or_succeed(
        mechanism in prop::sample::select(&Mechanism::ALL[..]),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5),
    ) {
        let mut server = server::Exchange::new(mechanism, bound(mechanism), [9; 18]);
        let mut step = server.start(None);
        let mut client = client(mechanism, "nonce");
        for message in &messages {
            let _ = client.respond(message);
            if let Ok(Step::Challenge(_)) = step {
                step = server.respond(message);
            }
        }
        prop_assert!(!matches!(step, Ok(Step::Authenticated)));
        if mechanism.scram_hash().is_some() {
            prop_assert!(client.finish().is_err());
        }
    }

    #[test]
    fn any_name_and_password_that_can_be_sent_logs_in(
        name in "[^\\x00-\\x1F]{1,8}", password in "[^\\x00-\\x1F]{1,8}",
    ) {
        let mechanism = Mechanism::ScramSha256;
        let made = Exchange::new(mechanism, credentials(&name, &password), bound(mechanism), [7; 18]);
        if let Ok(client) = made {
            let name = crate::prepare(&name).unwrap();
            let server = Server { binding: bound(mechanism), name: &name, password: &password };
            prop_assert_eq!(login(mechanism, client, &server, true), Outcome::Authenticated);
        }
    }

    #[test]
    fn one_changed_character_of_the_servers_words_never_succeeds(at in 0_usize..90, with in 0x21_u8..0x7F) {
        let mut changed = SERVER_FIRST.as_bytes().to_vec();
        let at = at % changed.len();
        prop_assume!(changed[at] != with);
        changed[at] = with;
        let mut client = waiting();
        // Keep the count: the work of a changed one is tested elsewhere.
        prop_assume!(!(SERVER_FIRST.len() - 4..).contains(&at));
        if client.respond(&changed).is_ok() {
            let _ = client.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        }
        prop_assert!(client.finish().is_err());
    }
}

#[test]
fn errors_are_one_clause_without_full_stop() {
    for error in [
        ClientError::Nonce,
        ClientError::Iterations { iterations: 1 },
        ClientError::Unproven,
    ] {
        let text = error.to_string();
        assert!(!text.ends_with('.') && !text.is_empty());
    }
}
