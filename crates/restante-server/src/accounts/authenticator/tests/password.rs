//! USER and PASS.

use super::*;

/// One account of every kind that can fail.
fn world() -> World {
    World::passwd(&format!(
        "crypt:{CRYPT}\nfast:{SHA}\nclear:{{PLAIN}}pencil\nscram:{SCRAM}\nempty:\n\
         blocked:{CRYPT}::::::nologin\nfar:{SHA}::::::allow_nets=10.0.0.0/8\n\
         odd:{SHA}::::::host=10.0.0.1\nlost:{SHA}::::::mail=mbox:~/mail\n\
         old:{{MD5}}$1$CbCyKbPG$K5WRyUAMsOn7jw6F.tyBA1\nnear:{SHA}::::::allow_nets=192.0.2.0/24\n"
    ))
}

#[tokio::test(start_paused = true)]
async fn right_passwords_are_answered_at_once_at_the_price_of_their_scheme() {
    let world = world();
    for (name, hashes) in [
        ("crypt", 1),
        ("fast", 0),
        ("clear", 0),
        ("scram", 1),
        ("near", 0),
    ] {
        let told = world.password(name, "pencil").await;
        let expected = Told {
            result: Ok(name.to_owned()),
            took: Duration::ZERO,
            hashes,
        };
        assert_eq!(told, expected);
    }
}

/// PRJ-PASS-7, R4422-… and the design: equal in text and time for unknown users, wrong and empty
/// passwords, restricted accounts, impossible names; exactly one slow hash each.
#[tokio::test(start_paused = true)]
async fn prj_pass_7_failures_are_alike_in_answer_time_and_cost() {
    let world = world();
    for (name, password) in [
        ("nobody", "pencil"),
        ("crypt", "pencils"),
        ("fast", "pencils"),
        ("clear", "pencils"),
        ("scram", "pencils"),
        ("empty", "pencil"),
        // Right, but not permitted.
        ("blocked", "pencil"),
        ("far", "pencil"),
        // Nobody learns that these need attention who does not know the password.
        ("odd", "pencils"),
        ("lost", "pencils"),
        // Names that nobody can have.
        ("", "pencil"),
        ("../crypt", "pencil"),
        ("crypt\0", "pencil"),
        ("crypt+folder", "pencils"),
        ("crypt+", "pencil"),
        // PRJ-PASS-5
        ("crypt", ""),
        ("fast", ""),
        ("empty", ""),
        ("clear", "pencil\0"),
        ("crypt", "pencil\0"),
        ("nobody", ""),
    ] {
        assert_eq!(
            world.password(name, password).await,
            Told::wrong(),
            "{name:?} {password:?}"
        );
    }
    // R6856-USER-3, and longer than any password.
    assert_eq!(world.password("clear", b"pencil\xFF").await, Told::wrong());
    assert_eq!(
        world.password("clear", "x".repeat(1025)).await,
        Told::wrong()
    );
    assert_eq!(
        world.password("crypt", "x".repeat(100_000)).await,
        Told::wrong()
    );
}

// PRJ-PASS-5
#[tokio::test(start_paused = true)]
async fn prj_pass_5_an_empty_password_never_reaches_a_verifier() {
    // The hash of nothing.
    let world = World::passwd("tim:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\ntom:{PLAIN}\n");
    assert_eq!(world.password("tim", "").await, Told::wrong());
    assert_eq!(world.password("tom", "").await, Told::wrong());
}

// R3206-SYS-2: ours, and a person is needed; the password is not wrong.
#[tokio::test(start_paused = true)]
async fn r3206_sys_2_accounts_that_need_attention_are_not_wrong_passwords() {
    let world = world();
    let permanent = Told {
        result: Err(Refusal::Permanent),
        took: FAILURE_TIME,
        hashes: 1,
    };
    for name in ["odd", "lost", "old"] {
        assert_eq!(world.password(name, "pencil").await, permanent, "{name}");
    }
}

// R3206-AUTH-2, R3206-SYS-1
#[tokio::test(start_paused = true)]
async fn r3206_auth_2_an_outage_of_the_directory_is_temporary() {
    let world = world();
    fs::remove_file(world.directory.path().join("users")).unwrap();
    let told = world.password("crypt", "pencil").await;
    assert_eq!(told.result, Err(Refusal::Temporary));
    assert_eq!(told.took, FAILURE_TIME);
    world.change("crypt:{PLAIN}pencil\n").await;
    assert!(world.password("crypt", "pencil").await.is_for("crypt"));
}

