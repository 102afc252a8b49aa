//! What the built-in accounts have of their own, where others have what holds for everybody.

use std::{str::FromStr, time::Duration};

use restante_maildrop::{DeleteMode, Keep, ShownFolders, Span};
use rusqlite::{Row, params};

use super::{Builtin, BuiltinError, require};
use crate::accounts::{Choices, Chosen, Obstacle};

/// A longer delay keeps mail from its owner. It is what the configuration allows at most.
const LOGIN_DELAY_MAX: Duration = Duration::from_secs(60 * 60);

/// What an account chooses anew: `None` leaves a choice as it is, `Some(None)` takes it back.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChangedChoices {
    /// Whose DELE counts.
    pub delete: Option<Option<DeleteMode>>,
    /// When mail leaves.
    pub keep: Option<Option<Keep>>,
    /// What is shown besides INBOX.
    pub folders: Option<Option<ShownFolders>>,
    /// How far back.
    pub show_last: Option<Option<Span>>,
}

impl Builtin {
    /// Changes what an account has chosen for itself. `Ok` means durable.
    ///
    /// # Errors
    /// [`BuiltinError::Unknown`], or a failure.
    pub fn choose(&self, account: &str, changes: ChangedChoices) -> Result<(), BuiltinError> {
        let ChangedChoices {
            delete,
            keep,
            folders,
            show_last,
        } = changes;
        let columns = [
            ("delete_mode", delete.map(text)),
            ("keep", keep.map(text)),
            ("folders", folders.map(text)),
            ("show_last", show_last.map(text)),
        ];
        let mut database = self.lock()?;
        let transaction = database.connection.transaction()?;
        require(&transaction, account)?;
        for (column, change) in columns {
            if let Some(choice) = change {
                let statement = format!("UPDATE account SET {column} = ?2 WHERE name = ?1");
                transaction.execute(&statement, params![account, choice])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Sets how soon after a login the account may be opened again, in whole seconds up to an
    /// hour; `None`: as for everybody. `Ok` means durable.
    ///
    /// # Errors
    /// [`BuiltinError::LoginDelay`], [`BuiltinError::Unknown`], or a failure.
    pub fn set_login_delay(
        &self,
        account: &str,
        delay: Option<Duration>,
    ) -> Result<(), BuiltinError> {
        if delay.is_some_and(|delay| delay > LOGIN_DELAY_MAX || delay.subsec_nanos() != 0) {
            return Err(BuiltinError::LoginDelay);
        }
        let seconds = delay.and_then(|delay| i64::try_from(delay.as_secs()).ok());
        let database = self.lock()?;
        let changed = database.connection.execute(
            "UPDATE account SET login_delay = ?2 WHERE name = ?1",
            params![account, seconds],
        )?;
        match changed {
            0 => Err(BuiltinError::Unknown {
                name: account.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// What accounts have of their own, each once.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn chosen(&self) -> Result<Chosen, BuiltinError> {
        let database = self.lock()?;
        let mut statement = database
            .connection
            .prepare("SELECT DISTINCT keep FROM account WHERE keep IS NOT NULL")?;
        let keeps = statement.query_map([], |row| row.get::<_, String>(0))?;
        let keeps: Vec<String> = keeps.collect::<Result<_, _>>()?;
        let mut statement = database
            .connection
            .prepare("SELECT DISTINCT login_delay FROM account WHERE login_delay IS NOT NULL")?;
        let delays = statement.query_map([], |row| row.get::<_, i64>(0))?;
        let delays: Vec<i64> = delays.collect::<Result<_, _>>()?;
        Ok(Chosen {
            keeps: keeps.iter().flat_map(|keep| keep.parse()).collect(),
            login_delays: delays.into_iter().filter_map(login_delay).collect(),
        })
    }
}

/// The choices in the columns from `first` on; an obstacle if they are damaged: mail must not
/// leave by another rule than the account's.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Result<Choices, Obstacle>> {
    let (delete, keep) = (choice(row.get(first)?), choice(row.get(first + 1)?));
    let seconds = row.get::<_, Option<i64>>(first + 2)?;
    let delay = seconds.map_or(Some(None), |seconds| login_delay(seconds).map(Some));
    let (folders, show_last) = (choice(row.get(first + 3)?), choice(row.get(first + 4)?));
    let choices = delete.zip(keep).zip(delay).zip(folders.zip(show_last));
    let choices = choices.map(
        |(((delete, keep), login_delay), (folders, show_last))| Choices {
            delete,
            keep,
            login_delay,
            folders,
            show_last,
        },
    );
    Ok(choices.ok_or_else(|| Obstacle::new("damaged choice in the account database")))
}

fn text(choice: Option<impl ToString>) -> Option<String> {
    choice.map(|choice| choice.to_string())
}

/// `None` if what stands there is no choice.
fn choice<T: FromStr>(text: Option<String>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => text.parse().ok().map(Some),
    }
}

/// `None` if so many seconds are no delay.
fn login_delay(seconds: i64) -> Option<Duration> {
    let delay = u64::try_from(seconds).ok().map(Duration::from_secs)?;
    (delay <= LOGIN_DELAY_MAX).then_some(delay)
}
