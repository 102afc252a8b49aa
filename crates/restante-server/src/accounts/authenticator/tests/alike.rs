//! Failures that strangers would like to tell from each other: by the clock, by salts.

use super::{sasl::say, token::Tokens, *};

/// How often each kind of failure is timed. More would wait for the throttle of names.
const ROUNDS: usize = 12;

/// The kinds of failure that must not be told apart, each as a name and a password.
const KINDS: [(&str, &str, &str); 4] = [
    ("unknown user", "nobody", "pencil"),
    ("wrong password", "tim", "Pencil"),
    ("closed account", "closed", "pencil"),
    ("no keys", "crypt", "Pencil"),
];

/// The same without passwords: what the token or the certificate says, and whom it is to open.
const WITHOUT: [(&str, &str, &str); 4] = [
    ("unknown user", "nobody@a.example", "nobody@a.example"),
    ("not good", "", "tim@a.example"),
    ("closed account", "out@a.example", "out@a.example"),
    ("somebody else's", "tim@a.example", "ana@a.example"),
];

/// How somebody tries to log in.
#[derive(Clone, Copy, Debug)]
enum Way {
    Password,
    Sasl(Mechanism),
    Apop,
    Token(Mechanism),
    Certificate,
}

/// What a way is tried against.
enum Ground {
    Passwords(World),
    Tokens(Tokens),
}

impl Way {
    fn ground(self) -> Ground {
        match self {
            Self::Token(_) => Ground::Tokens(Tokens::new()),
            Self::Certificate => Ground::Passwords(World::passwd(super::certificate::LINES)),
            // A clear password has keys of every kind; where it may, the account has one kind alone.
            Self::Apop | Self::Sasl(Mechanism::CramMd5 | Mechanism::ScramSha1) => {
                Ground::Passwords(mixed_world("{PLAIN}pencil"))
            }
            Self::Password | Self::Sasl(_) => Ground::Passwords(mixed_world(SCRAM)),
        }
    }

