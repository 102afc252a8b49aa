//! Mechanisms without SCRAM: tokens, certificates, and CRAM-MD5.

use super::*;
use crate::TokenRefusal;

pub(super) fn bearer(token: &str) -> Bearer {
    Bearer {
        user: "user@example.com".into(),
        token: token.into(),
        host: Some("server.example.com".into()),
        port: Some(143),
    }
}

/// RFC 7628 §4.1, but for the line: the RFC's is folded.
const MESSAGE: &str = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}\
                       auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
const TOKEN: &str = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";

// R7628-OAB-1: RFC 7628 §4.1.
#[test]
fn r7628_oab_1_client_message() {
    let mut client = Exchange::with_token(Mechanism::OauthBearer, &bearer(TOKEN)).unwrap();
    let message = client.initial_response().unwrap();
    assert_eq!(text(message.clone()), MESSAGE);
    let line = crate::line::encode_initial_response(message.expose_secret());
    let rfc = b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9\
        QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
    assert_eq!(line.expose_secret(), rfc);
    assert!(client.initial_response().is_none());
    assert_eq!(client.finish(), Ok(()));

    let names = Bearer {
        user: "a,b=c".into(),
        host: None,
        port: None,
        ..bearer("t")
    };
    let mut client = Exchange::with_token(Mechanism::OauthBearer, &names).unwrap();
    assert_eq!(
        text(client.initial_response().unwrap()),
        "n,a=a=2Cb=3Dc,\u{1}auth=Bearer t\u{1}\u{1}"
    );
}

#[test]
fn xoauth2_1_client_message_in_one_line_and_in_two() {
    let message = "user=user@example.com\u{1}auth=Bearer t\u{1}\u{1}";
    let fresh = || Exchange::with_token(Mechanism::Xoauth2, &bearer("t")).unwrap();
    assert_eq!(text(fresh().initial_response().unwrap()), message);
    // XOAUTH2-3: after the empty challenge.
    let mut client = fresh();
    assert_eq!(text(client.respond(b"").unwrap()), message);
    assert_eq!(client.finish(), Ok(()));
}

// R7628-OAB-4: RFC 7628 §4.3.
#[test]
fn r7628_oab_4_client_answers_an_error_challenge_and_knows_that_it_failed() {
    let challenge = br#"{"status":"invalid_token","scope":"example_scope"}"#;
    for (mechanism, answer) in [
        (Mechanism::OauthBearer, &b"AQ=="[..]),
        (Mechanism::Xoauth2, b""),
    ] {
        let mut client = Exchange::with_token(mechanism, &bearer("t")).unwrap();
        let _ = client.initial_response();
        let response = client.respond(challenge).unwrap();
        let line = crate::line::encode_response(response.expose_secret());
        assert_eq!(line.expose_secret(), answer);
        assert_eq!(
            client.respond(b"").map(|_| ()),
            Err(ClientError::OutOfTurn),
            "{mechanism}"
        );
    }
    let mut client = Exchange::with_token(Mechanism::OauthBearer, &bearer("t")).unwrap();
    let _ = client.initial_response();
    let _ = client.respond(challenge).unwrap();
    // Even if the server says that all is well.
    assert_eq!(
        client.finish(),
        Err(ClientError::Server("invalid_token".into()))
    );
}

