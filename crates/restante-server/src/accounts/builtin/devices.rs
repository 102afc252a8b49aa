//! The devices of the built-in accounts.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use secrecy::SecretString;

use super::{Builtin, BuiltinError, moment, now, require, stored::Origin};
use crate::accounts::device::{self, Device};

/// The columns that [`read`] takes.
const COLUMNS: &str = "name, added, read_only";

impl Builtin {
    /// Adds a device. `password` must be a generated one, with at least 100 random bits: it is
    /// kept in a form that is fast to verify. `Ok` means durable. Slow: it derives keys.
    ///
    /// # Errors
    /// [`BuiltinError::Unknown`], [`BuiltinError::DeviceExists`], [`BuiltinError::DeviceName`],
    /// [`BuiltinError::Password`], or a failure.
    pub fn add_device(
        &self,
        account: &str,
        name: &str,
        read_only: bool,
        password: &SecretString,
    ) -> Result<Device, BuiltinError> {
        if !device::is_possible(name) {
            return Err(BuiltinError::DeviceName { name: name.into() });
        }
        let device = Device {
            name: name.to_owned(),
            added: moment(now()),
            read_only,
        };
        self.store_password(
            account,
            name,
            password,
            Origin::Generated,
            |transaction, stored| {
                require(transaction, account)?;
                if find(transaction, account, name)?.is_some() {
                    return Err(BuiltinError::DeviceExists {
                        account: account.to_owned(),
                        name: name.to_owned(),
                    });
                }
                stored.put(transaction, account, name)?;
                insert(transaction, account, &device)
            },
        )?;
        Ok(device)
    }

    /// Removes a device and its password. `Ok` means durable.
    ///
    /// # Errors
    /// [`BuiltinError::UnknownDevice`], or a failure.
    pub fn remove_device(&self, account: &str, name: &str) -> Result<Device, BuiltinError> {
        let mut database = self.lock()?;
        let transaction = database.connection.transaction()?;
        let device = find(&transaction, account, name)?.ok_or_else(|| unknown(account, name))?;
        transaction.execute(
            "DELETE FROM credential WHERE account = ?1 AND name = ?2",
            [account, name],
        )?;
        transaction.commit()?;
        Ok(device)
    }

    /// The device of that name.
    ///
    /// # Errors
    /// [`BuiltinError::UnknownDevice`], or a failure.
    pub fn device(&self, account: &str, name: &str) -> Result<Device, BuiltinError> {
        let database = self.lock()?;
        find(&database.connection, account, name)?.ok_or_else(|| unknown(account, name))
    }

    /// The devices of an account, sorted by name; none if there is no such account.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn devices(&self, account: &str) -> Result<Vec<Device>, BuiltinError> {
        let database = self.lock()?;
        let query = format!("SELECT {COLUMNS} FROM device WHERE account = ?1 ORDER BY name");
        let mut statement = database.connection.prepare(&query)?;
        let mut rows = statement.query([account])?;
        let mut devices = Vec::new();
        while let Some(row) = rows.next()? {
            devices.extend(read(row, 0)?);
        }
        Ok(devices)
    }
}

/// The device in the columns from `first` on; `None` if they are NULL.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Device>> {
    let Some(name) = row.get::<_, Option<String>>(first)? else {
        return Ok(None);
    };
    Ok(Some(Device {
        name,
        added: moment(row.get(first + 1)?),
        read_only: row.get(first + 2)?,
    }))
}

fn find(
    connection: &rusqlite::Connection,
    account: &str,
    name: &str,
) -> rusqlite::Result<Option<Device>> {
    let query = format!("SELECT {COLUMNS} FROM device WHERE account = ?1 AND name = ?2");
    let found = connection
        .query_row(&query, [account, name], |row| read(row, 0))
        .optional()?;
    Ok(found.flatten())
}

fn insert(
    transaction: &Transaction<'_>,
    account: &str,
    device: &Device,
) -> Result<(), BuiltinError> {
    transaction.execute(
        "INSERT INTO device (account, name, added, read_only) VALUES (?1, ?2, ?3, ?4)",
        params![
            account,
            device.name,
            i64::try_from(device.added).unwrap_or(i64::MAX),
            device.read_only,
        ],
    )?;
    Ok(())
}

fn unknown(account: &str, name: &str) -> BuiltinError {
    BuiltinError::UnknownDevice {
        account: account.to_owned(),
        name: name.to_owned(),
    }
}
