//! OAUTHBEARER (RFC 7628) and XOAUTH2.

use restante_sasl::client::{Bearer, Exchange as ClientExchange};
use serde_json::json;

use super::{
    sasl::{challenge, say},
    *,
};
use crate::accounts::oauth::{
    KeySource, OauthSettings, OauthVerifier, Rules, SignatureAlgorithm,
    tests::signer::{AUDIENCE, ISSUER, Signer, claims, key_set},
};

const LINES: &str = "tim@a.example:{PLAIN}x\nana@a.example:{PLAIN}x\n\
                     out@a.example:{PLAIN}x::::::nologin=y\n\
                     far@a.example:{PLAIN}x::::::allow_nets=10.0.0.0/8\n";

pub(super) struct Tokens {
    pub(super) world: World,
    signer: Signer,
    _keys: TempDir,
}

impl Tokens {
    /// Tokens signed with one key, which the server has in a file.
    pub(super) fn new() -> Self {
        let signer = Signer::ed25519();
        let keys = tempfile::tempdir().unwrap();
        let path = keys.path().join("keys.json");
        fs::write(&path, key_set(&[signer.public("1")])).unwrap();
        let oauth = Oauth::new(OauthSettings {
            verifier: OauthVerifier::Keys {
                source: KeySource::File(path),
                algorithms: SignatureAlgorithm::ALL.to_vec(),
            },
            rules: Rules {
                issuer: Some(ISSUER.into()),
                audience: vec![AUDIENCE.into()],
                ..Rules::default()
            },
            extra_roots: Vec::new(),
        });
        let world = World::passwd_with(LINES, |settings| {
            settings.oauth = Some(oauth.unwrap().into())
        });
        Self {
            world,
            signer,
            _keys: keys,
        }
    }

    /// Logs in with this message; how it ended, and what was said on the way to a failure.
    async fn log_in(&self, mechanism: Mechanism, client: Client, message: &[u8]) -> (Told, String) {
        let mut login = self
            .world
            .authenticator
            .sasl(client, mechanism.name())
            .unwrap();
        let mut said = String::new();
        let attempt = async {
            match login.step(Some(line(message))).await {
                SaslOutcome::Authenticated(authenticated) => Ok(authenticated),
                SaslOutcome::Refused(refused) => Err(refused),
                SaslOutcome::Doomed {
                    challenge: base64,
                    refused,
                } => {
                    said = challenge(SaslOutcome::Challenge(base64));
                    Err(refused)
                }
                other => panic!("{other:?}"),
            }
        };
        let told = self.world.tell(attempt).await;
        if !said.is_empty() {
            // R7628-OAB-4: whatever the client answers, it has failed.
            let last = say(&mut login, b"\x01").await;
            let credentials = Refusal::Credentials;
            assert!(matches!(last, SaslOutcome::Dismissed(why) if why == credentials));
        }
        (told, said)
    }

    async fn xoauth2(&self, user: &str, token: &str) -> Told {
        let message = format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}");
        self.log_in(Mechanism::Xoauth2, client(), message.as_bytes())
            .await
            .0
    }

    async fn oauthbearer(&self, user: &str, token: &str) -> Told {
        let message = format!("n,{user},\u{1}auth=Bearer {token}\u{1}\u{1}");
        self.log_in(Mechanism::OauthBearer, client(), message.as_bytes())
            .await
            .0
    }

    pub(super) fn token(&self, name: &str) -> String {
        self.signer.token(&claims(name))
    }
}

/// What every token that is not good is told. No hash is computed for it, nor for a good one.
fn wrong() -> Told {
    Told {
        hashes: 0,
        ..Told::wrong()
    }
}