#[test]
fn error_challenges_that_are_none_end_the_exchange() {
    for bad in [
        &b""[..],
        b"x",
        b"{}",
        b"[]",
        br#"{"status":{}}"#,
        br#"{"status":"401""#,
        b"\xFF",
    ] {
        let mut client = Exchange::with_token(Mechanism::Xoauth2, &bearer("t")).unwrap();
        let _ = client.initial_response();
        assert!(client.respond(bad).is_err(), "{}", bad.escape_ascii());
        assert!(client.finish().is_err());
    }
    // Google's has a number in a string, others a number.
    let mut client = Exchange::with_token(Mechanism::Xoauth2, &bearer("t")).unwrap();
    let _ = client.initial_response();
    assert!(client.respond(br#"{"status":400}"#).is_ok());
    assert_eq!(client.finish(), Err(ClientError::Server("400".into())));
    // A hostile server's words stay short and cannot move a cursor.
    let mut client = Exchange::with_token(Mechanism::Xoauth2, &bearer("t")).unwrap();
    let _ = client.initial_response();
    let long = format!(r#"{{"status":"\u001b[2J{}"}}"#, "x".repeat(5000));
    assert!(client.respond(long.as_bytes()).is_ok());
    let Err(ClientError::Server(word)) = client.finish() else {
        panic!("no word");
    };
    assert!(word.starts_with("[2Jxxx") && word.len() == 256, "{word}");
}

#[test]
fn what_cannot_stand_in_a_message_is_refused_here() {
    let fields = [
        ("", "t", "h"),
        ("a\u{1}auth=Bearer x", "t", "h"),
        ("a\r\nb", "t", "h"),
        ("a", "", "h"),
        ("a", "t t", "h"),
        ("a", "t\u{1}", "h"),
        ("a", "=", "h"),
        ("a", "t", ""),
        ("a", "t", "h\u{1}port=1"),
    ];
    for mechanism in [Mechanism::OauthBearer, Mechanism::Xoauth2] {
        for (user, token, host) in fields {
            let bearer = Bearer {
                user: user.into(),
                token: token.into(),
                host: Some(host.into()),
                port: None,
            };
            let made = Exchange::with_token(mechanism, &bearer);
            assert!(
                matches!(made, Err(ClientError::Field { .. })),
                "{user:?} {token:?} {host:?}"
            );
        }
    }
    assert!(Exchange::external(Some("")).is_err());
    assert!(Exchange::external(Some("a\0b")).is_err());
}

#[test]
fn mechanisms_want_their_own_kind_of_credentials() {
    for mechanism in Mechanism::ALL {
        let made = Exchange::new(mechanism, credentials("x", "y"), bound(mechanism), [0; 18]);
        let with_password = with_passwords().any(|other| other == mechanism);
        assert_eq!(made.is_ok(), with_password, "{mechanism}");
        let made = Exchange::with_token(mechanism, &bearer("t"));
        assert_eq!(made.is_ok(), mechanism.is_bearer(), "{mechanism}");
    }
}

#[test]
fn r4422_ext_1_client_message_is_the_name_or_nothing() {
    let mut client = Exchange::external(Some("tim")).unwrap();
    assert_eq!(text(client.initial_response().unwrap()), "tim");
    assert_eq!(client.finish(), Ok(()));
    let mut client = Exchange::external(None).unwrap();
    let empty = client.initial_response().unwrap();
    let line = crate::line::encode_initial_response(empty.expose_secret());
    assert_eq!(line.expose_secret(), b"=");
    let mut client = Exchange::external(None).unwrap();
    assert_eq!(text(client.respond(b"").unwrap()), "");
    assert!(client.respond(b"").is_err());
}

#[test]
fn r5034_ir_3_cram_md5_waits_for_the_challenge() {
    let made = Exchange::new(
        Mechanism::CramMd5,
        credentials("tim", "tanstaaftanstaaf"),
        ChannelBinding::None,
        [0; 18],
    );
    let mut client = made.unwrap();
    assert!(client.initial_response().is_none());
    let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
    assert_eq!(
        text(client.respond(challenge).unwrap()),
        "tim b913a602c7eda7a495b4e6e7334d3890"
    );
    assert_eq!(client.finish(), Ok(()));
    // The digest of nothing would be good for ever.
    let mut client = super::client(Mechanism::CramMd5, "");
    assert!(client.respond(b"").is_err());
}

// R7628-OAB-3, XOAUTH2-2: both roles, through base64 lines, tokens of any length.
#[test]
fn both_roles_agree_about_tokens() {
    for mechanism in [Mechanism::OauthBearer, Mechanism::Xoauth2] {
        for octets in [1, 200, 4096, 32 * 1024] {
            let token = "x".repeat(octets);
            let mut client = Exchange::with_token(mechanism, &bearer(&token)).unwrap();
            let mut server = server::Exchange::new(mechanism, ChannelBinding::None, [9; 18]);
            let Ok(Step::Challenge(empty)) = server.start(None) else {
                panic!("no challenge");
            };
            let message = client.respond(&empty).unwrap();
            let line = crate::line::encode_response(message.expose_secret());
            let message = crate::line::decode_response(line.expose_secret()).unwrap();
            let step = server.respond(message.expose_secret());
            let Ok(Step::VerifyToken {
                authorization,
                token: told,
                ..
            }) = step
            else {
                panic!("{step:?}");
            };
            assert_eq!(authorization.as_deref(), Some("user@example.com"));
            assert_eq!(told.expose_secret(), token);
            let Ok(Step::Challenge(json)) = server.token_refused(&TokenRefusal::default()) else {
                panic!("no challenge");
            };
            let answer = client.respond(&json).unwrap();
            assert_eq!(
                server.respond(answer.expose_secret()).map(|_| ()),
                Err(ExchangeError::TokenRefused)
            );
            assert!(matches!(client.finish(), Err(ClientError::Server(_))));
        }
        let long = bearer(&"x".repeat(32 * 1024 + 1));
        assert!(Exchange::with_token(mechanism, &long).is_err());
    }
}

// PRJ-SEC-2
#[test]
fn prj_sec_2_client_debug_shows_no_token() {
    let credentials = bearer("tanstaaf");
    let client = Exchange::with_token(Mechanism::Xoauth2, &credentials).unwrap();
    let shown = format!("{client:?} {credentials:?}");
    assert!(!shown.contains("tanstaaf"), "{shown}");
}
