//! Failures that strangers would like to tell from each other: by the clock, by salts.

use super::*;

/// How often each kind of failure is timed. More would wait for the throttle of names.
const ROUNDS: usize = 12;

/// The kinds of failure that must not be told apart, each as a name and a password.
const KINDS: [(&str, &str, &str); 4] = [
    ("unknown user", "nobody", "pencil"),
    ("wrong password", "tim", "Pencil"),
    ("closed account", "closed", "pencil"),
    ("no SCRAM keys", "crypt", "Pencil"),
];

fn mixed_world() -> World {
    let lines = format!("tim:{SCRAM}\nclosed:{SCRAM}::::::nologin\ncrypt:{CRYPT}\nsha:{SHA}\n");
    World::passwd_with(&lines, |settings| {
        settings.failure_time = FAILURE_TIME;
        settings.mechanisms = Some(vec![Mechanism::Plain, Mechanism::ScramSha256]);
    })
}

/// A client whose failures nobody else's address pays for.
fn client_from(number: usize) -> Client {
    let octet = u8::try_from(number % 250).unwrap();
    Client::new(IpAddr::from([10, 0, octet, 1]))
}

async fn plain(world: &World, client: Client, name: &str, password: &str) -> Refused {
    let password = password.as_bytes().to_vec().into();
    let told = world.authenticator.password(&client, name, &password).await;
    told.unwrap_err()
}

/// A whole SCRAM exchange, driven by the client's role.
async fn scram(world: &World, client: Client, name: &str, password: &str) -> Refused {
    use restante_sasl::client::{Credentials, Exchange as ClientExchange};
    let credentials = Credentials {
        name: name.into(),
        password: SecretString::from(password),
        authorization: None,
    };
    let mechanism = Mechanism::ScramSha256;
    let mut theirs =
        ClientExchange::new(mechanism, credentials, ChannelBinding::None, [9; 18]).unwrap();
    let mut ours = world.authenticator.sasl(client, mechanism.name()).unwrap();
    let mut next = theirs
        .initial_response()
        .map(|first| line(first.expose_secret()));
    loop {
        match ours.step(next.take()).await {
            SaslOutcome::Challenge(base64) => {
                let challenge = restante_sasl::line::decode_response(&base64).unwrap();
                let response = theirs.respond(challenge.expose_secret()).unwrap();
                next = Some(restante_sasl::line::encode_response(
                    response.expose_secret(),
                ));
            }
            SaslOutcome::Refused(refused) => return refused,
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How often a time of `left` exceeds one of `right`: a half if they are drawn from one urn
/// (Mann-Whitney).
fn exceeds(left: &[f64], right: &[f64]) -> f64 {
    let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
    let above = pairs.map(|(l, r)| match l.total_cmp(r) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    });
    above.sum::<f64>() / (left.len() * right.len()) as f64
}

/// Times each kind of failure, all kinds at the same time so that the machine is as busy for
/// each, and compares each with each. The figures are in the test's output.
#[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
async fn compare(is_scram: bool) {
    let world = mixed_world();
    let mut times = [const { Vec::new() }; KINDS.len()];
    for round in 0..ROUNDS {
        // Who is first asks whether the passwd-file has changed; each kind has its turn.
        let order: Vec<_> = (0..KINDS.len())
            .map(|kind| (kind + round) % KINDS.len())
            .collect();
        let attempts = order.iter().map(|&kind| {
            let (world, (_, name, password)) = (&world, KINDS[kind]);
            async move {
                let client = client_from(round * KINDS.len() + kind);
                let began = std::time::Instant::now();
                let refused = match is_scram {
                    true => scram(world, client, name, password).await,
                    false => plain(world, client, name, password).await,
                };
                (refused.why, began.elapsed().as_secs_f64() * 1000.0)
            }
        });
        let told = futures_util::future::join_all(attempts).await;
        for (&kind, (why, milliseconds)) in order.iter().zip(told) {
            assert_eq!(why, Refusal::Credentials);
            times[kind].push(milliseconds);
        }
    }
    let medians = times.clone().map(|mut times| median(&mut times));
    for (first, (kind, ..)) in KINDS.iter().enumerate() {
        println!("{kind}: median {:.3} ms of {ROUNDS}", medians[first]);
        for (second, (other, ..)) in KINDS.iter().enumerate().skip(first + 1) {
            let share = exceeds(&times[first], &times[second]);
            let apart = (medians[first] - medians[second]).abs();
            println!(
                "  {kind} above {other}: {:.0} % of pairs, medians {apart:.3} ms apart",
                share * 100.0
            );
            // 0.5 ± 0.12 is one standard deviation at 12 against 12: almost four on either side.
            // If work showed through, the share would be 0 or 1; a machine that is busy moves
            // medians, but not all of one kind to one side.
            assert!(
                apart < 1.0 || (0.05..0.95).contains(&share),
                "{kind} and {other}: {share}, {apart} ms"
            );
        }
    }
}

#[tokio::test]
async fn prj_pass_7_failures_with_a_password_take_the_same_time_by_the_clock() {
    compare(false).await;
}

#[tokio::test]
async fn prj_scram_8_failures_with_scram_take_the_same_time_by_the_clock() {
    compare(true).await;
}

/// What the server shows of an account before anybody has proven anything.
async fn parameters(world: &World, name: &str) -> restante_sasl::scram::ScramParameters {
    let hash = Mechanism::ScramSha256.scram_hash().unwrap();
    world
        .authenticator
        .scram_parameters(name, hash)
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn prj_scram_8_spellings_of_one_name_have_one_salt_whether_or_not_somebody_has_it() {
    let lines = format!("Tim:{SCRAM}\nann:{SCRAM}\nben@a.example:{SCRAM}\n");
    let world = World::passwd(&lines);
    for spellings in [
        // Somebody's, in mixed case; somebody's without the default domain, with it; nobody's.
        ["Tim", "tim", "TIM@a.example"],
        ["ann", "ANN", "ann@A.example"],
        ["ben", "Ben", "ben@a.example"],
        ["nobody", "NOBODY", "nobody@a.example"],
    ] {
        let first = parameters(&world, spellings[0]).await;
        for spelling in spellings {
            assert_eq!(parameters(&world, spelling).await, first, "{spelling}");
        }
        let elsewhere = format!("{}@b.example", spellings[1]);
        assert_ne!(parameters(&world, &elsewhere).await, first);
    }
    // The salt is all they get: the name is written otherwise.
    assert!(world.password("Tim", "pencil").await.is_for("Tim"));
    assert_eq!(world.password("tim", "pencil").await, Told::wrong());
}

#[tokio::test(start_paused = true)]
async fn prj_scram_8_no_shape_is_only_somebodys() {
    let rare = SCRAM.replace("4096", "10000");
    let mut lines = String::new();
    for number in 0..40 {
        let keys = if number < 10 { &rare } else { SCRAM };
        lines.push_str(&format!("user{number}:{keys}\n"));
    }
    let world = World::passwd(&lines);
    let mut found = Vec::new();
    for number in 0..400 {
        found.push(
            parameters(&world, &format!("nobody{number}"))
                .await
                .iterations(),
        );
    }
    let rare = found
        .iter()
        .filter(|&&iterations| iterations == 10_000)
        .count();
    assert!(
        (50..160).contains(&rare),
        "{rare} of 400, a quarter of accounts"
    );
    assert!(
        found
            .iter()
            .all(|iterations| [4096, 10_000].contains(iterations))
    );
    assert_eq!(parameters(&world, "user3").await.iterations(), 10_000);
}
