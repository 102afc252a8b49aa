//! SASL exchanges, driven by the client role of `restante-sasl` or by hand.

use restante_sasl::{
    client::{Credentials, Exchange as ClientExchange},
    scram::ScramHash,
};

use super::*;

pub(super) fn credentials(name: &str, password: &str) -> Credentials {
    let password = SecretString::from(password);
    Credentials {
        name: name.into(),
        password,
        authorization: None,
    }
}

/// Logs in with a real client; `initial` says whether it sends an initial response.
async fn log_in(
    world: &World,
    mechanism: Mechanism,
    credentials: Credentials,
    initial: bool,
) -> Told {
    let login = exchange(world, mechanism, credentials, initial);
    world.tell(login).await
}

/// An exchange to its end, as a real client leads it.
pub(super) async fn exchange(
    world: &World,
    mechanism: Mechanism,
    credentials: Credentials,
    initial: bool,
) -> Result<Authenticated, Refused> {
    let client = if mechanism.needs_channel_binding() {
        bound_client()
    } else {
        client()
    };
    let binding = match client.exporter {
        Some(exporter) => ChannelBinding::TlsExporter(exporter),
        None => ChannelBinding::None,
    };
    let mut theirs = ClientExchange::new(mechanism, credentials, binding, [9; 18]).unwrap();
    let mut ours = world.authenticator.sasl(client, mechanism.name()).unwrap();
    let first = if initial {
        theirs.initial_response()
    } else {
        None
    };
    let mut next = first.map(|octets| line(octets.expose_secret()));
    for _ in 0..8 {
        match ours.step(next.take()).await {
            SaslOutcome::Challenge(base64) => {
                let challenge = restante_sasl::line::decode_response(&base64).unwrap();
                let response = theirs.respond(challenge.expose_secret()).unwrap();
                next = Some(restante_sasl::line::encode_response(
                    response.expose_secret(),
                ));
            }
            SaslOutcome::Authenticated(authenticated) => {
                theirs.finish().unwrap();
                return Ok(authenticated);
            }
            SaslOutcome::Refused(refused) => return Err(refused),
            other => panic!("{other:?}"),
        }
    }
    panic!("PRJ-LINE-2: more than 8 rounds")
}

/// Says one line by hand.
pub(super) async fn say(login: &mut SaslLogin, octets: &[u8]) -> SaslOutcome {
    login
        .step(Some(restante_sasl::line::encode_response(octets)))
        .await
}

pub(super) fn refused(outcome: SaslOutcome) -> Refusal {
    match outcome {
        SaslOutcome::Refused(refused) => refused.why,
        other => panic!("{other:?}"),
    }
}

