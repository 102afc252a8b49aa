//! Slow hashes, as many at a time as there are processors.

use std::{num::NonZero, sync::Arc, thread};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::RefusalCause;

/// Runs work that is slow on purpose, first come, first served.
pub(super) struct HashingQueue {
    permits: Arc<Semaphore>,
    /// How many were run.
    #[cfg(test)]
    pub(super) runs: std::sync::atomic::AtomicUsize,
}

impl Default for HashingQueue {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self::with_places(processors)
    }
}

impl HashingQueue {
    fn with_places(places: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(places)),
            #[cfg(test)]
            runs: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Runs `work` on a thread for blocking work. The permit goes with the work: if the
    /// connection ends meanwhile, the place is taken until the processor is really free.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RefusalCause> {
        let permits = Arc::clone(&self.permits);
        let permit = permits
            .acquire_owned()
            .await
            .map_err(|_| RefusalCause::ShuttingDown)?;
        #[cfg(test)]
        self.runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let done = spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| RefusalCause::ShuttingDown)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn no_more_run_at_once_than_there_are_places() {
        let queue = Arc::new(HashingQueue::with_places(2));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..12)
            .map(|_| {
                let (queue, now, most) = (Arc::clone(&queue), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    let work = move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(2));
                        now.fetch_sub(1, Ordering::SeqCst);
                    };
                    queue.run(work).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_dropped_login_keeps_its_place_until_the_work_is_done() {
        let queue = HashingQueue::with_places(1);
        let (finish, wait) = std::sync::mpsc::channel::<()>();
        let mut login = Box::pin(queue.run(move || wait.recv().is_ok()));
        let started = tokio::time::timeout(Duration::from_millis(20), &mut login).await;
        assert!(started.is_err());
        drop(login);
        assert_eq!(queue.permits.available_permits(), 0);
        finish.send(()).unwrap();
        assert!(queue.run(|| true).await.unwrap());
    }
}
