//! Does the same to many things, on all cores.

use std::sync::Mutex;
use std::thread;

use crate::sh;

/// The results of `body` on each item, in the items' order. As many threads work as the machine has
/// cores; they share the caller's log.
pub fn map<T: Sync, R: Send>(items: &[T], body: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get()).min(items.len());
    let queue = Mutex::new(items.iter().enumerate());
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let next = queue.lock().ok().and_then(|mut queue| queue.next());
                let Some((index, item)) = next else {
                    return done;
                };
                done.push((index, body(item)));
            }
        };
        let logging = |log| move || sh::logged_to(log, work);
        let threads: Vec<_> =
            (0..workers).map(|_| scope.spawn(logging(sh::log().ok().flatten()))).collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