// R7628-OAB-5, XOAUTH2-1
#[tokio::test(start_paused = true)]
async fn r7628_oab_5_a_token_opens_the_account_that_it_names_and_no_other() {
    let tokens = Tokens::new();
    let tim = tokens.token("tim@a.example");
    for told in [
        tokens.xoauth2("tim@a.example", &tim).await,
        tokens.xoauth2("TIM", &tim).await,
        tokens.oauthbearer("a=tim@a.example", &tim).await,
        tokens.oauthbearer("a=tim", &tim).await,
        tokens.oauthbearer("", &tim).await,
        tokens.xoauth2("tim+Junk@a.example", &tim).await,
        tokens.oauthbearer("a=tim+Junk", &tim).await,
    ] {
        assert!(
            told.is_for("tim@a.example") && told.took < FAILURE_TIME,
            "{told:?}"
        );
    }
    for user in [
        "ana@a.example",
        "ana+Junk@a.example",
        "nobody@a.example",
        "tim@b.example",
        "tim+../x@a.example",
    ] {
        assert_eq!(tokens.xoauth2(user, &tim).await, wrong(), "{user}");
        let told = tokens.oauthbearer(&format!("a={user}"), &tim).await;
        assert_eq!(told, wrong(), "{user}");
    }
}

// R7628-OAB-5: whatever is wrong, it looks and lasts the same as a wrong password.
#[tokio::test(start_paused = true)]
async fn r7628_oab_5_every_failure_looks_and_lasts_the_same() {
    let tokens = Tokens::new();
    let changed = |name: &str, value: serde_json::Value| {
        let mut claims = claims("tim@a.example");
        claims[name] = value;
        tokens.signer.token(&claims)
    };
    for (what, token) in [
        ("audience", changed("aud", json!("imap.example.com"))),
        ("issuer", changed("iss", json!("https://example.org"))),
        ("expired", changed("exp", json!(1_000_000_000))),
        ("not yet", changed("nbf", json!(u64::MAX))),
        ("unverified", changed("email_verified", json!(false))),
        ("forged", Signer::ed25519().token(&claims("tim@a.example"))),
        ("no token", "x".repeat(4000)),
        ("nobody", tokens.token("nobody@a.example")),
        ("nologin", tokens.token("out@a.example")),
        ("allow_nets", tokens.token("far@a.example")),
    ] {
        assert_eq!(
            tokens.xoauth2("tim@a.example", &token).await,
            wrong(),
            "{what}"
        );
        assert_eq!(tokens.oauthbearer("", &token).await, wrong(), "{what}");
    }
    assert_eq!(
        tokens.world.password("tim@a.example", "y").await.took,
        wrong().took
    );
}

#[tokio::test(start_paused = true)]
async fn r7628_oab_3_the_client_is_told_in_json_where_tokens_come_from() {
    let tokens = Tokens::new();
    let message = b"n,,\x01auth=Bearer x\x01\x01";
    let (_, said) = tokens
        .log_in(Mechanism::OauthBearer, client(), message)
        .await;
    let configuration = "https://id.example.com/.well-known/openid-configuration";
    let expected = json!({ "status": "invalid_token", "openid-configuration": configuration });
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, expected);
    // XOAUTH2-2
    let message = b"user=tim\x01auth=Bearer x\x01\x01";
    let (_, said) = tokens.log_in(Mechanism::Xoauth2, client(), message).await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({ "status": "401", "schemes": "Bearer" }));
}

