//! Mechanisms without SCRAM: tokens, certificates, and CRAM-MD5.

use super::*;

/// What is kept of `Step::VerifyToken`.
type Told = (Option<String>, Option<String>, Option<u16>, String);

fn fresh(mechanism: Mechanism) -> Exchange {
    Exchange::new(mechanism, ChannelBinding::None, [0; 18])
}

fn told(step: Result<Step, ExchangeError>) -> Told {
    match step {
        Ok(Step::VerifyToken {
            authorization,
            host,
            port,
            token,
        }) => (authorization, host, port, token.expose_secret().to_owned()),
        other => panic!("no token: {other:?}"),
    }
}

fn oauthbearer(message: &str) -> Result<Step, ExchangeError> {
    fresh(Mechanism::OauthBearer).start(Some(message.as_bytes()))
}

fn xoauth2(message: &str) -> Result<Step, ExchangeError> {
    fresh(Mechanism::Xoauth2).start(Some(message.as_bytes()))
}

// R7628-OAB-1: RFC 7628 §4.1.
#[test]
fn r7628_oab_1_rfc_example() {
    let line = b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9\
        QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
    let message = crate::line::decode_initial_response(line).unwrap();
    let step = fresh(Mechanism::OauthBearer).start(Some(message.expose_secret()));
    assert_eq!(
        told(step),
        (
            Some("user@example.com".into()),
            Some("server.example.com".into()),
            Some(143),
            "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==".into()
        )
    );
}

#[test]
fn r7628_oab_1_what_is_optional_may_lack_and_what_is_unknown_is_ignored() {
    for (message, authorization) in [
        ("n,,\u{1}auth=Bearer t\u{1}\u{1}", None),
        ("y,a=x,\u{1}auth=bearer t\u{1}\u{1}", Some("x")),
        (
            "n,a=a=2Cb=3Dc,\u{1}foo=\u{1}auth=BEARER  t\u{1}qs=a=b\u{1}\u{1}",
            Some("a,b=c"),
        ),
        // `user` means nothing here.
        (
            "n,,\u{1}user=x\u{1}mthd=POST\u{1}path=/\u{1}auth=Bearer t\u{1}\u{1}",
            None,
        ),
    ] {
        let (name, host, port, token) = told(oauthbearer(message));
        assert_eq!(name.as_deref(), authorization, "{message:?}");
        assert_eq!((host, port, token.as_str()), (None, None, "t"));
    }
}

#[test]
fn r7628_oab_1_anything_else_is_malformed() {
    for bad in [
        "",
        "\u{1}",
        "n,,",
        "n,,\u{1}",
        "n,,\u{1}\u{1}",
        "n,,\u{1}host=x\u{1}\u{1}",
        "n,,auth=Bearer t\u{1}\u{1}",
        "n,,\u{1}auth=Bearer t\u{1}",
        "n,,\u{1}auth=Bearer t",
        "n,,\u{1}auth=Bearer t\u{1}\u{1}x",
        "n,,\u{1}auth=Bearer t\u{1}\u{1}\u{1}",
        "n,,\u{1}auth=Bearer\u{1}\u{1}",
        "n,,\u{1}auth=Bearer \u{1}\u{1}",
        "n,,\u{1}auth=Basic t\u{1}\u{1}",
        "n,,\u{1}auth=Bearer t t\u{1}\u{1}",
        "n,,\u{1}auth=Bearer t\u{e4}\u{1}\u{1}",
        "n,,\u{1}auth=Bearer =\u{1}\u{1}",
        "n,,\u{1}auth=Bearer t\u{1}auth=Bearer u\u{1}\u{1}",
        "n,,\u{1}port=0\u{1}auth=Bearer t\u{1}\u{1}",
        "n,,\u{1}port=65536\u{1}auth=Bearer t\u{1}\u{1}",
        "n,,\u{1}port=x\u{1}auth=Bearer t\u{1}\u{1}",
        "n,,\u{1}=x\u{1}auth=Bearer t\u{1}\u{1}",
        "n,,\u{1}x\u{1}auth=Bearer t\u{1}\u{1}",
        "n,,\u{1}au th=Bearer t\u{1}\u{1}",
        "n,a=,\u{1}auth=Bearer t\u{1}\u{1}",
        "n,b=x,\u{1}auth=Bearer t\u{1}\u{1}",
        "n,a=x=y,\u{1}auth=Bearer t\u{1}\u{1}",
        "x,,\u{1}auth=Bearer t\u{1}\u{1}",
        "n,,\u{1}a\0=b\u{1}auth=Bearer t\u{1}\u{1}",
    ] {
        let error = oauthbearer(bad).unwrap_err();
        assert!(matches!(error, ExchangeError::Malformed { .. }), "{bad:?}");
    }
    assert_eq!(
        oauthbearer("p=tls-exporter,,\u{1}auth=Bearer t\u{1}\u{1}").map(|_| ()),
        Err(ExchangeError::BindingUnsupported)
    );
    assert_eq!(
        oauthbearer("n,a=\u{7},\u{1}auth=Bearer t\u{1}\u{1}").map(|_| ()),
        Err(ExchangeError::Unpreparable)
    );
}

