//! Logins that name a folder of the account.

use super::*;

const LINES: &str = "tim@a.example:{PLAIN}pencil\ntim+work@a.example:{PLAIN}brush\n\
                     out@a.example:{PLAIN}pencil::::::nologin=y\n";

fn world() -> World {
    World::passwd_with(LINES, |settings| {
        settings.mechanisms = Some(Mechanism::ALL.to_vec());
        settings.apop = true;
    })
}

/// The account and the folder that a login led to.
fn place(login: Result<Authenticated, Refused>) -> Result<(String, Option<String>), Refusal> {
    let login = login.map_err(|refused| refused.why)?;
    let folder = login.folder.map(|folder| folder.as_str().to_owned());
    Ok((login.account, folder))
}

fn at(account: &str, folder: Option<&str>) -> Result<(String, Option<String>), Refusal> {
    Ok((account.to_owned(), folder.map(str::to_owned)))
}

async fn pass(world: &World, name: &str, password: &str) -> Result<Authenticated, Refused> {
    let password = password.as_bytes().to_vec().into();
    let authenticator = &world.authenticator;
    authenticator.password(&client(), name, &password).await
}

#[tokio::test(start_paused = true)]
async fn whoever_names_a_folder_is_led_there() {
    let world = world();
    let junk = at("tim@a.example", Some("Junk"));
    for name in ["tim+Junk", "tim+Junk@a.example", "Tim+Junk@A.example"] {
        assert_eq!(place(pass(&world, name, "pencil").await), junk, "{name}");
    }
    let named = |name, folder| (name, at("tim@a.example", Some(folder)));
    for (name, expected) in [
        named("tim+INBOX", "INBOX"),
        named("tim+Lists.rust", "Lists.rust"),
        named("tim+Entwürfe", "Entw&APw-rfe"),
        ("tim", at("tim@a.example", None)),
    ] {
        assert_eq!(place(pass(&world, name, "pencil").await), expected);
    }
    // Somebody has exactly that name.
    let work = at("tim+work@a.example", None);
    assert_eq!(place(pass(&world, "tim+work", "brush").await), work);
    let refused = Err(Refusal::Credentials);
    assert_eq!(place(pass(&world, "tim+work", "pencil").await), refused);
    let deeper = at("tim+work@a.example", Some("Junk"));
    assert_eq!(place(pass(&world, "tim+work+Junk", "brush").await), deeper);
    for name in ["tim+../x", "tim+", "tim+.x", "nobody+Junk", "out+Junk"] {
        assert_eq!(place(pass(&world, name, "pencil").await), refused, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_mechanism_leads_to_the_folder() {
    let world = world();
    for mechanism in [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::CramMd5,
        Mechanism::ScramSha256,
        Mechanism::ScramSha256Plus,
    ] {
        let credentials = sasl::credentials("tim+Junk", "pencil");
        let login = sasl::exchange(&world, mechanism, credentials, true).await;
        assert_eq!(
            place(login),
            at("tim@a.example", Some("Junk")),
            "{mechanism:?}"
        );
    }
    let digest = Md5::digest("<1@a>pencil");
    let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
    let digest = digest.into_bytes().into();
    let (client, authenticator) = (client(), &world.authenticator);
    let login = authenticator.apop(&client, "tim+Junk", "<1@a>", &digest);
    assert_eq!(place(login.await), at("tim@a.example", Some("Junk")));
}

#[tokio::test(start_paused = true)]
async fn r4422_authz_1_a_folder_is_ones_own_or_nobodys() {
    let world = world();
    let plain = async |message: &str| {
        let mut login = world.authenticator.sasl(client(), "PLAIN").unwrap();
        match login.step(Some(line(message.as_bytes()))).await {
            SaslOutcome::Authenticated(authenticated) => place(Ok(authenticated)),
            SaslOutcome::Refused(refused) => Err(refused.why),
            other => panic!("{other:?}"),
        }
    };
    let junk = at("tim@a.example", Some("Junk"));
    assert_eq!(plain("tim+Junk\0tim\0pencil").await, junk);
    assert_eq!(plain("tim+Junk\0tim+Junk\0pencil").await, junk);
    assert_eq!(plain("tim\0tim+Junk\0pencil").await, junk);
    for other in ["out+Junk\0tim\0pencil", "tim+Spam\0tim+Junk\0pencil"] {
        assert_eq!(plain(other).await, Err(Refusal::Credentials), "{other:?}");
    }
}

// PRJ-SEC-3: there are as many names of folders as an attacker likes.
#[tokio::test(start_paused = true)]
async fn prj_sec_3_all_folders_of_an_account_share_its_failures() {
    let world = world();
    let from = |last: u8| Client::new(IpAddr::from([198, 51, 100, last]));
    let guess = async |last: u8, name: String| {
        let wrong = b"rubber".to_vec().into();
        let refused = world
            .authenticator
            .password(&from(last), &name, &wrong)
            .await;
        refused.unwrap_err().cause
    };
    let mut guesses = tokio::task::JoinSet::new();
    for at in 0..60_u8 {
        let authenticator = Arc::clone(&world.authenticator);
        guesses.spawn(async move {
            let (client, wrong) = (from(at), b"rubber".to_vec().into());
            let name = format!("tim+folder{at}");
            let refused = authenticator.password(&client, &name, &wrong).await;
            matches!(refused.unwrap_err().cause, RefusalCause::Throttled)
        });
    }
    let throttled = guesses.join_all().await;
    assert!(throttled.iter().filter(|throttled| **throttled).count() > 20);
    // Under a name of their own they would all have been let in.
    let other = guess(250, "ana+folder".to_owned()).await;
    assert!(matches!(other, RefusalCause::UnknownUser), "{other:?}");
}

// PRJ-SCRAM-8: a made-up salt is that of the account that there would be.
#[tokio::test(start_paused = true)]
async fn prj_scram_8_folders_of_nobody_look_like_folders_of_somebody() {
    let world = World::builtin();
    for user in ["tim", "nobody"] {
        let parameters = async |name: String| {
            let hash = ScramHash::Sha256;
            let found = world.authenticator.scram_parameters(&name, hash).await;
            found.unwrap()
        };
        let own = parameters(user.to_owned()).await;
        for folder in ["Junk", "a+b", ".."] {
            assert_eq!(
                parameters(format!("{user}+{folder}")).await,
                own,
                "{user} {folder}"
            );
        }
    }
}
