//! Logins with a device's password, beside the account's own.

use super::*;

const PHONE: &str = "2345-6789-abcd-efgh-ijkm";
const LAPTOP: &str = "nopq-rstu-vwxy-z234-5678";

/// `tim`, whose password is `pencil`, with two devices.
fn world() -> (World, Arc<Builtin>) {
    let directory = tempfile::tempdir().unwrap();
    let builtin = Builtin::open(&directory.path().join("accounts.sqlite")).unwrap();
    builtin.add("tim", &"pencil".into()).unwrap();
    for (name, password) in [("phone", PHONE), ("laptop", LAPTOP)] {
        builtin
            .add_device("tim", name, false, &password.into())
            .unwrap();
    }
    let builtin = Arc::new(builtin);
    let accounts = Directory::Builtin(Arc::clone(&builtin));
    (World::over(directory, accounts, |_| {}), builtin)
}

async fn pass(world: &World, password: &str) -> Result<Authenticated, Refused> {
    let password = password.as_bytes().to_vec().into();
    world
        .authenticator
        .password(&client(), "tim", &password)
        .await
}

async fn scram(world: &World, password: &str) -> Result<Authenticated, Refused> {
    let credentials = sasl::credentials("tim", password);
    sasl::exchange(world, Mechanism::ScramSha256, credentials, true).await
}

#[tokio::test(start_paused = true)]
async fn each_password_opens_the_view_of_its_own_device() {
    let (world, builtin) = world();
    for (password, device) in [
        ("pencil", None),
        (PHONE, Some("phone")),
        (LAPTOP, Some("laptop")),
    ] {
        let expected = device.map(|name| builtin.device("tim", name).unwrap());
        for login in [pass(&world, password).await, scram(&world, password).await] {
            let login = login.unwrap();
            assert_eq!(login.account, "tim");
            assert_eq!(login.credential, device.unwrap_or("default"));
            assert_eq!(login.device.as_deref(), expected.as_ref());
        }
    }
}

/// Nobody waits for a slow hash whose password cannot be guessed, and a failure costs one hash as
/// ever.
#[tokio::test(start_paused = true)]
async fn a_devices_password_costs_no_slow_hash_and_a_wrong_one_costs_one() {
    let (world, _) = world();
    assert_eq!(world.password("tim", PHONE).await.hashes, 0);
    assert_eq!(world.password("tim", "pencil").await.hashes, 1);
    assert_eq!(
        world.password("tim", "pencil").await.hashes,
        0,
        "known by now"
    );
    assert_eq!(world.password("tim", LAPTOP).await.hashes, 0);
    assert_eq!(
        world.password("tim", "pencil").await.hashes,
        0,
        "still known"
    );
    assert_eq!(world.password("tim", "rubber").await, Told::wrong());
}

#[tokio::test(start_paused = true)]
async fn what_a_removed_device_has_opened_holds_no_longer() {
    let (world, builtin) = world();
    let (phone, laptop) = (
        pass(&world, PHONE).await.unwrap(),
        pass(&world, LAPTOP).await.unwrap(),
    );
    let own = pass(&world, "pencil").await.unwrap();
    builtin.remove_device("tim", "phone").unwrap();
    let current = world.authenticator.current("tim").await.unwrap();
    let holds = |login: &Authenticated| login.holds(current.as_ref(), client().address);
    assert!(!holds(&phone) && holds(&laptop) && holds(&own));
    for refused in [pass(&world, PHONE).await, scram(&world, PHONE).await] {
        assert_eq!(refused.unwrap_err().why, Refusal::Credentials);
    }
    // Another device of that name has another password, and another view.
    let again = builtin
        .add_device("tim", "phone", false, &PHONE.into())
        .unwrap();
    let current = world.authenticator.current("tim").await.unwrap();
    assert!(!phone.holds(current.as_ref(), client().address));
    let login = pass(&world, PHONE).await.unwrap();
    assert_eq!(login.device.as_deref(), Some(&again));
}
