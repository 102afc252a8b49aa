//! Slow hashes, as many at a time as there are processors, in a fair order.

mod queue;

use std::{
    num::NonZero,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use tokio::{sync::oneshot, task::spawn_blocking};

use self::queue::Queue;
pub(super) use self::queue::Turn;
use super::RefusalCause;

/// How much hashing yields to everything else: those who are logged in do not wait for those who
/// want to be. Not more, or on a busy machine nobody would get in.
const NICENESS: i32 = 5;

/// Runs work that is slow on purpose: one after the other for each address, addresses that know a
/// password before strangers. See [`Queue`].
pub(super) struct HashingQueue {
    places: Arc<Mutex<Places>>,
    /// How many were run.
    #[cfg(test)]
    pub(super) runs: std::sync::atomic::AtomicUsize,
}

struct Places {
    free: usize,
    /// Threads that have nothing to do.
    idle: Vec<Worker>,
    waiting: Queue<oneshot::Sender<Place>>,
}

/// The right to occupy a processor; whoever is next has it when it is dropped.
pub(super) struct Place {
    places: Arc<Mutex<Places>>,
    /// The thread that goes with it, if one was started already.
    worker: Option<Worker>,
}

/// A thread that hashes; it ends when nobody can give it work any more. There is one for each
/// place and not one for each hash: what a hash takes, 19 MiB most often, the allocator keeps for
/// the thread's next one, and it would keep it for many threads.
type Worker = mpsc::Sender<Box<dyn FnOnce() + Send>>;

impl Default for HashingQueue {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self::with_places(processors)
    }
}

