//! What the operator does in a history.

use std::time::Duration;

use restante_maildrop::{Access, Edit, EditError, Show, Store, TrashSelection};

use super::{DAY, History, name_of, world::World};
use crate::fixture::mailbox;

impl<W: World> History<W> {
    /// Asks for an edit until it is made, through as many deaths as it takes.
    async fn edit(&mut self, edit: Edit) -> Result<usize, EditError> {
        loop {
            let planned = self.plan_crash();
            let edited = self.world.store().edit(&mailbox("me"), edit.clone()).await;
            let died = self.after_crash(planned);
            match edited {
                Ok(edited) => return Ok(edited.count),
                Err(EditError::Temporary(error)) => assert!(died || planned, "{error}"),
                Err(refused) => return Err(refused),
            }
            self.learn_restored(None).await;
        }
    }

    /// What was restored may be back where it is not shown.
    async fn learn_restored(&mut self, only: Option<usize>) -> usize {
        self.world.file_back();
        // So is what other programs had moved there.
        self.look().await;
        self.learn_new(only).await
    }

    pub(super) async fn add(&mut self) {
        let device = self.pick(self.crowd);
        self.end(device).await;
        let show = match self.dice.below(3) {
            0 => Show::All,
            // A clock that was wrong has dated what arrived then.
            1 if !self.jumps => Show::Last(Duration::from_secs(10 * DAY)),
            _ => Show::New,
        };
        let access = match self.dice.below(3) {
            0 => Access::ReadOnly,
            _ => Access::Full,
        };
        let edit = Edit::AddDevice {
            device: name_of(device),
            show,
            access,
        };
        self.tell(format!("add {device} {show:?} {access:?}"));
        let hidden = self.edit(edit).await.unwrap();
        let now = self.now;
        assert_eq!(hidden, self.model.add(device, (show, access), now));
    }

    /// The server ends the sessions of a device whose password it takes away.
    async fn end(&mut self, device: usize) {
        if self.dice.below(4) > 0 {
            self.leave(device).await;
        }
    }

    pub(super) async fn remove(&mut self) {
        let device = self.pick(self.crowd);
        self.end(device).await;
        self.tell(format!("remove {device}"));
        let known = self.model.is_known(device);
        let removed = self
            .edit(Edit::RemoveDevice {
                device: name_of(device),
                policy: self.policy,
            })
            .await;
        // Refused too if it was done by one that died.
        assert!(known || removed.is_err());
        self.model.remove(device);
    }

    pub(super) async fn reset(&mut self) {
        let device = self.pick(self.crowd);
        self.tell(format!("reset {device}"));
        let reset = self.edit(Edit::ResetDevice(name_of(device))).await;
        assert_eq!(reset.is_ok(), self.model.is_known(device));
        self.model.reset(device);
    }

    pub(super) async fn restore(&mut self) {
        let device = self.pick(self.crowd);
        let selection = match self.dice.below(2) {
            0 => TrashSelection::All,
            _ => TrashSelection::DeletedBy(name_of(device)),
        };
        self.tell(format!("restore {device} {selection:?}"));
        if self.dice.below(2) == 0 || !self.model.is_known(device) {
            self.edit(Edit::Restore(selection)).await.unwrap();
            self.learn_restored(None).await;
            return;
        }
        // One that is cut short and asked for again leaves a part to everybody's guess: here it
        // is asked for once.
        self.world.plan_crash(None);
        let edit = Edit::RestoreFor {
            selection,
            device: name_of(device),
        };
        let edited = self.world.store().edit(&mailbox("me"), edit).await.unwrap();
        assert_eq!(self.learn_restored(Some(device)).await, edited.count);
    }

    pub(super) async fn sweep(&mut self) {
        self.tell("sweep".to_owned());
        let swept = self
            .edit(Edit::Sweep(self.policy, self.shown()))
            .await
            .unwrap();
        let busy = self.sessions.iter().any(Option::is_some);
        assert!(!busy || swept == 0, "swept under a session");
    }
}
