//! Where a login leads that was verified: to the account's own mailbox, and the folder that it
//! names, if it names one.

use restante_maildrop::{FolderName, MailboxId};

use super::{Account, Authenticator, Client, RefusalCause};

/// Where a login leads.
pub(super) struct Permitted {
    pub(super) mailbox: MailboxId,
    /// The folder that was named.
    pub(super) folder: Option<FolderName>,
}

impl Authenticator {
    /// As `find`, with the folder that the name ends with.
    pub(super) async fn find_login(
        &self,
        name: &str,
    ) -> Result<(Account, Option<FolderName>), RefusalCause> {
        let found = self.directory.find_login(name, &self.settings.names).await;
        found
            .map_err(RefusalCause::Directory)?
            .ok_or(RefusalCause::UnknownUser)
    }

    /// The password, proof, token or certificate was right. Is the login allowed, and does it lead
    /// anywhere?
    pub(super) fn permit(
        &self,
        client: &Client,
        account: &Account,
        (folder, authorization): (Option<FolderName>, Option<&str>),
    ) -> Result<Permitted, RefusalCause> {
        // R4422-AUTHZ-1: nobody acts for anybody else.
        let wanted = match authorization.map(|identity| self.oneself(identity, account)) {
            Some(None) => return Err(RefusalCause::AuthorizationIdentity),
            Some(Some(wanted)) => wanted,
            None => None,
        };
        let folder = match (folder, wanted) {
            (Some(named), Some(wanted)) if named != wanted => {
                return Err(RefusalCause::AuthorizationIdentity);
            }
            (named, wanted) => named.or(wanted),
        };
        if !account.access.permits(client.address) {
            return Err(RefusalCause::NotPermitted);
        }
        if let Some(obstacle) = &account.access.obstacle {
            return Err(RefusalCause::Obstacle(obstacle.clone()));
        }
        let mailbox = account.mailbox.clone().map_err(RefusalCause::Obstacle)?;
        Ok(Permitted { mailbox, folder })
    }

    /// The folder that the identity names, if it is the account's; `None` if it is not.
    fn oneself(&self, identity: &str, account: &Account) -> Option<Option<FolderName>> {
        let names = &self.settings.names;
        let is_account = |name: &str| names.candidates(name).contains(&account.name);
        if is_account(identity) {
            return Some(None);
        }
        let readings = names.folders(identity).into_iter();
        let mut readings = readings.filter(|(user, _)| is_account(user));
        readings.next().map(|(_, folder)| Some(folder))
    }
}