    fn kinds(self) -> [(&'static str, &'static str, &'static str); 4] {
        match self {
            Self::Token(_) | Self::Certificate => WITHOUT,
            _ => KINDS,
        }
    }

    /// Tries once; how the server ended it, and how long the server took, not the client.
    async fn attempt(
        self,
        ground: &Ground,
        client: Client,
        first: &str,
        second: &str,
    ) -> (Result<Authenticated, Refused>, f64) {
        if let (Self::Sasl(mechanism), Ground::Passwords(world)) = (self, ground) {
            return sasl(world, client, mechanism, first, second).await;
        }
        let began = std::time::Instant::now();
        let ended = self.attempt_at_once(ground, client, first, second).await;
        (ended, milliseconds(began))
    }

    async fn attempt_at_once(
        self,
        ground: &Ground,
        client: Client,
        first: &str,
        second: &str,
    ) -> Result<Authenticated, Refused> {
        match (self, ground) {
            (Self::Password, Ground::Passwords(world)) => {
                let password = second.as_bytes().to_vec().into();
                world
                    .authenticator
                    .password(&client, first, &password)
                    .await
            }
            (Self::Apop, Ground::Passwords(world)) => {
                let digest = Md5::new().chain_update("<1@a>").chain_update(second);
                let digest = digest.finalize();
                let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
                let digest = digest.into_bytes().into();
                let apop = world.authenticator.apop(&client, first, "<1@a>", &digest);
                apop.await
            }
            (Self::Certificate, Ground::Passwords(world)) => {
                let names: &[&str] = match first {
                    "" => &["tim@b.example"],
                    _ => &[first],
                };
                let names = CertificateNames::for_test(names);
                let client = Client {
                    certificate: Some(Arc::new(names)),
                    ..client
                };
                let mut login = world.authenticator.sasl(client, "EXTERNAL").unwrap();
                let _ = login.step(None).await;
                ended(say(&mut login, second.as_bytes()).await)
            }
            (Self::Token(mechanism), Ground::Tokens(tokens)) => {
                let token = match first {
                    "" => "no.token.atall".to_owned(),
                    _ => tokens.token(first),
                };
                let message = match mechanism {
                    Mechanism::Xoauth2 => {
                        format!("user={second}\u{1}auth=Bearer {token}\u{1}\u{1}")
                    }
                    _ => format!("n,a={second},\u{1}auth=Bearer {token}\u{1}\u{1}"),
                };
                let world = &tokens.world;
                let login = world.authenticator.sasl(client, mechanism.name());
                ended(login.unwrap().step(Some(line(message.as_bytes()))).await)
            }
            _ => panic!("{self:?} on another's ground"),
        }
    }
}

fn milliseconds(since: std::time::Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn ended(outcome: SaslOutcome) -> Result<Authenticated, Refused> {
    match outcome {
        SaslOutcome::Authenticated(authenticated) => Ok(authenticated),
        SaslOutcome::Refused(refused) | SaslOutcome::Doomed { refused, .. } => Err(refused),
        other => panic!("{other:?}"),
    }
}

/// Accounts of which one has no keys; what `tim` has is also what the closed account has.
fn mixed_world(stored: &str) -> World {
    let lines = format!("tim:{stored}\nclosed:{stored}::::::nologin\ncrypt:{CRYPT}\nsha:{SHA}\n");
    World::passwd_with(&lines, |settings| {
        settings.failure_time = FAILURE_TIME;
        settings.apop = true;
        settings.mechanisms = Some(Mechanism::ALL.to_vec());
    })
}

/// A client whose failures nobody else's address pays for.
fn client_from(number: usize) -> Client {
    let octet = u8::try_from(number % 250).unwrap();
    Client {
        address: IpAddr::from([10, 0, octet, 1]),
        ..bound_client()
    }
}

/// A whole exchange, driven by the client's role.
async fn sasl(
    world: &World,
    client: Client,
    mechanism: Mechanism,
    name: &str,
    password: &str,
) -> (Result<Authenticated, Refused>, f64) {
    use restante_sasl::client::{Credentials, Exchange as ClientExchange};
    let credentials = Credentials {
        name: name.into(),
        password: SecretString::from(password),
        authorization: None,
    };
    let binding = match mechanism {
        Mechanism::ScramSha1Plus | Mechanism::ScramSha256Plus => {
            ChannelBinding::TlsExporter([0x5A; 32])
        }
        _ => ChannelBinding::None,
    };
    let mut theirs = ClientExchange::new(mechanism, credentials, binding, [9; 18]).unwrap();
    let mut ours = world.authenticator.sasl(client, mechanism.name()).unwrap();
    let mut next = theirs
        .initial_response()
        .map(|first| line(first.expose_secret()));
    let mut spent = 0.0;
    loop {
        let began = std::time::Instant::now();
        let outcome = ours.step(next.take()).await;
        spent += milliseconds(began);
        match outcome {
            SaslOutcome::Challenge(base64) => {
                let challenge = restante_sasl::line::decode_response(&base64).unwrap();
                // The client's own slow work must not keep the others' clocks waiting.
                let response = tokio::task::spawn_blocking(move || {
                    let response = theirs.respond(challenge.expose_secret()).unwrap();
                    (theirs, response)
                });
                let (client, response) = response.await.unwrap();
                theirs = client;
                next = Some(restante_sasl::line::encode_response(
                    response.expose_secret(),
                ));
            }
            outcome => return (ended(outcome), spent),
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
async fn compare(way: Way) {
    let (ground, kinds) = (way.ground(), way.kinds());
    let mut times = [const { Vec::new() }; 4];
    for round in 0..ROUNDS {
        // Who is first asks whether the passwd-file has changed; each kind has its turn.
        let order: Vec<_> = (0..kinds.len())
            .map(|kind| (kind + round) % kinds.len())
            .collect();
        let attempts = order.iter().map(|&kind| {
            let (ground, (_, first, second)) = (&ground, kinds[kind]);
            async move {
                let client = client_from(round * kinds.len() + kind);
                let (refused, spent) = way.attempt(ground, client, first, second).await;
                (refused.map(|opened| opened.account).unwrap_err().why, spent)
            }
        });
        let told = futures_util::future::join_all(attempts).await;
        for (&kind, (why, milliseconds)) in order.iter().zip(told) {
            assert_eq!(why, Refusal::Credentials, "{way:?} {}", kinds[kind].0);
            times[kind].push(milliseconds);
        }
    }
    let medians = times.clone().map(|mut times| median(&mut times));
    for (first, (kind, ..)) in kinds.iter().enumerate() {
        println!(
            "{way:?}, {kind}: median {:.3} ms of {ROUNDS}",
            medians[first]
        );
        for (second, (other, ..)) in kinds.iter().enumerate().skip(first + 1) {
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
                "{way:?}, {kind} and {other}: {share}, {apart} ms"
            );
        }
    }
}

/// All ways at the same time: they spend it waiting.
async fn compare_all(ways: &[Way]) {
    futures_util::future::join_all(ways.iter().map(|&way| compare(way))).await;
}

#[tokio::test]
async fn prj_pass_7_failures_with_a_password_take_the_same_time_by_the_clock() {
    let sasl = [Mechanism::Plain, Mechanism::Login].map(Way::Sasl);
    compare_all(&[Way::Password, sasl[0], sasl[1]]).await;
}

#[tokio::test]
async fn prj_scram_8_failures_with_scram_take_the_same_time_by_the_clock() {
    let ways = [
        Mechanism::ScramSha256,
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha1,
    ];
    compare_all(&ways.map(Way::Sasl)).await;
}

#[tokio::test]
async fn prj_apop_6_failures_with_digests_take_the_same_time_by_the_clock() {
    compare_all(&[Way::Apop, Way::Sasl(Mechanism::CramMd5)]).await;
}

#[tokio::test]
async fn failures_with_tokens_and_certificates_take_the_same_time_by_the_clock() {
    let tokens = [Mechanism::OauthBearer, Mechanism::Xoauth2].map(Way::Token);
    compare_all(&[tokens[0], tokens[1], Way::Certificate]).await;
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
