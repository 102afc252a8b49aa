//! Tokens that an issuer has signed, and its keys.

use std::{fs, time::Instant as Clock};

use aws_lc_rs::rsa::KeySize;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    issuer::{Answer, Issuer},
    signer::{AUDIENCE, ISSUER, Signer, claims, key_set},
    *,
};

const ALL: [SignatureAlgorithm; 9] = SignatureAlgorithm::ALL;

fn rules() -> Rules {
    Rules {
        issuer: Some(ISSUER.into()),
        audience: vec![AUDIENCE.into()],
        ..Rules::default()
    }
}

fn verify(set: &str, token: &str) -> Result<String, TokenFault> {
    verify_with(set, &ALL, token)
}

fn verify_with(
    set: &str,
    algorithms: &[SignatureAlgorithm],
    token: &str,
) -> Result<String, TokenFault> {
    let set = KeySet::parse(set.as_bytes(), algorithms).unwrap();
    set.verify(token, algorithms, &rules(), now())
}

// R7628-OAB-5
#[test]
fn r7628_oab_5_signatures_of_every_kind_are_verified() {
    for signer in [
        Signer::ed25519(),
        Signer::p256(),
        Signer::rsa("RS256", KeySize::Rsa2048),
        Signer::rsa("PS256", KeySize::Rsa2048),
    ] {
        let set = key_set(&[signer.public("1")]);
        let token = signer.token(&claims("tim"));
        let name = signer.algorithm();
        assert_eq!(verify(&set, &token), Ok("tim".into()), "{name}");
        // Another key of the same kind under the same name.
        let other = match &signer {
            Signer::Ed(_) => Signer::ed25519(),
            Signer::Ec(_) => Signer::p256(),
            Signer::Rsa(_, algorithm) => Signer::rsa(algorithm, KeySize::Rsa2048),
        };
        let forged = other.token(&claims("tim"));
        assert_eq!(verify(&set, &forged), Err(TokenFault::Signature), "{name}");
        // Claims of one token under the signature of another.
        let parts: Vec<&str> = token.split('.').collect();
        let changed = URL_SAFE_NO_PAD.encode(claims("tom").to_string());
        let changed = format!("{}.{changed}.{}", parts[0], parts[2]);
        assert_eq!(verify(&set, &changed), Err(TokenFault::Signature), "{name}");
    }
}

#[test]
fn r7628_oab_5_alg_none_and_hmac_with_the_public_key_are_refused() {
    let signer = Signer::ed25519();
    let set = key_set(&[signer.public("1")]);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in [
        "none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS1", "ES256K",
    ] {
        let header = json!({ "alg": algorithm, "kid": "1" });
        let message = format!("{}.{}", part(&header), part(&claims("tim")));
        // Whoever takes the public key for a secret would find this right.
        let public = URL_SAFE_NO_PAD
            .decode(signer.public("1")["x"].as_str().unwrap())
            .unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        for signature in [String::new(), URL_SAFE_NO_PAD.encode(tag.as_ref())] {
            let token = format!("{message}.{signature}");
            assert_eq!(
                verify(&set, &token),
                Err(TokenFault::Algorithm),
                "{algorithm}"
            );
        }
    }
    // A secret among the keys is never one to verify with.
    let secret = json!({ "kty": "oct", "k": "AAAA", "kid": "1", "alg": "HS256" });
    let parsed = KeySet::parse(key_set(&[secret]).as_bytes(), &ALL);
    assert_eq!(parsed.unwrap_err(), KeySetError::NoneFits);
}

#[test]
fn only_algorithms_that_were_chosen_count() {
    let signer = Signer::p256();
    let set = key_set(&[signer.public("1"), Signer::ed25519().public("2")]);
    let token = signer.token(&claims("tim"));
    assert!(verify_with(&set, &[SignatureAlgorithm::Es256], &token).is_ok());
    let refused = verify_with(&set, &[SignatureAlgorithm::EdDsa], &token);
    assert_eq!(refused, Err(TokenFault::Algorithm));
    // The key's own word counts too: this one is for ES256, whatever the header says.
    let header = json!({ "alg": "EdDSA", "kid": "1" });
    let refused = verify(&set, &signer.sign(&header, &claims("tim")));
    assert_eq!(refused, Err(TokenFault::Key));
}

