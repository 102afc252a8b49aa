//! What became of messages, and what follows from it.

use super::{Tally, Work};
use crate::{
    chain::{Ended, Feed, Feeder, Outcome, Tag, lock, unix_now},
    event::Event,
    plan::Larger,
    state::{Deletion, EntryId, Record},
    trouble::Trouble,
};

impl Work {
    /// Waits for the chain.
    pub(crate) async fn await_outcome(&mut self) -> Result<(), Trouble> {
        let outcome = self.outcomes.recv().await;
        self.take_outcome(outcome).await
    }

    pub(super) async fn try_outcomes(&mut self) -> Result<(), Trouble> {
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.take_outcome(Some(outcome)).await?;
        }
        Ok(())
    }

    /// Something has become of a message.
    pub(crate) async fn take_outcome(&mut self, outcome: Option<Outcome>) -> Result<(), Trouble> {
        let outcome = outcome.ok_or(Ended)?;
        if let Outcome::Stopped(trouble) = outcome {
            return Err(trouble);
        }
        self.in_chain = self.in_chain.saturating_sub(1);
        match outcome {
            Outcome::Here { tag, entry, octets } => {
                self.tally.report.arrived += 1;
                self.tally.report.octets += octets;
                let named = self.tasks.get(tag).map(|task| &task.named);
                let unique_id = named.and_then(|named| named.unique_id.as_deref());
                self.say(Event::Arrived { unique_id, octets });
                let now = unix_now();
                if self.policy.is_due(now, now) {
                    self.deletions.push_back((tag, entry));
                }
                self.tell(self.other_top(tag, entry).into_iter().collect())
                    .await;
            }
            Outcome::HeaderHere { tag } => {
                if let Some(task) = self.tasks.get(tag).cloned() {
                    self.say_too_large(&task.named, self.policy.larger == Larger::Headers);
                }
            }
            Outcome::Known { tag, entry } => self.known(tag, entry).await,
            Outcome::Another { tag } => {
                if let Some(mut task) = self.tasks.get(tag).cloned() {
                    task.entry = None;
                    self.retrieve_later(task);
                }
            }
            Outcome::Failed { tag, why } => self.failed(tag, &why),
            Outcome::Stopped(_) => {}
        }
        Ok(())
    }

    fn failed(&mut self, tag: Tag, why: &str) {
        let Some(named) = self.tasks.get(tag).map(|task| task.named.clone()) else {
            return;
        };
        let unique_id = named.unique_id.as_deref();
        self.say(Event::NotCollected { unique_id, why });
        self.tally.failed.push(named);
    }

    /// A message is here already. It goes if it is due.
    pub(super) async fn known(&mut self, tag: Tag, id: EntryId) {
        self.tally.report.known += 1;
        let Some(task) = self.tasks.get(tag) else {
            return;
        };
        let (renamed, due, wanted) = {
            let state = lock(&self.state);
            let Some(entry) = state.seen().entry(id) else {
                return;
            };
            let due = self.policy.is_to_go(entry, unix_now());
            let wanted = entry.deletion >= Deletion::Wanted;
            (entry.named != task.named, due, wanted)
        };
        let mut told = Vec::from_iter(self.other_top(tag, id));
        if renamed {
            told.push(Record::As(id, task.named.clone()));
        }
        if due {
            if !wanted {
                told.push(Record::Deletion(Deletion::Wanted, vec![id]));
            }
            self.deletions.push_back((tag, id));
        }
        self.tell(told).await;
    }

    /// The server refuses DELE. That is said once, and it is asked again from time to time.
    pub(super) async fn not_deleted(&mut self, tag: Tag, id: EntryId, why: &str) {
        let refused_before = {
            let state = lock(&self.state);
            let entry = state.seen().entry(id);
            entry.is_some_and(|entry| entry.refused.is_some())
        };
        if !refused_before {
            let named = self.tasks.get(tag).map(|task| &task.named);
            let unique_id = named.and_then(|named| named.unique_id.as_deref());
            self.say(Event::NotDeleted { unique_id, why });
        }
        self.tell(vec![Record::Refused(unix_now(), vec![id])]).await;
    }

    /// Something for the state, if there is anything. Nobody depends on it in this session.
    async fn tell(&self, records: Vec<Record>) {
        if !records.is_empty() {
            let _ = self.feeder.give(Feed::Told(records)).await;
        }
    }

    /// That TOP sends another header of this message than RETR does: the next time it need not be
    /// fetched to know who it is. Only a header that tells it from others says so.
    fn other_top(&self, tag: Tag, id: EntryId) -> Option<Record> {
        let top = self.tasks.get(tag)?.top?;
        let state = lock(&self.state);
        let entry = state.seen().entry(id)?;
        let known = entry.fingerprint?;
        let distinct = top.steady.is_some() && top.steady == known.steady;
        let is_new = top.header != known.header && entry.top != Some(top.header);
        (distinct && is_new).then_some(Record::Top(id, top.header))
    }

    /// Ends the feed. What is whole is made safe all the same, and counted.
    pub(crate) async fn end(mut self) -> Tally {
        let (closed, _) = Feeder::new();
        self.feeder = closed;
        while let Some(outcome) = self.outcomes.recv().await {
            match outcome {
                Outcome::Stopped(trouble) => self.tally.stopped = Some(trouble),
                // Nobody can be told of it any more.
                outcome => drop(self.take_outcome(Some(outcome)).await),
            }
        }
        self.tally
    }
}
