//! What is to be done in a session, what was asked, and what became of it.

mod outcome;
mod unanswered;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use restante_client::{
    Answer, Error, Keyword, Message, MessageNumber, Octets, Pipeline, SessionError, StatusLine,
    Success,
};
use tokio::sync::mpsc::UnboundedReceiver;

use self::unanswered::{Asked, Unanswered};
use crate::{
    chain::{Begin, Break, Ended, Feed, Feeder, Kind, Outcome, SharedState, Tag, lock, unix_now},
    claims::Claims,
    event::{Event, Listener},
    fingerprint::{Fingerprint, Fingerprinter},
    plan::{Deed, Plan, Policy, Step, Suspects, waits_aside},
    report::Report,
    state::{Deletion, Entry, EntryId, Named, Record, Standing},
    trouble::{Causes, Consequence, Trouble},
};

/// Room in the pipeline that is left for DELE.
const ROOM_RESERVED: usize = 1024;
/// So many messages and headers are asked for and have not come at most. Commands that delete what
/// is safe are not counted: they would take the places of later mail, and the line would be idle.
const BRINGING_MAX: usize = 512;

/// A session's work.
pub(crate) struct Work {
    pub(crate) feeder: Feeder,
    pub(crate) outcomes: UnboundedReceiver<Outcome>,
    claims: Arc<Mutex<Claims>>,
    state: SharedState,
    policy: Policy,
    account: String,
    listener: Arc<dyn Listener>,
    prefix: Option<Bytes>,
    tasks: Vec<Task>,
    /// Tasks for RETR that wait for nothing, for TOP, for RETR behind that, and messages for DELE,
    /// in their order.
    fresh: VecDeque<Tag>,
    tops: VecDeque<Tag>,
    retrievals: VecDeque<Tag>,
    deletions: VecDeque<(Tag, EntryId)>,
    /// A server broke down at TOP before: the messages themselves are asked for.
    without_top: bool,
    /// The answer to a TOP is coming.
    in_top: bool,
    unanswered: Unanswered,
    /// Messages in the chain whose outcome is not known.
    in_chain: usize,
    /// The chain was told to make all of these safe.
    is_flushed: bool,
    /// DELE was answered with `+OK`.
    marked: Vec<EntryId>,
    has_quit: bool,
    pub(crate) tally: Tally,
}

/// What a session has done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) report: Report,
    /// Messages that were tried and did not arrive; each was told of.
    pub(crate) failed: Vec<Named>,
    /// The line broke when the server had TOP to answer.
    pub(crate) broke_at_top: bool,
    /// Nothing more can arrive.
    pub(crate) stopped: Option<Trouble>,
}

/// One message of the session.
#[derive(Clone, Debug)]
struct Task {
    number: MessageNumber,
    named: Named,
    suspects: Suspects,
    entry: Option<EntryId>,
    kind: Kind,
    /// What TOP has sent of it.
    top: Option<Fingerprint>,
}

impl Work {
    pub(crate) fn new(
        (account, policy, prefix): (&str, Policy, Option<Bytes>),
        (state, claims): (SharedState, Arc<Mutex<Claims>>),
        (feeder, outcomes): (Feeder, UnboundedReceiver<Outcome>),
        listener: Arc<dyn Listener>,
    ) -> Self {
        Self {
            feeder,
            outcomes,
            claims,
            state,
            policy,
            account: account.into(),
            listener,
            prefix,
            tasks: Vec::new(),
            fresh: VecDeque::new(),
            tops: VecDeque::new(),
            without_top: false,
            in_top: false,
            retrievals: VecDeque::new(),
            deletions: VecDeque::new(),
            unanswered: Unanswered::default(),
            in_chain: 0,
            is_flushed: false,
            marked: Vec::new(),
            has_quit: false,
            tally: Tally::default(),
        }
    }

    /// Asks for no header in this session.
    pub(crate) fn avoid_top(&mut self) {
        self.without_top = true;
    }

    /// Whether it is TOP that the server has not answered to its end.
    pub(crate) fn is_at_top(&self) -> bool {
        let oldest = self.unanswered.oldest();
        self.in_top || matches!(oldest, Some(Asked::Top(_) | Asked::Header(_)))
    }

    /// Takes a plan; what needs no command is done.
    pub(crate) async fn begin(&mut self, plan: &Plan) -> Result<(), Trouble> {
        let told = [
            Record::Absent(unix_now(), plan.absent.clone()),
            Record::Present(plan.present.clone()),
            Record::Deletion(Deletion::Gone, plan.gone.clone()),
            Record::Forget(plan.forget.clone()),
        ];
        self.feeder.give(Feed::Told(told.into())).await?;
        for step in &plan.steps {
            self.plan_step(step).await?;
        }
        Ok(())
    }