pub(super) fn challenge(outcome: SaslOutcome) -> String {
    match outcome {
        SaslOutcome::Challenge(base64) => {
            let octets = restante_sasl::line::decode_response(&base64).unwrap();
            String::from_utf8(octets.expose_secret().to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

// R5802-SCRAM-1, R5802-PLUS-1, R5034-MTI-1
#[tokio::test(start_paused = true)]
async fn r5802_scram_1_every_mechanism_logs_in_and_fails_alike() {
    let every = |settings: &mut AuthenticatorSettings| {
        settings.mechanisms = Some(Mechanism::ALL.to_vec());
    };
    let lines = format!("tim:{SCRAM}\nold:{SCRAM_SHA_1}\nclear:{{PLAIN}}pencil\n");
    let world = World::passwd_with(&lines, every);
    let with_password =
        |mechanism: &Mechanism| !mechanism.is_bearer() && *mechanism != Mechanism::External;
    for mechanism in Mechanism::ALL.into_iter().filter(with_password) {
        // R2195-CRAM-3: only where the password is stored as it is.
        let hashed = mechanism != Mechanism::CramMd5;
        for initial in [true, false] {
            for (name, can) in [
                (
                    "tim",
                    hashed && mechanism.scram_hash() != Some(ScramHash::Sha1),
                ),
                (
                    "old",
                    hashed && mechanism.scram_hash() != Some(ScramHash::Sha256),
                ),
                // No new keys are made with SHA-1.
                ("clear", mechanism.scram_hash() != Some(ScramHash::Sha1)),
                ("nobody", false),
            ] {
                let told = log_in(&world, mechanism, credentials(name, "pencil"), initial).await;
                assert_eq!(told.is_for(name), can, "{mechanism} {name} {told:?}");
                if !can {
                    assert_eq!(told, Told::wrong(), "{mechanism} {name}");
                }
                let told = log_in(&world, mechanism, credentials(name, "Pencil"), initial).await;
                assert_eq!(told, Told::wrong(), "{mechanism} {name}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn scram_works_with_accounts_of_ours_at_no_slow_hash() {
    let world = World::builtin();
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        for name in ["tim", "TIM@a.example"] {
            let told = log_in(&world, mechanism, credentials(name, "pencil"), true).await;
            let result = Ok("tim@a.example".to_owned());
            assert_eq!(
                told,
                Told {
                    result,
                    took: Duration::ZERO,
                    hashes: 0
                }
            );
        }
        let told = log_in(&world, mechanism, credentials("tim", "pencils"), true).await;
        assert_eq!(told, Told::wrong());
    }
}

/// The answer to client-first, and how long it took.
async fn server_first(world: &World, mechanism: &str, name: &str) -> (String, Duration) {
    let mut login = world.authenticator.sasl(client(), mechanism).unwrap();
    let began = Instant::now();
    let first = format!("n,,n={name},r=client");
    let challenge = challenge(login.step(Some(line(first.as_bytes()))).await);
    (challenge, began.elapsed())
}

/// Salt and iteration count of a server-first, its nonce apart.
fn parameters(server_first: &str) -> (usize, String, String) {
    let parts: Vec<_> = server_first.split(',').collect();
    let [nonce, salt, iterations] = parts[..] else {
        panic!("{server_first}")
    };
    assert!(nonce.starts_with("r=client"));
    (nonce.len(), salt.to_owned(), iterations.to_owned())
}

/// Dovecot fails unknown users at once, and known ones without SCRAM keys otherwise, so that a
/// stranger learns who exists by asking. Here all of them get a challenge that is stable and
/// looks like a real one (PRJ-SCRAM-8), and fail at the proof at the same time.
#[tokio::test(start_paused = true)]
async fn dovecot_scram_user_probing_shows_nobody() {
    // Most have Dovecot's own parameters: 4096 iterations, 16 octets of salt.
    let lines = format!(
        "real:{SCRAM}\nhashed:{CRYPT}\nblocked:{SCRAM}::::::nologin\nempty:\nold:{{MD5}}x\n"
    );
    let policy = |settings: &mut AuthenticatorSettings| {
        settings.mechanisms = Some(vec![Mechanism::ScramSha256, Mechanism::ScramSha1]);
    };
    let world = World::passwd_with(&lines, policy);
    let restarted = World::passwd_with(&lines, policy);
    let names = [
        "real", "hashed", "empty", "old", "nobody", "a=2Cb", "..=3D/",
    ];
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
        let mut salts = Vec::new();
        let mut shapes = Vec::new();
        for name in names {
            let (first, took) = server_first(&world, mechanism, name).await;
            assert_eq!(took, Duration::ZERO);
            let (nonce, salt, iterations) = parameters(&first);
            // Stable: asked again, in other letters, after a restart.
            let (again, _) = server_first(&world, mechanism, name).await;
            assert_ne!(first, again, "the nonce is fresh");
            let upper = name.replace("a=2Cb", "A=2Cb").replace("nobody", "NoBody");
            for (world, name) in [(&world, name), (&world, &*upper), (&restarted, name)] {
                let (again, _) = server_first(world, mechanism, name).await;
                assert_eq!(parameters(&again).1, salt, "{name}");
            }
            shapes.push((nonce, salt.len(), iterations));
            salts.push(salt);
        }
        assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
        salts.sort();
        salts.dedup();
        assert_eq!(salts.len(), names.len(), "each name has a salt of its own");
    }
    // And at the proof: one answer, one time, one price.
    for name in ["real", "hashed", "blocked", "empty", "nobody"] {
        let told = log_in(
            &world,
            Mechanism::ScramSha256,
            credentials(name, "pencils"),
            true,
        )
        .await;
        assert_eq!(told, Told::wrong(), "{name}");
    }
    let told = log_in(
        &world,
        Mechanism::ScramSha256,
        credentials("blocked", "pencil"),
        true,
    )
    .await;
    assert_eq!(told, Told::wrong());
}

#[tokio::test(start_paused = true)]
async fn dovecot_scram_user_probing_shows_nobody_in_our_own_directory() {
    let world = World::builtin();
    let (known, _) = server_first(&world, "SCRAM-SHA-256", "tim").await;
    let (unknown, _) = server_first(&world, "SCRAM-SHA-256", "tom").await;
    let (known, unknown) = (parameters(&known), parameters(&unknown));
    assert_eq!(
        (known.0, known.1.len(), &known.2),
        (unknown.0, unknown.1.len(), &unknown.2)
    );
    assert_ne!(known.1, unknown.1);
    assert_eq!(known.2, "i=100000");
}

// R4422-AUTHZ-1
#[tokio::test(start_paused = true)]
async fn r4422_authz_1_one_acts_for_oneself_only() {
    let world = World::builtin();
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
        for (identity, permitted) in [
            ("tim", true),
            ("TIM@A.example", true),
            ("tim@a.example", true),
            ("tom@a.example", false),
            ("tim@b.example", false),
            ("/", false),
        ] {
            let mut credentials = credentials("tim", "pencil");
            credentials.authorization = Some(identity.to_owned());
            let told = log_in(&world, mechanism, credentials, true).await;
            assert_eq!(
                told.is_for("tim@a.example"),
                permitted,
                "{mechanism} {identity}"
            );
            assert!(permitted || told.result == Err(Refusal::Credentials));
            assert_eq!(
                told.took,
                if permitted {
                    Duration::ZERO
                } else {
                    FAILURE_TIME
                }
            );
        }
    }
}

// R5034-AUTH-2, PRJ-MECH-1
#[test]
fn r5034_auth_2_mechanisms_that_are_not_offered_are_unavailable() {
    let world = World::builtin();
    for mechanism in [
        "LOGIN",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256-PLUS",
        "CRAM-MD5",
        "DIGEST-MD5",
        "NTLM",
        "ANONYMOUS",
        "EXTERNAL",
        "",
    ] {
        let refused = world.authenticator.sasl(client(), mechanism).unwrap_err();
        assert_eq!(refused.why, Refusal::Unavailable, "{mechanism}");
    }
    assert!(world.authenticator.sasl(client(), "scram-sha-256").is_ok());
    assert!(
        world
            .authenticator
            .sasl(bound_client(), "SCRAM-SHA-256-PLUS")
            .is_ok()
    );
}

// R5034-B64-1, PRJ-B64-2, R5034-CHAL-1
#[tokio::test(start_paused = true)]
async fn r5034_b64_1_malformed_lines_are_refused_at_once() {
    let world = World::passwd("tim:{PLAIN}pencil\n");
    let raw = |text: &str| Some(text.as_bytes().to_vec().into());
    let began = Instant::now();
    for bad in [
        "",
        "?",
        "AHRpbQBwZW5jaWw",
        "AHRpbQBwZW5jaWw==",
        "AHRpbQ BwZW5jaWw=",
        "*",
    ] {
        let mut login = world.authenticator.sasl(client(), "PLAIN").unwrap();
        assert_eq!(
            refused(login.step(raw(bad)).await),
            Refusal::Malformed,
            "{bad}"
        );
        // It is over.
        assert_eq!(
            refused(say(&mut login, b"\0tim\0pencil").await),
            Refusal::Malformed
        );
    }
    for bad in ["=", "?"] {
        let mut login = world.authenticator.sasl(client(), "PLAIN").unwrap();
        // The empty challenge has no text.
        assert!(matches!(login.step(None).await, SaslOutcome::Challenge(text) if text.is_empty()));
        assert_eq!(
            refused(login.step(raw(bad)).await),
            Refusal::Malformed,
            "{bad}"
        );
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_are_refused_and_end_the_exchange() {
    let world = World::builtin();
    for (mechanism, bad) in [
        ("PLAIN", &b"tim"[..]),
        ("PLAIN", b"\0tim\0pencil\0"),
        ("SCRAM-SHA-256", b"n,,n=tim"),
        ("SCRAM-SHA-256", b"n,,m=x,n=tim,r=y"),
        ("SCRAM-SHA-256", b"p=tls-exporter,,n=tim,r=y"),
    ] {
        let mut login = world.authenticator.sasl(client(), mechanism).unwrap();
        let _ = login.step(None).await;
        assert_eq!(refused(say(&mut login, bad).await), Refusal::Malformed);
        assert_eq!(
            refused(say(&mut login, b"\0tim\0pencil").await),
            Refusal::Malformed
        );
    }
}

// R5802-PLUS-2
#[tokio::test(start_paused = true)]
async fn r5802_plus_2_y_fails_exactly_where_plus_is_advertised() {
    let world = World::builtin();
    let without = |settings: &mut AuthenticatorSettings| {
        settings.mechanisms = Some(vec![Mechanism::ScramSha256]);
    };
    let no_plus = World::passwd_with(&format!("tim:{SCRAM}\n"), without);
    for (world, client, fails) in [
        (&world, bound_client(), true),
        (&world, client(), false),
        (&no_plus, bound_client(), false),
    ] {
        let mut login = world.authenticator.sasl(client, "SCRAM-SHA-256").unwrap();
        let outcome = login.step(Some(line(b"y,,n=tim,r=client"))).await;
        match outcome {
            SaslOutcome::Challenge(_) => assert!(!fails),
            outcome => assert!(fails && refused(outcome) == Refusal::Malformed),
        }
    }
}

// R5034-PREP-1
#[tokio::test(start_paused = true)]
async fn r5034_prep_1_names_that_cannot_be_prepared_fail_like_unknown_ones() {
    let world = World::builtin();
    for message in ["\0\u{7}\0pencil", "\u{7}\0tim\0pencil", "\0\u{AD}\0pencil"] {
        let mut login = world.authenticator.sasl(client(), "PLAIN").unwrap();
        let login = async {
            match login.step(Some(line(message.as_bytes()))).await {
                SaslOutcome::Refused(refused) => Err(refused),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(world.tell(login).await, Told::wrong(), "{message:?}");
    }
}

/// What was true at the challenge no longer counts at the proof.
#[tokio::test(start_paused = true)]
async fn a_password_changed_during_the_exchange_fails_it() {
    let lines = format!("tim:{SCRAM}\n");
    let world = World::passwd(&lines);
    for (now, works) in [
        (lines.clone(), true),
        ("tom:{PLAIN}pencil\n".to_owned(), false),
        (format!("tim:{SCRAM}::::::nologin\n"), false),
        ("tim:{SCRAM-SHA-256}4096,5te0dm9SyRKfOsI0UV0vnw==,Dp+r7Vd/czXtWBsz0xyf5rRxDtvWJ43z0/glhsMJ1X0=,U+YFZiMkvH5wLlOtBQu/9YEvEGe+lzPhquzFcFoVHcQ=\n".to_owned(), false),
    ] {
        world.change(&lines).await;
        let mut theirs = ClientExchange::new(
            Mechanism::ScramSha256, credentials("tim", "pencil"), ChannelBinding::None, [9; 18],
        )
        .unwrap();
        let mut ours = world.authenticator.sasl(client(), "SCRAM-SHA-256").unwrap();
        let first = theirs.initial_response().unwrap();
        let server_first = challenge(ours.step(Some(line(first.expose_secret()))).await);
        let last = theirs.respond(server_first.as_bytes()).unwrap();
        world.change(&now).await;
        let outcome = say(&mut ours, last.expose_secret()).await;
        assert_eq!(matches!(outcome, SaslOutcome::Challenge(_)), works, "{now}");
    }
}

// R3206-AUTH-2
#[tokio::test(start_paused = true)]
async fn r3206_auth_2_an_outage_during_scram_is_temporary() {
    let world = World::passwd(&format!("tim:{SCRAM}\n"));
    let mut login = world.authenticator.sasl(client(), "SCRAM-SHA-256").unwrap();
    fs::remove_file(world.directory.path().join("users")).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let outcome = login.step(Some(line(b"n,,n=tim,r=client"))).await;
    assert_eq!(refused(outcome), Refusal::Temporary);
}

/// The proof was right, but the login counts only when the client has acknowledged `v=`.
#[tokio::test(start_paused = true)]
async fn r5802_scram_6_nothing_is_authenticated_before_the_acknowledgement() {
    let world = World::builtin();
    for (acknowledgement, works) in [(&b""[..], true), (b"x", false)] {
        let mut theirs = ClientExchange::new(
            Mechanism::ScramSha256,
            credentials("tim", "pencil"),
            ChannelBinding::None,
            [9; 18],
        )
        .unwrap();
        let mut ours = world.authenticator.sasl(client(), "SCRAM-SHA-256").unwrap();
        let first = theirs.initial_response().unwrap();
        let server_first = challenge(ours.step(Some(line(first.expose_secret()))).await);
        let last = theirs.respond(server_first.as_bytes()).unwrap();
        assert!(challenge(say(&mut ours, last.expose_secret()).await).starts_with("v="));
        let outcome = say(&mut ours, acknowledgement).await;
        assert_eq!(matches!(outcome, SaslOutcome::Authenticated(_)), works);
    }
}
