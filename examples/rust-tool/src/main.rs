//! Runs the functions of an emitter, and watches them if that is asked for.

mod number_theory;
mod profiler;

use std::error::Error;
use std::thread;

use profiler::Profiler;

fn main() -> Result<(), Box<dyn Error>> {
    let profiler = match std::env::args().nth(1).as_deref() {
        None => None,
        Some("--profile") => Some(Profiler::start()?),
        Some(other) => return Err(format!("{other}: the only option is --profile").into()),
    };
    let threads = [12, 35].map(|n| (n, thread::spawn(move || number_theory::totient(n))));
    for (n, thread) in threads {
        println!("totient({n}) = {}", thread.join().expect("it does not panic")?);
    }
    if let Some(profiler) = profiler {
        print!("{}", profiler.stop());
    }
    Ok(())
}
