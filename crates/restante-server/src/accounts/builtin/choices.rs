//! What the built-in accounts have chosen for themselves.

use std::str::FromStr;

use restante_maildrop::{DeleteMode, Keep};
use rusqlite::{Row, params};

use super::{Builtin, BuiltinError, require};
use crate::accounts::{Choices, Obstacle};

impl Builtin {
    /// Changes what an account has chosen for itself: `None` leaves a choice as it is,
    /// `Some(None)` takes it back. `Ok` means durable.
    ///
    /// # Errors
    /// [`BuiltinError::Unknown`], or a failure.
    pub fn choose(
        &self,
        account: &str,
        delete: Option<Option<DeleteMode>>,
        keep: Option<Option<Keep>>,
    ) -> Result<(), BuiltinError> {
        let mut database = self.lock()?;
        let transaction = database.connection.transaction()?;
        require(&transaction, account)?;
        if let Some(delete) = delete {
            transaction.execute(
                "UPDATE account SET delete_mode = ?2 WHERE name = ?1",
                params![account, delete.map(|mode| mode.to_string())],
            )?;
        }
        if let Some(keep) = keep {
            transaction.execute(
                "UPDATE account SET keep = ?2 WHERE name = ?1",
                params![account, keep.map(|keep| keep.to_string())],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Every `keep` that an account has chosen for itself, each once.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn keeps(&self) -> Result<Vec<Keep>, BuiltinError> {
        let database = self.lock()?;
        let mut statement = database
            .connection
            .prepare("SELECT DISTINCT keep FROM account WHERE keep IS NOT NULL")?;
        let mut rows = statement.query([])?;
        let mut keeps = Vec::new();
        while let Some(row) = rows.next()? {
            keeps.extend(row.get::<_, String>(0)?.parse::<Keep>());
        }
        Ok(keeps)
    }
}

/// The choices in the columns from `first` on; an obstacle if they are damaged: mail must not
/// leave by another rule than the account's.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Result<Choices, Obstacle>> {
    let (delete, keep) = (choice(row.get(first)?), choice(row.get(first + 1)?));
    let choices = delete
        .zip(keep)
        .map(|(delete, keep)| Choices { delete, keep });
    Ok(choices.ok_or_else(|| Obstacle::new("damaged choice in the account database")))
}

/// `None` if what stands there is no choice.
fn choice<T: FromStr>(text: Option<String>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => text.parse().ok().map(Some),
    }
}