#[tokio::test(start_paused = true)]
async fn r7628_oab_2_the_host_that_the_client_means_must_be_the_one_it_asked_for() {
    let tokens = Tokens::new();
    let tim = tokens.token("tim@a.example");
    for (asked, host, good) in [
        (Some("pop.example.com"), "pop.example.com", true),
        (Some("pop.example.com"), "POP.example.com.", true),
        (Some("pop.example.com"), "imap.example.com", false),
        (Some("pop.example.com"), "127.0.0.1", false),
        // Clients that connect to an address ask for no name.
        (None, "127.0.0.1", true),
    ] {
        let client = Client {
            server_name: asked.map(str::to_owned),
            ..client()
        };
        let message = format!("n,,\u{1}host={host}\u{1}port=995\u{1}auth=Bearer {tim}\u{1}\u{1}");
        let message = message.as_bytes();
        let (told, _) = tokens.log_in(Mechanism::OauthBearer, client, message).await;
        assert_eq!(
            told.is_for("tim@a.example"),
            good,
            "{asked:?} {host} {told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_of_many_kilobytes_log_in_with_both_mechanisms_in_one_line_and_in_two() {
    let tokens = Tokens::new();
    let mut large = claims("tim@a.example");
    large["groups"] = json!("g".repeat(12_000));
    let bearer = Bearer {
        user: "tim@a.example".into(),
        token: tokens.signer.token(&large).into(),
        host: None,
        port: None,
    };
    for mechanism in [Mechanism::OauthBearer, Mechanism::Xoauth2] {
        for early in [true, false] {
            let mut theirs = ClientExchange::with_token(mechanism, &bearer).unwrap();
            let login = tokens.world.authenticator.sasl(client(), mechanism.name());
            let mut login = login.unwrap();
            let message = match early {
                true => theirs.initial_response().unwrap(),
                false => {
                    let empty = challenge(login.step(None).await);
                    theirs.respond(empty.as_bytes()).unwrap()
                }
            };
            let outcome = say(&mut login, message.expose_secret()).await;
            assert!(
                matches!(outcome, SaslOutcome::Authenticated(_)),
                "{outcome:?}"
            );
        }
    }
}

// R3206-AUTH-2: an issuer that fails is never the user's fault, and says nothing about the token.
#[tokio::test(start_paused = true)]
async fn r3206_auth_2_keys_that_cannot_be_read_are_an_outage() {
    let tokens = Tokens::new();
    fs::write(tokens._keys.path().join("keys.json"), "x").unwrap();
    let tim = tokens.token("tim@a.example");
    for mechanism in [Mechanism::OauthBearer, Mechanism::Xoauth2] {
        let message = match mechanism {
            Mechanism::Xoauth2 => format!("user=tim\u{1}auth=Bearer {tim}\u{1}\u{1}"),
            _ => format!("n,,\u{1}auth=Bearer {tim}\u{1}\u{1}"),
        };
        let (told, said) = tokens.log_in(mechanism, client(), message.as_bytes()).await;
        assert_eq!(told.result, Err(Refusal::Temporary), "{mechanism}");
        assert_eq!(said, "");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_offered_only_where_they_can_be_verified() {
    let tokens = Tokens::new();
    let offered = tokens.world.authenticator.mechanisms(&client());
    assert!(offered.contains(&Mechanism::OauthBearer) && offered.contains(&Mechanism::Xoauth2));
    let every = |settings: &mut AuthenticatorSettings| {
        settings.mechanisms = Some(Mechanism::ALL.to_vec());
    };
    let without = World::passwd_with(LINES, every);
    let offered = without.authenticator.mechanisms(&client());
    assert!(
        !offered.iter().any(|mechanism| mechanism.is_bearer()),
        "{offered:?}"
    );
    assert!(without.authenticator.sasl(client(), "XOAUTH2").is_err());
}

// PRJ-SEC-3: by name where there is one, and by address.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_tokens_that_are_guessed_are_slowed_down() {
    let tokens = Tokens::new();
    let mut waited = 0;
    for number in 0..70 {
        let told = tokens.oauthbearer("", &format!("guess{number}")).await;
        waited += usize::from(told.took > FAILURE_TIME);
    }
    // 60 of an address, as with passwords, of which some come back meanwhile.
    assert_eq!(waited, 0, "one every two seconds is within the allowance");
    let began = Instant::now();
    let mut attempts = Vec::new();
    for number in 0..100 {
        let authenticator = Arc::clone(&tokens.world.authenticator);
        attempts.push(tokio::spawn(async move {
            let mut login = authenticator.sasl(client(), "XOAUTH2").unwrap();
            let message = format!("user=tim\u{1}auth=Bearer guess{number}\u{1}\u{1}");
            match login.step(Some(line(message.as_bytes()))).await {
                SaslOutcome::Doomed { .. } => Refusal::Credentials,
                SaslOutcome::Refused(refused) => refused.why,
                other => panic!("{other:?}"),
            }
        }));
    }
    let mut sent_away = 0;
    for attempt in attempts {
        sent_away += usize::from(attempt.await.unwrap() == Refusal::Temporary);
    }
    assert_eq!(sent_away, 100 - 26, "after {:?}", began.elapsed());
}
