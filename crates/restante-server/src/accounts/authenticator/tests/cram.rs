//! CRAM-MD5 (RFC 2195).

use super::{
    sasl::{challenge, refused, say},
    *,
};
use restante_sasl::client::{Credentials, Exchange as ClientExchange};

fn world() -> World {
    let lines = format!(
        "tim:{{PLAIN}}tanstaaf\nhashed:{CRYPT}\nempty:{{PLAIN}}\n\u{e9}v:{{CLEAR}}\u{2168}\n"
    );
    World::passwd_with(&lines, |settings| {
        settings.mechanisms = Some(vec![Mechanism::CramMd5]);
        settings.host = "pop.example.org".into();
    })
}

async fn log_in(world: &World, name: &str, password: &str) -> Told {
    let credentials = Credentials {
        name: name.into(),
        password: password.into(),
        authorization: None,
    };
    let theirs = ClientExchange::new(
        Mechanism::CramMd5,
        credentials,
        ChannelBinding::None,
        [9; 18],
    );
    let mut theirs = theirs.unwrap();
    let mut ours = world.authenticator.sasl(client(), "CRAM-MD5").unwrap();
    let text = challenge(ours.step(None).await);
    assert!(
        text.starts_with('<') && text.ends_with("@pop.example.org>"),
        "{text}"
    );
    let response = theirs.respond(text.as_bytes()).unwrap();
    let login = async {
        match say(&mut ours, response.expose_secret()).await {
            SaslOutcome::Authenticated(authenticated) => Ok(authenticated),
            SaslOutcome::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    };
    world.tell(login).await
}

#[tokio::test(start_paused = true)]
async fn r2195_cram_3_passwords_that_are_stored_as_they_are_and_no_others() {
    let world = world();
    assert!(log_in(&world, "tim", "tanstaaf").await.is_for("tim"));
    // As it is stored, and as a client sends it that prepares.
    for password in ["\u{2168}", "IX"] {
        let told = log_in(&world, "\u{e9}v", password).await;
        assert!(told.is_for("\u{e9}v"), "{told:?}");
    }
    for (name, password) in [
        ("tim", "Tanstaaf"),
        ("nobody", "tanstaaf"),
        ("hashed", "pencil"),
        ("hashed", CRYPT),
        ("empty", "x"),
    ] {
        assert_eq!(
            log_in(&world, name, password).await,
            Told::wrong(),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r2195_cram_3_is_off_by_default() {
    let world = World::passwd("tim:{PLAIN}tanstaaf\n");
    assert!(
        !world
            .authenticator
            .mechanisms(&client())
            .contains(&Mechanism::CramMd5)
    );
    let refused = world
        .authenticator
        .sasl(client(), "CRAM-MD5")
        .err()
        .unwrap();
    assert_eq!(refused.why, Refusal::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn r2195_cram_1_no_two_challenges_are_the_same_and_a_response_is_good_once() {
    let world = world();
    let mut first = world.authenticator.sasl(client(), "CRAM-MD5").unwrap();
    let mut second = world.authenticator.sasl(client(), "CRAM-MD5").unwrap();
    let challenges = [
        challenge(first.step(None).await),
        challenge(second.step(None).await),
    ];
    assert_ne!(challenges[0], challenges[1]);
    let credentials = Credentials {
        name: "tim".into(),
        password: "tanstaaf".into(),
        authorization: None,
    };
    let theirs = ClientExchange::new(
        Mechanism::CramMd5,
        credentials,
        ChannelBinding::None,
        [9; 18],
    );
    let response = theirs.unwrap().respond(challenges[0].as_bytes()).unwrap();
    let outcome = say(&mut second, response.expose_secret()).await;
    assert_eq!(refused(outcome), Refusal::Credentials);
    let outcome = say(&mut first, response.expose_secret()).await;
    assert!(matches!(outcome, SaslOutcome::Authenticated(_)));
}

#[tokio::test(start_paused = true)]
async fn r5034_ir_3_an_initial_response_is_malformed_and_costs_nothing() {
    let world = world();
    for initial in [&b""[..], b"tim b913a602c7eda7a495b4e6e7334d3890"] {
        let mut login = world.authenticator.sasl(client(), "CRAM-MD5").unwrap();
        let began = Instant::now();
        let line = restante_sasl::line::encode_initial_response(initial);
        assert_eq!(refused(login.step(Some(line)).await), Refusal::Malformed);
        assert_eq!((began.elapsed(), world.hashes()), (Duration::ZERO, 0));
    }
}