    async fn plan_step(&mut self, step: &Step) -> Result<(), Trouble> {
        let mut task = Task {
            number: step.number,
            named: step.named.clone(),
            suspects: Suspects::Nobody,
            entry: None,
            kind: Kind::Whole,
            top: None,
        };
        match &step.deed {
            Deed::Leave { .. } => return Ok(()),
            Deed::TooLarge => return self.too_large(&task).await,
            Deed::Retrieve { suspects, entry } => {
                (task.suspects, task.entry) = (suspects.clone(), *entry);
                if task.suspects == Suspects::Nobody && !self.is_aside(*entry) {
                    self.fresh.push_back(self.tasks.len());
                    self.tasks.push(task);
                } else {
                    self.retrieve_later(task);
                }
            }
            Deed::Identify { suspects } => {
                task.suspects = suspects.clone();
                self.identify_later(task);
            }
            Deed::Check { entry } => {
                task.suspects = Suspects::These([*entry].into());
                self.identify_later(task);
            }
            Deed::Header { entry } => {
                (task.kind, task.entry) = (Kind::Header, *entry);
                self.retrieve_later(task);
            }
        }
        Ok(())
    }

    async fn too_large(&mut self, task: &Task) -> Result<(), Trouble> {
        let record = Record::Large {
            id: lock(&self.state).fresh(),
            named: task.named.clone(),
            seconds: unix_now(),
            headers: false,
        };
        self.say_too_large(&task.named, false);
        Ok(self.feeder.give(Feed::Told(vec![record])).await?)
    }

    fn say_too_large(&mut self, named: &Named, headers: bool) {
        self.tally.report.too_large += 1;
        let unique_id = named.unique_id.as_deref();
        let octets = named.announced.unwrap_or_default();
        self.say(Event::TooLarge {
            unique_id,
            octets,
            headers,
        });
    }

    fn say(&self, event: Event<'_>) {
        self.listener.hear(&self.account, event);
    }

    fn is_aside(&self, entry: Option<EntryId>) -> bool {
        let state = lock(&self.state);
        let entry = entry.and_then(|id| state.seen().entry(id));
        entry.is_some_and(|entry| matches!(entry.standing, Standing::Aside { .. }))
    }

    fn identify_later(&mut self, task: Task) {
        match self.without_top {
            true => self.retrieve_later(task),
            false => {
                self.tops.push_back(self.tasks.len());
                self.tasks.push(task);
            }
        }
    }

    fn retrieve_later(&mut self, task: Task) {
        self.retrievals.push_back(self.tasks.len());
        self.tasks.push(task);
    }