#[test]
fn xoauth2_1_message_in_one_line_and_in_two() {
    let message = "user=user@example.com\u{1}auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhd\u{1}\u{1}";
    let expected = (
        Some("user@example.com".into()),
        None,
        None,
        "ya29.vF9dft4qmTc2Nvb3RlckBhd".into(),
    );
    assert_eq!(told(xoauth2(message)), expected);
    let mut exchange = fresh(Mechanism::Xoauth2);
    assert_eq!(challenge(exchange.start(None)), "");
    assert_eq!(told(exchange.respond(message.as_bytes())), expected);
    for bad in [
        "",
        "auth=Bearer t\u{1}\u{1}",
        "user=\u{1}auth=Bearer t\u{1}\u{1}",
        "user=x\u{1}auth=Bearer t\u{1}",
        "user=x\u{1}user=y\u{1}auth=Bearer t\u{1}\u{1}",
        "user=x\u{1}\u{1}",
        "n,a=x,\u{1}auth=Bearer t\u{1}\u{1}",
    ] {
        assert!(xoauth2(bad).is_err(), "{bad:?}");
    }
}

/// n − 1, n, n + 1 of a token's length.
#[test]
fn tokens_of_many_kilobytes_are_taken_and_longer_ones_not() {
    for (octets, fits) in [
        (32 * 1024 - 1, true),
        (32 * 1024, true),
        (32 * 1024 + 1, false),
    ] {
        let message = format!("user=x\u{1}auth=Bearer {}\u{1}\u{1}", "t".repeat(octets));
        assert_eq!(xoauth2(&message).is_ok(), fits, "{octets}");
    }
}

#[test]
fn r7628_oab_3_refusal_is_json_then_any_answer_then_failure() {
    let refusal = TokenRefusal {
        scope: Some("po\"p".into()),
        openid_configuration: Some("https://example.com/.well-known/openid-configuration".into()),
    };
    // R7628-OAB-4: what clients answer.
    for answer in [&b"\x01"[..], b"", b"anything"] {
        let mut exchange = fresh(Mechanism::OauthBearer);
        let _ = told(exchange.start(Some(b"n,,\x01auth=Bearer t\x01\x01")));
        assert_eq!(
            challenge(exchange.token_refused(&refusal)),
            r#"{"openid-configuration":"https://example.com/.well-known/openid-configuration","scope":"po\"p","status":"invalid_token"}"#
        );
        assert_eq!(
            exchange.respond(answer).map(|_| ()),
            Err(ExchangeError::TokenRefused)
        );
        assert_eq!(
            exchange.respond(b"").map(|_| ()),
            Err(ExchangeError::OutOfTurn)
        );
    }
}

#[test]
fn xoauth2_2_refusal_is_json_with_schemes() {
    let mut exchange = fresh(Mechanism::Xoauth2);
    let _ = told(exchange.start(Some(b"user=x\x01auth=Bearer t\x01\x01")));
    let refusal = TokenRefusal {
        scope: Some("pop".into()),
        openid_configuration: Some("https://example.com".into()),
    };
    assert_eq!(
        challenge(exchange.token_refused(&refusal)),
        r#"{"schemes":"Bearer","scope":"pop","status":"401"}"#
    );
    assert_eq!(
        exchange.respond(b"").map(|_| ()),
        Err(ExchangeError::TokenRefused)
    );
}