#[test]
fn a_token_says_which_key_it_was_signed_with_and_brings_none_along() {
    let (signer, stranger) = (Signer::ed25519(), Signer::ed25519());
    let set = key_set(&[Signer::ed25519().public("0"), signer.public("1")]);
    let signed = |header: Value| verify(&set, &signer.sign(&header, &claims("tim")));
    assert!(signed(json!({ "alg": "EdDSA", "kid": "1" })).is_ok());
    assert!(signed(json!({ "alg": "EdDSA" })).is_ok());
    assert_eq!(
        signed(json!({ "alg": "EdDSA", "kid": "2" })),
        Err(TokenFault::Key)
    );
    assert_eq!(
        signed(json!({ "alg": "EdDSA", "kid": "0" })),
        Err(TokenFault::Signature)
    );
    // RFC 8725 §3.10: neither a key in the header nor one that it points at.
    let header = json!({
        "alg": "EdDSA",
        "jwk": { "kty": "OKP", "crv": "Ed25519", "x": stranger.public("1")["x"] },
        "jku": "http://127.0.0.1:1/keys",
    });
    let refused = verify(&set, &stranger.sign(&header, &claims("tim")));
    assert_eq!(refused, Err(TokenFault::Signature));
}

#[test]
fn tokens_of_other_types_and_with_extensions_are_refused() {
    let signer = Signer::ed25519();
    let set = key_set(&[signer.public("1")]);
    let signed = |header: Value| verify(&set, &signer.sign(&header, &claims("tim")));
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert!(
            signed(json!({ "alg": "EdDSA", "typ": typ })).is_ok(),
            "{typ}"
        );
    }
    for header in [
        json!({ "alg": "EdDSA", "typ": "logout+jwt" }),
        json!({ "alg": "EdDSA", "typ": "dpop+jwt" }),
        json!({ "alg": "EdDSA", "crit": ["exp"] }),
        json!({ "alg": "EdDSA", "crit": [] }),
        json!({ "alg": "EdDSA", "zip": "DEF" }),
        json!({ "alg": "EdDSA", "enc": "A128GCM" }),
    ] {
        assert_eq!(signed(header.clone()), Err(TokenFault::Type), "{header}");
    }
}

#[test]
fn keys_that_are_not_for_signatures_or_too_weak_are_left_out() {
    let signer = Signer::ed25519();
    let token = signer.token(&claims("tim"));
    for (name, value, good) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("use", json!("other"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
        ("alg", json!("EdDSA"), true),
        ("alg", json!("ES256"), false),
        ("crv", json!("X25519"), false),
        ("crv", json!("P-256"), false),
    ] {
        let mut key = signer.public("1");
        key[name] = value.clone();
        // A good one beside it, or the set as a whole would be refused.
        let set = key_set(&[key, Signer::p256().public("2")]);
        let verified = verify(&set, &token);
        assert_eq!(verified.is_ok(), good, "{name} {value} {verified:?}");
    }
    // RFC 7518 §3.3: 2048 bits.
    let mut weak = Signer::rsa("RS256", KeySize::Rsa2048).public("1");
    weak["n"] = json!(URL_SAFE_NO_PAD.encode([0xC1; 128]));
    let token = Signer::rsa("RS256", KeySize::Rsa2048).token(&claims("tim"));
    assert_eq!(
        verify(&key_set(&[weak]), &token),
        Err(TokenFault::Signature)
    );
}

#[test]
fn what_is_no_token_is_refused() {
    let signer = Signer::ed25519();
    let set = key_set(&[signer.public("1")]);
    let token = signer.token(&claims("tim"));
    let parts: Vec<&str> = token.split('.').collect();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for bad in [
        String::new(),
        "x".into(),
        "..".into(),
        "a.b.c".into(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.x"),
        format!("{token}="),
        format!(".{token}"),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        format!(".{}.{}", parts[1], parts[2]),
        // Signed, but not an object.
        signer.token(&json!([])),
        signer.token(&json!("tim")),
        format!("{}.{}.{}", part("[]"), parts[1], parts[2]),
        format!("{}.{}.{}", part(&"[".repeat(9000)), parts[1], parts[2]),
    ] {
        assert!(verify(&set, &bad).is_err(), "{bad:.80}");
    }
    // Every octet counts.
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verify(&set, &changed).is_err(), "octet {at}");
    }
}

