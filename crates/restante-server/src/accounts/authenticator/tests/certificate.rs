//! EXTERNAL with TLS client certificates (RFC 4422 App. A).

use super::{sasl::say, *};

pub(super) const LINES: &str = "tim@a.example:{PLAIN}x\nana@a.example:{PLAIN}x\nbob:{PLAIN}x\n\
                     Eve@a.example:{PLAIN}x\neve@a.example:{PLAIN}x\n\
                     out@a.example:{PLAIN}x::::::nologin=y\n";

fn with_certificate(names: &[&str]) -> Client {
    let names = CertificateNames::for_test(names);
    Client {
        certificate: Some(Arc::new(names)),
        ..client()
    }
}

async fn external(world: &World, names: &[&str], authorization: &str) -> Told {
    let login = world
        .authenticator
        .sasl(with_certificate(names), "EXTERNAL");
    let mut login = login.unwrap();
    let attempt = async {
        let _ = login.step(None).await;
        match say(&mut login, authorization.as_bytes()).await {
            SaslOutcome::Authenticated(authenticated) => Ok(authenticated),
            SaslOutcome::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    };
    world.tell(attempt).await
}

#[tokio::test(start_paused = true)]
async fn r4422_ext_1_the_address_of_the_certificate_opens_its_account() {
    let world = World::passwd(LINES);
    for (names, authorization, account) in [
        (&["tim@a.example"][..], "", "tim@a.example"),
        (&["tim@a.example"], "tim@a.example", "tim@a.example"),
        (&["tim@a.example"], "tim", "tim@a.example"),
        (&["TIM@A.example"], "", "tim@a.example"),
        (&["Eve@a.example"], "", "Eve@a.example"),
        (&["eve@a.example"], "", "eve@a.example"),
        (
            &["x@b.example", "tim@a.example"],
            "tim@a.example",
            "tim@a.example",
        ),
    ] {
        let told = external(&world, names, authorization).await;
        assert!(told.is_for(account), "{names:?} {authorization:?} {told:?}");
        assert!(told.took.is_zero());
    }
}

#[tokio::test(start_paused = true)]
async fn r4422_ext_1_every_doubt_fails_closed_and_alike() {
    let world = World::passwd(LINES);
    let wrong = Told {
        hashes: 0,
        ..Told::wrong()
    };
    for (names, authorization) in [
        // Somebody else's mailbox.
        (&["tim@a.example"][..], "ana@a.example"),
        (&["tim@a.example"], "nobody@a.example"),
        // Which one is not said.
        (&["tim@a.example", "ana@a.example"], ""),
        // Nobody's.
        (&["nobody@a.example"], ""),
        (&["nobody@a.example"], "tim@a.example"),
        (&["tim@b.example"], "tim"),
        // The same name without its domain is somebody else.
        (&["bob@b.example"], ""),
        (&["bob@b.example"], "bob"),
        (&["out@a.example"], ""),
    ] {
        let told = external(&world, names, authorization).await;
        assert_eq!(told, wrong, "{names:?} {authorization:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r4422_ext_1_offered_only_to_who_has_presented_a_certificate() {
    let every = |settings: &mut AuthenticatorSettings| {
        settings.mechanisms = Some(Mechanism::ALL.to_vec());
    };
    for world in [World::passwd(LINES), World::passwd_with(LINES, every)] {
        let has = |client: &Client| {
            let offered = world.authenticator.mechanisms(client);
            offered.contains(&Mechanism::External)
        };
        assert!(has(&with_certificate(&["tim@a.example"])));
        assert!(!has(&client()) && !has(&bound_client()));
        assert!(world.authenticator.sasl(client(), "EXTERNAL").is_err());
    }
    // Nor where the operator has not named it.
    let world = World::passwd_with(LINES, |settings| {
        settings.mechanisms = Some(vec![Mechanism::Plain]);
    });
    let client = with_certificate(&["tim@a.example"]);
    assert!(world.authenticator.sasl(client, "EXTERNAL").is_err());
}