#[test]
fn tokens_are_refused_only_when_one_was_to_be_verified() {
    let refusal = TokenRefusal::default();
    for mechanism in Mechanism::ALL {
        let mut exchange = fresh(mechanism);
        let early = exchange.token_refused(&refusal).map(|_| ());
        assert_eq!(early, Err(ExchangeError::OutOfTurn), "{mechanism}");
    }
    // While the token is verified, the client has nothing to say.
    let mut exchange = fresh(Mechanism::Xoauth2);
    let _ = told(exchange.start(Some(b"user=x\x01auth=Bearer t\x01\x01")));
    assert_eq!(
        exchange.respond(b"").map(|_| ()),
        Err(ExchangeError::OutOfTurn)
    );
}

#[test]
fn r4422_ext_1_an_identity_or_nothing() {
    let identity = |step| match step {
        Ok(Step::VerifyCertificate { authorization }) => authorization,
        other => panic!("{other:?}"),
    };
    let external = |message: &[u8]| fresh(Mechanism::External).start(Some(message));
    assert_eq!(identity(external(b"")), None);
    assert_eq!(identity(external(b"tim")).as_deref(), Some("tim"));
    let mut exchange = fresh(Mechanism::External);
    assert_eq!(challenge(exchange.start(None)), "");
    assert_eq!(identity(exchange.respond(b"")), None);
    assert_eq!(
        exchange.respond(b"").map(|_| ()),
        Err(ExchangeError::OutOfTurn)
    );
    for bad in [&b"a\0b"[..], b"\xFF", b"\x07", &[b'x'; 1025]] {
        assert!(external(bad).is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn r5034_ir_3_server_first_takes_no_initial_response() {
    for initial in [&b""[..], b"tim b913a602c7eda7a495b4e6e7334d3890"] {
        let mut exchange = fresh(Mechanism::CramMd5);
        assert_eq!(
            exchange.start(Some(initial)).map(|_| ()),
            Err(ExchangeError::InitialResponse)
        );
        assert_eq!(
            exchange.respond(initial).map(|_| ()),
            Err(ExchangeError::OutOfTurn)
        );
    }
}

#[test]
fn r2195_cram_1_challenge_is_a_fresh_msg_id() {
    let challenge_of = |nonce: [u8; 18], host: &str| {
        let mut exchange = Exchange::new(Mechanism::CramMd5, ChannelBinding::None, nonce);
        exchange.set_host(host);
        challenge(exchange.start(None))
    };
    let first = challenge_of([1; 18], "pop.example.org");
    assert_eq!(first, "<AQEBAQEBAQEBAQEBAQEBAQEB@pop.example.org>");
    assert_ne!(first, challenge_of([2; 18], "pop.example.org"));
    assert_eq!(
        challenge_of([1; 18], "a>b\r\n.c"),
        "<AQEBAQEBAQEBAQEBAQEBAQEB@ab.c>"
    );
    assert!(challenge_of([1; 18], "").ends_with("@localhost>"));
}

// R2195-CRAM-2: RFC 2195 §2.
#[test]
fn r2195_cram_2_rfc_vector_through_the_exchange() {
    let mut exchange = Exchange {
        state: State::Cram {
            challenge: b"<1896.697170952@postoffice.reston.mci.net>".to_vec(),
        },
        ..fresh(Mechanism::CramMd5)
    };
    match exchange.respond(b"tim b913a602c7eda7a495b4e6e7334d3890") {
        Ok(Step::VerifyDigest { name, digest }) => {
            assert_eq!(name, "tim");
            assert!(digest.matches(b"tanstaaftanstaaf"));
            assert!(!digest.matches(b"tanstaaftanstaag"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        exchange.respond(b"").map(|_| ()),
        Err(ExchangeError::OutOfTurn)
    );
}

// PRJ-SEC-2
#[test]
fn prj_sec_2_debug_shows_no_token_and_no_digest() {
    let mut exchange = fresh(Mechanism::Xoauth2);
    let step = exchange.start(Some(b"user=x\x01auth=Bearer tanstaaf\x01\x01"));
    let shown = format!("{exchange:?} {step:?}");
    let error = xoauth2("user=x\u{1}auth=Bearer tan staaf\u{1}\u{1}").unwrap_err();
    let shown = format!("{shown} {error:?} {error}");
    assert!(!shown.contains("staaf"), "{shown}");
}