#[tokio::test(start_paused = true)]
async fn names_are_found_as_typed_lower_cased_and_with_the_domain() {
    let world = World::builtin();
    for name in ["tim@a.example", "TIM@A.EXAMPLE", "tim", "Tim", "tim+x"] {
        assert!(
            world.password(name, "pencil").await.is_for("tim@a.example"),
            "{name}"
        );
    }
    for name in ["tim@b.example", "tim@", "tim+", "tim "] {
        assert_eq!(
            world.password(name, "pencil").await,
            Told::wrong(),
            "{name}"
        );
    }
}

// R6856-USER-4
#[tokio::test(start_paused = true)]
async fn r6856_user_4_passwords_of_ours_are_prepared() {
    let directory = tempfile::tempdir().unwrap();
    let builtin = Builtin::open(&directory.path().join("db")).unwrap();
    builtin.add("tim", &"caf\u{E9} \u{2168}".into()).unwrap();
    let world = World::over(directory, Directory::Builtin(Arc::new(builtin)), |_| {});
    for password in ["caf\u{E9} \u{2168}", "cafe\u{301} IX", "caf\u{E9}\u{A0}IX"] {
        assert!(
            world.password("tim", password).await.is_for("tim"),
            "{password}"
        );
    }
    assert_eq!(world.password("tim", "cafe IX").await, Told::wrong());
    assert_eq!(
        world.password("tim", "caf\u{E9} IX\u{7}").await,
        Told::wrong()
    );
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_right_is_not_hashed_again() {
    let world = World::passwd(&format!("tim:{CRYPT}\n"));
    assert_eq!(world.password("tim", "pencil").await.hashes, 1);
    for name in ["tim", "TIM"] {
        let told = world.password(name, "pencil").await;
        assert_eq!((told.hashes, told.is_for("tim")), (0, true));
    }
    // After a wrong one nothing is known any more.
    assert_eq!(world.password("tim", "pencils").await, Told::wrong());
    assert_eq!(world.password("tim", "pencil").await.hashes, 1);
}

/// The cache spares the hash, never the look-up.
#[tokio::test(start_paused = true)]
async fn a_known_password_opens_nothing_once_the_account_has_changed() {
    let world = World::passwd(&format!("tim:{CRYPT}\n"));
    assert!(world.password("tim", "pencil").await.is_for("tim"));
    world.change(&format!("tim:{CRYPT}::::::nologin\n")).await;
    assert_eq!(world.password("tim", "pencil").await, Told::wrong());
    world.change("tim:{PLAIN}rubber\n").await;
    assert_eq!(world.password("tim", "pencil").await, Told::wrong());
    world.change("tom:{PLAIN}rubber\n").await;
    assert_eq!(world.password("tim", "pencil").await, Told::wrong());
    // Another hash of the same password is another revision.
    world.change(&format!("tim:{CRYPT}\n")).await;
    assert_eq!(world.password("tim", "pencil").await.hashes, 1);
    world.change(&format!("tim:{SCRAM}\n")).await;
    assert_eq!(world.password("tim", "pencil").await.hashes, 1);
}

#[tokio::test(start_paused = true)]
async fn authenticated_says_what_was_opened() {
    let world = World::passwd("tim@b.example:{PLAIN}pencil::::/home/tim::mail=maildir:~/M\n");
    let password = b"pencil".to_vec().into();
    let told = world
        .authenticator
        .password(&client(), "Tim@B.example", &password)
        .await
        .unwrap();
    assert_eq!(
        (told.account.as_str(), told.credential.as_str()),
        ("tim@b.example", "default")
    );
    assert_eq!(told.mailbox.account, "tim@b.example");
    assert_eq!(
        told.mailbox.location.as_deref(),
        Some(std::path::Path::new("/home/tim/M"))
    );
    let again = world
        .authenticator
        .password(&client(), "tim@b.example", &password)
        .await
        .unwrap();
    assert_eq!(told, again);
}

/// What the log may know: the cause and the claimed name, told apart.
#[tokio::test(start_paused = true)]
async fn the_log_may_know_why() {
    let world = world();
    for (name, password, cause) in [
        ("nobody", "pencil", "unknown user"),
        ("crypt", "pencils", "wrong password"),
        (
            "blocked",
            "pencil",
            "login not permitted by nologin or allow_nets",
        ),
        (
            "odd",
            "pencil",
            "account needs attention: extra field `host` is not understood and may restrict",
        ),
        (
            "old",
            "pencil",
            "account needs attention: password scheme MD5-CRYPT is too weak to be used",
        ),
    ] {
        let password = password.as_bytes().to_vec().into();
        let refused = world
            .authenticator
            .password(&client(), name, &password)
            .await
            .unwrap_err();
        assert_eq!(
            (refused.cause.to_string().as_str(), refused.name.as_deref()),
            (cause, Some(name))
        );
    }
}

// PRJ-SEC-3: a failure that waits holds nobody up, and neither does a slow hash.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_failures_wait_without_blocking_other_logins() {
    let world = World::passwd(&format!("tim:{CRYPT}\n"));
    let began = Instant::now();
    let mut failing = Vec::new();
    for number in 0..20 {
        let authenticator = Arc::clone(&world.authenticator);
        failing.push(tokio::spawn(async move {
            let password = b"wrong".to_vec().into();
            let name = format!("nobody{number}");
            let refused = authenticator
                .password(&client(), &name, &password)
                .await
                .unwrap_err();
            assert_eq!(refused.why, Refusal::Credentials);
            began.elapsed()
        }));
    }
    tokio::task::yield_now().await;
    let right = world.password("tim", "pencil").await;
    assert!(right.is_for("tim") && right.took < FAILURE_TIME);
    for failed in failing {
        assert_eq!(failed.await.unwrap(), FAILURE_TIME);
    }
}

