//! One session with a server: the plan's commands, pipelined, and what follows from their answers.
//!
//! The line comes first: commands are given as long as there is room, messages go into the chain as
//! they come, and DELE goes out for what the chain says is safe. Nothing here waits for a disk,
//! unless the chain is full; then the server waits too.

mod work;

use restante_client::{Client, Pipeline, Reply};

pub(crate) use self::work::{Tally, Work};
use crate::trouble::Trouble;

/// Carries a plan out, and says QUIT behind its last command if everything went well; otherwise
/// nothing is deleted, and the session ends without a word (PRJ-FETCH-9).
pub(crate) async fn run(mut client: Client, work: &mut Work) -> Result<(), Trouble> {
    let mut pipeline = client.pipeline().await?;
    let conversed = converse(&mut pipeline, work).await;
    drop(pipeline);
    conversed?;
    client.close().await;
    Ok(())
}

async fn converse(pipeline: &mut Pipeline<'_>, work: &mut Work) -> Result<(), Trouble> {
    loop {
        while work.ask(pipeline).await? {}
        work.flush_at_last().await?;
        if work.is_answered() {
            if work.has_quit() {
                return Ok(());
            }
            // The line is idle: what the chain holds is all that is left.
            work.await_outcome().await?;
            continue;
        }
        tokio::select! {
            biased;
            outcome = work.outcomes.recv() => work.take_outcome(outcome).await?,
            reply = pipeline.next() => match reply {
                Err(error) => return Err(error.into()),
                Ok(None) => return Err(work.out_of_step()),
                Ok(Some(Reply::Answer(answer))) => work.answered(answer).await?,
                Ok(Some(Reply::Message(message))) => work.message(message).await?,
            },
        }
    }
}