/// In the clock of the wall, without optimisation.
#[test]
fn huge_tokens_and_key_sets_are_refused_in_bounded_time() {
    let signer = Signer::ed25519();
    let began = Clock::now();
    let many: Vec<Value> = (0..10_000).map(|n| signer.public(&n.to_string())).collect();
    let many = key_set(&many);
    let parsing = Clock::now();
    assert_eq!(
        KeySet::parse(many.as_bytes(), &ALL).unwrap_err(),
        KeySetError::TooMany
    );
    assert!(parsing.elapsed() < Duration::from_secs(5));
    // n − 1, n, n + 1.
    for (keys, fits) in [(99, true), (100, true), (101, false)] {
        let keys: Vec<Value> = (0..keys).map(|n| signer.public(&n.to_string())).collect();
        let parsed = KeySet::parse(key_set(&keys).as_bytes(), &ALL);
        assert_eq!(parsed.is_ok(), fits);
    }
    // As many trials as it takes to bear a change of keys.
    let mut keys: Vec<Value> = (0..10).map(|_| Signer::ed25519().public("0")).collect();
    keys.push(signer.public("1"));
    let unnamed = signer.sign(&json!({ "alg": "EdDSA" }), &claims("tim"));
    assert_eq!(
        verify(&key_set(&keys), &unnamed),
        Err(TokenFault::Signature)
    );

    let set = key_set(&[signer.public("1")]);
    let mut large = claims("tim");
    large["groups"] = json!("g".repeat(20_000));
    assert!(verify(&set, &signer.token(&large)).is_ok());
    large["groups"] = json!("g".repeat(1_000_000));
    assert_eq!(
        verify(&set, &signer.token(&large)),
        Err(TokenFault::TooLong)
    );
    assert!(began.elapsed() < Duration::from_secs(20));
}

fn by_keys(source: KeySource) -> Oauth {
    Oauth::new(OauthSettings {
        verifier: OauthVerifier::Keys {
            source,
            algorithms: ALL.to_vec(),
        },
        rules: rules(),
        extra_roots: Vec::new(),
    })
    .unwrap()
}

/// Lets time pass without waiting for it.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_an_unknown_one_comes_or_time_has_passed() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let issuer = Issuer::new(Answer::Json(key_set(&[old.public("1")]))).await;
    let endpoint = Endpoint::new(&issuer.url()).unwrap();
    let oauth = by_keys(KeySource::Url(endpoint));
    let verify = async |signer: &Signer, id: &str, name: &str| {
        let header = json!({ "alg": "EdDSA", "kid": id });
        let token = signer.sign(&header, &claims(name));
        outcome(oauth.verify(&token.as_str().into()).await)
    };
    for name in ["a", "b", "c"] {
        assert_eq!(verify(&old, "1", name).await, Ok(name.into()));
    }
    assert_eq!(issuer.requests(), 1);
    assert!(issuer.heard().starts_with("GET / HTTP/1.1\r\n"));
    // The issuer changes its key. Anybody can name an unknown one, so nobody is asked yet.
    issuer.answer(Answer::Json(key_set(&[old.public("1"), new.public("2")])));
    for _ in 0..10 {
        assert!(
            verify(&new, "2", "d")
                .await
                .unwrap_err()
                .contains("unknown key")
        );
    }
    assert_eq!(issuer.requests(), 1);
    pass(30).await;
    assert_eq!(verify(&new, "2", "d").await, Ok("d".into()));
    assert!(verify(&new, "3", "d").await.is_err());
    assert_eq!(issuer.requests(), 2);
    // A key that is withdrawn counts for an hour at most, even if nobody can be asked.
    issuer.answer(Answer::Raw(b"HTTP/1.1 500 Oops\r\n\r\n".to_vec()));
    pass(59 * 60).await;
    assert_eq!(verify(&old, "1", "e").await, Ok("e".into()));
    pass(60).await;
    let error = verify(&old, "1", "f").await.unwrap_err();
    assert!(error.starts_with("issuer: "), "{error}");
    issuer.answer(Answer::Json(key_set(&[new.public("2")])));
    pass(2).await;
    assert!(
        verify(&old, "1", "f")
            .await
            .unwrap_err()
            .contains("unknown key")
    );
    assert_eq!(verify(&new, "2", "f").await, Ok("f".into()));
}

