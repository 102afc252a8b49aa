//! Devices in the database.

use super::*;
use crate::accounts::Device;

const PASSWORD: &str = "abcd-efgh-2345-6789-jkmn";

fn add(builtin: &Builtin, name: &str) -> Result<Device, BuiltinError> {
    builtin.add_device("tim", name, false, &PASSWORD.into())
}

fn credentials(builtin: &Builtin) -> Vec<Credential> {
    builtin
        .look_up("tim")
        .unwrap()
        .unwrap()
        .credentials
        .unwrap()
}

#[test]
fn devices_come_and_go_beside_the_accounts_own_password() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    builtin.add("tim", &"pencil".into()).unwrap();
    let before = now().unsigned_abs();
    let phone = builtin
        .add_device("tim", "phone", true, &PASSWORD.into())
        .unwrap();
    assert!((before..before + 60).contains(&phone.added));
    assert!(phone.read_only);
    assert_eq!(
        builtin.devices("tim").unwrap(),
        std::slice::from_ref(&phone)
    );
    assert_eq!(builtin.device("tim", "phone").unwrap(), phone);
    assert!(opens(builtin, "tim", "pencil") && opens(builtin, "tim", PASSWORD));

    let credentials = credentials(builtin);
    let devices = credentials.iter().map(|credential| credential.device());
    let devices: Vec<_> = devices
        .map(|device| device.map(|device| &**device))
        .collect();
    assert_eq!(devices, [None, Some(&phone)]);
    assert_eq!(builtin.list().unwrap()[0].credentials, ["default", "phone"]);
    let connection = Connection::open(disk.directory.path().join("accounts.sqlite")).unwrap();
    let older = "UPDATE credential SET changed = 1 WHERE name = 'default'";
    connection.execute_batch(older).unwrap();
    assert_eq!(
        builtin.list().unwrap()[0].changed,
        1,
        "the account's own password"
    );

    assert_eq!(builtin.remove_device("tim", "phone").unwrap(), phone);
    assert!(opens(builtin, "tim", "pencil") && !opens(builtin, "tim", PASSWORD));
    assert_eq!(builtin.devices("tim").unwrap(), []);
    let error = builtin.remove_device("tim", "phone").unwrap_err();
    assert!(
        matches!(error, BuiltinError::UnknownDevice { .. }),
        "{error:?}"
    );
}

#[test]
fn a_device_of_the_same_name_or_of_nobody_is_refused_and_changes_nothing() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    builtin.add("tim", &"pencil".into()).unwrap();
    let phone = add(builtin, "phone").unwrap();
    let again = builtin.add_device("tim", "phone", true, &"x".into());
    assert!(
        matches!(again, Err(BuiltinError::DeviceExists { .. })),
        "{again:?}"
    );
    assert!(opens(builtin, "tim", PASSWORD) && !opens(builtin, "tim", "x"));
    assert_eq!(builtin.device("tim", "phone").unwrap(), phone);
    for name in ["default", "", "a\nb"] {
        let error = add(builtin, name);
        assert!(
            matches!(error, Err(BuiltinError::DeviceName { .. })),
            "{error:?}"
        );
    }
    assert!(opens(builtin, "tim", "pencil"));
    let nobody = builtin.add_device("tom", "phone", false, &PASSWORD.into());
    assert!(
        matches!(nobody, Err(BuiltinError::Unknown { .. })),
        "{nobody:?}"
    );
}

/// A client is told one salt before anybody knows whose password it has.
#[test]
fn all_credentials_of_an_account_share_what_scram_tells_clients() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    let shapes = |builtin: &Builtin| {
        let keys = credentials(builtin);
        let keys = keys.iter().map(|credential| {
            let keys = credential.scram_keys(ScramHash::Sha256).unwrap();
            keys.parameters().clone()
        });
        keys.collect::<Vec<_>>()
    };
    builtin.add("tim", &"pencil".into()).unwrap();
    add(builtin, "phone").unwrap();
    add(builtin, "laptop").unwrap();
    let before = shapes(builtin);
    assert!(before.len() == 3 && before.iter().all(|shape| *shape == before[0]));
    builtin.set_password("tim", &"rubber".into()).unwrap();
    assert_eq!(shapes(builtin), before);
    for credential in credentials(builtin) {
        let keys = credential.scram_keys(ScramHash::Sha256).unwrap();
        let own = if credential.device().is_some() {
            PASSWORD
        } else {
            "rubber"
        };
        assert!(
            keys.verify_password(own.as_bytes()),
            "{}",
            credential.name()
        );
    }
}

#[test]
fn changing_the_password_leaves_devices_as_they_are() {
    let disk = on_disk();
    let builtin = &disk.builtin;
    builtin.add("tim", &"pencil".into()).unwrap();
    let phone = add(builtin, "phone").unwrap();
    let revision = |name: &str| {
        let credentials = credentials(builtin);
        let credential = credentials
            .iter()
            .find(|credential| credential.name() == name);
        credential.unwrap().revision()
    };
    let before = (revision("default"), revision("phone"));
    builtin.set_password("tim", &"rubber".into()).unwrap();
    assert_ne!(revision("default"), before.0);
    assert_eq!(revision("phone"), before.1);
    assert_eq!(builtin.devices("tim").unwrap(), [phone]);
    builtin.remove("tim").unwrap();
    builtin.add("tim", &"pencil".into()).unwrap();
    assert_eq!(builtin.devices("tim").unwrap(), []);
}

#[test]
fn no_device_password_is_in_the_file_and_verifying_is_fast() {
    let OnDisk { directory, builtin } = on_disk();
    builtin.add("tim", &"pencil".into()).unwrap();
    add(&builtin, "phone").unwrap();
    let octets = fs::read(directory.path().join("accounts.sqlite")).unwrap();
    let holds = |text: &[u8]| octets.windows(text.len()).any(|window| window == text);
    assert!(!holds(PASSWORD.as_bytes()) && holds(b"{SSHA256}"));
    let slow = credentials(&builtin);
    let slow: Vec<_> = slow.iter().map(|one| one.verifier.is_slow()).collect();
    assert_eq!(slow, [true, false]);
}

#[test]
fn a_device_whose_row_is_lost_opens_nothing() {
    let OnDisk { directory, builtin } = on_disk();
    let connection = Connection::open(directory.path().join("accounts.sqlite")).unwrap();
    builtin.add("tim", &"pencil".into()).unwrap();
    add(&builtin, "phone").unwrap();
    connection.execute_batch("DELETE FROM device").unwrap();
    let account = builtin.look_up("tim").unwrap().unwrap();
    assert!(account.credentials.is_err());
}