/// One name from many addresses: those who exist and those who do not wait alike, every way to
/// log in counts, and who has logged in from an address before is not kept waiting there.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_failures_are_rate_limited_by_name_whoever_it_is() {
    let world = World::passwd(&format!("tim:{SCRAM}\n"));
    let attempt = async |name: &str, last: u8, password: &str, mechanism: Option<&str>| {
        let client = Client::new(IpAddr::from([198, 51, 100, last]));
        let password: SecretSlice<u8> = password.as_bytes().to_vec().into();
        let Some(mechanism) = mechanism else {
            return world
                .tell(world.authenticator.password(&client, name, &password))
                .await;
        };
        let mut login = world.authenticator.sasl(client, mechanism).unwrap();
        let message = [b"\0", name.as_bytes(), b"\0", password.expose_secret()].concat();
        let login = async {
            match login.step(Some(line(&message))).await {
                SaslOutcome::Authenticated(authenticated) => Ok(authenticated),
                SaslOutcome::Refused(refused) => Err(refused),
                other => panic!("{other:?}"),
            }
        };
        world.tell(login).await
    };
    assert!(attempt("tim", 250, "pencil", None).await.is_for("tim"));
    let mut seen = Vec::new();
    for name in ["nobody", "tim"] {
        let mut told = Vec::new();
        for last in 0..75 {
            let mechanism = (last % 2 == 0).then_some("PLAIN");
            told.push(attempt(name, last, "pencils", mechanism).await);
        }
        seen.push(told);
    }
    assert_eq!(seen[0], seen[1]);
    let waited = |told: &Told| told.took > FAILURE_TIME;
    assert!(seen[0].iter().take(20).all(|told| *told == Told::wrong()));
    assert!(seen[0].iter().skip(65).all(waited), "{:?}", seen[0].last());
    // The right password is right even now: late from a new address, at once from a known one.
    let new = attempt("tim", 200, "pencil", None).await;
    assert!(new.is_for("tim") && !new.took.is_zero(), "{new:?}");
    let known = attempt("tim", 250, "pencil", None).await;
    assert!(known.is_for("tim") && known.took.is_zero(), "{known:?}");
}

// PRJ-SEC-3, R3206-SYS-1: whoever would have to wait too long is told that it passes; nothing is
// verified, so that it costs nothing and the right password is not told from a wrong one.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_a_flood_is_sent_away_unverified() {
    let world = World::passwd(&format!("tim:{CRYPT}\n"));
    let mut attempts = Vec::new();
    for number in 0..200_u8 {
        let authenticator = Arc::clone(&world.authenticator);
        attempts.push(tokio::spawn(async move {
            let client = Client::new(IpAddr::from([203, 0, 113, number]));
            let password = if number == 199 { "pencil" } else { "pencils" };
            let password = password.as_bytes().to_vec().into();
            authenticator
                .password(&client, "tim", &password)
                .await
                .unwrap_err()
                .why
        }));
    }
    let mut temporary = 0;
    for attempt in attempts {
        temporary += usize::from(attempt.await.unwrap() == Refusal::Temporary);
    }
    assert_eq!((temporary, world.hashes()), (200 - 26, 26));
}

// PRJ-PASS-5: it costs its slow hash, but not one of anybody's stored password.
#[tokio::test(start_paused = true)]
async fn prj_pass_5_an_empty_password_is_not_even_compared() {
    let world = World::passwd(&format!("tim:{CRYPT}\n"));
    let account = world.authenticator.find("tim").await.unwrap();
    let credentials = account.credentials.unwrap();
    for (password, compared) in [("", false), ("x", true)] {
        let turn = Turn::stranger(client().address);
        let mut attempt = Attempt::begin(FAILURE_TIME, turn);
        let password = password.as_bytes().to_vec().into();
        let matched =
            world
                .authenticator
                .match_password(&mut attempt, "tim", &credentials, &password);
        assert!(matched.await.is_err());
        assert_eq!(attempt.has_hashed, compared);
    }
}
