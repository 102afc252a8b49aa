//! Tokens that the issuer is asked about (RFC 7662).

use std::time::Instant as Clock;

use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::{
    issuer::{Answer, Issuer},
    *,
};

fn asking(url: &str, extra_roots: Vec<CertificateDer<'static>>) -> Oauth {
    Oauth::new(OauthSettings {
        verifier: OauthVerifier::Introspection {
            endpoint: Endpoint::new(url).unwrap(),
            client: Some(("restante".into(), "s3 cret".into())),
        },
        rules: Rules {
            audience: vec!["pop".into()],
            ..Rules::default()
        },
        extra_roots,
    })
    .unwrap()
}

async fn verify(oauth: &Oauth, token: &str) -> Result<String, String> {
    outcome(oauth.verify(&token.into()).await)
}

fn active() -> Answer {
    Answer::Json(r#"{"active":true,"aud":"pop","sub":"tim"}"#.into())
}

// R7628-OAB-5
#[tokio::test]
async fn r7628_oab_5_the_issuer_is_asked_as_rfc_7662_says() {
    let issuer = Issuer::new(active()).await;
    let oauth = asking(&issuer.url(), Vec::new());
    assert_eq!(verify(&oauth, "a+b/c==").await, Ok("tim".into()));
    let heard = issuer.heard();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post / http/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/x-www-form-urlencoded",
        "accept: application/json",
        // restante:s3+cret
        "authorization: basic cmvzdgfudgu6czmry3jlda==",
    ] {
        assert!(head.lines().any(|l| l == line), "{line} is not in {head}");
    }
}

#[tokio::test]
async fn a_good_token_is_asked_about_once_in_two_minutes_and_a_bad_one_each_time() {
    let issuer = Issuer::new(active()).await;
    let oauth = asking(&issuer.url(), Vec::new());
    for _ in 0..3 {
        assert_eq!(verify(&oauth, "t").await, Ok("tim".into()));
    }
    assert_eq!(issuer.requests(), 1);
    assert_eq!(verify(&oauth, "u").await, Ok("tim".into()));
    assert_eq!(issuer.requests(), 2);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(120)).await;
    tokio::time::resume();
    issuer.answer(Answer::Json(r#"{"active":false}"#.into()));
    for requests in [3, 4] {
        let refused = verify(&oauth, "t").await.unwrap_err();
        assert!(refused.starts_with("refused: "), "{refused}");
        assert_eq!(issuer.requests(), requests);
    }
}

#[tokio::test]
async fn an_answer_of_any_other_kind_is_the_issuers_fault() {
    let issuer = Issuer::new(active()).await;
    let oauth = asking(&issuer.url(), Vec::new());
    let raw = |text: &str| Answer::Raw(text.as_bytes().to_vec());
    for (answer, said) in [
        (raw("HTTP/1.1 401 Unauthorized\r\n\r\n"), "status 401"),
        (raw("HTTP/1.1 500 Oops\r\n\r\n"), "status 500"),
        (raw("HTTP/1.1 204 Nothing\r\n\r\n"), "status 204"),
        (
            raw("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"),
            "status 302",
        ),
        (raw("HTTP/1.1 200 OK\r\n\r\n<html>"), "not understood"),
        (raw("HTTP/1.1 200 OK\r\n\r\n"), "not understood"),
        (
            raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
            "reached",
        ),
    ] {
        issuer.answer(answer);
        let error = verify(&oauth, "t").await.unwrap_err();
        assert!(error.starts_with("issuer: "), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

/// In the clock of the wall: an issuer that sends for ever costs what is read and no more.
#[tokio::test]
async fn a_huge_answer_is_refused_in_bounded_time() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: ",
    ] {
        let issuer = Issuer::new(Answer::Endless(head)).await;
        let oauth = asking(&issuer.url(), Vec::new());
        let began = Clock::now();
        let error = verify(&oauth, "t").await.unwrap_err();
        assert!(error.starts_with("issuer: "), "{error}");
        assert!(began.elapsed() < Duration::from_secs(4), "{head:?}");
        // What is read and what the system's buffers hold.
        let poured = issuer.poured();
        assert!(poured < 16 << 20, "{head:?}: {poured} octets");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_is_given_up_and_left_alone_for_a_moment() {
    let issuer = Issuer::new(Answer::Silence).await;
    let oauth = asking(&issuer.url(), Vec::new());
    let began = tokio::time::Instant::now();
    let error = verify(&oauth, "t").await.unwrap_err();
    assert!(error.contains("in time"), "{error}");
    assert!(began.elapsed() <= VERIFICATION_MAX);
    let began = tokio::time::Instant::now();
    let error = verify(&oauth, "t").await.unwrap_err();
    assert!(error.contains("a moment ago"), "{error}");
    assert_eq!(began.elapsed(), Duration::ZERO);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(verify(&oauth, "t").await.unwrap_err().contains("in time"));
}

/// A flood of tokens and an issuer that hangs: everybody is answered in time, and the issuer is
/// asked a few times only.
#[tokio::test(start_paused = true)]
async fn a_flood_of_tokens_at_an_issuer_that_hangs_is_bounded() {
    let issuer = Issuer::new(Answer::Silence).await;
    let oauth = Arc::new(asking(&issuer.url(), Vec::new()));
    let began = tokio::time::Instant::now();
    let mut attempts = Vec::new();
    for number in 0..500 {
        let oauth = Arc::clone(&oauth);
        attempts.push(tokio::spawn(async move {
            verify(&oauth, &format!("t{number}")).await
        }));
    }
    for attempt in attempts {
        let error = attempt.await.unwrap().unwrap_err();
        assert!(error.starts_with("issuer: "), "{error}");
    }
    assert!(began.elapsed() <= VERIFICATION_MAX);
    assert!(issuer.requests() <= 16, "{}", issuer.requests());
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_an_outage() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let oauth = asking(&format!("http://{address}/"), Vec::new());
    let error = verify(&oauth, "t").await.unwrap_err();
    assert!(error.contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn an_issuer_over_tls_is_believed_if_its_certificate_is() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let root = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![root.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let issuer = Issuer::with(active(), Some(acceptor)).await;
    let url = format!("https://localhost:{}/", issuer.address.port());
    let trusting = asking(&url, vec![root]);
    assert_eq!(verify(&trusting, "t").await, Ok("tim".into()));
    let wary = asking(&url, Vec::new());
    let error = verify(&wary, "t").await.unwrap_err();
    assert!(error.contains("cannot be reached"), "{error}");
    assert_eq!(issuer.requests(), 1);
}
