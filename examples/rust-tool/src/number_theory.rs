//! The emitter: functions that tell where they are. They could be a library of somebody else's.

use rmon_emitter::{CodeLike, CodeSpec, Emitter, Failed};

static EMITTER: Emitter = Emitter::new();

/// The code of a function that begins here.
macro_rules! code {
    ($name:literal) => {
        CodeLike::from_static(CodeSpec::new($name, file!(), line!() as i32))
    };
}

/// The line after this one is about to run.
macro_rules! line {
    ($frame:ident) => {
        $frame.line(std::line!() as i32, std::line!() as i32 + 1)?
    };
}

pub fn gcd(mut a: u64, mut b: u64) -> Result<u64, Failed> {
    static CODE: CodeLike = code!("gcd");
    let mut frame = EMITTER.frame(&CODE, 0)?;
    while b != 0 {
        line!(frame);
        (a, b) = (b, a % b);
    }
    line!(frame);
    Ok(a)
}

pub fn totient(n: u64) -> Result<u64, Failed> {
    static CODE: CodeLike = code!("totient");
    let mut frame = EMITTER.frame(&CODE, 0)?;
    let mut count = 0;
    for k in 1..=n {
        line!(frame);
        if gcd(n, k)? == 1 {
            line!(frame);
            count += 1;
        }
    }
    line!(frame);
    Ok(count)
}