    /// Whether nothing is due from the server.
    pub(crate) fn is_answered(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Whether QUIT was answered: everything before it was, too.
    pub(crate) fn has_quit(&self) -> bool {
        self.has_quit
    }

    /// Whether no more mail comes, but for what the chain finds to be another message.
    fn has_brought_all(&self) -> bool {
        self.unanswered.bringing() == 0
            && self.fresh.is_empty()
            && self.tops.is_empty()
            && self.retrievals.is_empty()
    }

    /// Whether nothing is left but answers to DELE. Whatever is marked is safe.
    fn may_quit(&self) -> bool {
        self.has_brought_all()
            && self.in_chain == 0
            && self.deletions.is_empty()
            && !self.unanswered.ends()
    }

    /// Lets the chain make safe what it holds as soon as no more mail comes: answers to DELE may
    /// still be due, and need not be waited for.
    pub(crate) async fn flush_at_last(&mut self) -> Result<(), Trouble> {
        if self.in_chain > 0 && !self.is_flushed && self.has_brought_all() {
            self.is_flushed = true;
            self.feeder.give(Feed::Flush).await?;
        }
        Ok(())
    }

    /// Gives the next command; `false`: there is none, or no room.
    pub(crate) async fn ask(&mut self, pipeline: &mut Pipeline<'_>) -> Result<bool, Trouble> {
        if pipeline.room() == 0 {
            return Ok(false);
        }
        if let Some((tag, entry)) = self.deletions.pop_front() {
            if let Some(task) = self.tasks.get(tag) {
                pipeline.delete(task.number)?;
                self.unanswered.push(Asked::Delete(tag, entry));
            }
            return Ok(true);
        }
        if self.may_quit() && !self.has_quit {
            pipeline.quit()?;
            self.unanswered.push(Asked::Quit);
            return Ok(true);
        }
        if pipeline.room() <= ROOM_RESERVED || self.unanswered.bringing() >= BRINGING_MAX {
            return Ok(false);
        }
        if let Some(tag) = self.fresh.pop_front() {
            return self.ask_for(tag, pipeline).await;
        }
        if let Some(tag) = self.tops.pop_front() {
            let Some(task) = self.tasks.get(tag) else {
                return Ok(true);
            };
            match pipeline.top(task.number, 0) {
                Ok(()) => self.unanswered.push(Asked::Top(tag)),
                // It knows no TOP, and says so: the message tells who it is.
                Err(error) if !error.connection_lost() => self.retrievals.push_back(tag),
                Err(error) => return Err(error.into()),
            }
            return Ok(true);
        }
        // What a header tells may spare a message.
        if self.unanswered.identify() {
            return Ok(false);
        }
        let Some(tag) = self.retrievals.pop_front() else {
            return Ok(false);
        };
        self.ask_for(tag, pipeline).await
    }

    /// Asks for a message, or for the header that stands in for it.
    async fn ask_for(&mut self, tag: Tag, pipeline: &mut Pipeline<'_>) -> Result<bool, Trouble> {
        let Some(task) = self.tasks.get(tag) else {
            return Ok(true);
        };
        if task.kind == Kind::Header && self.without_top {
            self.leave_without_header(tag).await?;
            return Ok(true);
        }
        if task.kind == Kind::Header {
            match pipeline.top(task.number, 0) {
                Ok(()) => self.unanswered.push(Asked::Header(tag)),
                Err(error) if !error.connection_lost() => self.leave_without_header(tag).await?,
                Err(error) => return Err(error.into()),
            }
            return Ok(true);
        }
        pipeline.retrieve(task.number, task.named.announced.map(Octets))?;
        self.unanswered.push(Asked::Retrieve(tag));
        Ok(true)
    }

    /// The server does not give headers: the message is left, as without them. Where that was said
    /// before, it is not said again (PRJ-FETCH-7).
    async fn leave_without_header(&mut self, tag: Tag) -> Result<(), Trouble> {
        match self.tasks.get(tag).cloned() {
            Some(task) if task.entry.is_none() => self.too_large(&task).await,
            _ => Ok(()),
        }
    }

    /// A message begins, which was asked for.
    pub(crate) async fn message(&mut self, message: Message<'_>) -> Result<(), Trouble> {
        let asked = self.unanswered.pop();
        self.in_top = matches!(asked, Some(Asked::Top(_) | Asked::Header(_)));
        self.take_message(asked, message).await?;
        self.in_top = false;
        Ok(())
    }

    async fn take_message(
        &mut self,
        asked: Option<Asked>,
        mut message: Message<'_>,
    ) -> Result<(), Trouble> {
        match asked {
            Some(Asked::Top(tag)) => {
                let mut fingerprinter = Fingerprinter::default();
                loop {
                    match message.next().await {
                        Ok(Some(octets)) => fingerprinter.push(&octets),
                        Ok(None) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                self.identify(tag, fingerprinter).await;
                Ok(())
            }
            Some(Asked::Retrieve(tag) | Asked::Header(tag)) => {
                match self.stream(tag, &mut message).await {
                    Err(trouble @ Trouble::Server(_)) => {
                        let why = Causes(&trouble).to_string();
                        let line = trouble.consequence() == Consequence::Later;
                        let why = match line {
                            true => Break::Line(why),
                            false => Break::Message(why),
                        };
                        self.broken(why).await;
                        Err(trouble)
                    }
                    streamed => streamed,
                }
            }
            _ => Err(self.out_of_step()),
        }
    }

    /// Octets of a message go into the chain as they come.
    async fn stream(&mut self, tag: Tag, message: &mut Message<'_>) -> Result<(), Trouble> {
        let Some(begin) = self.begin_of(tag) else {
            return Err(self.out_of_step());
        };
        let (kind, announced) = (begin.kind, begin.named.announced);
        let unique_id = begin.named.unique_id.clone();
        self.feeder.give(Feed::Begin(Box::new(begin))).await?;
        while let Some(octets) = message.next().await? {
            let count = octets.len() as u64;
            self.say(Event::Received { octets: count });
            self.feeder.data(octets).await?;
            self.try_outcomes().await?;
        }
        let octets = message.octets().0;
        if kind == Kind::Header {
            let note = note(announced);
            self.feeder.data(note.into()).await?;
        } else if let Some(announced) = announced.filter(|it| *it != octets) {
            let unique_id = unique_id.as_deref();
            self.say(Event::OtherSize {
                unique_id,
                announced,
                octets,
            });
        }
        self.feeder.give(Feed::End).await?;
        self.enters_chain();
        Ok(())
    }

    fn enters_chain(&mut self) {
        self.in_chain += 1;
        self.is_flushed = false;
    }

    fn begin_of(&self, tag: Tag) -> Option<Begin> {
        let task = self.tasks.get(tag)?;
        let state = lock(&self.state);
        let entry = task.entry.and_then(|id| state.seen().entry(id));
        let tries = entry.map_or(0, Entry::tries);
        drop(state);
        Some(Begin {
            tag,
            kind: task.kind,
            named: task.named.clone(),
            suspects: task.suspects.clone(),
            entry: task.entry,
            tries,
            prefix: self.prefix.clone(),
        })
    }

    /// TOP has told who a message is, or it must be fetched to know.
    async fn identify(&mut self, tag: Tag, fingerprinter: Fingerprinter) {
        let top = fingerprinter.finish();
        let Some(task) = self.tasks.get_mut(tag) else {
            return;
        };
        task.top = Some(top);
        let claimed = lock(&self.claims).by_header(&task.suspects, top.header, &task.named);
        let (is_here, waits) = {
            let state = lock(&self.state);
            let entry = claimed.and_then(|id| state.seen().entry(id));
            let waits = |entry: &Entry| waits_aside(entry, unix_now());
            (entry.is_some_and(Entry::is_here), entry.is_some_and(waits))
        };
        match claimed {
            Some(id) if is_here => self.known(tag, id).await,
            Some(_) if waits => {}
            // It was tried before, and a part of the destinations may have it: others get it.
            Some(id) => {
                task.entry = Some(id);
                self.retrievals.push_back(tag);
            }
            None => self.retrievals.push_back(tag),
        }
    }

    /// An answer that is no message.
    pub(crate) async fn answered(&mut self, answer: Answer) -> Result<(), Trouble> {
        let asked = self.unanswered.pop().ok_or_else(|| self.out_of_step())?;
        let refusal = match (asked, answer.outcome) {
            (Asked::Quit, outcome) => return self.quit(outcome).await,
            (_, outcome) => outcome.err().map(|line| line.text.to_string()),
        };
        match (asked, refusal) {
            (Asked::Delete(_, entry), None) => {
                self.marked.push(entry);
                let sent = Record::Deletion(Deletion::Sent, vec![entry]);
                self.feeder.give(Feed::Told(vec![sent])).await?;
            }
            (Asked::Delete(tag, entry), Some(why)) => self.not_deleted(tag, entry, &why).await,
            (Asked::Top(tag), Some(_)) => self.retrievals.push_back(tag),
            (Asked::Header(tag), Some(_)) => self.leave_without_header(tag).await?,
            (Asked::Retrieve(tag), Some(why)) => {
                let Some(begin) = self.begin_of(tag) else {
                    return Err(self.out_of_step());
                };
                let why = format!("the server refuses it: {why}");
                let begin = Box::new(begin);
                self.enters_chain();
                self.feeder.give(Feed::Refused { begin, why }).await?;
            }
            (Asked::Top(_) | Asked::Header(_) | Asked::Retrieve(_), None) | (Asked::Quit, _) => {
                return Err(self.out_of_step());
            }
        }
        Ok(())
    }

    /// Nothing more of a message comes that has begun.
    pub(crate) async fn broken(&mut self, why: Break) {
        // The chain may have ended: then nothing is left to break.
        let _ = self.feeder.give(Feed::Broken(why)).await;
    }

    /// QUIT was answered. Where it was refused, or never answered, the next listing tells
    /// (PRJ-QUIT-10).
    async fn quit(&mut self, outcome: Result<Success, StatusLine>) -> Result<(), Trouble> {
        self.has_quit = true;
        let keyword = Keyword::Quit;
        outcome.map_err(|line| Error::Refused { keyword, line })?;
        let marked = std::mem::take(&mut self.marked);
        if !marked.is_empty() {
            self.tally.report.deleted += marked.len() as u64;
            let told = Record::Deletion(Deletion::Quit, marked);
            self.feeder.give(Feed::Told(vec![told])).await?;
        }
        Ok(())
    }

    /// An answer came that nothing was asked for.
    pub(crate) fn out_of_step(&self) -> Trouble {
        Trouble::Server(Error::Session(SessionError::EndOfInput))
    }
}

impl From<Ended> for Trouble {
    fn from(_: Ended) -> Self {
        Self::NotPublished
    }
}

/// Stands in for the body of a message that was left.
fn note(announced: Option<u64>) -> String {
    let size = announced.map_or_else(String::new, |octets| format!(" of {octets} octets"));
    format!(
        "This is the header of a message{size}. It is larger than is wanted here, and was left on\r\n\
         the server.\r\n"
    )
}