impl HashingQueue {
    fn with_places(places: usize) -> Self {
        let places = Places {
            free: places,
            idle: Vec::new(),
            waiting: Queue::default(),
        };
        Self {
            places: Arc::new(Mutex::new(places)),
            #[cfg(test)]
            runs: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Runs `work` on a thread of its own, when it is `turn`'s. The place goes with the work: if
    /// the connection ends meanwhile, it is taken until the processor is really free. Whoever is
    /// gone before the work has begun costs nothing.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RefusalCause> {
        let place = match self.enter(turn)? {
            Ok(place) => place,
            Err(next) => next.await.map_err(|_| RefusalCause::ShuttingDown)?,
        };
        #[cfg(test)]
        self.runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (done, result) = oneshot::channel();
        place.begin(work, done);
        // On a thread that may block, so that the runtime knows of work that goes on.
        let done = spawn_blocking(move || result.blocking_recv());
        let result = done.await.ok().and_then(Result::ok);
        result.ok_or(RefusalCause::ShuttingDown)
    }

    /// A place, or where to wait for one.
    pub(super) fn enter(
        &self,
        turn: Turn,
    ) -> Result<Result<Place, oneshot::Receiver<Place>>, RefusalCause> {
        let mut places = lock(&self.places);
        if places.free > 0 {
            places.free -= 1;
            let worker = places.idle.pop();
            drop(places);
            let places = Arc::clone(&self.places);
            return Ok(Ok(Place { places, worker }));
        }
        let (sender, next) = oneshot::channel();
        match places.waiting.push(turn, sender) {
            Ok(()) => Ok(Err(next)),
            Err(_) => Err(RefusalCause::Overloaded),
        }
    }
}

impl Place {
    /// Does `work` on the place's thread. The place is free when it is done, or if it panics, or
    /// if there is no thread.
    fn begin<T: Send + 'static>(
        mut self,
        work: impl FnOnce() -> T + Send + 'static,
        done: oneshot::Sender<T>,
    ) {
        let worker = self.worker.take().or_else(start_worker);
        let Some(worker) = worker else { return };
        self.worker = Some(worker.clone());
        let job = move || {
            let result = work();
            // First: nobody hears of the end of a hash before the next one can begin.
            drop(self);
            // Whoever has gone does not want to know.
            let _ = done.send(result);
        };
        // It takes work as long as it can be given any.
        let _ = worker.send(Box::new(job));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = self.worker.take();
        let mut places = lock(&self.places);
        let next = loop {
            match places.waiting.pop() {
                // Whoever has hung up meanwhile is passed over.
                Some(next) if next.is_closed() => {}
                next => break next,
            }
        };
        match next {
            None => {
                places.free += 1;
                places.idle.extend(worker);
            }
            Some(next) => {
                // Outside the lock: a place that nobody takes after all is dropped again.
                drop(places);
                let places = Arc::clone(&self.places);
                let _ = next.send(Self { places, worker });
            }
        }
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    // Nothing under the lock panics.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread that yields to others; `None` if there is none left.
fn start_worker() -> Option<Worker> {
    let (worker, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let thread = thread::Builder::new().name("hashing".to_owned());
    let started = thread.spawn(move || {
        // Where it is not allowed, hashing has the weight of everything else.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        for job in jobs {
            // A bug in one hash is not the next one's; the hook has told of it.
            let _ = panic::catch_unwind(AssertUnwindSafe(job));
        }
    });
    started.ok().map(|_| worker)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    fn stranger(last: u8) -> Turn {
        Turn::stranger([192, 0, 2, last].into())
    }

    fn familiar(last: u8) -> Turn {
        Turn::familiar([192, 0, 2, last].into())
    }

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
                    queue.run(stranger(1), work).await.unwrap();
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
        let mut login = Box::pin(queue.run(stranger(1), move || wait.recv().is_ok()));
        let started = tokio::time::timeout(Duration::from_millis(20), &mut login).await;
        assert!(started.is_err());
        drop(login);
        assert_eq!(lock(&queue.places).free, 0);
        finish.send(()).unwrap();
        assert!(queue.run(stranger(1), || true).await.unwrap());
    }

    /// Starts work that lasts until the sender is used.
    async fn occupy(queue: &Arc<HashingQueue>) -> std::sync::mpsc::Sender<()> {
        let (finish, wait) = std::sync::mpsc::channel();
        let (began, begins) = oneshot::channel();
        let queue = Arc::clone(queue);
        tokio::spawn(async move {
            let work = move || {
                began.send(()).unwrap();
                wait.recv().unwrap();
            };
            queue.run(stranger(0), work).await.unwrap();
        });
        begins.await.unwrap();
        finish
    }

    /// The order in which waiting work is done.
    async fn order(turns: &[Turn]) -> Vec<usize> {
        let queue = Arc::new(HashingQueue::with_places(1));
        let finish = occupy(&queue).await;
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (number, &turn) in turns.iter().enumerate() {
            let done = Arc::clone(&done);
            let queue = Arc::clone(&queue);
            tasks.push(tokio::spawn(async move {
                let work = move || done.lock().unwrap().push(number);
                queue.run(turn, work).await.unwrap();
            }));
            // Each is waiting before the next comes.
            tokio::task::yield_now().await;
        }
        finish.send(()).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        let done = done.lock().unwrap();
        done.clone()
    }

    #[tokio::test]
    async fn prj_sec_3_a_known_address_goes_before_strangers_and_addresses_take_turns() {
        let storm = [
            stranger(1),
            stranger(1),
            stranger(1),
            stranger(2),
            familiar(3),
        ];
        assert_eq!(order(&storm).await, [4, 0, 3, 1, 2]);
    }

    #[tokio::test]
    async fn prj_sec_3_work_that_nobody_waits_for_any_more_is_not_done() {
        let queue = Arc::new(HashingQueue::with_places(1));
        let finish = occupy(&queue).await;
        let mut gone = Box::pin(queue.run(stranger(1), || panic!("nobody waits")));
        let waiting = tokio::time::timeout(Duration::from_millis(1), &mut gone).await;
        assert!(waiting.is_err());
        drop(gone);
        finish.send(()).unwrap();
        assert!(queue.run(stranger(1), || true).await.unwrap());
        assert_eq!(queue.runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn prj_sec_3_a_full_queue_refuses_at_once_and_known_addresses_have_their_own() {
        let queue = Arc::new(HashingQueue::with_places(1));
        let finish = occupy(&queue).await;
        let mut waiting = Vec::new();
        loop {
            let next = queue.enter(stranger(1));
            match next {
                Ok(next) => waiting.push(next),
                Err(cause) => {
                    assert!(matches!(cause, RefusalCause::Overloaded), "{cause}");
                    break;
                }
            }
        }
        assert_eq!(waiting.len(), queue::STRANGERS_MAX);
        assert!(queue.enter(familiar(2)).is_ok());
        finish.send(()).unwrap();
    }

    #[tokio::test]
    async fn prj_sec_1_there_are_no_more_threads_than_places() {
        let queue = Arc::new(HashingQueue::with_places(2));
        let threads = Arc::new(Mutex::new(std::collections::HashSet::new()));
        for _ in 0..20 {
            let hash = |threads: &Arc<Mutex<std::collections::HashSet<_>>>| {
                let threads = Arc::clone(threads);
                let work = move || threads.lock().unwrap().insert(thread::current().id());
                queue.run(stranger(1), work)
            };
            let (first, second) = tokio::join!(hash(&threads), hash(&threads));
            first.unwrap();
            second.unwrap();
        }
        assert!((1..=2).contains(&threads.lock().unwrap().len()));
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_place_back() {
        let queue = HashingQueue::with_places(1);
        let broken = queue
            .run(stranger(1), || -> bool { panic!("on purpose") })
            .await;
        assert!(matches!(broken, Err(RefusalCause::ShuttingDown)));
        assert!(queue.run(stranger(1), || true).await.unwrap());
    }
}
