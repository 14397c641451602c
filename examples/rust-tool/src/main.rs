//! Runs the functions of an emitter, with the profiler if it is asked for.

mod number_theory;
mod profiler;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().nth(1).as_deref() == Some("--profile");
    let profiler = if wanted { Some(profiler::Profiler::start()?) } else { None };

    println!("totient(12) = {}", number_theory::totient(12)?);
    println!("totient(35) = {}", number_theory::totient(35)?);

    if let Some(profiler) = profiler {
        profiler.print();
    }
    Ok(())
}