#[tokio::test]
async fn keys_that_are_a_little_old_are_renewed_beside() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let issuer = Issuer::new(Answer::Json(key_set(&[old.public("1")]))).await;
    let oauth = by_keys(KeySource::Url(Endpoint::new(&issuer.url()).unwrap()));
    let token = |name: &str| SecretString::from(old.token(&claims(name)));
    assert!(oauth.verify(&token("a")).await.is_ok());
    issuer.answer(Answer::Json(key_set(&[new.public("1")])));
    pass(10 * 60).await;
    // This login did not wait; it is the reason why the keys are fetched.
    assert!(oauth.verify(&token("b")).await.is_ok());
    let mut patience = 0;
    while oauth.verify(&token(&patience.to_string())).await.is_ok() {
        patience += 1;
        assert!(patience < 1000, "the keys are never renewed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test]
async fn key_sets_that_cannot_be_used_are_the_issuers_fault() {
    let signer = Signer::ed25519();
    let many: Vec<Value> = (0..10_000).map(|n| signer.public(&n.to_string())).collect();
    for (answer, said) in [
        (Answer::Json(key_set(&many)), "too long"),
        (Answer::Json(key_set(&many[..101])), "cannot be used"),
        (Answer::Json(key_set(&[])), "cannot be used"),
        (Answer::Json("{}".into()), "cannot be used"),
        (Answer::Json("x".into()), "cannot be used"),
        (Answer::Endless("HTTP/1.1 200 OK\r\n\r\n"), "too long"),
        (
            Answer::Raw(b"HTTP/1.1 404 No\r\n\r\n".to_vec()),
            "status 404",
        ),
    ] {
        let issuer = Issuer::new(answer).await;
        let oauth = by_keys(KeySource::Url(Endpoint::new(&issuer.url()).unwrap()));
        let token = SecretString::from(signer.token(&claims("tim")));
        let began = Clock::now();
        let error = outcome(oauth.verify(&token).await).unwrap_err();
        assert!(
            error.starts_with("issuer: ") && error.contains(said),
            "{error}"
        );
        assert!(began.elapsed() < Duration::from_secs(4), "{said}");
        // It is left alone for a moment.
        assert!(oauth.verify(&token).await.is_err());
        assert_eq!(issuer.requests(), 1, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_with_its_keys_is_given_up() {
    let issuer = Issuer::new(Answer::Silence).await;
    let oauth = Arc::new(by_keys(KeySource::Url(
        Endpoint::new(&issuer.url()).unwrap(),
    )));
    let token = Signer::ed25519().token(&claims("tim"));
    let began = tokio::time::Instant::now();
    let attempts: Vec<_> = (0..100)
        .map(|_| {
            let (oauth, token) = (Arc::clone(&oauth), SecretString::from(token.as_str()));
            tokio::spawn(async move { outcome(oauth.verify(&token).await) })
        })
        .collect();
    for attempt in attempts {
        let error = attempt.await.unwrap().unwrap_err();
        assert!(error.starts_with("issuer: "), "{error}");
    }
    assert!(began.elapsed() <= VERIFICATION_MAX);
    assert!(issuer.requests() <= 1);
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_may_have_changed() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let oauth = by_keys(KeySource::File(path.clone()));
    let token = |signer: &Signer, name: &str| SecretString::from(signer.token(&claims(name)));
    let missing = outcome(oauth.verify(&token(&old, "a")).await).unwrap_err();
    assert!(missing.starts_with("issuer: "), "{missing}");
    fs::write(&path, key_set(&[old.public("1")])).unwrap();
    pass(2).await;
    assert!(oauth.verify(&token(&old, "a")).await.is_ok());
    fs::write(&path, key_set(&[new.public("1")])).unwrap();
    pass(5).await;
    assert!(oauth.verify(&token(&new, "b")).await.is_ok());
    assert!(oauth.verify(&token(&old, "c")).await.is_err());
    fs::write(&path, vec![b' '; 300 * 1024]).unwrap();
    pass(5).await;
    let error = outcome(oauth.verify(&token(&new, "d")).await).unwrap_err();
    assert!(error.contains("too long"), "{error}");
}

#[test]
fn nothing_is_verified_without_an_algorithm() {
    let settings = OauthSettings {
        verifier: OauthVerifier::Keys {
            source: KeySource::File("keys.json".into()),
            algorithms: Vec::new(),
        },
        rules: rules(),
        extra_roots: Vec::new(),
    };
    assert!(matches!(Oauth::new(settings), Err(OauthError::NoAlgorithm)));
}
